/** The parts of /telemetry that grow with its level, in Qdrant's shapes. */
import { readFileSync } from "node:fs";
import { availableParallelism, endianness, totalmem } from "node:os";
import type { CollectionInfo } from "../../core/index.ts";

/** A collection as GET shows it: what is looked into here. */
export interface ShownCollection {
  readonly optimizer_status: unknown;
  readonly config: { readonly params: object };
  readonly payload_schema: Readonly<Record<string, { readonly data_type: string; readonly points: number }>>;
}

/** From these levels on there is more. */
const levels = { whole: 2, shards: 3, segments: 4 } as const;

export function collectionTelemetry(info: CollectionInfo, shown: ShownCollection, level: number): object {
  if (level < levels.whole) {
    const { optimizer_status, config } = shown;
    return { vectors: vectorsOf(info), optimizers_status: optimizer_status, params: config.params };
  }
  const collection = { id: info.name, init_time_ms: 0, config: shown.config };
  return level < levels.shards
    ? collection
    : { ...collection, shards: [shardOf(info, shown, level)], transfers: [], resharding: [] };
}

export function snapshotTelemetry({ name, snapshots }: CollectionInfo): object {
  return {
    id: name,
    running_snapshots: snapshots.writing,
    running_snapshot_recovery: snapshots.restoring,
    total_snapshot_creations: snapshots.written,
  };
}

/** Were every point to have all of its vectors: no count of them is kept. */
function vectorsOf({ pointsCount, config }: CollectionInfo): number {
  return pointsCount * (Object.keys(config.vectors).length + Object.keys(config.sparseVectors ?? {}).length);
}

/** By name, as vectorsOf. */
export function vectorsByName({ pointsCount, config }: CollectionInfo): Record<string, number> {
  const names = [...Object.keys(config.vectors), ...Object.keys(config.sparseVectors ?? {})];
  return Object.fromEntries(names.map((name) => [name, pointsCount]));
}

/** What a search with `indexed_only` leaves out while a graph is built. Only a sum over all names is kept, so it is told where there is one. */
export function excludedVectors({
  pointsCount,
  indexedVectorsCount,
  status,
  config,
}: CollectionInfo): Record<string, number> {
  const names = Object.keys(config.vectors);
  const [name] = names;
  const waiting = pointsCount - indexedVectorsCount;
  return name === undefined || names.length > 1 || status === "green" || waiting <= 0 ? {} : { [name]: waiting };
}

function shardOf(info: CollectionInfo, shown: ShownCollection, level: number): object {
  const noDurations = { count: 0 };
  return {
    id: 0,
    key: null,
    local: {
      variant_name: "local",
      status: info.status,
      total_optimized_points: info.indexedVectorsCount,
      vectors_size_bytes: info.vectorBytes,
      payloads_size_bytes: info.payloadBytes,
      num_points: info.pointsCount,
      num_vectors: vectorsOf(info),
      num_vectors_by_name: vectorsByName(info),
      ...(level < levels.segments
        ? {}
        : { segments: [segmentOf(info, shown)], indexed_only_excluded_vectors: excludedVectors(info) }),
      optimizations: { status: shown.optimizer_status, optimizations: noDurations, log: [] },
      async_scorer: false,
      update_queue: { length: 0 },
    },
    remote: [],
    replicate_states: { "0": "Active" },
    partial_snapshot: { ongoing_create_snapshot_requests: 0, is_recovering: false, recovery_timestamp: 0 },
  };
}

/** All of a collection's segments as one: figures are kept for them together. */
function segmentOf(info: CollectionInfo, { payload_schema }: ShownCollection): object {
  const { indexedVectorsCount, pointsCount, memory, vectorBytes, payloadBytes, sealingId, config } = info;
  const perVector = { num_vectors: pointsCount, num_indexed_vectors: 0, num_deleted_vectors: 0 };
  const [dense, sparse] = [Object.entries(config.vectors), Object.keys(config.sparseVectors ?? {})];
  return {
    info: {
      uuid: sealingId.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
      segment_type: indexedVectorsCount > 0 ? "indexed" : "plain",
      num_vectors: vectorsOf(info),
      num_points: pointsCount,
      num_indexed_vectors: indexedVectorsCount,
      num_deleted_vectors: 0,
      vectors_size_bytes: vectorBytes,
      payloads_size_bytes: payloadBytes,
      ram_usage_bytes: memory.tail + memory.ids + memory.payloadIndexes + memory.graph,
      disk_usage_bytes: memory.mapped + payloadBytes,
      is_appendable: true,
      index_schema: payload_schema,
      vector_data: Object.fromEntries([...dense.map(([name]) => name), ...sparse].map((name) => [name, perVector])),
    },
    config: {
      vector_data: Object.fromEntries(
        dense.map(([name, { size, distance }]) => [
          name,
          {
            size,
            distance: `${distance.slice(0, 1).toUpperCase()}${distance.slice(1)}`,
            storage_type: "ChunkedMmap",
            index: { type: "plain", options: {} },
            quantization_config: null,
          },
        ]),
      ),
      payload_storage_type: { type: "mmap" },
    },
    vector_index_searches: [],
    payload_field_indices: Object.entries(payload_schema).map(([field_name, { data_type, points }]) => ({
      field_name,
      index_type: data_type,
      points_values_count: points,
      points_count: points,
      histogram_bucket_size: null,
    })),
  };
}

/** Bytes of this process; the runtime knows nothing that it keeps for itself. */
export function memoryTelemetry(): object {
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
  return {
    active_bytes: heapTotal + external,
    allocated_bytes: heapUsed + external,
    metadata_bytes: 0,
    resident_bytes: rss,
    retained_bytes: 0,
  };
}

const kibi = 1_024;

export function systemTelemetry(): object {
  return {
    is_docker: false,
    container_runtime: "none",
    cores: availableParallelism(),
    ram_size: Math.floor(totalmem() / kibi),
    cpu_flags: cpuFlags(),
    cpu_endian: endianness() === "LE" ? "little" : "big",
  };
}

/** Those that decide about speed, as Qdrant picks them. */
function cpuFlags(): string {
  const told = ["sse", "sse2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512_vpopcntdq", "neon"];
  try {
    const [, line = ""] = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8")) ?? [];
    const flags = new Set(line.split(" "));
    return told.filter((flag) => flags.has(flag)).join(",");
  } catch {
    return "";
  }
}
