/** What the embedded engine tells the addon; src/native/addon/engine/{requests.h,collection_write.cc,records.h} read it. */
import type {
  CollectionConfig,
  Datatype,
  Distance,
  Filter,
  HnswConfig,
  MemoryPlacement,
  OptimizersConfig,
  PayloadSelector,
  PointId,
  Quantization,
  SparseVectorParams,
  VectorParams,
  VectorsSelector,
} from "../../core/index.ts";
import { encodeFilter } from "../../filter/index.ts";
import { type NativeReader, NativeWriter } from "../../native/index.ts";
import { TimeSlices } from "../../seal/index.ts";
import type {
  AliasAction,
  EncodedUpsert,
  ExplainRequest,
  NearestQuery,
  PointInput,
  PointsSelector,
  PointVectors,
  RateAnswer,
  ScrollRequest,
  WriteCondition,
  WriteOperation,
  WriteOptions,
} from "../engine.ts";

const distances: Record<Distance, number> = { cosine: 1, euclid: 2, dot: 3, manhattan: 4 };

export function writeVectorFields(out: NativeWriter, config: CollectionConfig): void {
  const fields = Object.entries(config.vectors);
  const sparse = Object.entries(config.sparseVectors ?? {});
  out.u32(fields.length + sparse.length);
  for (const [name, params] of fields) writeDenseField(out, name, params, config);
  for (const [name, params] of sparse) writeSparseField(out, name, params, config);
}

export function writeDenseField(out: NativeWriter, name: string, params: VectorParams, config: CollectionConfig): void {
  out
    .text(name)
    .u32(params.size)
    .u8(distances[params.distance])
    .u32(params.hnsw?.m ?? config.hnsw.m)
    .u32(params.hnsw?.efConstruct ?? config.hnsw.efConstruct)
    .u64(BigInt(params.hnsw?.fullScanThreshold ?? config.hnsw.fullScanThreshold))
    .u64(BigInt(config.indexingThreshold))
    .u8(datatypes[params.datatype ?? "float32"]);
  writeCodes(out, params.quantization ?? config.quantization);
  // Multivectors have no codes: their placement is that of the vectors.
  if (params.multivector === true) out.u8(onDisk(params.memory) ? 1 : 0);
  else writePlacement(out, params, config);
  out.u8(params.multivector === true ? 4 : 0);
  writeOptimizers(out, { ...config.hnsw, ...params.hnsw }, config.optimizers ?? {});
}

const anyThreads = 0xffff_ffff;
const u32Max = 0xffff_ffff;

function writeOptimizers(out: NativeWriter, hnsw: HnswConfig, optimizers: OptimizersConfig): void {
  out
    .f32(optimizers.deletedThreshold ?? 0.2)
    .u64(BigInt(optimizers.vacuumMinVectorNumber ?? 1_000))
    .u32(Math.min(optimizers.defaultSegmentNumber ?? 0, u32Max))
    .u64(BigInt(optimizers.maxSegmentSize ?? 0))
    .u32(Math.min(optimizers.maxOptimizationThreads ?? anyThreads, anyThreads))
    .u32(Math.min(hnsw.maxIndexingThreads ?? 0, u32Max))
    .u8((optimizers.preventUnoptimized === true ? 1 : 0) | (hnsw.payloadM === undefined ? 0 : 2))
    .u32(hnsw.payloadM ?? hnsw.m);
}

export function writeSparseField(
  out: NativeWriter,
  name: string,
  { modifier }: SparseVectorParams,
  config: CollectionConfig,
): void {
  // Nothing of a graph matters to it.
  out.text(name).u32(0).u8(distances.dot).u32(16).u32(128).u64(0n).u64(0n).u8(datatypes.float32);
  writeCodes(out, undefined);
  writePlacement(out, { size: 1, distance: "dot" }, config);
  out.u8(modifier === "idf" ? 3 : 1);
  writeOptimizers(out, config.hnsw, {});
}

