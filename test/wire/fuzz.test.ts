/** Our reader against the generated code: the same messages in every encoding, and damaged ones. SEED replays a run. */
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Value } from "../../gen/qdrant/json_with_int_pb.js";
import {
  GetPointsSchema,
  QueryPointsSchema,
  ScrollPointsSchema,
  SearchBatchPointsSchema,
  SearchPointsSchema,
  type UpsertPoints,
  UpsertPointsSchema,
  type WithPayloadSelector,
  type WithVectorsSelector,
} from "../../gen/qdrant/points_pb.js";
import { BulkUpsertRequestSchema } from "../../gen/sealpoint/v1/ingest_pb.js";
import { DomainError, type QueryRequest } from "../../src/core/index.ts";
import {
  decodeBulkUpsertRequest,
  decodeGetPoints,
  decodePayload,
  decodeQueryPoints,
  decodeScrollPoints,
  decodeSearchBatchPoints,
  decodeSearchPoints,
  decodeUpsertPoints,
  mapFilter,
  mapQuery,
  mapSearch,
  type SearchRequest,
  toUniversal,
  type WirePoint,
  type WireQuery,
} from "../../src/wire/index.ts";
import {
  arbitraryFloats,
  arbitraryPayload,
  arbitraryPointId,
  arbitraryQuantization,
  arbitraryText,
  arbitraryVectors,
  damage,
  idOf,
  makeRandom,
  ourVector,
  plainQuantization,
  plainVector,
  reencode,
  seed,
} from "./fuzz-support.ts";

const numRuns = Number(process.env.FUZZ_RUNS ?? 300);
// Shrinking a large failing message must not take minutes.
const interruptAfterTimeLimit = 20_000;

// ---- what the generated code says, mapped in the plainest way

function plainValue(value: Value | undefined): unknown {
  switch (value?.kind.case) {
    case "structValue":
      return plainFields(value.kind.value.fields);
    case "listValue":
      return value.kind.value.values.map(plainValue);
    case "nullValue":
    case undefined:
      return null;
    default:
      return value?.kind.value;
  }
}

function plainFields(fields: Record<string, Value>): Map<string, unknown> {
  return new Map(
    Object.entries(fields)
      .map(([key, value]) => [key, plainValue(value)] as const)
      .sort(byKey),
  );
}

function byKey(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : 1;
}

function plainObject(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainObject);
  if (typeof value !== "object" || value === null) return value;
  return new Map(
    Object.entries(value)
      .map(([key, inner]) => [key, plainObject(inner)] as const)
      .sort(byKey),
  );
}

function plainPoints(message: Pick<UpsertPoints, "points">): unknown[] {
  return message.points.map((point) => {
    const one = point.vectors?.vectorsOptions;
    const named =
      one?.case === "vector"
        ? [["", plainVector(one.value)] as const]
        : one?.case === "vectors"
          ? Object.entries(one.value.vectors).map(([name, vector]) => [name, plainVector(vector)] as const)
          : [];
    return {
      id: idOf(point.id),
      payload: plainFields(point.payload),
      vectors: new Map([...named].sort(byKey)),
      publicKey: point.publicKey,
    };
  });
}

function ourPoints(points: readonly WirePoint[]): unknown[] {
  return points.map((point) => ({
    id: point.id,
    payload: plainObject(decodePayload(point.payload)),
    vectors: new Map(point.vectors.map(([name, vector]) => [name, ourVector(vector)] as const).sort(byKey)),
    publicKey: point.publicKey,
  }));
}

function plainPayloadSelector(selector: WithPayloadSelector | undefined, absent: "all" | "none"): unknown {
  const one = selector?.selectorOptions;
  if (one?.case === "enable") return { kind: one.value ? "all" : "none" };
  if (one?.case === "include" || one?.case === "exclude") return { kind: one.case, keys: one.value.fields };
  return { kind: absent };
}

function plainVectorsSelector(selector: WithVectorsSelector | undefined): unknown {
  const one = selector?.selectorOptions;
  if (one?.case === "enable") return { kind: one.value ? "all" : "none" };
  if (one?.case === "include") return { kind: "names", names: one.value.names };
  return { kind: "none" };
}

function isPlain({ prefetch, query, lookupFrom, params }: QueryRequest): boolean {
  const vector = query?.kind === "nearest" && query.mmr === undefined ? query.vector : undefined;
  const plainVector = vector === undefined || vector instanceof Float32Array || "pointId" in vector;
  const plainQuery = query === undefined || (vector !== undefined && plainVector);
  const plainParams = params.quantization === undefined && params.idfCorpus === undefined;
  return prefetch.length === 0 && lookupFrom === undefined && plainQuery && plainParams;
}

