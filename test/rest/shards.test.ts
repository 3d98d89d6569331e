/** Shard keys over HTTP and gRPC, of a server that is a cluster of its own. Against the server as a process. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { addonBuilt, connectTo, ServerProcess } from "../e2e/server-process.ts";

let server: ServerProcess;
beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({ logLevel: "warn", env: { QDRANT__CLUSTER__ENABLED: "true" } });
  await call("PUT", path, { vectors: { size: 2, distance: "Dot" }, sharding_method: "custom" });
  await call("PUT", "/collections/plain", { vectors: { size: 2, distance: "Dot" } });
}, 60_000);
afterAll(async () => {
  await server?.stop();
});

const path = "/collections/shards";

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into, member by member
async function call(method: string, url: string, body?: unknown): Promise<any> {
  const { code, json } = await server.rest(method, url, body);
  return code < 300 ? json.result : [code, json.status.error];
}

type Key = string | number;
type Selector = Key | readonly Key[] | { target: Key; fallback: Key };

const pointsOf = (ids: readonly number[]) => ids.map((id) => ({ id, vector: [id, 1], payload: { n: id } }));
const upsert = (ids: readonly number[], shardKey?: Selector) =>
  call("PUT", `${path}/points?wait=true`, { points: pointsOf(ids), shard_key: shardKey });
const countOf = async (shardKey?: Selector): Promise<number> =>
  (await call("POST", `${path}/points/count`, { shard_key: shardKey })).count;

interface Found {
  readonly id: number;
  readonly shard_key?: Key;
}
const keysOf = (points: readonly Found[]) => points.map(({ id, shard_key }) => [id, shard_key]);
const scrolled = async (shardKey?: Selector) => {
  const found = await call("POST", `${path}/points/scroll`, { shard_key: shardKey });
  return Array.isArray(found) ? found : keysOf(found.points);
};

describe.skipIf(!addonBuilt)("shard keys of a cluster of one", () => {
  test("are made once, and listed in their order", async () => {
    expect(await call("GET", `${path}/shards`)).toEqual({ shard_keys: null });
    expect(await call("PUT", `${path}/shards`, { shard_key: "berlin" })).toBe(true);
    expect(await call("PUT", `${path}/shards?timeout=5`, { shard_key: 7, shards_number: 1 })).toBe(true);
    expect(await call("POST", `${path}/cluster`, { create_sharding_key: { shard_key: "7" } })).toBe(true);
    expect(await call("GET", `${path}/shards`)).toEqual({ shard_keys: [{ key: "berlin" }, { key: 7 }, { key: "7" }] });
    expect(await call("PUT", `${path}/shards`, { shard_key: 7 })).toEqual([
      400,
      "Wrong input: Shard key 7 already exists",
    ]);
    expect(await call("PUT", "/collections/plain/shards", { shard_key: 7 })).toEqual([
      400,
      "Wrong input: Shard Key 7 cannot be created with Auto sharding method",
    ]);
    expect(await call("POST", `${path}/cluster`, { drop_replica: { shard_id: 0, peer_id: 1 } })).toEqual([
      400,
      "Bad request: this cluster has one peer, and no shard can be moved",
    ]);
  });

  test("take what is written with their key, and nothing is written without one", async () => {
    expect(await upsert([1])).toEqual([400, "Wrong input: Shard key not specified"]);
    expect(await upsert([1], "nowhere")).toEqual([400, 'Wrong input: Shard key "nowhere" not found']);
    expect(await upsert([1, 2, 3], "berlin")).toMatchObject({ status: "completed" });
    expect(await upsert([11, 12], 7)).toMatchObject({ status: "completed" });
    expect(await call("POST", `${path}/points/delete?wait=true`, { filter: {} })).toEqual([
      400,
      "Wrong input: Shard key not specified",
    ]);
    expect(await Promise.all([undefined, "berlin", 7, "7", ["berlin", 7]].map(countOf))).toEqual([5, 3, 2, 0, 5]);
    expect(await call("GET", `${path}/cluster`)).toMatchObject({
      peer_id: 1,
      shard_count: 3,
      local_shards: [
        { shard_id: 0, shard_key: "berlin", points_count: 3, state: "Active" },
        { shard_id: 1, shard_key: 7, points_count: 2, state: "Active" },
        { shard_id: 2, shard_key: "7", points_count: 0, state: "Active" },
      ],
    });
  });

  test("are what reads look into, and what their points show", async () => {
    expect(await scrolled(7)).toEqual([
      [11, 7],
      [12, 7],
    ]);
    const query = { query: [1, 0], limit: 1 };
    expect(keysOf((await call("POST", `${path}/points/query`, query)).points)).toEqual([[12, 7]]);
    const inBerlin = { ...query, shard_key: "berlin" };
    const { points } = await call("POST", `${path}/points/query`, { ...inBerlin, with_vector: true });
    expect(points).toEqual([{ id: 3, version: expect.anything(), score: 3, vector: [3, 1], shard_key: "berlin" }]);
    const searches = [query, inBerlin, inBerlin, { ...query, shard_key: [7] }];
    const found = (await call("POST", `${path}/points/query/batch`, { searches })) as { points: Found[] }[];
    expect(found.flatMap((one) => keysOf(one.points))).toEqual([
      [12, 7],
      [3, "berlin"],
      [3, "berlin"],
      [12, 7],
    ]);
    expect(keysOf(await call("POST", `${path}/points`, { ids: [1, 11], shard_key: 7 }))).toEqual([[11, 7]]);
    expect((await call("POST", `${path}/facet`, { key: "n", exact: true })).hits ?? []).toEqual([]);
    expect(await call("POST", `${path}/points/query`, { ...query, shard_key: "nowhere" })).toEqual([
      400,
      'Bad request: Shard key "nowhere" not found',
    ]);
    expect(await scrolled({ target: "nowhere", fallback: 7 })).toEqual(await scrolled(7));
    const { config } = await call("GET", path);
    expect(config.params).toMatchObject({ sharding_method: "custom" });
    expect(config.params.sparse_vectors ?? {}).toEqual({});
    expect((await call("GET", `${path}/memory`)).sparse_vectors ?? []).toEqual([]);
  });

  test("are no conditions of the caller's, whom strict mode allows some", async () => {
    await call("PATCH", path, { strict_mode_config: { enabled: true, filter_max_conditions: 1 } });
    const filter = { must: [{ has_id: [1, 11] }] };
    expect(await call("POST", `${path}/points/count`, { filter, shard_key: ["berlin", 7] })).toEqual({ count: 2 });
    await call("PATCH", path, { strict_mode_config: { enabled: false } });
  });

  test("are each operation's own in a batch of updates", async () => {
    const operations = [
      { upsert: { points: pointsOf([4]), shard_key: "berlin" } },
      { upsert: { points: pointsOf([13]), shard_key: 7 } },
      { set_payload: { payload: { seen: true }, filter: {}, shard_key: 7 } },
      { delete: { points: [4, 11], shard_key: "berlin" } },
    ];
    const done = await call("POST", `${path}/points/batch?wait=true`, { operations });
    expect(done).toHaveLength(4);
    expect(await countOf("berlin")).toBe(3);
    const seen = { must: [{ key: "seen", match: { value: true } }] };
    expect(await call("POST", `${path}/points/count`, { filter: seen })).toEqual({ count: 3 });
    expect(await countOf(7)).toBe(3);
  });

  test("go by gRPC too", async () => {
    const client = connectTo(`127.0.0.1:${server.grpcPort}`);
    try {
      const shardKeySelector = { shardKeys: [{ key: { case: "number" as const, value: 7n } }] };
      const { result } = await client.call(Points.method.scroll, { collectionName: "shards", shardKeySelector });
      expect(result.map(({ shardKey }) => shardKey?.key.value)).toEqual([7n, 7n, 7n]);
      const counted = await client.call(Points.method.count, { collectionName: "shards", shardKeySelector });
      expect(counted.result?.count).toBe(3n);
    } finally {
      client.close();
    }
  });

  test("are filled from others while they take no requests, and take them afterwards", async () => {
    expect(await call("PUT", `${path}/shards`, { shard_key: "tenant", initial_state: "Partial" })).toBe(true);
    expect(await scrolled({ target: "tenant", fallback: 7 })).toEqual(await scrolled(7));
    // What is written meanwhile goes to both.
    await upsert([20], { target: "tenant", fallback: 7 });
    expect([await countOf(7), await countOf("tenant")]).toEqual([4, 1]);
    expect(await scrolled({ target: "nowhere", fallback: "never" })).toEqual([
      404,
      'Not found: Neither target shard key "nowhere" nor fallback shard key "never" exist',
    ]);
    const filter = { must: [{ key: "n", range: { lte: 2 } }] };
    const replicate_points = { from_shard_key: "berlin", to_shard_key: "tenant", filter };
    expect(await call("POST", `${path}/cluster`, { replicate_points })).toBe(true);
    expect(await scrolled({ target: "tenant", fallback: 7 })).toEqual([
      [1, "tenant"],
      [2, "tenant"],
      [20, "tenant"],
    ]);
    await call("POST", `${path}/points/delete?wait=true`, { filter, shard_key: "berlin" });
    expect(await scrolled("berlin")).toEqual([[3, "berlin"]]);
    expect(await countOf("tenant")).toBe(3);
  });

  test("are dropped with their points", async () => {
    expect(await call("POST", `${path}/shards/delete`, { shard_key: 7 })).toBe(true);
    expect(await countOf()).toBe(4);
    expect(await call("POST", `${path}/shards/delete`, { shard_key: 7 })).toEqual([
      400,
      "Wrong input: Shard key 7 does not exist",
    ]);
    expect(await call("POST", `${path}/points/count`, { shard_key: 7 })).toEqual([
      400,
      "Bad request: Shard key 7 not found",
    ]);
  });

  test("the cluster has one peer, which leads it and stays", async () => {
    expect(await call("GET", "/cluster")).toMatchObject({
      status: "enabled",
      peer_id: 1,
      raft_info: { leader: 1, role: "Leader", is_voter: true },
    });
    expect(await call("POST", "/cluster/recover")).toBe(true);
    expect(await call("DELETE", "/cluster/peer/5")).toEqual([400, "Bad request: Peer 5 does not exist"]);
    expect((await call("GET", "/telemetry")).cluster).toEqual({ enabled: true });
  });
});
