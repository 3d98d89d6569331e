/** The engine alone beside other libraries: CPU of one thread for a query at the same recall, in rounds that take turns. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Bench, SectionResult } from "../bench.ts";
import { LineProcess } from "../line-process.ts";
import { preparePython, python } from "../python.ts";
import { type Bar, table } from "../report.ts";
import { root } from "../server.ts";

export const name = "peers";
export const title = "The engine beside other libraries (in process, one thread)";

const efs = [16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 112, 128, 160, 192, 256, 384];
/** At the ef that the table shows. */
const rounds = 3;
/** Of a query: whoever takes longer is measured once, by 100 queries, which take seconds. */
const slowMicros = 10_000;
const recalls = [0.95, 0.99] as const;
const kernels = ["avx512vnni", "avx2", "baseline"] as const;
const packages: Readonly<Record<string, string>> = {
  "qdrant-edge float": "qdrant-edge-py",
  "qdrant-edge int8 + rescore": "qdrant-edge-py",
  "faiss-cpu HNSWFlat": "faiss-cpu",
  "faiss-cpu HNSWSQ8": "faiss-cpu",
  hnswlib: "hnswlib",
  "usearch f16": "usearch",
  chromadb: "chromadb",
  "milvus-lite": "milvus-lite",
  lancedb: "lancedb",
};

interface Built {
  readonly build_cpu_s: number;
  readonly memory_mb: number;
  readonly disk_mb: number;
}

interface Pass {
  readonly recall: number;
  readonly us: number;
}

/** A process that has built its index and measures a pass whenever it is asked. */
class Peer extends LineProcess {
  readonly name: string;
  built: Built | undefined;
  /** The first pass of each ef, which says its recall. */
  private readonly first = new Map<number, Pass>();
  /** Microseconds a query in the rounds that take turns. */
  private readonly rounds = new Map<number, number[]>();

  constructor(name: string, command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    super(command, args, env);
    this.name = name;
  }

  async build(): Promise<void> {
    this.built = await this.read<Built>();
  }

  async sweep(ef: number): Promise<void> {
    this.first.set(ef, await this.ask<Pass>(String(ef)));
  }

  async round(ef: number): Promise<void> {
    const { us } = await this.ask<Pass>(String(ef));
    this.rounds.set(ef, [...(this.rounds.get(ef) ?? []), us]);
  }

  /** Whether one of the recalls that the table shows is still to be found. */
  get isSearching(): boolean {
    return this.leastEf(recalls[1]) === undefined;
  }

  get isSlow(): boolean {
    return [...this.first.values()].some(({ us }) => us > slowMicros);
  }

  leastEf(recall: number): number | undefined {
    return efs.find((ef) => (this.first.get(ef)?.recall ?? 0) >= recall);
  }

  /** The least ef that reaches the recall, with the median of its rounds. */
  at(recall: number): { ef: number; us: number; recall: number } | undefined {
    const ef = this.leastEf(recall);
    const pass = ef === undefined ? undefined : this.first.get(ef);
    if (ef === undefined || pass === undefined) return undefined;
    const sorted = (this.rounds.get(ef) ?? [pass.us]).sort((a, b) => a - b);
    return { ef, us: sorted[(sorted.length - 1) >> 1] ?? Number.NaN, recall: pass.recall };
  }
}

