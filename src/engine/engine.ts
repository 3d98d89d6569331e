/**
 * The engine's contract: what a collection can do. engine/embedded implements it over the native addon, engine/cluster
 * (a later step) over an existing Qdrant cluster, and engine/sealed.ts decorates either. No transport and no protobuf here.
 *
 * All methods throw DomainError. Messages read as Qdrant's do, such as "Not found: Collection `x` doesn't exist!".
 */
import type {
  Cancellation,
  CollectionConfig,
  CollectionInfo,
  CollectionMemoryParts,
  EncodedPayload,
  EncodedPoints,
  Explanation,
  FacetRequest,
  FieldIndexType,
  Filter,
  GroupKey,
  GroupsRequest,
  OrderBy,
  OrderValue,
  PayloadSelector,
  PointId,
  Quantization,
  QuantizationSearch,
  QueryRequest,
  SealingPolicy,
  ShardKey,
  ShardSelection,
  SparseVectorParams,
  StrictMode,
  VectorParams,
  VectorsSelector,
  VectorValue,
} from "../core/index.ts";

/** Vectors by name; the unnamed vector's name is "". Values are float32. */
export type PointVectors = readonly (readonly [name: string, vector: VectorValue])[];

export interface PointInput {
  readonly id: PointId;
  readonly payload: EncodedPayload;
  readonly vectors: PointVectors;
  /** Recipient's public key, in any format that seal/keys.ts reads. Wins over the request's. */
  readonly publicKey?: string;
}

export type PointsSelector =
  | { readonly kind: "ids"; readonly ids: readonly PointId[] }
  /** `plainOnly`: points with envelopes never match. */
  | { readonly kind: "filter"; readonly filter: Filter; readonly plainOnly?: boolean };

/** A point's newest envelope with the clear fields beside it. */
export interface SealedPatch {
  readonly id: PointId;
  /** Binary, without a length before it. */
  readonly envelope: Uint8Array;
  /** A null removes its key. */
  readonly clear: EncodedPayload;
}

export interface SealingRequest {
  /** Recipient's public key for everything in the request that carries none of its own. */
  readonly publicKey?: string;
  /** One ephemeral key per point instead of one per batch: hides which points came together. */
  readonly freshEphemeral?: boolean;
}

/** An upsert whose points stay as they came. */
export interface EncodedUpsert extends EncodedPoints, SealingRequest {
  /** Made by the sealing decorator only, in place of the points' payloads: as the addon's sealPoints answers. */
  readonly sealedPayloads?: Uint8Array;
}

/** Which points of a write are written, judged by what is stored before it; the others are passed over in silence. */
export interface WriteCondition {
  /** Whether points that are not there, and such as are, are written at all. */
  readonly mode: "upsert" | "insert_only" | "update_only";
  /** For points that are there. */
  readonly filter?: Filter;
  /** Points with envelopes never match. */
  readonly plainOnly?: boolean;
}

/** What shard keys add to a write. */
export interface ShardedWrite {
  /** Of an operation in a batch: the shards that it names, in place of the request's. */
  readonly shards?: ShardSelection | undefined;
  /** Made by the view through shards only: of points that are chosen by id, those that do not match are missing. */
  readonly within?: Filter;
}

/**
 * Partial updates by ids of which some are missing write the others; with `wait` they then throw not_found, naming the first.
 */
export type WriteOperation = ShardedWrite & PlainWrite;

type PlainWrite =
  | ({
      readonly kind: "upsert";
      readonly points: readonly PointInput[];
      readonly condition?: WriteCondition;
    } & SealingRequest)
  | { readonly kind: "delete"; readonly selector: PointsSelector }
  | {
      readonly kind: "update_vectors";
      readonly points: readonly { id: PointId; vectors: PointVectors }[];
      readonly condition?: WriteCondition;
    }
  | { readonly kind: "delete_vectors"; readonly selector: PointsSelector; readonly names: readonly string[] }
  | ({
      readonly kind: "set_payload";
      readonly selector: PointsSelector;
      readonly payload: EncodedPayload;
      /** JSON path under which the payload is merged; the root when absent. */
      readonly key?: string;
    } & SealingRequest)
  | ({
      readonly kind: "overwrite_payload";
      readonly selector: PointsSelector;
      readonly payload: EncodedPayload;
    } & SealingRequest)
  | { readonly kind: "delete_payload"; readonly selector: PointsSelector; readonly keys: readonly string[] }
  | { readonly kind: "clear_payload"; readonly selector: PointsSelector }
  /**
   * What the sealed decorator makes of set_payload (appends the envelope, merges the clear fields, refuses with precondition
   * beyond limits.envelopesPerPointMax) and of overwrite_payload (`replace`: the envelope and the clear fields become all).
   */
  | { readonly kind: "seal_payload"; readonly points: readonly SealedPatch[]; readonly replace: boolean };

