/** Conditional writes: which points of an upsert or of a vector update are written, judged by what is stored before it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { type Engine, sealEngine, type WriteCondition } from "../../src/engine/index.ts";
import { generateKeyPair } from "../../src/seal/index.ts";
import { all, configOf, failure, must, none, payloadOf, point, temporaryFolder, wait } from "./support.ts";

const openers: readonly (readonly [string, (dataDir: string) => Engine])[] = [
  ["embedded", (dataDir) => openEmbeddedEngine({ dataDir })],
  ["sealed over embedded", (dataDir) => sealEngine(openEmbeddedEngine({ dataDir }))],
];

describe.each(openers)("conditional writes, %s", (_name, open) => {
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

  /** Points 1 and 2 of version 1, point 3 of version 2; indexed or not, the same must come out. */
  async function collection(indexed: boolean): Promise<string> {
    const name = `conditional-${++made}`;
    await engine.createCollection(name, configOf({ "": [1, "dot"] }), sealingOff);
    if (indexed) await engine.createFieldIndex(name, "version", "integer", "");
    const points = [1, 2, 3].map((id) => point(id, [id], { version: id === 3 ? 2n : 1n, old: true }));
    await engine.write(name, { kind: "upsert", points }, wait);
    return name;
  }

  const fresh = [1, 2, 3, 4].map((id) => point(id, [id * 10], { version: 5n }));
  const versionOne = must({ kind: "match_integer", key: "version", value: 1n });

  async function versions(name: string): Promise<Record<string, number>> {
    const table = await engine.get(name, [1n, 2n, 3n, 4n], all, all);
    const rows = Array.from({ length: table.length }, (_, row) => {
      const vector = (table.vectors(row)?.[0]?.[1] as Float32Array | undefined)?.[0];
      const { version } = payloadOf(table, row) as { version: number };
      // Payload and vector are written together or not at all.
      expect(vector).toBe(Number(table.id(row)) * (version === 5 ? 10 : 1));
      return [String(table.id(row)), version];
    });
    return Object.fromEntries(rows);
  }

  const cases: readonly (readonly [WriteCondition, Record<string, number>])[] = [
    [{ mode: "upsert" }, { 1: 5, 2: 5, 3: 5, 4: 5 }],
    [
      { mode: "upsert", filter: versionOne },
      { 1: 5, 2: 5, 3: 2, 4: 5 },
    ],
    [{ mode: "insert_only" }, { 1: 1, 2: 1, 3: 2, 4: 5 }],
    [
      { mode: "insert_only", filter: versionOne },
      { 1: 1, 2: 1, 3: 2, 4: 5 },
    ],
    [{ mode: "update_only" }, { 1: 5, 2: 5, 3: 5 }],
    [
      { mode: "update_only", filter: versionOne },
      { 1: 5, 2: 5, 3: 2 },
    ],
    [
      { mode: "update_only", filter: must({ kind: "has_id", ids: [3n] }) },
      { 1: 1, 2: 1, 3: 5 },
    ],
    [
      { mode: "upsert", filter: must({ kind: "has_vector", name: "" }, { kind: "is_empty", key: "old" }) },
      { 1: 1, 2: 1, 3: 2, 4: 5 },
    ],
  ];

  test.each([false, true])("write what their mode and filter admit (indexed: %s)", async (indexed) => {
    for (const [condition, expected] of cases) {
      const name = await collection(indexed);
      const { operationId } = await engine.write(name, { kind: "upsert", points: fresh, condition }, wait);
      expect(operationId).toBe(indexed ? 3n : 2n);
      expect(await versions(name)).toEqual(expected);
      // What is passed over keeps its place in the indexes too.
      const found = await engine.count(name, must({ kind: "match_integer", key: "version", value: 5n }), true);
      expect(found).toBe(Object.values(expected).filter((version) => version === 5).length);
    }
  });

  test("of one id twice are judged by what was there before: the last wins", async () => {
    const name = await collection(false);
    const twice = [point(9, [1], { n: 1n }), point(9, [2], { n: 2n })];
    await engine.write(name, { kind: "upsert", points: twice, condition: { mode: "insert_only" } }, wait);
    expect(payloadOf(await engine.get(name, [9n], all, none))).toEqual({ n: 2 });
  });

  test("are checked whole: a point that would be passed over is refused too", async () => {
    const name = await collection(false);
    const condition = { mode: "insert_only" } as const;
    const points = [point(4, [1]), point(1, [1, 2])];
    const error = await failure(engine.write(name, { kind: "upsert", points, condition }, wait));
    expect(error).toMatchObject({
      message: "Wrong input: Vector dimension error: expected dim: 1, got 2",
      details: { field: "points[1].vectors" },
    });
    expect(await engine.count(name, undefined, true)).toBe(3);
  });

  test("of vectors pass over points by the filter, and still miss those that are not there", async () => {
    const name = await collection(false);
    const points = [1n, 3n, 7n].map((id) => ({ id, vectors: [["", Float32Array.of(100)]] as const }));
    const condition = { mode: "upsert", filter: versionOne } as const;
    const error = await failure(engine.write(name, { kind: "update_vectors", points, condition }, wait));
    expect(error).toMatchObject({ kind: "not_found", message: "Not found: No point with id 7 found" });
    const table = await engine.get(name, [1n, 3n], none, all);
    expect([table.vectors(0)?.[0]?.[1], table.vectors(1)?.[0]?.[1]]).toEqual([
      Float32Array.of(100),
      Float32Array.of(3),
    ]);
  });

  test("racing for one version: exactly one of them wins", async () => {
    const name = await collection(false);
    const writers = Array.from({ length: 20 }, (_, n) =>
      engine.write(
        name,
        {
          kind: "upsert",
          points: [point(1, [n], { version: 7n, writer: BigInt(n) })],
          condition: { mode: "update_only", filter: versionOne },
        },
        wait,
      ),
    );
    await Promise.all(writers);
    const first = payloadOf(await engine.get(name, [1n], all, none));
    expect(first).toEqual({ version: 7, writer: 0 });
  });
});