/** Damage can make a prefetch of other bytes, which is not what is compared here. */
class HasPrefetch extends Error {}

/** Odd encodings come as universal queries, which say the same. */
function ourSearch(given: SearchRequest | WireQuery): unknown {
  const { query, prefetch, params, using, filter, limit, offset, scoreThreshold, payload, vectors } =
    toUniversal(given);
  if (prefetch.length > 0) throw new HasPrefetch();
  const vector = query?.kind === "nearest" ? query.vector : undefined;
  const { hnswEf, exact, indexedOnly } = params;
  return {
    collection: given.collection,
    using,
    vector: vector instanceof Float32Array ? [...vector] : vector,
    filter,
    limit,
    offset,
    scoreThreshold,
    payload,
    vectors,
    hnswEf,
    exact,
    indexedOnly,
  };
}

function plainSearch(message: MessageShape<typeof SearchPointsSchema>): unknown {
  // What no plain search can say is read by one code only.
  const odd = mapSearch(message);
  if (!isPlain(odd.request)) return ourSearch(odd);
  return {
    collection: message.collectionName,
    using: message.vectorName ?? "",
    vector: [...message.vector],
    filter: mapFilter(message.filter),
    limit: Number(message.limit),
    offset: Number(message.offset ?? 0n),
    scoreThreshold: message.scoreThreshold,
    payload: plainPayloadSelector(message.withPayload, "none"),
    vectors: plainVectorsSelector(message.withVectors),
    hnswEf: message.params?.hnswEf === undefined ? undefined : Number(message.params.hnswEf),
    exact: message.params?.exact,
    indexedOnly: message.params?.indexedOnly,
    ...plainQuantization(message.params?.quantization),
  };
}

function plainQuery(message: MessageShape<typeof QueryPointsSchema>): unknown {
  const odd = mapQuery(message);
  if (!isPlain(odd.request)) return ourSearch(odd);
  const variant = message.query?.variant;
  const input = variant?.case === "nearest" ? variant.value.variant : undefined;
  return {
    collection: message.collectionName,
    using: message.using ?? "",
    vector:
      input?.case === "dense"
        ? [...input.value.data]
        : input?.case === "id"
          ? { pointId: idOf(input.value) }
          : undefined,
    filter: mapFilter(message.filter),
    limit: Number(message.limit ?? 10n),
    offset: Number(message.offset ?? 0n),
    scoreThreshold: message.scoreThreshold,
    payload: plainPayloadSelector(message.withPayload, "none"),
    vectors: plainVectorsSelector(message.withVectors),
    hnswEf: message.params?.hnswEf === undefined ? undefined : Number(message.params.hnswEf),
    exact: message.params?.exact,
    indexedOnly: message.params?.indexedOnly,
    ...plainQuantization(message.params?.quantization),
  };
}

// ---- random messages

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const point = fc.record({
  id: arbitraryPointId,
  payload: arbitraryPayload,
  vectors: optional(arbitraryVectors),
  publicKey: optional(arbitraryText),
});
const upsert = fc.record({
  collectionName: arbitraryText,
  wait: optional(fc.boolean()),
  points: fc.array(point, { maxLength: 4 }),
  ordering: optional(fc.constant({ type: 1 })),
  timeout: optional(fc.bigInt({ min: 0n, max: 1n << 40n })),
  updateMode: optional(fc.constant(0)),
  publicKey: optional(arbitraryText),
  freshEphemeral: optional(fc.boolean()),
});
const payloadSelector = fc.oneof(
  fc.boolean().map((value) => ({ selectorOptions: { case: "enable" as const, value } })),
  fc.array(arbitraryText).map((fields) => ({ selectorOptions: { case: "include" as const, value: { fields } } })),
  fc.array(arbitraryText).map((fields) => ({ selectorOptions: { case: "exclude" as const, value: { fields } } })),
);
const vectorsSelector = fc.oneof(
  fc.boolean().map((value) => ({ selectorOptions: { case: "enable" as const, value } })),
  fc.array(arbitraryText).map((names) => ({ selectorOptions: { case: "include" as const, value: { names } } })),
);
const condition = fc.oneof(
  fc.record({ key: arbitraryText.map((key) => `k${key}`), value: arbitraryText }).map(({ key, value }) => ({
    conditionOneOf: {
      case: "field" as const,
      value: { key, match: { matchValue: { case: "keyword" as const, value } } },
    },
  })),
  fc.array(arbitraryPointId, { maxLength: 3 }).map((hasId) => ({
    conditionOneOf: { case: "hasId" as const, value: { hasId } },
  })),
);
const filter = fc.record({
  must: fc.array(condition, { maxLength: 2 }),
  mustNot: fc.array(condition, { maxLength: 2 }),
});
const params = fc.record({
  hnswEf: optional(fc.bigInt({ min: 0n, max: 5_000n })),
  exact: optional(fc.boolean()),
  indexedOnly: optional(fc.boolean()),
  quantization: optional(arbitraryQuantization),
});
const count = fc.bigInt({ min: 0n, max: 1n << 40n });
const float = fc.float({ noNaN: true });
const search = fc.record({
  collectionName: arbitraryText,
  vector: arbitraryFloats,
  filter: optional(filter),
  limit: count,
  withPayload: optional(payloadSelector),
  params: optional(params),
  scoreThreshold: optional(float),
  offset: optional(count),
  vectorName: optional(arbitraryText),
  withVectors: optional(vectorsSelector),
  readConsistency: optional(fc.constant({ value: { case: "factor" as const, value: 2n } })),
  timeout: optional(count),
});
const nearest = fc
  .oneof(
    arbitraryFloats.map((data) => ({ variant: { case: "dense" as const, value: { data } } })),
    arbitraryPointId.map((value) => ({ variant: { case: "id" as const, value } })),
  )
  .map((value) => ({ variant: { case: "nearest" as const, value } }));
