/** The only loader of the addon. Its state is process-wide: worker threads that open the same folder share one engine. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { getHeapStatistics } from "node:v8";
import { beginCollectionsWith, type Cancellation, DomainError, type ErrorKind, limits } from "../core/index.ts";
import { NativeReader, NativeWriter } from "./bytes.ts";
import { TicketBook } from "./tickets.ts";

/** src/native/addon/core/status.h has the same numbers. */
const kinds: Record<number, ErrorKind> = {
  1: "bad_input",
  2: "not_found",
  3: "already_exists",
  4: "precondition",
  5: "exhausted",
  6: "unavailable",
  7: "data_loss",
  8: "aborted",
  9: "cancelled",
  10: "internal",
};

/** src/native/addon/engine/engine.h has the same numbers. */
export const operations = {
  createCollection: 1,
  updateCollection: 2,
  deleteCollection: 3,
  listCollections: 4,
  collectionExists: 5,
  collectionInfo: 6,
  updateAliases: 7,
  listAliases: 8,
  setSealing: 9,
  countPlain: 10,
  write: 11,
  createFieldIndex: 12,
  deleteFieldIndex: 13,
  streamPosition: 14,
  get: 15,
  search: 16,
  count: 17,
  scroll: 18,
  openScroll: 19,
  nextScroll: 20,
  closeScroll: 21,
  verify: 22,
  stats: 23,
  flush: 28,
  largestCollections: 29,
  explain: 30,
  changeVectors: 31,
  spend: 32,
  collectionMemory: 33,
  query: 40,
  queryGroups: 41,
  facet: 42,
  createSnapshot: 50,
  restoreSnapshot: 51,
} as const;

type OpenArguments = [
  path: string,
  readThreads: number,
  buildThreads: number,
  queueMax: number,
  cursorsMax: number,
  fsync: number,
  fsyncIntervalMs: number,
  collectionsMax: number,
  memoryMegabytes: number,
  collectionMemoryMegabytes: number,
  temporaryIndexMiB: number,
  diskReserveMegabytes: number,
];

interface Addon {
  open(...given: OpenArguments): number;
  prepare(...given: OpenArguments): void;
  openSealed(message: Uint8Array): Promise<ArrayBuffer>;
  call(
    handle: number,
    operation: number,
    message: Uint8Array,
    body?: Uint8Array,
    ticket?: number,
  ): Promise<ArrayBuffer>;
  cancel(ticket: number): void;
  close(handle: number): Promise<void>;
  sealBatch(message: Uint8Array): Promise<ArrayBuffer>;
  sealPoints(message: Uint8Array, points: Uint8Array): Promise<ArrayBuffer>;
  checkData(message: Uint8Array): Promise<ArrayBuffer>;
  bm25(message: Uint8Array): ArrayBuffer;
  bm25Batch(message: Uint8Array): Promise<ArrayBuffer>;
  renderPoints(
    message: Uint8Array,
    at: number,
    end: number,
    tag: number,
    form: number,
    most: number,
    next: Uint32Array,
  ): string;
  blake3(input: Uint8Array): ArrayBuffer;
  openS5File(file: Uint8Array, key: Uint8Array): boolean;
  openS5Chunk(
    file: Uint8Array,
    key: Uint8Array,
    hash: Uint8Array,
    vectors: Uint8Array,
    chunk: number,
    dimensions: number,
    rows: number,
    keepIds: boolean,
  ): Promise<ArrayBuffer>;
  takeS5Vectors(json: Uint8Array, dimensions: number, rows: number, vectors: Uint8Array): ArrayBuffer | undefined;
  simdLevel(): string;
  beginCollection(externalBytesMax: number): void;
}

let loaded: Addon | undefined;

function load(): Addon {
  if (loaded !== undefined) return loaded;
  // The same two levels up from src/native and from dist/native.
  const path = fileURLToPath(new URL("../../build/Release/sealpoint.node", import.meta.url));
  if (!existsSync(path)) {
    throw new DomainError("unavailable", `the native addon is not built (${path} is missing): run \`make native\``);
  }
  const addon = createRequire(import.meta.url)(path) as Addon;
  loaded = addon;
  // V8's own bound for memory outside of its heap is half of what its old objects may take.
  const externalBytesMax = getHeapStatistics().heap_size_limit / 2;
  beginCollectionsWith(() => addon.beginCollection(externalBytesMax));
  return loaded;
}

/** Of this thread. */
const tickets = new TicketBook((ticket) => load().cancel(ticket));

/** An addon's error as the domain's; anything else is passed on. */
export function toDomainError(error: unknown): unknown {
  if (!(error instanceof Error) || !("nativeKind" in error)) return error;
  const kind = kinds[error.nativeKind as number] ?? "internal";
  const field = "field" in error && typeof error.field === "string" && error.field !== "" ? error.field : undefined;
  return new DomainError(kind, error.message, field === undefined ? {} : { details: { field } });
}