export interface WriteOptions {
  /** False: answer once the write is ordered and in the log; true: once it is durable and visible. */
  readonly wait: boolean;
  /** With `wait`: done without the disk's word for it, because the caller's next write, which it waits for, gets that for both. */
  readonly confirmedByNext?: boolean;
  /** The rest of a write that was admitted: neither strict mode nor a quota stops it half way. */
  readonly continues?: boolean;
  /**
   * Refused with `aborted` when the collection's epoch has moved on: the policy that admitted the write is stale. No two
   * collections of a data folder ever share an epoch, or an alias that moved would let a write through on another's policy.
   */
  readonly admittedEpoch?: number;
  /**
   * Position of an ingest stream, committed in the same batch as the points. A sequence at or below the stored one is
   * answered with applied: false and changes nothing.
   */
  readonly stream?: { readonly id: string; readonly sequence: bigint };
  /** For writes that must keep an order among themselves, though each may take its own time to be sealed. */
  readonly turn?: WriteTurn;
  readonly signal?: AbortSignal;
}

export interface WriteTurn {
  /** The write waits for it before it takes its place in the collection's order of writes. */
  readonly comes: Promise<unknown>;
  /** Called once it has its place; never called for a write that is refused. */
  taken(): void;
}

export interface WriteResult {
  /** Grows by one with each write of a collection. */
  readonly operationId: bigint;
  /** False only for a repeated stream chunk. */
  readonly applied: boolean;
  /** Of writeEncoded: the payloads were sealed, so what they came in is plaintext. */
  readonly sealed?: boolean;
}

export interface NearestQuery {
  /** Vector name; "" is the unnamed one. */
  readonly using: string;
  /** The query vector, or the id of a stored point whose vector is the query (that point is left out of the answer). */
  readonly vector: Float32Array | { readonly pointId: PointId };
  readonly filter?: Filter;
  /** Points with envelopes never match. */
  readonly plainOnly?: boolean;
  readonly limit: number;
  readonly offset: number;
  readonly scoreThreshold?: number;
  readonly hnswEf?: number;
  readonly exact?: boolean;
  readonly indexedOnly?: boolean;
  readonly quantization?: QuantizationSearch;
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
}

/** Points of an answer, by column. Reading a row copies nothing; the table stays valid as long as it is referenced. */
export interface PointTable {
  readonly length: number;
  /** The rows as the messages of this form (wire/answers.ts), one after the other; undefined when they must be made from the columns. */
  wire?(form: number): Uint8Array | undefined;
  id(row: number): PointId;
  /** NaN where the answer has no scores. */
  score(row: number): number;
  version(row: number): bigint;
  /** Present when the selector asked for payloads; envelopes still in stored form. */
  payload(row: number): EncodedPayload | undefined;
  /** Present when the selector asked for vectors. */
  vectors(row: number): PointVectors | undefined;
  /** Present when the answer is ordered by a payload key. */
  orderValue?(row: number): OrderValue | undefined;
  /** Present where callers divide the collection by keys. */
  shardKey?(row: number): ShardKey | undefined;
}

/** Values of a key with the number of points that hold them: most points first, equal counts by value. */
export interface FacetCounts {
  readonly length: number;
  /** They as qdrant.FacetHit messages under field 1, one after the other. */
  readonly wire: Uint8Array;
}

export interface PointsOfGroup {
  readonly key: GroupKey;
  readonly points: PointTable;
}

export interface ScrollRequest {
  readonly filter?: Filter;
  /** Points with envelopes never match. */
  readonly plainOnly?: boolean;
  /** First id to return; from the start when absent. */
  readonly offset?: PointId;
  /** Start after `offset` instead of at it. */
  readonly afterOffset?: boolean;
  /** By the values of a key with a range index, a point once for each; without `offset`, and the answer has no next one. */
  readonly orderBy?: OrderBy;
  readonly limit: number;
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
}

export interface CountOptions {
  /** Points with envelopes never match. */
  readonly plainOnly?: boolean;
  readonly signal?: Cancellation | undefined;
}

/** A consistent view of a collection at the moment it was opened. Must be closed. */
export interface ScrollCursor {
  /** The next page; length 0 at the end. */
  next(limit: number): Promise<PointTable>;
  close(): Promise<void>;
}

export interface ExplainRequest {
  readonly filter?: Filter;
  /** Points with envelopes never match. */
  readonly plainOnly?: boolean;
  /** The search to explain, filter aside; absent: the filter alone. */
  readonly query?: Omit<NearestQuery, "filter" | "plainOnly" | "payload" | "vectors">;
}

export type AliasAction =
  | { readonly kind: "create"; readonly alias: string; readonly collection: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "delete"; readonly alias: string };

