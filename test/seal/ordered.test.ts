/** Ordered reads and facets where payloads are sealed: only clear fields have values, and a policy that requires sealing lets nothing else be asked for. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Filter, type SealingPolicy, sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { type SealedEngine, sealEngine, sealedSkippedOf } from "../../src/engine/index.ts";
import { generateKeyPair } from "../../src/seal/index.ts";
import { configOf, failure, idsOf, must, none, point, temporaryFolder, wait } from "../engine/support.ts";

const folder = temporaryFolder();
let engine: SealedEngine;
const clearFields = ["n", "lang"];
const policy = (mode: SealingPolicy["mode"]): SealingPolicy => ({ ...sealingOff, mode, clearFields });
const documentOf = (n: number) => ({
  n: BigInt(n),
  lang: n % 2 === 0 ? "en" : "de",
  secret: BigInt(100 - n),
  name: `s${n}`,
});

beforeAll(async () => {
  engine = sealEngine(openEmbeddedEngine({ dataDir: folder.path }));
  const publicKey = generateKeyPair().publicKeyPem;
  for (const mode of ["optional", "required"] as const) {
    await engine.createCollection(mode, configOf({ "": [1, "dot"] }), policy(mode));
    const sealed = [1, 2, 3].map((n) => point(n, [n], documentOf(n)));
    await engine.write(mode, { kind: "upsert", points: sealed, publicKey }, wait);
    await engine.createFieldIndex(mode, "n", "integer", "{}");
    await engine.createFieldIndex(mode, "lang", "keyword", "{}");
  }
  const plain = [4, 5].map((n) => point(n, [n], documentOf(n)));
  await engine.write("optional", { kind: "upsert", points: plain }, wait);
  await engine.createFieldIndex("optional", "secret", "integer", "{}");
  await engine.createFieldIndex("optional", "name", "keyword", "{}");
});
afterAll(async () => {
  await engine.close();
  folder.remove();
});

function scroll(name: string, key: string, filter?: Filter) {
  const orderBy = { key, direction: "desc" } as const;
  return engine.scroll(name, { orderBy, limit: 10, payload: none, vectors: none, ...(filter && { filter }) });
}
const facet = (name: string, key: string, filter?: Filter) =>
  engine.facet(name, { key, limit: 10, exact: true, ...(filter && { filter }) });

test("clear fields order and count sealed points too", async () => {
  for (const name of ["optional", "required"]) {
    const { points } = await scroll(name, "n");
    expect(idsOf(points)).toEqual(name === "optional" ? [5n, 4n, 3n, 2n, 1n] : [3n, 2n, 1n]);
    expect((await facet(name, "lang")).length).toBe(2);
  }
});

test("what is sealed has no value: plain points only, under an optional policy", async () => {
  const { points } = await scroll("optional", "secret");
  expect(idsOf(points)).toEqual([4n, 5n]);
  expect((await facet("optional", "name")).length).toBe(2);
  const filter = must({ kind: "match_keyword", key: "name", value: "s4" });
  const filtered = await scroll("optional", "n", filter);
  expect([idsOf(filtered.points), sealedSkippedOf(filtered.points)]).toEqual([[4n], 3]);
  expect((await facet("optional", "lang", filter)).length).toBe(1);
});

test("and may not be asked for where sealing is required", async () => {
  const stage = { prefetch: [], using: "", params: {}, limit: 3, offset: 0, payload: none, vectors: none };
  const query = { ...stage, query: { kind: "order_by", orderBy: { key: "secret", direction: "asc" } } } as const;
  for (const asked of [
    () => scroll("required", "secret"),
    () => facet("required", "name"),
    () => engine.query("required", query),
  ])
    expect((await failure(asked())).kind).toBe("precondition");
  const filter = must({ kind: "match_keyword", key: "name", value: "s4" });
  for (const asked of [() => scroll("required", "n", filter), () => facet("required", "lang", filter)]) {
    expect((await failure(asked())).kind).toBe("precondition");
  }
});

test("a slice asks for no field", async () => {
  const parts = [];
  for (const index of [0, 1]) parts.push(await scroll("required", "n", must({ kind: "slice", total: 2, index })));
  expect(parts.flatMap(({ points }) => idsOf(points)).sort()).toEqual([1n, 2n, 3n]);
  for (const { points } of parts) expect(sealedSkippedOf(points)).toBe(0);
});
