import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sealingOff } from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { sealEngine } from "../../src/engine/sealed.ts";
import { loadSlice } from "../support/wordnet.ts";
import { engineContract } from "./contract.ts";
import { all, configOf, idsOf, must, payloadOf, point, query, temporaryFolder, wait } from "./support.ts";

const folders = [temporaryFolder(), temporaryFolder()];
engineContract("embedded", async () => openEmbeddedEngine({ dataDir: folders[0]?.path ?? "" }));
engineContract("sealed over embedded", async () => sealEngine(openEmbeddedEngine({ dataDir: folders[1]?.path ?? "" })));
afterAll(() => {
  for (const folder of folders) folder.remove();
});

describe("embedded: what lasts", () => {
  test("everything survives a restart", async () => {
    const folder = temporaryFolder();
    let engine = openEmbeddedEngine({ dataDir: folder.path });
    await engine.createCollection("kept", configOf({ a: [2, "cosine"], b: [1, "dot"] }), {
      ...sealingOff,
      clearFields: ["x"],
    });
    await engine.createFieldIndex("kept", "n", "integer", "{}");
    await engine.updateAliases([{ kind: "create", alias: "name", collection: "kept" }]);
    const points = Array.from({ length: 100 }, (_, n) =>
      point(n, n % 3 === 0 ? { a: [n, 1] } : { a: [n, 1], b: [n] }, { n: BigInt(n) }),
    );
    await engine.write("kept", { kind: "upsert", points }, { wait: true, stream: { id: "s", sequence: 1n } });
    await engine.write("kept", { kind: "delete", selector: { kind: "ids", ids: [50n] } }, wait);
    const info = await engine.collectionInfo("kept");
    await engine.close();

    engine = openEmbeddedEngine({ dataDir: folder.path });
    expect(await engine.collectionInfo("name")).toEqual({
      ...info,
      memory: expect.any(Object),
      payloadBytes: expect.any(Number),
    });
    expect(await engine.streamPosition("kept", "s")).toBe(1n);
    expect(await engine.count("kept", must({ kind: "range", key: "n", bounds: { gte: 40, lt: 60 } }), true)).toBe(19);
    expect(idsOf(await engine.search("kept", query([1], { using: "b", limit: 3 })))).toEqual([98n, 97n, 95n]);
    const next = await engine.write("kept", { kind: "upsert", points: [point(200, { b: [1000] })] }, wait);
    expect(next.operationId).toBe(4n);
    expect(idsOf(await engine.search("kept", query([1], { using: "b", limit: 1 })))).toEqual([200n]);
    await engine.close();
    folder.remove();
  });

  test("a second opening in this process shares the engine; another process is refused", async () => {
    const folder = temporaryFolder();
    const one = openEmbeddedEngine({ dataDir: folder.path });
    const two = openEmbeddedEngine({ dataDir: folder.path });
    await one.createCollection("shared", configOf({ "": [1, "dot"] }), sealingOff);
    expect(await two.collectionExists("shared")).toBe(true);
    const { spawnSync } = await import("node:child_process");
    const script = `import { openEmbeddedEngine } from ${JSON.stringify(new URL("../../src/engine/embedded/index.ts", import.meta.url).href)};
      try { openEmbeddedEngine({ dataDir: ${JSON.stringify(folder.path)} }); console.log("opened"); }
      catch (error) { console.log(error.kind, error.message); }`;
    const other = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    expect(other.stdout).toMatch(/^unavailable .*in use by another server/);
    await one.close();
    expect(await two.collectionExists("shared")).toBe(true);
    await two.close();
    folder.remove();
  });
});