/** What an update may change of a vector; quantization undefined as a value removes it. */
export type VectorChange = Partial<Pick<VectorParams, "hnsw" | "onDisk" | "memory">> & {
  readonly quantization?: Quantization | undefined;
};

export interface CollectionChange {
  readonly vectors?: Readonly<Record<string, VectorChange>>;
  readonly sparseVectors?: Readonly<Record<string, Partial<SparseVectorParams>>>;
  /** Undefined as a value removes it. */
  readonly quantization?: Quantization | undefined;
  readonly hnsw?: Partial<CollectionConfig["hnsw"]>;
  readonly indexingThreshold?: number;
  /** What is given replaces, undefined as a value removes, the rest stays. */
  readonly optimizers?: CollectionConfig["optimizers"];
  /** What is given replaces, the rest stays. */
  readonly strictMode?: StrictMode;
  readonly echo?: string;
}

/** A vector that a collection gets later: what defines its space, and no more. */
export type VectorDefinition =
  | { readonly kind: "dense"; readonly params: VectorParams }
  | { readonly kind: "sparse"; readonly params: SparseVectorParams };

export interface SnapshotInfo {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
  readonly bytes: number;
  /** SHA-256 in hexadecimal; absent when the file beside the snapshot that says it is. */
  readonly checksum?: string;
  /** Of an incremental snapshot: the SHA-256 of the one that it is based on. */
  readonly base?: string;
}

/** A file that came from elsewhere, for restore(). */
export interface ReceivedSnapshot {
  readonly path: string;
  discard(): Promise<void>;
}

/**
 * Copies on disk: of a collection (an alias is followed), or of the whole storage where `collection` is undefined. With `shard` those that
 * were made of that one, which are kept apart; a collection has one shard, so they hold as much.
 */
export interface Snapshots {
  /**
   * As the collection was at one moment; writes go on. Synced before it is listed; a failure leaves nothing. `base`: the name of an earlier
   * snapshot of the same collection, of which the new one repeats no payload and no vector.
   */
  create(collection: string | undefined, base?: string, shard?: number): Promise<SnapshotInfo>;
  /** Oldest first. */
  list(collection: string | undefined, shard?: number): Promise<SnapshotInfo[]>;
  /** Throws not_found, and precondition for one that others are based on. */
  delete(collection: string | undefined, snapshot: string, shard?: number): Promise<void>;
  /** Throws not_found. `read` gives the bytes from `from` on; what was opened once can be read while it is deleted. */
  open(
    collection: string | undefined,
    snapshot: string,
    shard?: number,
  ): Promise<{ readonly info: SnapshotInfo; readonly path: string; read(from: number): AsyncIterable<Uint8Array> }>;
  /** Whether the caller may restore at all: asked before anything is fetched or looked for. Throws forbidden. */
  admitRestore(): Promise<void>;
  /** Whether a path, its links followed, lies in the folder of snapshots. */
  holds(path: string): Promise<boolean>;
  /** Stores bytes that arrive as a file of its own, bounded by limits.snapshotBytesMax. */
  receive(parts: AsyncIterable<Uint8Array>): Promise<ReceivedSnapshot>;
  /**
   * Puts a snapshot in place of the collection, or makes it; all collections of a snapshot of the whole storage. Nothing changes unless
   * every file is sound from end to end and the last has the SHA-256. Gives the names of what was restored. `paths`: the files, each but the
   * first based on the one before it; bases that are missing before the first are looked for among the collection's own.
   */
  restore(collection: string | undefined, paths: readonly string[], sha256?: string): Promise<string[]>;
}

export interface RateAnswer {
  readonly granted: boolean;
  /** Operations that are left. */
  readonly available: number;
  /** Until there are enough; 0: there never will be. */
  readonly retryAfterSeconds: number;
}

export interface Engine {
  /** Refuses an existing name with already_exists. `sealing` is in force from the first write. */
  createCollection(name: string, config: CollectionConfig, sealing: SealingPolicy): Promise<void>;
  updateCollection(name: string, change: CollectionChange): Promise<void>;
  /**
   * Adds a vector name; points have no such vector until they are given one. The same name with the same definition is left as it is,
   * with another one it is refused. `echo` makes the configuration's new echo from its present one.
   */
  createVectorName(
    name: string,
    vector: string,
    definition: VectorDefinition,
    echo: (present: string) => string,
  ): Promise<WriteResult>;
  /** Deletes a vector name with all its vectors; one that is not there is no error. */
  deleteVectorName(name: string, vector: string, echo: (present: string) => string): Promise<WriteResult>;
  /** By its own name only, an alias is not followed. False when there was none. */
  deleteCollection(name: string): Promise<boolean>;
  listCollections(): Promise<string[]>;
  /** Names of those that hold most memory, most first. */
  largestCollections(count: number): Promise<string[]>;
  /** Accepts an alias, as every method below does. */
  collectionExists(name: string): Promise<boolean>;
  collectionInfo(name: string): Promise<CollectionInfo>;
  /** Looks at every page of the collection's mapped files. */
  collectionMemory(name: string): Promise<CollectionMemoryParts>;
  /** Whether the caller may manage at all, for what there is nothing to do of. Throws forbidden. */
  admitManage(): Promise<void>;
  /** All or none. */
  updateAliases(actions: readonly AliasAction[]): Promise<void>;
  /** [alias, collection] pairs. */
  listAliases(collection?: string): Promise<[string, string][]>;

