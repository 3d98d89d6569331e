/** What REST has and gRPC has not, and answers that go out in pieces: against the server as a process. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { addonBuilt, connectTo, root, ServerProcess } from "../e2e/server-process.ts";

const keys = { main: "the-main-key-of-this-test", reader: "the-readers-key-of-it" };
const count = 12_000;

let server: ServerProcess;
beforeAll(async () => {
  if (!addonBuilt) return;
  const env = { SEALPOINT_API_KEY: keys.main, SEALPOINT_READ_ONLY_API_KEY: keys.reader };
  server = await ServerProcess.start({ logLevel: "warn", env });
  await call("PUT", "/collections/state", { vectors: { size: 2, distance: "Dot" } });
  await call("PUT", "/collections/state/index?wait=true", { field_name: "tag", field_schema: "keyword" });
  const points = Array.from({ length: count }, (_, id) => ({
    id,
    vector: [id, 1],
    payload: { tag: `täg ${id % 5_000}`, n: id },
  }));
  await call("PUT", "/collections/state/points?wait=true", { points });
}, 60_000);
afterAll(async () => {
  await server?.stop();
});

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into, member by member
type Loose = any;

const call = (method: string, path: string, body?: unknown, key = keys.main) =>
  server.rest(method, path, body, { "api-key": key, "accept-encoding": "identity" });

/** Qdrant's Python client has a function for each documented route. */
const clientFiles = globSync(join(root, ".venv/lib/python3*/site-packages/qdrant_client/http/api/*.py"));

describe.skipIf(!addonBuilt || clientFiles.length === 0)("routes", () => {
  test("every one that Qdrant's Python client knows is in our document", async () => {
    const shape = (method: string, path: string) => `${method.toUpperCase()} ${path.replace(/\{\w+\}/g, "{}")}`;
    const { paths } = (await call("GET", "/openapi.json")).json as { paths: Record<string, Record<string, object>> };
    const ours = new Set(Object.entries(paths).flatMap(([path, of]) => Object.keys(of).map((one) => shape(one, path))));
    const theirs = clientFiles.flatMap((file) =>
      [...readFileSync(file, "utf8").matchAll(/method="(\w+)",\s*url="([^"]+)"/g)].map(([, method = "", url = ""]) =>
        shape(method, url),
      ),
    );
    expect(theirs.length).toBeGreaterThan(60);
    expect(theirs.filter((one) => !ours.has(one))).toEqual([]);
  });
});

