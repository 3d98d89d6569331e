/** Collections: CreateCollection and UpdateCollection to core types, and CollectionInfo back, with Qdrant's defaults shown. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, fromJsonString, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import {
  type ChangeAliases,
  type CollectionInfo as CollectionInfoMessage,
  CollectionInfoSchema,
  CollectionStatus,
  type CreateCollection,
  CreateCollectionSchema,
  Distance as DistanceEnum,
  type HnswConfigDiff,
  Memory,
  Modifier,
  MultiVectorComparator,
  type QuantizationConfig,
  type QuantizationConfigDiff,
  ShardingMethod,
  type SparseVectorParams as SparseVectorParamsMessage,
  type UpdateCollection,
  UpdateCollectionSchema,
  type VectorParamsDiff,
  type VectorParams as VectorParamsMessage,
  type VectorsConfigSchema,
} from "../../gen/qdrant/collections_pb.js";
import {
  badInput,
  type CollectionConfig,
  type CollectionInfo,
  type Distance,
  type HnswConfig,
  limits,
  type OptimizersConfig,
  type Quantization,
  type SealingPolicy,
  type SparseVectorParams,
  type StrictMode,
  sealingDefault,
  type VectorParams,
} from "../core/index.ts";
import { toPayloadSchemaInfo } from "./field-indexes.ts";
import { checkRange, mapOptimizers } from "./optimizers.ts";
import { mapDatatype, mapMemory, mapQuantization, validationError } from "./quantization.ts";
import { mapSealingPolicy, toSealingState } from "./sealing.ts";
import { toCount } from "./selectors.ts";
import { mapStrictMode } from "./strict.ts";
import { checkNewNames } from "./vector-names.ts";

/** Qdrant 1.19's, which its clients expect to read back. */
export const collectionDefaults = {
  hnsw: { m: 16, efConstruct: 100, fullScanThreshold: 10_000 },
  indexingThreshold: 10_000,
  onDiskPayload: true,
} as const;

const distances: Readonly<Record<number, Distance>> = {
  [DistanceEnum.Cosine]: "cosine",
  [DistanceEnum.Dot]: "dot",
  [DistanceEnum.Euclid]: "euclid",
  [DistanceEnum.Manhattan]: "manhattan",
};

const distanceNumbers: Readonly<Record<Distance, DistanceEnum>> = {
  cosine: DistanceEnum.Cosine,
  dot: DistanceEnum.Dot,
  euclid: DistanceEnum.Euclid,
  manhattan: DistanceEnum.Manhattan,
};

const hnswLinksMax = 10_000;

function mapHnsw(diff: HnswConfigDiff | undefined, field: string): Partial<HnswConfig> {
  if (diff === undefined) return {};
  const hnsw: { -readonly [Key in keyof HnswConfig]?: HnswConfig[Key] } = {};
  const m = checkRange(diff.m, 0, hnswLinksMax, `${field}.m`);
  const efConstruct = checkRange(diff.efConstruct, 4, limits.efMax, `${field}.ef_construct`);
  const fullScanThreshold = checkRange(diff.fullScanThreshold, 10, undefined, `${field}.full_scan_threshold`);
  if (m !== undefined) hnsw.m = m;
  if (efConstruct !== undefined) hnsw.efConstruct = efConstruct;
  if (fullScanThreshold !== undefined) hnsw.fullScanThreshold = fullScanThreshold;
  const memory = mapMemory(diff.memory, { onDisk: diff.onDisk }, `${field}.memory`);
  if (memory !== undefined) hnsw.memory = memory;
  const payloadM = checkRange(diff.payloadM, 0, hnswLinksMax, `${field}.payload_m`);
  if (payloadM !== undefined) hnsw.payloadM = payloadM;
  if (diff.maxIndexingThreads !== undefined) hnsw.maxIndexingThreads = toCount(diff.maxIndexingThreads);
  return hnsw;
}

type VectorChange = Partial<Pick<VectorParams, "hnsw" | "onDisk" | "memory">> & {
  readonly quantization?: Quantization | undefined;
};

