/**
 * Resource quotas: what they are, for all threads of the process, and a decorator that refuses writes while a resource is at its limit.
 * They lie over strict mode. Deletes of points, of indexes and of a collection's vector names are always taken, since they are the way back.
 */
import { readFileSync, statfsSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import {
  DomainError,
  limits,
  type QuotaConfig,
  type QuotaResource,
  type QuotaUsage,
  quotaFromJson,
  quotaMarginPercentDefault,
  quotaToJson,
} from "../core/index.ts";
import type { AdmittedWrite, SealedEngine } from "./engine.ts";

/** Places in the memory that the threads share. Limits are percent, 0 where there is none; the margin is -1 where none is set. */
const places = { enabled: 0, memory: 1, disk: 2, margin: 3, memoryOver: 4, diskOver: 5, count: 6 } as const;
const overOf = { memory: places.memoryOver, disk: places.diskOver } as const;
const resources: readonly QuotaResource[] = ["memory", "disk"];

interface Words {
  readonly what: string;
  readonly of: string;
  readonly remedy: string;
  readonly parameter: string;
}

/** Qdrant's texts. */
const words: Readonly<Record<QuotaResource, Words>> = {
  memory: {
    what: "Resident memory usage",
    of: "total memory",
    remedy: "Reduce memory usage (e.g. delete points or drop collections)",
    parameter: "max_resident_memory_percent",
  },
  disk: {
    what: "Disk usage",
    of: "total capacity",
    remedy: "Reduce disk usage (e.g. delete points or drop collections)",
    parameter: "max_disk_usage_percent",
  },
};

/** Of the control group's memory where there is a limit to it. */
export function residentMemoryPercent(): number {
  const constrained = process.constrainedMemory();
  const total = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.min(100, Math.floor((process.memoryUsage.rss() / total) * 100));
}

function diskUsagePercent(folder: string): number | undefined {
  try {
    const { blocks, bavail } = statfsSync(folder);
    return blocks === 0 ? undefined : Math.min(100, Math.floor(((blocks - bavail) / blocks) * 100));
  } catch {
    return undefined;
  }
}

export class Quota {
  /** For the other threads. */
  readonly shared: SharedArrayBuffer;
  readonly #state: Int32Array;
  readonly #dataDir: string;
  readonly #measure: () => QuotaUsage;
  #usage: QuotaUsage | undefined;
  #measuredAtMs = 0;
  #written: Promise<void> = Promise.resolve();

  /** `shared`: another thread's; without it nothing holds until set() or load(). */
  constructor(
    dataDir: string,
    shared = new SharedArrayBuffer(places.count * Int32Array.BYTES_PER_ELEMENT),
    measure: () => QuotaUsage = () => ({ memory: residentMemoryPercent(), disk: diskUsagePercent(dataDir) }),
  ) {
    this.shared = shared;
    this.#state = new Int32Array(shared);
    this.#dataDir = dataDir;
    this.#measure = measure;
  }

  get #path(): string {
    return join(this.#dataDir, "quota.json");
  }

  /**
   * What was set last, or else `settings`. A file that cannot be read ends the start: it protects the machine, and must not turn into no
   * limits at all unnoticed.
   */
  load(settings: QuotaConfig): void {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      this.#take(settings);
      return;
    }
    const damaged = (why: string): Error => new Error(`${this.#path}: no quotas (${why})`);
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw damaged("not JSON");
    }
    this.#take(quotaFromJson(json, ({ field, text: why }) => damaged(`${field} ${why}`.trim())));
  }

  get config(): QuotaConfig {
    const at = (place: number): number => Atomics.load(this.#state, place);
    const [memory, disk, margin] = [at(places.memory), at(places.disk), at(places.margin)];
    return {
      enabled: at(places.enabled) === 1,
      ...(memory === 0 ? {} : { maxResidentMemoryPercent: memory }),
      ...(disk === 0 ? {} : { maxDiskUsagePercent: disk }),
      ...(margin < 0 ? {} : { releaseMarginPercent: margin }),
    };
  }

  /** Holds once it is durable. For one thread alone; changes follow each other. */
  async set(config: QuotaConfig): Promise<void> {
    const before = this.#written;
    this.#written = (async () => {
      await before.catch(() => undefined);
      await this.#write(config);
      this.#take(config);
    })();
    await this.#written;
  }

  /** Read anew at most once in `limits.quotaReadingMs`. */
  usage(): QuotaUsage {
    const nowMs = performance.now();
    if (this.#usage === undefined || nowMs - this.#measuredAtMs >= limits.quotaReadingMs) {
      this.#usage = this.#measure();
      this.#measuredAtMs = nowMs;
    }
    return this.#usage;
  }

  /** Whether a resource is refused more; undefined where no limit of it holds or can be judged. */
  exceeded(resource: QuotaResource): boolean | undefined {
    if (Atomics.load(this.#state, places.enabled) === 0) return undefined;
    const most = Atomics.load(this.#state, places[resource]);
    const used = this.usage()[resource];
    if (most === 0 || used === undefined) return undefined;
    const over = overOf[resource];
    if (used >= most) Atomics.store(this.#state, over, 1);
    else if (used < this.#release(most)) Atomics.store(this.#state, over, 0);
    return Atomics.load(this.#state, over) === 1;
  }

  /** Throws exhausted while a resource is at its limit, or has been and did not fall far enough. */
  check(): void {
    for (const resource of resources) {
      if (this.exceeded(resource) !== true) continue;
      const most = Atomics.load(this.#state, places[resource]);
      const used = this.usage()[resource] ?? most;
      const { what, of, remedy, parameter } = words[resource];
      throw new DomainError(
        "exhausted",
        used >= most
          ? `${what} is at ${used}% of ${of}, exceeding the configured limit of ${most}%. Help: ${remedy}, or raise \`${parameter}\` in the global quota config.`
          : `${what} is at ${used}% of ${of}. It reached the configured limit of ${most}% and has to fall below ${this.#release(most)}% before this node takes writes again.`,
      );
    }
  }

  #release(most: number): number {
    const margin = Atomics.load(this.#state, places.margin);
    return Math.max(1, most - (margin < 0 ? quotaMarginPercentDefault : margin));
  }

  #take(config: QuotaConfig): void {
    const put = (place: number, value: number): void => {
      Atomics.store(this.#state, place, value);
    };
    put(places.enabled, 0);
    put(places.memory, config.maxResidentMemoryPercent ?? 0);
    put(places.disk, config.maxDiskUsagePercent ?? 0);
    put(places.margin, config.releaseMarginPercent ?? -1);
    // A limit that is no more is not waited for.
    put(places.memoryOver, 0);
    put(places.diskOver, 0);
    put(places.enabled, config.enabled ? 1 : 0);
  }

  async #write(config: QuotaConfig): Promise<void> {
    const part = `${this.#path}.part`;
    const file = await open(part, "w", 0o600);
    try {
      await file.writeFile(`${JSON.stringify(quotaToJson(config))}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, this.#path);
    const folder = await open(this.#dataDir);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

/** All but the deletes of whole points: a vector or a key that goes makes the point be written anew. */
function needsRoom({ kind }: AdmittedWrite): boolean {
  return kind !== "delete";
}

export function quotaEngine(engine: SealedEngine, quota: Quota): SealedEngine {
  return {
    ...engine,
    async admit(name, request) {
      await engine.admit(name, request);
      if (request.writes?.some(needsRoom) === true) quota.check();
    },
    async write(name, operation, options) {
      if (needsRoom(operation) && options.continues !== true) quota.check();
      return engine.write(name, operation, options);
    },
    async writeEncoded(name, points, options) {
      quota.check();
      return engine.writeEncoded(name, points, options);
    },
    async createFieldIndex(name, key, type, params, wait) {
      quota.check();
      return engine.createFieldIndex(name, key, type, params, wait);
    },
  };
}
