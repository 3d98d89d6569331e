/** Databases that sessions share, and the cache of those that nobody has open. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { S5Hub } from "../../src/s5/index.ts";
import { Opener } from "../../src/s5/opener.ts";
import { makeDatabase, makeRecords, type TestDatabase } from "./database.ts";
import { scripted } from "./harness.ts";
import { collect, engineFolder, kinds, makeHub, openIndexes, requestOf } from "./hub-support.ts";

async function portalOf(...databases: readonly TestDatabase[]) {
  return scripted((path) => {
    for (const { dir } of databases) {
      try {
        return { status: 200, body: readFileSync(join(dir, path.replace("/s5/fs/", ""))) };
      } catch {}
    }
    return { status: 404 };
  });
}

const total = (attempts: ReadonlyMap<string, number>): number =>
  [...attempts.values()].reduce((sum, one) => sum + one, 0);
const load = (hub: S5Hub, database: TestDatabase, sessionId: string, rest = {}) =>
  collect(hub.load(requestOf(database, sessionId, rest)));
const vectorOf = (records: ReturnType<typeof makeRecords>, at: number) =>
  Float32Array.from(records[at]?.vector as number[]);
const best = async (hub: S5Hub, sessionId: string, vector: Float32Array) =>
  (await hub.search(sessionId, { vector, k: 1 })).hits[0]?.id;

/** Names of a database that lie apart on the same portal. */
function named(name: string): TestDatabase {
  const database = makeDatabase();
  const manifestPath = database.manifestPath.replace("/small/", `/${name}/`);
  return { ...database, manifestPath };
}

describe("sharing", () => {
  it("ten loads of one database at a time download it once, and have one index", async () => {
    const database = makeDatabase();
    const { url, attempts } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url] });
    const names = Array.from({ length: 10 }, (_, i) => `s${i}`);
    const told = await Promise.all(names.map((name) => load(hub, database, name)));
    for (const one of told) expect(kinds(one).at(-1)).toBe("index_ready");
    expect(total(attempts)).toBe(4);
    expect([hub.sessions, hub.databases]).toEqual([10, 1]);
    expect([hub.figures.cacheHits, hub.figures.cacheMisses]).toEqual([9, 1]);
    for (const name of names) expect(await best(hub, name, vectorOf(makeRecords(20, 8), 7))).toBe("7");
    expect(await hub.close("s3")).toBe(true);
    expect(await best(hub, "s4", vectorOf(makeRecords(20, 8), 9))).toBe("9");
  });

  it("a caller that goes leaves the load to the others", async () => {
    const database = makeDatabase();
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { url } = await scripted(async (path) => {
      if (path.includes("chunk-1")) await opened;
      return { status: 200, body: readFileSync(join(database.dir, path.replace("/s5/fs/", ""))) };
    });
    const hub = makeHub({ portalUrls: [url] });
    const abort = new AbortController();
    const first = collect(hub.load(requestOf(database, "first"), abort.signal));
    const second = load(hub, database, "second");
    abort.abort(new Error("gone"));
    expect((await first).error).toMatchObject({ message: "gone" });
    open();
    expect(kinds(await second).at(-1)).toBe("index_ready");
    expect(hub.sessions).toBe(1);
  });
});

