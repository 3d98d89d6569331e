/** The hot write messages: qdrant.UpsertPoints, qdrant.PointStruct and sealpoint.v1.BulkUpsertRequest. */
import { ShardKeySelectorSchema, UpdateMode, WriteOrderingSchema } from "../../gen/qdrant/points_pb.js";
import { type Filter as FilterMessage, FilterSchema } from "../../gen/qdrant/qdrant_common_pb.js";
import { badInput, DomainError, type EncodedPayload, type Filter, limits, type PointId } from "../core/index.ts";
import type { Pauses } from "./answers.ts";
import { mapFilter } from "./filter.ts";
import { decodePieces } from "./messages.ts";
import { checkOrdering } from "./ordering.ts";
import { readPointId, requirePointId } from "./point-id.ts";
import { ByteArena } from "./proto-bytes.ts";
import { fieldMask, joinPieces, MessageReader } from "./reader.ts";
import { decodingSteps, runAtOnce, runInSlices, type Steps } from "./steps.ts";
import { decodeVectors, FloatArena, type GivenVectors, readVectors } from "./vectors.ts";

/** The same shape as the engine's PointInput, but that a model may have to make vectors. */
export interface WirePoint {
  readonly id: PointId;
  readonly payload: EncodedPayload;
  readonly vectors: GivenVectors;
  readonly publicKey?: string;
}

/** The same shape as the engine's WriteCondition. */
export interface WireCondition {
  readonly mode: "upsert" | "insert_only" | "update_only";
  readonly filter?: Filter | undefined;
}

export interface RefusedPoint {
  readonly index: number;
  readonly id: PointId | undefined;
  readonly error: DomainError;
}

export interface UpsertRequest {
  readonly collection: string;
  readonly wait: boolean;
  readonly points: readonly WirePoint[];
  readonly condition: WireCondition | undefined;
  readonly publicKey: string | undefined;
  readonly freshEphemeral: boolean;
  /** Gives the memory of the points back, once they are stored. */
  release(): void;
}

export const tagPublicKey = ((50_001 << 3) | 2) >>> 0;
export const tagFreshEphemeral = (50_002 << 3) >>> 0;

const emptyPayload: EncodedPayload = new Uint8Array(0);
const tagPayloadEntry = 0x1a;
const tagStoredEntry = 0x12;
const payloadArenaBytes = 1 << 16;
const pointMask = fieldMask(1, 3, 4);

/** Reads the points of one request into shared memory. */
export class PointReader {
  readonly #floats: FloatArena;
  readonly #field: string;
  readonly #payloads = new ByteArena();
  readonly #entryStarts: number[] = [];

  constructor(bytesMax: number, field = "points") {
    this.#floats = new FloatArena(bytesMax);
    this.#field = field;
  }

  /**
   * From the length of a PointStruct on. With `refused` a point that is well-formed and still wrong goes there, and the
   * result is undefined; without it that is thrown.
   */
  read(r: MessageReader, index: number, refused?: RefusedPoint[]): WirePoint | undefined {
    const outer = r.enter();
    const end = r.end;
    let id: PointId | undefined;
    let publicKey: string | undefined;
    let payload: EncodedPayload | undefined;
    let vectors: GivenVectors | undefined;
    let vectorPieces: Uint8Array[] | undefined;
    let badId: unknown;
    while (r.pos < r.end) {
      const tag = r.tag();
      switch (tag) {
        case 0x0a: {
          const at = r.pos;
          try {
            id = readPointId(r, "") ?? id;
          } catch (error) {
            if (!(error instanceof DomainError)) throw error;
            badId = error;
            r.end = end;
            r.pos = at;
            r.skip(tag);
          }
          break;
        }
        case tagPayloadEntry: {
          const run = this.#readPayloadRun(r);
          payload = payload === undefined ? run : joinPieces([payload, run]);
          break;
        }
        case 0x22: {
          const at = r.pos;
          if (vectorPieces === undefined && vectors === undefined) {
            vectors = readVectors(r, this.#floats);
            if (vectors !== undefined) {
              this.#vectorsAt = at;
              break;
            }
            r.pos = at;
            r.end = end;
            vectorPieces = [r.slice()];
          } else {
            if (vectorPieces === undefined) {
              r.pos = this.#vectorsAt;
              vectorPieces = [r.slice()];
              r.pos = at;
            }
            vectors = undefined;
            vectorPieces.push(r.slice());
          }
          break;
        }
        case tagPublicKey:
          publicKey = r.string();
          break;
        default:
          r.skipUnknown(tag, pointMask, 50_001);
      }
    }
    r.leave(outer);
    try {
      const field = `${this.#field}[${index}]`;
      if (badId instanceof DomainError) throw badInput(badId.message, `${field}.id`);
      requirePointId(id, `${field}.id`);
      if (vectorPieces !== undefined) vectors = decodeVectors(vectorPieces, `${field}.vectors`);
    } catch (error) {
      if (refused === undefined || !(error instanceof DomainError)) throw error;
      refused.push({ index, id, error });
      return undefined;
    }
    return { id: id as PointId, payload: payload ?? emptyPayload, vectors: vectors ?? [], publicKey };
  }

  /** Wipes and gives back what the points lie in: payloads and vectors that were read are empty from then on. */
  release(): void {
    this.#payloads.release();
    this.#floats.release();
  }

  /** Where the vectors stand that `read` took last. */
  #vectorsAt = 0;

  /** Copies the entry whose tag was just read and those that follow it at once, each under the stored form's tag. */
  #readPayloadRun(r: MessageReader): EncodedPayload {
    const { bytes } = r;
    const starts = this.#entryStarts;
    starts.length = 0;
    // A tag may be written longer than needed: the byte before the length then still serves as the new tag.
    const first = r.pos - 1;
    starts.push(0);
    const firstLength = r.length();
    r.pos += firstLength;
    while (r.pos < r.end && bytes[r.pos] === tagPayloadEntry) {
      starts.push(r.pos - first);
      r.pos++;
      const length = r.length();
      r.pos += length;
    }
    const run = this.#payloads.take(r.pos - first, bytes.length - first, payloadArenaBytes);
    run.set(bytes.subarray(first, r.pos));
    for (const start of starts) run[start] = tagStoredEntry;
    return run;
  }
}

