/**
 * The contract of an index that sessions share: what the S5 room asks of the engine. Vectors are compared by cosine. All work is off
 * the event loop; a call that is under way when the index is closed is rejected with not_found.
 */
import type { Cancellation, Filter } from "../core/index.ts";
import type { RecordBatch } from "./opener-protocol.ts";

export interface IndexQuery {
  readonly vector: Float32Array;
  readonly k: number;
  /** No score below it. */
  readonly threshold?: number;
  /** Over the metadata as a payload, and over the ids as point ids (record-ids.ts has the rule). */
  readonly filter?: Filter;
  /** Compares all rows, though a graph is there. */
  readonly exact?: boolean;
  /** Candidates of the graph's walk. */
  readonly ef?: number;
}

export interface IndexHit {
  /** As the database names it. */
  readonly id: string;
  readonly score: number;
  /** Entries as the store keeps a payload; its `_id` is there only where the database's own metadata has one. */
  readonly metadata: Uint8Array;
}

/** What lies on disk of an index, beside it: told by `open` and written by `save`. At most limits.s5ManifestBytesMax bytes. */
export type IndexNote = Uint8Array;

export interface SessionIndex {
  readonly dimensions: number;
  /** Rows that a search finds. */
  readonly rows: number;
  /** Memory that it takes, its own count; rescoring rows and metadata on disk do not count. */
  readonly bytes: number;
  /** A search walks a graph that holds every row, or the rows are so few that none is built. */
  readonly graphReady: boolean;

  /** Rows that searches find as soon as this is done. The batch's buffers are the index's own from here on, and wiped. */
  add(batch: RecordBatch): Promise<void>;

  /** The same for a refresh: held, and found by no search before `publish`. */
  stage(batch: RecordBatch): Promise<void>;
  /**
   * In one step: the rows of these chunks go, those that were staged come. A search sees all of it or nothing. Rejected with VECTOR_COUNT_MISMATCH, and nothing
   * changed, when a chunk that stays has an id that was staged.
   */
  publish(droppedChunks: readonly number[]): Promise<void>;
  /** Forgets what was staged. */
  discard(): Promise<void>;

  /** Best first, at most k; equal scores in the order of adding. Ends with `cancelled` soon after nobody waits for it any more. */
  search(query: IndexQuery, cancellation?: Cancellation): Promise<IndexHit[]>;

  /**
   * Builds the graph over what is there, beside searches, which stay exact until it is ready. Resolves at once when there is nothing to build. `signal` ends
   * the build with the signal's reason and leaves the index as it was.
   */
  buildGraph(signal?: AbortSignal): Promise<void>;

  /**
   * Writes the index to disk under `name`, encrypted under keys derived from `key` (32 bytes, copied when the call begins), and replaces what was there; a stop
   * in the middle leaves the old or the new one. From then on rows and metadata may be read from these files.
   */
  save(name: string, key: Uint8Array, note: IndexNote): Promise<void>;

  /** Lets Qdrant's calls read it as a collection of this name; already_exists when the name is taken. `close` takes it away too. */
  attach(name: string): Promise<void>;
  /** False when it was not attached under this name. */
  detach(name: string): Promise<boolean>;

  /** Overwrites keys, vectors and metadata in memory, and forgets them. What is saved stays. */
  close(): Promise<void>;
}

/** What the engine gives the S5 room. */
export interface SessionIndexes {
  create(options: {
    readonly dimensions: number;
    /** Rows to expect, by the manifest; a hint. */
    readonly rows: number;
  }): Promise<SessionIndex>;
  /**
   * Opens what was saved under `name`. Undefined when there is nothing, when it does not open under `key` (which tells a stranger nothing), or when it is damaged:
   * then the files go as well.
   */
  open(name: string, key: Uint8Array): Promise<{ readonly index: SessionIndex; readonly note: IndexNote } | undefined>;
  /** False when there was none. */
  remove(name: string): Promise<boolean>;
}
