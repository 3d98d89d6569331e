/** Sessions: what their callers see of loads, statuses, searches, uploads, and of each other. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DomainError, fullAccess } from "../../src/core/index.ts";
import type { LoadRequest, LoadTarget } from "../../src/s5/index.ts";
import { fastest } from "../support/timing.ts";
import { loadSlice, recall } from "../support/wordnet.ts";
import { makeDatabase, makeRecords, owner, type TestDatabase } from "./database.ts";
import { scripted, serve } from "./harness.ts";
import { collect, kinds, makeHub, openIndexes, requestOf } from "./hub-support.ts";

const session = (sessionId: string): LoadTarget => ({ kind: "session", sessionId });
const whole = ["manifest_downloaded", "chunk_downloaded", "chunk_downloaded", "chunk_downloaded", "index_building"];
const vectorOf = (database: TestDatabase, id: number): Float32Array =>
  Float32Array.from(database.records.flat()[id]?.vector as number[]);

/** A portal that answers what is shut only once `open` was called. */
async function gated(database: TestDatabase, shut: (path: string) => boolean = (path) => path.includes("chunk")) {
  const read = (path: string) => readFileSync(join(database.dir, path.replace("/s5/fs/", "")));
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const portal = await scripted(async (path) => {
    if (shut(path)) await opened;
    return { status: 200, body: read(path) };
  });
  return { ...portal, open };
}

