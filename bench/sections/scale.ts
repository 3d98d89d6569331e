/** The same at 10,000 and 100,000 points, and at 1,000,000 when SEALPOINT_BENCH_1M=1 (`make bench-scale`); draws bench/scale.svg. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Bench, type SectionResult } from "../bench.ts";
import { drawChart } from "../chart.ts";
import { callLoadgen, type SearchResult } from "../loadgen.ts";
import { preparePython, python } from "../python.ts";
import { type Bar, formatNumber, table } from "../report.ts";
import { root } from "../server.ts";
import { measureRestart } from "./server.ts";

export const name = "scale";
export const title = "Scale: 10,000 to 1,000,000 x 384";

const efs = [48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512];
const recallMin = 0.99;
const queries = 5000;
const timeout = "90m";

interface Measured {
  readonly points: number;
  readonly ingestPerSecond: number;
  readonly cpuSeconds: number;
  readonly readySeconds: number;
  readonly search: SearchResult;
  readonly anonymousMegabytes: number;
  readonly emptyMegabytes: number;
  /** In their order, and their median. */
  readonly restarts: readonly number[];
  readonly restartSeconds: number;
  readonly diskMegabytes: number;
}

/** SEALPOINT_BENCH_SIZES (such as 5000,50000) tries the same at other sizes. */
function sizes(): number[] {
  const given = process.env.SEALPOINT_BENCH_SIZES;
  if (given !== undefined) return given.split(",").map(Number);
  return process.env.SEALPOINT_BENCH_1M === "1" ? [10_000, 100_000, 1_000_000] : [10_000, 100_000];
}

async function measure(bench: Bench, points: number): Promise<Measured> {
  const folder = join(process.env.SEALPOINT_BENCH_DATA ?? join(root, "build/bench-data"), String(points));
  process.stderr.write(`... data of ${points} points\n`);
  await promisify(execFile)(python, [join(root, "bench/scale_data.py"), bench.data, folder, String(points)]);
  const own = new Bench({ data: folder, documents: 0, queries });
  return await own.withServer(async (server) => {
    const emptyMegabytes = (await server.memory()).anonymousMegabytes;
    const { ingest, green } = await own.load(server, { timeout });
    let search: SearchResult | undefined;
    for (const ef of efs) {
      process.stderr.write(`... search at ef ${ef}\n`);
      search = await callLoadgen<SearchResult>(server, "search", { data: folder, queries, ef, timeout });
      if (search.recall >= recallMin) break;
    }
    if (search === undefined) throw new Error("no search");
    const { anonymousMegabytes } = await server.memory();
    // The first may have to read from the disk what the system has let go of.
    const restarts: number[] = [];
    while (restarts.length < 3) restarts.push((await measureRestart(own, server)).readySeconds);
    return {
      points,
      ingestPerSecond: ingest.per_second,
      cpuSeconds: ingest.cpu_seconds + green.cpu_seconds,
      readySeconds: green.seconds,
      search,
      anonymousMegabytes,
      emptyMegabytes,
      restarts,
      restartSeconds: restarts.toSorted((a, b) => a - b)[1] as number,
      diskMegabytes: server.diskMegabytes(),
    };
  });
}

export async function run(bench: Bench): Promise<SectionResult> {
  const missing = await preparePython(["numpy"]);
  if (missing.length > 0) throw new Error("numpy cannot be installed: no data of other sizes");
  const measured: Measured[] = [];
  for (const points of sizes()) measured.push(await measure(bench, points));
  const head = [
    "points",
    "ingest points/s",
    "CPU s until indexed",
    "s from last upsert to indexed",
    "ef",
    "recall@10",
    "CPU us a query",
    "p50 ms",
    "p99 ms",
    "anonymous MB above empty",
    "restart to ready s",
    "disk MB",
  ];
  const rows = measured.map((one) => [
    one.points.toLocaleString("en-US"),
    one.ingestPerSecond,
    one.cpuSeconds,
    one.readySeconds,
    String(one.search.ef),
    one.search.recall.toFixed(4),
    one.search.cpu_us_each,
    one.search.p50_ms,
    one.search.p99_ms,
    one.anonymousMegabytes - one.emptyMegabytes,
    one.restartSeconds,
    one.diskMegabytes,
  ]);
  const curve = (what: string, of: (one: Measured) => number) => ({
    name: what,
    points: measured.map((one) => [one.points, Math.max(of(one), 1e-3)] as const),
  });
  const panels = [
    { title: "CPU seconds, ingest and index build", curves: [curve("CPU s", (one) => one.cpuSeconds)] },
    {
      title: "Anonymous memory, MB",
      curves: [
        curve("server", (one) => one.anonymousMegabytes),
        curve("above empty", (one) => one.anonymousMegabytes - one.emptyMegabytes),
      ],
    },
    {
      title: `Search at recall >= ${recallMin}, ms`,
      curves: [curve("p99", (one) => one.search.p99_ms), curve("p50", (one) => one.search.p50_ms)],
    },
    { title: "Restart until ready, s", curves: [curve("ready", (one) => one.restartSeconds)] },
  ];
  const restarts = measured
    .map(
      (one) =>
        `${one.points.toLocaleString("en-US")}: ${one.restarts.map((seconds) => seconds.toFixed(2)).join(", ")} s`,
    )
    .join("; ");
  const note = bench.isWhole && process.env.SEALPOINT_BENCH_SIZES === undefined;
  const svg = join(root, note ? "bench/scale.svg" : "build/scale.svg");
  writeFileSync(svg, drawChart("Sealpoint, 384 dimensions, payloads and two payload indexes", panels));
  const bars: Bar[] = [];
  const million = measured.find((one) => one.points === 1_000_000);
  if (million !== undefined) {
    const good = million.search.recall >= recallMin;
    const bar = (what: string, value: number, bound: number, unit: string) =>
      bars.push({ name: `1 M: ${what}`, value, bound, kind: "max", unit });
    bar("CPU until indexed", million.cpuSeconds, 350, "s");
    bar(
      `search (ef ${million.search.ef}, recall ${million.search.recall.toFixed(4)})`,
      good ? million.search.cpu_us_each : Number.NaN,
      400,
      "us a query",
    );
    bar("anonymous memory above an empty server", million.anonymousMegabytes - million.emptyMegabytes, 700, "MB");
    bar("restart to ready", million.restartSeconds, 1, "s");
  }
  return {
    body: `${table(head, rows)}\n\nRestarts are medians of three; in their order: ${restarts}.\n\n8 searches in flight, 1,000 queries gone round ${formatNumber(queries / 1000)} times. Beyond 100,000 the points are the real ones with Gaussian noise of 0.02 a dimension.\n\n![Build time, memory, latency and restart over the number of points](scale.svg)`,
    bars,
  };
}