const datatypes: Record<Datatype, number> = { float32: 1, uint8: 2, float16: 3 };
const codeKinds = { scalar: 0, one_bit: 1, one_and_half_bits: 2, two_bits: 3, product: 4 } as const;

function writeCodes(out: NativeWriter, chosen: Quantization | undefined): void {
  const kind = chosen?.kind === "binary" ? chosen.encoding : (chosen?.kind ?? "scalar");
  out
    .u8(codeKinds[kind])
    .u8(chosen === undefined ? 0 : 1)
    .f32(chosen?.kind === "scalar" ? (chosen.quantile ?? 0) : 0)
    .u8(chosen?.kind === "binary" ? chosen.queryBits : 8)
    .u8(chosen?.kind === "product" ? chosen.valuesPerByte : 1);
}

const onDisk = (memory: MemoryPlacement | undefined): boolean => memory === "cold" || memory === "cached";

/** Codes go with their vectors unless quantization_config says otherwise. */
function writePlacement(out: NativeWriter, params: VectorParams, config: CollectionConfig): void {
  const codes = (params.quantization ?? config.quantization)?.memory ?? params.memory;
  const graph = params.hnsw?.memory ?? config.hnsw.memory;
  const rowsCached = params.memory === "pinned" || params.memory === "cached";
  out.u8((onDisk(codes) ? 1 : 0) | (onDisk(graph) ? 2 : 0) | (rowsCached ? 4 : 0));
}

export function writeFilter(out: NativeWriter, filter: Filter | undefined, plainOnly: boolean | undefined): void {
  out.u8(plainOnly === true ? 1 : 0);
  if (filter === undefined) {
    out.u32(0);
  } else {
    out.blob(encodeFilter(filter));
  }
}

export function writePayloadSelector(out: NativeWriter, selector: PayloadSelector): void {
  switch (selector.kind) {
    case "none":
      out.u8(0);
      break;
    case "all":
      out.u8(1);
      break;
    case "include":
      out.u8(2).texts(selector.keys);
      break;
    case "exclude":
      out.u8(3).texts(selector.keys);
      break;
  }
}

export function writeVectorsSelector(out: NativeWriter, selector: VectorsSelector): void {
  switch (selector.kind) {
    case "none":
      out.u8(0);
      break;
    case "all":
      out.u8(1);
      break;
    case "names":
      out.u8(2).texts(selector.names);
      break;
  }
}

/** Of a vector's dimensions: it is sparse, and the number is that of its values; or a multivector. */
const sparseFlag = 0x8000_0000;
const multiFlag = 0x4000_0000;

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function writeVectors(out: NativeWriter, vectors: PointVectors): void {
  out.u8(vectors.length);
  for (const [name, vector] of vectors) {
    out.text(name);
    if (vector instanceof Float32Array) out.floats(vector);
    else if ("rows" in vector)
      out
        .u32(vector.dimensions | multiFlag)
        .u32(vector.rows)
        .raw(bytesOf(vector.values));
    else
      out
        .u32((vector.indices.length | sparseFlag) >>> 0)
        .raw(bytesOf(vector.indices))
        .raw(bytesOf(vector.values));
  }
}

function writeSelector(out: NativeWriter, selector: PointsSelector): void {
  if (selector.kind === "filter") {
    out.u8(1);
    writeFilter(out, selector.filter, selector.plainOnly);
    return;
  }
  out.u8(0).u32(selector.ids.length);
  for (const id of selector.ids) out.id(id);
}

function upsertSize(points: readonly PointInput[]): number {
  let size = 64;
  for (const point of points) {
    size += 32 + point.payload.length;
    for (const [name, vector] of point.vectors) {
      size += 8 + name.length * 3 + (vector instanceof Float32Array ? vector.byteLength : vector.values.length * 8);
    }
  }
  return size;
}

/** Smaller messages are not worth keeping their memory. */
const reusedBytesMin = 64 * 1024;

function writeHead(out: NativeWriter, name: string, options: WriteOptions): NativeWriter {
  return out
    .text(name)
    .u8(options.wait ? (options.confirmedByNext === true ? 2 : 1) : 0)
    .u64(BigInt(options.admittedEpoch ?? 0))
    .text(options.stream?.id ?? "")
    .u64(options.stream?.sequence ?? 0n);
}

