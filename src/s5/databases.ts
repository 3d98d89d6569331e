/**
 * Databases that are loaded, each once for all sessions that have its key, and kept for a while after the last of them: least recently used
 * first out, by number, age and memory. What goes is overwritten: its key, its vectors, its metadata.
 */
import { timingSafeEqual } from "node:crypto";
import { DomainError, limits } from "../core/index.ts";
import type { S5Config } from "../ops/index.ts";
import { checkOf, Database, derive, type OpenRequest } from "./database.ts";
import { LoadError, type LoadErrorCode } from "./errors.ts";
import type { S5Figures } from "./figures.ts";
import { type LoadOptions, type LoadSink, manifestEvent, runLoad } from "./loader.ts";
import { estimateBytes, type Manifest } from "./manifest.ts";
import type { Opener } from "./opener.ts";
import { Portals } from "./portals.ts";
import { type LoadEvent, Progress } from "./progress.ts";
import { fromNote, type Saved, toNote } from "./saved.ts";
import type { SessionIndex, SessionIndexes } from "./session-index.ts";

export interface DatabasesOptions {
  readonly config: S5Config;
  readonly indexes: SessionIndexes;
  readonly figures: S5Figures;
  /** Bytes that uploads hold beside the databases, under the same cap. */
  readonly otherBytes?: () => number;
  /** Injected by tests. */
  readonly opener?: Opener;
  readonly backoffMs?: number;
  readonly nowMs?: () => number;
  /** Milliseconds since 1970. */
  readonly wallMs?: () => number;
}

/** A state on disk that was compared with its manifest later than now was not: the clock was set, or somebody set it. */
const clockSlackMs = 60_000;

/** What a caller asks of a database that is brought up to date. */
type Wish = Pick<OpenRequest, "notBefore" | "parallel">;

const anyState: Wish = { notBefore: 0 };

/** Why a database that is here is not given to anybody new: it is gone, or no longer this key's. */
const endings: ReadonlySet<LoadErrorCode> = new Set(["MANIFEST_NOT_FOUND", "OWNER_MISMATCH", "DECRYPTION_FAILED"]);

export class Databases {
  readonly #options: DatabasesOptions;
  readonly #all = new Set<Database>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: DatabasesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  get bytes(): number {
    let sum = 0;
    for (const database of this.#all) sum += database.bytes;
    return sum;
  }

  /** Takes part in a database, which is loaded when it is not here, and tells what happens. `release` must follow. Throws LoadError. */
  open(request: OpenRequest): {
    readonly database: Database;
    readonly events: AsyncGenerator<LoadEvent, void, undefined>;
  } {
    const begunMs = performance.now();
    this.sweep();
    const { figures, config } = this.#options;
    const found = this.#find(request);
    if (found === undefined) {
      if (this.#all.size >= limits.s5DatabasesMax) this.#evict(1);
      if (this.#all.size >= limits.s5DatabasesMax) {
        throw new LoadError("MEMORY_LIMIT_EXCEEDED", `more than ${limits.s5DatabasesMax} databases are open`);
      }
      figures.cacheMisses++;
      const database = new Database(request);
      this.#all.add(database);
      this.#use(database);
      // One more may be one too many.
      this.sweep();
      this.#track(this.#load(database, request));
      return { database, events: database.progress.watch() };
    }
    figures.cacheHits++;
    found.persist ||= request.persist;
    const isAged = found.state === "loaded" && this.#now() - found.loadedAtMs >= config.cacheTtlMs;
    this.#use(found);
    if (found.state === "loading") return { database: found, events: this.#atLeast(found, found.progress, request) };
    if (request.revalidate || isAged || (found.manifest?.updated ?? 0) < request.notBefore) {
      return { database: found, events: this.#atLeast(found, this.refresh(found, request), request) };
    }
    if (found.persist) this.#track(this.#save(found));
    return { database: found, events: found.recall(begunMs) };
  }

  /** A session less. A load that nobody waits for any more ends. */
  release(database: Database): void {
    database.users--;
    database.lastUsedMs = this.#now();
    if (database.users > 0) return;
    if (database.state === "loading") this.#drop(database);
    else this.sweep();
  }

  /** Makes room for what an upload is about to hold. Throws LoadError. */
  admitOther(bytes: number): void {
    this.#makeRoom(bytes);
  }

  /** One at a time: who asks during a refresh is told of that one. */
  refresh(database: Database, wish: Wish = anyState): Progress {
    const running = database.refreshing;
    if (running !== undefined && !running.ended) return running;
    const progress = new Progress();
    database.refreshing = progress;
    const run = this.#refresh(database, progress, wish).finally(() => {
      if (database.refreshing === progress) database.refreshing = undefined;
    });
    this.#track(run);
    return progress;
  }

  /** What is under way was perhaps begun by somebody who knew of an older state: when it comes to one that is too old, it is let end, and another begins that passes such over. */
  async *#atLeast(database: Database, running: Progress, wish: Wish): AsyncGenerator<LoadEvent, void, undefined> {
    for (let progress = running; ; ) {
      let isTooOld = false;
      try {
        for await (const event of progress.watch()) {
          isTooOld ||= event.kind === "manifest_downloaded" && event.updated < wish.notBefore;
          if (!isTooOld) yield event;
        }
      } catch (error) {
        // Of a load nothing is left; how a refresh ended is of those who asked for it.
        if (!isTooOld || database.state !== "loaded") throw error;
      }
      if (!isTooOld) return;
      progress = this.refresh(database, wish);
    }
  }