describe("a session", () => {
  it("is searched exactly and forgotten when closed", async () => {
    const slice = loadSlice();
    const records = slice.documents.map((document, row) => ({
      id: String(document.id),
      vector: [...slice.vector(row)],
      metadata: document,
    }));
    const database = makeDatabase({
      chunks: [records.slice(0, 700), records.slice(700, 1_400), records.slice(1_400)],
      dimensions: slice.dimensions,
    });
    const hub = makeHub({ portalUrls: [(await serve(database.dir)).url] });
    const told = await collect(hub.load(requestOf(database, "one")));
    expect(kinds(told)).toEqual([...whole, "loading_complete", "index_ready"]);
    const count = records.length;
    expect(await hub.status(session("one"))).toMatchObject({ kind: "loaded", vectorCount: count, indexReady: true });
    for (let query = 0; query < 20; query++) {
      const vector = slice.query(query).slice();
      const { hits, partial, percent } = await hub.search("one", { vector, k: 10 });
      expect({ partial, percent }).toEqual({ partial: false, percent: 100 });
      const ids = hits.map((hit) => Number(hit.id));
      expect(recall(ids, slice.top10[query] as number[])).toBe(1);
      expect(JSON.parse(hits[0]?.metadata ?? "")).toEqual(slice.documents[ids[0] as number]);
      const scores = hits.map((hit) => hit.score);
      expect(scores).toEqual([...scores].sort((a, b) => b - a));
      const threshold = scores[4] as number;
      expect((await hub.search("one", { vector, k: 10, threshold })).hits).toHaveLength(5);
    }
    const bad = [
      [{ vector: new Float32Array(3), k: 10 }, "vector"],
      [{ vector: slice.query(0).map(() => Number.NaN), k: 10 }, "vector"],
      [{ vector: slice.query(0).slice(), k: 0 }, "k"],
      [{ vector: slice.query(0).slice(), k: 10_001 }, "k"],
      [{ vector: slice.query(0).slice(), k: 1, threshold: Number.NaN }, "threshold"],
      [{ vector: slice.query(0).slice(), k: 1, ef: 0 }, "hnsw_ef"],
    ] as const;
    for (const [query, field] of bad) {
      await expect(hub.search("one", query)).rejects.toMatchObject({ kind: "bad_input", details: { field } });
    }
    expect(await hub.close("one")).toBe(true);
    expect(await hub.close("one")).toBe(false);
    await expect(hub.search("one", { vector: slice.query(0).slice(), k: 1 })).rejects.toMatchObject({
      kind: "not_found",
    });
    expect(await hub.status(session("one"))).toEqual({ kind: "not_started" });
  });

  it("that loads says so, with the percent, and is searched as far as it is there when asked", async () => {
    const database = makeDatabase();
    const portal = await gated(database, (path) => path.endsWith("chunk-2.json"));
    const hub = makeHub({ portalUrls: [portal.url] });
    const loading = collect(hub.load(requestOf(database, "one")));
    await expect
      .poll(() => hub.status(session("one")))
      .toMatchObject({ kind: "loading", vectorsLoaded: 40, vectorCount: 45 });
    const query = { vector: vectorOf(database, 7), k: 1 };
    await expect(hub.search("one", query)).rejects.toMatchObject({
      kind: "precondition",
      message: "still loading (88 %)",
      retryable: true,
      details: { metadata: { percent: "88" } },
    });
    expect(await hub.search("one", { ...query, allowPartial: true })).toMatchObject({
      hits: [{ id: "7" }],
      partial: true,
      percent: 88,
    });
    const { sessions } = await hub.list();
    expect(sessions).toMatchObject([{ sessionId: "one", source: "load", status: { kind: "loading" }, dimensions: 8 }]);
    portal.open();
    expect((await loading).error).toBeUndefined();
    expect(await hub.search("one", query)).toMatchObject({ hits: [{ id: "7" }], partial: false });
  });

  it("is told to several watchers, who get what they missed", async () => {
    const database = makeDatabase();
    const portal = await gated(database, (path) => path.endsWith("chunk-2.json"));
    const hub = makeHub({ portalUrls: [portal.url] });
    const first = collect(hub.load(requestOf(database, "one")));
    await expect.poll(() => hub.status(session("one"))).toMatchObject({ vectorsLoaded: 40 });
    const watchers = [collect(hub.watch(session("one"))), collect(hub.watch(session("one")))];
    portal.open();
    const told = await first;
    expect(kinds(told)).toEqual([...whole, "loading_complete", "index_ready"]);
    for (const watcher of watchers) expect((await watcher).events).toEqual(told.events);
    expect((await collect(hub.watch(session("one")))).events).toEqual(told.events);
    expect((await collect(hub.watch(session("none")))).error).toMatchObject({ kind: "not_found" });
  });

  it("that failed is remembered by its code, and its name is free", async () => {
    const database = makeDatabase();
    database.flip("chunk-1.json");
    const hub = makeHub({ portalUrls: [(await serve(database.dir)).url] });
    const { events, error } = await collect(hub.load(requestOf(database, "one")));
    expect(events.at(-1)).toMatchObject({ kind: "loading_error", code: "DECRYPTION_FAILED" });
    expect(error).toMatchObject({
      kind: "open_failed",
      details: { reason: "DECRYPTION_FAILED", metadata: { is_retryable: "false", is_security: "true" } },
    });
    expect(await hub.status(session("one"))).toMatchObject({
      kind: "error",
      code: "DECRYPTION_FAILED",
      isSecurity: true,
    });
    const late = await collect(hub.watch(session("one")));
    expect(late.events).toEqual([events.at(-1)]);
    expect(late.error).toMatchObject({ details: { reason: "DECRYPTION_FAILED" } });
    expect([hub.sessions, hub.databases]).toEqual([0, 0]);
    database.flip("chunk-1.json");
    expect((await collect(hub.load(requestOf(database, "one")))).error).toBeUndefined();
    expect(await hub.status(session("one"))).toMatchObject({ kind: "loaded" });
  });

  it("has a name of its own, and a request that is right", async () => {
    const database = makeDatabase();
    const hub = makeHub({ portalUrls: [(await serve(database.dir)).url] });
    await collect(hub.load(requestOf(database, "one")));
    expect((await collect(hub.load(requestOf(database, "one")))).error).toMatchObject({ kind: "already_exists" });
    const bad: [Partial<LoadRequest>, string][] = [
      [{ sessionKey: new Uint8Array(31) }, "session_key"],
      [{ userAddress: "0x12" }, "user_address"],
      [{ parallelChunks: 0 }, "parallel_chunks"],
      [{ parallelChunks: 21 }, "parallel_chunks"],
      [{ target: session("a b") }, "session_id"],
      [{ target: session("") }, "session_id"],
      [{ target: session("x".repeat(65)) }, "session_id"],
    ];
    for (const [rest, field] of bad) {
      const { error } = await collect(hub.load(requestOf(database, "two", rest)));
      expect(error).toMatchObject({ kind: "bad_input", details: { field } });
    }
    expect(hub.sessions).toBe(1);
  });

  it("is refused for a wrong EIP-55 checksum only when that is asked for", async () => {
    // From EIP-55's own examples.
    const right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const wrong = "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const hub = makeHub({ portalUrls: ["http://127.0.0.1:1"] });
    const ask = async (userAddress: string, strictAddress: boolean) =>
      (await collect(hub.load(requestOf(makeDatabase({ chunks: [] }), "one", { userAddress, strictAddress })))).error;
    expect(await ask(wrong, true)).toMatchObject({ details: { field: "user_address" } });
    for (const [address, strict] of [
      [wrong, false],
      [right, true],
      [right.toLowerCase(), true],
    ] as const) {
      expect(await ask(address, strict)).toMatchObject({ details: { reason: "OWNER_MISMATCH" } });
    }
  });

  it("wipes the key that it was given", async () => {
    const database = makeDatabase();
    const hub = makeHub({ portalUrls: [(await serve(database.dir)).url] });
    for (const rest of [{}, { userAddress: "0x12" }, { manifestPath: "x" }]) {
      const request = requestOf(database, "one", rest);
      await collect(hub.load(request));
      expect(request.sessionKey.every((byte) => byte === 0)).toBe(true);
    }
  });
});