describe("the cache", () => {
  it("answers the right key without the portal, and a wrong one not at all", async () => {
    const database = makeDatabase();
    const { url, attempts } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url] });
    await load(hub, database, "one");
    await hub.close("one");
    const before = total(attempts);
    const told = await load(hub, database, "two");
    expect(kinds(told)).toEqual(["manifest_downloaded", "loading_complete", "index_ready"]);
    expect(told.events[1]).toMatchObject({ fromCache: true, vectorCount: 45, chunksDownloaded: 0 });
    expect(total(attempts)).toBe(before);
    const sessionKey = Uint8Array.from(database.key);
    sessionKey[31] = (sessionKey[31] as number) ^ 1;
    const wrong = await load(hub, database, "three", { sessionKey });
    expect(wrong.error).toMatchObject({ details: { reason: "DECRYPTION_FAILED" } });
    expect(kinds(wrong)).toEqual(["loading_error"]);
    // The one with the right key is not disturbed.
    expect(await best(hub, "two", vectorOf(makeRecords(20, 8), 3))).toBe("3");
    expect([hub.sessions, hub.databases]).toEqual([1, 1]);
  });

  it("lets the least recently used go, and never one that is open", async () => {
    const databases = [makeDatabase(), makeDatabase(), makeDatabase()];
    const [a, b, c] = databases as [TestDatabase, TestDatabase, TestDatabase];
    const portals = await Promise.all(databases.map((database) => portalOf(database)));
    // The same path in three portals, each under a key of its own: the key decides.
    const hub = makeHub({ portalUrls: portals.map(({ url }) => url), cacheSize: 2 });
    await load(hub, a, "a");
    await load(hub, b, "b");
    await load(hub, c, "c");
    expect(hub.databases).toBe(3);
    await hub.close("b");
    expect([hub.databases, hub.figures.evictions]).toEqual([2, 1]);
    await hub.close("a");
    await hub.close("c");
    expect(hub.databases).toBe(2);
    await load(hub, b, "b");
    expect(hub.figures.evictions).toBe(2);
    const before = portals.map(({ attempts }) => total(attempts));
    await load(hub, c, "c");
    expect(portals.map(({ attempts }) => total(attempts))).toEqual(before);
    expect(await best(hub, "c", vectorOf(makeRecords(20, 8), 3))).toBe("3");
  });

  it("keeps nothing at all with size 0", async () => {
    const database = makeDatabase();
    const { url } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url], cacheSize: 0 });
    await load(hub, database, "one");
    expect(openIndexes()).toBeGreaterThan(0);
    await hub.close("one");
    expect([hub.sessions, hub.databases, hub.bytes]).toEqual([0, 0, 0]);
    await expect.poll(openIndexes).toBe(0);
  });

  it("lets go of what is too old, session and database", async () => {
    const database = makeDatabase();
    const { url } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url], cacheTtlMs: 200 });
    await load(hub, database, "one");
    await expect.poll(() => [hub.sessions, hub.databases], { timeout: 5_000 }).toEqual([0, 0]);
    await expect.poll(openIndexes).toBe(0);
  });

  it("makes room by memory, and refuses a load before its chunks when all is in use", async () => {
    const [a, b] = [makeDatabase(), makeDatabase()];
    const portals = [await portalOf(a), await portalOf(b)];
    const hub = makeHub({ portalUrls: portals.map(({ url }) => url), cacheBytesMax: 60_000 });
    await load(hub, a, "a");
    const before = portals[1]?.attempts.size;
    // 45 vectors are estimated at 47,520 bytes; what is loaded counts as what it holds.
    const big = makeDatabase({ chunks: [makeRecords(55, 8)] });
    const portal = await portalOf(big);
    const small = makeHub({ portalUrls: [portal.url], cacheBytesMax: 50_000 });
    const refused = await load(small, big, "big");
    expect(refused.error).toMatchObject({ kind: "exhausted", details: { reason: "MEMORY_LIMIT_EXCEEDED" } });
    expect([...portal.attempts.keys()].some((path) => path.includes("chunk"))).toBe(false);
    await hub.close("a");
    expect((await load(hub, b, "b")).error).toBeUndefined();
    expect(before).toBe(0);
  });

  it("refuses what is over the limit of one database before its chunks", async () => {
    const database = makeDatabase();
    const { url, attempts } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url], databaseBytesMax: 40_000 });
    const { error } = await load(hub, database, "one");
    expect(error).toMatchObject({ details: { reason: "MEMORY_LIMIT_EXCEEDED", metadata: { is_retryable: "false" } } });
    expect([...attempts.keys()]).toEqual([`/s5/fs/${database.manifestPath}`]);
  });
});

describe("keys", () => {
  /** Notes the memory that keys are handed over in. */
  class WatchedOpener extends Opener {
    readonly keys = new Set<SharedArrayBuffer>();
    override open(...[task, key]: Parameters<Opener["open"]>): ReturnType<Opener["open"]> {
      this.keys.add(key);
      return super.open(task, key);
    }
    get held(): number {
      return [...this.keys].filter((key) => new Uint8Array(key).some((byte) => byte !== 0)).length;
    }
  }
  const watched = (config: Parameters<typeof makeHub>[0]) => {
    const opener = new WatchedOpener();
    onTestFinished(() => opener.close());
    return { opener, hub: makeHub(config, { databases: { backoffMs: 5, opener } }) };
  };

  it("stay as long as their database, and are overwritten when it is evicted, too old, or was never loaded", async () => {
    const database = makeDatabase();
    const { url } = await portalOf(database);
    const evicting = watched({ portalUrls: [url], cacheSize: 0 });
    await load(evicting.hub, database, "one");
    expect([evicting.opener.keys.size, evicting.opener.held]).toEqual([1, 1]);
    await evicting.hub.close("one");
    expect(evicting.opener.held).toBe(0);

    const aging = watched({ portalUrls: [url], cacheTtlMs: 200 });
    await load(aging.hub, database, "one");
    expect(aging.opener.held).toBe(1);
    await expect.poll(() => aging.opener.held, { timeout: 5_000 }).toBe(0);

    const failing = watched({ portalUrls: [url] });
    await load(failing.hub, { ...database, key: randomBytes(32) }, "one");
    expect([failing.opener.keys.size, failing.opener.held]).toEqual([1, 0]);

    const closing = watched({ portalUrls: [url] });
    await load(closing.hub, database, "one");
    await closing.hub.closeAll();
    expect([closing.opener.keys.size, closing.opener.held]).toEqual([1, 0]);
  });
});

