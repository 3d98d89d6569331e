/** Hybrid search with BM25's vectors made by the server, scrolls of everything, REST beside gRPC, and snapshots: the data set with payloads, beside qdrant-edge-py. */
import type { Bench, SectionResult } from "../bench.ts";
import { measureHybridPair } from "../hybrid-pair.ts";
import { callLoadgen, medians, type SearchResult, type Timing } from "../loadgen.ts";
import { type Bar, table } from "../report.ts";
import type { BenchServer } from "../server.ts";

export const name = "hybrid";
export const title = "Hybrid search, scrolls, REST and snapshots";

const filters = ["half", "tenth", "hundredth"] as const;
const collection = "wordnet";
/** Each is short: the best of so many. */
const rounds = 3;
const ef = 64;

interface HybridResult extends SearchResult {
  /** Share of the exact nearest ten by vector alone among the ten. */
  readonly found: number;
}

async function best<T extends Timing>(work: () => Promise<T>): Promise<T> {
  const results: T[] = [];
  for (let round = 0; round < rounds; round++) results.push(await work());
  return results.reduce((a, b) => (b.per_second > a.per_second ? b : a));
}

async function rest(server: BenchServer, method: string, path: string, body?: object): Promise<unknown> {
  const init =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await fetch(`http://127.0.0.1:${server.httpPort}${path}`, { method, ...init });
  const answer = (await response.json()) as { result: unknown };
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer.result;
}

const secondsSince = (startMs: number): number => (performance.now() - startMs) / 1000;

interface SnapshotTimes {
  readonly create: number;
  readonly restore: number;
  /** Points a second that were overwritten meanwhile. */
  readonly written: number;
}

/** A snapshot while points are overwritten, and its recovery into the same collection. */
async function measureSnapshot(bench: Bench, server: BenchServer): Promise<SnapshotTimes> {
  const writes = callLoadgen<Timing>(server, "overwrite", { ...bench.dataFlags, seconds: 6, rate: 1000, words: true });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  let started = performance.now();
  const made = (await rest(server, "POST", `/collections/${collection}/snapshots`)) as { name: string };
  const create = secondsSince(started);
  const written = (await writes).per_second;
  started = performance.now();
  const location = `file://${server.dataDir}/snapshots/${collection}/${made.name}`;
  await rest(server, "PUT", `/collections/${collection}/snapshots/recover`, { location });
  const restore = secondsSince(started);
  return { create, restore, written };
}

