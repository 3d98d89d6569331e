/**
 * S5: encrypted vector databases from decentralised storage. `loadDatabase` downloads, opens and checks one, and hands it to
 * a sink: a collection's (the service makes it over the engine) or a session index's (`S5Sessions.open`).
 */
export { LoadError, type LoadErrorCode, loadErrorTraits } from "./errors.ts";
export { type LoadEvent, type LoadOptions, type LoadSink, loadDatabase, type SinkStart } from "./loader.ts";
export type { MetadataForm, RecordBatch } from "./opener-protocol.ts";
export { type Portal, type PortalOptions, startPortal } from "./portal.ts";
export { defaultPortalUrl, parsePortalUrls } from "./portals.ts";
export { originalIdKey, toPointId } from "./record-ids.ts";
export { RemoteSessions, serveSessions } from "./remote-sessions.ts";
export type { IndexHit, IndexNote, IndexQuery, SessionIndex, SessionIndexes } from "./session-index.ts";
export {
  type CreateRows,
  type RowHit,
  type RowIndex,
  S5Sessions,
  type S5SessionsOptions,
  type SessionHit,
  type Sessions,
} from "./sessions.ts";
