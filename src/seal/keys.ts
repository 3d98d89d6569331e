/**
 * Public and private keys of P-256 in every accepted text form (docs/sealing-format-v1.md, "Keys"). A reason for a refusal
 * says what is wrong with the form and never repeats any of the text.
 */
import {
  createECDH,
  createHash,
  createPrivateKey,
  createPublicKey,
  ECDH,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { badInput, limits } from "../core/index.ts";

const curve = "prime256v1";
const keyTextLengthMax = 1_024;

/** SubjectPublicKeyInfo of id-ecPublicKey with prime256v1 (RFC 5480), up to the point. */
const spkiUncompressed = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");
const spkiCompressed = Buffer.from("3039301306072a8648ce3d020106082a8648ce3d030107032200", "hex");

export interface PublicKey {
  /** Uncompressed point, 65 bytes. */
  readonly point: Uint8Array;
  /** SubjectPublicKeyInfo, DER, 91 bytes. */
  readonly spki: Uint8Array;
  /** First 8 bytes of SHA-256 over `spki`. */
  readonly kid: Uint8Array;
  readonly keyObject: KeyObject;
}

export interface PrivateKey {
  readonly keyObject: KeyObject;
  readonly publicKey: PublicKey;
}

/** Keys by their text, the most recently used last. Bounded, because callers choose the texts. */
const parsed = new Map<string, PublicKey>();

/** Reads a public key. Throws bad_input that names `field` (and the point `of` which it would be used) and gives the reason. */
export function parsePublicKey(text: string, field = "public_key", of?: string): PublicKey {
  const known = parsed.get(text);
  if (known !== undefined) {
    parsed.delete(text);
    parsed.set(text, known);
    return known;
  }
  const reason = (why: string) =>
    badInput(`${field}: ${why}${of === undefined || field.startsWith(of) ? "" : ` (for ${of})`}`, field);
  if (typeof text !== "string" || text.trim() === "") throw reason("the public key is empty");
  if (text.length > keyTextLengthMax) throw reason(`the public key is longer than ${keyTextLengthMax} characters`);
  const key = publicKeyFromBytes(publicBytes(text.trim(), reason), reason);
  parsed.set(text, key);
  if (parsed.size > limits.parsedKeysCacheMax) parsed.delete(parsed.keys().next().value as string);
  return key;
}

type Reason = (why: string) => Error;

function publicBytes(text: string, reason: Reason): Buffer {
  if (text.includes("PRIVATE KEY")) throw reason("this is a private key; send the public key only");
  if (text.startsWith("-----")) {
    const body = pemBody(text, "PUBLIC KEY");
    if (body === undefined) throw reason("the PEM text is not a SubjectPublicKeyInfo (-----BEGIN PUBLIC KEY-----)");
    return body;
  }
  const bytes = hexOrBase64(text, [32, 33, 64, 65, 59, 91]);
  if (bytes === undefined) throw reason("the public key is not PEM, hex or base64");
  return bytes;
}

function publicKeyFromBytes(bytes: Buffer, reason: Reason): PublicKey {
  let point = bytes;
  if (bytes[0] === 0x30) {
    if (bytes.length === 91 && bytes.subarray(0, 26).equals(spkiUncompressed)) point = bytes.subarray(26);
    else if (bytes.length === 59 && bytes.subarray(0, 26).equals(spkiCompressed)) point = bytes.subarray(26);
    else if (bytes.length !== 32 && bytes.length !== 64) throw reason("the key is not a P-256 public key (SPKI)");
  }
  if (point.length === 32)
    throw reason("an X-only key is ambiguous; give a compressed (33 bytes) or uncompressed (65) point");
  if (point.length === 64) throw reason("the point lacks its leading byte 04");
  if (point.length === 1 && point[0] === 0) throw reason("the point at infinity is not a key");
  const form = point[0];
  const wellFormed = (point.length === 65 && form === 4) || (point.length === 33 && (form === 2 || form === 3));
  if (!wellFormed)
    throw reason("the key is neither an uncompressed (65 bytes, 04) nor a compressed (33 bytes, 02 or 03) P-256 point");
  let uncompressed: Buffer;
  try {
    // OpenSSL checks that the point is on the curve (SEC 1, section 2.3.4).
    uncompressed = ECDH.convertKey(point, curve, undefined, undefined, "uncompressed") as Buffer;
  } catch {
    throw reason("the point is not on the curve P-256");
  }
  const spki = Buffer.concat([spkiUncompressed, uncompressed]);
  return {
    point: uncompressed,
    spki,
    kid: createHash("sha256").update(spki).digest().subarray(0, 8),
    keyObject: createPublicKey({ key: spki, format: "der", type: "spki" }),
  };
}

/** Reads a private key: PEM (PKCS#8 or SEC1), or hex or base64 of the 32-byte scalar. Throws bad_input. */
export function parsePrivateKey(text: string, field = "private key"): PrivateKey {
  const reason = (why: string) => badInput(`${field}: ${why}`, field);
  if (text.length > keyTextLengthMax) throw reason(`longer than ${keyTextLengthMax} characters`);
  const trimmed = text.trim();
  let keyObject: KeyObject;
  if (trimmed.startsWith("-----")) {
    if (trimmed.includes("PUBLIC KEY")) throw reason("this is a public key");
    if (trimmed.includes("ENCRYPTED")) throw reason("encrypted PEM is not accepted; decrypt it first");
    try {
      keyObject = createPrivateKey(trimmed);
    } catch {
      throw reason("the PEM text cannot be read");
    }
    if (keyObject.asymmetricKeyType !== "ec" || keyObject.asymmetricKeyDetails?.namedCurve !== curve) {
      throw reason("not a P-256 key");
    }
  } else {
    const scalar = hexOrBase64(trimmed, [32]);
    if (scalar === undefined || scalar.length !== 32)
      throw reason("neither PEM nor the 32-byte scalar in hex or base64");
    keyObject = privateKeyFromScalar(scalar, reason);
  }
  const spki = createPublicKey(keyObject).export({ format: "der", type: "spki" });
  return { keyObject, publicKey: publicKeyFromBytes(spki, reason) };
}

function privateKeyFromScalar(scalar: Buffer, reason: Reason): KeyObject {
  const ecdh = createECDH(curve);
  try {
    ecdh.setPrivateKey(scalar);
  } catch {
    throw reason("the scalar is out of range");
  }
  const point = ecdh.getPublicKey();
  const part = (start: number) => point.subarray(start, start + 32).toString("base64url");
  return createPrivateKey({
    format: "jwk",
    key: { kty: "EC", crv: "P-256", d: scalar.toString("base64url"), x: part(1), y: part(33) },
  });
}

/** A new key pair: PKCS#8 and SPKI, both PEM. */
export function generateKeyPair(): { privateKeyPem: string; publicKeyPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: curve });
  return {
    privateKeyPem: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    publicKeyPem: publicKey.export({ format: "pem", type: "spki" }) as string,
  };
}

