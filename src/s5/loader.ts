/**
 * Loads an encrypted vector database: manifest first, then chunks in parallel, each verified, decrypted and parsed off the event loop
 * and handed to the sink as it arrives. What waits for the sink counts against the bytes in flight, so the
 * database is never held twice. A failed or cancelled load leaves nothing behind: the sink is aborted.
 */
import { DomainError, limits } from "../core/index.ts";
import { badField, LoadError } from "./errors.ts";
import {
  type ChunkEntry,
  checkOwner,
  chunkPath,
  type DatabaseLocation,
  isUnchanged,
  type Manifest,
  readManifest,
  updatedOf,
} from "./manifest.ts";
import { type Opener, sharedOpener } from "./opener.ts";
import type { MetadataForm, Opened, OpenTask, RecordBatch } from "./opener-protocol.ts";
import { DownloadError, type Portals, UnusableFile } from "./portals.ts";
import type { LoadEvent, Progress } from "./progress.ts";

const parallelUsual = 10;

export interface SinkStart {
  readonly name: string;
  readonly dimensions: number;
  readonly count: number;
}

/** Where the vectors go. Calls come one after the other; a rejection ends the load with INDEX_BUILD_FAILED. */
export interface LoadSink {
  readonly metadataForm: MetadataForm;
  /** The manifest is there and nothing of the chunks: the last moment to refuse what it says. */
  begin(start: SinkStart): Promise<void> | void;
  /** Chunks come in any order. The batch's buffers are the sink's own from here on. */
  add(batch: RecordBatch): Promise<void> | void;
  /** All vectors are in: build what search needs. `dropped`: chunks of before that are gone or were downloaded anew. */
  finish(dropped: readonly number[]): Promise<void> | void;
  /** The load failed or was cancelled, perhaps before `begin`: forget what was added, as far as that can be undone. */
  abort(): Promise<void> | void;
}

export interface LoadOptions {
  readonly portals: Portals;
  readonly location: DatabaseLocation;
  readonly userAddress: string;
  /** 32 bytes, shared so that one wipe reaches every thread; the caller's to wipe once the load has ended. */
  readonly key: SharedArrayBuffer;
  readonly sink: LoadSink;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** Downloads at a time, 1 to limits.s5ParallelMax. */
  readonly parallel?: number | undefined;
  /** Of one file from one portal. */
  readonly fileTimeoutMs?: number | undefined;
  readonly loadTimeoutMs?: number | undefined;
  readonly attempts?: number | undefined;
  readonly backoffMs?: number | undefined;
  readonly memoryBytesMax: number;
  readonly bytesInFlightMax?: number | undefined;
  readonly random?: (() => number) | undefined;
  readonly opener?: Opener | undefined;
  /** The chunks that are there already, of an older manifest: those that have not changed are not downloaded. */
  readonly known?: ReadonlyMap<number, ChunkEntry> | undefined;
  /** The least `updated` of the manifest: a portal that has an older one is passed over. */
  readonly notBefore?: number | undefined;
}

export interface LoadResult {
  readonly manifest: Manifest;
  readonly chunksDownloaded: number;
}

const nonceAndTagLength = 28;
/** What a file may be longer than its manifest says: room for a rewrite that the manifest does not know of yet. */
const sizeSlack = 1024 * 1024;

/** Admits bytes in the order of asking; a file larger than the whole allowance passes alone. */
class BytesInFlight {
  readonly #max: number;
  #used = 0;
  readonly #waiting: { bytes: number; resolve: () => void }[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  async acquire(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#used += bytes;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push({ bytes, resolve }));
  }

  release(bytes: number): void {
    this.#used -= bytes;
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#used += next.bytes;
      next.resolve();
    }
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#max;
  }
}

/** Throws bad_input. */
export function checkParallel(parallel: number): void {
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > limits.s5ParallelMax) {
    throw badField("parallel_chunks", `expected 1 to ${limits.s5ParallelMax}`);
  }
}

export function olderManifest(): LoadError {
  return new LoadError("MANIFEST_DOWNLOAD_FAILED", "manifest: older than the state that is known of the database");
}

export function manifestEvent({ name, chunks, vectorCount, dimensions, sizeBytes, updated }: Manifest): LoadEvent {
  return {
    kind: "manifest_downloaded",
    name,
    chunks: chunks.length,
    vectors: vectorCount,
    dimensions,
    sizeBytes,
    updated,
  };
}

