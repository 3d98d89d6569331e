/**
 * The hot answers, written straight from the columns of a PointTable: SearchResponse, QueryResponse and their batches,
 * ScrollResponse, GetResponse, PointsOperationResponse and the streams' messages. Written backwards, so that no length is
 * measured beforehand. Rows that the engine has as messages already (`wire`) are copied. Vectors carry the oneof only, as Qdrant 1.19 writes them.
 */
import type { EncodedPayload, MultiVector, OrderValue, PointId, ShardKey, VectorValue } from "../core/index.ts";
import { expandSealed } from "./payload.ts";
import { BackwardWriter } from "./proto-bytes.ts";
import { writeShardKey } from "./shards.ts";
import type { NamedVectors } from "./vectors.ts";

/** The messages that an engine may give the rows as; native/addon/engine/point_table.h has the same numbers. */
const wireForms = {
  /** ScoredPoint under field 1 */
  scored: 1,
  /** RetrievedPoint under field 1 */
  retrieved: 2,
  /** RetrievedPoint under field 2 */
  scrolled: 3,
} as const;

/** The same shape as the engine's PointTable. */
export interface WireTable {
  readonly length: number;
  /** The rows as messages of this form, one after the other; undefined when they must be made from the columns. */
  wire?(form: number): Uint8Array | undefined;
  id(row: number): PointId;
  score(row: number): number;
  version(row: number): bigint;
  payload(row: number): EncodedPayload | undefined;
  vectors(row: number): NamedVectors | undefined;
  orderValue?(row: number): OrderValue | undefined;
  shardKey?(row: number): ShardKey | undefined;
}

// Shared: writing never yields, so one answer is finished before the next one begins.
const writer = new BackwardWriter(1 << 16);

const tagDense = (101 << 3) | 2;
const tagSparse = (102 << 3) | 2;
const tagMulti = (103 << 3) | 2;
const maxSafe = BigInt(Number.MAX_SAFE_INTEGER);

export function header(w: BackwardWriter, tag: number, before: number): void {
  w.uint32(w.length - before);
  w.byte(tag);
}

export function writeU64(w: BackwardWriter, value: bigint): void {
  if (value > maxSafe) {
    w.int64(value);
    return;
  }
  let rest = Number(value);
  if (rest < 0x8000_0000) {
    w.uint32(rest);
    return;
  }
  const bytes: number[] = [];
  while (rest >= 0x80) {
    bytes.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  w.raw(Uint8Array.from(bytes));
}

const scoreBytes = new Uint8Array(4);
const scoreView = new DataView(scoreBytes.buffer);

export function writeFloat(w: BackwardWriter, value: number): void {
  scoreView.setFloat32(0, value, true);
  w.raw(scoreBytes);
}

function writePointId(w: BackwardWriter, id: PointId, tag: number): void {
  const before = w.length;
  if (typeof id === "bigint") {
    writeU64(w, id);
    w.byte(0x08);
  } else {
    w.text(id);
    w.byte(0x12);
  }
  header(w, tag, before);
}

/** MultiDenseVector { vectors = 1: DenseVector { data = 1 } } */
function writeMulti(w: BackwardWriter, { rows, dimensions, values }: MultiVector): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const size = dimensions * 4;
  for (let row = rows - 1; row >= 0; row--) {
    const before = w.length;
    w.raw(bytes.subarray(row * size, (row + 1) * size));
    w.uint32(size);
    w.byte(0x0a);
    header(w, 0x0a, before);
  }
}

/**
 * VectorOutput { dense = 101: DenseVector { data = 1 } }, { sparse = 102: SparseVector { values = 1, indices = 2 } } or
 * { multi_dense = 103 } under `tag`.
 */