/** The addon decides: an unsigned 32-bit number that no setting has. */
const automatic = 0xffff_ffff;

/** store/store.h has the same numbers. */
const fsyncPolicies = { always: 0, interval: 1, never: 2 } as const;

export interface FsyncOptions {
  /**
   * When the log is synced: before a write is acknowledged, at least every `intervalMs` while writes come (a power failure loses at most
   * that much), or when the operating system likes.
   */
  readonly policy: keyof typeof fsyncPolicies;
  /** Of the policy "interval". */
  readonly intervalMs: number;
}

export interface NativeOptions {
  /** Threads that serve operations; 0: one per core. */
  readonly readThreads?: number;
  /** Threads that build graphs; 0: one per core. */
  readonly buildThreads?: number;
  readonly fsync?: FsyncOptions;
  /** Anonymous memory, in MiB, above which the process takes no more writes or builds; 0: no limit. */
  readonly memoryLimitMegabytes?: number;
  /** The same for each collection. */
  readonly collectionMemoryLimitMegabytes?: number;
  /** MiB that indexes which the engine makes for itself may take in all; 0: none are made. */
  readonly temporaryIndexMiB?: number;
  /** MiB that writes leave free on the disk; 0: none. Unless set 64, or a sixteenth of a small disk. */
  readonly diskReserveMegabytes?: number;
}

function openArguments(path: string, options: NativeOptions): OpenArguments {
  return [
    path,
    options.readThreads ?? 0,
    options.buildThreads ?? 0,
    limits.nativeQueueMax,
    limits.streamsMax,
    fsyncPolicies[options.fsync?.policy ?? "always"],
    options.fsync?.intervalMs ?? limits.fsyncIntervalMsDefault,
    limits.collectionsMax,
    options.memoryLimitMegabytes ?? 0,
    options.collectionMemoryLimitMegabytes ?? 0,
    options.temporaryIndexMiB ?? limits.temporaryIndexMiBDefault,
    options.diskReserveMegabytes ?? automatic,
  ];
}

export class NativeEngine {
  private readonly addon: Addon;
  private readonly handle: number;

  private constructor(addon: Addon, handle: number) {
    this.addon = addon;
    this.handle = handle;
  }

  /** Begins to open the folder on a native thread; open() then waits for it, and tells what went wrong. */
  static prepare(path: string, options: NativeOptions = {}): void {
    load().prepare(...openArguments(path, options));
  }

  /** Opens the folder and loads its collections; blocks meanwhile, so it belongs before the first call is served. */
  static open(path: string, options: NativeOptions = {}): NativeEngine {
    const addon = load();
    try {
      return new NativeEngine(addon, addon.open(...openArguments(path, options)));
    } catch (error) {
      throw toDomainError(error);
    }
  }

  /**
   * An engine whose files are all encrypted under a key of 32 bytes; opened off the event loop. What it holds is a copy of something: a power
   * failure may take what was not flushed, and all of a lazy one up to its first durable flush.
   */
  static async openSealed(
    path: string,
    key: Uint8Array,
    options: NativeOptions & { readonly lazy?: boolean } = {},
  ): Promise<NativeEngine> {
    const addon = load();
    const message = new NativeWriter()
      .text(path)
      .blob(key)
      .u32(options.readThreads ?? 0)
      .u32(options.buildThreads ?? 0)
      .u32(options.memoryLimitMegabytes ?? 0)
      .u8(options.lazy === true ? 1 : 0)
      .done();
    try {
      return new NativeEngine(addon, new NativeReader(await addon.openSealed(message)).u32());
    } catch (error) {
      throw toDomainError(error);
    } finally {
      message.fill(0);
    }
  }

  /** Of an engine that another thread of the process has open, and closes. */
  static ofHandle(handle: number): NativeEngine {
    return new NativeEngine(load(), handle);
  }

  /** Names this engine to the other threads of the process. */
  get number(): number {
    return this.handle;
  }

  /**
   * Runs one operation on a native thread. Neither the message nor its body, which some operations have, may be changed before
   * the promise settles. A read whose `cancellation` is aborted ends soon with the error `cancelled`, and frees its thread; a write goes on.
   */
  async call(
    operation: number,
    message: Uint8Array,
    body?: Uint8Array,
    cancellation?: Cancellation,
  ): Promise<ArrayBuffer> {
    const ticket = cancellation === undefined ? 0 : tickets.take(cancellation);
    try {
      if (ticket !== 0) return await this.addon.call(this.handle, operation, message, body, ticket);
      if (body !== undefined) return await this.addon.call(this.handle, operation, message, body);
      return await this.addon.call(this.handle, operation, message);
    } catch (error) {
      throw toDomainError(error);
    } finally {
      if (ticket !== 0) tickets.release(ticket);
    }
  }

