import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import {
  type LoadEvent,
  type LoadOptions,
  loadDatabase,
  S5Sessions,
  type S5SessionsOptions,
} from "../../src/s5/index.ts";
import { loadSlice, recall } from "../support/wordnet.ts";
import { makeDatabase, owner, type TestDatabase } from "./database.ts";
import { load, serve } from "./harness.ts";

let engine: EmbeddedEngine;
beforeAll(() => {
  engine = openEmbeddedEngine({ dataDir: mkdtempSync(join(tmpdir(), "sealpoint-s5-engine-")) });
});
afterAll(() => engine.close());

function makeSessions(options: Partial<S5SessionsOptions> = {}): S5Sessions {
  const sessions = new S5Sessions({ createIndex: (dimensions) => engine.createMemoryIndex(dimensions), ...options });
  onTestFinished(() => sessions.closeAll());
  return sessions;
}

describe("sessions", () => {
  const open = async (sessions: S5Sessions, id: string, database: TestDatabase, options: Partial<LoadOptions> = {}) =>
    (await load(database, { ...options, sink: sessions.open(id) })).events.at(-1);

  it("are searched exactly and forgotten when closed", async () => {
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
    const sessions = makeSessions();
    expect((await open(sessions, "one", database))?.kind).toBe("loading_complete");
    for (let query = 0; query < 20; query++) {
      const hits = await sessions.search("one", slice.query(query).slice(), 10);
      expect(
        recall(
          hits.map((hit) => Number(hit.id)),
          slice.top10[query] as number[],
        ),
      ).toBe(1);
      expect(JSON.parse(hits[0]?.metadata ?? "")).toEqual(slice.documents[Number(hits[0]?.id)]);
      const scores = hits.map((hit) => hit.score);
      expect(scores).toEqual([...scores].sort((a, b) => b - a));
      const threshold = scores[4] as number;
      expect(await sessions.search("one", slice.query(query).slice(), 10, threshold)).toHaveLength(5);
    }
    await expect(sessions.search("one", new Float32Array(3), 10)).rejects.toMatchObject({
      details: { field: "vector" },
    });
    await expect(sessions.search("one", slice.query(0).slice(), 0)).rejects.toMatchObject({ details: { field: "k" } });
    expect(sessions.close("one")).toBe(true);
    expect(sessions.close("one")).toBe(false);
    await expect(sessions.search("one", slice.query(0).slice(), 10)).rejects.toMatchObject({ kind: "not_found" });
  });

  it("refuse a search during the load, a taken name, and more than their bounds", async () => {
    const database = makeDatabase();
    const sessions = makeSessions({ sessionsMax: 2 });
    const first = sessions.open("first");
    await expect(sessions.search("first", new Float32Array(8).fill(1), 1)).rejects.toMatchObject({
      kind: "precondition",
    });
    expect(() => sessions.open("first")).toThrow(expect.objectContaining({ kind: "already_exists" }));
    sessions.open("second");
    expect(() => sessions.open("third")).toThrow(expect.objectContaining({ kind: "exhausted" }));
    await first.abort();
    expect(sessions.size).toBe(1);
    expect((await open(sessions, "first", database))?.kind).toBe("loading_complete");
    for (const name of ["", "a b", "x".repeat(65)])
      expect(() => sessions.open(name)).toThrow(expect.objectContaining({ kind: "bad_input" }));
    const small = makeSessions({ bytesMax: 1_000 });
    await expect(open(small, "first", database)).rejects.toMatchObject({ kind: "exhausted" });
    expect(small.size).toBe(0);
  });

  it("leave nothing behind when their load fails, and end when idle", async () => {
    const database = makeDatabase();
    const sessions = makeSessions({ idleMs: 50 });
    expect((await open(sessions, "one", database))?.kind).toBe("loading_complete");
    await sleep(150);
    expect(sessions.size).toBe(0);
    database.flip("chunk-1.json");
    expect(await open(sessions, "two", database)).toMatchObject({ code: "DECRYPTION_FAILED" });
    expect(sessions.size).toBe(0);
    await expect(load(database, { sink: sessions.open("three"), sessionKey: new Uint8Array(1) })).rejects.toMatchObject(
      { kind: "bad_input" },
    );
    expect(sessions.size).toBe(0);
  });
});

/** The most CPU time of this thread between two turns of the loop, so that a loaded machine does not count; in milliseconds. */
function watchLoop(): () => number {
  let last = process.threadCpuUsage();
  let most = 0;
  const timer = setInterval(() => {
    const now = process.threadCpuUsage();
    most = Math.max(most, now.user + now.system - last.user - last.system);
    last = now;
  }, 1);
  return () => {
    clearInterval(timer);
    return most / 1_000;
  };
}

const realDir = resolve(import.meta.dirname, "../../../shared/data/s5");
const hasReal = existsSync(join(realDir, "key.hex"));
if (!hasReal) console.log(`skipped: the real S5 database, because ${realDir} is not there`);

describe.skipIf(!hasReal)("the real database", () => {
  it("loads whole without holding the event loop", async () => {
    const sessions = makeSessions();
    const sessionKey = Buffer.from(readFileSync(join(realDir, "key.hex"), "utf8").trim(), "hex");
    const portal = await serve(realDir);
    const held = watchLoop();
    const events: LoadEvent[] = [];
    for await (const event of loadDatabase({
      portalUrls: [portal.url],
      manifestPath: `home/vector-databases/${owner}/wordnet/manifest.json`,
      userAddress: owner.toUpperCase().replace("0X", "0x"),
      sessionKey,
      sink: sessions.open("real"),
    })) {
      events.push(event);
    }
    const heldMs = held();
    const last = events.at(-1);
    expect(last).toMatchObject({ kind: "loading_complete", vectorCount: 10_000 });
    const slice = loadSlice();
    const [hit] = await sessions.search("real", slice.vector(1_234).slice(), 1);
    expect(hit?.id).toBe("1234");
    expect(hit?.score).toBeCloseTo(1, 5);
    expect(JSON.parse(hit?.metadata ?? "")).toMatchObject({
      word: slice.documents[1_234]?.word,
      gloss: slice.documents[1_234]?.gloss,
    });
    console.log(
      `10,000 vectors in ${last?.kind === "loading_complete" ? last.loadTimeMs : 0} ms; the event loop was held for at most ${heldMs.toFixed(1)} ms of CPU time`,
    );
    // Decrypting and parsing one of these chunks on the loop takes 40 ms and more.
    expect(heldMs).toBeLessThan(30);
  });
});
