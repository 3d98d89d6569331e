/** Loads into ordinary collections, while they are under way. */
import { DomainError, limits } from "../core/index.ts";
import type { CollectionLoadInfo, LoadRequest, LoadTarget } from "./backend.ts";
import { codeOf, type DatabasesOptions } from "./databases.ts";
import type { S5HubOptions } from "./hub.ts";
import { runLoad } from "./loader.ts";
import type { DatabaseLocation } from "./manifest.ts";
import type { Outcomes } from "./outcomes.ts";
import { Portals } from "./portals.ts";
import { Progress } from "./progress.ts";
import { statusOf } from "./session.ts";

type Options = Pick<S5HubOptions, "config" | "collections"> &
  Pick<DatabasesOptions, "figures" | "opener" | "backoffMs"> & { readonly outcomes: Outcomes };

export class CollectionLoad {
  readonly progress = new Progress();
  readonly abort = new AbortController();
  readonly manifestPath: string;
  readonly isReady = false;
  readonly loadTimeMs = 0;
  readonly index = undefined;
  percent = 0;
  vectorCount = 0;

  constructor(manifestPath: string) {
    this.manifestPath = manifestPath;
  }

  cancel(): boolean {
    this.abort.abort();
    return true;
  }
}

export class CollectionLoads {
  readonly #options: Options;
  readonly #loads = new Map<string, CollectionLoad>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: Options) {
    this.#options = options;
  }

  get(name: string): CollectionLoad | undefined {
    return this.#loads.get(name);
  }

  list(): CollectionLoadInfo[] {
    const list = [...this.#loads].map(([name, load]) => ({
      name,
      manifestPath: load.manifestPath,
      status: statusOf(load),
    }));
    return list.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  start(name: string, request: LoadRequest, location: DatabaseLocation): CollectionLoad {
    const { collections, outcomes } = this.#options;
    if (collections === undefined) throw new DomainError("unimplemented", "loads into collections are not served here");
    if (this.#loads.has(name)) {
      throw new DomainError("already_exists", `A load into collection \`${name}\` is under way already!`);
    }
    if (this.#loads.size >= limits.s5DatabasesMax) {
      throw new DomainError("exhausted", `more than ${limits.s5DatabasesMax} loads into collections`);
    }
    const load = new CollectionLoad(request.manifestPath);
    const key = new SharedArrayBuffer(request.sessionKey.length);
    new Uint8Array(key).set(request.sessionKey);
    this.#loads.set(name, load);
    outcomes.forget({ kind: "collection", name });
    const run = this.#run(name, load, { ...request, sessionKey: new Uint8Array(0) }, location, key).finally(() => {
      new Uint8Array(key).fill(0);
      this.#loads.delete(name);
      this.#running.delete(run);
    });
    this.#running.add(run);
    return load;
  }

  async close(): Promise<void> {
    for (const load of this.#loads.values()) load.cancel();
    await Promise.allSettled([...this.#running]);
  }

  async #run(
    name: string,
    load: CollectionLoad,
    request: LoadRequest,
    location: DatabaseLocation,
    key: SharedArrayBuffer,
  ): Promise<void> {
    const { config, collections, figures, outcomes, opener, backoffMs } = this.#options;
    const { progress } = load;
    const target: LoadTarget = { kind: "collection", name };
    const begunMs = performance.now();
    try {
      const sink = collections?.(name, request.publicKey, request.access);
      if (sink === undefined) throw new Error("loads into collections are not served here");
      const begin: typeof sink.begin = (start) => {
        load.vectorCount = start.count;
        return sink.begin(start);
      };
      const add: typeof sink.add = async (batch) => {
        const count = batch.ids.length;
        await sink.add(batch);
        load.percent += load.vectorCount === 0 ? 0 : (count / load.vectorCount) * 100;
      };
      const { manifest, chunksDownloaded } = await runLoad({
        portals: new Portals(config.portalUrls, figures),
        location,
        userAddress: request.userAddress,
        key,
        sink: { ...sink, begin, add },
        progress,
        signal: load.abort.signal,
        parallel: request.parallelChunks ?? config.parallelChunks,
        fileTimeoutMs: config.fileTimeoutMs,
        loadTimeoutMs: config.loadTimeoutMs,
        memoryBytesMax: config.databaseBytesMax,
        opener,
        backoffMs,
        notBefore: request.notBefore,
      });
      const { vectorCount } = manifest;
      figures.successes++;
      figures.vectors += vectorCount;
      const loadTimeMs = Math.round(performance.now() - begunMs);
      const last = { kind: "loading_complete", vectorCount, loadTimeMs, fromCache: false, chunksDownloaded } as const;
      progress.push(last);
      outcomes.complete(target, { kind: "loaded", vectorCount, loadTimeMs, indexReady: true, memoryBytes: 0 }, last);
      progress.end();
    } catch (error) {
      figures.onFailure(codeOf(error));
      outcomes.note(target, error);
      progress.fail(error);
    }
  }
}
