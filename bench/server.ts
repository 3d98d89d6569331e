/** Starts the server as its users do, in a process of its own with a data folder of its own, and reads what it costs from /proc. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const root = resolve(import.meta.dirname, "..");

export interface Memory {
  readonly residentMegabytes: number;
  /** What the kernel cannot drop and read again from a file. */
  readonly anonymousMegabytes: number;
  /** V8's heap with what it holds outside of it; the rest is native. */
  readonly scriptMegabytes: number;
}

const readySecondsMax = 120;
const stopSecondsMax = 60;

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, "close");
  return port;
}

let signalsAreWatched = false;

/** Node runs no exit handlers when a signal's default ends it. */
function endOnSignals(): void {
  if (signalsAreWatched) return;
  signalsAreWatched = true;
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    process.once(signal, () => process.exit(code));
  }
}

/** USER_HZ, which /proc counts in: 100 on every platform that Node supports. */
const clockTicks = 100;

export class BenchServer {
  readonly dataDir: string;
  readonly grpcPort: number;
  readonly httpPort: number;
  private child: ChildProcess | undefined;
  private log = "";
  /** Whatever ends this process (a closed pipe, a signal, an error) takes the server and its folder with it. */
  private readonly onExit = (): void => {
    this.child?.kill("SIGKILL");
    rmSync(this.dataDir, { recursive: true, force: true });
  };

  private readonly env: Readonly<Record<string, string>>;

  private constructor(dataDir: string, grpcPort: number, httpPort: number, env: Readonly<Record<string, string>>) {
    this.env = env;
    this.dataDir = dataDir;
    this.grpcPort = grpcPort;
    this.httpPort = httpPort;
  }

  /** `env` goes over this process's environment. */
  static async create(env: Readonly<Record<string, string>> = {}): Promise<BenchServer> {
    const dataDir = mkdtempSync(join(process.env.SEALPOINT_BENCH_DIR ?? tmpdir(), "sealpoint-bench-"));
    const server = new BenchServer(dataDir, await freePort(), await freePort(), env);
    process.on("exit", server.onExit);
    endOnSignals();
    await server.start();
    return server;
  }

  get pid(): number {
    const pid = this.child?.pid;
    if (pid === undefined) throw new Error("the server is not running");
    return pid;
  }

  /** Seconds until /readyz answers with 200. */
  async start(): Promise<number> {
    const started = performance.now();
    // By its own name, as an installed command is.
    const child = spawn(join(root, "bin/sealpoint.mjs"), ["serve"], {
      env: {
        ...process.env,
        PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
        SEALPOINT_DATA_DIR: this.dataDir,
        SEALPOINT_HOST: "127.0.0.1",
        SEALPOINT_GRPC_PORT: String(this.grpcPort),
        SEALPOINT_HTTP_PORT: String(this.httpPort),
        SEALPOINT_LOG_LEVEL: "warn",
        ...this.env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (part: Buffer) => {
        this.log = (this.log + part.toString("utf8")).slice(-20_000);
      });
    }
    while (performance.now() - started < readySecondsMax * 1000) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the server ended at its start:\n${this.log}`);
      const answer = await fetch(`http://127.0.0.1:${this.httpPort}/readyz`).catch(() => undefined);
      await answer?.body?.cancel();
      if (answer?.status === 200) return (performance.now() - started) / 1000;
      await sleep(10);
    }
    await this.stop();
    throw new Error(`the server is not ready after ${readySecondsMax} s:\n${this.log}`);
  }

  /** Seconds from SIGTERM to the end of the process. */
  async stop(): Promise<number> {
    const child = this.child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return 0;
    const started = performance.now();
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    const killer = setTimeout(() => child.kill("SIGKILL"), stopSecondsMax * 1000);
    const [code, signal] = (await ended) as [number | null, string | null];
    clearTimeout(killer);
    this.child = undefined;
    if (code !== 0) throw new Error(`the server ended with ${code ?? signal}:\n${this.log}`);
    return (performance.now() - started) / 1000;
  }

