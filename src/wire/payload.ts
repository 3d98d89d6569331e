/** Payloads as bytes and as objects, and the envelopes inside them. */
export {
  decodePayload,
  decodeValueAt,
  encodePayload,
  guarded,
  omitEntries,
  payloadKeys,
  pickEntries,
  valueTags,
  visitEntries,
} from "./payload-codec.ts";
export {
  buildSealed,
  compactSealed,
  expandSealed,
  findSealed,
  hasSealedStored,
  readEnvelopes,
} from "./sealed-payload.ts";
