/** Memory is bounded and told, and it comes back. Measured as the process's anonymous memory, with slack for JavaScript and RocksDB. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { type CollectionConfig, sealingOff } from "../../src/core/index.ts";
import { type EmbeddedEngine, type EmbeddedOptions, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import type { PointInput } from "../../src/engine/index.ts";
import { fastest } from "../support/timing.ts";
import { configOf, query, temporaryFolder, wait } from "./support.ts";

const dimensions = 384;
const megabyte = 1024 ** 2;
const pointBytes = dimensions * 4;
/** Never a build: all stays in the tail. */
const tailOnly: Partial<CollectionConfig> = { indexingThreshold: 0 };

function anonymousMegabytes(): number {
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024;
}

function pointsFrom(first: number, count: number): PointInput[] {
  return Array.from({ length: count }, (_, i) => {
    const values = new Float32Array(dimensions);
    for (let at = 0; at < dimensions; at++) values[at] = Math.sin((first + i + 1) * (at + 1));
    return { id: BigInt(first + i), payload: new Uint8Array(), vectors: [["", values]] };
  });
}

const writeBatch = 1000;

/** Writes until `count` points are there; the error that refused one batch as a whole, if any. */
async function fill(engine: EmbeddedEngine, name: string, count: number): Promise<Error | undefined> {
  for (let first = 0; first < count; first += writeBatch) {
    try {
      await engine.write(
        name,
        { kind: "upsert", points: pointsFrom(first, Math.min(writeBatch, count - first)) },
        wait,
      );
    } catch (error) {
      return error as Error;
    }
  }
  return undefined;
}