const upsertMask = fieldMask(1, 2, 3, 4, 5, 6, 7, 8);

export function decodeUpsertPoints(bytes: Uint8Array): UpsertRequest {
  return runAtOnce(upsertSteps(bytes));
}

/** The same without holding the event loop for long. */
export function decodeUpsertPointsInSlices(bytes: Uint8Array, pauses: Pauses): Promise<UpsertRequest> {
  return runInSlices(upsertSteps(bytes), pauses);
}

function upsertSteps(bytes: Uint8Array): Steps<UpsertRequest> {
  return decodingSteps("qdrant.UpsertPoints", readUpsert(bytes));
}

function* readUpsert(bytes: Uint8Array): Steps<UpsertRequest> {
  const r = new MessageReader(bytes);
  const reader = new PointReader(bytes.length);
  const points: WirePoint[] = [];
  let collection = "";
  let wait = false;
  let publicKey: string | undefined;
  let freshEphemeral = false;
  let updateFilter: Uint8Array[] | undefined;
  let shardKeys: Uint8Array[] | undefined;
  let mode = 0;
  while (r.pos < r.end) {
    const tag = r.tag();
    switch (tag) {
      case 0x0a:
        collection = r.string();
        break;
      case 0x10:
        wait = r.bool();
        break;
      case 0x1a: {
        if (points.length >= limits.pointsPerRequestMax) throw tooManyPoints();
        points.push(reader.read(r, points.length) as WirePoint);
        yield;
        break;
      }
      case 0x22:
        checkOrdering(decodePieces(WriteOrderingSchema, [r.slice()]));
        break;
      case 0x2a:
        shardKeys = append(shardKeys, r.slice());
        break;
      case 0x32:
        updateFilter = append(updateFilter, r.slice());
        break;
      case 0x38:
        r.u64();
        break;
      case 0x40:
        mode = r.varint32() | 0;
        break;
      case tagPublicKey:
        publicKey = r.string();
        break;
      case tagFreshEphemeral:
        freshEphemeral = r.bool();
        break;
      default:
        r.skipUnknown(tag, upsertMask, 50_001);
    }
  }
  decodePieces(ShardKeySelectorSchema, shardKeys);
  const condition = mapWriteCondition(decodePieces(FilterSchema, updateFilter), mode, "");
  return { collection, wait, points, condition, publicKey, freshEphemeral, release: () => reader.release() };
}

export function append(pieces: Uint8Array[] | undefined, piece: Uint8Array): Uint8Array[] {
  if (pieces === undefined) return [piece];
  pieces.push(piece);
  return pieces;
}

export function tooManyPoints(): DomainError {
  return badInput(`points: more than ${limits.pointsPerRequestMax} in one request`, "points");
}

const conditionModes: Readonly<Record<number, WireCondition["mode"]>> = {
  [UpdateMode.Upsert]: "upsert",
  [UpdateMode.InsertOnly]: "insert_only",
  [UpdateMode.UpdateOnly]: "update_only",
};

