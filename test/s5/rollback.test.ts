/** Who holds the disk or a portal brings older states back, which are the owner's own: what is noticed, by whom, and what is not. */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { SealedIndexes } from "../../src/engine/embedded/index.ts";
import { AttachmentTable } from "../../src/engine/index.ts";
import type { LoadRequest, S5Hub } from "../../src/s5/index.ts";
import { makeDatabase, makeRecords, type TestDatabase } from "./database.ts";
import { scripted } from "./harness.ts";
import { collect, makeHub, requestOf, type Told } from "./hub-support.ts";

const older = 1_000;
const newer = 2_000;
const hourMs = 3_600_000;

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), "sealpoint-s5-rollback-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

interface Place {
  readonly database: TestDatabase;
  readonly files: string;
  /** Copies of the disk: after the older and after the newer save. */
  readonly before: string;
  readonly after: string;
  readonly attempts: Map<string, number>;
  /** As of a process that has just started: they remember no state. */
  indexes(): SealedIndexes;
  hub(indexes?: SealedIndexes, now?: () => number): S5Hub;
  /** Makes the disk what it was. */
  bringBack(from: string): void;
}

const load = (hub: S5Hub, { database }: Place, sessionId: string, rest: Partial<LoadRequest> = {}) =>
  collect(hub.load(requestOf(database, sessionId, rest)));

/** Of a session: which of the two states it answers from, wholly. */
async function stateOf(hub: S5Hub, sessionId: string): Promise<"older" | "newer"> {
  const { hits } = await hub.search(sessionId, { vector: new Float32Array(8).fill(1), k: 100 });
  const ids = hits.map(({ id }) => Number(id)).sort((a, b) => a - b);
  expect(hits).toHaveLength(45);
  expect([ids[0], ids[44]]).toEqual(ids[0] === 0 ? [0, 44] : [20, 119]);
  return ids[0] === 0 ? "older" : "newer";
}

/** A portal whose manifest may be another than the database's. */
async function portal(database: TestDatabase, manifest?: Buffer) {
  return scripted((path) => {
    if (manifest !== undefined && path.endsWith("/manifest.json")) return { status: 200, body: manifest };
    const file = join(database.dir, path.replace("/s5/fs/", ""));
    return existsSync(file) ? { status: 200, body: readFileSync(file) } : { status: 404 };
  });
}

const change = (database: TestDatabase): void => {
  database.replaceChunk(0, makeRecords(20, 8, 100));
  database.remake((manifest) => Object.assign(manifest, { updated: newer }));
};
const make = (): TestDatabase =>
  makeDatabase({ manifest: (manifest) => void Object.assign(manifest, { updated: older }) });

/** A database that was saved, changed by its owner, refreshed and saved again. */
async function start(): Promise<Place> {
  const database = make();
  const { url, attempts } = await portal(database);
  const [files, before, after] = [temporary(), temporary(), temporary()];
  const indexes = () =>
    new SealedIndexes({ folder: files, attachments: new AttachmentTable(), collectionExists: async () => false });
  const hub = (kept = indexes(), wallMs?: () => number): S5Hub =>
    makeHub(
      { portalUrls: [url], cacheTtlMs: 24 * hourMs },
      { indexes: kept, databases: { backoffMs: 5, ...(wallMs === undefined ? {} : { wallMs }) } },
    );
  const bringBack = (from: string): void => {
    rmSync(files, { recursive: true, force: true });
    cpSync(from, files, { recursive: true });
  };
  const place: Place = { database, files, before, after, attempts, indexes, hub, bringBack };
  const first = hub();
  expect((await load(first, place, "one", { persist: true })).error).toBeUndefined();
  await first.closeAll();
  cpSync(files, before, { recursive: true });
  const second = hub();
  expect((await load(second, place, "one")).events[1]).toMatchObject({ fromCache: true });
  change(database);
  expect((await collect(second.refresh("one"))).error).toBeUndefined();
  expect(await stateOf(second, "one")).toBe("newer");
  await second.closeAll();
  cpSync(files, after, { recursive: true });
  attempts.clear();
  return place;
}

const requests = ({ attempts }: Place): number => [...attempts.values()].reduce((sum, one) => sum + one, 0);