async function until(what: string, holds: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}; ${anonymousMegabytes()} MB`);
    await sleep(50);
  }
}

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

function open(options: Omit<EmbeddedOptions, "dataDir"> = {}): EmbeddedEngine {
  const folder = temporaryFolder();
  const engine = openEmbeddedEngine({ dataDir: folder.path, ...options });
  opened.push(async () => {
    await engine.close();
    folder.remove();
  });
  return engine;
}

describe("memory: limits", () => {
  test("a collection at its limit takes no more, answers, deletes, and takes more after that", async () => {
    const engine = open({ collectionMemoryLimitMegabytes: 8 });
    for (const name of ["full", "other"]) {
      await engine.createCollection(name, configOf({ "": [dimensions, "cosine"] }, tailOnly), sealingOff);
    }
    const refusal = await fill(engine, "full", 10_000);
    expect(refusal).toMatchObject({ kind: "exhausted" });
    expect(refusal?.message).toMatch(
      /^Collection `full`: this write needs about [\d.]+ MB.*SEALPOINT_COLLECTION_MEMORY_LIMIT_MB\)$/,
    );
    const { pointsCount, memory } = await engine.collectionInfo("full");
    // All that was admitted is there and nothing of what was refused.
    expect(pointsCount % writeBatch).toBe(0);
    expect(pointsCount * pointBytes).toBeGreaterThan(5 * megabyte);
    expect(memory.tail + memory.ids).toBeLessThan(8 * megabyte);
    expect((await engine.search("full", query(Array(dimensions).fill(1)))).length).toBe(10);
    expect(await fill(engine, "other", 2000)).toBeUndefined();

    const ids = Array.from({ length: pointsCount - 1000 }, (_, n) => BigInt(n));
    await engine.write("full", { kind: "delete", selector: { kind: "ids", ids } }, wait);
    expect(await engine.count("full", undefined, true)).toBe(1000);
    expect(await fill(engine, "full", 1000)).toBeUndefined();
    expect(await engine.count("full", undefined, true)).toBe(2000);
  });

  test("a process at its limit refuses writes, and new collections, by name", async () => {
    const engine = open({ memoryLimitMegabytes: Math.ceil(anonymousMegabytes()) + 160 });
    await engine.createCollection("full", configOf({ "": [dimensions, "cosine"] }, tailOnly), sealingOff);
    const refusal = await fill(engine, "full", 160_000);
    expect(refusal).toMatchObject({ kind: "exhausted" });
    expect(refusal?.message).toContain("SEALPOINT_MEMORY_LIMIT_MB");
    const { pointsCount } = await engine.collectionInfo("full");
    expect(pointsCount * pointBytes).toBeLessThan(160 * megabyte);
    expect((await engine.search("full", query(Array(dimensions).fill(1)))).length).toBe(10);
    expect(await engine.deleteCollection("full")).toBe(true);
    await engine.createCollection("full", configOf({ "": [dimensions, "cosine"] }, tailOnly), sealingOff);
    expect(await fill(engine, "full", 2000)).toBeUndefined();
  }, 60_000);
});

describe("memory: what a collection holds", () => {
  test("is told by parts, before and after a build", async () => {
    const engine = open();
    const change = { indexingThreshold: 1000, hnsw: { m: 8, efConstruct: 32, fullScanThreshold: 10 } };
    await engine.createCollection(
      "told",
      configOf({ "": [dimensions, "cosine"] }, { indexingThreshold: 0 }),
      sealingOff,
    );
    await fill(engine, "told", 2000);
    const before = (await engine.collectionInfo("told")).memory;
    expect(before.tail).toBeGreaterThanOrEqual(2000 * pointBytes);
    expect(before).toMatchObject({ mapped: 0, graph: 0, payloadIndexes: 0 });
    expect(before.ids).toBeGreaterThan(2000 * 24);
    await engine.updateCollection("told", change);
    await until("the build", async () => (await engine.collectionInfo("told")).indexedVectorsCount === 2000);
    const after = (await engine.collectionInfo("told")).memory;
    expect(after.tail).toBeLessThan(100_000);
    expect(after.mapped).toBeGreaterThanOrEqual(2000 * pointBytes);
    // Half of each code, and the links; the other half is only mapped.
    expect(after.graph).toBeGreaterThan((2000 * dimensions) / 2);
    expect(after.graph).toBeLessThan(2000 * dimensions);
    expect(await engine.largestCollections(5)).toEqual(["told"]);
  });

  test("comes back after deletes and after the collection is gone", async () => {
    const engine = open();
    const count = 60_000;
    const slackMegabytes = 45;
    await engine.createCollection("warm", configOf({ "": [dimensions, "cosine"] }, tailOnly), sealingOff);
    await fill(engine, "warm", 5000);
    await engine.deleteCollection("warm");
    await sleep(500);
    const before = anonymousMegabytes();
    for (const how of ["deletes", "drop"]) {
      await engine.createCollection(how, configOf({ "": [dimensions, "cosine"] }, tailOnly), sealingOff);
      await fill(engine, how, count);
      expect(anonymousMegabytes() - before, how).toBeGreaterThan((count * pointBytes) / megabyte - 5);
      if (how === "drop") {
        await engine.deleteCollection(how);
      } else {
        for (let first = 0; first < count; first += 10_000) {
          const ids = Array.from({ length: 10_000 }, (_, n) => BigInt(first + n));
          await engine.write(how, { kind: "delete", selector: { kind: "ids", ids } }, wait);
        }
        const { memory } = await engine.collectionInfo(how);
        expect(memory.tail + memory.ids).toBeLessThan(megabyte);
      }
      await until(`memory after ${how}, ${before} MB at first`, () => anonymousMegabytes() - before < slackMegabytes);
    }
  }, 120_000);

  test("1,000 small collections open in under 5 s with under 1 MB each, and an idle one costs nothing", async () => {
    const count = 1000;
    const folder = temporaryFolder();
    let engine = openEmbeddedEngine({ dataDir: folder.path });
    const each = async (work: (name: string) => Promise<unknown>) => {
      let next = 0;
      const worker = async () => {
        while (next < count) await work(`c${next++}`);
      };
      await Promise.all(Array.from({ length: 16 }, worker));
    };
    const points = pointsFrom(0, 10);
    await each((name) => engine.createCollection(name, configOf({ "": [dimensions, "cosine"] }), sealingOff));
    await each((name) => engine.write(name, { kind: "upsert", points }, wait));
    await engine.close();

    const before = anonymousMegabytes();
    const started = performance.now();
    engine = openEmbeddedEngine({ dataDir: folder.path });
    expect(performance.now() - started).toBeLessThan(5000);
    expect(anonymousMegabytes() - before).toBeLessThan(count / 2);
    expect((await engine.listCollections()).length).toBe(count);
    expect((await engine.search("c999", query(Array(dimensions).fill(1)))).length).toBe(10);
    await sleep(3000);
    const used = await fastest(100, async () => {
      const idle = process.cpuUsage();
      await sleep(1000);
      const { user, system } = process.cpuUsage(idle);
      return (user + system) / 1_000;
    });
    expect(used).toBeLessThan(100);
    await each((name) => engine.deleteCollection(name));
    expect(await engine.listCollections()).toEqual([]);
    await engine.close();
    engine = openEmbeddedEngine({ dataDir: folder.path });
    expect(await engine.listCollections()).toEqual([]);
    await engine.close();
    folder.remove();
  }, 120_000);
});