describe("embedded: graphs over real vectors", () => {
  const folder = temporaryFolder();
  const slice = loadSlice();
  let engine: EmbeddedEngine;

  beforeAll(async () => {
    engine = openEmbeddedEngine({ dataDir: folder.path });
    const config = configOf(
      { "": [slice.dimensions, "cosine"] },
      { indexingThreshold: 500, hnsw: { m: 16, efConstruct: 128, fullScanThreshold: 10 } },
    );
    await engine.createCollection("words", config, sealingOff);
    const points = slice.documents.map(({ id, word, lexname }) =>
      point(id, Array.from(slice.vector(id)), { word, lexname }),
    );
    for (let from = 0; from < points.length; from += 250) {
      await engine.write("words", { kind: "upsert", points: points.slice(from, from + 250) }, wait);
    }
  });
  afterAll(async () => {
    await engine.close();
    folder.remove();
  });

  async function indexed(): Promise<void> {
    for (let left = 600; left > 0; left--) {
      const info = await engine.collectionInfo("words");
      if (info.status === "green" && info.indexedVectorsCount > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("no graph was built within 30 s");
  }

  async function recall(hnswEf: number): Promise<number> {
    let hits = 0;
    for (let q = 0; q < slice.top10.length; q++) {
      const found = await engine.search("words", query(Array.from(slice.query(q)), { hnswEf }));
      const truth = new Set(slice.top10[q]);
      for (const id of idsOf(found)) if (truth.has(Number(id))) hits++;
    }
    return hits / (slice.top10.length * 10);
  }

  test("recall@10 is at least 0.99 at ef 64, and scores are exact", async () => {
    await indexed();
    expect((await engine.collectionInfo("words")).indexedVectorsCount).toBeGreaterThan(0);
    expect(await recall(64)).toBeGreaterThanOrEqual(0.99);
    const vector = slice.query(0);
    const found = await engine.search("words", query(Array.from(vector), { vectors: all }));
    for (let row = 0; row < found.length; row++) {
      const stored = (found.vectors(row)?.[0]?.[1] ?? new Float32Array()) as Float32Array;
      const norm = Math.hypot(...vector);
      const dot = stored.reduce((sum, value, i) => sum + value * (vector[i] ?? 0), 0) / norm;
      expect(found.score(row)).toBeCloseTo(dot, 5);
    }
  });

  test("overwrites and deletes are seen at once, graph or not", async () => {
    await indexed();
    const vector = Array.from(slice.query(1));
    const [nearest] = idsOf(await engine.search("words", query(vector, { limit: 1 })));
    await engine.write("words", { kind: "delete", selector: { kind: "ids", ids: [nearest as bigint] } }, wait);
    expect(idsOf(await engine.search("words", query(vector, { limit: 5 })))).not.toContain(nearest);
    await engine.write("words", { kind: "upsert", points: [point(1_000_000, vector, { mine: true })] }, wait);
    const found = await engine.search("words", query(vector, { limit: 1, payload: all }));
    expect(idsOf(found)).toEqual([1_000_000n]);
    expect(payloadOf(found)).toEqual({ mine: true });
    await engine.write("words", { kind: "delete", selector: { kind: "ids", ids: [1_000_000n] } }, wait);
  });

  test("a damaged segment file is noticed and rebuilt from the store", async () => {
    await indexed();
    const before = await engine.search("words", query(Array.from(slice.query(2)), { exact: true }));
    await engine.close();
    const segments = join(folder.path, "segments");
    const files = readdirSync(segments, { recursive: true, encoding: "utf8" })
      .map((name) => join(segments, name))
      .filter((path) => statSync(path).isFile() && statSync(path).size > 100_000);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const bytes = readFileSync(file);
      bytes[20_000] = (bytes[20_000] ?? 0) ^ 0xff;
      writeFileSync(file, bytes);
    }
    engine = openEmbeddedEngine({ dataDir: folder.path });
    const after = await engine.search("words", query(Array.from(slice.query(2)), { exact: true }));
    expect(idsOf(after)).toEqual(idsOf(before));
    await indexed();
    expect(await recall(64)).toBeGreaterThanOrEqual(0.98);
    expect((await engine.count("words", undefined, true)) > 0).toBe(true);
  });
});
