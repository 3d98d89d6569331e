/** Filters, policies and echoes through the generated code to core types and back. */
import { create, fromJsonString, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { CreateCollectionSchema, UpdateCollectionSchema } from "../../gen/qdrant/collections_pb.js";
import { type ConditionSchema, FilterSchema } from "../../gen/qdrant/qdrant_common_pb.js";
import { SealingPolicySchema } from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { DomainError, limits } from "../../src/core/index.ts";
import {
  mapCreateCollection,
  mapFilter,
  mapSealingPolicy,
  mapUpdateCollection,
  mergeEcho,
} from "../../src/wire/index.ts";

type ConditionInit = MessageInitShape<typeof ConditionSchema>;

function map(...must: ConditionInit[]) {
  return mapFilter(create(FilterSchema, { must }))?.must;
}

function field(value: object): ConditionInit {
  return { conditionOneOf: { case: "field", value: { key: "k", ...value } } } as ConditionInit;
}

function failure(run: () => unknown): DomainError {
  try {
    run();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("filters", () => {
  test("conditions of every kind", () => {
    expect(map(field({ match: { matchValue: { case: "integer", value: -5n } } }))).toEqual([
      { kind: "match_integer", key: "k", value: -5n },
    ]);
    expect(map(field({ match: { matchValue: { case: "exceptKeywords", value: { strings: ["a"] } } } }))).toEqual([
      { kind: "match_except_keywords", key: "k", values: ["a"] },
    ]);
    expect(map(field({ range: { gte: 1, lt: 2 } }))).toEqual([{ kind: "range", key: "k", bounds: { gte: 1, lt: 2 } }]);
    expect(map(field({ datetimeRange: { gt: { seconds: -1n, nanos: 500_000_999 } } }))).toEqual([
      { kind: "datetime_range", key: "k", bounds: { gt: -500_000n } },
    ]);
    expect(map(field({ valuesCount: { lte: 3n } }))).toEqual([{ kind: "values_count", key: "k", bounds: { lte: 3n } }]);
    expect(map(field({ isEmpty: true }))).toEqual([{ kind: "is_empty", key: "k" }]);
    expect(map(field({ isNull: false }))).toEqual([
      { kind: "filter", filter: { must: [], should: [], mustNot: [{ kind: "is_null", key: "k" }] } },
    ]);
    expect(map({ conditionOneOf: { case: "hasVector", value: { hasVector: "a" } } })).toEqual([
      { kind: "has_vector", name: "a" },
    ]);
    const uuid = { pointIdOptions: { case: "uuid" as const, value: "{00000000-0000-1000-8000-0000000000AB}" } };
    expect(map({ conditionOneOf: { case: "hasId", value: { hasId: [uuid] } } })).toEqual([
      { kind: "has_id", ids: ["00000000-0000-1000-8000-0000000000ab"] },
    ]);
    // Both halves of one field condition must hold.
    expect(map(field({ match: { matchValue: { case: "boolean", value: true } }, range: { gt: 0 } }))).toEqual([
      {
        kind: "filter",
        filter: {
          must: [
            { kind: "match_bool", key: "k", value: true },
            { kind: "range", key: "k", bounds: { gt: 0 } },
          ],
          should: [],
          mustNot: [],
        },
      },
    ]);
    expect(
      mapFilter(create(FilterSchema, { minShould: { conditions: [field({ isEmpty: true })], minCount: 1n << 63n } })),
    ).toEqual({
      must: [],
      should: [],
      mustNot: [],
      minShould: { conditions: [{ kind: "is_empty", key: "k" }], minCount: 0xffff_ffff },
    });
  });

  test.each([
    ["text", "match_text"],
    ["phrase", "match_phrase"],
    ["prefix", "match_prefix"],
    ["textAny", "match_text_any"],
  ] as const)("a %s match", (name, kind) => {
    expect(map(field({ match: { matchValue: { case: name, value: "a b" } } }))).toEqual([
      { kind, key: "k", text: "a b" },
    ]);
  });

  test("an empty condition, a bad place and a bad date are refused by name", () => {
    expect(failure(() => map(field({}))).details.field).toBe("filter.must[0]");
    expect(failure(() => map({})).kind).toBe("bad_input");
    const box = { topLeft: { lon: 181, lat: 0 }, bottomRight: { lon: 0, lat: 0 } };
    expect(failure(() => map(field({ geoBoundingBox: box }))).details.field).toBe(
      "filter.must[0].geo_bounding_box.top_left.lon",
    );
    const open = [0, 1, 2, 3].map((lon) => ({ lon, lat: 0 }));
    expect(failure(() => map(field({ geoPolygon: { exterior: { points: open } } }))).message).toMatch(/first point/);
    expect(failure(() => map(field({ geoRadius: { center: { lon: 0, lat: 0 }, radius: Number.NaN } }))).kind).toBe(
      "bad_input",
    );
    expect(failure(() => map(field({ datetimeRange: { lt: { seconds: 1n << 60n } } }))).details.field).toBe(
      "filter.must[0].datetime_range.lt",
    );
  });

  test("depth and number of conditions are bounded", () => {
    let filter: MessageInitShape<typeof FilterSchema> = {};
    for (let i = 1; i < limits.filterDepthMax; i++) {
      filter = { must: [{ conditionOneOf: { case: "filter", value: filter } }] };
    }
    const deepest = filter;
    expect(mapFilter(create(FilterSchema, deepest))).toBeDefined();
    const deeper = { must: [{ conditionOneOf: { case: "filter" as const, value: deepest } }] };
    expect(failure(() => mapFilter(create(FilterSchema, deeper))).message).toMatch(/nested deeper than 32/);
    const many = Array.from({ length: limits.filterConditionsMax }, () => field({ isNull: true }));
    expect(map(...many)).toHaveLength(limits.filterConditionsMax);
    expect(failure(() => map(...many, field({ isNull: true }))).message).toMatch(/more than 10000 conditions/);
  });
});

describe("policies and echoes", () => {
  test("an unknown mode or algorithm is never taken for another", () => {
    const map = (init: object) => mapSealingPolicy(create(SealingPolicySchema, init), "policy");
    expect(map({}).mode).toBe("optional");
    expect(map({ mode: 1 }).mode).toBe("off");
    expect(map({ mode: 3, clearFields: ["a"], padding: true })).toMatchObject({
      mode: "required",
      clearFields: ["a"],
      padding: true,
    });
    expect(failure(() => map({ mode: 9 })).details.field).toBe("policy.mode");
    expect(failure(() => map({ algorithm: 9 })).details.field).toBe("policy.algorithm");
    expect(failure(() => map({ recipients: Array(17).fill("x") })).details.field).toBe("policy.recipients");
  });

  test("an update merges into what the collection was made with", () => {
    const echo = JSON.stringify({
      hnswConfig: { payloadM: "8" },
      quantizationConfig: { scalar: { type: "Int8" } },
      replicationFactor: 1,
    });
    const update = create(UpdateCollectionSchema, {
      collectionName: "x",
      timeout: 3n,
      hnswConfig: { m: 4n },
      params: { replicationFactor: 2 },
      quantizationConfig: { quantization: { case: "binary", value: {} } },
    });
    expect(JSON.parse(mergeEcho(echo, update))).toEqual({
      hnswConfig: { payloadM: "8", m: "4" },
      quantizationConfig: { binary: {} },
      replicationFactor: 2,
    });
    const other = create(UpdateCollectionSchema, {
      vectorsConfig: { config: { case: "paramsMap", value: { map: { "": { onDisk: true } } } } },
      optimizersConfig: { maxOptimizationThreads: { variant: { case: "setting", value: 0 } } },
      metadata: {
        kind: { kind: { case: "integerValue", value: 1n } },
        gone: { kind: { case: "nullValue", value: 0 } },
      },
    });
    const made = create(CreateCollectionSchema, {
      vectorsConfig: { config: { case: "params", value: { size: 4n, distance: 1 } } },
      optimizersConfig: { maxOptimizationThreads: { variant: { case: "value", value: 2n } } },
      metadata: {
        kind: { kind: { case: "stringValue", value: "a" } },
        gone: { kind: { case: "boolValue", value: true } },
        kept: { kind: { case: "doubleValue", value: 1 } },
      },
    });
    const merged = mergeEcho(JSON.stringify(toJson(CreateCollectionSchema, made)), other);
    expect(toJson(CreateCollectionSchema, fromJsonString(CreateCollectionSchema, merged))).toEqual({
      vectorsConfig: { params: { size: "4", distance: "Cosine", onDisk: true } },
      optimizersConfig: { maxOptimizationThreads: { setting: "Auto" } },
      metadata: { kind: { integerValue: "1" }, kept: { doubleValue: 1 } },
    });
    const disabled = create(UpdateCollectionSchema, {
      quantizationConfig: { quantization: { case: "disabled", value: {} } },
    });
    expect(JSON.parse(mergeEcho(echo, disabled))).toEqual({ hnswConfig: { payloadM: "8" }, replicationFactor: 1 });
  });
});

describe("optimizers_config and hnsw_config", () => {
  const made = (optimizersConfig: object, hnswConfig: object = {}) =>
    mapCreateCollection(create(CreateCollectionSchema, { collectionName: "c", optimizersConfig, hnswConfig })).config;

  test("what changes how graphs are built", () => {
    const config = made(
      {
        deletedThreshold: 0.5,
        vacuumMinVectorNumber: 200n,
        defaultSegmentNumber: 3n,
        maxSegmentSize: 50_000n,
        maxOptimizationThreads: { variant: { case: "value", value: 0n } },
        preventUnoptimized: true,
      },
      { m: 0n, payloadM: 8n, maxIndexingThreads: 2n },
    );
    expect(config.optimizers).toEqual({
      deletedThreshold: 0.5,
      vacuumMinVectorNumber: 200,
      defaultSegmentNumber: 3,
      maxSegmentSize: 50_000,
      maxOptimizationThreads: 0,
      preventUnoptimized: true,
    });
    expect(config.hnsw).toMatchObject({ m: 0, payloadM: 8, maxIndexingThreads: 2 });
    const auto = { maxOptimizationThreads: { variant: { case: "setting", value: 0 } } } as const;
    const { change } = mapUpdateCollection(
      create(UpdateCollectionSchema, { collectionName: "c", optimizersConfig: auto }),
    );
    expect(change.optimizers).toEqual({ maxOptimizationThreads: undefined });
  });

  test.each([
    ["deleted_threshold", { deletedThreshold: 1.5 }, "value 1.5 invalid, must be from 0.0 to 1.0"],
    ["deleted_threshold", { deletedThreshold: 2 }, "value 2.0 invalid, must be from 0.0 to 1.0"],
    ["vacuum_min_vector_number", { vacuumMinVectorNumber: 99n }, "value 99 invalid, must be 100 or larger"],
  ])("a bad %s is named", (field, config, text) => {
    const error = failure(() => made(config));
    expect(error.message).toBe(`Validation error in body: [optimizers_config.${field}: ${text}]`);
    expect(error.details).toEqual({ field: `optimizers_config.${field}` });
  });
});
