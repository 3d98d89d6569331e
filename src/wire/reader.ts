/**
 * Reads protobuf's wire form (https://protobuf.dev/programming-guides/encoding) from bytes, for the hot messages. It is
 * stricter than the generated code: a field of the wrong wire type or one that runs over the end of its message is refused.
 * Nothing here reads past `end`.
 */
import { isUtf8 } from "node:buffer";
import { badInput, DomainError } from "../core/index.ts";

export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** Groups inside groups of unknown fields. */
const groupDepthMax = 64;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class MessageReader {
  readonly bytes: Uint8Array;
  pos: number;
  end: number;
  #view: DataView | undefined;

  constructor(bytes: Uint8Array) {
    // A Buffer's subarray is slower than a plain view's.
    this.bytes =
      bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.pos = 0;
    this.end = bytes.length;
  }

  /** The next field's tag (number << 3 | wire type); call only while pos < end. */
  tag(): number {
    const first = this.bytes[this.pos] as number;
    if (first < 0x80) {
      if (first < 8 || (first & 7) > 5) throw new Malformed("illegal tag");
      this.pos++;
      return first;
    }
    const start = this.pos;
    const tag = this.varint32();
    const read = this.pos - start;
    if (read > 5 || (read === 5 && (this.bytes[this.pos - 1] as number) > 0x0f)) throw new Malformed("illegal tag");
    if (tag < 8 || (tag & 7) > 5) throw new Malformed("illegal tag");
    return tag;
  }

  /** The low 32 bits of a varint. */
  varint32(): number {
    const { bytes, end } = this;
    let result = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.pos >= end) throw new Malformed("a varint runs past the end");
      const byte = bytes[this.pos++] as number;
      if (shift < 28) result |= (byte & 0x7f) << shift;
      else if (shift === 28) result |= (byte & 0x0f) << 28;
      if (byte < 0x80) return result >>> 0;
    }
    throw new Malformed("a varint is longer than ten bytes");
  }

  u64(): bigint {
    const { bytes, end } = this;
    let low = 0;
    let factor = 1;
    // Up to six groups of seven bits are exact in a double.
    for (let count = 0; count < 6; count++) {
      if (this.pos >= end) throw new Malformed("a varint runs past the end");
      const byte = bytes[this.pos++] as number;
      low += (byte & 0x7f) * factor;
      if (byte < 0x80) return BigInt(low);
      factor *= 128;
    }
    let result = BigInt(low);
    for (let shift = 42n; shift < 70n; shift += 7n) {
      if (this.pos >= end) throw new Malformed("a varint runs past the end");
      const byte = bytes[this.pos++] as number;
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, result);
    }
    throw new Malformed("a varint is longer than ten bytes");
  }

  bool(): boolean {
    return this.u64() !== 0n;
  }

  float(): number {
    const at = this.pos;
    if (at + 4 > this.end) throw new Malformed("a float runs past the end");
    this.pos = at + 4;
    this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
    return this.#view.getFloat32(at, true);
  }

  /** The length of a length-delimited field, checked against the end. */
  length(): number {
    const first = this.bytes[this.pos] as number;
    let length: number;
    if (first < 0x80 && this.pos < this.end) {
      this.pos++;
      length = first;
    } else {
      length = this.varint32();
    }
    if (length > this.end - this.pos) throw new Malformed("a field runs past the end of its message");
    return length;
  }

  /** Goes into a length-delimited field; give the result to `leave`. */
  enter(): number {
    const outer = this.end;
    const length = this.length();
    this.end = this.pos + length;
    return outer;
  }

  leave(outer: number): void {
    this.pos = this.end;
    this.end = outer;
  }

  /** A view of a length-delimited field. */
  slice(): Uint8Array {
    const length = this.length();
    const at = this.pos;
    this.pos = at + length;
    return this.bytes.subarray(at, at + length);
  }

  string(): string {
    const length = this.length();
    const at = this.pos;
    this.pos = at + length;
    if (length <= 64) {
      let text = "";
      let index = at;
      for (; index < at + length; index++) {
        const byte = this.bytes[index] as number;
        if (byte > 0x7f) break;
        text += String.fromCharCode(byte);
      }
      if (index === at + length) return text;
    }
    const bytes = this.bytes.subarray(at, at + length);
    if (!isUtf8(bytes)) throw new Malformed("a string is not valid UTF-8");
    return utf8.decode(bytes);
  }

  /** Skips the field whose tag was just read. */
  skip(tag: number, depth = 0): void {
    switch (tag & 7) {
      case 0:
        this.u64();
        return;
      case 1:
        this.#advance(8);
        return;
      case 2:
        this.#advance(this.length());
        return;
      case 3: {
        if (depth >= groupDepthMax) throw new Malformed("groups are nested too deep");
        for (;;) {
          if (this.pos >= this.end) throw new Malformed("a group has no end");
          const inner = this.tag();
          if ((inner & 7) === 4) {
            if (inner >>> 3 !== tag >>> 3) throw new Malformed("a group ends with another's tag");
            return;
          }
          this.skip(inner, depth + 1);
        }
      }
      case 5:
        this.#advance(4);
        return;
      default:
        throw new Malformed("a group ends that never began");
    }
  }

  /** Skips an unknown field; a known one (bit n of the mask is field n, and two from `knownFrom` on) under another wire type is an error. */
  skipUnknown(tag: number, knownMask: number, knownFrom = 0): void {
    const field = tag >>> 3;
    const known =
      field < 31 ? ((knownMask >>> field) & 1) === 1 : knownFrom > 0 && field >= knownFrom && field < knownFrom + 2;
    if (known) throw new Malformed(`field ${field} has a wrong wire type`);
    this.skip(tag);
  }

  #advance(count: number): void {
    if (count > this.end - this.pos) throw new Malformed("a field runs past the end of its message");
    this.pos += count;
  }
}

/** The mask of `skipUnknown`. */
export function fieldMask(...fields: number[]): number {
  return fields.reduce((mask, field) => mask | (1 << field), 0);
}

/** A message that came in several pieces is their concatenation: that is how protobuf merges. */
export function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0] as Uint8Array;
  return new Uint8Array(Buffer.concat(pieces));
}

/** Runs a decoder of `message`; what it throws becomes bad input that names the message. */
export function decoding<T>(message: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw toMalformed(message, error);
  }
}

export function toMalformed(message: string, error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  // What the generated code throws speaks of the form only, never of the content.
  const text = error instanceof Error ? error.message : "unreadable";
  const depth = /recursion|call stack/i.test(text);
  return badInput(`malformed ${message}: ${depth ? "nested too deep" : text}`);
}
