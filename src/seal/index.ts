export { transcodePayload } from "./cbor.ts";
export { decodeSealedMap } from "./cbor-decode.ts";
export { validateEnvelopes } from "./envelope.ts";
export { ExporterContext, setupRecipient } from "./hpke.ts";
export {
  generateKeyPair,
  isCurvePoint,
  type PrivateKey,
  type PublicKey,
  parsePrivateKey,
  parsePublicKey,
} from "./keys.ts";
export { type OpenOptions, openEnvelope, openJson, openPayload, openPointJson } from "./open.ts";
export { padmeLength } from "./padme.ts";
export {
  hpkeInfo,
  type SealBatchOptions,
  type SealItem,
  type SealOptions,
  sealAad,
  sealBatch,
  sealPoints,
} from "./seal.ts";
export { TimeSlices } from "./slices.ts";
