/** The engine's figures for /metrics, read at each scrape. Only the collections that hold most memory have lines of their own. */
import { type CollectionInfo, limits } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { apiVersion, type LabelledValue, type Metrics } from "../../ops/index.ts";
import { excludedVectors, vectorsByName } from "./telemetry.ts";

type Figure = readonly [name: string, help: string, read: (info: CollectionInfo) => number];

const figures: readonly Figure[] = [
  ["sealpoint_collection_points", "Points of a collection.", (info) => info.pointsCount],
  ["sealpoint_collection_sealed_points", "Points whose payload is sealed.", (info) => info.sealedPointsCount],
  ["sealpoint_collection_indexed_vectors", "Vectors inside built graphs.", (info) => info.indexedVectorsCount],
  ["sealpoint_collection_segments", "Segments of a collection.", (info) => info.segmentsCount],
  [
    "sealpoint_collection_memory_bytes",
    "Anonymous memory of a collection: tail, graphs, ids and payload indexes.",
    ({ memory }) => memory.tail + memory.graph + memory.ids + memory.payloadIndexes,
  ],
  ["sealpoint_collection_tail_bytes", "Memory of vectors that are in no segment yet.", (info) => info.memory.tail],
  ["sealpoint_collection_id_bytes", "Memory of ids, versions and places.", (info) => info.memory.ids],
  ["sealpoint_collection_payload_index_bytes", "Memory of payload indexes.", (info) => info.memory.payloadIndexes],
  ["sealpoint_collection_mapped_bytes", "Segment files, mapped.", (info) => info.memory.mapped],
  ["sealpoint_collection_graph_bytes", "Memory of codes and graphs.", (info) => info.memory.graph],
];

/** Qdrant's own names, so that its dashboards work; the label is the collection's name. */
const qdrantFigures: readonly Figure[] = [
  ["collection_points", "Points of a collection.", (info) => info.pointsCount],
  [
    "collection_running_optimizations",
    "Whether graphs of a collection are being built.",
    ({ status }) => (status === "yellow" ? 1 : 0),
  ],
  ["collection_shard_transfer_incoming", "Of a single node: 0.", () => 0],
  ["collection_shard_transfer_outgoing", "Of a single node: 0.", () => 0],
  ["collection_update_queue_length", "Writes that wait for their turn after their answer: none do.", () => 0],
  [
    "collection_update_queue_deferred_points",
    "Points that vector searches pass over until they are in a graph (prevent_unoptimized).",
    (info) =>
      info.config.optimizers?.preventUnoptimized === true
        ? Object.values(excludedVectors(info)).reduce((sum, vectors) => sum + vectors, 0)
        : 0,
  ],
  ["snapshot_creation_running", "Snapshots of a collection that are being written.", (info) => info.snapshots.writing],
  [
    "snapshot_recovery_running",
    "Snapshots that are being restored in place of a collection.",
    (info) => info.snapshots.restoring,
  ],
];

/** One round over the collections serves all figures of a scrape. */
const roundMs = 500;

export function addEngineMetrics(metrics: Metrics, engine: Engine, cluster = false): void {
  let round: { readonly atMs: number; readonly infos: Promise<CollectionInfo[]> } | undefined;
  const infos = (): Promise<CollectionInfo[]> => {
    const now = performance.now();
    if (round === undefined || now - round.atMs > roundMs) round = { atMs: now, infos: readInfos(engine) };
    return round.infos;
  };
  for (const [name, help, read] of figures) {
    metrics.addGauges(name, help, async () =>
      (await infos()).map((info): LabelledValue => ({ labels: { collection: info.name }, value: read(info) })),
    );
  }
  for (const [name, help, read] of qdrantFigures) {
    metrics.addGauges(name, help, async () =>
      (await infos()).map((info): LabelledValue => ({ labels: { id: info.name }, value: read(info) })),
    );
  }
  metrics.addCounters("snapshot_created_total", "Snapshots of a collection written since the start.", async () =>
    (await infos()).map(({ name, snapshots }): LabelledValue => ({ labels: { id: name }, value: snapshots.written })),
  );
  const byVector =
    (named: (info: CollectionInfo) => Readonly<Record<string, number>>, collection: "id" | "collection") =>
    async (): Promise<LabelledValue[]> =>
      (await infos()).flatMap((info) =>
        Object.entries(named(info)).map(([vector, value]) => ({ labels: { [collection]: info.name, vector }, value })),
      );
  metrics.addGauges(
    "collection_vectors",
    "Vectors of a collection by name, were every point to have all of them.",
    byVector(vectorsByName, "collection"),
  );
  metrics.addGauges(
    "collection_indexed_only_excluded_points",
    "Vectors that searches with indexed_only leave out while a graph is built.",
    byVector(excludedVectors, "id"),
  );
  metrics.addGauges("app_info", "information about qdrant server", async () => [
    { labels: { name: "qdrant", version: apiVersion }, value: 1 },
  ]);
  metrics.addGauge("app_status_recovery_mode", "Whether the server runs in recovery mode: never.", () => 0);
  const replicas = async (): Promise<number> => Math.min(1, (await engine.listCollections()).length);
  metrics.addGauge("collection_active_replicas_min", "Of a single node: 1, when there is a collection.", replicas);
  metrics.addGauge("collection_active_replicas_max", "Of a single node: 1, when there is a collection.", replicas);
  metrics.addGauge("collection_dead_replicas", "Of a single node: 0.", () => 0);
  metrics.addGauge("cluster_enabled", "Whether the server is a cluster of its own.", () => (cluster ? 1 : 0));
  metrics.addGauge("collections_total", "Collections.", async () => (await engine.listCollections()).length);
  metrics.addGauge(
    "collections_vector_total",
    "Vectors of the collections that hold most memory, were every point to have all of its vectors.",
    async () =>
      (await infos()).reduce((sum, { pointsCount, config }) => {
        const names = Object.keys(config.vectors).length + Object.keys(config.sparseVectors ?? {}).length;
        return sum + pointsCount * names;
      }, 0),
  );
}

async function readInfos(engine: Engine): Promise<CollectionInfo[]> {
  const names = await engine.largestCollections(limits.metricsCollectionsMax);
  // A collection may be deleted between the list and the question.
  const infos = await Promise.all(names.map((name) => engine.collectionInfo(name).catch(() => undefined)));
  return infos.filter((info) => info !== undefined);
}
