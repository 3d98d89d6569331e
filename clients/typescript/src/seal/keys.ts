/** P-256 keys in every accepted text form (docs/sealing-format-v1.md, "Keys"). Reasons never repeat any of the text. */
import { p256 } from "@noble/curves/nist.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, equalBytes, fromAnyBase64, fromHex } from "./bytes.ts";
import { SealError } from "./errors.ts";

const textLengthMax = 1_024;
/** SubjectPublicKeyInfo of id-ecPublicKey with prime256v1 (RFC 5480), up to the point. */
const spkiUncompressed = fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200") as Uint8Array;
const spkiCompressed = fromHex("3039301306072a8648ce3d020106082a8648ce3d030107032200") as Uint8Array;
/** Object identifiers of id-ecPublicKey and prime256v1, with tag and length. */
const oidEcPublicKey = fromHex("06072a8648ce3d0201") as Uint8Array;
const oidPrime256v1 = fromHex("06082a8648ce3d030107") as Uint8Array;

export interface PublicKey {
  /** Uncompressed point, 65 bytes. */
  readonly point: Uint8Array;
  /** SubjectPublicKeyInfo, DER, 91 bytes. */
  readonly spki: Uint8Array;
  /** First 8 bytes of SHA-256 over `spki`. */
  readonly kid: Uint8Array;
}

export interface PrivateKey {
  readonly scalar: Uint8Array;
  readonly publicKey: PublicKey;
}

/** A public key from PEM (SPKI), hex, 0x-hex, base64 or base64url of SPKI DER or a point; or from the bytes. */
export function parsePublicKey(key: string | Uint8Array): PublicKey {
  if (typeof key !== "string") return publicKeyFromBytes(key);
  if (key.length > textLengthMax) throw new SealError(`the public key is longer than ${textLengthMax} characters`);
  const text = key.trim();
  if (text === "") throw new SealError("the public key is empty");
  if (text.includes("PRIVATE KEY")) throw new SealError("this is a private key; give the public key");
  const bytes = text.startsWith("-----") ? pemBody(text, "PUBLIC KEY") : hexOrBase64(text, [32, 33, 64, 65, 59, 91]);
  if (bytes === undefined) throw new SealError("the public key is not PEM (SPKI), hex or base64");
  return publicKeyFromBytes(bytes);
}

function publicKeyFromBytes(bytes: Uint8Array): PublicKey {
  let point = bytes;
  if (bytes.length === 91 && equalBytes(bytes.subarray(0, 26), spkiUncompressed)) point = bytes.subarray(26);
  else if (bytes.length === 59 && equalBytes(bytes.subarray(0, 26), spkiCompressed)) point = bytes.subarray(26);
  if (point.length === 32) throw new SealError("an X-only key is ambiguous; give a compressed or uncompressed point");
  const form = point[0];
  const wellFormed = (point.length === 65 && form === 4) || (point.length === 33 && (form === 2 || form === 3));
  if (!wellFormed) throw new SealError("the key is not a P-256 public key");
  let uncompressed: Uint8Array;
  try {
    const parsed = p256.Point.fromBytes(point);
    parsed.assertValidity();
    uncompressed = parsed.toBytes(false);
  } catch {
    throw new SealError("the point is not on the curve P-256");
  }
  const spki = concatBytes(spkiUncompressed, uncompressed);
  return { point: uncompressed, spki, kid: sha256(spki).slice(0, 8) };
}

/** A private key from PEM (PKCS#8 or SEC1), or hex or base64 of the 32-byte scalar; or from the scalar's bytes. */
export function parsePrivateKey(key: string | Uint8Array): PrivateKey {
  if (typeof key !== "string") return privateKeyFromScalar(key);
  if (key.length > textLengthMax) throw new SealError(`the private key is longer than ${textLengthMax} characters`);
  const text = key.trim();
  let scalar: Uint8Array | undefined;
  if (text.startsWith("-----")) {
    const pkcs8 = pemBody(text, "PRIVATE KEY");
    const sec1 = pkcs8 === undefined ? pemBody(text, "EC PRIVATE KEY") : undefined;
    scalar = pkcs8 !== undefined ? scalarFromPkcs8(pkcs8) : sec1 !== undefined ? scalarFromSec1(sec1, true) : undefined;
  } else scalar = hexOrBase64(text, [32]);
  if (scalar === undefined)
    throw new SealError("the private key is neither PEM of P-256 nor a scalar in hex or base64");
  return privateKeyFromScalar(scalar);
}

