/** Sparse vectors in the embedded engine, against plain computations. */
import { expect, test } from "vitest";
import { type Query, type QueryRequest, type SparseVector, sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import type { PointInput, PointTable } from "../../src/engine/index.ts";
import { all, configOf, failure, idsOf, none, point, query, temporaryFolder, wait } from "./support.ts";

function sparse(values: Record<number, number>): SparseVector {
  const indices = Object.keys(values).map(Number);
  return { indices: Uint32Array.from(indices), values: Float32Array.from(indices.map((index) => values[index] ?? 0)) };
}

const documents = Array.from(
  { length: 60 },
  (_, n): Record<number, number> => ({
    [n % 7]: 1 + n / 8,
    [10 + (n % 11)]: 0.5 + (n % 5),
    ...(n % 6 === 0 ? ({ 4000000000: -n } as Record<number, number>) : {}),
  }),
);

function dot(a: Record<number, number>, b: Record<number, number>): number | undefined {
  const shared = Object.keys(a).filter((index) => index in b);
  return shared.length === 0
    ? undefined
    : shared.reduce((sum, i) => sum + (a[Number(i)] ?? 0) * (b[Number(i)] ?? 0), 0);
}

function ranked(wanted: Record<number, number>, limit: number, left: (n: number) => boolean = () => true) {
  return documents
    .map((document, n) => ({ id: BigInt(n), score: dot(wanted, document) }))
    .filter((one): one is { id: bigint; score: number } => one.score !== undefined && left(Number(one.id)))
    .sort((a, b) => b.score - a.score || Number(a.id - b.id))
    .slice(0, limit);
}

function request(what: Query | undefined, change: Partial<QueryRequest> = {}): QueryRequest {
  const stage = {
    prefetch: [],
    params: {},
    query: what,
    using: "plain",
    limit: 10,
    offset: 0,
    payload: none,
    vectors: none,
  };
  return { ...stage, ...change } as QueryRequest;
}

function expectRanked(table: PointTable, wanted: readonly { id: bigint; score: number }[]): void {
  expect(idsOf(table)).toEqual(wanted.map(({ id }) => id));
  for (const [row, { score }] of wanted.entries()) expect(table.score(row)).toBeCloseTo(score, 3);
}

function pointOf(n: number, values = documents[n] ?? {}): PointInput {
  const vector = sparse(values);
  return {
    ...point(n, { dense: [n, 1] }),
    vectors: [
      ["dense", Float32Array.of(n, 1)],
      ["plain", vector],
      ["rare", vector],
    ],
  };
}

test("sparse vectors are written, found, weighted by idf, fused with dense ones and kept over a restart", async () => {
  const folder = temporaryFolder();
  let engine = openEmbeddedEngine({ dataDir: folder.path });
  const config = configOf(
    { dense: [2, "dot"] },
    { sparseVectors: { plain: { modifier: "none" }, rare: { modifier: "idf" } } },
  );
  await engine.createCollection("s", config, sealingOff);
  await engine.write("s", { kind: "upsert", points: documents.map((_, n) => pointOf(n, { 1: 99 })) }, wait);
  // Overwritten: the first values must not be found again.
  await engine.write("s", { kind: "upsert", points: documents.map((_, n) => pointOf(n)) }, wait);

  const wanted = { 3: 1, 12: 2, 4000000000: -0.25 };
  const nearest: Query = { kind: "nearest", vector: sparse(wanted) };
  const df = (index: number) => documents.filter((document) => index in document).length;
  const weighted = Object.fromEntries(
    Object.entries(wanted).map(([index, value]) => {
      const n = df(Number(index));
      return [index, value * Math.log((documents.length - n + 0.5) / (n + 0.5) + 1)];
    }),
  );
  const check = async () => {
    expectRanked(await engine.query("s", request(nearest)), ranked(wanted, 10));
    expectRanked(await engine.query("s", request(nearest, { using: "rare" })), ranked(weighted, 10));
    const byId: Query = { kind: "nearest", vector: { pointId: 3n } };
    expectRanked(
      await engine.query("s", request(byId)),
      ranked(documents[3] ?? {}, 10, (n) => n !== 3),
    );
    expectRanked(
      await engine.search("s", query({ pointId: 3n }, { using: "plain" })),
      ranked(documents[3] ?? {}, 10, (n) => n !== 3),
    );
    const stored = (await engine.get("s", [12n], none, { kind: "names", names: ["plain"] })).vectors(0);
    expect(stored).toEqual([["plain", sparse(documents[12] ?? {})]]);
  };
  await check();
  const cut = ranked(wanted, 60).filter(({ score }) => score >= 5);
  expectRanked(await engine.query("s", request(nearest, { limit: 60, scoreThreshold: 5 })), cut);

  const fused = await engine.query(
    "s",
    request(
      { kind: "rrf", k: 2, weights: [] },
      {
        prefetch: [
          { prefetch: [], params: {}, query: nearest, using: "plain", limit: 5 },
          {
            prefetch: [],
            params: {},
            query: { kind: "nearest", vector: Float32Array.of(1, 0) },
            using: "dense",
            limit: 5,
          },
        ],
      },
    ),
  );
  const ranks = new Map<bigint, number>();
  for (const list of [ranked(wanted, 5).map(({ id }) => id), [59n, 58n, 57n, 56n, 55n]]) {
    for (const [rank, id] of list.entries()) ranks.set(id, (ranks.get(id) ?? 0) + 1 / (rank + 2));
  }
  expect(new Map(idsOf(fused).map((id, row) => [id, fused.score(row).toFixed(5)]))).toEqual(
    new Map([...ranks].map(([id, score]) => [id, score.toFixed(5)])),
  );
  const averaged: Query = {
    kind: "recommend",
    positive: [sparse({ 3: 2 }), sparse({ 12: 4 })],
    negative: [],
    strategy: "average_vector",
  };
  expectRanked(await engine.query("s", request(averaged)), ranked({ 3: 1, 12: 2 }, 10));

  await engine.close();
  engine = openEmbeddedEngine({ dataDir: folder.path });
  await check();
  await engine.write("s", { kind: "delete_vectors", selector: { kind: "ids", ids: [3n] }, names: ["plain"] }, wait);
  expect((await engine.get("s", [3n], none, all)).vectors(0)?.map(([name]) => name)).toEqual(["dense", "rare"]);
  const having = { must: [{ kind: "has_vector" as const, name: "plain" }], should: [], mustNot: [] };
  expect(await engine.count("s", having, true)).toBe(59);
  expectRanked(
    await engine.query("s", request(nearest)),
    ranked(wanted, 10, (n) => n !== 3),
  );
  const wrong = engine.write("s", { kind: "upsert", points: [point(1, { plain: [1] })] }, wait);
  expect((await failure(wrong)).message).toContain("Conversion between sparse and regular vectors failed");
  await engine.close();
  folder.remove();
});
