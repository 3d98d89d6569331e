/** Snapshots over HTTP: those of a shard, what is not waited for, and which files may be named. Against the server as a process. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { addonBuilt, ServerProcess } from "../e2e/server-process.ts";

let server: ServerProcess;
beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({ logLevel: "error" });
  await call("PUT", "/collections/copied", { vectors: { size: 2, distance: "Dot" } });
  await fill(1, 2, 3);
});
afterAll(async () => {
  await server?.stop();
});

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into, member by member
type Loose = any;

const url = (path: string) => `http://127.0.0.1:${server.httpPort}${path}`;

async function call(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ code: number; json: Loose; error: string }> {
  const { code, json } = await server.rest(method, path, body);
  return { code, json, error: json.status?.error ?? "" };
}

const fill = (...ids: number[]) =>
  call("PUT", "/collections/copied/points?wait=true", { points: ids.map((id) => ({ id, vector: [id, 1] })) });
const count = async () => (await call("POST", "/collections/copied/points/count", {})).json.result.count;
const namesIn = async (folder: string): Promise<string[]> =>
  (await call("GET", folder)).json.result.map(({ name }: Loose) => name);

describe.skipIf(!addonBuilt)("a shard's snapshots", () => {
  const folder = "/collections/copied/shards/0/snapshots";

  test("are made, listed, fetched, restored and deleted beside the collection's own", async () => {
    expect(await namesIn(folder)).toEqual([]);
    const { name, checksum, size } = (await call("POST", folder)).json.result;
    expect(name).toMatch(/^copied-shard-0-[\d-]+\.snapshot$/);
    expect(await namesIn(folder)).toEqual([name]);
    expect(await namesIn("/collections/copied/snapshots")).toEqual([]);
    const bytes = Buffer.from(await (await fetch(url(`${folder}/${name}`))).arrayBuffer());
    expect([bytes.length, createHash("sha256").update(bytes).digest("hex")]).toEqual([size, checksum]);

    await fill(4, 5);
    const location = url(`${folder}/${name}`);
    expect((await call("PUT", `${folder}/recover`, { location, checksum: "3".repeat(64) })).code).toBe(400);
    expect(await count()).toBe(5);
    expect((await call("PUT", `${folder}/recover`, { location, checksum })).json.result).toBe(true);
    expect(await count()).toBe(3);

    // A location that is no URL names one of the shard's own.
    for (const priority of ["replica", "snapshot", "no_sync"]) {
      await fill(4, 5);
      const own = { location: name, priority, checksum };
      expect((await call("PUT", `${folder}/recover`, own)).json.result).toBe(true);
      expect(await count()).toBe(3);
    }

    const stream = await fetch(url("/collections/copied/shards/0/snapshot"));
    const streamed = Buffer.from(await stream.arrayBuffer());
    expect(streamed.length).toBe(Number(stream.headers.get("content-length")));
    const form = new FormData();
    form.set("snapshot", new Blob([streamed]), "streamed.snapshot");
    await fill(6);
    expect((await fetch(url(`${folder}/upload?priority=first`), { method: "POST", body: form })).status).toBe(400);
    expect((await fetch(url(`${folder}/upload?priority=replica`), { method: "POST", body: form })).status).toBe(200);
    expect(await count()).toBe(3);
    expect((await call("DELETE", `${folder}/${name}`)).json.result).toBe(true);
    expect(await namesIn(folder)).toEqual([]);
  });

  test("are refused of what is not there", async () => {
    expect(await call("GET", "/collections/copied/shards/7/snapshots")).toMatchObject({
      code: 404,
      error: "Not found: Shard 7 not found",
    });
    const location = url(`${folder}/none`);
    for (const path of ["/collections/nowhere/shards/0/snapshots", "/collections/nowhere/shards/7/snapshots"]) {
      expect((await call("GET", path)).code).toBe(404);
      expect((await call("PUT", `${path}/recover`, { location })).code).toBe(404);
    }
    for (const name of ["none.snapshot", "../copied.snapshot", "/etc/passwd", "..%2Fx"]) {
      expect(await call("PUT", `${folder}/recover`, { location: name })).toMatchObject({
        code: 404,
        error: `Not found: Snapshot ${name} not found`,
      });
    }
    expect(await call("PUT", `${folder}/recover`, { location: "x", priority: "first" })).toMatchObject({
      code: 400,
      error: expect.stringMatching(/^Format error in JSON body: priority: unknown variant/),
    });
    expect((await call("PUT", "/collections/copied/snapshots/recover", { location: "none.snapshot" })).code).toBe(400);
    expect((await call("GET", "/collections/nowhere/exists")).json.result.exists).toBe(false);
    for (const name of ["none", "..%2F..%2Fx", "%2Fetc%2Fpasswd"]) {
      expect((await call("GET", `${folder}/${name}`)).code).toBe(404);
    }
  });
});

test.skipIf(!addonBuilt)("what is not waited for is accepted, and done behind the answer", async () => {
  for (const folder of ["/collections/copied/snapshots", "/collections/copied/shards/0/snapshots", "/snapshots"]) {
    const accepted = await call("POST", `${folder}?wait=false`);
    expect(accepted).toMatchObject({ code: 202, json: { status: "accepted", time: expect.any(Number) } });
    expect(accepted.json).not.toHaveProperty("result");
    const [name = ""] = await vi.waitUntil(async () => {
      const names = await namesIn(folder);
      return names.length === 1 ? names : undefined;
    });
    expect((await call("DELETE", `${folder}/${name}?wait=false`)).code).toBe(202);
    await vi.waitUntil(async () => (await namesIn(folder)).length === 0);
  }
  expect((await call("POST", "/collections/copied/snapshots?wait=maybe")).code).toBe(400);
});

test.skipIf(!addonBuilt)(
  "only files in the folder of snapshots are restored, and a wrong address says why",
  async () => {
    const outside = join(dirname(server.dataDir), "outside.snapshot");
    writeFileSync(outside, "secret");
    const noPath = "Bad request: Invalid snapshot URI, file path must be absolute or on localhost";
    const elsewhere = "Bad request: Snapshot file path must be inside the snapshots directory";
    for (const [location, error] of [
      ["file://some.snapshot", noPath],
      ["file://./etc/passwd", noPath],
      ["file:///no/such.snapshot", 'Bad request: Snapshot file "/no/such.snapshot" does not exist'],
      ["file://localhost/no/such.snapshot", 'Bad request: Snapshot file "/no/such.snapshot" does not exist'],
      [pathToFileURL(outside).href, elsewhere],
    ] as const) {
      expect(await call("PUT", "/collections/fresh/snapshots/recover", { location })).toMatchObject({
        code: 400,
        error,
      });
    }
    const { name } = (await call("POST", "/collections/copied/snapshots")).json.result;
    const location = pathToFileURL(join(server.dataDir, "snapshots", "copied", name)).href;
    expect((await call("PUT", "/collections/fresh/snapshots/recover", { location })).json.result).toBe(true);
    expect((await call("POST", "/collections/fresh/points/count", {})).json.result.count).toBe(3);
  },
);
