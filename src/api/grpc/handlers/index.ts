/** Every service of the gRPC door with its handlers; health and reflection are the server's own. */
import { Qdrant } from "../../../../gen/qdrant/qdrant_pb.js";
import type { CollectionDefaults, ShardSelection } from "../../../core/index.ts";
import { type SealedEngine, ShardKeys, shardEngine } from "../../../engine/index.ts";
import type { Inference } from "../../../inference/index.ts";
import { apiVersion, serverTitle } from "../../../ops/index.ts";
import {
  CollectionsService,
  DiagnosticsService,
  IngestService,
  PointsService,
  QueriesService,
  S5Service,
  type S5ServiceOptions,
  SealingService,
  SnapshotsService,
  type Streams,
} from "../../../services/index.ts";
import { bindService, type ServiceBinding, unary } from "../call.ts";
import { bindCollections } from "./collections.ts";
import { bindDiagnostics } from "./diagnostics.ts";
import { bindIngest } from "./ingest.ts";
import { bindPoints } from "./points.ts";
import { bindS5 } from "./s5.ts";
import { bindSealing } from "./sealing.ts";
import { withShards } from "./shards.ts";
import { bindSnapshotStreams } from "./snapshot-streams.ts";
import { bindSnapshots } from "./snapshots.ts";
import { withTimeouts } from "./timeouts.ts";

export interface ServiceTableOptions {
  /** The sealed engine: no door goes round it. */
  readonly engine: SealedEngine;
  /** Without it the S5 service answers UNIMPLEMENTED. */
  readonly s5?: S5ServiceOptions;
  readonly streams: Streams;
  /** Absent: the built-in models only. */
  readonly inference?: Inference;
  /** Of collections that say nothing else. */
  readonly collectionDefaults?: CollectionDefaults;
  /** Collections that there may be; absent: as many as the engine can have. */
  readonly collectionsMax?: number | undefined;
  /** Of reads that name no timeout of their own; 0: none. */
  readonly searchTimeoutSeconds?: number;
  /** Where the node is a cluster of its own and has shard keys; absent: it stands alone. */
  readonly cluster?:
    | {
        /** Of createSharedChanges. */
        readonly changes: SharedArrayBuffer;
        /** Below strict mode and quotas, for changes of the shards themselves. */
        readonly below: SealedEngine;
      }
    | undefined;
}

export function createServiceTables({
  engine: whole,
  s5,
  streams,
  inference,
  collectionDefaults,
  collectionsMax,
  searchTimeoutSeconds,
  cluster,
}: ServiceTableOptions): ServiceBinding[] {
  const engine = cluster === undefined ? whole : shardEngine(whole, cluster.changes);
  const points = (selection?: ShardSelection): ServiceBinding => {
    const view =
      cluster === undefined || selection === undefined ? engine : shardEngine(whole, cluster.changes, selection);
    return bindPoints(new PointsService(view, inference), new QueriesService(view, inference));
  };
  // A batch that runs in pieces, one for each view, has one timeout.
  const ofShards = cluster === undefined ? points() : withShards(points, engine);
  return [
    bindCollections(
      new CollectionsService(engine, collectionsMax),
      collectionDefaults,
      cluster === undefined ? undefined : new ShardKeys(whole, cluster.below),
    ),
    withTimeouts(ofShards, engine, searchTimeoutSeconds, cluster !== undefined),
    bindSnapshots(new SnapshotsService(engine)),
    bindService(Qdrant, {
      // Qdrant's clients read title and version and warn about any other.
      healthCheck: unary(async () => ({ title: serverTitle, version: apiVersion })),
    }),
    bindSealing(new SealingService(engine)),
    bindSnapshotStreams(new SnapshotsService(engine)),
    bindDiagnostics(new DiagnosticsService(engine)),
    bindIngest(new IngestService(engine, streams, inference)),
    bindS5(s5 === undefined ? undefined : new S5Service(s5)),
  ];
}
