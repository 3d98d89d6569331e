/** Sealing without any network and without node: `@sealpoint/client/seal` runs in browsers. */
export { fromBase64Url, fromHex, toBase64Url, toHex } from "./bytes.ts";
export { OpenError, SealError } from "./errors.ts";
export { generateKey, type PrivateKey, type PublicKey, parsePrivateKey, parsePublicKey } from "./keys.ts";
export { type Payload, type PayloadValue, type PointId, sealedKey } from "./payload.ts";
export { Opener, type OpenerOptions, open, Sealer, type SealerOptions, seal } from "./seal.ts";
