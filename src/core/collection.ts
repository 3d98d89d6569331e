import type { StrictMode } from "./strict.ts";

/** Distances of qdrant.Distance. Scores: similarity for cosine and dot (greater is nearer), distance for the others. */
export type Distance = "cosine" | "dot" | "euclid" | "manhattan";

/** What a vector's values are stored as. */
export type Datatype = "float32" | "float16" | "uint8";

/** Qdrant's placements: only on disk, on disk and read ahead, or in memory. */
export type MemoryPlacement = "cold" | "cached" | "pinned";

/** The codes that searches walk over. */
export type Quantization = (
  | {
      readonly kind: "scalar";
      /** Share of the values that the codes' range holds, 0.5 to 1. */
      readonly quantile?: number;
    }
  | {
      readonly kind: "binary";
      readonly encoding: "one_bit" | "one_and_half_bits" | "two_bits";
      /** Of each of the query's weights. */
      readonly queryBits: 1 | 4 | 8;
    }
  | { readonly kind: "product"; readonly valuesPerByte: 1 | 2 | 4 | 8 | 16 }
) & {
  /** Absent: where the vectors are. */
  readonly memory?: MemoryPlacement;
};

/** How a search uses the codes of a collection with a quantization of its choice. */
export interface QuantizationSearch {
  /** Search the vectors themselves. */
  readonly ignore?: boolean;
  /** False: scores are what the codes say. */
  readonly rescore?: boolean;
  /** Candidates per answer that are rescored, 1 or more. */
  readonly oversampling?: number;
}

export interface HnswConfig {
  readonly m: number;
  readonly efConstruct: number;
  /** Kilobytes of vectors below which a search scans instead of walking the graph. */
  readonly fullScanThreshold: number;
  readonly memory?: MemoryPlacement;
  /** Links of graphs over the points of one payload value; 0 for none, absent for tenants' values with `m`. */
  readonly payloadM?: number;
  /** Threads of one build; 0 or absent for all. */
  readonly maxIndexingThreads?: number;
}

/** When segments are built and built anew. What is absent has Qdrant's default. */
export interface OptimizersConfig {
  /** Part of a segment's vectors that may be dead, 0 to 1. */
  readonly deletedThreshold?: number;
  /** Segments with fewer vectors may have any number of dead ones. */
  readonly vacuumMinVectorNumber?: number;
  /** At most so many segments, as far as `maxSegmentSize` allows. */
  readonly defaultSegmentNumber?: number;
  /** Kilobytes of vectors in one segment. */
  readonly maxSegmentSize?: number;
  /** 0: nothing is built. */
  readonly maxOptimizationThreads?: number | undefined;
  /** Searches pass over what is unindexed beyond the indexing threshold. */
  readonly preventUnoptimized?: boolean;
}

export interface VectorParams {
  /** Dimensions, 1 to limits.vectorDimensionsMax. */
  readonly size: number;
  readonly distance: Distance;
  /** A point has several vectors, compared by MaxSim. */
  readonly multivector?: boolean;
  readonly hnsw?: Partial<HnswConfig>;
  readonly onDisk?: boolean;
  readonly datatype?: Datatype;
  /** Instead of the collection's. */
  readonly quantization?: Quantization;
  readonly memory?: MemoryPlacement;
}

/** How a collection seals. Kept natively beside the collection, under an epoch that every commit checks. */
export interface SealingPolicy {
  readonly mode: "off" | "optional" | "required";
  /** SPKI DER of each recipient's uncompressed P-256 key, base64. The first one receives what carries no key of its own. */
  readonly recipients: readonly string[];
  readonly algorithm: "HPKE-P256-SHA256-A256GCM";
  /** Top-level payload keys that stay readable. */
  readonly clearFields: readonly string[];
  /** Pad sealed plaintexts to Padme buckets. */
  readonly padding: boolean;
}

export const sealingOff: SealingPolicy = {
  mode: "off",
  recipients: [],
  algorithm: "HPKE-P256-SHA256-A256GCM",
  clearFields: [],
  padding: false,
};

/** Of a collection made without a policy: a plain Qdrant client works unchanged, and what brings a key is sealed. */
export const sealingDefault: SealingPolicy = { ...sealingOff, mode: "optional" };

