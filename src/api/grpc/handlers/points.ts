/** qdrant.Points. The hot RPCs read and write their bytes themselves. */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import {
  DiscoverBatchPointsSchema,
  DiscoverPointsSchema,
  FacetCountsSchema,
  QueryPointGroupsSchema,
  RecommendBatchPointsSchema,
  RecommendPointGroupsSchema,
  RecommendPointsSchema,
  SearchPointGroupsSchema,
} from "../../../../gen/qdrant/points_pb.js";
import { Points } from "../../../../gen/qdrant/points_service_pb.js";
import type { GroupsRequest } from "../../../core/index.ts";
import { TimeSlices } from "../../../seal/index.ts";
import type { PointsService, QueriesService, UpdateOutcome } from "../../../services/index.ts";
import {
  checkBatchCollection,
  checkOrdering,
  decodeClearPayloadPoints,
  decodeDeletePayloadPoints,
  decodeDeletePoints,
  decodeDeletePointVectors,
  decodeGetPoints,
  decodeMessage,
  decodeQueryBatchPoints,
  decodeQueryPoints,
  decodeScrollPoints,
  decodeSearchBatchPoints,
  decodeSearchPoints,
  decodeSetPayloadPoints,
  decodeUpdateBatchPoints,
  decodeUpdatePointVectors,
  decodeUpsertPointsInSlices,
  encodeFacetResponse,
  encodeGetResponse,
  encodeGroupsResponse,
  encodeScoredBatchResponse,
  encodeScoredResponse,
  encodeScrollResponse,
  encodeUpdateResponse,
  mapCreateFieldIndex,
  mapCreateVectorName,
  mapDeleteVectorName,
  mapDiscover,
  mapFacet,
  mapFilter,
  mapMatrix,
  mapQueryGroups,
  mapRecommend,
  mapRecommendGroups,
  mapSearchGroups,
  type SearchBatchRequest,
  type SearchRequest,
  skimUpsertPoints,
  toMatrixOffsets,
  toMatrixPairs,
  toUniversal,
  updateStatus,
  type WireQuery,
  type WriteRequest,
  withUsage,
} from "../../../wire/index.ts";

import { bindService, type RawUnaryHandler, rawUnary, type ServiceBinding, unary } from "../call.ts";
import { releaseRequest } from "../receive.ts";
import { publicKeyOf, secondsSince, tellSkipped, withPublicKey } from "./common.ts";

/** Of all writes of a batch. */
function sumUsage(outcomes: readonly UpdateOutcome[]): ReadonlyMap<string, number> | undefined {
  if (outcomes.every(({ usage }) => usage === undefined)) return undefined;
  const sum = new Map<string, number>();
  for (const { usage } of outcomes) {
    for (const [model, tokens] of usage ?? []) sum.set(model, (sum.get(model) ?? 0) + tokens);
  }
  return sum;
}

const readUpsert = (bytes: Uint8Array) => decodeUpsertPointsInSlices(bytes, new TimeSlices());
type UpsertRequest = Awaited<ReturnType<typeof readUpsert>>;

/** qdrant.UpdateResult */
function updateResult(outcome: UpdateOutcome) {
  return { operationId: outcome.operationId, status: updateStatus(outcome) };
}

