import { setTimeout as sleep } from "node:timers/promises";
import { type Cancellation, DomainError, type PointId } from "../../core/index.ts";
import { type NativeEngine, NativeReader, NativeWriter, operations } from "../../native/index.ts";
import {
  giveBack,
  type IndexHit,
  type IndexNote,
  type IndexQuery,
  LoadError,
  type RecordBatch,
  type SessionIndex,
} from "../../s5/index.ts";
import { TimeSlices } from "../../seal/index.ts";
import type { Attached, AttachmentTable } from "../attached.ts";
import type { PointInput } from "../engine.ts";
import type { EmbeddedEngine } from "./embedded-engine.ts";
import { packIds, unpackIds } from "./packed-ids.ts";
import {
  type LastStates,
  type OpenFolders,
  removeSaved,
  type SavedIndex,
  savedFolder,
  writeSaved,
} from "./saved-index.ts";
import { toHits, wipe, withId } from "./sealed-records.ts";

export const collection = "index";
/** Points of one write: large enough to cost little each, small enough that a search waits for none of them for long. */
const writePoints = 1_024;
const buildPollMs = 25;
/** Each candidate's row is read and decrypted: on 100,000 sentence embeddings this many give a recall@10 of 0.98 and more. */
const efDefault = 64;
export interface SealedIndexesOptions {
  /** `{dataDir}/s5`: its content is this object's alone. */
  readonly folder: string;
  readonly attachments: AttachmentTable;
  /** Of the process, in MiB; 0: none. */
  readonly memoryLimitMegabytes?: number;
  /** Saved indexes on the disk; limits.s5SavedMax by default. */
  readonly savedMax?: number;
  /** Whether Qdrant's calls know a collection of this name. */
  readonly collectionExists: (name: string) => Promise<boolean>;
}

/** What all indexes of one folder know together. */
export interface Shared {
  readonly options: SealedIndexesOptions;
  readonly states: LastStates;
  readonly folders: OpenFolders;
  readonly trim: () => Promise<void>;
}