export interface SparseVectorParams {
  /** "idf": queries are weighted by how rare their dimensions are in the collection. */
  readonly modifier: "none" | "idf";
}

export interface CollectionConfig {
  /** By vector name; the unnamed vector's name is "". */
  readonly vectors: Readonly<Record<string, VectorParams>>;
  /** By vector name; none of them is a name in `vectors`. */
  readonly sparseVectors?: Readonly<Record<string, SparseVectorParams>>;
  readonly hnsw: HnswConfig;
  /** Kilobytes of unindexed vectors after which a graph is built. */
  readonly indexingThreshold: number;
  readonly optimizers?: OptimizersConfig;
  readonly onDiskPayload: boolean;
  /** Made for shard keys of the callers' choice, of which a single node has none: nothing can be written to it. */
  readonly customShards?: true;
  readonly strictMode?: StrictMode;
  readonly quantization?: Quantization;
  /**
   * What else the caller configured (optimizers_config, wal_config, strict mode, metadata ...), as JSON of the
   * protobuf message CreateCollection: kept and echoed by GetCollectionInfo.
   */
  readonly echo: string;
}

/**
 * What a new collection has unless its creation says otherwise. Keys are paths of fields in qdrant.CreateCollection, such as
 * `hnsw_config.m`; under `vectors.` stand those of each dense vector. Enums have their protobuf names.
 */
export type CollectionDefaults = Readonly<Record<string, number | boolean | string>>;

export type FieldIndexType = "keyword" | "integer" | "float" | "bool" | "datetime" | "uuid" | "geo" | "text";

export interface FieldIndex {
  /** JSON path, such as `a.b` or `a[].b`. */
  readonly key: string;
  readonly type: FieldIndexType;
  /** Protobuf JSON of qdrant.PayloadIndexParams, echoed by GetCollectionInfo; "" when none was given. */
  readonly params: string;
  /** Points that have at least one indexed value. */
  readonly points: number;
}

export interface CollectionInfo {
  readonly name: string;
  readonly config: CollectionConfig;
  readonly sealing: SealingPolicy;
  /** 16 random bytes made with the collection, hex. */
  readonly sealingId: string;
  /** Sealing ids whose envelopes this collection accepts, its own first, hex. */
  readonly acceptedSealingIds: readonly string[];
  /** Grows with every change of policy, configuration or index; commits check it. */
  readonly epoch: number;
  readonly status: "green" | "yellow" | "grey" | "red";
  readonly optimizerError?: string;
  readonly pointsCount: number;
  /** Vectors inside built graphs. */
  readonly indexedVectorsCount: number;
  readonly segmentsCount: number;
  readonly sealedPointsCount: number;
  readonly fieldIndexes: readonly FieldIndex[];
  readonly memory: CollectionMemory;
  /** Of the vectors that points have. */
  readonly vectorBytes: number;
  /** Of payloads in the store, about: what was overwritten counts until it is compacted. */
  readonly payloadBytes: number;
  /** Snapshots of this name: those that are being written or restored now, and those written since the start. */
  readonly snapshots: { readonly writing: number; readonly restoring: number; readonly written: number };
}

/** Where the bytes of a collection lie, by vector name and payload index. */
export interface CollectionMemoryParts {
  readonly vectors: readonly {
    readonly name: string;
    readonly sparse: boolean;
    /** Vectors that are in no segment yet. */
    readonly tail: number;
    /** Codes and graphs of the segments; the whole index of sparse vectors. */
    readonly graph: number;
    /** Segment files, mapped; `resident` is what of them is in memory now. */
    readonly mapped: number;
    readonly resident: number;
  }[];
  readonly payloadIndexes: readonly { readonly key: string; readonly bytes: number }[];
}

/** What a collection holds, in bytes. All but `mapped` is anonymous memory and counts against the limits. */
export interface CollectionMemory {
  /** Vectors that are in no segment yet. */
  readonly tail: number;
  /** Ids, versions and places of the points. */
  readonly ids: number;
  readonly payloadIndexes: number;
  /** Codes and graphs of the segments. */
  readonly graph: number;
  /** Segment files, mapped: the kernel may take these pages back. */
  readonly mapped: number;
}