describe.skipIf(!addonBuilt)("state", () => {
  test("answers as a single node does", async () => {
    const result = async (path: string) => (await call("GET", path)).json.result;
    expect(await result("/cluster")).toEqual({ status: "disabled" });
    expect(await result("/cluster/telemetry")).toEqual({
      collections: {},
      cluster: { enabled: false, number_of_peers: 0, peers: {} },
    });
    expect(await result("/issues")).toEqual({ issues: [] });
    expect((await call("DELETE", "/issues")).json.result).toBe(true);
    expect(await result("/collections/state/cluster")).toMatchObject({
      shard_count: 1,
      local_shards: [{ shard_id: 0, points_count: count, state: "Active" }],
    });
    expect(await result("/collections/state/shards")).toEqual({ shard_keys: null });
    expect((await call("GET", "/collections/nowhere/shards")).code).toBe(404);
    const summary = {
      queued_optimizations: expect.any(Number),
      queued_segments: expect.any(Number),
      queued_points: expect.any(Number),
    };
    expect(await result("/collections/state/optimizations")).toMatchObject({ summary, running: [] });
    expect((await call("GET", "/collections/nowhere/optimizations")).code).toBe(404);
  });

  test("shard keys are a cluster's: none can be made, and none is found", async () => {
    const standalone = [405, "Qdrant is running in standalone mode"];
    for (const [method, path, body] of [
      ["PUT", "/collections/state/shards", { shard_key: "berlin" }],
      ["POST", "/collections/state/shards/delete", { shard_key: "berlin" }],
      ["POST", "/collections/state/cluster", { drop_replica: { shard_id: 0, peer_id: 1 } }],
    ] as const) {
      const { code, json } = await call(method, path, body);
      expect([path, code, json.status.error]).toEqual([path, ...standalone]);
      expect((await call(method, path, body, keys.reader)).code).toBe(403);
    }
    const points = [{ id: 1, vector: [1, 1] }];
    const written = await call("PUT", "/collections/state/points", { points, shard_key: "berlin" });
    expect([written.code, written.json.status.error]).toEqual([400, 'Wrong input: Shard key "berlin" not found']);
    const found = await call("POST", "/collections/state/points/query", { limit: 1, shard_key: ["berlin"] });
    expect([found.code, found.json.status.error]).toEqual([400, 'Bad request: Shard key "berlin" not found']);
  });

  test("writes are answered in time, and a timeout of none is refused", async () => {
    const points = [{ id: 1, vector: [1, 1], payload: { tag: "täg 1", n: 1 } }];
    const { code, json } = await call("PUT", "/collections/state/points?wait=true&timeout=30", { points });
    expect([code, json.result.status]).toEqual([200, "completed"]);
    expect((await call("PUT", "/collections/state/points?timeout=0", { points })).code).toBe(422);
  });

  test("refuses what a cluster would do, with a sentence", async () => {
    for (const [method, path] of [
      ["POST", "/cluster/recover"],
      ["DELETE", "/cluster/peer/1"],
    ] as const) {
      const { code, json } = await call(method, path);
      expect([path, code, json.status.error]).toEqual([path, 405, expect.stringContaining("standalone mode")]);
      expect((await call(method, path, undefined, keys.reader)).code).toBe(403);
    }
    expect((await call("DELETE", "/issues", undefined, keys.reader)).code).toBe(403);
  });

  test("telemetry has Qdrant's shape, and counts requests by route", async () => {
    await call("POST", "/collections/state/points/count", {});
    await call("POST", "/collections/nowhere/points/count", {});
    const { result, time } = (await call("GET", "/telemetry?details_level=3")).json;
    expect(time).toBeGreaterThanOrEqual(0);
    expect(result).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      app: {
        name: "qdrant",
        startup: expect.stringMatching(/^\d{4}-.*Z$/),
        system: { cores: expect.any(Number) },
      },
      collections: { number_of_collections: 1 },
      cluster: { enabled: false },
    });
    const { "200": good, "404": bad } =
      result.requests.rest.responses["POST /collections/{collection_name}/points/count"];
    expect([good.count, bad.count]).toEqual([1, 1]);
    expect(good.max_duration_micros).toBeGreaterThanOrEqual(good.min_duration_micros);
    expect((await call("GET", "/telemetry?details_level=much")).code).toBe(400);
  });

  test("telemetry shows more from level to level", async () => {
    const at = async (level: number): Promise<Loose> =>
      (await call("GET", `/telemetry?details_level=${level}`)).json.result;
    const least = await at(0);
    expect(Object.keys(least).sort()).toEqual(["app", "cluster", "collections", "id", "quota", "requests"]);
    expect(least.collections).toEqual({ number_of_collections: 1 });
    const [first] = (await at(1)).collections.collections;
    expect(first).toEqual({
      vectors: count,
      optimizers_status: "ok",
      params: expect.objectContaining({ vectors: { size: 2, distance: "Dot" } }),
    });
    const second = await at(2);
    expect(second.memory.resident_bytes).toBeGreaterThan(1e7);
    expect(second.app.system.cpu_flags).toEqual(expect.any(String));
    expect(Object.keys(second.collections.collections[0]).sort()).toEqual(["config", "id", "init_time_ms"]);
    const [{ shards, transfers }] = (await at(3)).collections.collections;
    expect([transfers, shards[0].replicate_states, shards[0].local.num_points]).toEqual([[], { "0": "Active" }, count]);
    expect(shards[0].local.payloads_size_bytes).toBeGreaterThan(0);
    expect(shards[0].local).not.toHaveProperty("segments");
    expect(shards[0].local).toMatchObject({ num_vectors_by_name: { "": count }, update_queue: { length: 0 } });
    expect((await at(1)).collections.snapshots).toEqual([]);
    const { name } = (await call("POST", "/collections/state/snapshots")).json.result;
    const idle = { running_snapshots: 0, running_snapshot_recovery: 0 };
    expect((await at(2)).collections.snapshots).toEqual([{ id: "state", ...idle, total_snapshot_creations: 1 }]);
    const scraped: string = (await call("GET", "/metrics")).json;
    for (const line of [
      'snapshot_created_total{id="state"} 1',
      'snapshot_creation_running{id="state"} 0',
      'snapshot_recovery_running{id="state"} 0',
    ]) {
      expect(scraped.split("\n")).toContain(line);
    }
    expect(scraped).toContain("# TYPE snapshot_created_total counter");
    await call("DELETE", `/collections/state/snapshots/${name}`);
    const [fourth] = (await at(10)).collections.collections;
    const [segment] = fourth.shards[0].local.segments;
    expect(fourth.shards[0].local).toHaveProperty("indexed_only_excluded_vectors");
    expect(segment.info).toMatchObject({ num_points: count, index_schema: { tag: { data_type: "keyword" } } });
    expect(segment.payload_field_indices).toEqual([
      expect.objectContaining({ field_name: "tag", index_type: "keyword", points_count: count }),
    ]);
  });

  test("metrics have Qdrant's names beside ours, by route", async () => {
    await call("POST", "/collections/state/points/scroll", { limit: 1 });
    const text: string = (await call("GET", "/metrics")).json;
    const labels = 'method="POST",endpoint="/collections/{collection_name}/points/scroll",status="200"';
    const figure = (line: string) =>
      Number(
        text
          .split("\n")
          .find((one) => one.startsWith(`${line} `))
          ?.split(" ")
          .at(-1),
      );
    expect(figure(`rest_responses_total{${labels}}`)).toBeGreaterThanOrEqual(1);
    expect(figure(`rest_responses_duration_seconds_bucket{le="+Inf",${labels}}`)).toBe(
      figure(`rest_responses_total{${labels}}`),
    );
    expect(figure(`rest_responses_duration_seconds_sum{${labels}}`)).toBeGreaterThan(0);
    expect(figure('collection_points{id="state"}')).toBe(count);
    expect(figure("collections_total")).toBe(1);
    expect(figure("collections_vector_total")).toBe(count);
    expect(figure("cluster_enabled")).toBe(0);
    expect([figure("collection_active_replicas_min"), figure("collection_dead_replicas")]).toEqual([1, 0]);
    expect(figure('collection_update_queue_length{id="state"}')).toBe(0);
    expect(figure('collection_update_queue_deferred_points{id="state"}')).toBe(0);
    expect(figure("process_open_mmaps")).toBeGreaterThan(10);
    expect(figure("system_max_mmaps")).toBeGreaterThan(figure("process_open_mmaps"));
    expect(figure("memory_resident_bytes")).toBeGreaterThan(1e7);
    expect(text).toMatch(/^app_info\{name="qdrant",version="[\d.]+"\} 1$/m);
    expect(text).not.toContain('endpoint="/metrics"');
    expect(text).toContain("sealpoint_collection_points");
    expect(figure('collection_vectors{collection="state",vector=""}')).toBe(count);
  });

  test("requests are told by collection only to who asks for that", async () => {
    await call("POST", "/collections/state/points/scroll", { limit: 1 });
    await call("POST", "/collections/nobody/points/scroll", { limit: 1 });
    // These succeed for names that nobody has, which must not push others out.
    for (const [method, path, code] of [
      ["GET", "exists", 200],
      ["HEAD", "exists", 200],
      ["DELETE", "", 200],
      ["DELETE", "snapshots/none?wait=false", 202],
    ] as const) {
      expect((await call(method, `/collections/nobody/${path}`)).code).toBe(code);
    }
    expect((await call("POST", "/collections/nobody/points/batch", { operations: [] })).code).toBe(200);
    await call("GET", "/collections/state/exists");
    const grpc = connectTo(server.address, { "api-key": keys.main });
    await grpc.call(Points.method.count, { collectionName: "state" });
    await grpc.call(Points.method.count, { collectionName: "nobody" }).catch(() => undefined);
    expect((await grpc.call(Points.method.updateBatch, { collectionName: "nobody" })).result).toEqual([]);
    grpc.close();
    const responses = (text: string) =>
      text.split("\n").filter((line) => /^(?:rest|grpc)_responses_total\{/.test(line));
    const plain = responses((await call("GET", "/metrics")).json);
    expect(plain.length).toBeGreaterThan(2);
    expect(plain.join("\n")).not.toContain("collection=");
    const each = responses((await call("GET", "/metrics?per_collection=true")).json);
    expect(each.every((line) => line.includes('collection="state"'))).toBe(true);
    expect(each.join("\n")).toMatch(
      /^grpc_responses_total\{endpoint="\/qdrant.Points\/Count",collection="state",status="0"\} 1$/m,
    );
    expect(each.join("\n")).toContain('endpoint="/collections/{collection_name}/points/scroll"');
    expect(each.join("\n")).toContain('endpoint="/collections/{collection_name}/exists"');
    expect((await call("GET", "/metrics?per_collection=perhaps")).code).toBe(400);
    const told = async (query: string) => (await call("GET", `/telemetry${query}`)).json.result.requests;
    expect((await told("")).rest).not.toHaveProperty("per_collection_responses");
    const { rest, grpc: calls } = await told("?per_collection=true");
    expect(Object.keys(rest.per_collection_responses)).toEqual(["state"]);
    expect(
      rest.per_collection_responses.state["POST /collections/{collection_name}/points/scroll"]["200"].count,
    ).toBeGreaterThan(0);
    expect(calls.per_collection_responses.state["/qdrant.Points/Count"]["0"].count).toBe(1);
  });

  test("the memory report adds up", async () => {
    type Usage = Record<"disk_bytes" | "ram_bytes" | "cached_bytes" | "expected_cache_bytes", number>;
    const read = async () => (await call("GET", "/collections/state/memory")).json.result;
    const { total, vectors, sparse_vectors, payload, payload_index, other } = await read();
    expect([vectors.map(({ name }: Loose) => name), sparse_vectors]).toEqual([[""], []]);
    expect(payload_index.map(({ name }: Loose) => name)).toEqual(["tag"]);
    const [{ storage, index }] = vectors;
    const parts: Usage[] = [storage, index, payload, payload_index[0].usage, other.id_tracker];
    for (const key of Object.keys(total) as (keyof Usage)[]) {
      expect(total[key]).toBe(parts.reduce((sum, part) => sum + part[key], 0));
    }
    expect(Object.keys(total).sort()).toEqual(["cached_bytes", "disk_bytes", "expected_cache_bytes", "ram_bytes"]);
    // Two floats a vector: they are in no segment yet, and nothing is mapped.
    expect(storage.ram_bytes).toBeGreaterThanOrEqual(count * 8);
    expect(storage.disk_bytes).toBe(0);
    expect(payload.disk_bytes).toBeGreaterThan(0);
    expect(payload_index[0].usage.ram_bytes).toBeGreaterThan(count);
    expect((await call("GET", "/collections/nobody/memory")).code).toBe(404);

    // Built into a segment, vectors lie in its file, which was just written and so is in memory.
    await call("PUT", "/collections/built", {
      vectors: { size: 32, distance: "Dot" },
      optimizers_config: { indexing_threshold: 1 },
    });
    const points = Array.from({ length: 2_000 }, (_, id) => ({
      id,
      vector: Array.from({ length: 32 }, (_v, d) => Math.sin(id + d)),
    }));
    await call("PUT", "/collections/built/points?wait=true", { points });
    await expect
      .poll(async () => (await call("GET", "/collections/built")).json.result.status, { timeout: 20_000 })
      .toBe("green");
    const built = (await call("GET", "/collections/built/memory")).json.result.vectors[0];
    expect(built.storage.disk_bytes).toBeGreaterThan(2_000 * 32 * 4);
    expect(built.storage.cached_bytes).toBeGreaterThan(0);
    expect(built.storage.cached_bytes).toBeLessThanOrEqual(built.storage.disk_bytes);
    expect(built.storage.expected_cache_bytes).toBe(built.storage.disk_bytes);
    expect(built.index.ram_bytes).toBeGreaterThan(0);
    await call("DELETE", "/collections/built");
  });

  test("optimizations show what is asked for", async () => {
    const path = "/collections/state/optimizations";
    const plain = (await call("GET", path)).json.result;
    expect(Object.keys(plain).sort()).toEqual(["running", "summary"]);
    const whole = (await call("GET", `${path}?with=queued,completed,idle_segments&completed_limit=5`)).json.result;
    expect(Object.keys(whole).sort()).toEqual(["completed", "idle_segments", "queued", "running", "summary"]);
    expect(whole.idle_segments).toEqual([{ uuid: expect.any(String), points_count: expect.any(Number) }]);
    expect((await call("GET", `${path}?with=everything`)).code).toBe(400);
  });

  test("quotas are set, shown, kept and held, on both doors", async () => {
    const used = { resident_memory_percent: expect.any(Number), disk_usage_percent: expect.any(Number) };
    const put = (body: unknown, key = keys.main) => call("PUT", "/quotas?wait=true", body, key);
    expect((await call("GET", "/quotas")).json.result).toEqual({ config: { enabled: false }, usage: used });
    expect((await put({ enabled: true }, keys.reader)).code).toBe(403);
    const error = async (body: unknown) => {
      const { code, json } = await put(body);
      return [code, json.status.error];
    };
    expect(await error({ max_disk_usage_percent: 0 })).toEqual([
      422,
      "Validation error in JSON body: [max_disk_usage_percent: value 0 invalid, must be from 1 to 100]",
    ]);
    expect(await error({ release_margin_percent: 101 })).toEqual([
      422,
      expect.stringContaining("must be from 0 to 100"),
    ]);
    for (const wrong of [undefined, [], { enabled: 1 }, { max_disk_usage_percent: 300 }, { disk: 1 }]) {
      expect(await error(wrong)).toEqual([400, expect.stringMatching(/^Format error in JSON body: /)]);
    }
    const config = { enabled: true, max_disk_usage_percent: 1, max_resident_memory_percent: 100 };
    expect((await put(config)).json.result).toBe(true);
    try {
      expect((await call("GET", "/quotas")).json.result).toEqual({ config, usage: used });
      expect((await call("GET", "/telemetry")).json.result.quota).toEqual({
        config,
        exceeded: { resident_memory: false, disk_usage: true },
      });
      const metrics = (await call("GET", "/metrics")).json as string;
      expect(metrics).toContain('quota_exceeded{resource="disk"} 1');
      expect(metrics).toContain('quota_exceeded{resource="memory"} 0');
      const points = [{ id: 1, vector: [1, 1] }];
      const full = await call("PUT", "/collections/state/points?wait=true", { points });
      expect([full.code, full.json.status.error]).toEqual([
        507,
        expect.stringMatching(/^Disk usage is at \d+% of total/),
      ]);
      const client = connectTo(server.address, { "api-key": keys.main });
      const upsert = {
        collectionName: "state",
        points: [{ id: { pointIdOptions: { case: "num" as const, value: 1n } } }],
      };
      const refused = await client.call(Points.method.upsert, upsert).catch((thrown: { code: number }) => thrown);
      expect(refused).toMatchObject({ code: 8, details: expect.stringMatching(/^Disk usage is at/) });
      client.close();
      const deleted = await call("POST", "/collections/state/points/delete?wait=true", { points: [999_999] });
      expect(deleted.code).toBe(200);
    } finally {
      expect((await put({ enabled: false })).code).toBe(200);
    }
    expect((await call("GET", "/metrics")).json).not.toContain("quota_exceeded{");
  });
});