  close(): Promise<void> {
    return this.addon.close(this.handle);
  }
}

/** Seals rows on a native thread; native/addon/seal/seal_batch.h has the layout. The message must not be changed before it settles. */
export async function nativeSealBatch(message: Uint8Array): Promise<ArrayBuffer> {
  try {
    return await load().sealBatch(message);
  } catch (error) {
    throw toDomainError(error);
  }
}

/** Seals the payloads of points as they came on a native thread; native/addon/engine/sealed_points.h has both layouts. Neither may be changed before it settles. */
export async function nativeSealPoints(message: Uint8Array, points: Uint8Array): Promise<ArrayBuffer> {
  try {
    return await load().sealPoints(message, points);
  } catch (error) {
    throw toDomainError(error);
  }
}

/** Reads a data folder that no server holds; src/native/data-check.ts has the message and the report. */
export async function nativeCheckData(message: Uint8Array): Promise<ArrayBuffer> {
  try {
    return await load().checkData(message);
  } catch (error) {
    throw toDomainError(error);
  }
}

/** BM25's vectors at once, for few texts; native/addon/text/bm25_batch.h has the message and the answer. */
export function nativeBm25(message: Uint8Array): ArrayBuffer {
  try {
    return load().bm25(message);
  } catch (error) {
    throw toDomainError(error);
  }
}

/** The same on a native thread. The message must not be changed before it settles. */
export async function nativeBm25Batch(message: Uint8Array): Promise<ArrayBuffer> {
  try {
    return await load().bm25Batch(message);
  } catch (error) {
    throw toDomainError(error);
  }
}

const renderedTo = new Uint32Array(1);

/**
 * The points that stand under `tag` in an answer, from `at` on, as the JSON of Qdrant's REST with commas between, and where it ends: before another tag, or after
 * more than `most` bytes of text. `scored`: they are qdrant.ScoredPoint, else qdrant.RetrievedPoint; `payload`: an empty payload is shown, too. Throws data_loss.
 */
export function nativeRenderPoints(
  message: Uint8Array,
  at: number,
  end: number,
  tag: number,
  form: { readonly scored: boolean; readonly payload: boolean },
  most: number,
): { readonly text: string; readonly next: number } {
  try {
    const flags = (form.scored ? 1 : 0) | (form.payload ? 2 : 0);
    const text = load().renderPoints(message, at, end, tag, flags, most, renderedTo);
    return { text, next: renderedTo[0] as number };
  } catch (error) {
    throw toDomainError(error);
  }
}

/** BLAKE3, 32 bytes, of some hundred megabytes a second and at once: for a thread that has nothing else to do. */
export function nativeBlake3(input: Uint8Array): Uint8Array {
  return new Uint8Array(load().blake3(input));
}

/**
 * AES-256-GCM over a file of S5 (12 bytes of nonce, ciphertext, tag of 16), in place and at once: for a thread that has nothing else to do. False when it
 * does not open under the key; then nothing of it is left.
 */
export function nativeOpenS5File(file: Uint8Array, key: Uint8Array): boolean {
  return load().openS5File(file, key);
}

/**
 * Takes the vectors out of a chunk's JSON, row by row into `vectors` (`rows` times `dimensions`), and gives the rest of the text with 0 in their places: JSON exactly if the
 * chunk is. Undefined when it is not what a chunk of these sizes looks like, or a number is not finite as a float32. At once: for a thread that has nothing else to do.
 */
export function nativeTakeS5Vectors(
  json: Uint8Array,
  dimensions: number,
  rows: number,
  vectors: Float32Array,
): Buffer | undefined {
  const bytes = new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength);
  const rest = load().takeS5Vectors(json, dimensions, rows, bytes);
  return rest === undefined ? undefined : Buffer.from(rest);
}

export interface S5ChunkRequest {
  readonly file: Uint8Array;
  readonly key: Uint8Array;
  /** BLAKE3 of the file as it should be; empty: not known. */
  readonly hash: Uint8Array;
  readonly chunkId: number;
  readonly dimensions: number;
  readonly rows: number;
  readonly keepIds: boolean;
}

/** Opens and reads a chunk on a native thread; native/addon/seal/s5_open.h has the answer's layout. What it is given must stay as it is until this settles. */
export function nativeOpenS5Chunk(request: S5ChunkRequest, vectors: Float32Array): Promise<ArrayBuffer> {
  const { file, key, hash, chunkId, dimensions, rows, keepIds } = request;
  const bytes = new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength);
  return load().openS5Chunk(file, key, hash, bytes, chunkId, dimensions, rows, keepIds);
}

/** The SIMD kernels that this machine runs: avx512vnni, avx2 or baseline. */
export function simdLevel(): string {
  return load().simdLevel();
}
