/**
 * Loads an encrypted vector database: manifest first, then chunks in parallel, each decrypted and parsed in a worker thread
 * and handed to the sink as it arrives. What waits for the sink counts against the bytes in flight, so the
 * database is never held twice. A failed or cancelled load leaves nothing behind: the sink is aborted, the key wiped.
 */
import { badInput, DomainError, limits } from "../core/index.ts";
import { LoadError, type LoadErrorCode, loadErrorTraits } from "./errors.ts";
import {
  type ChunkEntry,
  checkAddress,
  chunkPath,
  type DatabaseLocation,
  type Manifest,
  parseManifestPath,
  readManifest,
} from "./manifest.ts";
import { type Opener, sharedOpener } from "./opener.ts";
import type { MetadataForm, OpenTask, RecordBatch } from "./opener-protocol.ts";
import { createPortals, DownloadError, type Portals } from "./portals.ts";

export type LoadEvent =
  | {
      readonly kind: "manifest_downloaded";
      readonly name: string;
      readonly chunks: number;
      readonly vectors: number;
      readonly dimensions: number;
    }
  | { readonly kind: "chunk_downloaded"; readonly chunkId: number; readonly total: number; readonly percent: number }
  | { readonly kind: "index_building" }
  | { readonly kind: "loading_complete"; readonly vectorCount: number; readonly loadTimeMs: number }
  | {
      readonly kind: "loading_error";
      readonly code: LoadErrorCode;
      readonly message: string;
      readonly isRetryable: boolean;
      readonly isSecurity: boolean;
    };

export interface SinkStart {
  readonly name: string;
  readonly dimensions: number;
  readonly count: number;
}

/** Where the vectors go. Calls come one after the other; a rejection ends the load with INDEX_BUILD_FAILED. */
export interface LoadSink {
  readonly metadataForm: MetadataForm;
  begin(start: SinkStart): Promise<void> | void;
  /** Chunks come in any order. The batch's buffers are the sink's own from here on. */
  add(batch: RecordBatch): Promise<void> | void;
  /** All vectors are in: build what search needs. */
  finish(): Promise<void> | void;
  /** The load failed or was cancelled, perhaps before `begin`: forget what was added, as far as that can be undone. */
  abort(): Promise<void> | void;
}

export interface LoadOptions {
  readonly portalUrls: readonly string[];
  /** `home/vector-databases/{user}/{database}/manifest.json` */
  readonly manifestPath: string;
  readonly userAddress: string;
  /** 32 bytes. Copied, and the copy wiped when the load ends; the caller's own array stays the caller's to wipe. */
  readonly sessionKey: Uint8Array;
  readonly sink: LoadSink;
  readonly signal?: AbortSignal;
  /** Downloads at a time, 1 to limits.s5ParallelMax. */
  readonly parallel?: number;
  readonly fileTimeoutMs?: number;
  readonly loadTimeoutMs?: number;
  readonly attempts?: number;
  readonly backoffMs?: number;
  readonly memoryBytesMax?: number;
  readonly bytesInFlightMax?: number;
  readonly random?: () => number;
  readonly opener?: Opener;
}

const nonceAndTagLength = 28;
/** What a file may be longer than its manifest says: room for a rewrite that the manifest does not know of yet. */
const sizeSlack = 1024 * 1024;

/** Events from a producer to one reader, in order. There is at most one for each chunk, so the queue needs no bound. */
class EventQueue {
  private readonly events: LoadEvent[] = [];
  private wake: (() => void) | undefined;
  private ended = false;
  private failure: unknown;

  push(event: LoadEvent): void {
    this.events.push(event);
    this.wake?.();
  }

  end(failure?: unknown): void {
    this.ended = true;
    this.failure = failure;
    this.wake?.();
  }

  async *drain(): AsyncGenerator<LoadEvent, void, undefined> {
    while (true) {
      const event = this.events.shift();
      if (event !== undefined) {
        yield event;
      } else if (this.ended) {
        if (this.failure !== undefined) throw this.failure;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
        this.wake = undefined;
      }
    }
  }
}

/** Admits bytes in the order of asking; a file larger than the whole allowance passes alone. */
class BytesInFlight {
  private readonly max: number;
  private used = 0;
  private readonly waiting: { bytes: number; resolve: () => void }[] = [];

  constructor(max: number) {
    this.max = max;
  }

  async acquire(bytes: number): Promise<void> {
    if (this.waiting.length === 0 && this.fits(bytes)) {
      this.used += bytes;
      return;
    }
    await new Promise<void>((resolve) => this.waiting.push({ bytes, resolve }));
  }