describe("cancelling", () => {
  it("ends the load with its caller, within 100 ms at any stage, and leaves nothing", async () => {
    const database = makeDatabase();
    const cancelled = async (shut: RegExp) => {
      const portal = await gated(database, (path) => shut.test(path));
      const hub = makeHub({ portalUrls: [portal.url] });
      const abort = new AbortController();
      const loading = collect(hub.load(requestOf(database, "one"), abort.signal));
      await expect.poll(() => [...portal.attempts.keys()].some((path) => shut.test(path))).toBe(true);
      const begun = performance.now();
      abort.abort(new DomainError("cancelled", "gone"));
      expect((await loading).error).toMatchObject({ kind: "cancelled" });
      const took = performance.now() - begun;
      await expect.poll(() => [hub.sessions, hub.databases]).toEqual([0, 0]);
      await expect.poll(openIndexes).toBe(0);
      return took;
    };
    for (const shut of [/manifest/, /chunk-2/]) expect(await fastest(100, () => cancelled(shut))).toBeLessThan(100);
  });

  it("by leaving the iteration is the same", async () => {
    const database = makeDatabase();
    const portal = await gated(database);
    const hub = makeHub({ portalUrls: [portal.url] });
    for await (const event of hub.load(requestOf(database, "one"))) if (event.kind === "manifest_downloaded") break;
    expect(hub.sessions).toBe(0);
    expect(await hub.status(session("one"))).toMatchObject({ kind: "error", code: "CANCELLED" });
  });

  it("does nothing to a detached load, which Cancel ends", async () => {
    const database = makeDatabase();
    const portal = await gated(database);
    const hub = makeHub({ portalUrls: [portal.url] });
    for (const sessionId of ["one", "two"]) {
      for await (const event of hub.load(requestOf(database, sessionId, { detach: true }))) {
        if (event.kind === "manifest_downloaded") break;
      }
    }
    expect(await hub.status(session("one"))).toMatchObject({ kind: "loading" });
    expect(await hub.cancel(session("two"))).toBe(true);
    expect(await hub.cancel(session("two"))).toBe(false);
    portal.open();
    const told = await collect(hub.watch(session("one")));
    expect(kinds(told).at(-1)).toBe("index_ready");
    expect(await hub.cancel(session("one"))).toBe(false);
    expect(await hub.status(session("two"))).toMatchObject({ code: "CANCELLED" });
    expect((await hub.search("one", { vector: vectorOf(database, 3), k: 1 })).hits[0]?.id).toBe("3");
  });

  it("leaves a session that is loaded alone", async () => {
    const database = makeDatabase();
    const hub = makeHub({ portalUrls: [(await serve(database.dir)).url] });
    for await (const event of hub.load(requestOf(database, "one"))) if (event.kind === "loading_complete") break;
    expect(await hub.status(session("one"))).toMatchObject({ kind: "loaded" });
  });
});

