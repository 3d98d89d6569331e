export {
  encodeBulkAck,
  encodeBulkStarted,
  encodeFacetResponse,
  encodeGetResponse,
  encodeScoredBatchResponse,
  encodeScoredResponse,
  encodeScrollPage,
  encodeScrollResponse,
  encodeUpdateResponse,
  type Pauses,
  updateStatus,
  type WireAck,
  type WirePointStatus,
  type WireTable,
  type WireUpdateResult,
} from "./answers.ts";
export { defaultsFiller } from "./collection-defaults.ts";
export * from "./collections.ts";
export * from "./encoded-upsert.ts";
export * from "./envelope.ts";
export * from "./explain.ts";
export * from "./field-indexes.ts";
export * from "./filter.ts";
export * from "./groups.ts";
export * from "./json/index.ts";
export * from "./messages.ts";
export * from "./ordering.ts";
export * from "./payload.ts";
export * from "./point-id.ts";
export * from "./proto-bytes.ts";
export * from "./query.ts";
export * from "./reader.ts";
export * from "./retrieve.ts";
export { decodeS5Search, encodeS5SearchResponse } from "./s5-search.ts";
export * from "./sealing.ts";
export * from "./search.ts";
export * from "./selectors.ts";
export * from "./shards.ts";
export * from "./statistics.ts";
export * from "./timeouts.ts";
export * from "./transfer.ts";
export * from "./updates.ts";
export * from "./upsert.ts";
export { usageText, withUsage } from "./usage.ts";
export { mapCreateVectorName, mapDeleteVectorName } from "./vector-names.ts";
export { sparseSearchRefused } from "./vector-values.ts";
export * from "./vectors.ts";
