/** Vector names that are added to and deleted from a collection in use. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { type Engine, sealEngine, type VectorDefinition } from "../../src/engine/index.ts";
import { checkData } from "../../src/native/data-check.ts";
import { all, configOf, failure, idsOf, must, none, point, query, temporaryFolder, wait } from "./support.ts";

const dense = (size: number, distance: "dot" | "euclid" = "dot"): VectorDefinition => ({
  kind: "dense",
  params: { size, distance },
});
const sparse: VectorDefinition = { kind: "sparse", params: { modifier: "none" } };
const echo = (present: string): string => present;

const openers: readonly (readonly [string, (dataDir: string) => Engine])[] = [
  ["embedded", (dataDir) => openEmbeddedEngine({ dataDir })],
  ["sealed over embedded", (dataDir) => sealEngine(openEmbeddedEngine({ dataDir }))],
];

describe.each(openers)("vector names, %s", (_name, open) => {
  const folder = temporaryFolder();
  let engine: Engine;
  let made = 0;
  beforeAll(() => {
    engine = open(folder.path);
  });
  afterAll(async () => {
    await engine.close();
    folder.remove();
  });

  async function collection(): Promise<string> {
    const name = `names-${++made}`;
    await engine.createCollection(name, configOf({ a: [2, "dot"] }), sealingOff);
    await engine.write(name, { kind: "upsert", points: [point(1, { a: [1, 0] }), point(2, { a: [0, 1] })] }, wait);
    return name;
  }

  const set = (name: string, vector: string, values: Record<number, number[]>) =>
    engine.write(
      name,
      {
        kind: "update_vectors",
        points: Object.entries(values).map(([id, each]) => ({
          id: BigInt(id),
          vectors: [[vector, Float32Array.from(each)]],
        })),
      },
      wait,
    );
  const has = (name: string, vector: string) => engine.count(name, must({ kind: "has_vector", name: vector }), true);

  async function reopen(): Promise<void> {
    await engine.close();
    engine = open(folder.path);
  }

  test("added are empty, then written, searched and kept over a restart", async () => {
    const name = await collection();
    const { operationId } = await engine.createVectorName(name, "b", dense(3, "euclid"), echo);
    expect(operationId).toBe(2n);
    expect((await engine.collectionInfo(name)).config.vectors.b).toEqual({ size: 3, distance: "euclid" });
    expect(idsOf(await engine.search(name, query([0, 0, 0], { using: "b" })))).toEqual([]);
    expect(await has(name, "b")).toBe(0);
    await set(name, "b", { 2: [0, 3, 4] });
    await engine.write(name, { kind: "upsert", points: [point(3, { a: [1, 1], b: [0, 0, 1] })] }, wait);
    await reopen();
    const found = await engine.search(name, query([0, 0, 0], { using: "b" }));
    expect([idsOf(found), found.score(1)]).toEqual([[3n, 2n], 5]);
    expect(await has(name, "b")).toBe(2);
    const wrong = await failure(set(name, "b", { 1: [1, 2] }));
    expect(wrong.message).toMatch(/expected dim: 3, got 2/);
  });

  test("sparse ones as well", async () => {
    const name = await collection();
    await engine.createVectorName(name, "s", sparse, echo);
    const vector = { indices: Uint32Array.of(1, 7), values: Float32Array.of(2, 3) };
    const points = [{ id: 2n, vectors: [["s", vector]] as const }];
    await engine.write(name, { kind: "update_vectors", points }, wait);
    const request = {
      query: { kind: "nearest", vector: { indices: Uint32Array.of(7), values: Float32Array.of(1) } },
      prefetch: [],
      using: "s",
      params: {},
      limit: 5,
      offset: 0,
      payload: none,
      vectors: none,
    } as const;
    const found = await engine.query(name, request);
    expect([idsOf(found), found.score(0)]).toEqual([[2n], 3]);
    await engine.deleteVectorName(name, "s", echo);
    expect((await failure(engine.query(name, request))).message).toMatch(/Not existing vector name error: s/);
    expect((await engine.collectionInfo(name)).config.sparseVectors).toEqual({});
  });

  test("multivectors as well", async () => {
    const name = await collection();
    const multi: VectorDefinition = { kind: "dense", params: { size: 2, distance: "dot", multivector: true } };
    const vector = (...values: number[]) => ({
      rows: values.length / 2,
      dimensions: 2,
      values: Float32Array.from(values),
    });
    const request = {
      query: { kind: "nearest", vector: vector(1, 0, 0, 1) },
      prefetch: [],
      using: "m",
      params: {},
      limit: 5,
      offset: 0,
      payload: none,
      vectors: none,
    } as const;
    for (const factor of [1, 2]) {
      await engine.createVectorName(name, "m", multi, echo);
      expect(idsOf(await engine.query(name, request))).toEqual([]);
      const points = [{ id: 2n, vectors: [["m", vector(1, 2, 3 * factor, 0)]] as const }];
      await engine.write(name, { kind: "update_vectors", points }, wait);
      await reopen();
      const found = await engine.query(name, request);
      expect([idsOf(found), found.score(0)]).toEqual([[2n], 3 * factor + 2]);
      await engine.deleteVectorName(name, "m", echo);
    }
  });

  test("deleted are gone from searches, answers, filters and configuration", async () => {
    const name = await collection();
    await engine.createVectorName(name, "b", dense(1), echo);
    await set(name, "b", { 1: [1], 2: [2] });
    await engine.deleteVectorName(name, "b", echo);
    const gone = "Wrong input: Not existing vector name error: b";
    expect((await failure(engine.search(name, query([1], { using: "b" })))).message).toBe(gone);
    expect((await failure(set(name, "b", { 1: [1] }))).message).toContain("Not existing vector name error: b");
    expect((await engine.get(name, [1n], none, all)).vectors(0)?.map(([vector]) => vector)).toEqual(["a"]);
    const asked = await failure(engine.get(name, [1n], none, { kind: "names", names: ["b"] }));
    expect(asked.message).toBe(gone);
    expect(await has(name, "b")).toBe(0);
    expect(Object.keys((await engine.collectionInfo(name)).config.vectors)).toEqual(["a"]);
    // Points go on being written, deleted and counted.
    await engine.write(name, { kind: "upsert", points: [point(1, { a: [5, 5] })] }, wait);
    await engine.write(name, { kind: "delete", selector: { kind: "ids", ids: [2n] } }, wait);
    await reopen();
    expect(idsOf(await engine.search(name, query([1, 1], { using: "a" })))).toEqual([1n]);
    const unnamed = await failure(engine.search(name, query([1, 1])));
    expect(unnamed.message).toMatch(/available names: a$/);
  });

  test("of a deleted name nothing comes back under one that is made anew", async () => {
    const name = await collection();
    for (const restarts of [false, true]) {
      for (const size of [1, 2, 1]) {
        await engine.createVectorName(name, "b", dense(size), echo);
        expect(await has(name, "b")).toBe(0);
        expect((await engine.get(name, [1n, 2n], none, all)).vectors(1)?.map(([vector]) => vector)).toEqual(["a"]);
        await set(name, "b", { 2: Array.from({ length: size }, () => 7) });
        const found = await engine.search(
          name,
          query(
            Array.from({ length: size }, () => 1),
            { using: "b" },
          ),
        );
        expect(idsOf(found)).toEqual([2n]);
        await engine.deleteVectorName(name, "b", echo);
        if (restarts) await reopen();
      }
    }
    const { vectors } = (await engine.collectionInfo(name)).config;
    expect(Object.keys(vectors)).toEqual(["a"]);
  });

  test("the same name twice changes nothing; another definition is refused in Qdrant's words", async () => {
    const name = await collection();
    await engine.createVectorName(name, "b", dense(2), echo);
    await set(name, "b", { 1: [1, 1] });
    const { epoch } = await engine.collectionInfo(name);
    await engine.createVectorName(name, "b", dense(2), echo);
    expect(await has(name, "b")).toBe(1);
    expect((await engine.collectionInfo(name)).epoch).toBe(epoch);
    const messages = [];
    for (const [vector, definition] of [
      ["b", dense(3)],
      ["b", sparse],
    ] as const) {
      messages.push((await failure(engine.createVectorName(name, vector, definition, echo))).message);
    }
    await engine.createVectorName(name, "s", sparse, echo);
    messages.push((await failure(engine.createVectorName(name, "s", dense(2), echo))).message);
    const idf: VectorDefinition = { kind: "sparse", params: { modifier: "idf" } };
    messages.push((await failure(engine.createVectorName(name, "s", idf, echo))).message);
    expect(messages).toEqual([
      "Wrong input: Vector `b` already exists with a different configuration",
      "Wrong input: Vector `b` already exists as a dense vector",
      "Wrong input: Vector `s` already exists as a sparse vector",
      "Wrong input: Sparse vector `s` already exists with a different configuration",
    ]);
    await engine.deleteVectorName(name, "nobody", echo);
  });

  test("come and go beside writes, searches and each other", async () => {
    const name = await collection();
    const points = Array.from({ length: 500 }, (_, n) => point(n + 10, { a: [n, 1] }));
    let going = true;
    const load = (async () => {
      while (going) await engine.write(name, { kind: "upsert", points }, wait);
    })();
    const searches = (async () => {
      while (going) {
        const found = await engine.search(name, query([1, 0], { using: "a", limit: 3, vectors: all }));
        expect(found.length).toBeGreaterThanOrEqual(2);
      }
    })();
    const names = async (vector: string): Promise<void> => {
      for (let n = 0; n < 15; n++) {
        await engine.createVectorName(name, vector, dense(4), echo);
        await set(name, vector, { 1: [1, 2, 3, 4] });
        expect(idsOf(await engine.search(name, query([1, 1, 1, 1], { using: vector })))).toEqual([1n]);
        await engine.deleteVectorName(name, vector, echo);
      }
    };
    await Promise.all([names("x"), names("y")]);
    going = false;
    await Promise.all([load, searches]);
    expect(Object.keys((await engine.collectionInfo(name)).config.vectors)).toEqual(["a"]);
  });
});

describe("vector names with graphs", () => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());

  test("a name may go while its graph is built, and its files go with it", async () => {
    let engine = openEmbeddedEngine({ dataDir: folder.path });
    const config = configOf(
      { "": [8, "dot"] },
      { indexingThreshold: 100, hnsw: { m: 16, efConstruct: 100, fullScanThreshold: 10 } },
    );
    await engine.createCollection("graphs", config, sealingOff);
    const values = (n: number): number[] => Array.from({ length: 64 }, (_, i) => Math.sin(n * 64 + i));
    const points = Array.from({ length: 4_000 }, (_, n) => ({ id: BigInt(n), vector: values(n) }));
    await engine.write(
      "graphs",
      { kind: "upsert", points: points.map(({ id }) => point(id, { "": values(Number(id)).slice(0, 8) })) },
      wait,
    );
    for (let round = 0; round < 3; round++) {
      await engine.createVectorName("graphs", "big", dense(64), echo);
      const vectors = points.map(({ id, vector }) => ({
        id,
        vectors: [["big", Float32Array.from(vector)]] as const,
      }));
      await engine.write("graphs", { kind: "update_vectors", points: vectors }, wait);
      // Right away in the first round, in the middle of a build or behind it in the others.
      await new Promise((resolve) => setTimeout(resolve, round * 400));
      await engine.deleteVectorName("graphs", "big", echo);
    }
    for (let left = 400; left > 0; left--) {
      const info = await engine.collectionInfo("graphs");
      expect(info.status).not.toBe("red");
      if (info.status === "green" && info.indexedVectorsCount > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { pointsCount, indexedVectorsCount } = await engine.collectionInfo("graphs");
    expect(pointsCount).toBe(4_000);
    expect(indexedVectorsCount).toBeGreaterThan(0);
    expect(indexedVectorsCount).toBeLessThanOrEqual(4_000);
    await engine.close();
    const report = await checkData(folder.path, false);
    expect(report.findings).toEqual([]);
    expect(report.collections[0]).toMatchObject({ points: 4_000, vectors: 4_000 });
    engine = openEmbeddedEngine({ dataDir: folder.path });
    expect(await engine.count("graphs", must({ kind: "has_vector", name: "big" }), true)).toBe(0);
    await engine.close();
  });

  test("a snapshot carries neither a deleted name nor its vectors", async () => {
    const engine = openEmbeddedEngine({ dataDir: folder.path });
    await engine.createCollection("told", configOf({ a: [1, "dot"], b: [1, "dot"] }), sealingOff);
    await engine.write("told", { kind: "upsert", points: [point(1, { a: [1], b: [2] })] }, wait);
    await engine.deleteVectorName("told", "b", echo);
    const info = await engine.snapshots.create("told");
    const opened = await engine.snapshots.open("told", info.name);
    const received = await engine.snapshots.receive(opened.read(0));
    await engine.snapshots.restore("copy", [received.path]);
    await received.discard();
    await engine.createVectorName("copy", "b", dense(1), echo);
    expect((await engine.get("copy", [1n], none, all)).vectors(0)).toEqual([["a", Float32Array.of(1)]]);
    expect(idsOf(await engine.search("copy", query([1], { using: "b" })))).toEqual([]);
    await engine.close();
  });
});