export class SealedIndex implements SessionIndex, Attached {
  readonly engine: EmbeddedEngine;
  readonly collection = collection;
  readonly dimensions: number;
  readonly #options: SealedIndexesOptions;
  readonly #states: LastStates;
  readonly #folders: OpenFolders;
  readonly #trim: () => Promise<void>;
  readonly #native: NativeEngine;
  readonly #folder: string;
  readonly #key: Uint8Array;
  readonly #chunks: Map<number, Uint8Array>;
  #staged: { readonly chunkId: number; readonly points: readonly PointInput[] }[] = [];
  #rows: number;
  #bytes = 0;
  #graphReady = false;
  #savedAs: string | undefined;
  #attachedAs: string | undefined;
  #closed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    { options, states, folders, trim }: Shared,
    native: NativeEngine,
    engine: EmbeddedEngine,
    saved: SavedIndex,
    savedAs: string | undefined,
  ) {
    this.#options = options;
    this.#states = states;
    this.#folders = folders;
    this.#trim = trim;
    this.#native = native;
    this.engine = engine;
    this.#folder = saved.folder;
    this.#key = saved.key;
    this.dimensions = saved.dimensions;
    this.#rows = saved.rows;
    this.#chunks = new Map(saved.chunks);
    this.#savedAs = savedAs;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    let ids = 0;
    for (const packed of this.#chunks.values()) ids += packed.length;
    return this.#bytes + ids;
  }

  get graphReady(): boolean {
    return this.#graphReady;
  }

  /** Number of the native engine, for the other threads of the process. */
  get handle(): number {
    return this.#native.number;
  }

  /** Counts anew what is there. */
  async look(): Promise<void> {
    const { memory, status, pointsCount } = await this.engine.collectionInfo(collection);
    this.#bytes = memory.tail + memory.ids + memory.graph + memory.payloadIndexes;
    this.#graphReady = status === "green";
    this.#rows = pointsCount;
  }

  add(batch: RecordBatch): Promise<void> {
    return this.#inTurn(async () => {
      const { chunkId } = batch;
      const points = await this.#take(batch);
      await this.#changing();
      for (let first = 0; first < points.length; first += writePoints) {
        const part = points.slice(first, first + writePoints);
        await this.engine.write(collection, { kind: "upsert", points: part }, { wait: true });
      }
      this.#keep(
        chunkId,
        points.map(({ id }) => id),
      );
      wipe(points);
      giveBack(batch.vectors);
      giveBack(batch.metadata);
      await this.look();
    });
  }

  stage(batch: RecordBatch): Promise<void> {
    return this.#inTurn(async () => {
      this.#staged.push({ chunkId: batch.chunkId, points: await this.#take(batch) });
    });
  }

  publish(droppedChunks: readonly number[]): Promise<void> {
    return this.#inTurn(async () => {
      const staged = this.#staged;
      // What is saved stays what is here.
      if (staged.length === 0 && droppedChunks.length === 0) return;
      this.#staged = [];
      const points = staged.flatMap((chunk) => chunk.points);
      const stays = new Set(points.map(({ id }) => id));
      const gone: PointId[] = [];
      const slices = new TimeSlices();
      const dropped = new Set(droppedChunks);
      for (const [chunk, packed] of staged.length === 0 ? [] : this.#chunks) {
        if (dropped.has(chunk)) continue;
        for (const id of unpackIds(packed)) {
          if (slices.due()) await slices.yield();
          if (!stays.has(id)) continue;
          for (const { points: refused } of staged) wipe(refused);
          throw new LoadError("VECTOR_COUNT_MISMATCH", `chunk ${chunk}: an id of it occurs in another chunk too`);
        }
      }
      for (const chunk of droppedChunks) {
        for (const id of unpackIds(this.#chunks.get(chunk) ?? new Uint8Array())) {
          if (slices.due()) await slices.yield();
          if (!stays.has(id)) gone.push(id);
        }
      }
      await this.#changing();
      await this.engine.replacePoints(collection, gone, points);
      for (const chunk of droppedChunks) this.#chunks.delete(chunk);
      for (const chunk of staged) {
        this.#keep(
          chunk.chunkId,
          chunk.points.map(({ id }) => id),
        );
        wipe(chunk.points);
      }
      await this.look();
    });
  }

  discard(): Promise<void> {
    return this.#inTurn(async () => {
      for (const { points } of this.#staged) wipe(points);
      this.#staged = [];
    });
  }

  async search(
    { vector, k, threshold, filter, exact, ef }: IndexQuery,
    cancellation?: Cancellation,
  ): Promise<IndexHit[]> {
    if (this.#closed) throw closed();
    const query = {
      using: "",
      vector,
      limit: k,
      offset: 0,
      payload: { kind: "all" },
      vectors: { kind: "none" },
      ...(threshold === undefined ? {} : { scoreThreshold: threshold }),
      ...(filter === undefined ? {} : { filter }),
      ...(exact === true ? { exact } : {}),
      hnswEf: ef ?? Math.max(k, efDefault),
    } as const;
    try {
      return await toHits(await this.engine.search(collection, query, cancellation));
    } catch (error) {
      throw this.#closed ? closed() : error;
    }
  }

  async buildGraph(signal?: AbortSignal): Promise<void> {
    // The build needs room, and what memtables hold is written some time anyhow. A fault shows in the build's own status or at the next save.
    if (!this.#closed) flush(this.#native).catch(() => undefined);
    for (;;) {
      signal?.throwIfAborted();
      if (this.#closed) throw closed();
      const { status, optimizerError } = await this.engine.collectionInfo(collection);
      if (optimizerError !== undefined) throw new Error(`the graph cannot be built: ${optimizerError}`);
      if (status === "green") break;
      await sleep(buildPollMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
    await this.look();
  }

  save(name: string, key: Uint8Array, note: IndexNote): Promise<void> {
    const owner = Uint8Array.from(key);
    return this.#inTurn(async () => {
      const sequence = await flush(this.#native, true);
      const { folder } = this.#options;
      const before = await this.#folders.inTurn(async () => {
        const replaced = await savedFolder(folder, name);
        const mark = await writeSaved(folder, name, owner, {
          folder: this.#folder,
          key: this.#key,
          dimensions: this.dimensions,
          rows: this.#rows,
          sequence,
          note,
          chunks: this.#chunks,
        });
        this.#savedAs = name;
        this.#states.note(name, mark);
        return replaced;
      });
      // Another index of the same database may be searched there still.
      if (before !== undefined && before !== this.#folder) await this.#folders.remove(before);
      await this.#trim();
    }).finally(() => owner.fill(0));
  }

  async attach(name: string): Promise<void> {
    if (this.#closed) throw closed();
    const { attachments, collectionExists } = this.#options;
    if (await collectionExists(name)) {
      throw new DomainError("already_exists", `Wrong input: Collection \`${name}\` already exists!`);
    }
    await this.detach(this.#attachedAs ?? "");
    attachments.set(name, this);
    this.#attachedAs = name;
  }

  async detach(name: string): Promise<boolean> {
    if (this.#attachedAs !== name) return false;
    this.#attachedAs = undefined;
    this.#options.attachments.delete(name);
    return true;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#folders.closing(this.#folder, this.#end());
  }

  async #end(): Promise<void> {
    await this.detach(this.#attachedAs ?? "");
    // A write that is under way is refused by the engine or done.
    await this.engine.close();
    await this.#last;
    for (const { points } of this.#staged) wipe(points);
    this.#staged = [];
    this.#key.fill(0);
    this.#chunks.clear();
    // Another index may have been saved under the same name since, or the name removed.
    await this.#folders.leave(this.#folder, this.#savedAs);
  }

  /** What is on disk would be older than its rows: until the next save it is loaded anew after a stop. */
  async #changing(): Promise<void> {
    const name = this.#savedAs;
    if (name === undefined) return;
    await this.#folders.inTurn(async () => {
      const { folder } = this.#options;
      // What another index saved under the name is as it was.
      if ((await savedFolder(folder, name)) === this.#folder) {
        await removeSaved(folder, name);
        this.#states.note(name, undefined);
      }
      this.#savedAs = undefined;
    });
  }

  #keep(chunkId: number, ids: readonly PointId[]): void {
    const packed = packIds(ids);
    const before = this.#chunks.get(chunkId);
    this.#chunks.set(chunkId, before === undefined ? packed : Buffer.concat([before, packed]));
  }

  /** The batch as points. */
  async #take(batch: RecordBatch): Promise<PointInput[]> {
    const { ids, pointIds, vectors, dimensions, metadata, metadataOffsets } = batch;
    const slices = new TimeSlices();
    const points: PointInput[] = [];
    for (let row = 0; row < pointIds.length; row++) {
      if (slices.due()) await slices.yield();
      const id = pointIds[row] as PointId;
      const own = metadata.subarray(metadataOffsets[row], metadataOffsets[row + 1]);
      points.push({
        id,
        payload: withId(own, id, ids[row] as string),
        vectors: [["", vectors.subarray(row * dimensions, (row + 1) * dimensions)]],
      });
    }
    return points;
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#last.then(() => {
      if (this.#closed) throw closed();
      return run();
    });
    this.#last = done.catch(() => undefined);
    return done.catch((error: unknown) => {
      throw this.#closed ? closed() : error;
    });
  }
}

/** All of it lies in tables from here on, which need no log; `durable`: and on the disk itself. The number of the store's last write. */
export async function flush(native: NativeEngine, durable = false): Promise<number> {
  const message = new NativeWriter().u8(durable ? 1 : 0).done();
  return new NativeReader(await native.call(operations.flush, message)).size();
}

function closed(): DomainError {
  return new DomainError("not_found", "Not found: the session index is closed");
}
