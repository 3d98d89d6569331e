/** qdrant.Points. The hot RPCs read and write their bytes themselves. */
import { Points } from "../../../../gen/qdrant/points_service_pb.js";
import { TimeSlices } from "../../../seal/index.ts";
import type { PointsService } from "../../../services/index.ts";
import {
  checkOrdering,
  decodeClearPayloadPoints,
  decodeDeletePayloadPoints,
  decodeDeletePoints,
  decodeDeletePointVectors,
  decodeGetPoints,
  decodeQueryBatchPoints,
  decodeQueryPoints,
  decodeScrollPoints,
  decodeSearchBatchPoints,
  decodeSearchPoints,
  decodeSetPayloadPoints,
  decodeUpdateBatchPoints,
  decodeUpdatePointVectors,
  decodeUpsertPointsInSlices,
  encodeGetResponse,
  encodeScoredBatchResponse,
  encodeScoredResponse,
  encodeScrollResponse,
  encodeUpdateResponse,
  mapCreateFieldIndex,
  mapFilter,
  type SearchBatchRequest,
  type SearchRequest,
  skimUpsertPoints,
  type WriteRequest,
} from "../../../wire/index.ts";
import { bindService, type RawUnaryHandler, rawUnary, type ServiceBinding, unary, unimplemented } from "../call.ts";
import { releaseRequest } from "../receive.ts";
import { publicKeyHeader, publicKeyOf, secondsSince, tellSkipped, withPublicKey } from "./common.ts";

const later = "arrives with the whole Qdrant API, in a later version";

export function bindPoints(points: PointsService): ServiceBinding {
  const write = (decode: (bytes: Uint8Array) => WriteRequest): RawUnaryHandler =>
    rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const { collection, wait, operation } = decode(bytes);
      const outcome = await points.write(collection, withPublicKey(operation, call), wait, call.signal);
      tellSkipped(call, outcome.sealedSkipped);
      return encodeUpdateResponse([outcome], secondsSince(startMs));
    });

  const nearest = (decode: (bytes: Uint8Array) => SearchRequest): RawUnaryHandler =>
    rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const request = decode(bytes);
      const found = await points.search(request.collection, request);
      tellSkipped(call, found.sealedSkipped);
      return encodeScoredResponse(found.points, secondsSince(startMs), new TimeSlices());
    });

  const nearestBatch = (decode: (bytes: Uint8Array) => SearchBatchRequest): RawUnaryHandler =>
    rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const { collection, searches } = decode(bytes);
      const found = await points.searchBatch(collection, searches, call.signal);
      tellSkipped(call, found.sealedSkipped);
      return encodeScoredBatchResponse(found.tables, secondsSince(startMs), new TimeSlices());
    });

  return bindService(Points, {
    upsert: rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const skimmed = call.metadata(publicKeyHeader) === undefined ? skimUpsertPoints(bytes) : undefined;
      if (skimmed !== undefined) {
        const written = await points.writeEncoded(skimmed.collection, skimmed.points, skimmed.wait, call.signal);
        if (written !== undefined) {
          releaseRequest(bytes);
          return encodeUpdateResponse([written], secondsSince(startMs));
        }
      }
      const request = await decodeUpsertPointsInSlices(bytes, new TimeSlices());
      const outcome = await points.write(
        request.collection,
        {
          kind: "upsert",
          points: request.points,
          publicKey: publicKeyOf(call, request.publicKey),
          freshEphemeral: request.freshEphemeral,
        },
        request.wait,
        call.signal,
      );
      return encodeUpdateResponse([outcome], secondsSince(startMs));
    }),
    delete: write(decodeDeletePoints),
    updateVectors: write(decodeUpdatePointVectors),
    deleteVectors: write(decodeDeletePointVectors),
    setPayload: write((bytes) => decodeSetPayloadPoints(bytes, false)),
    overwritePayload: write((bytes) => decodeSetPayloadPoints(bytes, true)),
    deletePayload: write(decodeDeletePayloadPoints),
    clearPayload: write(decodeClearPayloadPoints),
    updateBatch: rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const { collection, wait, operations } = decodeUpdateBatchPoints(bytes);
      const keyed = operations.map((operation) => withPublicKey(operation, call));
      const outcomes = await points.writeAll(collection, keyed, wait, call.signal);
      tellSkipped(
        call,
        outcomes.reduce((sum, outcome) => sum + outcome.sealedSkipped, 0),
      );
      return encodeUpdateResponse(outcomes, secondsSince(startMs));
    }),
    createFieldIndex: unary(async (message) => {
      const startMs = performance.now();
      const { collection, key, type, params, wait } = mapCreateFieldIndex(message);
      const { operationId, completed } = await points.createFieldIndex(collection, key, type, params, wait);
      return { result: { operationId, status: completed ? 2 : 1 }, time: secondsSince(startMs) };
    }),
    deleteFieldIndex: unary(async ({ collectionName, fieldName, wait, ordering }) => {
      const startMs = performance.now();
      checkOrdering(ordering);
      const { operationId, completed } = await points.deleteFieldIndex(collectionName, fieldName, wait ?? false);
      return { result: { operationId, status: completed ? 2 : 1 }, time: secondsSince(startMs) };
    }),
    get: rawUnary(async (bytes) => {
      const startMs = performance.now();
      const { collection, ids, payload, vectors } = decodeGetPoints(bytes);
      const table = await points.get(collection, ids, payload, vectors);
      return encodeGetResponse(table, secondsSince(startMs), new TimeSlices());
    }),
    search: nearest(decodeSearchPoints),
    searchBatch: nearestBatch(decodeSearchBatchPoints),
    query: nearest(decodeQueryPoints),
    queryBatch: nearestBatch(decodeQueryBatchPoints),
    scroll: rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const request = decodeScrollPoints(bytes);
      const page = await points.scroll(request.collection, request);
      tellSkipped(call, page.sealedSkipped);
      return encodeScrollResponse(page.points, page.nextOffset, secondsSince(startMs), new TimeSlices());
    }),
    count: unary(async ({ collectionName, filter, exact }, call) => {
      const startMs = performance.now();
      const { count, sealedSkipped } = await points.count(collectionName, mapFilter(filter), exact ?? true);
      tellSkipped(call, sealedSkipped);
      return { result: { count: BigInt(count) }, time: secondsSince(startMs) };
    }),
    createVectorName: unimplemented(later),
    deleteVectorName: unimplemented(later),
    searchGroups: unimplemented(later),
    recommend: unimplemented(later),
    recommendBatch: unimplemented(later),
    recommendGroups: unimplemented(later),
    discover: unimplemented(later),
    discoverBatch: unimplemented(later),
    queryGroups: unimplemented(later),
    facet: unimplemented(later),
    searchMatrixPairs: unimplemented(later),
    searchMatrixOffsets: unimplemented(later),
  });
}
