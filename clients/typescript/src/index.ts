export type { BulkUpsertOptions } from "./bulk-upsert.ts";
export * from "./client.ts";
export { sealingConnectInterceptor, sealQdrantClient } from "./connect.ts";
export { sealingInterceptor } from "./interceptor.ts";
export {
  type CollectionPin,
  idFromMessage,
  idToMessage,
  payloadFromMessage,
  payloadToMessage,
  type SealingOptions,
} from "./messages.ts";
export { Double, fromPayload, type JsPayload, type JsValue, toPayload } from "./payload-js.ts";
export * from "./seal/index.ts";
export { createStub, type Stub } from "./stub.ts";