export function bindPoints(points: PointsService, queries: QueriesService): ServiceBinding {
  const write = (decode: (bytes: Uint8Array) => WriteRequest): RawUnaryHandler =>
    rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const { collection, wait, operation } = decode(bytes);
      const outcome = await points.write(collection, withPublicKey(operation, call), wait, call);
      tellSkipped(call, outcome.sealedSkipped);
      return withUsage(encodeUpdateResponse([outcome], secondsSince(startMs)), outcome.usage);
    });

  const find = (decode: (bytes: Uint8Array) => SearchRequest | WireQuery): RawUnaryHandler =>
    rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const request = decode(bytes);
      const found =
        "request" in request
          ? await queries.query(request.collection, request.request, call)
          : await points.search(request.collection, request, call);
      tellSkipped(call, found.sealedSkipped);
      return withUsage(await encodeScoredResponse(found.points, secondsSince(startMs), new TimeSlices()), found.usage);
    });

  const findBatch = (decode: (bytes: Uint8Array) => SearchBatchRequest): RawUnaryHandler =>
    rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const { collection, searches } = decode(bytes);
      const plain = searches.filter((search): search is SearchRequest => !("request" in search));
      const found: Awaited<ReturnType<QueriesService["queryBatch"]>> =
        plain.length === searches.length
          ? await points.searchBatch(collection, plain, call)
          : await queries.queryBatch(collection, searches.map(toUniversal), call);
      tellSkipped(call, found.sealedSkipped);
      return withUsage(
        await encodeScoredBatchResponse(found.tables, secondsSince(startMs), new TimeSlices()),
        found.usage,
      );
    });

  /** Calls that are no hot path: decoded by the generated code, answered in the same shapes. */
  const one = <S extends DescMessage>(schema: S, map: (message: MessageShape<S>) => WireQuery): RawUnaryHandler =>
    find((bytes) => map(decodeMessage(schema, bytes)));

  const many = <S extends DescMessage>(
    schema: S,
    field: string,
    map: (message: MessageShape<S>) => readonly [collection: string, queries: readonly WireQuery[]],
  ): RawUnaryHandler =>
    findBatch((bytes) => {
      const [collection, searches] = map(decodeMessage(schema, bytes));
      searches.forEach((search, i) => {
        checkBatchCollection(collection, search.collection, `${field}[${i}]`);
      });
      return { collection, searches };
    });

  const groups = <S extends DescMessage>(
    schema: S,
    map: (message: MessageShape<S>) => WireQuery<GroupsRequest>,
  ): RawUnaryHandler =>
    rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const { collection, request } = map(decodeMessage(schema, bytes));
      const found = await queries.queryGroups(collection, request, call);
      tellSkipped(call, found.sealedSkipped);
      return withUsage(await encodeGroupsResponse(found.groups, secondsSince(startMs), new TimeSlices()), found.usage);
    });

  return bindService(Points, {
    upsert: rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const skimmed = skimUpsertPoints(bytes);
      // What cannot be skimmed is read now, and so refused before it waits for anything.
      let whole = skimmed === undefined ? await readUpsert(bytes) : undefined;
      const { collection, wait, publicKey, freshEphemeral } = skimmed ?? (whole as UpsertRequest);
      const key = publicKeyOf(call, publicKey);
      const outcome = await points.upsert(
        collection,
        {
          encoded: skimmed && { ...skimmed.points, publicKey: key, freshEphemeral },
          read: async () => {
            whole ??= await readUpsert(bytes);
            return { kind: "upsert", points: whole.points, condition: whole.condition, publicKey: key, freshEphemeral };
          },
          release: (sealed) => {
            whole?.release();
            releaseRequest(bytes, sealed);
          },
        },
        wait,
        call,
      );
      return withUsage(encodeUpdateResponse([outcome], secondsSince(startMs)), outcome.usage);
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
      if (operations.length === 0) call.leaveOutCollection();
      const keyed = operations.map((operation) => withPublicKey(operation, call));
      const outcomes = await points.writeAll(collection, keyed, wait, call);
      tellSkipped(
        call,
        outcomes.reduce((sum, outcome) => sum + outcome.sealedSkipped, 0),
      );
      return withUsage(encodeUpdateResponse(outcomes, secondsSince(startMs)), sumUsage(outcomes));
    }),
    createFieldIndex: unary(async (message, call) => {
      const startMs = performance.now();
      const { collection, key, type, params, wait } = mapCreateFieldIndex(message);
      const outcome = await points.createFieldIndex(collection, key, type, params, wait, call);
      return { result: updateResult(outcome), time: secondsSince(startMs) };
    }),
    deleteFieldIndex: unary(async ({ collectionName, fieldName, wait, ordering }, call) => {
      const startMs = performance.now();
      checkOrdering(ordering);
      const outcome = await points.deleteFieldIndex(collectionName, fieldName, wait ?? false, call);
      return { result: updateResult(outcome), time: secondsSince(startMs) };
    }),
    get: rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const { collection, ids, payload, vectors } = decodeGetPoints(bytes);
      const table = await points.get(collection, ids, payload, vectors, call);
      return encodeGetResponse(table, secondsSince(startMs), new TimeSlices());
    }),
    search: find(decodeSearchPoints),
    searchBatch: findBatch(decodeSearchBatchPoints),
    query: find(decodeQueryPoints),
    queryBatch: findBatch(decodeQueryBatchPoints),
    scroll: rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const request = decodeScrollPoints(bytes);
      const page = await points.scroll(request.collection, request, call);
      tellSkipped(call, page.sealedSkipped);
      return encodeScrollResponse(page.points, page.nextOffset, secondsSince(startMs), new TimeSlices());
    }),
    count: unary(async ({ collectionName, filter, exact }, call) => {
      const startMs = performance.now();
      const { count, sealedSkipped } = await points.count(collectionName, mapFilter(filter), exact ?? true, call);
      tellSkipped(call, sealedSkipped);
      return { result: { count: BigInt(count) }, time: secondsSince(startMs) };
    }),
    createVectorName: unary(async (message, call) => {
      const startMs = performance.now();
      const { collection, name, definition, echo, wait } = mapCreateVectorName(message);
      const outcome = await points.createVectorName(collection, name, definition, echo, wait, call);
      return { result: updateResult(outcome), time: secondsSince(startMs) };
    }),
    deleteVectorName: unary(async (message, call) => {
      const startMs = performance.now();
      const { collection, name, echo, wait } = mapDeleteVectorName(message);
      const outcome = await points.deleteVectorName(collection, name, echo, wait, call);
      return { result: updateResult(outcome), time: secondsSince(startMs) };
    }),
    searchGroups: groups(SearchPointGroupsSchema, mapSearchGroups),
    recommend: one(RecommendPointsSchema, mapRecommend),
    recommendBatch: many(RecommendBatchPointsSchema, "recommend_points", (message) => [
      message.collectionName,
      message.recommendPoints.map(mapRecommend),
    ]),
    recommendGroups: groups(RecommendPointGroupsSchema, mapRecommendGroups),
    discover: one(DiscoverPointsSchema, mapDiscover),
    discoverBatch: many(DiscoverBatchPointsSchema, "discover_points", (message) => [
      message.collectionName,
      message.discoverPoints.map(mapDiscover),
    ]),
    queryGroups: groups(QueryPointGroupsSchema, mapQueryGroups),
    facet: rawUnary(async (bytes, call) => {
      const startMs = performance.now();
      const { collection, request } = mapFacet(decodeMessage(FacetCountsSchema, bytes));
      const found = await queries.facet(collection, request, call);
      tellSkipped(call, found.sealedSkipped);
      return encodeFacetResponse(found.hits.wire, secondsSince(startMs));
    }),
    searchMatrixPairs: unary(async (message, call) => {
      const startMs = performance.now();
      const { collection, request } = mapMatrix(message);
      const found = await queries.matrix(collection, request, call);
      tellSkipped(call, found.sealedSkipped);
      return { result: toMatrixPairs(found), time: secondsSince(startMs) };
    }),
    searchMatrixOffsets: unary(async (message, call) => {
      const startMs = performance.now();
      const { collection, request } = mapMatrix(message);
      const found = await queries.matrix(collection, request, call);
      tellSkipped(call, found.sealedSkipped);
      return { result: toMatrixOffsets(found), time: secondsSince(startMs) };
    }),
  });
}
