/**
 * `make bench`: every section, or those named, each with servers in processes of their own, driven by the official Go client. Keeps what a
 * section measured in bench/results.json and writes bench/RESULTS.md from all that is kept.
 *   node bench/run.ts [SECTION...] [--data DIR] [--documents N] [--queries N] [--no-write] [--strict]
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Bench, fullData, type Section, sliceData } from "./bench.ts";
import { buildLoadgen } from "./loadgen.ts";
import { barTable, describeRun, isPassed } from "./report.ts";
import { keepResult } from "./results.ts";
import * as collections from "./sections/collections.ts";
import * as hybrid from "./sections/hybrid.ts";
import * as peers from "./sections/peers.ts";
import * as s5 from "./sections/s5.ts";
import * as scale from "./sections/scale.ts";
import * as server from "./sections/server.ts";
import * as threads from "./sections/threads.ts";

/** In the order of bench/RESULTS.md. */
const sections: readonly Section[] = [peers, server, hybrid, threads, scale, collections, s5];

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    documents: { type: "string", default: "0" },
    queries: { type: "string", default: "5000" },
    "no-write": { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
  },
});

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

const data =
  flags.data === undefined ? (existsSync(join(fullData, "vectors.f16")) ? fullData : sliceData) : resolve(flags.data);
const unknown = positionals.filter((name) => !sections.some((section) => section.name === name));
if (unknown.length > 0) {
  throw new Error(`no section ${unknown.join(", ")}; there are ${sections.map(({ name }) => name).join(", ")}`);
}
const chosen = sections.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
if (data === sliceData) say("The full data set is not there: 2,000 documents, no bar is judged.");
await buildLoadgen();

for (const section of chosen) {
  const bench = new Bench({ data, documents: Number(flags.documents), queries: Number(flags.queries) });
  const ran = describeRun();
  say(`\n## ${section.title}\n\n${ran}`);
  const result = await section.run(bench);
  say(`\n${result.body}\n\n${result.bars.length > 0 ? barTable(result.bars) : ""}`);
  // Sizes of one's own are a trial.
  const isTrial = section.name === "scale" && process.env.SEALPOINT_BENCH_SIZES !== undefined;
  if (bench.isWhole && !flags["no-write"] && !isTrial) {
    keepResult(sections, section.name, ran, result);
    say("\nwritten to bench/RESULTS.md");
  } else {
    say(`\nnot written to bench/RESULTS.md: ${bench.isWhole ? "--no-write or a trial" : "not the whole data set"}`);
  }
  if (flags.strict && bench.isWhole && !result.bars.every(isPassed)) process.exitCode = 1;
}
