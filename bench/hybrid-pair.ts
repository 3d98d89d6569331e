/** Hybrid search, scrolls and copies by our engine and by qdrant-edge-py on the same points, both in process, in rounds that take turns. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bench } from "./bench.ts";
import { LineProcess } from "./line-process.ts";
import { medians } from "./loadgen.ts";
import { preparePython, python } from "./python.ts";
import { formatNumber, table } from "./report.ts";
import { root } from "./server.ts";

/** What the server took for the same, in the same run. */
export interface ServerFigures {
  /** Microseconds of CPU of a hybrid query under each filter. */
  readonly hybridMicros: ReadonlyMap<string, number>;
  readonly emptyMicros: number;
}

interface Hybrid {
  readonly us: number;
  /** The ten of each query. */
  readonly ids: readonly (readonly number[])[];
}

interface Scroll {
  readonly per_second: number;
  readonly us: number;
}

interface Copies {
  readonly create: number;
  readonly restore: number;
  readonly megabytes: number;
}

const rounds = 3;
const warmUpQueries = 200;

function readNearest(data: string): Map<string, readonly (readonly number[])[]> {
  const path = join(data, "filters.json");
  const file = existsSync(path) ? path : join(data, "answers.json");
  const { filters } = JSON.parse(readFileSync(file, "utf8")) as { filters: { name: string; top10: number[][] }[] };
  return new Map(filters.map(({ name, top10 }) => [name, top10]));
}

/** Mean share of each ten of `wanted` among the points found for the same query. */
function shareOf(found: Hybrid, wanted: readonly (readonly number[])[]): number {
  const shares = found.ids.map((ids, query) => {
    const ten = new Set(wanted[query]);
    return ids.filter((id) => ten.has(id)).length / ten.size;
  });
  return shares.reduce((a, b) => a + b, 0) / shares.length;
}

class Side {
  readonly process: LineProcess;

  constructor(process: LineProcess) {
    this.process = process;
  }

  ask<T>(order: object): Promise<T> {
    return this.process.ask<T>(JSON.stringify(order));
  }
}

/** Each side's answers to an order: the median of its rounds. */
async function inTurns<T extends object>(sides: readonly Side[], orders: readonly object[]): Promise<T[]> {
  const answers: T[][] = orders.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [at, order] of orders.entries()) answers[at]?.push(await (sides[at] as Side).ask<T>(order));
  }
  return answers.map((of) => medians(of));
}

