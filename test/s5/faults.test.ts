/**
 * Portals that fail in every way, keys that are wrong and callers that vanish: each time the right code, nothing left behind (sessions,
 * databases, native memory, connections), and a session beside it that notices nothing.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { S5Config } from "../../src/ops/index.ts";
import type { LoadRequest, S5Hub } from "../../src/s5/index.ts";
import { makeDatabase, makeRecords, seal, type TestDatabase } from "./database.ts";
import { serve } from "./harness.ts";
import { collect, kinds, makeHub, openIndexes, requestOf } from "./hub-support.ts";

type Fault = (response: ServerResponse, body: Buffer, attempt: number, path: string) => void;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

const whole: Fault = (response, body) => response.end(body);

/** Serves a database, but for the files that `fault` names. */
async function faulty(database: TestDatabase, file: RegExp, fault: Fault) {
  const attempts = new Map<string, number>();
  let open = 0;
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const attempt = (attempts.get(path) ?? 0) + 1;
    attempts.set(path, attempt);
    open++;
    response.on("close", () => open--);
    const body = readFileSync(join(database.dir, path.replace("/s5/fs/", "")));
    (file.test(path) ? fault : whole)(response, body, attempt, path);
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, attempts, openAnswers: () => open };
}

/** A hub with a session that is searched before and after. */
async function withNeighbour(
  portalUrls: readonly string[],
  work: (hub: S5Hub) => Promise<void>,
  config: Partial<S5Config> = {},
): Promise<void> {
  const neighbour = makeDatabase();
  const good = await serve(neighbour.dir);
  const hub = makeHub({ ...config, portalUrls: [...portalUrls, good.url] });
  // The neighbour's key opens nothing at the faulty portals, so its files come from its own.
  const calm = makeHub({ portalUrls: [good.url] });
  await collect(calm.load(requestOf(neighbour, "calm")));
  const held = openIndexes();
  const query = { vector: Float32Array.from(makeRecords(1, 8, 9)[0]?.vector as number[]), k: 5 };
  const before = await calm.search("calm", query);
  await hub.upload("beside", [{ id: "1", vector: Float32Array.of(1, 2), metadata: "" }], false);
  await work(hub);
  expect(await calm.search("calm", query)).toEqual(before);
  expect((await hub.search("beside", { vector: Float32Array.of(1, 2), k: 1 })).hits[0]?.id).toBe("1");
  await hub.close("beside");
  await expect.poll(() => [hub.sessions, hub.databases, hub.bytes]).toEqual([0, 0, 0]);
  await expect.poll(openIndexes).toBe(held);
}

const cut: Fault = (response, body) => {
  response.writeHead(200, { "content-length": body.length });
  response.write(body.subarray(0, body.length >> 1), () => response.destroy());
};
const status =
  (code: number, headers: Record<string, string> = {}): Fault =>
  (response) =>
    response.writeHead(code, headers).end();