/** One load's state; everything in it ends with `run`. */
class Load {
  readonly #options: LoadOptions;
  readonly #abort = new AbortController();
  readonly #seen = new Set<string>();
  #done = 0;
  #vectors = 0;
  #adding: Promise<void> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  async run(): Promise<LoadResult> {
    const { sink, signal, location, userAddress, progress, known } = this.#options;
    const onAbort = (): void => this.#abort.abort(new DomainError("cancelled", "the load was cancelled"));
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const deadline = setTimeout(
      () => this.#abort.abort(new LoadError("TIMEOUT", "the load took too long")),
      this.#options.loadTimeoutMs ?? limits.s5LoadTimeoutMs,
    );
    try {
      this.#abort.signal.throwIfAborted();
      checkOwner(location, userAddress);
      const manifest = await this.#loadManifest();
      const { name, dimensions, vectorCount, chunks } = manifest;
      progress.push(manifestEvent(manifest));
      await this.#sinkStep(() => sink.begin({ name, dimensions, count: vectorCount }));
      const changed = chunks.filter((chunk) => !isUnchanged(chunk, known?.get(chunk.chunkId)));
      this.#vectors = vectorCount - changed.reduce((sum, chunk) => sum + chunk.vectorCount, 0);
      await this.#loadChunks(manifest, changed);
      progress.push({ kind: "index_building" });
      const unchanged = new Set(chunks.filter((chunk) => !changed.includes(chunk)).map(({ chunkId }) => chunkId));
      const dropped = [...(known?.keys() ?? [])].filter((chunkId) => !unchanged.has(chunkId));
      await this.#sinkStep(() => sink.finish(dropped));
      return { manifest, chunksDownloaded: changed.length };
    } catch (error) {
      this.#abort.abort(error);
      // The caller is told at once; what is under way ends first.
      await this.#adding.catch(() => undefined);
      await Promise.resolve(sink.abort()).catch(() => undefined);
      throw error;
    } finally {
      clearTimeout(deadline);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Waits for `work`, but no longer than the load lives. */
  #race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#abort;
    if (signal.aborted) {
      work.catch(() => undefined);
      return Promise.reject(signal.reason);
    }
    return new Promise<T>((resolve, reject) => {
      const stop = (): void => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
    });
  }

  async #sinkStep(step: () => Promise<void> | void): Promise<void> {
    try {
      await this.#race((async () => step())());
    } catch (error) {
      if (this.#abort.signal.aborted) throw this.#abort.signal.reason;
      // What the engine says about its own input (a policy, a dimension, a full disk) is for the caller as it is.
      if (error instanceof LoadError || error instanceof DomainError) throw error;
      throw new LoadError("INDEX_BUILD_FAILED", "the index cannot be built", { cause: error });
    }
  }