  release(bytes: number): void {
    this.used -= bytes;
    for (let next = this.waiting[0]; next !== undefined && this.fits(next.bytes); next = this.waiting[0]) {
      this.waiting.shift();
      this.used += next.bytes;
      next.resolve();
    }
  }

  private fits(bytes: number): boolean {
    return this.used === 0 || this.used + bytes <= this.max;
  }
}

function checkOptions(options: LoadOptions): number {
  if (options.sessionKey.length !== 32) throw badInput("expected 32 bytes", "session_key");
  checkAddress(options.userAddress);
  const parallel = options.parallel ?? 10;
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > limits.s5ParallelMax) {
    throw badInput(`expected 1 to ${limits.s5ParallelMax}`, "parallel");
  }
  return parallel;
}

async function abortSink(sink: LoadSink): Promise<void> {
  try {
    await sink.abort();
  } catch {
    // The load's own error is the one to report.
  }
}

/** One load's state; everything in it ends with `run`. */
class Load {
  private readonly options: LoadOptions;
  private readonly parallel: number;
  private readonly key: SharedArrayBuffer;
  private readonly portals: Portals;
  private readonly opener: Opener;
  private readonly abort = new AbortController();
  private readonly seen = new Set<string>();
  private readonly queue: EventQueue;
  private done = 0;
  private adding: Promise<void> = Promise.resolve();

  constructor(options: LoadOptions, parallel: number, queue: EventQueue) {
    this.options = options;
    this.parallel = parallel;
    this.queue = queue;
    this.portals = createPortals(options.portalUrls);
    this.opener = options.opener ?? sharedOpener;
    this.key = new SharedArrayBuffer(32);
    new Uint8Array(this.key).set(options.sessionKey);
  }

  cancel(): void {
    this.abort.abort(new DomainError("cancelled", "the load was cancelled"));
  }

  async run(): Promise<void> {
    const started = performance.now();
    const onAbort = (): void => this.cancel();
    if (this.options.signal?.aborted === true) onAbort();
    this.options.signal?.addEventListener("abort", onAbort, { once: true });
    const deadline = setTimeout(
      () => this.abort.abort(new LoadError("TIMEOUT", "the load took too long")),
      this.options.loadTimeoutMs ?? limits.s5LoadTimeoutMs,
    );
    try {
      this.abort.signal.throwIfAborted();
      const location = parseManifestPath(this.options.manifestPath);
      if (location.user.toLowerCase() !== this.options.userAddress.toLowerCase()) {
        throw new LoadError("OWNER_MISMATCH", "the database belongs to another address");
      }
      const manifest = await this.loadManifest(location);
      const { name, dimensions, vectorCount, chunks } = manifest;
      this.queue.push({ kind: "manifest_downloaded", name, chunks: chunks.length, vectors: vectorCount, dimensions });
      await this.sinkStep(() => this.options.sink.begin({ name, dimensions, count: vectorCount }));
      await this.loadChunks(location, manifest);
      this.queue.push({ kind: "index_building" });
      await this.sinkStep(() => this.options.sink.finish());
      const loadTimeMs = Math.round(performance.now() - started);
      this.queue.push({ kind: "loading_complete", vectorCount, loadTimeMs });
      this.queue.end();
    } catch (error) {
      this.abort.abort(error);
      await this.adding.catch(() => undefined);
      await abortSink(this.options.sink);
      this.report(error);
    } finally {
      clearTimeout(deadline);
      this.options.signal?.removeEventListener("abort", onAbort);
      new Uint8Array(this.key).fill(0);
    }
  }

  private report(error: unknown): void {
    if (error instanceof LoadError) {
      this.queue.push({
        kind: "loading_error",
        code: error.code,
        message: error.message,
        ...loadErrorTraits[error.code],
      });
      this.queue.end();
    } else {
      this.queue.end(error);
    }
  }

  /** Waits for `work`, but no longer than the load lives. */
  private race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.abort;
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

  private async sinkStep(step: () => Promise<void> | void): Promise<void> {
    try {
      await this.race(Promise.resolve(step()));
    } catch (error) {
      if (this.abort.signal.aborted) throw this.abort.signal.reason;
      // What the engine says about its own input (a policy, a dimension, a full disk) is for the caller as it is.
      if (error instanceof LoadError || error instanceof DomainError) throw error;
      throw new LoadError("INDEX_BUILD_FAILED", "the index cannot be built", error);
    }
  }