export async function run(bench: Bench): Promise<SectionResult> {
  const { data, queries } = bench;
  const parts: string[] = [];
  const bars: Bar[] = [];
  const bar = (what: string, kind: Bar["kind"], value: number, bound: number, unit: string) =>
    bars.push({ name: what, kind, value, bound, unit });
  await bench.withServer(async (server) => {
    const { ingest, green } = await bench.load(server, { words: true });
    parts.push(
      `### Ingest of texts (unary, 256 a call; the server makes the sparse vectors)\n\n${table(
        ["points/s", "server CPU us a point", "indexed after s"],
        [[ingest.per_second, ingest.cpu_us_each, green.seconds]],
      )}`,
    );

    // In turns, so that the first filter is not the one that waits for V8 to compile.
    const runs = new Map<string, HybridResult[]>(filters.map((filter) => [filter, []]));
    for (let round = 0; round < rounds; round++) {
      for (const filter of filters) {
        const found = await bench.step(server, `hybrid search, filter ${filter}`, () =>
          callLoadgen<HybridResult[]>(server, "hybrid", { data, queries, filter }),
        );
        runs.get(filter)?.push(...found);
      }
    }
    const hybrid = filters.map((filter) => medians(runs.get(filter) ?? []));
    const empties: Timing[] = [];
    for (let round = 0; round < rounds; round++) {
      empties.push(await bench.step(server, "empty calls", () => callLoadgen<Timing>(server, "baseline", {})));
    }
    const empty = medians(empties).cpu_us_each;
    parts.push(
      `### Filtered hybrid search (100 by vector, 100 by BM25, reciprocal ranks, payloads; 8 in flight; medians of ${rounds} runs)\n\n${table(
        [
          "filter",
          "server CPU us a query",
          "x an empty call",
          "queries/s",
          "p50 ms",
          "p99 ms",
          "of the nearest ten by vector",
        ],
        hybrid.map((one) => [
          one.filter ?? "",
          one.cpu_us_each,
          one.cpu_us_each / empty,
          one.per_second,
          one.p50_ms,
          one.p99_ms,
          one.found.toFixed(3),
        ]),
      )}`,
    );
    for (const one of hybrid) {
      bar(`hybrid search, filter ${one.filter}`, "max", one.cpu_us_each, 600, "us a query");
      // 600 us on a machine whose empty call takes 46 us.
      bar(`hybrid search, filter ${one.filter}, in empty calls`, "max", one.cpu_us_each / empty, 600 / 46, "calls");
    }

    const pages = await bench.step(server, "scroll by pages", () =>
      best(() => callLoadgen<Timing>(server, "scroll", {})),
    );
    const stream = await bench.step(server, "scroll by stream", () =>
      best(() => callLoadgen<Timing>(server, "scroll-stream", {})),
    );
    parts.push(
      `### Every point with its payload (best of ${rounds})\n\n${table(
        ["how", "points/s", "server CPU us a point"],
        [
          ["pages of 1,000", pages.per_second, pages.cpu_us_each],
          ["stream", stream.per_second, stream.cpu_us_each],
        ],
      )}`,
    );
    bar("scroll by pages of 1,000", "min", pages.per_second, 50_000, "points/s");
    bar("scroll by stream", "min", stream.per_second, 100_000, "points/s");

    // In turns, so that what the machine does meanwhile and what V8 has still to compile meets both alike.
    const doors: { grpc: SearchResult[]; rest: SearchResult[] } = { grpc: [], rest: [] };
    for (let round = 0; round < rounds; round++) {
      doors.grpc.push(
        await bench.step(server, "search over gRPC", () =>
          callLoadgen<SearchResult>(server, "search", { data, queries, ef }),
        ),
      );
      doors.rest.push(
        await bench.step(server, "search over REST", () =>
          callLoadgen<SearchResult>(server, "rest", { data, queries, ef, "http-port": server.httpPort }),
        ),
      );
    }
    const [grpc, json] = [medians(doors.grpc), medians(doors.rest)];
    const row = (how: string, one: SearchResult) => [how, one.cpu_us_each, one.per_second, one.recall.toFixed(4)];
    parts.push(
      `### The same search at both doors (ef ${ef}, payloads, 8 in flight; medians of ${rounds} runs)\n\n${table(
        ["door", "server CPU us a query", "queries/s", "recall@10"],
        [row("gRPC", grpc), row("REST", json)],
      )}`,
    );
    bar("REST search, CPU over gRPC's", "max", json.cpu_us_each / grpc.cpu_us_each, 1.5, "x");

    await server.stop();
    const hybridMicros = new Map(hybrid.map((one) => [one.filter ?? "", one.cpu_us_each]));
    const pair = await measureHybridPair(bench, server.dataDir, collection, { hybridMicros, emptyMicros: empty });
    await server.start();

    const snapshot = await bench.step(server, "snapshot", () => measureSnapshot(bench, server));
    parts.push(
      `### Snapshot of the collection\n\n${table(
        ["create s", "points/s written meanwhile", "restore s"],
        [[snapshot.create, snapshot.written, snapshot.restore]],
      )}`,
    );
    bar("snapshot of the collection", "max", snapshot.create, 2, "s");
    bar("restore of it", "max", snapshot.restore, 3, "s");
    parts.push(pair);
  });
  return { body: parts.join("\n\n"), bars };
}