describe("an older state of the disk, brought back whole", () => {
  it("is not taken by a process that has met a newer one", async () => {
    const place = await start();
    const kept = place.indexes();
    const hub = place.hub(kept);
    expect((await load(hub, place, "one")).events[1]).toMatchObject({ fromCache: true });
    await hub.closeAll();
    expect(requests(place)).toBe(0);
    place.bringBack(place.before);
    const later = place.hub(kept);
    expect((await load(later, place, "one")).events.at(-2)).toMatchObject({ fromCache: false, chunksDownloaded: 3 });
    expect(await stateOf(later, "one")).toBe("newer");
    expect(readdirSync(place.files).filter((name) => name.endsWith(".index"))).toEqual([]);
  });

  it("is not taken once a session's changes have removed it", async () => {
    const place = await start();
    const kept = place.indexes();
    const hub = place.hub(kept);
    await load(hub, place, "one");
    place.database.replaceChunk(1, makeRecords(20, 8, 20));
    place.database.remake((manifest) => Object.assign(manifest, { updated: newer + 1 }));
    expect((await collect(hub.refresh("one"))).error).toBeUndefined();
    await hub.closeAll();
    place.bringBack(place.after);
    const later = place.hub(kept);
    expect((await load(later, place, "one")).events.at(-2)).toMatchObject({ fromCache: false });
  });

  it("is what a server answers from that has just started and is told nothing", async () => {
    const place = await start();
    place.bringBack(place.before);
    const hub = place.hub();
    const told = await load(hub, place, "one");
    expect(told.events).toMatchObject([
      { kind: "manifest_downloaded", updated: older },
      { kind: "loading_complete", fromCache: true },
      { kind: "index_ready" },
    ]);
    expect(await stateOf(hub, "one")).toBe("older");
    expect(requests(place)).toBe(0);
  });

  it.each([
    ["a caller who knows of a newer one", { notBefore: newer }, 0],
    ["a caller who asks for it", { revalidate: true }, 0],
    ["anybody, when it is too old", {}, 24 * hourMs + 1],
    ["anybody, when it is of a time to come", {}, -hourMs],
  ])("is compared and brought up to date for %s", async (_, rest, laterMs) => {
    const place = await start();
    place.bringBack(place.before);
    const hub = place.hub(place.indexes(), () => Date.now() + laterMs);
    const told = await load(hub, place, "one", rest);
    expect(told.error).toBeUndefined();
    expect(told.events).toMatchObject([
      { kind: "manifest_downloaded", updated: newer },
      { kind: "chunk_downloaded", total: 1, chunkId: 0 },
      { kind: "index_building" },
      { kind: "loading_complete", fromCache: false, chunksDownloaded: 1, vectorCount: 45 },
      { kind: "index_ready" },
    ]);
    expect(requests(place)).toBe(2);
    expect(await stateOf(hub, "one")).toBe("newer");
    // It is kept as it is now.
    await hub.closeAll();
    place.attempts.clear();
    const later = place.hub(place.indexes(), () => Date.now() + laterMs);
    expect((await load(later, place, "one", { notBefore: newer })).events[1]).toMatchObject({ fromCache: true });
    expect(requests(place)).toBe(0);
  });

  it("is brought up to date by as many downloads at a time as its load asked for", async () => {
    const place = await start();
    for (const chunk of [1, 2]) place.database.replaceChunk(chunk, makeRecords(10, 8, 200 + 20 * chunk));
    place.database.remake((manifest) => Object.assign(manifest, { updated: newer + 1 }));
    let [now, most] = [0, 0];
    const { url } = await scripted(async (path) => {
      most = Math.max(most, ++now);
      await new Promise((go) => setTimeout(go, 40));
      now--;
      return { status: 200, body: readFileSync(join(place.database.dir, path.replace("/s5/fs/", ""))) };
    });
    for (const parallelChunks of [1, 3]) {
      place.bringBack(place.before);
      most = 0;
      const hub = makeHub({ portalUrls: [url] }, { indexes: place.indexes() });
      const told = await load(hub, place, "one", { revalidate: true, parallelChunks });
      expect(told.events.at(-2)).toMatchObject({ kind: "loading_complete", chunksDownloaded: 3, vectorCount: 40 });
      expect(most).toBe(parallelChunks);
      await hub.closeAll();
    }
  });

  it("is loaded anew where the owner made the database anew, with other dimensions", async () => {
    const place = await start();
    place.database.remake((manifest) =>
      Object.assign(manifest, { dimensions: 4, chunks: [], chunkCount: 0, vectorCount: 0 }),
    );
    const hub = place.hub();
    const told = await load(hub, place, "one", { revalidate: true });
    expect(told.error).toBeUndefined();
    expect(told.events.at(-2)).toMatchObject({ kind: "loading_complete", vectorCount: 0, fromCache: false });
    expect((await hub.list()).sessions).toMatchObject([{ dimensions: 4 }]);
  });

  it("fails with the portals where it must be compared, and leaves them to the next load", async () => {
    const place = await start();
    rmSync(join(place.database.folder, "manifest.json"));
    const hub = place.hub();
    const { error } = await load(hub, place, "one", { revalidate: true });
    expect(error).toMatchObject({ details: { reason: "MANIFEST_NOT_FOUND" } });
    expect(hub.databases).toBe(0);
    // While the first one's index is still being closed.
    expect((await load(hub, place, "one")).events[1]).toMatchObject({ fromCache: true });
  });
});