  /** A file that does not open, or is not the one that it should be, may be better at another portal. */
  async #fetch(
    path: string,
    bytesMax: number,
    what: string,
    task: (encrypted: Uint8Array) => OpenTask,
    judge: (opened: Opened) => LoadError | undefined = () => undefined,
  ): Promise<Opened> {
    const { portals, opener = sharedOpener, key } = this.#options;
    const isManifest = what === "manifest";
    const options = {
      signal: this.#abort.signal,
      bytesMax,
      timeoutMs: this.#options.fileTimeoutMs,
      attempts: this.#options.attempts,
      backoffMs: this.#options.backoffMs,
      random: this.#options.random,
    };
    try {
      return await portals.download(path, options, async (encrypted) => {
        const opened = await this.#race(opener.open(task(encrypted), key));
        if (!("code" in opened)) {
          const fault = judge(opened);
          if (fault !== undefined) throw new UnusableFile(fault);
          return opened;
        }
        const error = new LoadError(opened.code, opened.message);
        const isOther = opened.code === "DECRYPTION_FAILED" || opened.code === "CHUNK_DOWNLOAD_FAILED";
        throw isOther || opened.misnamed === true ? new UnusableFile(error) : error;
      });
    } catch (error) {
      if (this.#abort.signal.aborted) throw this.#abort.signal.reason;
      if (error instanceof LoadError) throw error;
      const failed = isManifest ? "MANIFEST_DOWNLOAD_FAILED" : "CHUNK_DOWNLOAD_FAILED";
      if (!(error instanceof DownloadError))
        throw new LoadError(failed, `${what}: cannot be downloaded`, { cause: error });
      const codes = {
        not_found: isManifest ? "MANIFEST_NOT_FOUND" : "CHUNK_DOWNLOAD_FAILED",
        too_large: "MEMORY_LIMIT_EXCEEDED",
        timeout: "TIMEOUT",
        failed,
      } as const;
      throw new LoadError(codes[error.failure], `${what}: ${error.message}`, { cause: error });
    }
  }

  async #loadManifest(): Promise<Manifest> {
    const { location, userAddress, memoryBytesMax, notBefore = 0 } = this.#options;
    const path = `${location.folder}/manifest.json`;
    const opened = await this.#fetch(
      path,
      limits.s5ManifestBytesMax + nonceAndTagLength,
      "manifest",
      (encrypted) => ({ kind: "manifest", encrypted }),
      // It is the owner's, and another portal may have the newer one.
      (found) => ("manifest" in found && updatedOf(found.manifest) < notBefore ? olderManifest() : undefined),
    );
    return readManifest("manifest" in opened ? opened.manifest : undefined, userAddress, memoryBytesMax);
  }

  async #loadChunks(manifest: Manifest, chunks: readonly ChunkEntry[]): Promise<void> {
    const bytes = new BytesInFlight(this.#options.bytesInFlightMax ?? limits.s5BytesInFlightMax);
    const waiting = [...chunks];
    const lane = async (): Promise<void> => {
      for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
        const reserved = chunk.sizeBytes;
        await this.#race(bytes.acquire(reserved));
        try {
          await this.#loadChunk(manifest, chunk, chunks.length);
        } finally {
          bytes.release(reserved);
        }
      }
    };
    const count = Math.min(this.#options.parallel ?? parallelUsual, waiting.length);
    const lanes = Array.from({ length: count }, async () => {
      try {
        await lane();
      } catch (error) {
        // The first failure is the load's; it stops the other lanes.
        this.#abort.abort(error);
        throw this.#abort.signal.reason;
      }
    });
    const results = await Promise.allSettled(lanes);
    if (results.some((result) => result.status === "rejected")) throw this.#abort.signal.reason;
  }

  async #loadChunk(manifest: Manifest, chunk: ChunkEntry, total: number): Promise<void> {
    const { location, sink, progress } = this.#options;
    const bytesMax = Math.min(limits.s5ChunkBytesMax + nonceAndTagLength, chunk.sizeBytes + sizeSlack);
    const what = `chunk ${chunk.chunkId}`;
    const opened = await this.#fetch(chunkPath(location, chunk.chunkId), bytesMax, what, (encrypted) => ({
      kind: "chunk",
      encrypted,
      chunkId: chunk.chunkId,
      dimensions: manifest.dimensions,
      vectorCount: chunk.vectorCount,
      metadataForm: sink.metadataForm,
      cid: chunk.cid,
    }));
    if (!("batch" in opened)) throw new LoadError("INDEX_BUILD_FAILED", `${what}: cannot be read`);
    const { batch } = opened;
    for (const id of batch.pointIds) {
      const key = String(id);
      if (this.#seen.has(key)) throw new LoadError("VECTOR_COUNT_MISMATCH", `${what}: an id occurs twice`);
      this.#seen.add(key);
    }
    const adding = this.#adding.then(() => {
      this.#abort.signal.throwIfAborted();
      return sink.add(batch);
    });
    this.#adding = adding;
    await this.#sinkStep(() => adding);
    this.#done++;
    this.#vectors += chunk.vectorCount;
    const percent = (this.#done / total) * 100;
    progress.push({ kind: "chunk_downloaded", chunkId: chunk.chunkId, total, percent, vectorsLoaded: this.#vectors });
  }
}

/**
 * Loads a database into the sink and tells `progress` what it downloaded; the last word (complete, or the failure) is the caller's. Throws
 * LoadError for what is wrong with the database, DomainError "cancelled" once `signal` fired, and an error of the engine under a
 * collection's sink as the DomainError that it is; the sink is aborted by then.
 */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  return new Load(options).run();
}
