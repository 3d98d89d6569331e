/** Reading of a sealed part's CBOR: only the one deterministic encoding is accepted (docs/sealing-format-v1.md). */
import { isUtf8 } from "node:buffer";
import { limits, type PayloadObject, type PayloadValue, sealedKey } from "../core/index.ts";
import { halfOf } from "./cbor.ts";

const bits = new DataView(new ArrayBuffer(4));

/** Decodes one deterministic map; only zero bytes may follow it. Throws a plain Error without any of the content. */
export function decodeSealedMap(bytes: Uint8Array): PayloadObject {
  const reader = new CborReader(bytes);
  const value = reader.item(0);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error("the sealed item is not a map");
  for (let i = reader.pos; i < bytes.length; i++) if (bytes[i] !== 0) throw new Error("the padding is not zero");
  if (Object.hasOwn(value, sealedKey)) throw new Error(`the sealed map holds the key ${sealedKey}`);
  return value as PayloadObject;
}

class CborReader {
  readonly bytes: Buffer;
  pos = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  item(depth: number): PayloadValue {
    const head = this.take(1);
    const first = this.bytes[head] as number;
    const info = first & 31;
    switch (first >> 5) {
      case 0:
        return this.integer(info);
      case 1:
        return -1n - this.integer(info);
      case 3:
        return this.text(this.size(info));
      case 4: {
        if (depth > limits.payloadDepthMax) throw new Error("nested too deep");
        const count = this.size(info);
        const list: PayloadValue[] = [];
        for (let i = 0; i < count; i++) list.push(this.item(depth + 1));
        return list;
      }
      case 5: {
        if (depth > limits.payloadDepthMax) throw new Error("nested too deep");
        const count = this.size(info);
        const object: { [key: string]: PayloadValue } = Object.create(null);
        let previous: Buffer | undefined;
        for (let i = 0; i < count; i++) {
          const start = this.pos;
          const keyHead = this.bytes[this.take(1)] as number;
          if (keyHead >> 5 !== 3) throw new Error("a map key is not text");
          const key = this.text(this.size(keyHead & 31));
          const encoded = this.bytes.subarray(start, this.pos);
          // Strictly ascending: so no key comes twice either.
          if (previous !== undefined && Buffer.compare(previous, encoded) >= 0)
            throw new Error("map keys are not sorted");
          previous = encoded;
          object[key] = this.item(depth + 1);
        }
        return object;
      }
      case 7:
        return this.simple(info);
      default:
        throw new Error("an item of this kind is not accepted");
    }
  }

  private take(count: number): number {
    const at = this.pos;
    if (count > this.bytes.length - at) throw new Error("truncated");
    this.pos = at + count;
    return at;
  }

  /** The head's argument; the shortest form only. */
  private argument(info: number): bigint {
    if (info < 24) return BigInt(info);
    let value: bigint;
    let least: bigint;
    if (info === 24) [value, least] = [BigInt(this.bytes[this.take(1)] as number), 24n];
    else if (info === 25) [value, least] = [BigInt(this.bytes.readUInt16BE(this.take(2))), 0x100n];
    else if (info === 26) [value, least] = [BigInt(this.bytes.readUInt32BE(this.take(4))), 0x10000n];
    else if (info === 27) [value, least] = [this.bytes.readBigUInt64BE(this.take(8)), 0x100000000n];
    else throw new Error("indefinite and reserved lengths are not accepted");
    if (value < least) throw new Error("not the shortest form");
    return value;
  }

  private integer(info: number): bigint {
    const value = this.argument(info);
    if (value >= 1n << 63n) throw new Error("an integer does not fit 64 bits");
    return value;
  }

  private size(info: number): number {
    const value = this.argument(info);
    if (value > BigInt(this.bytes.length - this.pos)) throw new Error("truncated");
    return Number(value);
  }

  private text(length: number): string {
    const at = this.take(length);
    const view = this.bytes.subarray(at, at + length);
    if (!isUtf8(view)) throw new Error("text is not UTF-8");
    return view.toString("utf8");
  }

  private simple(info: number): PayloadValue {
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 25: {
        const half = this.bytes.readUInt16BE(this.take(2));
        const value = halfToNumber(half);
        if (Number.isNaN(value) && half !== 0x7e00) throw new Error("not the one NaN");
        return value;
      }
      case 26: {
        const value = this.bytes.readFloatBE(this.take(4));
        bits.setFloat32(0, value);
        if (Number.isNaN(value) || halfOf(bits.getUint32(0)) >= 0) throw new Error("not the shortest form");
        return value;
      }
      case 27: {
        const value = this.bytes.readDoubleBE(this.take(8));
        if (Number.isNaN(value) || Math.fround(value) === value) throw new Error("not the shortest form");
        return value;
      }
      default:
        throw new Error("a simple value of this kind is not accepted");
    }
  }
}

function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
