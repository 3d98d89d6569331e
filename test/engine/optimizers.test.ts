import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CollectionInfo } from "../../src/core/index.ts";
import { sealingOff } from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { configOf, idsOf, point, query, temporaryFolder, wait } from "./support.ts";

const dimensions = 64;
const count = 3_000;

/** The same numbers in every run. */
function vectorOf(seed: number): number[] {
  let state = (seed * 2_654_435_761) >>> 0;
  return Array.from({ length: dimensions }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

describe("embedded: when graphs are built", () => {
  const folder = temporaryFolder();
  let engine: EmbeddedEngine;

  beforeAll(() => {
    engine = openEmbeddedEngine({ dataDir: folder.path });
  });
  afterAll(async () => {
    await engine.close();
    folder.remove();
  });

  async function until(name: string, holds: (info: CollectionInfo) => boolean): Promise<CollectionInfo> {
    for (let left = 600; left > 0; left--) {
      const info = await engine.collectionInfo(name);
      if (holds(info)) return info;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`not within 30 s: ${JSON.stringify(await engine.collectionInfo(name))}`);
  }

  async function fill(name: string, first = 0): Promise<void> {
    for (let from = first; from < first + count; from += 500) {
      const points = Array.from({ length: 500 }, (_, i) => point(from + i + 1, vectorOf(from + i + 1)));
      await engine.write(name, { kind: "upsert", points }, wait);
    }
  }

  /** The share of the true nearest that the collection finds in its own way. */
  async function recall(name: string): Promise<number> {
    let found = 0;
    for (let q = 0; q < 20; q++) {
      const vector = vectorOf(900_000 + q);
      const exact = new Set(idsOf(await engine.search(name, query(vector, { exact: true }))));
      for (const id of idsOf(await engine.search(name, query(vector)))) found += exact.has(id) ? 1 : 0;
    }
    return found / 200;
  }

  const hnsw = { m: 0, efConstruct: 100, fullScanThreshold: 10 };

  test("m = 0: segments without a graph, green, none indexed; another m builds graphs in the background", async () => {
    const config = configOf({ "": [dimensions, "cosine"] }, { indexingThreshold: 100, hnsw });
    await engine.createCollection("flat", config, sealingOff);
    await fill("flat");
    const flat = await until("flat", ({ status, segmentsCount }) => status === "green" && segmentsCount > 1);
    expect(flat).toMatchObject({ pointsCount: count, indexedVectorsCount: 0 });
    // What is scanned are codes of a byte a dimension; the vectors are mapped.
    expect(flat.memory.graph).toBeLessThan(count * dimensions * 2);
    expect(await recall("flat")).toBe(1);
    await engine.updateCollection("flat", { hnsw: { m: 16 } });
    expect((await engine.collectionInfo("flat")).status).toBe("yellow");
    expect(await recall("flat")).toBeGreaterThan(0.9);
    const built = await until("flat", ({ status }) => status === "green");
    expect(built.indexedVectorsCount).toBe(count);
    await engine.updateCollection("flat", { vectors: { "": { hnsw: { m: 0 } } } });
    const back = await until("flat", ({ status }) => status === "green");
    expect(back.indexedVectorsCount).toBe(0);
    expect(await recall("flat")).toBe(1);
  });

  test("max_optimization_threads = 0: grey, and nothing is built until it is allowed again", async () => {
    const optimizers = { maxOptimizationThreads: 0 };
    const config = configOf({ "": [dimensions, "dot"] }, { indexingThreshold: 100, optimizers });
    await engine.createCollection("still", config, sealingOff);
    await fill("still");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await engine.collectionInfo("still")).toMatchObject({ status: "grey", indexedVectorsCount: 0 });
    await engine.updateCollection("still", { optimizers: { maxOptimizationThreads: undefined } });
    const built = await until("still", ({ status }) => status === "green");
    expect(built.indexedVectorsCount).toBeGreaterThan(0);
  });

  test("segments keep to max_segment_size, and become default_segment_number when that allows it", async () => {
    const kilobytes = (500 * dimensions * 4) / 1024;
    const config = configOf(
      { "": [dimensions, "euclid"] },
      { indexingThreshold: 50, hnsw: { ...hnsw, m: 8 }, optimizers: { maxSegmentSize: kilobytes } },
    );
    await engine.createCollection("parts", config, sealingOff);
    await fill("parts");
    const parts = await until("parts", ({ status }) => status === "green");
    expect(parts.segmentsCount).toBeGreaterThanOrEqual(6);
    await engine.updateCollection("parts", { optimizers: { maxSegmentSize: 1_000_000, defaultSegmentNumber: 1 } });
    // The tail counts as one more.
    const one = await until("parts", ({ status, segmentsCount }) => status === "green" && segmentsCount === 2);
    expect(one.indexedVectorsCount).toBeGreaterThan(count / 2);
  });

  test("deleted_threshold and vacuum_min_vector_number say when dead vectors go", async () => {
    const optimizers = { deletedThreshold: 0.6, vacuumMinVectorNumber: 100 };
    const config = configOf({ "": [dimensions, "cosine"] }, { indexingThreshold: 100, hnsw, optimizers });
    await engine.createCollection("dead", config, sealingOff);
    await fill("dead");
    const before = await until("dead", ({ status, segmentsCount }) => status === "green" && segmentsCount > 1);
    const ids = Array.from({ length: count / 2 }, (_, i) => BigInt(i + 1));
    await engine.write("dead", { kind: "delete", selector: { kind: "ids", ids } }, wait);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await engine.collectionInfo("dead")).memory.mapped).toBe(before.memory.mapped);
    await engine.updateCollection("dead", { optimizers: { deletedThreshold: 0.4 } });
    const after = await until("dead", ({ memory }) => memory.mapped < before.memory.mapped * 0.7);
    expect(after.pointsCount).toBe(count / 2);
    expect(await recall("dead")).toBe(1);
  });

  test("a build ends when its collection is deleted", async () => {
    const config = configOf(
      { "": [dimensions, "cosine"] },
      { indexingThreshold: 100, hnsw: { ...hnsw, m: 64, efConstruct: 1_500 } },
    );
    await engine.createCollection("gone", config, sealingOff);
    for (let part = 0; part < 4; part++) await fill("gone", part * count);
    const usedMs = async (durationMs: number) => {
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, durationMs));
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000;
    };
    for (let tries = 0; tries < 100 && (await usedMs(100)) < 60; tries++);
    expect((await engine.collectionInfo("gone")).status).toBe("yellow");
    await engine.deleteCollection("gone");
    let used = Number.POSITIVE_INFINITY;
    for (let tries = 0; tries < 10 && used > 60; tries++) used = await usedMs(100);
    expect(used).toBeLessThanOrEqual(60);
  });
});
