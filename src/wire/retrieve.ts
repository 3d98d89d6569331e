/** The hot reads without a vector: qdrant.ScrollPoints, qdrant.GetPoints and sealpoint.v1.ScrollRequest. */
import { OrderBySchema, ReadConsistencySchema, ShardKeySelectorSchema } from "../../gen/qdrant/points_pb.js";
import type { ScrollRequest as ScrollStreamMessage } from "../../gen/sealpoint/v1/ingest_pb.js";
import {
  badInput,
  type Filter,
  limits,
  type OrderBy,
  type PayloadSelector,
  type PointId,
  type VectorsSelector,
} from "../core/index.ts";
import { decodeFilter, mapFilter } from "./filter.ts";
import { mapOrderBy } from "./formula.ts";
import { decodePieces } from "./messages.ts";
import { mapPointId, readPointId, requirePointId } from "./point-id.ts";
import { decoding, fieldMask, MessageReader } from "./reader.ts";
import {
  decodePayloadSelector,
  decodeVectorsSelector,
  mapPayloadSelector,
  mapVectorsSelector,
  toCount,
} from "./selectors.ts";
import { append } from "./upsert.ts";

export interface ScrollPointsRequest {
  readonly collection: string;
  readonly filter: Filter | undefined;
  readonly offset: PointId | undefined;
  readonly limit: number;
  readonly orderBy?: OrderBy | undefined;
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
}

/** Qdrant's default for Scroll. */
const scrollLimitDefault = 10;
const scrollMask = fieldMask(1, 2, 3, 4, 6, 7, 8, 9, 10, 11);

export function decodeScrollPoints(bytes: Uint8Array): ScrollPointsRequest {
  return decoding("qdrant.ScrollPoints", () => {
    const r = new MessageReader(bytes);
    let collection = "";
    let filter: Uint8Array[] | undefined;
    let offset: PointId | undefined;
    let limit: number = scrollLimitDefault;
    let payload: Uint8Array[] | undefined;
    let vectors: Uint8Array[] | undefined;
    let orderBy: Uint8Array[] | undefined;
    let consistency: Uint8Array[] | undefined;
    let shardKeys: Uint8Array[] | undefined;
    while (r.pos < r.end) {
      const tag = r.tag();
      switch (tag) {
        case 0x0a:
          collection = r.string();
          break;
        case 0x12:
          filter = append(filter, r.slice());
          break;
        case 0x1a:
          offset = readPointId(r, "offset") ?? offset;
          break;
        case 0x20:
          limit = r.varint32();
          break;
        case 0x32:
          payload = append(payload, r.slice());
          break;
        case 0x3a:
          vectors = append(vectors, r.slice());
          break;
        case 0x42:
          consistency = append(consistency, r.slice());
          break;
        case 0x4a:
          shardKeys = append(shardKeys, r.slice());
          break;
        case 0x52:
          orderBy = append(orderBy, r.slice());
          break;
        case 0x58:
          r.u64();
          break;
        default:
          r.skipUnknown(tag, scrollMask);
      }
    }
    decodePieces(ReadConsistencySchema, consistency);
    decodePieces(ShardKeySelectorSchema, shardKeys);
    const order = decodePieces(OrderBySchema, orderBy);
    return {
      collection,
      filter: decodeFilter(filter),
      offset,
      limit,
      orderBy: order === undefined ? undefined : mapOrderBy(order, "order_by"),
      payload: decodePayloadSelector(payload, true),
      vectors: decodeVectorsSelector(vectors),
    };
  });
}

export interface GetPointsRequest {
  readonly collection: string;
  readonly ids: readonly PointId[];
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
}

const getMask = fieldMask(1, 2, 4, 5, 6, 7, 8);

export function decodeGetPoints(bytes: Uint8Array): GetPointsRequest {
  return decoding("qdrant.GetPoints", () => {
    const r = new MessageReader(bytes);
    let collection = "";
    const ids: PointId[] = [];
    let payload: Uint8Array[] | undefined;
    let vectors: Uint8Array[] | undefined;
    let consistency: Uint8Array[] | undefined;
    let shardKeys: Uint8Array[] | undefined;
    while (r.pos < r.end) {
      const tag = r.tag();
      switch (tag) {
        case 0x0a:
          collection = r.string();
          break;
        case 0x12: {
          if (ids.length >= limits.idsPerRequestMax) {
            throw badInput(`ids: more than ${limits.idsPerRequestMax} in one request`, "ids");
          }
          const field = `ids[${ids.length}]`;
          ids.push(requirePointId(readPointId(r, field), field));
          break;
        }
        case 0x22:
          payload = append(payload, r.slice());
          break;
        case 0x2a:
          vectors = append(vectors, r.slice());
          break;
        case 0x32:
          consistency = append(consistency, r.slice());
          break;
        case 0x3a:
          shardKeys = append(shardKeys, r.slice());
          break;
        case 0x40:
          r.u64();
          break;
        default:
          r.skipUnknown(tag, getMask);
      }
    }
    decodePieces(ReadConsistencySchema, consistency);
    decodePieces(ShardKeySelectorSchema, shardKeys);
    return {
      collection,
      ids,
      // Qdrant's gRPC default of Get, unlike Scroll's.
      payload: decodePayloadSelector(payload, false),
      vectors: decodeVectorsSelector(vectors),
    };
  });
}

export interface ScrollStreamRequest {
  readonly collection: string;
  readonly filter: Filter | undefined;
  readonly after: PointId | undefined;
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
  readonly pageSize: number;
  readonly limit: number | undefined;
}

export function mapScrollStreamRequest(message: ScrollStreamMessage): ScrollStreamRequest {
  return {
    collection: message.collectionName,
    filter: mapFilter(message.filter),
    after: message.after === undefined ? undefined : requirePointId(mapPointId(message.after, "after"), "after"),
    payload: mapPayloadSelector(message.withPayload, true),
    vectors: mapVectorsSelector(message.withVectors),
    pageSize: message.pageSize,
    limit: message.limit === undefined ? undefined : toCount(message.limit),
  };
}
