/**
 * Our engine without a server, which bench/hybrid-pair.ts sets beside qdrant-edge-py (bench/hybrid_edge.py): opens a server's data folder, writes
 * its sparse vectors and those of the queries to WORDS, then answers each line of standard input, a JSON object, with one. CPU is the process's,
 * all threads.
 *   node bench/hybrid-engine.ts DATA FOLDER COLLECTION WORDS
 */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Condition, Filter, PointId, QueryRequest, SparseVector } from "../src/core/index.ts";
import { openEmbeddedEngine } from "../src/engine/embedded/index.ts";
import type { PointTable } from "../src/engine/index.ts";
import { readBm25Options } from "../src/inference/bm25-options.ts";
import { embedBm25 } from "../src/native/index.ts";

const dimensions = 384;
const prefetch = 100;
const limit = 10;
const page = 1000;
/** The form of src/wire/answers.ts that a query's answer has. */
const scored = 1;
const [data = "", folder = "", collection = "", words = ""] = process.argv.slice(2);

interface DataFilter {
  readonly name: string;
  readonly where: { readonly field: string; readonly op: string; readonly value: string | number };
}

const open = () => openEmbeddedEngine({ dataDir: folder });
let engine = open();

const cpuMicros = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

function readQueries(): Float32Array[] {
  const bytes = readFileSync(join(data, "queries.f16"));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const row = (query: number) =>
    Float32Array.from({ length: dimensions }, (_, d) => view.getFloat16((query * dimensions + d) * 2, true));
  return Array.from({ length: bytes.length / 2 / dimensions }, (_, query) => row(query));
}

function readFilters(): Map<string, Filter> {
  const path = join(data, "filters.json");
  const file = existsSync(path) ? path : join(data, "answers.json");
  const { filters } = JSON.parse(readFileSync(file, "utf8")) as { filters: DataFilter[] };
  return new Map(filters.map(({ name, where }) => [name, { must: [condition(where)], should: [], mustNot: [] }]));
}

function condition({ field: key, op, value }: DataFilter["where"]): Condition {
  if (typeof value === "string") return { kind: "match_keyword", key, value };
  if (op !== "lte") throw new Error(`filter of ${key}: unknown form`);
  return { kind: "range", key, bounds: { lte: value } };
}

/** As the server makes them of a query's text. */
function readQueryWords(): Promise<SparseVector[]> {
  const lines = readFileSync(join(data, "queries.jsonl"), "utf8").trimEnd().split("\n");
  const settings = readBm25Options({}, "options");
  const texts = lines.map((line) => ({ text: (JSON.parse(line) as { gloss: string }).gloss, settings }));
  return embedBm25(texts, true);
}

async function eachPage(
  vectors: readonly string[],
  payload: "all" | "none",
  look: (points: PointTable) => void,
): Promise<number> {
  let seen = 0;
  let offset: PointId | undefined;
  do {
    const { points, nextOffset } = await engine.scroll(collection, {
      offset,
      limit: page,
      payload: { kind: payload },
      vectors: vectors.length === 0 ? { kind: "none" } : { kind: "names", names: vectors },
    });
    look(points);
    seen += points.length;
    offset = nextOffset;
  } while (offset !== undefined);
  return seen;
}

/** The sparse vectors as they are stored, so that the other gets the same values; gives their number. */
async function writeWords(queryWords: readonly SparseVector[]): Promise<number> {
  const all: SparseVector[] = [];
  await eachPage(["words"], "none", (points) => {
    for (let row = 0; row < points.length; row++) {
      const vector = points.vectors(row)?.[0]?.[1] as SparseVector | undefined;
      if (points.id(row) !== BigInt(all.length) || vector === undefined)
        throw new Error(`no words of point ${all.length}`);
      all.push(vector);
    }
  });
  const documents = all.length;
  all.push(...queryWords);
  mkdirSync(words, { recursive: true });
  writeFileSync(join(words, "counts.u32"), Uint32Array.from([documents, ...all.map(({ indices }) => indices.length)]));
  for (const [name, of] of [
    ["indices.u32", (one: SparseVector) => one.indices],
    ["values.f32", (one: SparseVector) => one.values],
  ] as const) {
    writeFileSync(join(words, name), Buffer.concat(all.map((one) => Uint8Array.from(asBytes(of(one))))));
  }
  return documents;
}

const asBytes = (values: Uint32Array | Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

const queries = readQueries();
const queryWords = await readQueryWords();
const filters = readFilters();
const documents = await writeWords(queryWords);

function ask(query: number, filter: Filter | undefined): Promise<PointTable> {
  const part = { prefetch: [], filter, params: {}, limit: prefetch };
  const request: QueryRequest = {
    prefetch: [
      { ...part, using: "", query: { kind: "nearest", vector: queries[query] as Float32Array } },
      { ...part, using: "words", query: { kind: "nearest", vector: queryWords[query] as SparseVector } },
    ],
    query: { kind: "rrf", k: 2, weights: [] },
    using: "",
    params: {},
    limit,
    offset: 0,
    payload: { kind: "all" },
    vectors: { kind: "none" },
  };
  return engine.query(collection, request);
}

async function hybrid(filter: string, count: number): Promise<object> {
  const condition = filters.get(filter);
  if (condition === undefined) throw new Error(`no filter ${filter}`);
  const asked: PointTable[] = [];
  const start = cpuMicros();
  for (let query = 0; query < Math.min(count, queries.length); query++) asked.push(await ask(query, condition));
  const us = (cpuMicros() - start) / asked.length;
  if (asked.some((points) => (points.wire?.(scored)?.length ?? 0) === 0)) throw new Error("no finished message");
  return {
    us,
    ids: asked.map((points) => Array.from({ length: points.length }, (_, row) => Number(points.id(row)))),
  };
}

async function scroll(): Promise<object> {
  const [start, used] = [performance.now(), cpuMicros()];
  const seen = await eachPage([], "all", () => undefined);
  if (seen !== documents) throw new Error(`${seen} of ${documents} points`);
  return { per_second: seen / ((performance.now() - start) / 1000), us: (cpuMicros() - used) / seen };
}

async function reopen(): Promise<object> {
  await engine.close();
  const start = performance.now();
  engine = open();
  await ask(0, undefined);
  return { seconds: (performance.now() - start) / 1000 };
}

async function snapshot(): Promise<object> {
  const copy = "restored";
  const start = performance.now();
  const { name } = await engine.snapshots.create(collection);
  const created = performance.now();
  const path = join(folder, "snapshots", collection, name);
  await engine.snapshots.restore(copy, [path]);
  const ended = performance.now();
  const megabytes = statSync(path).size / 1e6;
  const count = await engine.count(copy, undefined, true);
  await engine.deleteCollection(copy);
  await engine.snapshots.delete(collection, name);
  // The graph of what was restored would be built on beside what is measured next.
  await engine.close();
  engine = open();
  if (count !== documents) throw new Error(`${count} of ${documents} points restored`);
  return { create: (created - start) / 1000, restore: (ended - created) / 1000, megabytes };
}

const answer = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
answer({ documents });
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as { readonly do: string; readonly filter: string; readonly count: number };
  if (order.do === "hybrid") answer(await hybrid(order.filter, order.count));
  else if (order.do === "scroll") answer(await scroll());
  else if (order.do === "open") answer(await reopen());
  else answer(await snapshot());
}
await engine.close();
