/**
 * The stages of a universal query as they lie in its bytes: qdrant.PrefetchQuery is read here, and of it only what is small goes through the
 * generated code. That would hold each vector as an array of doubles before it becomes one of floats.
 */
import {
  type LookupLocation,
  LookupLocationSchema,
  type PrefetchQuery,
  type Query,
  QuerySchema,
  type SearchParams,
  SearchParamsSchema,
} from "../../gen/qdrant/points_pb.js";
import { type Filter, FilterSchema } from "../../gen/qdrant/qdrant_common_pb.js";
import { limits } from "../core/index.ts";
import { decodePieces } from "./messages.ts";
import { fieldMask, MessageReader } from "./reader.ts";
import { append } from "./upsert.ts";
import { type FloatArena, readDense } from "./vectors.ts";

/** What QueryPoints, QueryPointGroups and PrefetchQuery have in common; a PrefetchQuery of the generated code is one, too. */
export interface StageMessage {
  readonly prefetch: readonly (StageMessage | PrefetchQuery)[];
  readonly query?: Query | undefined;
  /** In place of `query`: the nearest to this vector. */
  readonly dense?: Float32Array | undefined;
  readonly using?: string | undefined;
  readonly filter?: Filter | undefined;
  readonly params?: SearchParams | undefined;
  readonly scoreThreshold?: number | undefined;
  readonly limit?: bigint | undefined;
  readonly lookupFrom?: LookupLocation | undefined;
}

/** Fields of a stage that are messages, in the pieces in which they came. */
export interface StagePieces {
  prefetch?: Uint8Array[];
  query?: Uint8Array[];
  filter?: Uint8Array[];
  params?: Uint8Array[];
  lookupFrom?: Uint8Array[];
}

type StageMessages = Pick<StageMessage, "prefetch" | "query" | "dense" | "filter" | "params" | "lookupFrom">;

/** `depth` is the stage's own: 0 for the query itself. */
export function decodeStage(pieces: StagePieces, arena: FloatArena, depth: number): StageMessages {
  const dense = pieces.query === undefined ? undefined : readNearestDense(pieces.query, arena);
  return {
    // What lies deeper is refused by its depth, before anything of it is looked at (query.ts).
    prefetch:
      depth > limits.prefetchDepthMax ? [] : (pieces.prefetch ?? []).map((one) => readPrefetch(one, arena, depth + 1)),
    query: dense === undefined ? decodePieces(QuerySchema, pieces.query) : undefined,
    dense,
    filter: decodePieces(FilterSchema, pieces.filter),
    params: decodePieces(SearchParamsSchema, pieces.params),
    lookupFrom: decodePieces(LookupLocationSchema, pieces.lookupFrom),
  };
}

const prefetchMask = fieldMask(1, 2, 3, 4, 5, 6, 7, 8);

function readPrefetch(bytes: Uint8Array, arena: FloatArena, depth: number): StageMessage {
  const r = new MessageReader(bytes);
  const pieces: StagePieces = {};
  let using: string | undefined;
  let scoreThreshold: number | undefined;
  let limit: bigint | undefined;
  while (r.pos < r.end) {
    const tag = r.tag();
    switch (tag) {
      case 0x0a:
        pieces.prefetch = append(pieces.prefetch, r.slice());
        break;
      case 0x12:
        pieces.query = append(pieces.query, r.slice());
        break;
      case 0x1a:
        using = r.string();
        break;
      case 0x22:
        pieces.filter = append(pieces.filter, r.slice());
        break;
      case 0x2a:
        pieces.params = append(pieces.params, r.slice());
        break;
      case 0x35:
        scoreThreshold = r.float();
        break;
      case 0x38:
        limit = r.u64();
        break;
      case 0x42:
        pieces.lookupFrom = append(pieces.lookupFrom, r.slice());
        break;
      default:
        r.skipUnknown(tag, prefetchMask);
    }
  }
  return { ...decodeStage(pieces, arena, depth), using, scoreThreshold, limit };
}

/**
 * Goes into Query { nearest = 1: VectorInput } in its usual form, a single field of each, and gives the input's tag with the reader behind it; undefined for every
 * other query.
 */
export function enterNearest(
  pieces: readonly Uint8Array[],
): { readonly r: MessageReader; readonly tag: number } | undefined {
  const [piece] = pieces;
  if (pieces.length !== 1 || piece === undefined) return undefined;
  const r = new MessageReader(piece);
  if (r.end === 0 || r.tag() !== 0x0a) return undefined;
  r.enter();
  if (r.end !== piece.length || r.pos === r.end) return undefined;
  return { r, tag: r.tag() };
}

/** Of such a query by a dense vector. */
function readNearestDense(pieces: readonly Uint8Array[], arena: FloatArena): Float32Array | undefined {
  const found = enterNearest(pieces);
  if (found?.tag !== 0x12) return undefined;
  const vector = readDense(found.r, arena);
  return found.r.pos === found.r.end ? vector : undefined;
}
