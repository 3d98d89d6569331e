/**
 * S5: encrypted vector databases from decentralised storage. `S5Hub` loads them, keeps them for sessions, and searches those; `runLoad`
 * is one load: it downloads, opens and checks a database, and hands it to a sink.
 */
export type {
  CollectionLoadInfo,
  CollectionSink,
  LoadRequest,
  LoadStatus,
  LoadTarget,
  PortalHealth,
  S5Backend,
  SearchAnswer,
  SessionHit,
  SessionInfo,
  SessionQuery,
  UploadVector,
} from "./backend.ts";
export { makeContentId, matchesContentId, parseContentId } from "./cid.ts";
export { LoadError, type LoadErrorCode, loadErrorTraits } from "./errors.ts";
export { S5Figures } from "./figures.ts";
export { S5Hub, type S5HubOptions } from "./hub.ts";
export { type LoadOptions, type LoadResult, type LoadSink, runLoad, type SinkStart } from "./loader.ts";
export { type DatabaseManifest, parseManifestPath } from "./manifest.ts";
export { giveBack } from "./memory.ts";
export type { MetadataForm, RecordBatch } from "./opener-protocol.ts";
export { type Portal, type PortalOptions, startPortal } from "./portal.ts";
export { Portals } from "./portals.ts";
export { type LoadEvent, Progress } from "./progress.ts";
export { originalIdKey, toPointId } from "./record-ids.ts";
export { RemoteS5, serveS5 } from "./remote.ts";
export type { IndexHit, IndexNote, IndexQuery, SessionIndex, SessionIndexes } from "./session-index.ts";