/** The points themselves go beside it. The caller releases the writer once the addon has answered. */
export function encodeEncodedWrite(name: string, points: EncodedUpsert, options: WriteOptions): NativeWriter {
  const { field, sealedPayloads } = points;
  if (sealedPayloads === undefined) return writeHead(new NativeWriter(256), name, options).u8(10).u32(field);
  const size = 256 + name.length * 3 + sealedPayloads.length;
  const out = size > reusedBytesMin ? NativeWriter.reusing(size) : new NativeWriter(size);
  return writeHead(out, name, options).u8(12).u32(field).raw(sealedPayloads);
}

const conditionModes = { upsert: 0, insert_only: 1, update_only: 2 } as const;

function writeCondition(out: NativeWriter, condition: WriteCondition | undefined): void {
  if (condition === undefined) return;
  out.u8(11).u8(conditionModes[condition.mode]);
  writeFilter(out, condition.filter, condition.plainOnly);
}

function writePoint(out: NativeWriter, point: PointInput): void {
  out.id(point.id).blob(point.payload);
  writeVectors(out, point.vectors);
}

async function writePointsInSlices(out: NativeWriter, points: readonly PointInput[]): Promise<NativeWriter> {
  const slices = new TimeSlices();
  for (const point of points) {
    if (slices.due()) await slices.yield();
    writePoint(out, point);
  }
  return out;
}

/** Upserts of more points are written in slices. */
const pointsAtOnceMax = 1_024;

/** The caller releases the writer once the addon has answered. */
export function encodeWrite(
  name: string,
  operation: WriteOperation,
  options: WriteOptions,
): NativeWriter | Promise<NativeWriter> {
  const size = operation.kind === "upsert" ? upsertSize(operation.points) : 1024;
  const capacity = size + name.length * 3 + 256;
  const out = size > reusedBytesMin ? NativeWriter.reusing(capacity) : new NativeWriter(capacity);
  writeHead(out, name, options);
  switch (operation.kind) {
    case "upsert":
      writeCondition(out, operation.condition);
      out.u8(1).u32(operation.points.length);
      if (operation.points.length > pointsAtOnceMax) return writePointsInSlices(out, operation.points);
      for (const point of operation.points) writePoint(out, point);
      break;
    case "delete":
      out.u8(2);
      writeSelector(out, operation.selector);
      break;
    case "update_vectors":
      writeCondition(out, operation.condition);
      out.u8(3).u32(operation.points.length);
      for (const point of operation.points) {
        out.id(point.id);
        writeVectors(out, point.vectors);
      }
      break;
    case "delete_vectors":
      out.u8(4);
      writeSelector(out, operation.selector);
      out.texts(operation.names);
      break;
    case "set_payload":
      out.u8(5);
      writeSelector(out, operation.selector);
      out
        .blob(operation.payload)
        .u8(operation.key === undefined ? 0 : 1)
        .text(operation.key ?? "");
      break;
    case "overwrite_payload":
      out.u8(6);
      writeSelector(out, operation.selector);
      out.blob(operation.payload);
      break;
    case "delete_payload":
      out.u8(7);
      writeSelector(out, operation.selector);
      out.texts(operation.keys);
      break;
    case "clear_payload":
      out.u8(8);
      writeSelector(out, operation.selector);
      break;
    case "seal_payload":
      out
        .u8(9)
        .u8(operation.replace ? 1 : 0)
        .u32(operation.points.length);
      for (const point of operation.points) out.id(point.id).blob(point.envelope).blob(point.clear);
      break;
  }
  return out;
}

export function encodeReplace(
  name: string,
  ids: readonly PointId[],
  points: readonly PointInput[],
): Promise<NativeWriter> {
  const out = new NativeWriter(upsertSize(points) + ids.length * 17 + name.length * 3 + 256);
  writeHead(out, name, { wait: true }).u8(20).u32(ids.length);
  for (const id of ids) out.id(id);
  return writePointsInSlices(out.u32(points.length), points);
}