describe("conditional writes to sealed points", () => {
  const folder = temporaryFolder();
  const engine = sealEngine(openEmbeddedEngine({ dataDir: folder.path }));
  afterAll(async () => {
    await engine.close();
    folder.remove();
  });

  test("a filter on what is sealed never admits them, and is refused under `required`", async () => {
    const { publicKeyPem: publicKey } = generateKeyPair();
    await engine.createCollection("optional", configOf({ "": [1, "dot"] }), { ...sealingOff, mode: "optional" });
    await engine.write("optional", { kind: "upsert", points: [point(1, [1], { a: 1n })], publicKey }, wait);
    await engine.write("optional", { kind: "upsert", points: [point(2, [1], { a: 1n })] }, wait);
    const isEmpty = must({ kind: "is_empty", key: "other" });
    const points = [point(1, [2], { a: 2n }), point(2, [2], { a: 2n })];
    await engine.write("optional", { kind: "upsert", points, condition: { mode: "upsert", filter: isEmpty } }, wait);
    const table = await engine.get("optional", [1n, 2n], none, all);
    expect([table.vectors(0)?.[0]?.[1], table.vectors(1)?.[0]?.[1]]).toEqual([Float32Array.of(1), Float32Array.of(2)]);

    await engine.createCollection("required", configOf({ "": [1, "dot"] }), { ...sealingOff, mode: "required" });
    const error = await failure(
      engine.write(
        "required",
        { kind: "upsert", points, publicKey, condition: { mode: "upsert", filter: isEmpty } },
        wait,
      ),
    );
    expect(error.details.reason).toBe("SealedField");
  });

  test("what is admitted is sealed", async () => {
    const { publicKeyPem: publicKey } = generateKeyPair();
    await engine.createCollection("sealed", configOf({ "": [1, "dot"] }), { ...sealingOff, mode: "required" });
    const condition = { mode: "insert_only" } as const;
    const write = (id: number) =>
      engine.write("sealed", { kind: "upsert", points: [point(id, [id], { a: "x" })], publicKey, condition }, wait);
    await write(1);
    await write(1);
    const info = await engine.collectionInfo("sealed");
    expect([info.pointsCount, info.sealedPointsCount]).toEqual([1, 1]);
  });
});