  /** Lets go of what is too old, and of what is too much as long as nobody has it open. */
  sweep(): void {
    const { config, figures } = this.#options;
    const now = this.#now();
    for (const database of [...this.#all]) {
      const isOver = database.isStale || now - database.loadedAtMs >= config.cacheTtlMs;
      if (database.users > 0 || database.state !== "loaded" || !isOver) continue;
      figures.evictions++;
      this.#drop(database);
    }
    const idle = [...this.#all].filter((one) => one.users === 0).length;
    if (idle > 0 && this.#all.size > config.cacheSize) this.#evict(Math.min(idle, this.#all.size - config.cacheSize));
  }

  async close(): Promise<void> {
    for (const database of [...this.#all]) this.#drop(database);
    await Promise.allSettled([...this.#running]);
  }

  #now(): number {
    return this.#options.nowMs?.() ?? performance.now();
  }

  #wall(): number {
    return this.#options.wallMs?.() ?? Date.now();
  }

  #use(database: Database): void {
    database.users++;
    database.lastUsedMs = this.#now();
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch(() => undefined).finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  /** The same place and the same key, which is proved anew: a wrong one finds nothing. */
  #find({ location, key, userAddress }: OpenRequest): Database | undefined {
    let found: Database | undefined;
    const check = checkOf(location.folder, key);
    for (const database of this.#all) {
      if (database.location.folder !== location.folder || database.isStale) continue;
      if (timingSafeEqual(database.check, check)) found = database;
    }
    const owner = found?.manifest?.owner;
    return owner !== undefined && owner.toLowerCase() !== userAddress.toLowerCase() ? undefined : found;
  }

  /** Least recently used first; only what nobody has open. */
  #evict(count: number): void {
    const idle = [...this.#all].filter((one) => one.users === 0 && one.state === "loaded");
    idle.sort((a, b) => a.lastUsedMs - b.lastUsedMs);
    for (const database of idle.slice(0, count)) {
      this.#options.figures.evictions++;
      this.#drop(database);
    }
  }

  #drop(database: Database): void {
    this.#all.delete(database);
    database.state = "closed";
    database.abort.abort();
    new Uint8Array(database.key).fill(0);
    const { index } = database;
    database.index = undefined;
    if (index !== undefined) this.#track(index.close());
  }

  /** Makes room for a database of this manifest, or refuses it before anything of it is downloaded. */
  #admit(database: Database, count: number, dimensions: number): void {
    this.#makeRoom(estimateBytes(count, dimensions) - database.bytes);
  }

  #makeRoom(bytes: number): void {
    const { config, otherBytes } = this.#options;
    while (this.bytes + (otherBytes?.() ?? 0) + bytes > config.cacheBytesMax) {
      const before = this.#all.size;
      this.#evict(1);
      if (this.#all.size === before) {
        throw new LoadError("MEMORY_LIMIT_EXCEEDED", "no memory is left: other databases are open");
      }
    }
  }

  #loadOptions(database: Database): Omit<LoadOptions, "sink" | "progress" | "userAddress"> {
    const { config, figures, opener, backoffMs } = this.#options;
    return {
      portals: new Portals(config.portalUrls, figures),
      location: database.location,
      key: database.key,
      signal: database.abort.signal,
      parallel: config.parallelChunks,
      fileTimeoutMs: config.fileTimeoutMs,
      loadTimeoutMs: config.loadTimeoutMs,
      memoryBytesMax: config.databaseBytesMax,
      opener,
      backoffMs,
    };
  }

