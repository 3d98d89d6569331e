/**
 * The hot reads: qdrant.SearchPoints, QueryPoints and their batches. A plain nearest search is read here; what it
 * seldom carries (filters, selectors by name, read consistency) goes through the generated code piece by piece, and a query of
 * another kind stage by stage (stages.ts).
 */
import {
  ReadConsistencySchema,
  type SearchParams,
  SearchParamsSchema,
  type SearchPoints,
  SearchPointsSchema,
  ShardKeySelectorSchema,
  WithPayloadSelectorSchema,
  WithVectorsSelectorSchema,
} from "../../gen/qdrant/points_pb.js";
import {
  badInput,
  type Filter,
  limits,
  type PayloadSelector,
  type PointId,
  type QueryRequest,
  type VectorsSelector,
} from "../core/index.ts";
import { decodeFilter } from "./filter.ts";
import { decodePieces } from "./messages.ts";
import { readPointId, requirePointId } from "./point-id.ts";
import { mapQuantizationSearch, validationError } from "./quantization.ts";
import { mapQuery, mapSearch, type WireQuery } from "./query.ts";
import { decoding, fieldMask, Malformed, MessageReader } from "./reader.ts";
import {
  decodePayloadSelector,
  decodeVectorsSelector,
  noParams,
  readPlainParams,
  toCount,
  type WireSearchParams,
} from "./selectors.ts";
import { decodeStage, enterNearest, type StagePieces } from "./stages.ts";
import { append } from "./upsert.ts";
import { FloatArena, readDense } from "./vectors.ts";

export interface SearchRequest extends WireSearchParams {
  readonly collection: string;
  readonly using: string;
  /** Absent for a query without `query`, which lists points by id. */
  readonly vector: Float32Array | { readonly pointId: PointId } | undefined;
  readonly filter: Filter | undefined;
  /** 0 when the request says 0; the default when it says nothing. */
  readonly limit: number;
  readonly offset: number;
  readonly scoreThreshold: number | undefined;
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
}

/** Qdrant's default for Query. */
const queryLimitDefault = 10;

export function mapSearchParams(params: SearchParams | undefined): WireSearchParams {
  if (params === undefined) return noParams;
  const { hnswEf, exact, indexedOnly, quantization } = params;
  return {
    hnswEf: hnswEf === undefined ? undefined : toCount(hnswEf),
    exact,
    indexedOnly,
    ...(quantization === undefined ? {} : { quantization: mapQuantizationSearch(quantization) }),
  };
}

/** Undefined when they say more than a plain search obeys. */
function decodeParams(pieces: readonly Uint8Array[] | undefined): WireSearchParams | undefined {
  if (pieces === undefined) return noParams;
  const [piece] = pieces;
  const plain = pieces.length === 1 && piece !== undefined ? readPlainParams(piece) : undefined;
  if (plain !== undefined) return plain;
  const params = decodePieces(SearchParamsSchema, pieces);
  return params?.idf?.corpus === undefined ? mapSearchParams(params) : undefined;
}

/** Fields that a single node need not obey, but that must be well-formed. */
interface Inert {
  consistency?: Uint8Array[];
  shardKeys?: Uint8Array[];
}

function checkInert(inert: Inert): void {
  if (inert.consistency !== undefined) decodePieces(ReadConsistencySchema, inert.consistency);
  if (inert.shardKeys !== undefined) decodePieces(ShardKeySelectorSchema, inert.shardKeys);
}

