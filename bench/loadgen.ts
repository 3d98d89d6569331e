/** Builds and calls bench/loadgen, the Go program that makes the load. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type BenchServer, root } from "./server.ts";

export interface Timing {
  readonly seconds: number;
  readonly per_second: number;
  readonly cpu_seconds: number;
  readonly cpu_us_each: number;
  readonly count: number;
}

export interface IngestResult extends Timing {
  readonly p50_ms: number;
  readonly p99_ms: number;
}

export interface GreenResult extends Timing {
  readonly points: number;
  readonly indexed: number;
}

export interface SearchResult extends IngestResult {
  readonly filter?: string;
  readonly ef: number;
  readonly recall: number;
}

export type StreamResult = Timing & { readonly chunks: number; readonly sealed: boolean };

/** Of several runs of the same, the median of each figure; what is not a number is the first run's. */
export function medians<T extends object>(results: readonly T[]): T {
  const [first] = results;
  if (first === undefined) throw new Error("no results");
  const entries = Object.entries(first).map(([name, value]) => {
    if (typeof value !== "number") return [name, value];
    const values = results.map((result) => Number((result as Record<string, unknown>)[name])).sort((a, b) => a - b);
    return [name, values[Math.floor((values.length - 1) / 2)]];
  });
  return Object.fromEntries(entries) as T;
}

const run = promisify(execFile);
const folder = join(root, "bench/loadgen");
const binary = join(root, "build/loadgen");

export async function buildLoadgen(): Promise<void> {
  await run("go", ["build", "-o", binary, "."], { cwd: folder });
}

export async function callLoadgen<T>(
  server: BenchServer,
  command: string,
  flags: Record<string, string | number | boolean>,
): Promise<T> {
  const args = Object.entries({ port: server.grpcPort, pid: server.pid, ...flags }).map(
    ([name, value]) => `--${name}=${value}`,
  );
  const { stdout } = await run(binary, [command, ...args], { maxBuffer: 1 << 26 });
  return JSON.parse(stdout) as T;
}
