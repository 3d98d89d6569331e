// Cuts test/data/wordnet-2000 out of the full data set: the first 2,000 documents and 100 queries, with the exact
// cosine answers recomputed WITHIN the slice. Run: node scripts/make-test-slice.mjs [../shared/data/wordnet]
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

const documents = 2_000;
const queryCount = 100;
const dimensions = 384;
const k = 10;

const root = resolve(import.meta.dirname, "..");
const source = resolve(root, process.argv[2] ?? "../shared/data/wordnet");
const target = join(root, "test/data/wordnet-2000");
mkdirSync(target, { recursive: true });

function decodeF16(bytes) {
  const halves = new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  return Float64Array.from(new Float16Array(halves.buffer));
}

const rowBytes = dimensions * 2;
const vectorBytes = readFileSync(join(source, "vectors.f16")).subarray(0, documents * rowBytes);
const queryBytes = readFileSync(join(source, "queries.f16")).subarray(0, queryCount * rowBytes);
const payloadLines = gunzipSync(readFileSync(join(source, "payloads.jsonl.gz")))
  .toString("utf8")
  .split("\n")
  .slice(0, documents);
const queryLines = readFileSync(join(source, "queries.jsonl"), "utf8").split("\n").slice(0, queryCount);
const vectors = decodeF16(vectorBytes);
const queries = decodeF16(queryBytes);
const payloads = payloadLines.map((line) => JSON.parse(line));

function norm(values, row) {
  let sum = 0;
  for (let d = 0; d < dimensions; d++) sum += values[row * dimensions + d] ** 2;
  return Math.sqrt(sum);
}

const norms = Array.from({ length: documents }, (_, row) => norm(vectors, row));

/** Ids of the k nearest among `rows`, best first, ties to the lower id; and their cosines. */
function nearest(query, rows) {
  const queryNorm = norm(queries, query);
  const scored = rows.map((row) => {
    let dot = 0;
    for (let d = 0; d < dimensions; d++) dot += queries[query * dimensions + d] * vectors[row * dimensions + d];
    return { row, score: dot / (queryNorm * norms[row]) };
  });
  scored.sort((a, b) => b.score - a.score || a.row - b.row);
  return scored.slice(0, k);
}

const everything = Array.from({ length: documents }, (_, row) => row);
const exact = Array.from({ length: queryCount }, (_, query) => nearest(query, everything));
const filters = [
  { name: "half", filter: "n_words <= 10", where: { field: "n_words", op: "lte", value: 10 } },
  { name: "tenth", filter: "lexname = noun.artifact", where: { field: "lexname", op: "eq", value: "noun.artifact" } },
  {
    name: "hundredth",
    filter: "lexname = noun.quantity",
    where: { field: "lexname", op: "eq", value: "noun.quantity" },
  },
].map((filter) => {
  const { field, op, value } = filter.where;
  const rows = everything.filter((row) =>
    op === "lte" ? payloads[row][field] <= value : payloads[row][field] === value,
  );
  return {
    ...filter,
    matching: rows.length,
    selectivity: rows.length / documents,
    top10: Array.from({ length: queryCount }, (_, query) => nearest(query, rows).map((hit) => hit.row)),
  };
});

writeFileSync(join(target, "vectors.f16"), vectorBytes);
writeFileSync(join(target, "queries.f16"), queryBytes);
// A fixed mtime (none) keeps the archive the same on every run.
writeFileSync(join(target, "payloads.jsonl.gz"), gzipSync(`${payloadLines.join("\n")}\n`, { level: 9 }));
writeFileSync(join(target, "queries.jsonl"), `${queryLines.join("\n")}\n`);
writeFileSync(
  join(target, "answers.json"),
  `${JSON.stringify({
    description: "Exact cosine top 10 within the slice per query, best first, ties to the lower id; filters likewise.",
    k,
    queries: queryCount,
    documents,
    top10: exact.map((hits) => hits.map((hit) => hit.row)),
    scores: exact.map((hits) => hits.map((hit) => Number(hit.score.toFixed(7)))),
    filters,
  })}\n`,
);
copyFileSync(join(source, "LICENSE.WordNet"), join(target, "LICENSE.WordNet"));
console.log(`wrote ${documents} documents and ${queryCount} queries to ${target}`);
for (const filter of filters) console.log(`${filter.filter}: ${filter.matching} documents`);