const query = fc.record({
  collectionName: arbitraryText,
  query: optional(nearest),
  using: optional(arbitraryText),
  filter: optional(filter),
  params: optional(params),
  scoreThreshold: optional(float),
  limit: optional(count),
  offset: optional(count),
  withVectors: optional(vectorsSelector),
  withPayload: optional(payloadSelector),
  timeout: optional(count),
});
const scroll = fc.record({
  collectionName: arbitraryText,
  filter: optional(filter),
  offset: optional(arbitraryPointId),
  limit: optional(fc.nat()),
  withPayload: optional(payloadSelector),
  withVectors: optional(vectorsSelector),
});
const get = fc.record({
  collectionName: arbitraryText,
  ids: fc.array(arbitraryPointId, { maxLength: 5 }),
  withPayload: optional(payloadSelector),
  withVectors: optional(vectorsSelector),
});
const bulk = fc.oneof(
  fc
    .record({
      collectionName: arbitraryText,
      streamId: arbitraryText,
      publicKey: optional(arbitraryText),
      freshEphemeral: fc.boolean(),
    })
    .map((value) => ({ message: { case: "start" as const, value } })),
  fc
    .record({ sequence: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), points: fc.array(point, { maxLength: 4 }) })
    .map((value) => ({ message: { case: "chunk" as const, value } })),
);

interface Case<S extends DescMessage> {
  readonly name: string;
  readonly schema: S;
  readonly arbitrary: fc.Arbitrary<unknown>;
  readonly ours: (bytes: Uint8Array) => unknown;
  readonly plain: (message: MessageShape<S>) => unknown;
}

function defineCase<S extends DescMessage>(one: Case<S>): Case<DescMessage> {
  return one as unknown as Case<DescMessage>;
}