  private async download(path: string, bytesMax: number, what: string): Promise<Uint8Array> {
    const isManifest = what === "manifest";
    try {
      return await this.portals.download(path, {
        signal: this.abort.signal,
        bytesMax,
        timeoutMs: this.options.fileTimeoutMs,
        attempts: this.options.attempts,
        backoffMs: this.options.backoffMs,
        random: this.options.random,
      });
    } catch (error) {
      if (this.abort.signal.aborted) throw this.abort.signal.reason;
      const failed = isManifest ? "MANIFEST_DOWNLOAD_FAILED" : "CHUNK_DOWNLOAD_FAILED";
      if (!(error instanceof DownloadError)) throw new LoadError(failed, `${what}: cannot be downloaded`, error);
      const codes = {
        not_found: isManifest ? "MANIFEST_NOT_FOUND" : "CHUNK_DOWNLOAD_FAILED",
        too_large: "MEMORY_LIMIT_EXCEEDED",
        timeout: "TIMEOUT",
        failed,
      } as const;
      throw new LoadError(codes[error.failure], `${what}: ${error.message}`, error);
    }
  }

  private async open(task: OpenTask): Promise<unknown> {
    const opened = await this.race(this.opener.open(task, this.key));
    if ("code" in opened) throw new LoadError(opened.code, opened.message);
    return "manifest" in opened ? opened.manifest : opened.batch;
  }

  private async loadManifest(location: DatabaseLocation): Promise<Manifest> {
    const path = `${location.folder}/manifest.json`;
    const encrypted = await this.download(path, limits.s5ManifestBytesMax + nonceAndTagLength, "manifest");
    const json = await this.open({ kind: "manifest", encrypted });
    return readManifest(json, this.options.userAddress, this.options.memoryBytesMax ?? limits.s5MemoryBytesMax);
  }

  private async loadChunks(location: DatabaseLocation, manifest: Manifest): Promise<void> {
    const bytes = new BytesInFlight(this.options.bytesInFlightMax ?? limits.s5BytesInFlightMax);
    const waiting = [...manifest.chunks];
    const lane = async (): Promise<void> => {
      for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
        const reserved = chunk.sizeBytes;
        await this.race(bytes.acquire(reserved));
        try {
          await this.loadChunk(location, manifest, chunk);
        } finally {
          bytes.release(reserved);
        }
      }
    };
    const lanes = Array.from({ length: Math.min(this.parallel, waiting.length) }, async () => {
      try {
        await lane();
      } catch (error) {
        // The first failure is the load's; it stops the other lanes.
        this.abort.abort(error);
        throw this.abort.signal.reason;
      }
    });
    const results = await Promise.allSettled(lanes);
    if (results.some((result) => result.status === "rejected")) throw this.abort.signal.reason;
  }

  private async loadChunk(location: DatabaseLocation, manifest: Manifest, chunk: ChunkEntry): Promise<void> {
    const bytesMax = Math.min(limits.s5ChunkBytesMax + nonceAndTagLength, chunk.sizeBytes + sizeSlack);
    const encrypted = await this.download(chunkPath(location, chunk.chunkId), bytesMax, `chunk ${chunk.chunkId}`);
    const batch = (await this.open({
      kind: "chunk",
      encrypted,
      chunkId: chunk.chunkId,
      dimensions: manifest.dimensions,
      vectorCount: chunk.vectorCount,
      metadataForm: this.options.sink.metadataForm,
    })) as RecordBatch;
    for (const id of batch.pointIds) {
      const key = String(id);
      if (this.seen.has(key))
        throw new LoadError("VECTOR_COUNT_MISMATCH", `chunk ${chunk.chunkId}: an id occurs twice`);
      this.seen.add(key);
    }
    const adding = this.adding.then(() => {
      this.abort.signal.throwIfAborted();
      return this.options.sink.add(batch);
    });
    this.adding = adding;
    await this.sinkStep(() => adding);
    this.done++;
    const total = manifest.chunks.length;
    this.queue.push({ kind: "chunk_downloaded", chunkId: chunk.chunkId, total, percent: (this.done / total) * 100 });
  }
}

/**
 * Throws bad_input for a malformed request before anything is downloaded. What goes wrong with the database ends the
 * iteration with a loading_error event; `signal`, or leaving the iteration, cancels (DomainError "cancelled"); an error of
 * the engine under a collection's sink comes through as the DomainError that it is.
 */
export async function* loadDatabase(options: LoadOptions): AsyncGenerator<LoadEvent, void, undefined> {
  const queue = new EventQueue();
  let load: Load;
  try {
    load = new Load(options, checkOptions(options), queue);
  } catch (error) {
    await abortSink(options.sink);
    throw error;
  }
  const running = load.run();
  try {
    yield* queue.drain();
  } finally {
    load.cancel();
    await running;
  }
}