export function mapVectorParams(message: VectorParamsMessage, field: string): VectorParams {
  const size = checkRange(message.size, 1, limits.vectorDimensionsMax, `${field}.size`) as number;
  const distance = distances[message.distance];
  if (distance === undefined) {
    throw badInput(`Wrong input: ${field}.distance: unknown distance ${message.distance}`, `${field}.distance`);
  }
  const datatype = mapDatatype(message.datatype, `${field}.datatype`);
  const comparator = message.multivectorConfig?.comparator;
  if (comparator !== undefined && comparator !== MultiVectorComparator.MaxSim) {
    const place = `${field}.multivector_config.comparator`;
    throw badInput(`${place}: unknown comparator ${comparator}`, place);
  }
  const multivector = comparator === undefined ? {} : { multivector: true };
  return {
    size,
    distance,
    ...multivector,
    ...(datatype === undefined ? {} : { datatype }),
    ...mapVectorChange(message, field),
  };
}

/** What a vector is made with and an update may change. */
function mapVectorChange(message: VectorParamsMessage | VectorParamsDiff, field: string): VectorChange {
  const { hnswConfig, onDisk, quantizationConfig } = message;
  refusePinned(message.memory, `${field}.memory`, "vectors");
  const memory = mapMemory(message.memory, { onDisk }, `${field}.memory`);
  return {
    ...(hnswConfig === undefined ? {} : { hnsw: mapHnsw(hnswConfig, `${field}.hnsw_config`) }),
    ...(onDisk === undefined ? {} : { onDisk }),
    ...(memory === undefined ? {} : { memory }),
    ...(quantizationConfig === undefined
      ? {}
      : { quantization: mapQuantization(quantizationConfig, `${field}.quantization_config`) }),
  };
}

/** Vectors and payloads have no form that lies in the heap: Qdrant refuses what it could not keep. */
function refusePinned(memory: Memory | undefined, field: string, what: string): void {
  if (memory === Memory.Pinned) {
    throw validationError(field, `value "pinned" invalid, ${what} are stored in files: must be cold or cached`);
  }
}

function mapVectorsConfig(message: CreateCollection): Record<string, VectorParams> {
  const config = message.vectorsConfig?.config;
  const vectors: Record<string, VectorParams> = {};
  if (config?.case === "params") {
    vectors[""] = mapVectorParams(config.value, "vectors_config.params");
  } else if (config?.case === "paramsMap") {
    const entries = Object.entries(config.value.map);
    if (entries.length > limits.vectorNamesMax) {
      throw badInput(`vectors_config: more than ${limits.vectorNamesMax} vectors`, "vectors_config");
    }
    for (const [name, params] of entries) {
      const field = `vectors_config.params_map.${name.slice(0, 64)}`;
      Object.defineProperty(vectors, name, { value: mapVectorParams(params, field), enumerable: true });
    }
  }
  return vectors;
}

/** Disabled, or undefined, as a value: an update removes what there was. */
function mapCollectionQuantization(message: QuantizationConfig | QuantizationConfigDiff | undefined): {
  quantization?: Quantization | undefined;
} {
  return message === undefined ? {} : { quantization: mapQuantization(message, "quantization_config") };
}

function mapSparseVectors(message: CreateCollection, dense: object): Record<string, SparseVectorParams> {
  const sparse: Record<string, SparseVectorParams> = {};
  const entries = Object.entries(message.sparseVectorsConfig?.map ?? {});
  if (entries.length + Object.keys(dense).length > limits.vectorNamesMax) {
    throw badInput(`sparse_vectors_config: more than ${limits.vectorNamesMax} vectors`, "sparse_vectors_config");
  }
  checkNewNames(
    Object.keys(dense),
    entries.map(([name]) => name),
  );
  for (const [name, { modifier }] of entries) {
    const value: SparseVectorParams = { modifier: modifier === Modifier.Idf ? "idf" : "none" };
    Object.defineProperty(sparse, name, { value, enumerable: true });
  }
  return sparse;
}

export interface CreateCollectionRequest {
  readonly name: string;
  readonly config: CollectionConfig;
  readonly sealing: SealingPolicy;
}

