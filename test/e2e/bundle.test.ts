/** The bundle as a package has it: no sources beside it, and `serve` as one script with a cache of its code. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { dense, enable, makeCollection, nearest, num, text } from "./messages.ts";
import { addonBuilt, connectTo, root, ServerProcess } from "./server-process.ts";

if (!addonBuilt) console.log("bundle: skipped, because the addon is not built");

describe.skipIf(!addonBuilt)("the bundle", { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "sealpoint-bundle-"));
  const launcher = join(folder, "bin/sealpoint.mjs");
  const bundle = join(folder, "dist/bundle");
  const cacheOf = () => join(bundle, readdirSync(bundle).find((name) => name.endsWith(".cache")) ?? "none.cache");

  beforeAll(() => {
    cpSync(join(root, "bin"), join(folder, "bin"), { recursive: true });
    for (const name of ["build", "node_modules", "package.json"]) symlinkSync(join(root, name), join(folder, name));
    execFileSync(process.execPath, [join(root, "scripts/bundle.mjs"), "--to", bundle], { stdio: "inherit" });
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function serves(env: Record<string, string> = {}): Promise<void> {
    const server = await ServerProcess.start({ launcher, env });
    const client = connectTo(server.address);
    try {
      const collectionName = await makeCollection(client);
      const points = [{ id: num(1), vectors: dense(1, 2), payload: { a: text("b") } }];
      await client.call(Points.method.upsert, { collectionName, wait: true, points });
      const found = { collectionName, query: nearest(1, 1), limit: 1n, withPayload: enable };
      const { result } = await client.call(Points.method.query, found);
      expect(result.map(({ payload }) => payload.a?.kind.value)).toEqual(["b"]);
      expect((await server.rest("GET", "/readyz")).code).toBe(200);
      // Its workers lie beside it: a large body is parsed by one.
      const many = Array.from({ length: 20_000 }, (_, id) => ({ id, vector: [id, 1] }));
      expect((await server.rest("PUT", `/collections/${collectionName}/points?wait=true`, { points: many })).code).toBe(
        200,
      );
    } finally {
      client.close();
      await server.stop();
    }
  }

  test("has a cache of the server's code, which the one script makes at its end", async () => {
    const cache = cacheOf();
    const { mtimeMs, size } = statSync(cache);
    expect(size).toBeGreaterThan(500_000);
    await serves();
    expect(statSync(cache).mtimeMs).toBe(mtimeMs);
    rmSync(cache);
    await serves({ SEALPOINT_MAKE_CODE_CACHE: "1" });
    expect(statSync(cache).size).toBeGreaterThan(500_000);
  });

  test("serves with a damaged cache, or without one", async () => {
    const cache = cacheOf();
    const bytes = readFileSync(cache);
    writeFileSync(cache, bytes.subarray(0, bytes.length / 2));
    await serves();
    bytes.fill(0xaa, bytes.length / 2, bytes.length / 2 + 64);
    writeFileSync(cache, bytes);
    await serves();
    rmSync(cache);
    await serves();
  });

  test("serves on several threads, and runs the other commands", async () => {
    await serves({ SEALPOINT_RPC_THREADS: "2" });
    expect(execFileSync(process.execPath, [launcher, "verify", "--help"], { encoding: "utf8" })).toContain(
      "--data-dir",
    );
    expect(execFileSync(process.execPath, [launcher, "serve", "--help"], { encoding: "utf8" })).toContain(
      "--grpc-port",
    );
  });
});
