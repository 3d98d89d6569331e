/** Slices of the ids: the same as Qdrant's (the numbers are its Python client's), and disjoint parts of everything in every place of a filter. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Condition, type Filter, type PointId, sealingOff } from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { configOf, idsOf, must, none, point, temporaryFolder, wait } from "./support.ts";

const folder = temporaryFolder();
let engine: EmbeddedEngine;

/** point_id_slice(id, 7) of qdrant_client.local.siphash. */
const known: readonly [PointId, number][] = [
  [0n, 3],
  [1n, 2],
  [2n, 3],
  [3n, 3],
  [2n ** 53n + 1n, 2],
  [2n ** 64n - 1n, 4],
  ["00000000-0000-0000-0000-000000000001", 1],
  ["0123e456-89ab-4cde-8012-3456789abcde", 6],
];

beforeAll(async () => {
  engine = openEmbeddedEngine({ dataDir: folder.path });
  for (const name of ["known", "many"]) await engine.createCollection(name, configOf({ "": [1, "dot"] }), sealingOff);
  await engine.write("known", { kind: "upsert", points: known.map(([id]) => point(id, [1])) }, wait);
  const points = Array.from({ length: 2_000 }, (_, n) => point(n, [1], { n: BigInt(n), list: [{ a: 1n }] }));
  await engine.write("many", { kind: "upsert", points }, wait);
});
afterAll(async () => {
  await engine.close();
  folder.remove();
});

const slice = (total: number, index: number): Condition => ({ kind: "slice", total, index });

async function found(name: string, filter: Filter): Promise<PointId[]> {
  const { points } = await engine.scroll(name, { filter, limit: 10_000, payload: none, vectors: none });
  return idsOf(points);
}

test("a point is in the slice that Qdrant has it in", async () => {
  for (let index = 0; index < 7; index++) {
    const wanted = known.filter(([, of]) => of === index).map(([id]) => id);
    expect(await found("known", must(slice(7, index)))).toEqual(wanted);
  }
});

test("slices are disjoint, together everything, and of one size", async () => {
  const parts = await Promise.all([0, 1, 2, 3].map((index) => found("many", must(slice(4, index)))));
  expect(parts.flat().sort((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 2_000 }, (_, n) => BigInt(n)),
  );
  for (const part of parts) expect(Math.abs(part.length - 500)).toBeLessThan(90);
  expect((await found("many", must(slice(1, 0)))).length).toBe(2_000);
});

test("beside other conditions, judged or indexed, negated and counted", async () => {
  const odd = new Set(await found("many", must(slice(2, 1))));
  const isIn = (n: number) => odd.has(BigInt(n));
  const below: Condition = { kind: "range", key: "n", bounds: { lt: 50 } };
  const wanted = (keep: (n: number) => boolean) =>
    Array.from({ length: 2_000 }, (_, n) => n)
      .filter(keep)
      .map(BigInt);
  for (const indexed of [false, true]) {
    if (indexed) await engine.createFieldIndex("many", "n", "integer", "{}");
    expect(await found("many", must(slice(2, 1), below))).toEqual(wanted((n) => n < 50 && isIn(n)));
    expect(await found("many", { must: [below], should: [], mustNot: [slice(2, 1)] })).toEqual(
      wanted((n) => n < 50 && !isIn(n)),
    );
    expect(await found("many", { must: [], should: [below, slice(2, 1)], mustNot: [] })).toEqual(
      wanted((n) => n < 50 || isIn(n)),
    );
    const minShould = { conditions: [below, slice(2, 1), slice(4, 1)], minCount: 2 };
    // Slice 1 of 4 lies within slice 1 of 2.
    const quarter = new Set(await found("many", must(slice(4, 1))));
    expect(await found("many", { must: [], should: [], mustNot: [], minShould })).toEqual(
      wanted((n) => quarter.has(BigInt(n)) || (n < 50 && isIn(n))),
    );
  }
  expect([...odd].length).toBeGreaterThan(0);
});

test("an element of a nested filter is in no slice", async () => {
  const nested: Condition = { kind: "nested", key: "list", filter: must(slice(1, 0)) };
  expect(await found("many", must(nested))).toEqual([]);
});