async function compare(ours: Side, theirs: Side, bench: Bench, server: ServerFigures): Promise<string> {
  const nearest = readNearest(bench.data);
  const filters = [...server.hybridMicros.keys()];
  const sides = [ours, theirs, theirs];
  const orders = (filter: string, count: number) => {
    const order = { do: "hybrid", filter, count };
    return [order, { ...order, floats: false }, { ...order, floats: true }];
  };
  for (const [at, order] of orders(filters[0] ?? "", warmUpQueries).entries()) await (sides[at] as Side).ask(order);
  const searched: (string | number)[][] = [];
  for (const filter of filters) {
    process.stderr.write(`... hybrid search in process, filter ${filter}\n`);
    const found = await inTurns<Hybrid>(sides, orders(filter, bench.queries));
    const [mine, codes, floats] = found as [Hybrid, Hybrid, Hybrid];
    const wanted = nearest.get(filter) ?? [];
    searched.push([
      filter,
      server.hybridMicros.get(filter) ?? Number.NaN,
      mine.us,
      codes.us,
      floats.us,
      mine.us / codes.us,
      shareOf(codes, mine.ids).toFixed(3),
      [mine, codes, floats].map((one) => shareOf(one, wanted).toFixed(3)).join(", "),
    ]);
  }
  process.stderr.write("... scrolls and copies in process\n");
  const both = [ours, theirs];
  const twice = (what: string) => [{ do: what }, { do: what }];
  const scrolls = await inTurns<Scroll>(both, twice("scroll"));
  const opened = await inTurns<{ seconds: number }>(both, twice("open"));
  const copies = await inTurns<Copies>(both, twice("snapshot"));
  const names = ["Sealpoint's engine", "qdrant-edge-py"];
  const parts = [
    `### The same hybrid search beside qdrant-edge-py (CPU us a query, all threads; medians of ${rounds} rounds in turns)`,
    table(
      [
        "filter",
        "Sealpoint's server",
        "its engine in process",
        "qdrant-edge int8 + rescore",
        "qdrant-edge by its floats",
        "engine over int8",
        "same ten",
        "of the nearest ten by vector",
      ],
      searched,
    ),
    `100 by vector and 100 by BM25 each under the filter, reciprocal ranks, ten points with payloads; M 16, efConstruction and ef 128, the same two payload indexes, one query after the other. The sparse vectors of points and queries are the very values that the server made. The server's column holds what the others have no part in: gRPC (an empty call takes ${formatNumber(server.emptyMicros)} us) and making a query's sparse vector of its text, with 8 in flight. In process neither side turns payloads into objects of its language: ours end as protobuf messages, qdrant-edge's in Rust, and dicts of them cost Python more. JavaScript's and Python's own cost of a call is in the figures. "Same ten": the share of ours that qdrant-edge (int8) answers too; both walk graphs, and equal ranks are ordered otherwise. "Of the nearest ten": ours, int8, floats.`,
    "### The same scroll and copies beside qdrant-edge-py, in process",
    table(
      ["", "scroll, points/s", "CPU us a point", "open s", "snapshot s", "restore s", "snapshot MB"],
      names.map((name, at) => {
        const [scroll, open, copy] = [scrolls[at] as Scroll, opened[at]?.seconds ?? Number.NaN, copies[at] as Copies];
        return [name, scroll.per_second, scroll.us, open, copy.create, copy.restore, copy.megabytes];
      }),
    ),
    `Every point with its payload in pages of 1,000; "open" is of the closed folder, its files in the system's cache, to the first hybrid answer. Snapshots are not the same thing: qdrant-edge-py restores Qdrant's snapshots but writes none, so Python's tarfile packs its flushed folder (with its log and what its files take beforehand), uncompressed, without checksums and with nothing else going on, and the restore is unpack_snapshot and load. It holds the graph; ours is compressed, has checksums that a restore reads first, was made of one moment while writes may go on, and leaves the graph to be built again.`,
  ];
  return parts.join("\n\n");
}

/** `folder`: the data folder of a server that has been stopped. Says why when qdrant-edge-py is not there. */
export async function measureHybridPair(
  bench: Bench,
  folder: string,
  collection: string,
  server: ServerFigures,
): Promise<string> {
  const missing = await preparePython(["numpy", "qdrant-edge-py"]);
  if (missing.length > 0) return `Beside qdrant-edge-py: left out, ${missing.join(" and ")} cannot be installed.`;
  const own = mkdtempSync(join(process.env.SEALPOINT_BENCH_DIR ?? tmpdir(), "sealpoint-pair-"));
  const words = join(own, "words");
  const started: LineProcess[] = [];
  const start = async (command: string, args: readonly string[]): Promise<Side> => {
    const child = new LineProcess(command, args);
    started.push(child);
    await child.read<object>();
    return new Side(child);
  };
  try {
    process.stderr.write("... qdrant-edge\n");
    const ours = await start(process.execPath, [
      join(root, "bench/hybrid-engine.ts"),
      ...[bench.data, folder, collection, words],
    ]);
    const theirs = await start(python, [join(root, "bench/hybrid_edge.py"), bench.data, join(own, "edge"), words]);
    return await compare(ours, theirs, bench, server);
  } finally {
    for (const child of started) await child.end();
    rmSync(own, { recursive: true, force: true });
  }
}