export function mapCreateCollection(message: CreateCollection): CreateCollectionRequest {
  for (const [field, value] of [
    ["shard_number", message.shardNumber],
    ["replication_factor", message.replicationFactor],
    ["write_consistency_factor", message.writeConsistencyFactor],
  ] as const) {
    if (value === 0) throw validationError(field, "value 0 invalid, must be 1 or larger");
  }
  checkRange(message.walConfig?.walCapacityMb, 1, undefined, "wal_config.wal_capacity_mb");
  const threshold = message.optimizersConfig?.indexingThreshold;
  const { sealing, collectionName: name } = message;
  refusePinned(message.payload?.memory, "payload.memory", "payloads");
  const vectors = mapVectorsConfig(message);
  const sparseVectors = mapSparseVectors(message, vectors);
  return {
    name,
    sealing: sealing === undefined ? sealingDefault : mapSealingPolicy(sealing, "sealing"),
    config: {
      vectors,
      ...(Object.keys(sparseVectors).length === 0 ? {} : { sparseVectors }),
      hnsw: { ...collectionDefaults.hnsw, ...mapHnsw(message.hnswConfig, "hnsw_config") },
      indexingThreshold: threshold === undefined ? collectionDefaults.indexingThreshold : toCount(threshold),
      onDiskPayload: message.onDiskPayload ?? collectionDefaults.onDiskPayload,
      ...mapOptimizers(message.optimizersConfig, "optimizers_config"),
      ...mapCollectionQuantization(message.quantizationConfig),
      ...strictModeOf(message),
      ...(message.shardingMethod === ShardingMethod.Custom ? { customShards: true as const } : {}),
      echo: encodeEcho(message),
    },
  };
}

function encodeEcho(message: CreateCollection): string {
  const json = toJson(CreateCollectionSchema, message) as JsonObject;
  // The name may change by an alias; the policy lives beside the configuration under an epoch of its own.
  delete json.collectionName;
  delete json.sealing;
  delete json.timeout;
  return JSON.stringify(json);
}

export interface UpdateCollectionRequest {
  readonly name: string;
  /** Without the echo: `mergeEcho` makes it from the collection's present one. */
  readonly change: {
    readonly vectors?: Readonly<Record<string, VectorChange>>;
    readonly quantization?: Quantization | undefined;
    readonly hnsw?: Partial<HnswConfig>;
    readonly indexingThreshold?: number;
    readonly optimizers?: OptimizersConfig;
    readonly strictMode?: StrictMode;
  };
}

export function mapUpdateCollection(message: UpdateCollection): UpdateCollectionRequest {
  const vectors: Record<string, VectorChange> = {};
  const sparse = Object.entries(message.sparseVectorsConfig?.map ?? {});
  const config = message.vectorsConfig?.config;
  const diffs =
    config?.case === "params"
      ? [["", config.value] as const]
      : config?.case === "paramsMap"
        ? Object.entries(config.value.map)
        : [];
  for (const [name, diff] of diffs) {
    const field = name === "" ? "vectors_config.params" : `vectors_config.params_map.${name.slice(0, 64)}`;
    Object.defineProperty(vectors, name, { value: mapVectorChange(diff, field), enumerable: true });
  }
  const threshold = message.optimizersConfig?.indexingThreshold;
  refusePinned(message.params?.payload?.memory, "params.payload.memory", "payloads");
  if (message.params?.replicationFactor === 0) {
    throw validationError("params.replication_factor", "value 0 invalid, must be 1 or larger");
  }
  return {
    name: message.collectionName,
    change: {
      ...(diffs.length === 0 ? {} : { vectors }),
      ...(sparse.length === 0 ? {} : { sparseVectors: Object.fromEntries(sparse.map(mapSparseChange)) }),
      ...mapCollectionQuantization(message.quantizationConfig),
      ...(message.hnswConfig === undefined ? {} : { hnsw: mapHnsw(message.hnswConfig, "hnsw_config") }),
      ...(threshold === undefined ? {} : { indexingThreshold: toCount(threshold) }),
      ...mapOptimizers(message.optimizersConfig, "optimizers_config"),
      ...strictModeOf(message),
    },
  };
}

/** Of the index only the modifier does anything here; the rest is kept and shown. */
function mapSparseChange([name, { modifier }]: readonly [string, SparseVectorParamsMessage]): [
  string,
  Partial<SparseVectorParams>,
] {
  return [name, modifier === undefined ? {} : { modifier: modifier === Modifier.Idf ? "idf" : "none" }];
}