describe("a portal that", () => {
  const rows: readonly [what: string, file: RegExp, fault: Fault, code: string][] = [
    ["cuts the manifest's body", /manifest/, cut, "MANIFEST_DOWNLOAD_FAILED"],
    ["cuts a chunk's body", /chunk-1/, cut, "CHUNK_DOWNLOAD_FAILED"],
    [
      "sends less than it says, and closes in order",
      /chunk-1/,
      (response, body) => {
        response.writeHead(200, { "content-length": body.length, connection: "close" });
        response.write(body.subarray(1));
        setTimeout(() => response.destroy(), 20);
      },
      "CHUNK_DOWNLOAD_FAILED",
    ],
    [
      "sends a chunk that is too short",
      /chunk-1/,
      (response, body) => response.end(body.subarray(0, body.length - 40)),
      "DECRYPTION_FAILED",
    ],
    ["sends an empty chunk", /chunk-1/, (response) => response.end(), "DECRYPTION_FAILED"],
    [
      "sends a chunk that is too long",
      /chunk-1/,
      (response, body) => response.end(Buffer.concat([body, randomBytes(9)])),
      "DECRYPTION_FAILED",
    ],
    [
      "sends a chunk without end",
      /chunk-1/,
      (response) => response.end(randomBytes(3 * 1024 * 1024)),
      "MEMORY_LIMIT_EXCEEDED",
    ],
    [
      "sends a huge manifest",
      /manifest/,
      (response) => response.end(randomBytes(5 * 1024 * 1024)),
      "MEMORY_LIMIT_EXCEEDED",
    ],
    ["has no manifest", /manifest/, status(404), "MANIFEST_NOT_FOUND"],
    ["has no chunk", /chunk-2/, status(404), "CHUNK_DOWNLOAD_FAILED"],
    ["refuses the manifest", /manifest/, status(403), "MANIFEST_DOWNLOAD_FAILED"],
    ["fails for ever", /chunk-0/, status(500), "CHUNK_DOWNLOAD_FAILED"],
    ["is busy for ever", /chunk-0/, status(429, { "retry-after": "0" }), "CHUNK_DOWNLOAD_FAILED"],
    [
      "redirects in a loop",
      /manifest/,
      (response, _, __, path) => status(302, { location: path })(response, Buffer.alloc(0), 1, path),
      "MANIFEST_DOWNLOAD_FAILED",
    ],
    [
      "flips a bit of the manifest",
      /manifest/,
      (response, body) => {
        body[40] = (body[40] as number) ^ 4;
        response.end(body);
      },
      "DECRYPTION_FAILED",
    ],
    [
      "flips a bit of a chunk",
      /chunk-1/,
      (response, body) => {
        body[40] = (body[40] as number) ^ 4;
        response.end(body);
      },
      "DECRYPTION_FAILED",
    ],
  ];

  it.each(rows)("%s", async (_, file, fault, code) => {
    const database = makeDatabase();
    const portal = await faulty(database, file, fault);
    const hub = makeHub({ portalUrls: [portal.url] });
    const { events, error } = await collect(hub.load(requestOf(database, "one")));
    expect(events.at(-1)).toMatchObject({ kind: "loading_error", code });
    expect(error).toMatchObject({ details: { reason: code } });
    expect([hub.sessions, hub.databases, hub.bytes]).toEqual([0, 0, 0]);
    await expect.poll(openIndexes).toBe(0);
    await expect.poll(portal.openAnswers).toBe(0);
  });

  it("fails a few times is asked again, and one that is busy when it says", async () => {
    const database = makeDatabase();
    const times: number[] = [];
    const portal = await faulty(database, /chunk-1/, (response, body, attempt) => {
      times.push(performance.now());
      if (attempt === 1) status(500)(response, body, attempt, "");
      else if (attempt === 2) status(429, { "retry-after": "1" })(response, body, attempt, "");
      else response.end(body);
    });
    const hub = makeHub({ portalUrls: [portal.url] });
    expect(kinds(await collect(hub.load(requestOf(database, "one")))).at(-1)).toBe("index_ready");
    expect(times).toHaveLength(3);
    expect((times[2] as number) - (times[1] as number)).toBeGreaterThan(950);
  });

  it("hangs is left for another one, and costs its time once", async () => {
    const database = makeDatabase();
    const hanging = await faulty(database, /./, () => undefined);
    const good = await serve(database.dir);
    const hub = makeHub({ portalUrls: [hanging.url, good.url], fileTimeoutMs: 200 });
    const { error } = await collect(hub.load(requestOf(database, "one")));
    expect(error).toBeUndefined();
    expect(hanging.attempts.size).toBe(1);
    const alone = makeHub({ portalUrls: [hanging.url], fileTimeoutMs: 100 });
    const begun = performance.now();
    expect((await collect(alone.load(requestOf(database, "one")))).error).toMatchObject({
      kind: "timeout",
      details: { reason: "TIMEOUT", metadata: { is_retryable: "true" } },
    });
    expect(performance.now() - begun).toBeLessThan(2_000);
    await expect.poll(hanging.openAnswers).toBe(0);
  });

  it("drips is stopped by the whole load's time", async () => {
    const database = makeDatabase();
    const portal = await faulty(database, /chunk-1/, (response, body) => {
      response.writeHead(200, { "content-length": body.length });
      response.write(body.subarray(0, 10));
    });
    const hub = makeHub({ portalUrls: [portal.url], loadTimeoutMs: 300 });
    const { error } = await collect(hub.load(requestOf(database, "one")));
    expect(error).toMatchObject({ message: "the load took too long", details: { reason: "TIMEOUT" } });
    expect(hub.figures.timeouts).toBe(1);
    await expect.poll(portal.openAnswers).toBe(0);
    await expect.poll(openIndexes).toBe(0);
  });

  it("lies is outvoted by one that does not: the file's hash says who is right", async () => {
    const database = makeDatabase();
    const older = seal(database.key, JSON.stringify({ chunkId: 1, vectors: makeRecords(20, 8, 20) }));
    const liars: Fault[] = [
      (response, body) => {
        body[60] = (body[60] as number) ^ 1;
        response.end(body);
      },
      // Another of the owner's chunks, and an older one of the same number: both open under the key.
      (response) => response.end(readFileSync(database.chunkFile(2))),
      (response) => response.end(older),
    ];
    for (const fault of liars) {
      const liar = await faulty(database, /chunk-1/, fault);
      const good = await serve(database.dir);
      const hub = makeHub({ portalUrls: [liar.url, good.url] });
      expect((await collect(hub.load(requestOf(database, "one")))).error).toBeUndefined();
      const alone = makeHub({ portalUrls: [liar.url] });
      const { events } = await collect(alone.load(requestOf(database, "one")));
      const code = fault === liars[0] ? "DECRYPTION_FAILED" : "CHUNK_DOWNLOAD_FAILED";
      expect(events.at(-1)).toMatchObject({ kind: "loading_error", code });
    }
  });
});