  setSealingPolicy(name: string, policy: SealingPolicy): Promise<void>;
  /** Points whose payload holds a key that is neither an envelope nor a clear field under the present policy. */
  countPlain(name: string): Promise<{ plain: number; total: number }>;

  write(name: string, operation: WriteOperation, options: WriteOptions): Promise<WriteResult>;
  /**
   * The fast way for an upsert that names no key. Undefined when the points have to be read, judged and given to write(): they bring
   * keys or envelopes, the policy seals, the encoding is unusual, or something is wrong with them. Nothing is written then.
   */
  writeEncoded(name: string, points: EncodedUpsert, options: WriteOptions): Promise<WriteResult | undefined>;
  /** Noted durably, then filled beside the writes. `wait` (the default): answered once filters use it. */
  createFieldIndex(
    name: string,
    key: string,
    type: FieldIndexType,
    params: string,
    wait?: boolean,
  ): Promise<WriteResult>;
  deleteFieldIndex(name: string, key: string): Promise<WriteResult>;
  /** Takes `cost` of the operations that a minute may have, for all threads of the process. */
  spend(name: string, kind: "read" | "write", perMinute: number, cost: number): Promise<RateAnswer>;
  /** Last applied sequence of an ingest stream; 0 when unknown. */
  streamPosition(name: string, streamId: string): Promise<bigint>;

  /** Reads whose `signal` is aborted end soon, with `cancelled`, and free their threads. */
  get(
    name: string,
    ids: readonly PointId[],
    payload: PayloadSelector,
    vectors: VectorsSelector,
    signal?: Cancellation,
  ): Promise<PointTable>;
  search(name: string, query: NearestQuery, signal?: Cancellation): Promise<PointTable>;
  searchBatch(name: string, queries: readonly NearestQuery[], signal?: Cancellation): Promise<PointTable[]>;
  /** One snapshot, all stages of the tree in one native operation. */
  query(name: string, request: QueryRequest, signal?: Cancellation): Promise<PointTable>;
  queryBatch(name: string, requests: readonly QueryRequest[], signal?: Cancellation): Promise<PointTable[]>;
  /** Best group first; each with its points, best first. `lookup` is the caller's. */
  queryGroups(name: string, request: GroupsRequest, signal?: Cancellation): Promise<readonly PointsOfGroup[]>;
  /** Counted in the index of the key: keyword, integer (with lookup), uuid or bool. */
  facet(name: string, request: FacetRequest, signal?: Cancellation): Promise<FacetCounts>;
  count(name: string, filter: Filter | undefined, exact: boolean, options?: CountOptions): Promise<number>;
  /** How a filter alone, or a search, is answered: it is run for that. */
  explain(name: string, request: ExplainRequest): Promise<Explanation>;
  scroll(
    name: string,
    request: ScrollRequest,
    signal?: Cancellation,
  ): Promise<{ points: PointTable; nextOffset?: PointId }>;
  openScroll(name: string, request: Omit<ScrollRequest, "limit" | "orderBy">): Promise<ScrollCursor>;

  readonly snapshots: Snapshots;

  /** Waits for what is in flight, syncs and releases the data folder. */
  close(): Promise<void>;
}

export interface AdmittedRequest {
  /** That the caller asked for. */
  readonly timeoutSeconds?: number;
  readonly writes?: readonly AdmittedWrite[];
  /** Searches of a batch that is run in pieces. */
  readonly searches?: number;
}

/** As much of a WriteOperation as strict mode looks at; its vectors may still be made of what was given. */
export interface AdmittedWrite {
  readonly kind: WriteOperation["kind"];
  readonly selector?: PointsSelector;
  readonly points?: readonly object[];
  readonly names?: readonly string[];
  readonly shards?: ShardSelection | undefined;
}

/** The contract with what the sealed decorator and strict mode add. */
export interface SealedEngine extends Engine {
  /** Throws what strict mode has against a request as a whole, before any part of it is run. */
  admit(name: string, request: AdmittedRequest): Promise<void>;
  /** Sealed points that a filter passes over under the present policy: 0 when it asks for clear fields only. */
  sealedSkipped(name: string, filter: Filter | undefined): Promise<number>;
}
