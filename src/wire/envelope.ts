/**
 * The binary envelope and its JSON form, as docs/sealing-format-v1.md fixes them for ever. Form only: whether `enc` is a
 * point of the curve and whether a collection accepts the sealing id is for `seal` to judge.
 */
import { badInput, limits, type PayloadValue } from "../core/index.ts";

export const envelopeVersion = 1;
/** 0x0001: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. */
export const algorithmP256 = 0x0001;
export const algorithmP256Name = "HPKE-P256-SHA256-A256GCM";

/** The parts of an envelope; the byte arrays are views of it. */
export interface EnvelopeParts {
  readonly sealingId: Uint8Array;
  readonly kid: Uint8Array;
  /** HPKE's encapsulated key: an uncompressed P-256 point. */
  readonly enc: Uint8Array;
  readonly nonce: Uint8Array;
  readonly tag: Uint8Array;
  readonly ciphertext: Uint8Array;
}

const encLength = 65;
/** version u8 | algorithm u16 | sealing id 16 | kid 8 | enc length u16 | enc 65 | nonce 12 | tag 16 */
export const envelopeHeaderLength = 1 + 2 + 16 + 8 + 2 + encLength + 12 + 16;
export const envelopeOffsets = {
  sealingId: 3,
  kid: 19,
  encSize: 27,
  enc: 29,
  nonce: 94,
  tag: 106,
  ciphertext: 122,
} as const;

export function writeEnvelopeHeader(out: Uint8Array, sealingId: Uint8Array, kid: Uint8Array, enc: Uint8Array): void {
  out[0] = envelopeVersion;
  out[1] = algorithmP256 >> 8;
  out[2] = algorithmP256 & 0xff;
  out.set(sealingId, envelopeOffsets.sealingId);
  out.set(kid, envelopeOffsets.kid);
  out[envelopeOffsets.encSize] = encLength >> 8;
  out[envelopeOffsets.encSize + 1] = encLength & 0xff;
  out.set(enc, envelopeOffsets.enc);
}

export function joinEnvelope(parts: EnvelopeParts): Uint8Array {
  const out = new Uint8Array(envelopeHeaderLength + parts.ciphertext.length);
  writeEnvelopeHeader(out, parts.sealingId, parts.kid, parts.enc);
  out.set(parts.nonce, envelopeOffsets.nonce);
  out.set(parts.tag, envelopeOffsets.tag);
  out.set(parts.ciphertext, envelopeOffsets.ciphertext);
  return out;
}

/** Splits a binary envelope. Throws bad_input that names `field`. */
export function splitEnvelope(envelope: Uint8Array, field = "envelope"): EnvelopeParts {
  if (envelope.length < envelopeHeaderLength) throw badInput(`${field}: the envelope is too short`, field);
  if (envelope[0] !== envelopeVersion) throw badInput(`${field}: the envelope's version is unknown`, field);
  if ((((envelope[1] as number) << 8) | (envelope[2] as number)) !== algorithmP256) {
    throw badInput(`${field}: the envelope's algorithm is unknown`, field);
  }
  const { sealingId, kid, encSize, enc, nonce, tag, ciphertext } = envelopeOffsets;
  if ((((envelope[encSize] as number) << 8) | (envelope[encSize + 1] as number)) !== encLength) {
    throw badInput(`${field}: the ephemeral public key must have ${encLength} bytes`, field);
  }
  return {
    sealingId: envelope.subarray(sealingId, kid),
    kid: envelope.subarray(kid, encSize),
    enc: envelope.subarray(enc, nonce),
    nonce: envelope.subarray(nonce, tag),
    tag: envelope.subarray(tag, ciphertext),
    ciphertext: envelope.subarray(ciphertext),
  };
}

/** Splits the stored list: each envelope after a u32 BE length. */
export function splitStored(stored: Uint8Array, field = "$sealpoint"): Uint8Array[] {
  const envelopes: Uint8Array[] = [];
  let pos = 0;
  while (pos < stored.length) {
    if (pos + 4 > stored.length) throw badInput(`${field}: the stored envelopes are damaged`, field);
    const view = new DataView(stored.buffer, stored.byteOffset + pos, 4);
    const length = view.getUint32(0);
    pos += 4;
    if (length > stored.length - pos) throw badInput(`${field}: the stored envelopes are damaged`, field);
    envelopes.push(stored.subarray(pos, pos + length));
    pos += length;
  }
  if (envelopes.length === 0) throw badInput(`${field}: there is no envelope`, field);
  if (envelopes.length > limits.envelopesPerPointMax) {
    throw badInput(`${field}: more than ${limits.envelopesPerPointMax} envelopes`, field);
  }
  return envelopes;
}

/** The documented JSON object of one envelope. */
export function envelopeToJson(envelope: Uint8Array, field?: string): { readonly [key: string]: PayloadValue } {
  const parts = splitEnvelope(envelope, field);
  return {
    version: BigInt(envelopeVersion),
    algorithm: algorithmP256Name,
    sealing_id: toBase64Url(parts.sealingId),
    kid: toBase64Url(parts.kid),
    ephemeral_public_key: toBase64Url(parts.enc),
    nonce: toBase64Url(parts.nonce),
    tag: toBase64Url(parts.tag),
    encrypted_data: toBase64Url(parts.ciphertext),
  };
}

const jsonKeys = new Set([
  "version",
  "algorithm",
  "sealing_id",
  "kid",
  "ephemeral_public_key",
  "nonce",
  "tag",
  "encrypted_data",
]);

/** Reads one JSON envelope strictly: unknown keys, other lengths and any other base64 are refused by name. */
export function envelopeFromJson(value: PayloadValue | undefined, field: string): Uint8Array {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw badInput(`${field}: an envelope must be an object`, field);
  }
  const object = value as { readonly [key: string]: PayloadValue };
  for (const key of Object.keys(object)) {
    if (!jsonKeys.has(key)) throw badInput(`${field}: unknown key in an envelope`, field);
  }
  if (object.version !== BigInt(envelopeVersion)) {
    throw badInput(`${field}.version: must be the integer ${envelopeVersion}`, `${field}.version`);
  }
  if (object.algorithm !== algorithmP256Name) {
    throw badInput(`${field}.algorithm: must be ${algorithmP256Name}`, `${field}.algorithm`);
  }
  const bytes = (key: string, length?: number): Uint8Array => {
    const name = `${field}.${key}`;
    const text = object[key];
    const decoded = typeof text === "string" ? fromBase64Url(text) : undefined;
    if (decoded === undefined) throw badInput(`${name}: must be base64url without padding`, name);
    if (length !== undefined && decoded.length !== length) throw badInput(`${name}: must have ${length} bytes`, name);
    return decoded;
  };
  return joinEnvelope({
    sealingId: bytes("sealing_id", 16),
    kid: bytes("kid", 8),
    enc: bytes("ephemeral_public_key", encLength),
    nonce: bytes("nonce", 12),
    tag: bytes("tag", 16),
    ciphertext: bytes("encrypted_data"),
  });
}

export function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url");
}

/** Undefined unless the text is exactly the unpadded base64url of some bytes. */
export function fromBase64Url(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}