describe.skipIf(!addonBuilt)("long answers", () => {
  test("are whole, packed or not, though they go out in pieces", async () => {
    const path = "/collections/state/points/scroll";
    const { json, headers } = await call("POST", path, { limit: count, with_vector: true });
    expect(headers.get("content-length")).toBeNull();
    expect(json.result.points).toHaveLength(count);
    const wanted = (id: number) => ({ id, payload: { tag: `täg ${id % 5_000}`, n: id }, vector: [id, 1] });
    for (const [id, point] of json.result.points.entries()) expect(point).toEqual(wanted(id));
    expect([json.result.next_page_offset, json.status]).toEqual([null, "ok"]);
    const response = await fetch(`http://127.0.0.1:${server.httpPort}${path}`, {
      method: "POST",
      headers: { "api-key": keys.main, "accept-encoding": "gzip" },
      body: JSON.stringify({ limit: count, with_vector: true }),
      // @ts-expect-error: undici unpacks unless told otherwise, and has no type for it here
      decompress: false,
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const text = bytes[0] === 0x1f ? gunzipSync(bytes).toString() : bytes.toString();
    expect(response.headers.get("content-encoding")).toBe("gzip");
    expect(JSON.parse(text).result).toEqual(json.result);
  });

  test("batches, groups and facets too", async () => {
    const search = { query: [1, 0], limit: 3_000, with_payload: true };
    const { json } = await call("POST", "/collections/state/points/query/batch", {
      searches: [search, search, { query: [0, 1], limit: 2 }],
    });
    expect(json.result.map(({ points }: Loose) => points.length)).toEqual([3_000, 3_000, 2]);
    expect(json.result[0]).toEqual(json.result[1]);
    const grouped = (
      await call("POST", "/collections/state/points/query/groups", {
        query: [1, 0],
        group_by: "tag",
        limit: 2_000,
        group_size: 2,
      })
    ).json;
    expect(grouped.result.groups).toHaveLength(2_000);
    expect(grouped.result.groups[0].hits).toHaveLength(2);
    const facet = (await call("POST", "/collections/state/facet", { key: "tag", limit: 6_000 })).json.result.hits;
    expect(facet).toHaveLength(5_000);
    expect([facet[0], facet.at(-1)]).toEqual([
      { value: "täg 0", count: 3 },
      { value: "täg 4999", count: 2 },
    ]);
    expect((await call("POST", "/collections/state/facet", { key: "nothing" })).code).toBe(400);
    expect((await call("POST", "/collections/state/facet", { key: "tag", limit: 0 })).code).toBe(422);
  });
});
