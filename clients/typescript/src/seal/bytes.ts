/** Bytes without node: this folder runs in browsers too. */

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const out = new Uint8Array(size);
  let pos = 0;
  for (const part of parts) {
    out.set(part, pos);
    pos += part.length;
  }
  return out;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

export const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Undefined unless the text is an even number of hex digits. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const digits = new Int8Array(128).fill(-1);
for (let i = 0; i < 64; i++) digits[alphabet.charCodeAt(i)] = i;

/** base64url without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  let text = "";
  let i = 0;
  for (; i + 2 < bytes.length; i += 3) {
    const group = ((bytes[i] as number) << 16) | ((bytes[i + 1] as number) << 8) | (bytes[i + 2] as number);
    text += alphabet.charAt(group >> 18) + alphabet.charAt((group >> 12) & 63);
    text += alphabet.charAt((group >> 6) & 63) + alphabet.charAt(group & 63);
  }
  if (i + 1 === bytes.length) {
    const last = bytes[i] as number;
    text += alphabet.charAt(last >> 2) + alphabet.charAt((last & 3) << 4);
  } else if (i + 2 === bytes.length) {
    const group = ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
    text += alphabet.charAt(group >> 10) + alphabet.charAt((group >> 4) & 63) + alphabet.charAt((group & 15) << 2);
  }
  return text;
}

/** Undefined unless the text is exactly the unpadded base64url of some bytes. */
export function fromBase64Url(text: string): Uint8Array | undefined {
  const rest = text.length % 4;
  if (rest === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let pos = 0;
  let held = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const digit = code < 128 ? (digits[code] as number) : -1;
    if (digit < 0) return undefined;
    held = ((held << 6) | digit) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[pos++] = (held >> bits) & 0xff;
    }
  }
  // Bits left over must be zero, or two texts would mean the same bytes.
  return (held & ((1 << bits) - 1)) === 0 ? bytes : undefined;
}

/** Standard or URL alphabet, padded or not. */
export function fromAnyBase64(text: string): Uint8Array | undefined {
  return /={3,}$/.test(text)
    ? undefined
    : fromBase64Url(text.replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_"));
}