describe("single files of an older state", () => {
  it("are refused, or nothing of them is seen, whichever they are", { timeout: 120_000 }, async () => {
    const place = await start();
    const under = (folder: string): string[] =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
        .filter((file) => !file.endsWith("ballast"))
        .sort();
    const now = new Set(under(place.after));
    const changed = under(place.before).filter(
      (file) => !now.has(file) || !readFileSync(join(place.before, file)).equals(readFileSync(join(place.after, file))),
    );
    expect(changed.some((file) => file.endsWith(".index"))).toBe(true);
    expect(changed.some((file) => file.includes("MANIFEST"))).toBe(true);
    const told: Record<string, boolean> = {};
    for (const file of changed) {
      place.bringBack(place.after);
      cpSync(join(place.before, file), join(place.files, file));
      const hub = place.hub();
      const { events, error } = await load(hub, place, "one");
      expect(error, file).toBeUndefined();
      expect(await stateOf(hub, "one"), file).toBe("newer");
      told[file] = events.some((event) => event.kind === "loading_complete" && event.fromCache);
      await hub.closeAll();
    }
    expect(Object.entries(told).find(([file]) => file.endsWith(".index"))?.[1]).toBe(false);
  });
});

describe("an older state at a portal", () => {
  it("is passed over for another portal's, and refused where there is no other", async () => {
    const database = make();
    const old = readFileSync(join(database.folder, "manifest.json"));
    change(database);
    const liar = await portal(database, old);
    const good = await portal(database);
    const place = { database } as Place;
    const hub = makeHub({ portalUrls: [liar.url, good.url] });
    const told = await load(hub, place, "one", { notBefore: newer });
    expect(told.error).toBeUndefined();
    expect(told.events[0]).toMatchObject({ updated: newer });
    expect(await stateOf(hub, "one")).toBe("newer");
    const alone = makeHub({ portalUrls: [liar.url] });
    expect((await load(alone, place, "one", { notBefore: newer })).error).toMatchObject({
      message: "manifest: older than the state that is known of the database",
      details: { reason: "MANIFEST_DOWNLOAD_FAILED", metadata: { is_retryable: "true" } },
    });
    expect([alone.sessions, alone.databases]).toEqual([0, 0]);
  });

  it("does not take a refreshed session back", async () => {
    const database = make();
    const old = readFileSync(join(database.folder, "manifest.json"));
    change(database);
    let manifest: Buffer | undefined;
    const { url } = await scripted((path) => {
      if (manifest !== undefined && path.endsWith("/manifest.json")) return { status: 200, body: manifest };
      return { status: 200, body: readFileSync(join(database.dir, path.replace("/s5/fs/", ""))) };
    });
    const place = { database } as Place;
    const hub = makeHub({ portalUrls: [url] });
    await load(hub, place, "one");
    manifest = old;
    expect((await collect(hub.refresh("one"))).error).toMatchObject({
      details: { reason: "MANIFEST_DOWNLOAD_FAILED" },
    });
    expect(await stateOf(hub, "one")).toBe("newer");
    // Nor whoever joins it and knows of a newer one; who knows of none has what is here.
    expect((await load(hub, place, "two", { notBefore: newer + 1 })).error).toMatchObject({
      details: { reason: "MANIFEST_DOWNLOAD_FAILED" },
    });
    expect((await load(hub, place, "three", { notBefore: newer })).error).toBeUndefined();
    expect(hub.sessions).toBe(2);
  });

  it("that a load or a refresh came to is passed over for whoever joins it and knows of a newer one", async () => {
    const database = make();
    const copy = temporary();
    cpSync(database.dir, copy, { recursive: true });
    change(database);
    let held: (() => void)[] | undefined;
    const behind = await scripted(async (path) => {
      if (held !== undefined && path.endsWith("/manifest.json")) await new Promise<void>((go) => held?.push(go));
      return { status: 200, body: readFileSync(join(copy, path.replace("/s5/fs/", ""))) };
    });
    const good = await portal(database);
    const place = { database } as Place;
    // Joined while the portal that is behind is being asked.
    const joinBoth = async (hub: S5Hub, begin: () => ReturnType<typeof load>) => {
      held = [];
      const first = begin();
      await expect.poll(() => held?.length).toBe(1);
      const joined = [load(hub, place, "two", { notBefore: newer }), load(hub, place, "three", { notBefore: older })];
      const waiting = held;
      held = undefined;
      for (const go of waiting) go();
      return Promise.all([first, ...joined]);
    };
    for (const isRefresh of [false, true]) {
      const hub = makeHub({ portalUrls: [behind.url, good.url] });
      if (isRefresh) expect((await load(hub, place, "one")).events[0]).toMatchObject({ updated: older });
      const begin = () => (isRefresh ? collect(hub.refresh("one")) : load(hub, place, "one"));
      const [one, two, three] = (await joinBoth(hub, begin)) as [Told, Told, Told];
      for (const { error } of [one, two, three]) expect(error).toBeUndefined();
      expect(one.events[0]).toMatchObject({ kind: "manifest_downloaded", updated: older });
      expect(three.events[0]).toMatchObject({ kind: "manifest_downloaded", updated: older });
      expect(two.events).toMatchObject([
        { kind: "manifest_downloaded", updated: newer },
        { kind: "chunk_downloaded", chunkId: 0, total: 1 },
        { kind: "index_building" },
        { kind: "loading_complete", vectorCount: 45 },
        { kind: "index_ready" },
      ]);
      for (const name of ["one", "two", "three"]) expect(await stateOf(hub, name)).toBe("newer");
      expect(hub.databases).toBe(1);
    }
  });

  it("is told to who joins a load of it", async () => {
    const database = make();
    const hub = makeHub({ portalUrls: [(await portal(database)).url] });
    const place = { database } as Place;
    const [one, two] = await Promise.all([load(hub, place, "one"), load(hub, place, "two", { notBefore: newer })]);
    expect(one.error).toBeUndefined();
    expect(two.error).toMatchObject({ details: { reason: "MANIFEST_DOWNLOAD_FAILED" } });
    expect(await stateOf(hub, "one")).toBe("older");
  });

  it("holds for loads into collections", async () => {
    const database = make();
    const calls: string[] = [];
    const hub = makeHub(
      { portalUrls: [(await portal(database)).url] },
      {
        collections: () => ({
          metadataForm: "payload",
          begin: () => void calls.push("begin"),
          add: () => void calls.push("add"),
          finish: () => void calls.push("finish"),
          abort: () => void calls.push("abort"),
        }),
      },
    );
    const target = { kind: "collection", name: "docs" } as const;
    const place = { database } as Place;
    expect((await load(hub, place, "", { target, notBefore: newer })).error).toMatchObject({
      details: { reason: "MANIFEST_DOWNLOAD_FAILED" },
    });
    expect(calls).toEqual(["abort"]);
    expect((await load(hub, place, "", { target, notBefore: older })).error).toBeUndefined();
    expect(calls.at(-1)).toBe("finish");
  });
});