/** The last points found to be on the curve: points of one batch share their ephemeral key. */
const checkedPoints = new Map<string, true>();

/** True for an uncompressed point of P-256. */
export function isCurvePoint(point: Uint8Array): boolean {
  if (point.length !== 65 || point[0] !== 4) return false;
  const key = Buffer.from(point.buffer, point.byteOffset, 65).toString("latin1");
  if (checkedPoints.has(key)) return true;
  try {
    ECDH.convertKey(point, curve, undefined, undefined, "uncompressed");
  } catch {
    return false;
  }
  checkedPoints.set(key, true);
  if (checkedPoints.size > limits.parsedKeysCacheMax) checkedPoints.delete(checkedPoints.keys().next().value as string);
  return true;
}

function pemBody(text: string, label: string): Buffer | undefined {
  const parts = new RegExp(`^-----BEGIN ${label}-----\\s([A-Za-z0-9+/=\\s]+?)\\s-----END ${label}-----$`).exec(text);
  return parts === null ? undefined : strictBase64((parts[1] as string).replace(/\s+/g, ""));
}

/** Hex (with or without 0x) when that gives one of `lengths`, else base64 or base64url; undefined for neither. */
function hexOrBase64(text: string, lengths: readonly number[]): Buffer | undefined {
  const prefixed = /^0x/i.test(text);
  const digits = prefixed ? text.slice(2) : text;
  if (digits.length % 2 === 0 && /^[0-9a-f]+$/i.test(digits)) {
    // A text of hex digits alone is base64 as well: the length decides.
    if (prefixed || digits === "00" || lengths.includes(digits.length / 2)) return Buffer.from(digits, "hex");
  }
  return prefixed ? undefined : strictBase64(text);
}

/** Standard or URL alphabet, padded or not; undefined for anything that Buffer would silently skip. */
function strictBase64(text: string): Buffer | undefined {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  const canonical = bytes.toString("base64url");
  const given = text.replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_");
  return canonical === given ? bytes : undefined;
}