  async remove(): Promise<void> {
    try {
      await this.stop();
    } finally {
      process.off("exit", this.onExit);
      this.onExit();
    }
  }

  /** Asks the kernel alone, so it can be watched without giving the server work. */
  anonymousMegabytes(): number {
    return kilobytes(readFileSync(`/proc/${this.pid}/smaps_rollup`, "utf8"), "Anonymous") / 1024;
  }

  /** The same by the kernel's running count: cheap enough to be asked again and again, while smaps_rollup holds the server's page faults up. */
  anonymousMegabytesNow(): number {
    return kilobytes(readFileSync(`/proc/${this.pid}/status`, "utf8"), "RssAnon") / 1024;
  }

  /** Calls of a method over gRPC so far, and their seconds in the server by its own clock. */
  async grpcSeconds(method: string): Promise<{ readonly count: number; readonly sum: number }> {
    const text = await (await fetch(`http://127.0.0.1:${this.httpPort}/metrics`)).text();
    const total = (what: string): number =>
      [...text.matchAll(new RegExp(`^sealpoint_grpc_request_duration_seconds_${what}\\{([^}]*)\\} (\\S+)$`, "gm"))]
        .filter(([, labels]) => labels?.includes(`"${method}"`))
        .reduce((sum, [, , value]) => sum + Number(value), 0);
    return { count: total("count"), sum: total("sum") };
  }

  async memory(): Promise<Memory> {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    const metrics = await this.readMetrics(["nodejs_heap_size_total_bytes", "nodejs_external_memory_bytes"]);
    return {
      residentMegabytes: kilobytes(status, "VmRSS") / 1024,
      anonymousMegabytes: this.anonymousMegabytes(),
      scriptMegabytes: metrics.reduce((sum, bytes) => sum + bytes, 0) / 1024 ** 2,
    };
  }

  /** Seconds of processor time by thread. Node names only its workers; the addon's threads bear the name of whoever made them. */
  threadSeconds(): { readonly main: number; readonly rpc: number; readonly all: number } {
    const sums = { main: 0, rpc: 0, all: 0 };
    for (const task of readdirSync(`/proc/${this.pid}/task`)) {
      const [, name = "", rest = ""] =
        /\((.*)\) (.*)$/s.exec(readFileSync(`/proc/${this.pid}/task/${task}/stat`, "utf8")) ?? [];
      const fields = rest.split(" ");
      const seconds = (Number(fields[11]) + Number(fields[12])) / clockTicks;
      sums.all += seconds;
      if (Number(task) === this.pid) sums.main += seconds;
      else if (name.startsWith("rpc-")) sums.rpc += seconds;
    }
    return sums;
  }

  diskMegabytes(): number {
    const files = readdirSync(this.dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0) / 1024 ** 2;
  }

  /**
   * Longest hold of the event loop since the metrics were last read, in milliseconds: as perf_hooks sees it, and the part that the
   * loop's thread spent on the processor itself.
   */
  async eventLoopHoldMs(): Promise<{ delayMs: number; busyMs: number }> {
    const [delay = Number.NaN, busy = Number.NaN] = await this.readMetrics([
      "sealpoint_event_loop_delay_max_seconds",
      "sealpoint_event_loop_busy_max_seconds",
    ]);
    return { delayMs: delay * 1000, busyMs: busy * 1000 };
  }

  /** fdatasync calls on the log since the start. */
  async syncs(): Promise<number> {
    return (await this.readMetrics(["sealpoint_store_syncs_total"]))[0] ?? Number.NaN;
  }

  private async readMetrics(names: readonly string[]): Promise<number[]> {
    const text = await (await fetch(`http://127.0.0.1:${this.httpPort}/metrics`)).text();
    return names.map((name) => {
      // One for each thread that serves: the greatest counts.
      const found = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))];
      if (found.length === 0) throw new Error(`/metrics has no ${name}`);
      return Math.max(...found.map(([, value]) => Number(value)));
    });
  }
}

function kilobytes(text: string, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`/proc has no ${name}`);
  return Number(value);
}