function writeVector(w: BackwardWriter, vector: VectorValue, tag: number): void {
  const before = w.length;
  if (!(vector instanceof Float32Array) && "rows" in vector) {
    writeMulti(w, vector);
    w.uint32(w.length - before);
    w.uint32(tagMulti);
    header(w, tag, before);
    return;
  }
  if (!(vector instanceof Float32Array)) {
    const { indices, values } = vector;
    if (indices.length > 0) {
      for (let i = indices.length - 1; i >= 0; i--) w.uint32(indices[i] as number);
      header(w, 0x12, before);
      w.raw(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      w.uint32(values.byteLength);
      w.byte(0x0a);
    }
    w.uint32(w.length - before);
    w.uint32(tagSparse);
    header(w, tag, before);
    return;
  }
  if (vector.length > 0) {
    w.raw(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
    w.uint32(vector.byteLength);
    w.byte(0x0a);
  }
  w.uint32(w.length - before);
  w.uint32(tagDense);
  header(w, tag, before);
}

function writeVectors(w: BackwardWriter, vectors: NamedVectors, tag: number): void {
  const before = w.length;
  const [first] = vectors;
  if (first !== undefined && vectors.length === 1 && first[0] === "") {
    writeVector(w, first[1], 0x0a);
  } else {
    // Without any vector too the oneof is set, as Qdrant does it: its Python client refuses a VectorsOutput without one.
    const map = w.length;
    for (let i = vectors.length - 1; i >= 0; i--) {
      const [name, vector] = vectors[i] as NamedVectors[number];
      const entry = w.length;
      writeVector(w, vector, 0x12);
      w.text(name);
      w.byte(0x0a);
      header(w, 0x0a, entry);
    }
    header(w, 0x12, map);
  }
  header(w, tag, before);
}

function writePayload(w: BackwardWriter, payload: EncodedPayload | undefined): void {
  if (payload === undefined || payload.length === 0) return;
  // Stored entries are under field 2, which is where both ScoredPoint and RetrievedPoint have them.
  w.raw(expandSealed(payload));
}

/** OrderValue { int = 1 | float = 2 } under `tag`, where the answer is ordered by a key. */
function writeOrderValue(w: BackwardWriter, table: WireTable, row: number, tag: number): void {
  const value = table.orderValue?.(row);
  if (value === undefined) return;
  const before = w.length;
  if (typeof value === "bigint") {
    w.int64(value);
    w.byte(0x08);
  } else {
    w.double(value);
    w.byte(0x11);
  }
  header(w, tag, before);
}

/** ScoredPoint { id = 1, payload = 2, score = 3, version = 5, vectors = 6, shard_key = 7, order_value = 8 } */
export function writeScoredPoint(w: BackwardWriter, table: WireTable, row: number, tag: number): void {
  const before = w.length;
  writeOrderValue(w, table, row, 0x42);
  writeShardKey(w, table.shardKey?.(row), 0x3a);
  const vectors = table.vectors(row);
  if (vectors !== undefined) writeVectors(w, vectors, 0x32);
  const version = table.version(row);
  if (version !== 0n) {
    writeU64(w, version);
    w.byte(0x28);
  }
  const score = table.score(row);
  // Zero is what proto3 leaves out.
  if (!Number.isNaN(score) && !Object.is(score, 0)) {
    writeFloat(w, score);
    w.byte(0x1d);
  }
  writePayload(w, table.payload(row));
  writePointId(w, table.id(row), 0x0a);
  header(w, tag, before);
}

/** RetrievedPoint { id = 1, payload = 2, vectors = 4, shard_key = 5, order_value = 6 } */
export function writeRetrievedPoint(w: BackwardWriter, table: WireTable, row: number, tag: number): void {
  const before = w.length;
  writeOrderValue(w, table, row, 0x32);
  writeShardKey(w, table.shardKey?.(row), 0x2a);
  const vectors = table.vectors(row);
  if (vectors !== undefined) writeVectors(w, vectors, 0x22);
  writePayload(w, table.payload(row));
  writePointId(w, table.id(row), 0x0a);
  header(w, tag, before);
}

export function writeTime(w: BackwardWriter, seconds: number, tag: number): void {
  if (Object.is(seconds, 0)) return;
  w.double(seconds);
  w.byte(tag);
}

function start(): BackwardWriter {
  writer.reset();
  return writer;
}

/** Gives the event loop its turn in between. */
export interface Pauses {
  due(): boolean;
  yield(): Promise<void>;
}

/** Answers with more rows are written with pauses, where the caller gives them. */
const rowsAtOnceMax = 128;

type RowWriter = (w: BackwardWriter, table: WireTable, row: number, tag: number) => void;

function writeRows(w: BackwardWriter, table: WireTable, write: RowWriter, tag: number): void {
  for (let row = table.length - 1; row >= 0; row--) write(w, table, row, tag);
}

async function writeRowsInSlices(
  w: BackwardWriter,
  table: WireTable,
  write: RowWriter,
  tag: number,
  pauses: Pauses,
): Promise<void> {
  for (let row = table.length - 1; row >= 0; row--) {
    if (pauses.due()) await pauses.yield();
    write(w, table, row, tag);
  }
}

interface Shape {
  readonly write: RowWriter;
  readonly form: number;
  readonly rowTag: number;
  /** 0: the answer has no time. */
  readonly timeTag: number;
}

const scored: Shape = { write: writeScoredPoint, form: wireForms.scored, rowTag: 0x0a, timeTag: 0x11 };
const scrolled: Shape = { write: writeRetrievedPoint, form: wireForms.scrolled, rowTag: 0x12, timeTag: 0x19 };
const gotten: Shape = { write: writeRetrievedPoint, form: wireForms.retrieved, rowTag: 0x0a, timeTag: 0x11 };
const streamed: Shape = { write: writeRetrievedPoint, form: wireForms.retrieved, rowTag: 0x0a, timeTag: 0 };

const timeSize = 9;

/** Rows that are messages already, the time behind them. */
function joinWire(rows: Uint8Array, shape: Shape, seconds: number): Uint8Array {
  const time = shape.timeTag !== 0 && !Object.is(seconds, 0);
  if (!time) return rows;
  const out = Buffer.allocUnsafe(rows.length + timeSize);
  out.set(rows);
  out[rows.length] = shape.timeTag;
  out.writeDoubleLE(seconds, rows.length + 1);
  return out;
}

/** The answer from rows that are messages already; undefined when there are none such. */
function encodeWire(shape: Shape, table: WireTable, seconds: number, next?: PointId): Uint8Array | undefined {
  const rows = table.wire?.(shape.form);
  if (rows === undefined) return undefined;
  if (next === undefined) return joinWire(rows, shape, seconds);
  const w = start();
  if (shape.timeTag !== 0) writeTime(w, seconds, shape.timeTag);
  w.raw(rows);
  writePointId(w, next, 0x0a);
  return w.finish();
}

function encodeTable(shape: Shape, table: WireTable, seconds: number, next?: PointId): Uint8Array {
  const w = start();
  if (shape.timeTag !== 0) writeTime(w, seconds, shape.timeTag);
  writeRows(w, table, shape.write, shape.rowTag);
  if (next !== undefined) writePointId(w, next, 0x0a);
  return w.finish();
}

async function encodeTableInSlices(
  shape: Shape,
  table: WireTable,
  seconds: number,
  pauses: Pauses,
  next?: PointId,
): Promise<Uint8Array> {
  // A writer of its own: the shared one is somebody else's during a pause.
  const w = new BackwardWriter(1 << 20);
  if (shape.timeTag !== 0) writeTime(w, seconds, shape.timeTag);
  await writeRowsInSlices(w, table, shape.write, shape.rowTag, pauses);
  if (next !== undefined) writePointId(w, next, 0x0a);
  return w.finish();
}

type Bytes = Uint8Array | Promise<Uint8Array>;

function encodeAny(shape: Shape, table: WireTable, seconds: number, pauses?: Pauses, next?: PointId): Bytes {
  const ready = encodeWire(shape, table, seconds, next);
  if (ready !== undefined) return ready;
  return pauses === undefined || table.length <= rowsAtOnceMax
    ? encodeTable(shape, table, seconds, next)
    : encodeTableInSlices(shape, table, seconds, pauses, next);
}

/** SearchResponse and QueryResponse have one shape: { result = 1, time = 2 }. */
export function encodeScoredResponse(table: WireTable, seconds: number): Uint8Array;
export function encodeScoredResponse(table: WireTable, seconds: number, pauses: Pauses): Bytes;
export function encodeScoredResponse(table: WireTable, seconds: number, pauses?: Pauses): Bytes {
  return encodeAny(scored, table, seconds, pauses);
}

/** SearchBatchResponse and QueryBatchResponse: { result = 1: BatchResult { result = 1 }, time = 2 }. */
export function encodeScoredBatchResponse(tables: readonly WireTable[], seconds: number): Uint8Array;
export function encodeScoredBatchResponse(tables: readonly WireTable[], seconds: number, pauses: Pauses): Bytes;
export function encodeScoredBatchResponse(tables: readonly WireTable[], seconds: number, pauses?: Pauses): Bytes {
  const rows = tables.reduce(
    (sum, table) => sum + (table.wire?.(wireForms.scored) === undefined ? table.length : 0),
    0,
  );
  if (pauses !== undefined && rows > rowsAtOnceMax) return encodeBatchInSlices(tables, seconds, pauses);
  const w = start();
  writeTime(w, seconds, 0x11);
  for (let index = tables.length - 1; index >= 0; index--) {
    const before = w.length;
    const table = tables[index] as WireTable;
    const ready = table.wire?.(wireForms.scored);
    if (ready === undefined) writeRows(w, table, writeScoredPoint, 0x0a);
    else w.raw(ready);
    header(w, 0x0a, before);
  }
  return w.finish();
}

async function encodeBatchInSlices(tables: readonly WireTable[], seconds: number, pauses: Pauses): Promise<Uint8Array> {
  const w = new BackwardWriter(1 << 20);
  writeTime(w, seconds, 0x11);
  for (let index = tables.length - 1; index >= 0; index--) {
    const before = w.length;
    const table = tables[index] as WireTable;
    const ready = table.wire?.(wireForms.scored);
    if (ready === undefined) await writeRowsInSlices(w, table, writeScoredPoint, 0x0a, pauses);
    else w.raw(ready);
    header(w, 0x0a, before);
  }
  return w.finish();
}

/** ScrollResponse { next_page_offset = 1, result = 2, time = 3 } */
export function encodeScrollResponse(table: WireTable, next: PointId | undefined, seconds: number): Uint8Array;
export function encodeScrollResponse(
  table: WireTable,
  next: PointId | undefined,
  seconds: number,
  pauses: Pauses,
): Bytes;
export function encodeScrollResponse(
  table: WireTable,
  next: PointId | undefined,
  seconds: number,
  pauses?: Pauses,
): Bytes {
  return encodeAny(scrolled, table, seconds, pauses, next);
}

/** FacetResponse { hits = 1, time = 2 }, from hits that are messages already. */
export function encodeFacetResponse(hits: Uint8Array, seconds: number): Uint8Array {
  return joinWire(hits, gotten, seconds);
}

/** GetResponse { result = 1, time = 2 } */
export function encodeGetResponse(table: WireTable, seconds: number): Uint8Array;
export function encodeGetResponse(table: WireTable, seconds: number, pauses: Pauses): Bytes;
export function encodeGetResponse(table: WireTable, seconds: number, pauses?: Pauses): Bytes {
  return encodeAny(gotten, table, seconds, pauses);
}

/** sealpoint.v1.ScrollResponse { points = 1 } */
export function encodeScrollPage(table: WireTable): Uint8Array;
export function encodeScrollPage(table: WireTable, pauses: Pauses): Bytes;
export function encodeScrollPage(table: WireTable, pauses?: Pauses): Bytes {
  return encodeAny(streamed, table, 0, pauses);
}

export interface WireUpdateResult {
  /** Absent where a write has not got its number yet. */
  readonly operationId: bigint | undefined;
  /** True: Completed; false: Acknowledged. */
  readonly completed: boolean;
  /** WaitTimeout: the write goes on, its caller did not wait longer. */
  readonly timedOut?: boolean | undefined;
}

/** Of qdrant.UpdateStatus. */
export function updateStatus({ completed, timedOut }: WireUpdateResult): number {
  return timedOut === true ? 4 : completed ? 2 : 1;
}

/** UpdateResult { operation_id = 1 (optional), status = 2 } */
function writeUpdateResult(w: BackwardWriter, result: WireUpdateResult, tag: number): void {
  const before = w.length;
  w.byte(updateStatus(result));
  w.byte(0x10);
  if (result.operationId !== undefined) {
    writeU64(w, result.operationId);
    w.byte(0x08);
  }
  header(w, tag, before);
}

/** PointsOperationResponse { result = 1, time = 2 } and UpdateBatchResponse { repeated result = 1, time = 2 } */
export function encodeUpdateResponse(results: readonly WireUpdateResult[], seconds: number): Uint8Array {
  const w = start();
  writeTime(w, seconds, 0x11);
  for (let i = results.length - 1; i >= 0; i--) writeUpdateResult(w, results[i] as WireUpdateResult, 0x0a);
  return w.finish();
}

export interface WirePointStatus {
  readonly index: number;
  readonly id: PointId | undefined;
  /** A google.rpc.Code. */
  readonly code: number;
  readonly message: string;
}

export interface WireAck {
  readonly sequence: bigint;
  readonly durableSequence: bigint;
  readonly applied: boolean;
  readonly pointsApplied: number;
  readonly refused: readonly WirePointStatus[];
}

/** sealpoint.v1.BulkUpsertResponse { ack = 2 } */
export function encodeBulkAck(ack: WireAck): Uint8Array {
  const w = start();
  for (let i = ack.refused.length - 1; i >= 0; i--) {
    const status = ack.refused[i] as WirePointStatus;
    const before = w.length;
    w.text(status.message);
    w.byte(0x22);
    w.uint32(status.code);
    w.byte(0x18);
    if (status.id !== undefined) writePointId(w, status.id, 0x12);
    w.uint32(status.index);
    w.byte(0x08);
    header(w, 0x2a, before);
  }
  w.uint32(ack.pointsApplied);
  w.byte(0x20);
  w.byte(ack.applied ? 1 : 0);
  w.byte(0x18);
  writeU64(w, ack.durableSequence);
  w.byte(0x10);
  writeU64(w, ack.sequence);
  w.byte(0x08);
  header(w, 0x12, 0);
  return w.finish();
}

/** sealpoint.v1.BulkUpsertResponse { started = 1 } */
export function encodeBulkStarted(lastApplied: bigint, chunkPointsMax: number, bytesInFlightMax: number): Uint8Array {
  const w = start();
  writeU64(w, BigInt(bytesInFlightMax));
  w.byte(0x18);
  w.uint32(chunkPointsMax);
  w.byte(0x10);
  writeU64(w, lastApplied);
  w.byte(0x08);
  header(w, 0x0a, 0);
  return w.finish();
}
