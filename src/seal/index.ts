export { decodeSealedMap, transcodePayload } from "./cbor.ts";
export { validateEnvelopes } from "./envelope.ts";
export { ExporterContext, setupRecipient, setupSender } from "./hpke.ts";
export {
  generateKeyPair,
  isCurvePoint,
  type PrivateKey,
  type PublicKey,
  parsePrivateKey,
  parsePublicKey,
} from "./keys.ts";
export { openEnvelope, openJson, openPayload, openPointJson, type OpenOptions } from "./open.ts";
export { padmeLength } from "./padme.ts";
export {
  hpkeInfo,
  type SealBatchOptions,
  type SealItem,
  type SealOptions,
  sealAad,
  sealBatch,
  sealUnder,
} from "./seal.ts";