describe("uploads", () => {
  const vectors = (count: number, first = 0) =>
    makeRecords(count, 8, first).map(({ id, vector, metadata }) => ({
      id,
      vector: Float32Array.from(vector as number[]),
      metadata: JSON.stringify(metadata),
    }));

  it("live beside loaded sessions", async () => {
    const database = makeDatabase();
    const hub = makeHub({ portalUrls: [(await serve(database.dir)).url] });
    await collect(hub.load(requestOf(database, "loaded")));
    expect(await hub.upload("mine", vectors(10), false)).toBe(10);
    expect(await hub.upload("mine", vectors(5, 10), false)).toBe(15);
    const query = { vector: vectorOf(database, 12), k: 3 };
    const [hit] = (await hub.search("mine", query)).hits;
    expect(hit?.id).toBe("12");
    expect(JSON.parse(hit?.metadata ?? "")).toEqual(makeRecords(1, 8, 12)[0]?.metadata);
    expect((await hub.search("loaded", query)).hits).toHaveLength(3);
    expect(await hub.status(session("mine"))).toMatchObject({ kind: "loaded", vectorCount: 15 });
    const { sessions } = await hub.list();
    expect(sessions.map(({ sessionId, source }) => [sessionId, source])).toEqual([
      ["loaded", "load"],
      ["mine", "upload"],
    ]);
    expect(await hub.upload("mine", vectors(2, 100), true)).toBe(2);
    expect((await hub.search("mine", { ...query, k: 10 })).hits.map(({ id }) => id).sort()).toEqual(["100", "101"]);
    expect(await hub.close("mine")).toBe(true);
    expect((await hub.search("loaded", query)).hits).toHaveLength(3);
    await expect(hub.upload("loaded", vectors(1), false)).rejects.toMatchObject({ details: { field: "session_id" } });
  });

  it("are taken wholly or not at all", async () => {
    const hub = makeHub({ databaseBytesMax: 60_000 });
    const [one] = vectors(1);
    if (one === undefined) throw new Error("no vector");
    const bad = [
      [[], "vectors"],
      [[{ ...one, id: "" }], "vectors[0].id"],
      [[one, one], "vectors[1].id"],
      [[one, { ...one, id: "2", vector: new Float32Array(7) }], "vectors[1].vector"],
      [[one, { ...one, id: "2", vector: new Float32Array(8).fill(Number.NaN) }], "vectors[1].vector"],
      [[one, { ...one, id: "2", metadata: "[]" }], "vectors[1].metadata"],
      [[one, { ...one, id: "2", metadata: "{" }], "vectors[1].metadata"],
      [[{ ...one, metadata: '{"$sealpoint":1}' }], "vectors[0].metadata"],
    ] as const;
    for (const [uploaded, field] of bad) {
      await expect(hub.upload("one", uploaded, false)).rejects.toMatchObject({ kind: "bad_input", details: { field } });
      expect(hub.sessions).toBe(0);
    }
    expect(await hub.upload("one", vectors(3), false)).toBe(3);
    await expect(hub.upload("one", vectors(3, 2), false)).rejects.toMatchObject({
      details: { field: "vectors[0].id" },
    });
    expect(await hub.upload("one", vectors(1, 3), false)).toBe(4);
    await expect(hub.upload("one", vectors(100, 200), false)).rejects.toMatchObject({
      kind: "exhausted",
      details: { reason: "MEMORY_LIMIT_EXCEEDED" },
    });
    expect(await hub.status(session("one"))).toMatchObject({ vectorCount: 4 });
  });
});

