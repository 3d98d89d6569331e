/**
 * The state file of rows that are kept in memory (sparse vectors, multivectors): a start takes from it what is still so and the rest from the store, and one that is
 * damaged or missing changes no answer. SEED replays a run.
 */
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  type MultiVector,
  type Query,
  type QueryRequest,
  type SparseVector,
  sealingOff,
} from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import type { Engine, PointInput } from "../../src/engine/index.ts";
import { checkData } from "../../src/native/index.ts";
import { makeRandom, seed } from "../wire/fuzz-support.ts";
import { configOf, idsOf, none, point, temporaryFolder, wait } from "./support.ts";

/** Enough for a state file to be written at the close. */
const count = 6_000;
const random = makeRandom(seed);
const whole = (below: number): number => Math.floor(random() * below);

interface Row {
  readonly words: ReadonlyMap<number, number> | undefined;
  readonly tokens: readonly (readonly number[])[] | undefined;
}

function newRow(): Row {
  const words = new Map<number, number>();
  for (let i = 0; i < 1 + whole(6); i++) words.set(whole(400), 1 + whole(50));
  // Three bytes a row: their files are filled up to four.
  const tokens = Array.from({ length: 1 + whole(3) }, () => [whole(256), whole(256), whole(256)]);
  return { words: random() < 0.9 ? words : undefined, tokens: random() < 0.9 ? tokens : undefined };
}

function sparse(words: ReadonlyMap<number, number>): SparseVector {
  const sorted = [...words].sort(([a], [b]) => a - b);
  return {
    indices: Uint32Array.from(sorted.map(([index]) => index)),
    values: Float32Array.from(sorted.map(([, value]) => value)),
  };
}

const multi = (rows: readonly (readonly number[])[]): MultiVector => ({
  rows: rows.length,
  dimensions: 3,
  values: Float32Array.from(rows.flat()),
});

function pointOf(id: number, { words, tokens }: Row): PointInput {
  return {
    ...point(id, {}),
    vectors: [
      ...(words === undefined ? [] : ([["words", sparse(words)]] as const)),
      ...(tokens === undefined ? [] : ([["tokens", multi(tokens)]] as const)),
    ],
  };
}

type Model = Map<number, Row>;

async function upsert(engine: Engine, model: Model, ids: readonly number[]): Promise<void> {
  const rows = ids.map((id) => [id, newRow()] as const);
  await engine.write("c", { kind: "upsert", points: rows.map(([id, row]) => pointOf(id, row)) }, wait);
  for (const [id, row] of rows) model.set(id, row);
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);

function best(model: Model, scoreOf: (row: Row) => number | undefined): { id: bigint; score: number }[] {
  return [...model]
    .flatMap(([id, row]) => {
      const score = scoreOf(row);
      return score === undefined ? [] : [{ id: BigInt(id), score }];
    })
    .sort((a, b) => b.score - a.score || Number(a.id - b.id))
    .slice(0, 20);
}

async function compare(engine: Engine, model: Model): Promise<void> {
  const ask = async (using: string, vector: SparseVector | MultiVector): Promise<readonly [bigint, number][]> => {
    const nearest: Query = { kind: "nearest", vector };
    const request: QueryRequest = {
      prefetch: [],
      params: {},
      query: nearest,
      using,
      filter: undefined,
      scoreThreshold: undefined,
      lookupFrom: undefined,
      limit: 20,
      offset: 0,
      payload: none,
      vectors: none,
    };
    const table = await engine.query("c", request);
    return idsOf(table).map((id, row) => [id as bigint, table.score(row)]);
  };
  for (let round = 0; round < 5; round++) {
    const words = new Map([
      [whole(400), 1 + whole(5)],
      [whole(400), 1 + whole(5)],
    ]);
    const expected = best(model, (row) => {
      const shared = [...words].filter(([index]) => row.words?.has(index));
      return shared.length === 0
        ? undefined
        : shared.reduce((sum, [index, value]) => sum + value * (row.words?.get(index) ?? 0), 0);
    });
    expect(await ask("words", sparse(words)), `seed ${seed}`).toEqual(expected.map(({ id, score }) => [id, score]));
    const tokens = [[whole(256), whole(256), whole(256)]];
    const nearest = best(model, ({ tokens: stored }) =>
      stored === undefined ? undefined : tokens.reduce((sum, a) => sum + Math.max(...stored.map((b) => dot(a, b))), 0),
    );
    expect(await ask("tokens", multi(tokens)), `seed ${seed}`).toEqual(nearest.map(({ id, score }) => [id, score]));
  }
}