function privateKeyFromScalar(scalar: Uint8Array): PrivateKey {
  if (scalar.length !== 32 || !p256.utils.isValidSecretKey(scalar))
    throw new SealError("not a private scalar of P-256");
  return { scalar: scalar.slice(), publicKey: publicKeyFromBytes(p256.getPublicKey(scalar, false)) };
}

/** A new private key; `publicKey.spki` is what writers need. */
export function generateKey(): PrivateKey {
  return privateKeyFromScalar(p256.utils.randomSecretKey());
}

// ---- DER (X.690), as little as two key formats need

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly end: number;
}

function readElement(bytes: Uint8Array, pos: number): Element | undefined {
  const tag = bytes[pos];
  let length = bytes[pos + 1];
  if (tag === undefined || length === undefined) return undefined;
  let start = pos + 2;
  if (length >= 0x80) {
    const count = length & 0x7f;
    if (count < 1 || count > 2) return undefined;
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + (bytes[start + i] ?? Number.NaN);
    start += count;
  }
  const end = start + length;
  return end <= bytes.length ? { tag, content: bytes.subarray(start, end), end } : undefined;
}

function readElements(bytes: Uint8Array): Element[] | undefined {
  const elements: Element[] = [];
  for (let pos = 0; pos < bytes.length; ) {
    const element = readElement(bytes, pos);
    if (element === undefined) return undefined;
    elements.push(element);
    pos = element.end;
  }
  return elements;
}

function sequence(bytes: Uint8Array): Element[] | undefined {
  const outer = readElement(bytes, 0);
  return outer?.tag === 0x30 && outer.end === bytes.length ? readElements(outer.content) : undefined;
}

/** RFC 5958: version, algorithm (id-ecPublicKey, prime256v1), OCTET STRING of the SEC1 structure. */
function scalarFromPkcs8(bytes: Uint8Array): Uint8Array | undefined {
  const [version, algorithm, key] = sequence(bytes) ?? [];
  if (version?.tag !== 0x02 || algorithm?.tag !== 0x30 || key?.tag !== 0x04) return undefined;
  if (!equalBytes(algorithm.content, concatBytes(oidEcPublicKey, oidPrime256v1))) return undefined;
  return scalarFromSec1(key.content, false);
}

/** RFC 5915: version 1, OCTET STRING of the scalar, [0] curve, [1] public key. */
function scalarFromSec1(bytes: Uint8Array, curveRequired: boolean): Uint8Array | undefined {
  const [version, scalar, ...rest] = sequence(bytes) ?? [];
  if (version?.tag !== 0x02 || scalar?.tag !== 0x04 || scalar.content.length !== 32) return undefined;
  const curve = rest.find((element) => element.tag === 0xa0);
  if (curve === undefined ? curveRequired : !equalBytes(curve.content, oidPrime256v1)) return undefined;
  return scalar.content;
}

function pemBody(text: string, label: string): Uint8Array | undefined {
  const found = new RegExp(`-----BEGIN ${label}-----\\s([A-Za-z0-9+/=\\s]+?)\\s-----END ${label}-----`).exec(text);
  return found === null ? undefined : fromAnyBase64((found[1] as string).replace(/\s+/g, ""));
}

/** Hex when that gives one of `lengths` (a text of hex digits alone is base64 as well), else base64 or base64url. */
function hexOrBase64(text: string, lengths: readonly number[]): Uint8Array | undefined {
  const prefixed = /^0x/i.test(text);
  const bytes = fromHex(prefixed ? text.slice(2) : text);
  if (bytes !== undefined && (prefixed || lengths.includes(bytes.length))) return bytes;
  return prefixed ? undefined : fromAnyBase64(text);
}