async function measure(bench: Bench, folder: string, missing: readonly string[], left: string[]): Promise<Peer[]> {
  await promisify(execFile)(join(root, "scripts/build-native.sh"), ["bench"], { cwd: root, maxBuffer: 1 << 26 });
  const peers: Peer[] = [];
  const start = async (peer: Peer): Promise<void> => {
    process.stderr.write(`... ${peer.name}\n`);
    try {
      // One after the other, so that builds do not share the cores.
      await peer.build();
      peers.push(peer);
    } catch (error) {
      left.push(`${peer.name} (${(error as Error).message.slice(0, 160)})`);
      await peer.end();
    }
  };
  for (const simd of kernels) {
    const args = [bench.data, join(folder, simd), "1", "16", "128", "peer"];
    await start(
      new Peer(`Sealpoint, ${simd}`, join(root, "build/Release/vector_bench"), args, { SEALPOINT_SIMD: simd }),
    );
  }
  // SEALPOINT_BENCH_PEERS names some of them, such as "qdrant-edge,hnswlib": the slow ones take minutes.
  const named = process.env.SEALPOINT_BENCH_PEERS?.split(",");
  for (const [peer, wanted] of Object.entries(packages)) {
    if (named !== undefined && !named.some((name) => peer.startsWith(name))) left.push(`${peer} (not asked for)`);
    else if (missing.includes(wanted)) left.push(`${peer} (does not install)`);
    else
      await start(
        new Peer(peer, python, [
          join(root, "bench/peers.py"),
          peer,
          bench.data,
          join(folder, peer.replaceAll(/\W+/g, "-")),
        ]),
      );
  }
  const asked = async (peer: Peer, ef: number, pass: Promise<void>): Promise<void> =>
    await pass.catch((error: Error) => {
      left.push(`${peer.name} at ef ${ef} (${error.message.slice(0, 160)})`);
      peers.splice(peers.indexOf(peer), 1);
      return peer.end();
    });
  try {
    for (const ef of efs) {
      for (const peer of [...peers]) if (peer.isSearching) await asked(peer, ef, peer.sweep(ef));
    }
    for (const recall of recalls) {
      for (let round = 0; round < rounds; round++) {
        for (const peer of [...peers]) {
          const ef = peer.leastEf(recall);
          if (ef !== undefined && !peer.isSlow) await asked(peer, ef, peer.round(ef));
        }
      }
    }
  } finally {
    for (const peer of peers) await peer.end();
  }
  return peers;
}

export async function run(bench: Bench): Promise<SectionResult> {
  const missing = await preparePython();
  const folder = mkdtempSync(join(process.env.SEALPOINT_BENCH_DIR ?? tmpdir(), "sealpoint-peers-"));
  const left: string[] = [];
  let peers: Peer[];
  try {
    peers = await measure(bench, folder, missing, left);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const head = [
    "",
    ...recalls.flatMap((recall) => [`us a query at >= ${recall}`, "ef, recall"]),
    "build CPU s",
    "memory MB",
    "disk MB",
  ];
  const rows = peers.map((peer) => [
    peer.name,
    ...recalls.flatMap((recall) => {
      const at = peer.at(recall);
      return at === undefined ? ["never", ""] : [at.us, `${at.ef}, ${at.recall.toFixed(4)}`];
    }),
    peer.built?.build_cpu_s ?? Number.NaN,
    peer.built?.memory_mb ?? Number.NaN,
    peer.built?.disk_mb ?? Number.NaN,
  ]);
  const bars: Bar[] = [];
  const ours = peers.find((peer) => peer.name.startsWith("Sealpoint"));
  for (const [other, share] of [
    ["qdrant-edge int8 + rescore", 0.5],
    ["qdrant-edge float", 0.25],
  ] as const) {
    for (const recall of recalls) {
      const mine = ours?.at(recall)?.us ?? Number.NaN;
      const compared = peers.find((peer) => peer.name === other);
      const theirs = compared?.at(recall)?.us ?? Number.NaN;
      // One that never gets there cannot be compared; the table says so.
      if (compared !== undefined && Number.isNaN(theirs)) continue;
      bars.push({
        name: `engine CPU a query over ${other}'s at ${recall}`,
        value: mine / theirs,
        bound: share,
        kind: "max",
        unit: "x",
      });
    }
  }
  const out = left.length === 0 ? "" : ` Left out: ${left.join("; ")}.`;
  return {
    body: `${table(head, rows)}\n\nM 16, efConstruction 128, one thread, CPU time, the median of ${rounds} rounds in which the libraries take turns (one where a query takes more than 10 ms); the least ef that reaches the recall. Python's own cost of a call is in the figures of the Python libraries; lancedb chooses some of these settings itself.${out}`,
    bars,
  };
}