function rowsFiles(folder: string): string[] {
  const names = readdirSync(join(folder, "segments"), { recursive: true }) as string[];
  return names.filter((name) => /rows-.*\.state$/.test(name)).map((name) => join(folder, "segments", name));
}

async function reopened(folder: string, work: (engine: EmbeddedEngine) => Promise<void>): Promise<void> {
  const engine = openEmbeddedEngine({ dataDir: folder });
  try {
    await work(engine);
  } finally {
    await engine.close();
  }
}

test("rows kept in memory come back from their file, without what has changed since", async () => {
  console.log(`seed ${seed}`);
  const folder = temporaryFolder();
  const model: Model = new Map();
  await reopened(folder.path, async (engine) => {
    const tokens = { size: 3, distance: "dot" as const, multivector: true, datatype: "uint8" as const };
    const config = configOf({}, { vectors: { tokens }, sparseVectors: { words: { modifier: "none" } } });
    await engine.createCollection("c", config, sealingOff);
    for (let from = 0; from < count; from += 1_000) {
      await upsert(
        engine,
        model,
        Array.from({ length: 1_000 }, (_, i) => from + i),
      );
    }
    await compare(engine, model);
  });
  const [file] = rowsFiles(folder.path);
  expect(file).toBeDefined();

  const rows = [...model.values()];
  const kept =
    rows.filter(({ words }) => words !== undefined).length + rows.filter(({ tokens }) => tokens !== undefined).length;
  await reopened(folder.path, async (engine) => {
    expect((await engine.stats()).rowsFromState).toBe(kept);
    await compare(engine, model);
    // Too few for another file: the next start puts both together.
    await upsert(
      engine,
      model,
      Array.from({ length: 120 }, () => whole(count + 500)),
    );
    const gone = Array.from({ length: 60 }, () => whole(count));
    await engine.write("c", { kind: "delete", selector: { kind: "ids", ids: gone.map(BigInt) } }, wait);
    for (const id of gone) model.delete(id);
    await compare(engine, model);
  });
  expect(rowsFiles(folder.path)).toEqual([file]);
  await reopened(folder.path, async (engine) => {
    const { rowsFromState } = await engine.stats();
    expect(rowsFromState).toBeLessThan(kept);
    expect(rowsFromState).toBeGreaterThan(kept - 2 * (120 + 60) - 1);
    await compare(engine, model);
  });

  const copy = temporaryFolder();
  const harms: readonly ((path: string) => void)[] = [
    (path) => rmSync(path),
    (path) => truncateSync(path, whole(readFileSync(path).length)),
    (path) => {
      const bytes = readFileSync(path);
      const at = whole(bytes.length);
      bytes[at] = (bytes[at] as number) ^ (1 << whole(8));
      writeFileSync(path, bytes);
    },
  ];
  for (const harm of harms) {
    rmSync(copy.path, { recursive: true });
    cpSync(folder.path, copy.path, { recursive: true });
    const [path] = rowsFiles(copy.path);
    harm(path as string);
    const report = await checkData(copy.path, false);
    expect(report.findings.map(({ text }) => text).join("\n")).toMatch(/rows-.*is missing or damaged/);
    await reopened(copy.path, async (engine) => {
      expect((await engine.stats()).rowsFromState).toBe(0);
      await compare(engine, model);
    });
  }
  copy.remove();
  folder.remove();
});
