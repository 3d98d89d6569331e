/** The WordNet documents that tests run on: the slice in the repository, and the full set when it lies beside it. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";

const root = resolve(import.meta.dirname, "../..");
const slicePath = join(root, "test/data/wordnet-2000");
const fullPath = process.env.SEALPOINT_WORDNET_DIR ?? resolve(root, "../shared/data/wordnet");

export interface WordnetDocument {
  readonly id: number;
  readonly word: string;
  readonly pos: string;
  readonly lexname: string;
  readonly gloss: string;
  readonly n_words: number;
}

export interface WordnetFilter {
  readonly name: string;
  readonly where: { readonly field: "n_words" | "lexname"; readonly op: "lte" | "eq"; readonly value: number | string };
  readonly matching: number;
  /** Ids of the ten nearest matching documents per query, best first. */
  readonly top10: readonly (readonly number[])[];
}

export interface Wordnet {
  readonly dimensions: number;
  /** Row-major; row r is document id r. */
  readonly vectors: Float32Array;
  readonly documents: readonly WordnetDocument[];
  readonly queries: Float32Array;
  readonly queryDocuments: readonly Omit<WordnetDocument, "id">[];
  /** Ids of the ten nearest documents per query, best first. */
  readonly top10: readonly (readonly number[])[];
  readonly filters: readonly WordnetFilter[];
  /** Views, no copies. */
  vector(row: number): Float32Array;
  query(row: number): Float32Array;
}

let halfTable: Float32Array | undefined;

/** The value of each of the 65,536 halves (IEEE 754-2019 section 3.4, binary16). */
function halves(): Float32Array {
  if (halfTable !== undefined) return halfTable;
  const table = new Float32Array(65_536);
  for (let bits = 0; bits < 65_536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[bits] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  halfTable = table;
  return table;
}

export function decodeF16(bytes: Uint8Array): Float32Array {
  const table = halves();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(bytes.byteLength / 2);
  for (let i = 0; i < values.length; i++) values[i] = table[view.getUint16(i * 2, true)] as number;
  return values;
}

function readLines<T>(text: string): T[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

const dimensions = 384;

function load(path: string, top10: readonly (readonly number[])[], filters: readonly WordnetFilter[]): Wordnet {
  const vectors = decodeF16(readFileSync(join(path, "vectors.f16")));
  const queries = decodeF16(readFileSync(join(path, "queries.f16")));
  return {
    dimensions,
    vectors,
    documents: readLines(gunzipSync(readFileSync(join(path, "payloads.jsonl.gz"))).toString("utf8")),
    queries,
    queryDocuments: readLines(readFileSync(join(path, "queries.jsonl"), "utf8")),
    top10,
    filters,
    vector: (row) => vectors.subarray(row * dimensions, (row + 1) * dimensions),
    query: (row) => queries.subarray(row * dimensions, (row + 1) * dimensions),
  };
}

/** 2,000 documents and 100 queries, always there. */
export function loadSlice(): Wordnet {
  const answers = JSON.parse(readFileSync(join(slicePath, "answers.json"), "utf8"));
  return load(slicePath, answers.top10, answers.filters);
}

export function hasFull(): boolean {
  return existsSync(join(fullPath, "vectors.f16"));
}

/** 100,000 documents and 1,000 queries; undefined where the data set is not beside the repository. */
export function loadFull(): Wordnet | undefined {
  if (!hasFull()) return undefined;
  const bytes = readFileSync(join(fullPath, "neighbors.u32"));
  const neighbours = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const top10 = Array.from({ length: neighbours.length / 100 }, (_, row) => [
    ...neighbours.subarray(row * 100, row * 100 + 10),
  ]);
  return load(fullPath, top10, JSON.parse(readFileSync(join(fullPath, "filters.json"), "utf8")).filters);
}

/** Share of the expected ids that were found. */
export function recall(found: readonly (number | bigint)[], expected: readonly number[]): number {
  const seen = new Set(found.map(Number));
  return expected.length === 0 ? 1 : expected.filter((id) => seen.has(id)).length / expected.length;
}