function strictModeOf({ strictModeConfig }: CreateCollection | UpdateCollection): { readonly strictMode?: StrictMode } {
  const strictMode = mapStrictMode(strictModeConfig, "strict_mode_config");
  return strictMode === undefined ? {} : { strictMode };
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Messages that are a oneof: merged, they would hold two of its cases and never be read again. */
const replacedWhole = new Set(["quantizationConfig", "maxOptimizationThreads"]);

function mergeJson(base: JsonValue | undefined, diff: JsonValue): JsonValue {
  if (!isObject(base) || !isObject(diff)) return diff;
  const merged: JsonObject = { ...base };
  for (const [key, value] of Object.entries(diff)) {
    merged[key] = replacedWhole.has(key) ? value : mergeJson(merged[key], value);
    if (key === "quantizationConfig" && isObject(value) && "disabled" in value) delete merged[key];
  }
  return merged;
}

/** Either form of VectorsConfig by name. */
export function vectorsByName(config: JsonValue | undefined): JsonObject {
  if (!isObject(config)) return {};
  if (isObject(config.params)) return { "": config.params };
  return isObject(config.paramsMap) && isObject(config.paramsMap.map) ? config.paramsMap.map : {};
}

/** Clients name the unnamed vector in an update's map; the collection keeps the form it was made with. */
function mergeVectors(base: JsonValue | undefined, diff: JsonValue): JsonObject {
  const merged = mergeJson(vectorsByName(base), vectorsByName(diff)) as JsonObject;
  return isObject(base) && isObject(base.params) ? { params: merged[""] ?? {} } : { paramsMap: { map: merged } };
}

/** Key by key, and a null removes its key, as Qdrant merges maps. */
function mergeMetadata(base: JsonValue | undefined, diff: JsonValue): JsonObject {
  const merged: JsonObject = { ...(isObject(base) ? base : {}) };
  for (const [key, value] of Object.entries(isObject(diff) ? diff : {})) {
    if (isObject(value) && "nullValue" in value) delete merged[key];
    else merged[key] = value;
  }
  return merged;
}

/** What only an update can say. */
const fanOut = ["readFanOutFactor", "readFanOutDelayMs"];

function fanOutOf(echo: string): { readFanOutFactor?: number; readFanOutDelayMs?: bigint } {
  const { readFanOutFactor: factor, readFanOutDelayMs: delay } = JSON.parse(echo === "" ? "{}" : echo) as JsonObject;
  return {
    ...(typeof factor === "number" ? { readFanOutFactor: factor } : {}),
    ...(typeof delay === "string" ? { readFanOutDelayMs: BigInt(delay) } : {}),
  };
}

/** The echo of a collection after an update of it. */
export function mergeEcho(echo: string, message: UpdateCollection): string {
  const diff = toJson(UpdateCollectionSchema, message) as JsonObject;
  const { params } = diff;
  for (const key of ["collectionName", "timeout", "params"]) delete diff[key];
  const base = JSON.parse(echo === "" ? "{}" : echo) as JsonObject;
  const { vectorsConfig, metadata } = diff;
  delete diff.vectorsConfig;
  delete diff.metadata;
  const merged = mergeJson(base, diff) as JsonObject;
  if (vectorsConfig !== undefined) merged.vectorsConfig = mergeVectors(base.vectorsConfig, vectorsConfig);
  if (metadata !== undefined) merged.metadata = mergeMetadata(base.metadata, metadata);
  if (isObject(params)) {
    for (const key of ["replicationFactor", "writeConsistencyFactor", "onDiskPayload", "payload", ...fanOut]) {
      const value = params[key];
      if (value !== undefined) merged[key] = mergeJson(merged[key], value);
    }
  }
  return JSON.stringify(merged);
}

const statuses: Readonly<Record<CollectionInfo["status"], CollectionStatus>> = {
  green: CollectionStatus.Green,
  yellow: CollectionStatus.Yellow,
  grey: CollectionStatus.Grey,
  red: CollectionStatus.Red,
};

function describeVectors(config: CollectionConfig): MessageInitShape<typeof VectorsConfigSchema> | undefined {
  const toParams = (params: VectorParams) => ({
    size: BigInt(params.size),
    distance: distanceNumbers[params.distance],
    onDisk: params.onDisk,
    ...(params.multivector === true ? { multivectorConfig: { comparator: MultiVectorComparator.MaxSim } } : {}),
  });
  const entries = Object.entries(config.vectors);
  const [first] = entries;
  if (first === undefined) return undefined;
  if (entries.length === 1 && first[0] === "") return { config: { case: "params", value: toParams(first[1]) } };
  const map = Object.fromEntries(entries.map(([name, params]) => [name, toParams(params)]));
  return { config: { case: "paramsMap", value: { map } } };
}

export function toCollectionInfo(info: CollectionInfo): CollectionInfoMessage {
  const { config } = info;
  const echo = fromJsonString(CreateCollectionSchema, config.echo === "" ? "{}" : config.echo, {
    ignoreUnknownFields: true,
  });
  return create(CollectionInfoSchema, {
    status: statuses[info.status],
    optimizerStatus: { ok: info.optimizerError === undefined, error: info.optimizerError ?? "" },
    segmentsCount: BigInt(info.segmentsCount),
    pointsCount: BigInt(info.pointsCount),
    indexedVectorsCount: BigInt(info.indexedVectorsCount),
    updateQueue: { length: 0n },
    payloadSchema: Object.fromEntries(info.fieldIndexes.map((index) => [index.key, toPayloadSchemaInfo(index)])),
    sealing: toSealingState(info),
    memory: {
      tailBytes: BigInt(info.memory.tail),
      idBytes: BigInt(info.memory.ids),
      payloadIndexBytes: BigInt(info.memory.payloadIndexes),
      mappedBytes: BigInt(info.memory.mapped),
      graphBytes: BigInt(info.memory.graph),
    },
    config: {
      params: {
        shardNumber: echo.shardNumber ?? 1,
        onDiskPayload: echo.onDiskPayload ?? config.onDiskPayload,
        vectorsConfig: echo.vectorsConfig ?? describeVectors(config),
        sparseVectorsConfig: echo.sparseVectorsConfig,
        replicationFactor: echo.replicationFactor ?? 1,
        writeConsistencyFactor: echo.writeConsistencyFactor ?? 1,
        shardingMethod: echo.shardingMethod,
        payload: echo.payload,
        ...fanOutOf(config.echo),
      },
      hnswConfig: {
        maxIndexingThreads: 0n,
        onDisk: false,
        ...echo.hnswConfig,
        m: BigInt(config.hnsw.m),
        efConstruct: BigInt(config.hnsw.efConstruct),
        fullScanThreshold: BigInt(config.hnsw.fullScanThreshold),
      },
      optimizerConfig: {
        deletedThreshold: 0.2,
        vacuumMinVectorNumber: 1_000n,
        defaultSegmentNumber: 0n,
        flushIntervalSec: 5n,
        ...echo.optimizersConfig,
        indexingThreshold: BigInt(config.indexingThreshold),
      },
      walConfig: { walCapacityMb: 32n, walSegmentsAhead: 0n, walRetainClosed: 1n, ...echo.walConfig },
      quantizationConfig: echo.quantizationConfig,
      strictModeConfig: echo.strictModeConfig ?? { enabled: false },
      metadata: echo.metadata,
    },
  });
}

/** The same shape as the engine's AliasAction. */
export type WireAliasAction =
  | { readonly kind: "create"; readonly alias: string; readonly collection: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "delete"; readonly alias: string };

export function mapAliasActions(message: ChangeAliases): WireAliasAction[] {
  return message.actions.map(({ action }, index) => {
    switch (action.case) {
      case "createAlias":
        return { kind: "create", alias: action.value.aliasName, collection: action.value.collectionName };
      case "renameAlias":
        return { kind: "rename", from: action.value.oldAliasName, to: action.value.newAliasName };
      case "deleteAlias":
        return { kind: "delete", alias: action.value.aliasName };
      default:
        throw badInput("Malformed AliasOperation type", `actions[${index}]`);
    }
  });
}