describe("a refresh", () => {
  it("downloads what changed and nothing else", async () => {
    const database = makeDatabase();
    const { url, attempts } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url] });
    await load(hub, database, "one");
    await load(hub, database, "two");
    attempts.clear();
    const same = await collect(hub.refresh("one"));
    expect(same.events.at(-2)).toMatchObject({ kind: "loading_complete", fromCache: true, chunksDownloaded: 0 });
    expect(total(attempts)).toBe(1);

    attempts.clear();
    database.replaceChunk(1, makeRecords(10, 8, 100));
    database.replaceChunk(3, makeRecords(5, 8, 200));
    const told = await collect(hub.refresh("one"));
    expect(told.error).toBeUndefined();
    expect(told.events).toMatchObject([
      { kind: "manifest_downloaded", chunks: 4, vectors: 40 },
      { kind: "chunk_downloaded", total: 2 },
      { kind: "chunk_downloaded", total: 2, percent: 100, vectorsLoaded: 40 },
      { kind: "index_building" },
      { kind: "loading_complete", vectorCount: 40, chunksDownloaded: 2 },
      { kind: "index_ready" },
    ]);
    expect([...attempts.keys()].map((path) => path.split("/").at(-1)).sort()).toEqual([
      "chunk-1.json",
      "chunk-3.json",
      "manifest.json",
    ]);
    // Whoever shares the database sees it: what was in the chunk is gone, what is new is found.
    for (const name of ["one", "two"]) {
      expect(await best(hub, name, vectorOf(makeRecords(10, 8, 100), 4))).toBe("104");
      expect(await best(hub, name, vectorOf(makeRecords(5, 8, 200), 2))).toBe("202");
      expect(await best(hub, name, vectorOf(makeRecords(20, 8), 5))).toBe("5");
      const { hits } = await hub.search(name, { vector: vectorOf(makeRecords(1, 8, 25), 0), k: 100 });
      expect(hits.map(({ id }) => id)).not.toContain("25");
      expect(hits).toHaveLength(40);
    }
  });

  it("that fails leaves the session as it was, and a deleted database is given to nobody new", async () => {
    const database = makeDatabase();
    const { url } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url] });
    await load(hub, database, "one");
    database.replaceChunk(0, makeRecords(20, 8, 300));
    database.flip("chunk-0.json");
    expect((await collect(hub.refresh("one"))).error).toMatchObject({ details: { reason: "DECRYPTION_FAILED" } });
    const { hits } = await hub.search("one", { vector: vectorOf(makeRecords(20, 8), 5), k: 100 });
    expect([hits[0]?.id, hits.length]).toEqual(["5", 45]);
    database.remake((manifest) => Object.assign(manifest, { deleted: true }));
    expect((await collect(hub.refresh("one"))).error).toMatchObject({ details: { reason: "MANIFEST_NOT_FOUND" } });
    expect(await best(hub, "one", vectorOf(makeRecords(20, 8), 6))).toBe("6");
    expect((await load(hub, database, "two")).error).toMatchObject({ details: { reason: "MANIFEST_NOT_FOUND" } });
  });

  it("refuses an id that is in a chunk that changed and in one that did not, as a load would", async () => {
    const database = makeDatabase();
    const { url } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url] });
    await load(hub, database, "one");
    // 25 lies in chunk 1, which stays as it is.
    database.replaceChunk(0, [...makeRecords(19, 8), ...makeRecords(1, 8, 25)]);
    const { error } = await collect(hub.refresh("one"));
    expect(error).toMatchObject({ details: { reason: "VECTOR_COUNT_MISMATCH" } });
    const { hits } = await hub.search("one", { vector: vectorOf(makeRecords(20, 8), 19), k: 100 });
    expect([hits[0]?.id, hits.length]).toEqual(["19", 45]);
    // From a chunk that changed into another one it may move.
    database.replaceChunk(1, [...makeRecords(5, 8, 20), ...makeRecords(14, 8, 26), ...makeRecords(1, 8, 19)]);
    expect((await collect(hub.refresh("one"))).error).toBeUndefined();
    for (const id of [19, 25]) expect(await best(hub, "one", vectorOf(makeRecords(1, 8, id), 0))).toBe(String(id));
    expect((await hub.search("one", { vector: vectorOf(makeRecords(1, 8), 0), k: 100 })).hits).toHaveLength(45);
  });

  it("comes with a load that asks for it", async () => {
    const database = makeDatabase();
    const { url, attempts } = await portalOf(database);
    const hub = makeHub({ portalUrls: [url] });
    await load(hub, database, "one");
    database.replaceChunk(2, makeRecords(3, 8, 400));
    attempts.clear();
    const told = await load(hub, database, "two", { revalidate: true });
    expect(told.events.at(-2)).toMatchObject({ vectorCount: 43, chunksDownloaded: 1 });
    expect(total(attempts)).toBe(2);
    rmSync(join(database.folder, "manifest.json"));
    expect((await load(hub, database, "three", { revalidate: true })).error).toMatchObject({
      details: { reason: "MANIFEST_NOT_FOUND" },
    });
    expect(hub.sessions).toBe(2);
  });
});

