/** What every section of the benchmark works with: the data set, servers of its own, and the record of how long each step held the loop. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { callLoadgen, type GreenResult, type IngestResult } from "./loadgen.ts";
import type { Bar } from "./report.ts";
import { BenchServer, root } from "./server.ts";

export const fullData = resolve(root, "../shared/data/wordnet");
export const sliceData = join(root, "test/data/wordnet-2000");

export interface Hold {
  readonly step: string;
  readonly delayMs: number;
  readonly busyMs: number;
  readonly idleMs: number;
}

/** What a section hands back: markdown (headings from level 3) and the bars that it measured. */
export interface SectionResult {
  readonly body: string;
  readonly bars: readonly Bar[];
}

export interface Section {
  /** As on the command line. */
  readonly name: string;
  readonly title: string;
  run(bench: Bench): Promise<SectionResult>;
}

export interface BenchOptions {
  readonly data: string;
  /** 0: all of the data set. */
  readonly documents: number;
  readonly queries: number;
}

export class Bench {
  readonly data: string;
  readonly documents: number;
  readonly queries: number;
  readonly holds: Hold[] = [];
  /** This process only waits: what holds its own loop is the machine, and a hold of the server's is to be read beside it. */
  private readonly idleDelay = monitorEventLoopDelay({ resolution: 5 });

  constructor({ data, documents, queries }: BenchOptions) {
    if (!existsSync(join(data, "vectors.f16"))) throw new Error(`${data} holds no vectors.f16`);
    this.data = data;
    this.documents = documents;
    this.queries = queries;
    this.idleDelay.enable();
  }

  /** Whether bars are judged and figures kept: only on the whole data set. */
  get isWhole(): boolean {
    return this.data === fullData && this.documents === 0;
  }

  /** Flags of the load generator that choose the data. */
  get dataFlags(): { data: string; documents: number } {
    return { data: this.data, documents: this.documents };
  }

  /** Runs a step and notes how long it held the server's event loop. */
  async step<T>(server: BenchServer, name: string, work: () => Promise<T>): Promise<T> {
    process.stderr.write(`... ${name}\n`);
    // Twice: what the first metrics of a server take to be written, 6 to 8 ms, falls into what is read next, and is no part of the step.
    await server.eventLoopHoldMs();
    await server.eventLoopHoldMs();
    this.idleDelay.reset();
    const result = await work();
    const idleMs = Math.max(0, this.idleDelay.max / 1e6 - 5);
    this.holds.push({ step: name, ...(await server.eventLoopHoldMs()), idleMs });
    return result;
  }

  /** A server of its own for `work`, removed afterwards whatever happens. */
  async withServer<T>(work: (server: BenchServer) => Promise<T>, env: Record<string, string> = {}): Promise<T> {
    const server = await BenchServer.create(env);
    try {
      return await work(server);
    } finally {
      await server.remove();
    }
  }

  /** The data set by unary upserts, then until all of it is indexed. */
  async load(server: BenchServer, flags: Record<string, string | number | boolean> = {}) {
    const ingest = await this.step(server, "ingest by unary upserts", () =>
      callLoadgen<IngestResult>(server, "ingest", { ...this.dataFlags, batch: 256, ...flags }),
    );
    const ingested = await server.memory();
    const green = await this.step(server, "indexing", () => callLoadgen<GreenResult>(server, "wait-green", {}));
    return { ingest, ingested, green };
  }
}
