/** The contract of session-index.ts over rows in native memory: exact, without a graph, and with ids and metadata on the JavaScript side. */
import { DomainError } from "../core/index.ts";
import type { RecordBatch } from "./opener-protocol.ts";
import type { IndexHit, IndexQuery, SessionIndex, SessionIndexes } from "./session-index.ts";

export interface RowHit {
  /** Rows count up from 0 in the order of add. */
  readonly row: number;
  readonly score: number;
}

/** Vectors in native memory, searched by cosine, exactly and off the event loop. */
export interface Rows {
  /** `vectors` holds whole rows. */
  add(vectors: Float32Array): Promise<unknown>;
  /** Best first, at most k, no score below `threshold`. */
  search(vector: Float32Array, k: number, threshold?: number): Promise<RowHit[]>;
  /** Overwrites and forgets the vectors. */
  close(): Promise<void>;
}

export type CreateRows = (dimensions: number) => Promise<Rows>;

type State = "live" | "staged" | "gone";

interface Batch {
  readonly chunkId: number;
  readonly firstRow: number;
  readonly ids: string[];
  readonly metadata: Uint8Array;
  readonly offsets: Uint32Array;
  state: State;
}

class ExactIndex implements SessionIndex {
  readonly dimensions: number;
  readonly graphReady = true;
  readonly #rows: Rows;
  readonly #batches: Batch[] = [];
  #added = 0;
  #live = 0;
  #metadataBytes = 0;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(dimensions: number, rows: Rows) {
    this.dimensions = dimensions;
    this.#rows = rows;
  }

  get rows(): number {
    return this.#live;
  }

  get bytes(): number {
    return this.#added * (this.dimensions * 4 + 64) + this.#metadataBytes;
  }

  add(batch: RecordBatch): Promise<void> {
    return this.#append(batch, "live");
  }

  stage(batch: RecordBatch): Promise<void> {
    return this.#append(batch, "staged");
  }

  async publish(droppedChunks: readonly number[]): Promise<void> {
    const dropped = new Set(droppedChunks);
    for (const batch of this.#batches) {
      if (batch.state === "staged") this.#turn(batch, "live");
      else if (dropped.has(batch.chunkId)) this.#turn(batch, "gone");
    }
  }

  async discard(): Promise<void> {
    for (const batch of this.#batches) if (batch.state === "staged") this.#turn(batch, "gone");
  }

  async search({ vector, k, threshold, filter }: IndexQuery): Promise<IndexHit[]> {
    if (this.#closed) throw closed();
    if (filter !== undefined) throw new DomainError("unimplemented", "a session's index without filters");
    // Rows that are hidden may take places, so as many more are asked for.
    const hits = await this.#rows.search(vector, Math.min(k + this.#added - this.#live, this.#added), threshold);
    if (this.#closed) throw closed();
    const found: IndexHit[] = [];
    for (const { row, score } of hits) {
      const batch = this.#batchOf(row);
      if (batch?.state !== "live") continue;
      const place = row - batch.firstRow;
      const metadata = batch.metadata.slice(batch.offsets[place], batch.offsets[place + 1]);
      found.push({ id: batch.ids[place] as string, score, metadata });
      if (found.length === k) break;
    }
    return found;
  }

  async buildGraph(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
  }

  async save(): Promise<void> {
    throw new DomainError("unimplemented", "this index cannot be kept on disk");
  }

  async attach(): Promise<void> {
    throw new DomainError("unimplemented", "this index cannot be attached as a collection");
  }

  async detach(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { metadata, ids } of this.#batches) {
      metadata.fill(0);
      ids.length = 0;
    }
    this.#batches.length = 0;
    // It fails only when the engine is closed, and then the memory is gone already.
    await this.#rows.close().catch(() => undefined);
  }

  /** One after the other, so that the native order of rows is the one here. */
  #append(batch: RecordBatch, state: State): Promise<void> {
    const added = this.#last.then(async () => {
      if (this.#closed) throw closed();
      await this.#rows.add(batch.vectors);
      batch.vectors.fill(0);
      if (this.#closed) throw closed();
      const { chunkId, metadata, metadataOffsets: offsets, ids } = batch;
      this.#batches.push({ chunkId, firstRow: this.#added, ids: [...ids], metadata, offsets, state });
      this.#added += ids.length;
      this.#metadataBytes += metadata.length;
      if (state === "live") this.#live += ids.length;
    });
    this.#last = added.catch(() => undefined);
    return added;
  }

  #turn(batch: Batch, state: State): void {
    if (batch.state === "live") this.#live -= batch.ids.length;
    if (state === "live") this.#live += batch.ids.length;
    if (state === "gone") batch.metadata.fill(0);
    batch.state = state;
  }

  #batchOf(row: number): Batch | undefined {
    let low = 0;
    let high = this.#batches.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#batches[middle] as Batch).firstRow <= row) low = middle;
      else high = middle - 1;
    }
    return this.#batches[low];
  }
}

function closed(): DomainError {
  return new DomainError("not_found", "Not found: the session index is closed");
}

export function exactIndexes(createRows: CreateRows): SessionIndexes {
  return {
    create: async ({ dimensions }) => new ExactIndex(dimensions, await createRows(dimensions)),
    open: async () => undefined,
    remove: async () => false,
  };
}