describe("an index on disk", () => {
  it("that a database which is gone at its portal still searches outlives the save of the one that came back", async () => {
    const database = makeDatabase();
    const { url } = await portalOf(database);
    const manifest = join(database.folder, "manifest.json");
    const bytes = readFileSync(manifest);
    const hub = makeHub({ portalUrls: [url] });
    await load(hub, database, "one", { persist: true });
    const [folder] = readdirSync(engineFolder).filter((name) => !name.endsWith(".index")) as [string];
    rmSync(manifest);
    expect((await collect(hub.refresh("one"))).error).toMatchObject({ details: { reason: "MANIFEST_NOT_FOUND" } });
    writeFileSync(manifest, bytes);
    const told = await load(hub, database, "two", { persist: true });
    expect(told.error).toBeUndefined();
    expect(told.events.at(-2)).toMatchObject({ fromCache: false, chunksDownloaded: 3 });
    expect(hub.databases).toBe(2);
    expect(readdirSync(join(engineFolder, folder))).toContain("store");
    for (const name of ["one", "two"]) expect(await best(hub, name, vectorOf(makeRecords(20, 8), 9))).toBe("9");
    await hub.closeAll();
    // One of them is kept, which a later hub answers from.
    expect(readdirSync(engineFolder)).toHaveLength(2);
    expect(readdirSync(engineFolder)).not.toContain(folder);
    const later = makeHub({ portalUrls: [url] });
    expect((await load(later, database, "three")).events[1]).toMatchObject({ fromCache: true });
    await later.closeAll();
    for (const name of readdirSync(engineFolder)) rmSync(join(engineFolder, name), { recursive: true });
  });

  it("is opened by a later hub without a download, under its key alone", async () => {
    const database = makeDatabase();
    const { url, attempts } = await portalOf(database);
    const first = makeHub({ portalUrls: [url] });
    await load(first, database, "one", { persist: true });
    await first.closeAll();
    const kept = readdirSync(engineFolder).filter((name) => name.endsWith(".index"));
    expect(kept).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.index$/)]);
    attempts.clear();
    const later = makeHub({ portalUrls: [url] });
    const told = await load(later, database, "one");
    expect(kinds(told)).toEqual(["manifest_downloaded", "loading_complete", "index_ready"]);
    expect(told.events[1]).toMatchObject({ fromCache: true, vectorCount: 45 });
    expect(total(attempts)).toBe(0);
    expect(await best(later, "one", vectorOf(makeRecords(20, 8), 11))).toBe("11");
    const other = await load(later, named("other"), "two");
    expect(other.error).toMatchObject({ details: { reason: "MANIFEST_NOT_FOUND" } });
    const stranger = { ...database, key: randomBytes(32) };
    expect((await load(later, stranger, "three")).error).toMatchObject({ details: { reason: "DECRYPTION_FAILED" } });
    expect(readdirSync(engineFolder).filter((name) => name.endsWith(".index"))).toEqual(kept);
  });
});