const searchMask = fieldMask(1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

export function decodeSearchPoints(bytes: Uint8Array): SearchRequest | WireQuery {
  return decoding("qdrant.SearchPoints", () => readSearch(bytes, new FloatArena(bytes.length)));
}

function readSearch(bytes: Uint8Array, arena: FloatArena): SearchRequest | WireQuery {
  const r = new MessageReader(bytes);
  let collection = "";
  let using = "";
  let vector: Float32Array | undefined;
  let filter: Uint8Array[] | undefined;
  let params: Uint8Array[] | undefined;
  let payload: Uint8Array[] | undefined;
  let vectors: Uint8Array[] | undefined;
  let sparse: Uint8Array[] | undefined;
  let limit = 0;
  let offset = 0;
  let scoreThreshold: number | undefined;
  const inert: Inert = {};
  while (r.pos < r.end) {
    const tag = r.tag();
    switch (tag) {
      case 0x0a:
        collection = r.string();
        break;
      case 0x12: {
        const length = r.length();
        if ((length & 3) !== 0) throw new Malformed("a packed float list is not a multiple of four bytes");
        const more = arena.copy(r.bytes, r.pos, length >>> 2);
        vector = vector === undefined ? more : Float32Array.from([...vector, ...more]);
        r.pos += length;
        break;
      }
      case 0x15:
        // Floats one by one: an old form that costs a decode of its own.
        return mapOddSearch(bytes);
      case 0x1a:
        filter = append(filter, r.slice());
        break;
      case 0x20:
        limit = toCount(r.u64());
        break;
      case 0x32:
        payload = append(payload, r.slice());
        break;
      case 0x3a:
        params = append(params, r.slice());
        break;
      case 0x45:
        scoreThreshold = r.float();
        break;
      case 0x48:
        offset = toCount(r.u64());
        break;
      case 0x52:
        using = r.string();
        break;
      case 0x5a:
        vectors = append(vectors, r.slice());
        break;
      case 0x62:
        inert.consistency = append(inert.consistency, r.slice());
        break;
      case 0x68:
        r.u64();
        break;
      case 0x72:
        inert.shardKeys = append(inert.shardKeys, r.slice());
        break;
      case 0x7a:
        sparse = append(sparse, r.slice());
        break;
      default:
        r.skipUnknown(tag, searchMask);
    }
  }
  const read = decodeParams(params);
  if (sparse !== undefined || read === undefined) return mapOddSearch(bytes);
  checkInert(inert);
  return {
    collection,
    using,
    vector: vector ?? new Float32Array(0),
    filter: decodeFilter(filter),
    limit,
    offset,
    scoreThreshold,
    payload: decodePayloadSelector(payload, false),
    vectors: decodeVectorsSelector(vectors),
    ...read,
  };
}

function mapOddSearch(bytes: Uint8Array): WireQuery {
  return mapSearch(decodePieces(SearchPointsSchema, [bytes]) as SearchPoints);
}

const queryMask = fieldMask(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

export function decodeQueryPoints(bytes: Uint8Array): SearchRequest | WireQuery {
  return decoding("qdrant.QueryPoints", () => readQuery(bytes, new FloatArena(bytes.length), ""));
}

function readQuery(bytes: Uint8Array, arena: FloatArena, prefix: string): SearchRequest | WireQuery {
  const r = new MessageReader(bytes);
  let collection = "";
  let using: string | undefined;
  const stage: StagePieces = {};
  let payload: Uint8Array[] | undefined;
  let vectors: Uint8Array[] | undefined;
  let limit: bigint | undefined;
  let offset: bigint | undefined;
  let scoreThreshold: number | undefined;
  const inert: Inert = {};
  while (r.pos < r.end) {
    const tag = r.tag();
    switch (tag) {
      case 0x0a:
        collection = r.string();
        break;
      case 0x12:
        stage.prefetch = append(stage.prefetch, r.slice());
        break;
      case 0x1a:
        stage.query = append(stage.query, r.slice());
        break;
      case 0x22:
        using = r.string();
        break;
      case 0x2a:
        stage.filter = append(stage.filter, r.slice());
        break;
      case 0x32:
        stage.params = append(stage.params, r.slice());
        break;
      case 0x3d:
        scoreThreshold = r.float();
        break;
      case 0x40:
        limit = r.u64();
        break;
      case 0x48:
        offset = r.u64();
        break;
      case 0x52:
        vectors = append(vectors, r.slice());
        break;
      case 0x5a:
        payload = append(payload, r.slice());
        break;
      case 0x62:
        inert.consistency = append(inert.consistency, r.slice());
        break;
      case 0x6a:
        inert.shardKeys = append(inert.shardKeys, r.slice());
        break;
      case 0x72:
        stage.lookupFrom = append(stage.lookupFrom, r.slice());
        break;
      case 0x78:
        r.u64();
        break;
      default:
        r.skipUnknown(tag, queryMask);
    }
  }
  checkInert(inert);
  const plain = readPlainQuery(stage, arena, prefix);
  if (plain === undefined) {
    return mapQuery(
      {
        collectionName: collection,
        ...decodeStage(stage, arena, 0),
        using,
        scoreThreshold,
        limit,
        offset,
        withPayload: decodePieces(WithPayloadSelectorSchema, payload),
        withVectors: decodePieces(WithVectorsSelectorSchema, vectors),
      },
      prefix,
    );
  }
  return {
    collection,
    using: using ?? "",
    vector: plain.vector,
    filter: decodeFilter(stage.filter, `${prefix}filter`),
    limit: limit === undefined ? queryLimitDefault : toCount(limit),
    offset: toCount(offset ?? 0n),
    scoreThreshold,
    payload: decodePayloadSelector(payload, false),
    vectors: decodeVectorsSelector(vectors),
    ...plain.params,
  };
}

/** What a plain nearest search asks for, or a list of points by id; undefined for every other query. */
function readPlainQuery(
  stage: StagePieces,
  arena: FloatArena,
  prefix: string,
): { readonly vector: SearchRequest["vector"]; readonly params: WireSearchParams } | undefined {
  if (stage.prefetch !== undefined || stage.lookupFrom !== undefined) return undefined;
  const vector = stage.query === undefined ? undefined : readNearest(stage.query, arena, `${prefix}query.nearest`);
  if (stage.query !== undefined && vector === undefined) return undefined;
  const params = decodeParams(stage.params);
  return params === undefined ? undefined : { vector, params };
}

/** Query { nearest = 1: VectorInput { id = 1 | dense = 2 } } in its usual form; undefined for every other. */
function readNearest(pieces: readonly Uint8Array[], arena: FloatArena, field: string): SearchRequest["vector"] {
  const found = enterNearest(pieces);
  if (found === undefined) return undefined;
  const { r, tag } = found;
  let vector: SearchRequest["vector"];
  let id: PointId | undefined;
  if (tag === 0x12) vector = readDense(r, arena);
  else if (tag === 0x0a) id = readPointId(r, `${field}.id`);
  else return undefined;
  if (r.pos !== r.end) return undefined;
  return tag === 0x0a ? { pointId: requirePointId(id, `${field}.id`) } : vector;
}

/** A plain search as a universal query, for batches in which another one is none. */
export function toUniversal(search: SearchRequest | WireQuery): QueryRequest {
  if ("request" in search) return search.request;
  const {
    using,
    vector,
    filter,
    limit,
    offset,
    scoreThreshold,
    payload,
    vectors,
    hnswEf,
    exact,
    indexedOnly,
    quantization,
  } = search;
  return {
    prefetch: [],
    query: vector === undefined ? undefined : { kind: "nearest", vector },
    using,
    filter,
    params: { hnswEf, exact, indexedOnly, quantization },
    scoreThreshold,
    limit,
    offset,
    payload,
    vectors,
  };
}

/** Qdrant's validator asks each search for a name, and then searches the batch's collection; a different one inside would be misled. */
export function checkBatchCollection(collection: string, named: string, field: string): void {
  if (named === collection) return;
  if (named === "") {
    const text = `value "" invalid, must be from 1 to ${limits.collectionNameLengthMax} characters`;
    throw validationError(`${field}.collection_name`, text);
  }
  throw badInput("collection_name: all searches of a batch must name its collection", "collection_name");
}

export interface SearchBatchRequest {
  readonly collection: string;
  readonly searches: readonly (SearchRequest | WireQuery)[];
}

/** SearchBatchPoints and QueryBatchPoints have one shape: collection_name = 1, searches = 2, consistency = 3, timeout = 4. */
function decodeBatch(
  bytes: Uint8Array,
  name: string,
  read: (bytes: Uint8Array, arena: FloatArena, prefix: string) => SearchRequest | WireQuery,
  prefix: string,
): SearchBatchRequest {
  return decoding(name, () => {
    const r = new MessageReader(bytes);
    const arena = new FloatArena(bytes.length);
    const searches: (SearchRequest | WireQuery)[] = [];
    let collection = "";
    const inert: Inert = {};
    while (r.pos < r.end) {
      const tag = r.tag();
      switch (tag) {
        case 0x0a:
          collection = r.string();
          break;
        case 0x12:
          if (searches.length >= limits.searchesPerBatchMax) {
            throw badInput(`${prefix}: more than ${limits.searchesPerBatchMax} in one batch`, prefix);
          }
          searches.push(read(r.slice(), arena, `${prefix}[${searches.length}].`));
          break;
        case 0x1a:
          inert.consistency = append(inert.consistency, r.slice());
          break;
        case 0x20:
          r.u64();
          break;
        default:
          r.skipUnknown(tag, 0b11110);
      }
    }
    checkInert(inert);
    searches.forEach((search, i) => {
      checkBatchCollection(collection, search.collection, `${prefix}[${i}]`);
    });
    return { collection, searches };
  });
}

export function decodeSearchBatchPoints(bytes: Uint8Array): SearchBatchRequest {
  return decodeBatch(bytes, "qdrant.SearchBatchPoints", readSearch, "search_points");
}

export function decodeQueryBatchPoints(bytes: Uint8Array): SearchBatchRequest {
  return decodeBatch(bytes, "qdrant.QueryBatchPoints", readQuery, "query_points");
}