describe("what nobody else notices", () => {
  it("a portal that is down, a wrong key, a bomb, and callers that vanish at each stage", async () => {
    const database = makeDatabase();
    const bomb = makeDatabase({
      manifest: (manifest) => {
        const chunks = Array.from({ length: 10_001 }, (_, chunkId) => ({
          chunkId,
          cid: "b",
          vectorCount: 0,
          sizeBytes: 1,
          updatedAt: 1,
        }));
        Object.assign(manifest, { chunks, chunkCount: chunks.length, vectorCount: 0 });
      },
    });
    const down = makeHub({ portalUrls: ["http://127.0.0.1:1"] });
    expect((await collect(down.load(requestOf(database, "one")))).error).toMatchObject({
      kind: "unavailable",
      details: { reason: "MANIFEST_DOWNLOAD_FAILED" },
    });
    expect([down.sessions, down.databases]).toEqual([0, 0]);

    const slow = await faulty(database, /./, (response, body) => setTimeout(() => response.end(body), 30));
    await withNeighbour(
      [slow.url],
      async (hub) => {
        const wrong: Partial<LoadRequest> = { sessionKey: randomBytes(32) };
        expect((await collect(hub.load(requestOf(database, "wrong", wrong)))).error).toMatchObject({
          details: { reason: "DECRYPTION_FAILED" },
        });
        for (const stage of ["nothing", "manifest_downloaded", "chunk_downloaded", "index_building"]) {
          const abort = new AbortController();
          const gone = new Error("gone");
          if (stage === "nothing") setTimeout(() => abort.abort(gone), 5);
          try {
            for await (const { kind } of hub.load(requestOf(database, "gone"), abort.signal)) {
              if (kind === stage) abort.abort(gone);
            }
            throw new Error(`the load outlived ${stage}`);
          } catch (error) {
            expect(error).toBe(gone);
          }
          // Gone, unless it was complete before its caller was told of the stage.
          const left = await hub.status({ kind: "session", sessionId: "gone" });
          expect(left).toMatchObject(stage === "index_building" && left.kind === "loaded" ? {} : { code: "CANCELLED" });
          await hub.close("gone");
          expect(hub.sessions).toBe(1);
        }
        // The upload beside is what is left.
        await expect.poll(() => hub.databases).toBeLessThan(2);
      },
      { cacheSize: 0 },
    );
    await expect.poll(slow.openAnswers).toBe(0);

    const bombs = await serve(bomb.dir);
    const hub = makeHub({ portalUrls: [bombs.url] });
    expect((await collect(hub.load(requestOf(bomb, "bomb")))).error).toMatchObject({
      details: { reason: "MEMORY_LIMIT_EXCEEDED" },
    });
  });

  it("writes no file, and no key and no content into what it says", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sealpoint-s5-files-"));
    const old = process.env.TMPDIR;
    const database = makeDatabase();
    process.env.TMPDIR = folder;
    try {
      const { url } = await serve(database.dir);
      const hub = makeHub({ portalUrls: [url] });
      const told = await collect(hub.load(requestOf(database, "one")));
      const text = JSON.stringify([told, await hub.list(), await hub.status({ kind: "session", sessionId: "one" })]);
      for (const form of [
        Buffer.from(database.key).toString("hex"),
        Buffer.from(database.key).toString("base64"),
        "word 1",
      ]) {
        expect(text.includes(form)).toBe(false);
      }
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      if (old === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = old;
      rmSync(folder, { recursive: true });
    }
  });
});
