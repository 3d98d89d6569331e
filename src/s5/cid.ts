/**
 * Content ids as S5 writes them, https://docs.sfive.net/spec/blobs.html: multibase of 5b 82, a multihash (1e: BLAKE3, 32 bytes) and the
 * size, little-endian without trailing zeros. Older ones begin with 26 1f instead. In a manifest they cover the encrypted file.
 */
import { timingSafeEqual } from "node:crypto";
import { nativeBlake3 } from "../native/index.ts";

export interface ContentId {
  readonly hash: Uint8Array;
  /** Bytes of the file, where the id says it. */
  readonly size: number | undefined;
}

const hashLength = 32;
/** With the size's eight bytes, in the longest of the encodings. */
const textLengthMax = 128;

const base32Digits = "abcdefghijklmnopqrstuvwxyz234567";
const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** RFC 4648 section 6, lower case, without padding. */
function fromBase32(text: string): Uint8Array | undefined {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of text) {
    const digit = base32Digits.indexOf(letter);
    if (digit < 0) return undefined;
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 0xff);
    }
  }
  return Uint8Array.from(bytes);
}

function toBase32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += base32Digits[(value >> (bits - 5)) & 31];
  }
  return bits === 0 ? text : text + base32Digits[(value << (5 - bits)) & 31];
}

function fromBase58(text: string): Uint8Array | undefined {
  let value = 0n;
  for (const letter of text) {
    const digit = base58Digits.indexOf(letter);
    if (digit < 0) return undefined;
    value = value * 58n + BigInt(digit);
  }
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  const zeros = /^1*/.exec(text)?.[0].length ?? 0;
  return Buffer.concat([Buffer.alloc(zeros), value === 0n ? Buffer.alloc(0) : bytes]);
}

function fromMultibase(text: string): Uint8Array | undefined {
  const rest = text.slice(1);
  switch (text[0]) {
    case "b":
      return fromBase32(rest);
    case "z":
      return fromBase58(rest);
    case "u":
      return /^[A-Za-z0-9_-]*$/.test(rest) ? Buffer.from(rest, "base64url") : undefined;
    case "f":
      return /^(?:[0-9a-f]{2})*$/.test(rest) ? Buffer.from(rest, "hex") : undefined;
    default:
      return undefined;
  }
}

/** Undefined for what is no S5 id of a blob: such a one proves nothing, and refutes nothing. */
export function parseContentId(text: string): ContentId | undefined {
  if (text.length > textLengthMax) return undefined;
  const bytes = fromMultibase(text.startsWith("s5://") ? text.slice(5) : text);
  if (bytes === undefined) return undefined;
  const start =
    bytes[0] === 0x5b && bytes[1] === 0x82 && bytes[2] === 0x1e
      ? 3
      : bytes[0] === 0x26 && (bytes[1] === 0x1f || bytes[1] === 0x1e)
        ? 2
        : undefined;
  if (start === undefined || bytes.length < start + hashLength || bytes.length > start + hashLength + 8)
    return undefined;
  const sizeBytes = bytes.subarray(start + hashLength);
  let size = 0;
  for (let i = sizeBytes.length - 1; i >= 0; i--) size = size * 256 + (sizeBytes[i] as number);
  return { hash: bytes.slice(start, start + hashLength), size: sizeBytes.length === 0 ? undefined : size };
}

/** Of a blob, in base32. Hashes at once: not for the event loop. */
export function makeContentId(file: Uint8Array): string {
  const size: number[] = [];
  for (let left = file.length; left > 0; left = Math.floor(left / 256)) size.push(left % 256);
  return `b${toBase32(Buffer.concat([Uint8Array.of(0x5b, 0x82, 0x1e), nativeBlake3(file), Uint8Array.from(size)]))}`;
}

/** Whether the id is this file's. An id that is not understood says nothing, and so holds. Hashes at once: not for the event loop. */
export function matchesContentId(file: Uint8Array, cid: string): boolean {
  const id = parseContentId(cid);
  if (id === undefined) return true;
  if (id.size !== undefined && id.size !== file.length) return false;
  return timingSafeEqual(nativeBlake3(file), id.hash);
}
