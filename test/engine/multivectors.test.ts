/** Multivectors in the embedded engine, against plain computations. */
import { expect, test } from "vitest";
import type {
  CollectionConfig,
  Distance,
  MultiVector,
  Query,
  QueryRequest,
  VectorParams,
} from "../../src/core/index.ts";
import { sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import type { PointInput, PointTable } from "../../src/engine/index.ts";
import { all, configOf, failure, idsOf, none, point, query, temporaryFolder, wait } from "./support.ts";

const dimensions = 19;

function multi(rows: readonly (readonly number[])[]): MultiVector {
  return { rows: rows.length, dimensions: rows[0]?.length ?? 0, values: Float32Array.from(rows.flat()) };
}

/** The same numbers at every run. */
function noise(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43758.5453;
  return 2 * (x - Math.floor(x)) - 1;
}

const rowsOf = (n: number, count: number): number[][] =>
  Array.from({ length: count }, (_, row) =>
    Array.from({ length: dimensions }, (_, d) => 100 * noise(n * 1_000 + row * 37 + d)),
  );
const documents = Array.from({ length: 70 }, (_, n) => rowsOf(n + 1, 1 + (n % 9)));

type Rows = readonly (readonly number[])[];
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
const similarities: Record<Distance, (a: readonly number[], b: readonly number[]) => number> = {
  dot,
  cosine: (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || Number.POSITIVE_INFINITY),
  euclid: (a, b) => -a.reduce((sum, x, i) => sum + (x - (b[i] as number)) ** 2, 0),
  manhattan: (a, b) => -a.reduce((sum, x, i) => sum + Math.abs(x - (b[i] as number)), 0),
};
const maxSim = (distance: Distance, asked: Rows, stored: Rows) =>
  asked.reduce((sum, a) => sum + Math.max(...stored.map((b) => similarities[distance](a, b))), 0);
const shown = (distance: Distance, similarity: number) =>
  distance === "euclid" ? Math.sqrt(-similarity) : distance === "manhattan" ? -similarity : similarity;

const bytes = (rows: Rows): Rows => rows.map((row) => row.map((x) => Math.floor(Math.min(Math.max(x, 0), 255))));
const normal = (rows: Rows): Rows => rows.map((row) => row.map((x) => x / Math.sqrt(dot(row, row))));
const halves = (rows: Rows): Rows => rows.map((row) => [...new Float16Array(row)]);
/** What is stored of a vector. */
function kept(distance: Distance, datatype: string, rows: Rows): Rows {
  if (datatype === "uint8") return bytes(rows);
  const plain = distance === "cosine" ? normal(rows) : rows;
  return datatype === "float16" ? halves(plain) : plain;
}

function ranked(
  distance: Distance,
  asked: Rows,
  limit: number,
  datatype = "float32",
  stored: readonly Rows[] = documents,
) {
  const sure = (rows: Rows) => kept(distance, datatype, rows);
  return stored
    .map((rows, n) => ({ id: BigInt(n), similarity: maxSim(distance, sure(asked), sure(rows)) }))
    .sort((a, b) => b.similarity - a.similarity || Number(a.id - b.id))
    .slice(0, limit)
    .map(({ id, similarity }) => ({ id, score: shown(distance, similarity) }));
}

function request(what: Query | undefined, change: Partial<QueryRequest> = {}): QueryRequest {
  const stage = {
    prefetch: [],
    params: {},
    query: what,
    using: "many",
    limit: 10,
    offset: 0,
    payload: none,
    vectors: none,
  };
  return { ...stage, ...change } as QueryRequest;
}

function expectRanked(table: PointTable, wanted: readonly { id: bigint; score: number }[], precision = 1e-4): void {
  expect(idsOf(table)).toEqual(wanted.map(({ id }) => id));
  for (const [row, { score }] of wanted.entries()) {
    expect(Math.abs(table.score(row) - score)).toBeLessThan(precision * Math.max(1, Math.abs(score)));
  }
}

function configWith(params: Partial<VectorParams>): CollectionConfig {
  const many = { size: dimensions, distance: "dot" as const, multivector: true, ...params };
  return { ...configOf({ dense: [2, "dot"] }), vectors: { dense: { size: 2, distance: "dot" }, many } };
}

const pointOf = (n: number, rows: Rows = documents[n] ?? []): PointInput => ({
  ...point(n, { dense: [n, 1] }),
  vectors: [
    ["dense", Float32Array.of(n, 1)],
    ["many", multi(rows)],
  ],
});

const nearest = (rows: Rows): Query => ({ kind: "nearest", vector: multi(rows) });

for (const memory of ["pinned", "cold"] as const) {
  test(`multivectors in ${memory} memory are written, found, recommended with, rescored with and kept over a restart`, async () => {
    const folder = temporaryFolder();
    let engine = openEmbeddedEngine({ dataDir: folder.path });
    await engine.createCollection("m", configWith({ distance: "euclid", memory }), sealingOff);
    await engine.write(
      "m",
      { kind: "upsert", points: documents.map((_, n) => pointOf(n, [rowsOf(999, 1)[0] ?? []])) },
      wait,
    );
    // Overwritten: the first values must not be found again.
    await engine.write("m", { kind: "upsert", points: documents.map((_, n) => pointOf(n)) }, wait);
    const asked = rowsOf(500, 21);
    const check = async () => {
      expectRanked(await engine.query("m", request(nearest(asked))), ranked("euclid", asked, 10));
      // A plain vector is a multivector of one, in both ways in.
      const one = asked.slice(0, 1);
      const dense = Float32Array.from(one[0] ?? []);
      expectRanked(await engine.query("m", request({ kind: "nearest", vector: dense })), ranked("euclid", one, 10));
      expectRanked(await engine.search("m", query([...dense], { using: "many" })), ranked("euclid", one, 10));
      const others = ranked("euclid", documents[8] ?? [], 70).filter(({ id }) => id !== 8n);
      const byId: Query = { kind: "nearest", vector: { pointId: 8n } };
      expectRanked(await engine.query("m", request(byId)), others.slice(0, 10));
      expectRanked(await engine.search("m", query({ pointId: 8n }, { using: "many" })), others.slice(0, 10));
      const threshold = ((others[4]?.score ?? 0) + (others[5]?.score ?? 0)) / 2;
      const cut = await engine.query("m", request(byId, { scoreThreshold: threshold, limit: 70 }));
      expectRanked(cut, others.slice(0, 5));
      // The five greatest by the dense vector, ordered by the multivector.
      const prefetch = {
        prefetch: [],
        params: {},
        query: { kind: "nearest", vector: Float32Array.of(1, 0) },
        using: "dense",
        limit: 5,
      };
      const rescored = await engine.query("m", request(nearest(asked), { prefetch: [prefetch as never] }));
      expectRanked(
        rescored,
        ranked("euclid", asked, 70).filter(({ id }) => id >= 65n),
      );
      const averaged: Query = {
        kind: "recommend",
        positive: [multi(asked.slice(0, 2)), { pointId: 3n }],
        negative: [multi(asked.slice(2, 4))],
        strategy: "average_vector",
      };
      const joined = [
        ...asked.slice(0, 2),
        ...(documents[3] ?? []),
        ...asked.slice(2, 4).map((row) => row.map((x) => -x)),
      ];
      const wanted = ranked("euclid", joined, 70).filter(({ id }) => id !== 3n);
      expectRanked(await engine.query("m", request(averaged)), wanted.slice(0, 10));
      const stored = (await engine.get("m", [8n], none, all)).vectors(0);
      expect(stored).toEqual([
        ["dense", Float32Array.of(8, 1)],
        ["many", multi(documents[8] ?? [])],
      ]);
    };
    await check();
    await engine.close();
    engine = openEmbeddedEngine({ dataDir: folder.path });
    await check();
    // About 350 rows of 19 floats.
    const { tail } = (await engine.collectionInfo("m")).memory;
    if (memory === "cold") expect(tail).toBeLessThan(10_000);
    else expect(tail).toBeGreaterThan(25_000);
    await engine.write("m", { kind: "delete_vectors", selector: { kind: "ids", ids: [8n] }, names: ["many"] }, wait);
    expect((await engine.get("m", [8n], none, all)).vectors(0)?.map(([name]) => name)).toEqual(["dense"]);
    expectRanked(
      await engine.query("m", request(nearest(asked), { limit: 70 })),
      ranked("euclid", asked, 70).filter(({ id }) => id !== 8n),
    );
    const having = { must: [{ kind: "has_vector" as const, name: "many" }], should: [], mustNot: [] };
    expect(await engine.count("m", having, true)).toBe(69);
    await engine.write(
      "m",
      { kind: "update_vectors", points: [{ id: 8n, vectors: [["many", Float32Array.from(asked[0] ?? [])]] }] },
      wait,
    );
    expectRanked(
      await engine.query("m", request(nearest(asked.slice(0, 1)), { limit: 1 })),
      [{ id: 8n, score: 0 }],
      0.1,
    );
    await engine.close();
    folder.remove();
  });
}

for (const distance of ["cosine", "dot", "euclid", "manhattan"] as const) {
  for (const datatype of ["float32", "float16", "uint8"] as const) {
    test(`MaxSim of ${datatype} by ${distance}`, async () => {
      const folder = temporaryFolder();
      const engine = openEmbeddedEngine({ dataDir: folder.path });
      await engine.createCollection("m", configWith({ distance, datatype }), sealingOff);
      await engine.write("m", { kind: "upsert", points: documents.map((_, n) => pointOf(n)) }, wait);
      // A half next to a boundary may be rounded either way once it was normalised.
      const precision = datatype === "float16" && distance === "cosine" ? 2e-3 : 1e-4;
      // One by one, less than a block, more than two.
      for (const count of [1, 3, 4, 16, 17, 45]) {
        const asked = rowsOf(700 + count, count);
        const table = await engine.query("m", request(nearest(asked), { limit: 70 }));
        const wanted = ranked(distance, asked, 70, datatype);
        if (datatype !== "float16") expectRanked(table, wanted, precision);
        const scores = new Map(wanted.map(({ id, score }) => [id, score]));
        for (const [row, id] of idsOf(table).entries()) {
          const score = scores.get(id as bigint) as number;
          expect(Math.abs(table.score(row) - score)).toBeLessThan(precision * Math.max(1, Math.abs(score)));
        }
      }
      await engine.close();
      folder.remove();
    });
  }
}

test("vectors of the wrong kind and size are refused, and nothing of them stays", async () => {
  const folder = temporaryFolder();
  const engine = openEmbeddedEngine({ dataDir: folder.path });
  await engine.createCollection("m", configWith({}), sealingOff);
  const rows = multi([[1, 2]]);
  const upsert = (vectors: PointInput["vectors"]) =>
    failure(engine.write("m", { kind: "upsert", points: [{ ...point(1, {}), vectors }] }, wait));
  expect((await upsert([["dense", rows]])).message).toContain("Conversion between multi and regular vectors failed");
  expect((await upsert([["many", rows]])).message).toContain(`expected dim: ${dimensions}, got 2`);
  const sparse = { indices: Uint32Array.of(1), values: Float32Array.of(1) };
  expect((await upsert([["many", sparse]])).message).toContain("Conversion between sparse and regular vectors failed");
  const infinite = multi([[Number.POSITIVE_INFINITY, ...Array.from({ length: dimensions - 1 }, () => 1)]]);
  expect(await upsert([["many", infinite]])).toMatchObject({
    kind: "bad_input",
    message: expect.stringContaining("not finite"),
  });
  const asked = await failure(engine.query("m", request({ kind: "nearest", vector: rows }, { using: "dense" })));
  expect(asked.message).toContain("Conversion between multi and regular vectors failed");
  expect(await engine.count("m", undefined, false)).toBe(0);
  await engine.close();
  folder.remove();
});