describe("a load into a collection", () => {
  const collection: LoadTarget = { kind: "collection", name: "docs" };

  it("is watched, listed and cancelled by its name", async () => {
    const database = makeDatabase();
    const portal = await gated(database, (path) => path.endsWith("chunk-2.json"));
    const calls: string[] = [];
    const hub = makeHub(
      { portalUrls: [portal.url] },
      {
        collections: (name) => ({
          metadataForm: "payload",
          begin: () => void calls.push(`begin ${name}`),
          add: () => void calls.push("add"),
          finish: () => void calls.push("finish"),
          abort: () => void calls.push("abort"),
        }),
      },
    );
    const request = (): LoadRequest =>
      requestOf(database, "", { target: collection, detach: true, access: fullAccess });
    const load = collect(hub.load(request()));
    await expect.poll(() => hub.status(collection)).toMatchObject({ kind: "loading", vectorCount: 45 });
    expect((await hub.list()).collections).toMatchObject([{ name: "docs", manifestPath: database.manifestPath }]);
    expect((await collect(hub.load(request()))).error).toMatchObject({ kind: "already_exists" });
    expect(await hub.cancel(collection)).toBe(true);
    expect((await load).error).toMatchObject({ kind: "cancelled" });
    await expect.poll(() => calls.at(-1)).toBe("abort");
    expect(await hub.status(collection)).toMatchObject({ kind: "error", code: "CANCELLED" });
    portal.open();
    await expect.poll(async () => (await hub.list()).collections).toEqual([]);
    expect(kinds(await collect(hub.load(request())))).toEqual([...whole, "loading_complete"]);
    expect(calls.at(-1)).toBe("finish");
    expect(await hub.status(collection)).toMatchObject({ kind: "loaded", vectorCount: 45 });
    expect(kinds(await collect(hub.watch(collection)))).toEqual(["loading_complete"]);
  });
});

describe("the rate limit", () => {
  it("slides with each user's own requests", async () => {
    const database = makeDatabase();
    let now = 0;
    const hub = makeHub(
      { portalUrls: [(await serve(database.dir)).url], rateRequests: 2, rateWindowMs: 60_000 },
      { databases: { nowMs: () => now } },
    );
    const ask = (sessionId: string) => collect(hub.load(requestOf(database, sessionId)));
    expect((await ask("one")).error).toBeUndefined();
    now = 20_000;
    expect((await ask("two")).error).toBeUndefined();
    const refused = await ask("three");
    expect(refused.events).toMatchObject([{ kind: "loading_error", code: "RATE_LIMIT_EXCEEDED", isRetryable: true }]);
    expect(refused.error).toMatchObject({
      kind: "rate_limited",
      details: { reason: "RATE_LIMIT_EXCEEDED", retryAfterSeconds: 40 },
    });
    // Somebody else has a window of his own.
    const other = await collect(hub.load(requestOf(database, "x", { userAddress: owner.replace(/1$/, "2") })));
    expect(other.error).toMatchObject({ details: { reason: "OWNER_MISMATCH" } });
    now = 60_000;
    expect((await ask("three")).error).toBeUndefined();
    expect((await ask("four")).error).toMatchObject({ kind: "rate_limited" });
  });
});
