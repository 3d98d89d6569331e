/** What Qdrant's configuration says of new collections, as a server that was started with it makes and shows them. */
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { addonBuilt, connectTo, ServerProcess } from "./server-process.ts";

const file = `
storage:
  on_disk_payload: false
  max_collections: 7
  wal: { wal_capacity_mb: 64 }
  performance: { max_search_threads: 3, optimizer_cpu_budget: -1, async_scorer: true }
  optimizers: { indexing_threshold_kb: 5000, deleted_threshold: 0.3, max_optimization_threads: 2, flush_interval_sec: 7 }
  hnsw_index: { m: 24, ef_construct: 150, full_scan_threshold_kb: 2000, on_disk: true, payload_m: 8 }
  collection:
    replication_factor: 2
    write_consistency_factor: 2
    vectors: { on_disk: true }
    quantization: { scalar: { type: int8, quantile: 0.99, always_ram: true } }
    strict_mode: { enabled: true, max_query_limit: 9, search_max_oversampling: 2.5 }
`;

let folder: string;
let server: ServerProcess;
beforeAll(async () => {
  if (!addonBuilt) return;
  folder = await mkdtemp(join(tmpdir(), "sealpoint-defaults-"));
  const path = join(folder, "config.yaml");
  writeFileSync(path, file);
  const env = { SEALPOINT_CONFIG: path, QDRANT__STORAGE__OPTIMIZERS__VACUUM_MIN_VECTOR_NUMBER: "500" };
  server = await ServerProcess.start({ logLevel: "info", env });
}, 60_000);
afterAll(async () => {
  await server?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

async function rest(method: string, path: string, body?: unknown) {
  const response = await fetch(`http://127.0.0.1:${server.httpPort}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { code: response.status, json: (await response.json()) as { result: never; status: { error: string } } };
}

async function configOf(name: string): Promise<unknown> {
  return (await rest("GET", `/collections/${name}`)).json.result["config" as never];
}

describe.skipIf(!addonBuilt)("defaults of new collections", () => {
  test("hold where the request says nothing, over REST, and are shown", async () => {
    expect((await rest("PUT", "/collections/bare", { vectors: { size: 4, distance: "Dot" } })).code).toBe(200);
    expect(await configOf("bare")).toMatchObject({
      params: {
        on_disk_payload: false,
        replication_factor: 2,
        write_consistency_factor: 2,
        vectors: { size: 4, distance: "Dot", on_disk: true },
      },
      hnsw_config: { m: 24, ef_construct: 150, full_scan_threshold: 2000, on_disk: true, payload_m: 8 },
      optimizer_config: {
        indexing_threshold: 5000,
        deleted_threshold: 0.3,
        vacuum_min_vector_number: 500,
        max_optimization_threads: 2,
        flush_interval_sec: 7,
      },
      wal_config: { wal_capacity_mb: 64, wal_segments_ahead: 0 },
      quantization_config: { scalar: { type: "int8", quantile: expect.closeTo(0.99, 5), always_ram: true } },
      strict_mode_config: { enabled: true, max_query_limit: 9, search_max_oversampling: 2.5 },
    });
    // Strict mode is in force, not only shown.
    const query = await rest("POST", "/collections/bare/points/query", { limit: 10 });
    expect(query.json.status.error).toContain('Limit exceeded 10 > 9 for "limit"');
    expect(query.code).toBe(400);
  });

  test("give way, field by field, to what a request says", async () => {
    await rest("PUT", "/collections/own", {
      vectors: { a: { size: 2, distance: "Dot", on_disk: false }, b: { size: 2, distance: "Dot", memory: "cached" } },
      hnsw_config: { m: 8, on_disk: false },
      optimizers_config: { indexing_threshold: 1 },
      on_disk_payload: true,
      quantization_config: { binary: { always_ram: false } },
      strict_mode_config: { enabled: false },
      replication_factor: 1,
    });
    const config = await configOf("own");
    expect(config).toMatchObject({
      params: { on_disk_payload: true, replication_factor: 1, write_consistency_factor: 2 },
      hnsw_config: { m: 8, ef_construct: 150, on_disk: false },
      optimizer_config: { indexing_threshold: 1, deleted_threshold: 0.3 },
      quantization_config: { binary: { always_ram: false } },
      strict_mode_config: { enabled: false, max_query_limit: 9 },
    });
    const { vectors } = (config as { params: { vectors: Record<string, object> } }).params;
    expect(vectors).toEqual({
      a: { size: 2, distance: "Dot", on_disk: false },
      b: { size: 2, distance: "Dot", memory: "cached" },
    });
    expect((config as { quantization_config: object }).quantization_config).not.toHaveProperty("scalar");
  });

  test("hold over gRPC, and nothing that is honoured is called ignored", async () => {
    const client = connectTo(`127.0.0.1:${server.grpcPort}`);
    const params = { case: "params" as const, value: { size: 3n, distance: 3 } };
    await client.call(Collections.method.create, { collectionName: "grpc", vectorsConfig: { config: params } });
    const { result } = await client.call(Collections.method.get, { collectionName: "grpc" });
    client.close();
    expect(result?.config?.hnswConfig).toMatchObject({ m: 24n, efConstruct: 150n, onDisk: true });
    expect(result?.config?.params?.vectorsConfig?.config).toMatchObject({ value: { size: 3n, onDisk: true } });
    const told = server.log.split("\n").filter((line) => line.includes("change nothing here"));
    expect(told).toHaveLength(1);
    expect(JSON.parse(told[0] as string).ignored).toEqual([
      expect.stringMatching(/^storage\.performance\.async_scorer in /),
    ]);
  });

  test("no more collections than storage.max_collections", async () => {
    const make = (name: string) => rest("PUT", `/collections/${name}`, { vectors: { size: 1, distance: "Dot" } });
    const present = ((await rest("GET", "/collections")).json.result["collections" as never] as object[]).length;
    for (let index = present; index < 7; index++) expect((await make(`more-${index}`)).code).toBe(200);
    const refused = await make("one-more");
    expect([refused.code, refused.json.status.error]).toEqual([
      400,
      "Bad request: Can't create collection with name one-more. Max collections limit reached: 7",
    ]);
    expect((await make("bare")).code).toBe(409);
  });
});
