/** The JSON envelope that stands in a payload under `$sealpoint` (docs/sealing-format-v1.md). */
import { fromBase64Url, toBase64Url } from "./bytes.ts";
import { SealError } from "./errors.ts";
import { envelopesPerPointMax, type PayloadValue } from "./payload.ts";

export const envelopeVersion = 1;
export const algorithmId = 0x0001;
export const algorithmName = "HPKE-P256-SHA256-A256GCM";

export interface Envelope {
  readonly sealingId: Uint8Array;
  readonly kid: Uint8Array;
  readonly enc: Uint8Array;
  readonly nonce: Uint8Array;
  readonly tag: Uint8Array;
  readonly ciphertext: Uint8Array;
}

const lengths = { sealing_id: 16, kid: 8, ephemeral_public_key: 65, nonce: 12, tag: 16 } as const;
const keys = new Set(["version", "algorithm", ...Object.keys(lengths), "encrypted_data"]);

export function envelopeToJson(envelope: Envelope): { readonly [key: string]: PayloadValue } {
  return {
    version: BigInt(envelopeVersion),
    algorithm: algorithmName,
    sealing_id: toBase64Url(envelope.sealingId),
    kid: toBase64Url(envelope.kid),
    ephemeral_public_key: toBase64Url(envelope.enc),
    nonce: toBase64Url(envelope.nonce),
    tag: toBase64Url(envelope.tag),
    encrypted_data: toBase64Url(envelope.ciphertext),
  };
}

function envelopeFromJson(value: PayloadValue): Envelope {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new SealError("an envelope is not an object");
  const object = value as { readonly [key: string]: PayloadValue };
  if (Object.keys(object).some((key) => !keys.has(key))) throw new SealError("an envelope has an unknown key");
  if (object.version !== BigInt(envelopeVersion)) throw new SealError("an envelope's version is unknown");
  if (object.algorithm !== algorithmName) throw new SealError("an envelope's algorithm is unknown");
  const bytes = (key: string, length?: number): Uint8Array => {
    const text = object[key];
    const decoded = typeof text === "string" ? fromBase64Url(text) : undefined;
    if (decoded === undefined || (length !== undefined && decoded.length !== length)) {
      throw new SealError(`an envelope's ${key} is malformed`);
    }
    return decoded;
  };
  return {
    sealingId: bytes("sealing_id", lengths.sealing_id),
    kid: bytes("kid", lengths.kid),
    enc: bytes("ephemeral_public_key", lengths.ephemeral_public_key),
    nonce: bytes("nonce", lengths.nonce),
    tag: bytes("tag", lengths.tag),
    ciphertext: bytes("encrypted_data"),
  };
}

/** The envelopes of a payload's `$sealpoint`, oldest first. */
export function envelopesFromJson(value: PayloadValue): Envelope[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > envelopesPerPointMax) {
    throw new SealError(`$sealpoint must be a list of 1 to ${envelopesPerPointMax} envelopes`);
  }
  return value.map(envelopeFromJson);
}
