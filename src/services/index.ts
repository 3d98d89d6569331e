/** Use cases, one file for each proto service. No transport and no storage here. */
export { CollectionsService } from "./collections.ts";
export { DiagnosticsService } from "./diagnostics.ts";
export { type BulkAnswer, type BulkChunk, type BulkMessage, IngestService, type RefusedPoint } from "./ingest.ts";
export { type Found, type NearestRequest, PointsService, type UpdateOutcome } from "./points.ts";
export { QueriesService } from "./queries.ts";
export { collectionSinks, type S5LoadEvent, S5Service, type S5ServiceOptions } from "./s5.ts";
export { SealingService } from "./sealing.ts";
export { type RecoverOptions, SnapshotsService } from "./snapshots.ts";
export { RemoteStreams, StreamRegistry, type Streams, serveStreams } from "./streams.ts";