  async #load(database: Database, request: OpenRequest): Promise<void> {
    const { progress } = database;
    const begunMs = performance.now();
    try {
      const isSaved = await this.#loadSaved(database, request, begunMs);
      if (!isSaved) {
        const { userAddress, notBefore } = request;
        const options = { ...this.#loadOptions(database), progress, userAddress, notBefore };
        const parallel = request.parallel ?? options.parallel;
        const sink = this.#loadSink(database);
        const { manifest, chunksDownloaded } = await runLoad({ ...options, parallel, sink });
        this.#loaded(database, { manifest, checkedAtMs: this.#wall() }, begunMs);
        this.#options.figures.vectors += manifest.vectorCount;
        const { vectorCount } = manifest;
        progress.push({
          kind: "loading_complete",
          vectorCount,
          loadTimeMs: database.loadTimeMs,
          fromCache: false,
          chunksDownloaded,
        });
      }
      this.#options.figures.successes++;
      await this.#build(database, progress);
      if (database.persist && !isSaved) await this.#save(database);
      progress.end();
    } catch (error) {
      this.#options.figures.onFailure(codeOf(error));
      progress.fail(error);
      // What is loaded is searched without its graph.
      if (database.state !== "loaded") this.#drop(database);
    }
  }

  /** It ages from the moment on in which a portal's manifest was the one that is here. */
  #loaded(database: Database, { manifest, checkedAtMs }: Saved, begunMs: number): void {
    if (database.state === "closed") throw new DomainError("cancelled", "the load was cancelled");
    database.manifest = manifest;
    database.checkedAtMs = checkedAtMs;
    database.expected = manifest.vectorCount;
    database.state = "loaded";
    database.loadedAtMs = this.#now() - Math.max(0, this.#wall() - checkedAtMs);
    database.loadTimeMs = Math.round(performance.now() - begunMs);
  }

  /** The index is made while the first chunks are on their way. */
  #loadSink(database: Database): LoadSink {
    let making: Promise<void> = Promise.resolve();
    const make = async (dimensions: number, rows: number): Promise<void> => {
      const index = await this.#options.indexes.create({ dimensions, rows });
      if (database.state === "closed") await index.close();
      else database.index = index;
    };
    return {
      metadataForm: "metadata",
      begin: ({ dimensions, count }) => {
        this.#admit(database, count, dimensions);
        database.expected = count;
        making = make(dimensions, count);
        // `add` and `finish` tell.
        making.catch(() => undefined);
      },
      add: async (batch) => {
        await making;
        await this.#indexOf(database).add(batch);
      },
      finish: () => making,
      abort: async () => {
        await making.catch(() => undefined);
        const { index } = database;
        database.index = undefined;
        await index?.close();
      },
    };
  }

  #indexOf({ index }: Database): SessionIndex {
    if (index === undefined) throw new DomainError("cancelled", "the load was cancelled");
    return index;
  }

  async #build(database: Database, progress: Progress): Promise<void> {
    const begunMs = performance.now();
    try {
      await this.#indexOf(database).buildGraph(database.abort.signal);
    } catch (error) {
      if (database.state === "closed" || error instanceof DomainError) throw error;
      throw new LoadError("INDEX_BUILD_FAILED", "the graph cannot be built", { cause: error });
    }
    const ms = performance.now() - begunMs;
    this.#options.figures.builds.observe(ms / 1_000);
    progress.push({ kind: "index_ready", buildTimeMs: Math.round(ms) });
  }

  /**
   * True when the index lay on disk, opened under this key, and may be used: at once when its manifest was looked at lately and is as new as the caller knows of,
   * else after it was compared with a portal's and what changed was downloaded.
   */
  async #loadSaved(database: Database, request: OpenRequest, begunMs: number): Promise<boolean> {
    const saved = await this.#openSaved(database, request);
    if (saved === undefined) return false;
    const { progress } = database;
    const ageMs = this.#wall() - saved.checkedAtMs;
    const isTooOld = ageMs >= this.#options.config.cacheTtlMs || ageMs < -clockSlackMs;
    if (!request.revalidate && !isTooOld && saved.manifest.updated >= request.notBefore) {
      this.#loaded(database, saved, begunMs);
      const { vectorCount } = saved.manifest;
      progress.push(manifestEvent(saved.manifest));
      const { loadTimeMs } = database;
      progress.push({ kind: "loading_complete", vectorCount, loadTimeMs, fromCache: true, chunksDownloaded: 0 });
      return true;
    }
    database.manifest = saved.manifest;
    try {
      await this.#update(database, progress, request, begunMs);
    } catch (error) {
      if (!(error instanceof LoadError && error.code === "DIMENSION_MISMATCH")) throw error;
      // Of a database that was made anew nothing is of use.
      const { index } = database;
      database.index = undefined;
      database.manifest = undefined;
      await index?.close();
      return false;
    }
    await this.#save(database);
    return true;
  }

  /** What lies on disk, open. */
  async #openSaved(database: Database, { key, userAddress }: OpenRequest): Promise<Saved | undefined> {
    const { folder } = database.location;
    const diskKey = derive(key, "files", folder);
    const name = Buffer.from(derive(key, "name", folder)).toString("hex");
    const opened = await this.#options.indexes.open(name, diskKey).finally(() => diskKey.fill(0));
    if (opened === undefined) return undefined;
    const saved = fromNote(opened.note);
    const isUsable = saved !== undefined && saved.manifest.owner.toLowerCase() === userAddress.toLowerCase();
    if (!isUsable || database.state === "closed") {
      await opened.index.close();
      return undefined;
    }
    try {
      this.#admit(database, saved.manifest.vectorCount, saved.manifest.dimensions);
    } catch (error) {
      await opened.index.close();
      throw error;
    }
    database.index = opened.index;
    database.expected = saved.manifest.vectorCount;
    // What was kept is kept on.
    database.persist = true;
    return saved;
  }

  async #save(database: Database): Promise<void> {
    const { index, manifest, checkedAtMs, location } = database;
    if (index === undefined || manifest === undefined) return;
    const key = new Uint8Array(database.key);
    const name = Buffer.from(derive(key, "name", location.folder)).toString("hex");
    const diskKey = derive(key, "files", location.folder);
    await index.save(name, diskKey, toNote({ manifest, checkedAtMs })).finally(() => diskKey.fill(0));
  }

  async #refresh(database: Database, progress: Progress, wish: Wish): Promise<void> {
    const begunMs = performance.now();
    try {
      if (database.state !== "loaded" || database.manifest === undefined) {
        throw new DomainError("precondition", "still loading", { retryable: true });
      }
      await this.#update(database, progress, wish, begunMs);
      await this.#build(database, progress);
      if (database.persist) await this.#save(database);
      progress.end();
    } catch (error) {
      if (error instanceof LoadError && endings.has(error.code)) database.isStale = true;
      this.#options.figures.onFailure(codeOf(error));
      progress.fail(error);
    }
  }

  /** Brings what is here to a portal's manifest, which must be no older. */
  async #update(database: Database, progress: Progress, wish: Wish, begunMs: number): Promise<void> {
    const index = this.#indexOf(database);
    const { owner, dimensions: before, updated } = database.manifest as Manifest;
    const sink: LoadSink = {
      metadataForm: "metadata",
      begin: ({ dimensions, count }) => {
        if (dimensions !== before) {
          throw new LoadError(
            "DIMENSION_MISMATCH",
            "the database has other dimensions now: close its sessions, and load it anew",
          );
        }
        this.#admit(database, count, dimensions);
      },
      add: (batch) => index.stage(batch),
      finish: (dropped) => index.publish(dropped),
      abort: () => index.discard(),
    };
    const known = database.chunks;
    const usual = this.#loadOptions(database);
    const { parallel = usual.parallel } = wish;
    const notBefore = Math.max(wish.notBefore, updated);
    const options = { ...usual, progress, userAddress: owner, sink, known, parallel, notBefore };
    const { manifest, chunksDownloaded } = await runLoad(options);
    const { loadTimeMs } = database;
    this.#loaded(database, { manifest, checkedAtMs: this.#wall() }, begunMs);
    const { vectorCount } = manifest;
    progress.push({
      kind: "loading_complete",
      vectorCount,
      loadTimeMs: database.loadTimeMs,
      fromCache: chunksDownloaded === 0,
      chunksDownloaded,
    });
    // Of a session that was there before, it is its load's.
    if (loadTimeMs > 0) database.loadTimeMs = loadTimeMs;
  }
}

export function codeOf(error: unknown): LoadErrorCode | "CANCELLED" | "OTHER" {
  if (error instanceof LoadError) return error.code;
  return error instanceof DomainError && error.kind === "cancelled" ? "CANCELLED" : "OTHER";
}
