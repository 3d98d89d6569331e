/** SEALPOINT_RPC_THREADS: what one and two threads serve side by side, and how much processor time leaves the main thread. */
import type { Bench, SectionResult } from "../bench.ts";
import { callLoadgen, type SearchResult, type Timing } from "../loadgen.ts";
import { table } from "../report.ts";
import type { BenchServer } from "../server.ts";

export const name = "threads";
export const title = "RPC threads";

/** Rounds over the two servers: what else the machine does meets both alike. */
const rounds = 5;
const connections = 12;
const inFlight = 16;
const threadCounts = [1, 2] as const;

interface Round {
  readonly perSecond: number;
  /** Microseconds of processor time a call. */
  readonly all: number;
  readonly main: number;
  readonly rpc: number;
}

async function measure(server: BenchServer, work: () => Promise<Timing>): Promise<Round> {
  const before = server.threadSeconds();
  const { per_second, count } = await work();
  const after = server.threadSeconds();
  // What warms up is in it too, on both servers alike.
  const micros = (key: "all" | "main" | "rpc") => ((after[key] - before[key]) * 1e6) / count;
  return { perSecond: per_second, all: micros("all"), main: micros("main"), rpc: micros("rpc") };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

export async function run(bench: Bench): Promise<SectionResult> {
  const { data, queries } = bench;
  const kinds: readonly [string, (server: BenchServer) => Promise<Timing>][] = [
    ["empty call", (server) => callLoadgen<Timing>(server, "baseline", { connections, "in-flight": inFlight })],
    [
      "search, ef 96",
      (server) =>
        callLoadgen<SearchResult>(server, "search", { data, queries, ef: 96, connections, "in-flight": inFlight }),
    ],
  ];
  const rows: (string | number)[][] = [];
  const memory: (string | number)[][] = [];
  const rates = new Map<string, number>();
  const [one, two] = threadCounts;
  await bench.withServer(
    (first) =>
      bench.withServer(
        async (second) => {
          const servers = [
            [one, first],
            [two, second],
          ] as const;
          for (const [, server] of servers) await bench.load(server);
          for (const [kind, work] of kinds) {
            const measured = servers.map((): Round[] => []);
            for (let round = 0; round < rounds; round++) {
              for (const [at, [threads, server]] of servers.entries()) {
                const step = `${kind}, ${threads} threads, round ${round + 1}`;
                measured[at]?.push(await bench.step(server, step, () => measure(server, () => work(server))));
              }
            }
            for (const [at, [threads]] of servers.entries()) {
              const of = (key: keyof Round) => median(measured[at]?.map((each) => each[key]) ?? []);
              rates.set(`${kind} ${threads}`, of("perSecond"));
              const share = `${((of("main") / of("all")) * 100).toFixed(1)} %`;
              rows.push([kind, threads, of("perSecond"), of("all"), of("main"), of("rpc"), share]);
            }
          }
          for (const [threads, server] of servers) memory.push([threads, (await server.memory()).residentMegabytes]);
        },
        { SEALPOINT_RPC_THREADS: String(two) },
      ),
    { SEALPOINT_RPC_THREADS: String(one) },
  );
  const head = ["call", "RPC threads", "calls/s", "CPU us", "main thread us", "RPC threads us", "main's share"];
  const intro = `Two servers, measured in turn, ${rounds} rounds, medians; ${connections} connections, ${inFlight} calls in flight. CPU by /proc/PID/task, warm-up included.`;
  const ratios = kinds
    .map(([kind]) => `${kind} ${((rates.get(`${kind} ${two}`) ?? 0) / (rates.get(`${kind} ${one}`) ?? 0)).toFixed(2)}`)
    .join(", ");
  return {
    body: `${intro}\n\n${table(head, rows)}\n\nCalls a second with two threads over one: ${ratios}.\n\n${table(["RPC threads", "resident MB at the end"], memory)}`,
    bars: [],
  };
}