const cases = [
  defineCase({
    name: "UpsertPoints",
    schema: UpsertPointsSchema,
    arbitrary: upsert,
    ours: (bytes) => {
      const { release: _, ...request } = decodeUpsertPoints(bytes);
      return { ...request, points: ourPoints(request.points) };
    },
    plain: (message) => ({
      collection: message.collectionName,
      wait: message.wait ?? false,
      points: plainPoints(message),
      publicKey: message.publicKey,
      freshEphemeral: message.freshEphemeral ?? false,
    }),
  }),
  defineCase({
    name: "BulkUpsertRequest",
    schema: BulkUpsertRequestSchema,
    arbitrary: bulk,
    ours: (bytes) => {
      const request = decodeBulkUpsertRequest(bytes);
      if (request?.kind !== "chunk") return request;
      const [refused] = request.refused;
      if (refused !== undefined) throw refused.error;
      return { kind: "chunk", sequence: request.sequence, points: ourPoints(request.points) };
    },
    plain: ({ message }) => {
      if (message.case === undefined) return undefined;
      if (message.case === "chunk") {
        return { kind: "chunk", sequence: message.value.sequence, points: plainPoints(message.value) };
      }
      const { collectionName, streamId, publicKey, freshEphemeral } = message.value;
      return { kind: "start", collection: collectionName, streamId, publicKey, freshEphemeral };
    },
  }),
  defineCase({
    name: "SearchPoints",
    schema: SearchPointsSchema,
    arbitrary: search,
    ours: (bytes) => ourSearch(decodeSearchPoints(bytes)),
    plain: plainSearch,
  }),
  defineCase({
    name: "SearchBatchPoints",
    schema: SearchBatchPointsSchema,
    arbitrary: fc.record({
      collectionName: fc.constant("c"),
      searchPoints: fc.array(
        search.map((one) => ({ ...one, collectionName: "c" })),
        { maxLength: 3 },
      ),
    }),
    ours: (bytes) => {
      const batch = decodeSearchBatchPoints(bytes);
      return { collection: batch.collection, searches: batch.searches.map(ourSearch) };
    },
    plain: (message) => ({ collection: message.collectionName, searches: message.searchPoints.map(plainSearch) }),
  }),
  defineCase({
    name: "QueryPoints",
    schema: QueryPointsSchema,
    arbitrary: query,
    ours: (bytes) => ourSearch(decodeQueryPoints(bytes)),
    plain: plainQuery,
  }),
  defineCase({
    name: "ScrollPoints",
    schema: ScrollPointsSchema,
    arbitrary: scroll,
    ours: decodeScrollPoints,
    plain: (message) => ({
      collection: message.collectionName,
      filter: mapFilter(message.filter),
      offset: idOf(message.offset),
      limit: message.limit ?? 10,
      payload: plainPayloadSelector(message.withPayload, "all"),
      vectors: plainVectorsSelector(message.withVectors),
    }),
  }),
  defineCase({
    name: "GetPoints",
    schema: GetPointsSchema,
    arbitrary: get,
    ours: decodeGetPoints,
    plain: (message) => ({
      collection: message.collectionName,
      ids: message.ids.map(idOf),
      payload: plainPayloadSelector(message.withPayload, "none"),
      vectors: plainVectorsSelector(message.withVectors),
    }),
  }),
];

/**
 * Payload bytes are checked by whoever reads them (wire/payload.ts, and the addon at the write) and have tests of their own;
 * damage that makes a payload out of something else is left to those.
 */
function hasPayload(value: unknown): boolean {
  if (typeof value !== "object" || value === null || !("points" in value)) return false;
  return (value.points as { payload: Map<string, unknown> }[]).some(({ payload }) => payload.size > 0);
}

function withoutPayloads(init: unknown): unknown {
  if (typeof init !== "object" || init === null) return init;
  if ("message" in init) {
    const { message } = init as { message: { case: string; value: unknown } };
    return { message: { ...message, value: withoutPayloads(message.value) } };
  }
  if (!("points" in init)) return init;
  return { ...init, points: (init.points as object[]).map((point) => ({ ...point, payload: {} })) };
}

function attempt<T>(run: () => T): { value: T } | { error: unknown } {
  try {
    return { value: run() };
  } catch (error) {
    return { error };
  }
}

describe(`hot readers against the generated code (seed ${seed})`, () => {
  for (const { name, schema, arbitrary, ours, plain } of cases) {
    test(`${name}: every encoding of a message reads the same`, () => {
      fc.assert(
        fc.property(arbitrary, fc.nat(), (init, form) => {
          const canonical = toBinary(schema, create(schema, init as never));
          const bytes = reencode(schema, canonical, makeRandom(form));
          const expected = plain(fromBinary(schema, bytes, { recursionLimit: 1_000 }));
          expect(ours(canonical)).toEqual(plain(fromBinary(schema, canonical, { recursionLimit: 1_000 })));
          expect(ours(bytes)).toEqual(expected);
        }),
        { seed, numRuns, interruptAfterTimeLimit },
      );
    });

    test(`${name}: damaged bytes are read alike or refused as bad input`, () => {
      fc.assert(
        fc.property(arbitrary, fc.nat(), (init, form) => {
          const random = makeRandom(form);
          const bytes = damage(toBinary(schema, create(schema, withoutPayloads(init) as never)), random);
          const mine = attempt(() => ours(bytes));
          if ("error" in mine) {
            if (mine.error instanceof HasPrefetch) return;
            expect(mine.error).toBeInstanceOf(DomainError);
            expect(["bad_input", "unimplemented"]).toContain((mine.error as DomainError).kind);
            return;
          }
          if (hasPayload(mine.value)) return;
          // What ours reads the generated code reads too, and to the same.
          const expected = plain(fromBinary(schema, bytes, { recursionLimit: 1_000 }));
          expect(mine.value).toEqual(expected);
        }),
        { seed, numRuns: numRuns * 3, interruptAfterTimeLimit },
      );
    });
  }
});