const exactFlag = 1;
const indexedOnlyFlag = 2;
const thresholdFlag = 4;
const originalsFlag = 8;
const notRescoredFlag = 16;

function writeSearch(out: NativeWriter, query: NearestQuery): void {
  out.text(query.using);
  if (query.vector instanceof Float32Array) {
    out.u8(0).floats(query.vector);
  } else {
    out.u8(1).id(query.vector.pointId);
  }
  out
    .u32(query.limit)
    .u32(query.offset)
    .u8(
      (query.exact === true ? exactFlag : 0) |
        (query.indexedOnly === true ? indexedOnlyFlag : 0) |
        (query.scoreThreshold === undefined ? 0 : thresholdFlag) |
        (query.quantization?.ignore === true ? originalsFlag : 0) |
        (query.quantization?.rescore === false ? notRescoredFlag : 0),
    )
    .f32(query.scoreThreshold ?? 0)
    .u32(query.hnswEf ?? 0)
    .f32(query.quantization?.oversampling ?? 0);
  writePayloadSelector(out, query.payload);
  writeVectorsSelector(out, query.vectors);
  writeFilter(out, query.filter, query.plainOnly);
}

/** The message must be handed to the addon at once. */
export function encodeSearches(name: string, queries: readonly NearestQuery[]): Uint8Array {
  const out = NativeWriter.shared().text(name).u32(queries.length);
  for (const query of queries) writeSearch(out, query);
  return out.done();
}

export function encodeScroll(name: string, request: ScrollRequest): Uint8Array {
  const out = new NativeWriter(512).text(name);
  writeFilter(out, request.filter, request.plainOnly);
  if (request.offset === undefined) {
    out.u8(0);
  } else {
    out.u8(request.afterOffset === true ? 2 : 1).id(request.offset);
  }
  out.u32(request.limit);
  writePayloadSelector(out, request.payload);
  writeVectorsSelector(out, request.vectors);
  return out.done();
}

export function encodeGet(
  name: string,
  ids: readonly (bigint | string)[],
  payload: PayloadSelector,
  vectors: VectorsSelector,
): Uint8Array {
  const out = new NativeWriter(256 + ids.length * 17).text(name).u32(ids.length);
  for (const id of ids) out.id(id);
  writePayloadSelector(out, payload);
  writeVectorsSelector(out, vectors);
  return out.done();
}

export function encodeCount(name: string, filter: Filter | undefined, plainOnly: boolean | undefined): Uint8Array {
  const out = new NativeWriter(256).text(name);
  writeFilter(out, filter, plainOnly);
  return out.done();
}

export function encodeExplain(name: string, { filter, plainOnly, query }: ExplainRequest): Uint8Array {
  const out = new NativeWriter(1024).text(name).u8(query === undefined ? 0 : 1);
  if (query === undefined) {
    writeFilter(out, filter, plainOnly);
  } else {
    writeSearch(out, { ...query, filter, plainOnly, payload: { kind: "none" }, vectors: { kind: "none" } });
  }
  return out.done();
}

export function encodeSpend(name: string, kind: "read" | "write", perMinute: number, cost: number): Uint8Array {
  const out = new NativeWriter().text(name).u8(kind === "write" ? 1 : 0);
  return out.u32(perMinute).u64(BigInt(cost)).done();
}

export function readRateAnswer(reader: NativeReader): RateAnswer {
  const granted = reader.u8() === 1;
  return { granted, available: reader.f64(), retryAfterSeconds: reader.f64() };
}

export function encodeAliases(actions: readonly AliasAction[]): Uint8Array {
  const out = new NativeWriter().u32(actions.length);
  for (const action of actions) {
    switch (action.kind) {
      case "create":
        out.u8(1).text(action.alias).text(action.collection);
        break;
      case "rename":
        out.u8(2).text(action.from).text(action.to);
        break;
      case "delete":
        out.u8(3).text(action.alias);
        break;
    }
  }
  return out.done();
}
