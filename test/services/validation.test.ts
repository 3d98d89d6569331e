/** What Qdrant's validator refuses over gRPC before anything is looked for. */
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Fusion } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { startTestServer, type TestServer } from "./server.ts";

const collectionName = "validated";
const points = Points.method;
const collections = Collections.method;
const vectorsConfig = { config: { case: "params" as const, value: { size: 2n, distance: Distance.Dot } } };
const num = (value: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(value) } });
const dense = (...data: number[]) => ({
  vectorsOptions: { case: "vector" as const, value: { vector: { case: "dense" as const, value: { data } } } },
});

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await server.call(collections.create, { collectionName, vectorsConfig });
  const given = [1, 2].map((id) => ({ id: num(id), vectors: dense(id, 1) }));
  await server.call(points.upsert, { collectionName, wait: true, points: given });
});
afterAll(() => server.close());

async function refused(call: Promise<unknown>, field: string, text: string): Promise<void> {
  const error = await call.then(
    () => undefined,
    (thrown: { readonly code: number; readonly details: string }) => thrown,
  );
  expect([error?.code, error?.details]).toEqual([
    status.INVALID_ARGUMENT,
    `Validation error in body: [${field}: ${text}]`,
  ]);
}

const least = (min: number, value = 0) => `value ${value} invalid, must be ${min} or larger`;

test.each([
  ["shard_number", { shardNumber: 0 }, least(1)],
  ["replication_factor", { replicationFactor: 0 }, least(1)],
  ["write_consistency_factor", { writeConsistencyFactor: 0 }, least(1)],
  ["wal_config.wal_capacity_mb", { walConfig: { walCapacityMb: 0n } }, least(1)],
  ["optimizers_config.vacuum_min_vector_number", { optimizersConfig: { vacuumMinVectorNumber: 9n } }, least(100, 9)],
  [
    "optimizers_config.deleted_threshold",
    { optimizersConfig: { deletedThreshold: 1.5 } },
    "value 1.5 invalid, must be from 0.0 to 1.0",
  ],
  [
    "strict_mode_config.sparse_config.max_length",
    { strictModeConfig: { sparseConfig: { sparseConfig: { a: { maxLength: 0n } } } } },
    least(1),
  ],
])("a collection's %s", async (field, config, text) => {
  await refused(server.call(collections.create, { collectionName: "made", vectorsConfig, ...config }), field, text);
  expect((await server.call(collections.collectionExists, { collectionName: "made" })).result?.exists).toBe(false);
});

test("settings that an update changes", async () => {
  const update = (change: object) => server.call(collections.update, { collectionName, ...change });
  await refused(update({ params: { replicationFactor: 0 } }), "params.replication_factor", least(1));
  const config = { optimizersConfig: { vacuumMinVectorNumber: 9n } };
  await refused(update(config), "optimizers_config.vacuum_min_vector_number", least(100, 9));
});

test("a name that is empty or too long", async () => {
  const said = (name: string) => `value "${name.slice(0, 255)}" invalid, must be from 1 to 255 characters`;
  for (const name of ["", "x".repeat(256)]) {
    const empty = { collectionName: name };
    await refused(server.call(collections.get, empty), "collection_name", said(name));
    await refused(server.call(collections.delete, empty), "collection_name", said(name));
    await refused(server.call(collections.collectionExists, empty), "collection_name", said(name));
    await refused(server.call(points.count, empty), "collection_name", said(name));
  }
  await refused(server.call(points.search, { vector: [1, 2], limit: 1n }), "collection_name", said(""));
  const short = (field: string) => [field, 'value "" invalid, must be at least 1 characters'] as const;
  await refused(server.call(points.createFieldIndex, { collectionName }), ...short("field_name"));
  await refused(server.call(points.facet, { collectionName }), ...short("key"));
  const group = { collectionName, vector: [1, 2], limit: 1, groupSize: 1 };
  await refused(server.call(points.searchGroups, group), ...short("group_by"));
  const selector = { pointsSelectorOneOf: { case: "points" as const, value: { ids: [num(1)] } } };
  const unnamed = server.call(points.deleteVectors, {
    collectionName,
    pointsSelector: selector,
    vectors: { names: [] },
  });
  await refused(unnamed, "vector_names", "must specify vector names to delete");
});

test("a prefetch of nothing", async () => {
  const fused = { variant: { case: "fusion" as const, value: Fusion.RRF } };
  const query = server.call(points.query, { collectionName, prefetch: [{ limit: 0n }], query: fused });
  await refused(query, "prefetch[0].limit", least(1));
});

test.each([
  [1.1, "1.100000023841858"],
  [-2, "-2.0"],
  [Number.POSITIVE_INFINITY, "null"],
])("a diversity of %d, shown as the double that a float is", async (diversity, shown) => {
  const nearest = { variant: { case: "id" as const, value: num(1) } };
  const value = { nearest, mmr: { diversity } };
  const query = server.call(points.query, {
    collectionName,
    query: { variant: { case: "nearestWithMmr", value } },
  });
  await refused(query, "query.nearest_with_mmr.mmr.diversity", `value ${shown} invalid, must be from 0.0 to 1.0`);
});

test("but a recommendation may ask for none", async () => {
  expect((await server.call(points.recommend, { collectionName, positive: [num(1)] })).result).toEqual([]);
});

test("each search of a batch names its collection", async () => {
  const unnamed = 'value "" invalid, must be from 1 to 255 characters';
  const nearest = { variant: { case: "nearest" as const, value: { variant: { case: "id" as const, value: num(1) } } } };
  const named = { collectionName, limit: 1n };
  const field = (of: string) => `${of}[1].collection_name`;
  const positive = [num(1)];
  await refused(
    server.call(points.recommendBatch, { collectionName, recommendPoints: [{ ...named, positive }, { positive }] }),
    field("recommend_points"),
    unnamed,
  );
  await refused(
    server.call(points.discoverBatch, {
      collectionName,
      discoverPoints: [1, 2].map((n) => ({
        ...(n === 1 ? { collectionName } : {}),
        limit: 1n,
        target: { target: { case: "single" as const, value: { example: { case: "id" as const, value: num(1) } } } },
      })),
    }),
    field("discover_points"),
    unnamed,
  );
  const vector = [1, 0];
  await refused(
    server.call(points.searchBatch, {
      collectionName,
      searchPoints: [
        { ...named, vector },
        { vector, limit: 1n },
      ],
    }),
    field("search_points"),
    unnamed,
  );
  await refused(
    server.call(points.queryBatch, { collectionName, queryPoints: [{ ...named, query: nearest }, { query: nearest }] }),
    field("query_points"),
    unnamed,
  );
  const found = await server.call(points.queryBatch, {
    collectionName,
    queryPoints: [{ collectionName, query: nearest }],
  });
  expect(found.result[0]?.result.map(({ id }) => id?.pointIdOptions.value)).toEqual([2n]);
});

test("an older search with a sparse vector that is none", async () => {
  const sparse = { collectionName, vectorName: "words", limit: 3n, vector: [0.2, 0.1] };
  for (const data of [
    [0, 1, 2, 3],
    [1, 1],
  ]) {
    const failed = await server.call(points.search, { ...sparse, sparseIndices: { data } }).catch((error) => error);
    expect(failed).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/^Sparse indices does not match sparse vector conditions: Validation error/),
    });
  }
});
