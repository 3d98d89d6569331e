/** Shard keys and cluster calls as Qdrant answers them on a single node. */
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { startTestServer, type TestServer } from "./server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await server.call(create, { collectionName: "auto", vectorsConfig: params });
  await server.call(create, { collectionName: "custom", vectorsConfig: params, shardingMethod: 1 });
});
afterAll(() => server.close());

const { create, get } = Collections.method;
const params = { config: { case: "params" as const, value: { size: 1n, distance: 3 } } };
const keyword = { key: { case: "keyword" as const, value: "berlin" } };
const selector = { shardKeys: [keyword] };
const points = [{ id: { pointIdOptions: { case: "num" as const, value: 1n } } }];

async function refused(promise: Promise<unknown>): Promise<[code: number, details: string]> {
  return promise.then(
    () => {
      throw new Error("it was not refused");
    },
    ({ code, details }: { code: number; details: string }) => [code, details],
  );
}

test("calls that change shards are a cluster's, and change nothing", async () => {
  const before = Atomics.load(server.changes, 0);
  const standalone = [status.UNIMPLEMENTED, "Qdrant is running in standalone mode"];
  const { createShardKey, deleteShardKey, updateCollectionClusterSetup } = Collections.method;
  const collectionName = "custom";
  expect(await refused(server.call(createShardKey, { collectionName, request: { shardKey: keyword } }))).toEqual(
    standalone,
  );
  expect(await refused(server.call(deleteShardKey, { collectionName, request: { shardKey: keyword } }))).toEqual(
    standalone,
  );
  expect(await refused(server.call(updateCollectionClusterSetup, { collectionName }))).toEqual(standalone);
  expect(Atomics.load(server.changes, 0)).toBe(before);
});

test("what is there is told", async () => {
  const { collectionClusterInfo, listShardKeys } = Collections.method;
  expect(await server.call(collectionClusterInfo, { collectionName: "auto" })).toMatchObject({
    shardCount: 1n,
    localShards: [{ shardId: 0, pointsCount: 0n, state: 0 }],
    remoteShards: [],
  });
  expect(await server.call(collectionClusterInfo, { collectionName: "custom" })).toMatchObject({
    shardCount: 0n,
    localShards: [],
  });
  expect((await server.call(listShardKeys, { collectionName: "custom" })).shardKeys).toEqual([]);
  expect((await server.call(get, { collectionName: "custom" })).result?.config?.params?.shardingMethod).toBe(1);
  expect(await refused(server.call(listShardKeys, { collectionName: "none" }))).toEqual([
    status.NOT_FOUND,
    "Not found: Collection `none` doesn't exist!",
  ]);
});

test("a shard key that is asked for is not found, after its collection", async () => {
  const { upsert, query, count, delete: drop } = Points.method;
  const named = { collectionName: "auto", shardKeySelector: selector };
  const write = [status.INVALID_ARGUMENT, 'Wrong input: Shard key "berlin" not found'];
  const read = [status.INVALID_ARGUMENT, 'Bad request: Shard key "berlin" not found'];
  expect(await refused(server.call(upsert, { ...named, points }))).toEqual(write);
  expect(await refused(server.call(drop, named))).toEqual(write);
  expect(await refused(server.call(query, { ...named, limit: 1n }))).toEqual(read);
  expect(await refused(server.call(count, { ...named, timeout: 5n }))).toEqual(read);
  const operation = (shardKeySelector?: object) => ({
    operation: { case: "upsert" as const, value: { points, shardKeySelector } as never },
  });
  const operations = [operation(), operation(selector)];
  expect(
    await refused(server.call(Points.method.updateBatch, { collectionName: "auto", wait: true, operations })),
  ).toEqual(write);
  const number = { shardKeys: [{ key: { case: "number" as const, value: 7n } }] };
  expect(await refused(server.call(count, { collectionName: "auto", shardKeySelector: number }))).toEqual([
    status.INVALID_ARGUMENT,
    "Bad request: Shard key 7 not found",
  ]);
  expect((await refused(server.call(count, { ...named, collectionName: "none" })))[0]).toBe(status.NOT_FOUND);
  // A selector without keys selects nothing in particular.
  expect((await server.call(count, { collectionName: "auto", shardKeySelector: {} })).result?.count).toBe(0n);
});

test("a collection for shard keys has nowhere to write to, and is read as empty", async () => {
  const { upsert, count, createFieldIndex } = Points.method;
  const collectionName = "custom";
  const refusal = [status.INVALID_ARGUMENT, "Wrong input: Shard key not specified"];
  expect(await refused(server.call(upsert, { collectionName, wait: true, points }))).toEqual(refusal);
  expect((await server.call(count, { collectionName })).result?.count).toBe(0n);
  const indexed = await server.call(createFieldIndex, { collectionName, fieldName: "group_id", fieldType: 0 });
  expect(indexed.result?.status).toBe(1);
});

test("numbers of shards and replicas are 1 or more", async () => {
  for (const field of ["shardNumber", "replicationFactor", "writeConsistencyFactor"] as const) {
    const [code, details] = await refused(
      server.call(create, { collectionName: "none-of-it", vectorsConfig: params, [field]: 0 }),
    );
    const shown = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    expect([code, details]).toEqual([
      status.INVALID_ARGUMENT,
      `Validation error in body: [${shown}: value 0 invalid, must be 1 or larger]`,
    ]);
  }
});