/** Undefined when every point is written. */
export function mapWriteCondition(
  filter: FilterMessage | undefined,
  mode: number | undefined,
  prefix: string,
): WireCondition | undefined {
  const known = conditionModes[mode ?? UpdateMode.Upsert];
  if (known === undefined) throw badInput(`${prefix}update_mode: unknown mode ${mode}`, `${prefix}update_mode`);
  if (filter === undefined && known === "upsert") return undefined;
  return { mode: known, filter: mapFilter(filter, `${prefix}update_filter`) };
}

export interface BulkStart {
  readonly kind: "start";
  readonly collection: string;
  readonly streamId: string;
  readonly publicKey: string | undefined;
  readonly freshEphemeral: boolean;
}

export interface BulkChunk {
  readonly kind: "chunk";
  readonly sequence: bigint;
  readonly points: readonly WirePoint[];
  /** Places in the chunk of `points`, when some were refused. */
  readonly places: readonly number[] | undefined;
  readonly refused: readonly RefusedPoint[];
  /** Gives the memory of the points back, once they are stored. */
  release(): void;
}

const bulkName = "sealpoint.v1.BulkUpsertRequest";

/** Undefined for a request that holds neither a start nor a chunk. */
export function decodeBulkUpsertRequest(bytes: Uint8Array): BulkStart | BulkChunk | undefined {
  return runAtOnce(bulkSteps(bytes));
}

/** The same without holding the event loop for long. */
export function decodeBulkUpsertRequestInSlices(
  bytes: Uint8Array,
  pauses: Pauses,
): Promise<BulkStart | BulkChunk | undefined> {
  return runInSlices(bulkSteps(bytes), pauses);
}

function bulkSteps(bytes: Uint8Array): Steps<BulkStart | BulkChunk | undefined> {
  return decodingSteps(bulkName, readBulk(bytes));
}

function* readBulk(bytes: Uint8Array): Steps<BulkStart | BulkChunk | undefined> {
  const r = new MessageReader(bytes);
  let which = 0;
  let pieces: Uint8Array[] = [];
  function* read(): Steps<BulkStart | BulkChunk> {
    return which === 0x0a ? readStart(pieces) : yield* readChunk(pieces);
  }
  while (r.pos < r.end) {
    const tag = r.tag();
    if (tag === 0x0a || tag === 0x12) {
      // The last one wins, but the other has to be well-formed; pieces of the same one are merged.
      if (which !== tag && which !== 0) yield* read();
      if (which !== tag) pieces = [];
      which = tag;
      pieces.push(r.slice());
    } else {
      r.skipUnknown(tag, 0b110);
    }
  }
  return which === 0 ? undefined : yield* read();
}

function readStart(pieces: readonly Uint8Array[]): BulkStart {
  let collection = "";
  let streamId = "";
  let publicKey: string | undefined;
  let freshEphemeral = false;
  for (const piece of pieces) {
    const r = new MessageReader(piece);
    while (r.pos < r.end) {
      const tag = r.tag();
      if (tag === 0x0a) collection = r.string();
      else if (tag === 0x12) streamId = r.string();
      else if (tag === 0x1a) publicKey = r.string();
      else if (tag === 0x20) freshEphemeral = r.bool();
      else r.skipUnknown(tag, 0b11110);
    }
  }
  return { kind: "start", collection, streamId, publicKey, freshEphemeral };
}

function* readChunk(pieces: readonly Uint8Array[]): Steps<BulkChunk> {
  const points: WirePoint[] = [];
  const refused: RefusedPoint[] = [];
  let places: number[] | undefined;
  let sequence = 0n;
  let index = 0;
  const readers: PointReader[] = [];
  for (const piece of pieces) {
    const r = new MessageReader(piece);
    const reader = new PointReader(piece.length);
    readers.push(reader);
    while (r.pos < r.end) {
      const tag = r.tag();
      if (tag === 0x08) {
        sequence = r.u64();
      } else if (tag === 0x12) {
        if (index >= limits.streamChunkPointsMax) {
          throw badInput(`chunk.points: more than ${limits.streamChunkPointsMax} in one chunk`, "chunk.points");
        }
        const point = reader.read(r, index, refused);
        if (point === undefined) {
          places ??= points.map((_, place) => place);
        } else {
          points.push(point);
          places?.push(index);
        }
        index++;
        yield;
      } else {
        r.skipUnknown(tag, 0b110);
      }
    }
  }
  const release = () => {
    for (const reader of readers) reader.release();
  };
  return { kind: "chunk", sequence, points, places, refused, release };
}
