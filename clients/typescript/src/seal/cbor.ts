/** Deterministic CBOR (RFC 8949 section 4.2.1) of payload maps, as docs/sealing-format-v1.md fixes it. */
import { SealError } from "./errors.ts";
import { type Payload, type PayloadValue, payloadDepthMax, sealedKey } from "./payload.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Writer {
  private bytes = new Uint8Array(512);
  private view = new DataView(this.bytes.buffer);
  private pos = 0;

  finish(): Uint8Array {
    return this.bytes.slice(0, this.pos);
  }

  private room(count: number): void {
    if (this.pos + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.pos + count));
    grown.set(this.bytes);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  private byte(value: number): void {
    this.room(1);
    this.bytes[this.pos++] = value;
  }

  /** RFC 8949 section 3: the argument in its shortest form. */
  private head(major: number, value: bigint): void {
    this.room(9);
    const top = major << 5;
    if (value < 24n) this.bytes[this.pos++] = top | Number(value);
    else if (value < 0x100n) {
      this.bytes[this.pos++] = top | 24;
      this.bytes[this.pos++] = Number(value);
    } else if (value < 0x10000n) {
      this.bytes[this.pos++] = top | 25;
      this.view.setUint16(this.pos, Number(value));
      this.pos += 2;
    } else if (value < 0x100000000n) {
      this.bytes[this.pos++] = top | 26;
      this.view.setUint32(this.pos, Number(value));
      this.pos += 4;
    } else {
      this.bytes[this.pos++] = top | 27;
      this.view.setBigUint64(this.pos, value);
      this.pos += 8;
    }
  }

  private raw(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.bytes.set(bytes, this.pos);
    this.pos += bytes.length;
  }

  private double(value: number): void {
    this.room(9);
    if (Number.isNaN(value)) {
      this.raw(Uint8Array.of(0xf9, 0x7e, 0x00));
      return;
    }
    if (Math.fround(value) !== value) {
      this.bytes[this.pos++] = 0xfb;
      this.view.setFloat64(this.pos, value);
      this.pos += 8;
      return;
    }
    const half = toHalf(value);
    if (half !== undefined) {
      this.bytes[this.pos++] = 0xf9;
      this.view.setUint16(this.pos, half);
      this.pos += 2;
    } else {
      this.bytes[this.pos++] = 0xfa;
      this.view.setFloat32(this.pos, value);
      this.pos += 4;
    }
  }

  private text(value: string, path: string): void {
    if (!value.isWellFormed()) throw new SealError(`${path}: not valid Unicode`);
    const bytes = encoder.encode(value);
    this.head(3, BigInt(bytes.length));
    this.raw(bytes);
  }

  value(value: PayloadValue | undefined, depth: number, path: string): void {
    switch (typeof value) {
      case "string":
        this.text(value, path);
        return;
      case "number":
        this.double(value);
        return;
      case "boolean":
        this.byte(value ? 0xf5 : 0xf4);
        return;
      case "bigint":
        if (BigInt.asIntN(64, value) !== value) throw new SealError(`${path}: the integer does not fit 64 bits`);
        if (value >= 0n) this.head(0, value);
        else this.head(1, -1n - value);
        return;
      case "object":
        break;
      default:
        throw new SealError(`${path}: not a payload value`);
    }
    if (value === null) {
      this.byte(0xf6);
      return;
    }
    if (depth > payloadDepthMax) throw new SealError(`payload: nested deeper than ${payloadDepthMax} levels`);
    if (Array.isArray(value)) {
      this.head(4, BigInt(value.length));
      value.forEach((item, i) => {
        this.value(item, depth + 1, `${path}[${i}]`);
      });
    } else this.map(value as Payload, depth, path);
  }

  map(map: Payload, depth: number, path: string): void {
    const entries = Object.keys(map).map((key) => ({ key, bytes: encoder.encode(key) }));
    // Bytewise order of the encoded keys: their heads put shorter ones first.
    entries.sort((a, b) => a.bytes.length - b.bytes.length || compareBytes(a.bytes, b.bytes));
    this.head(5, BigInt(entries.length));
    for (const { key } of entries) {
      const inner = `${path}.${key}`;
      this.text(key, inner);
      this.value(map[key], depth + 1, inner);
    }
  }
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = (a[i] as number) - (b[i] as number);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** The half-precision bits of a number that loses nothing by it; undefined otherwise. */
function toHalf(value: number): number | undefined {
  const sign = Object.is(value, -0) || value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size === 0) return sign;
  if (size === Number.POSITIVE_INFINITY) return sign | 0x7c00;
  if (size > 65504) return undefined;
  if (size < 2 ** -14) {
    const steps = size * 2 ** 24;
    return Number.isInteger(steps) ? sign | steps : undefined;
  }
  const exponent = Math.floor(Math.log2(size));
  const fraction = (size / 2 ** exponent - 1) * 1024;
  return Number.isInteger(fraction) ? sign | ((exponent + 15) << 10) | fraction : undefined;
}

export function encodeMap(map: Payload): Uint8Array {
  const writer = new Writer();
  writer.map(map, 0, "payload");
  return writer.finish();
}

class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  pos = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  private take(count: number): number {
    const at = this.pos;
    if (count > this.bytes.length - at) throw new SealError("truncated");
    this.pos = at + count;
    return at;
  }

  private argument(info: number): bigint {
    if (info < 24) return BigInt(info);
    let value: bigint;
    let least: bigint;
    switch (info) {
      case 24:
        [value, least] = [BigInt(this.view.getUint8(this.take(1))), 24n];
        break;
      case 25:
        [value, least] = [BigInt(this.view.getUint16(this.take(2))), 0x100n];
        break;
      case 26:
        [value, least] = [BigInt(this.view.getUint32(this.take(4))), 0x10000n];
        break;
      case 27:
        [value, least] = [this.view.getBigUint64(this.take(8)), 0x100000000n];
        break;
      default:
        throw new SealError("indefinite length");
    }
    if (value < least) throw new SealError("not the shortest form");
    return value;
  }

  private integer(info: number): bigint {
    const value = this.argument(info);
    if (value >= 1n << 63n) throw new SealError("an integer does not fit 64 bits");
    return value;
  }

  private size(info: number): number {
    const value = this.argument(info);
    if (value > BigInt(this.bytes.length - this.pos)) throw new SealError("truncated");
    return Number(value);
  }

  private text(length: number): string {
    const at = this.take(length);
    return decoder.decode(this.bytes.subarray(at, at + length));
  }

  item(depth: number): PayloadValue {
    const first = this.view.getUint8(this.take(1));
    const info = first & 31;
    const major = first >> 5;
    if ((major === 4 || major === 5) && depth > payloadDepthMax) throw new SealError("nested too deep");
    switch (major) {
      case 0:
        return this.integer(info);
      case 1:
        return -1n - this.integer(info);
      case 3:
        return this.text(this.size(info));
      case 4: {
        const list: PayloadValue[] = [];
        for (let left = this.size(info); left > 0; left--) list.push(this.item(depth + 1));
        return list;
      }
      case 5:
        return this.map(info, depth);
      case 7:
        return this.simple(info);
      default:
        throw new SealError("an item of this kind is not accepted");
    }
  }

  private map(info: number, depth: number): Payload {
    const map: { [key: string]: PayloadValue } = Object.create(null);
    let previous: Uint8Array | undefined;
    for (let left = this.size(info); left > 0; left--) {
      const start = this.pos;
      const head = this.view.getUint8(this.take(1));
      if (head >> 5 !== 3) throw new SealError("a map key is not text");
      const key = this.text(this.size(head & 31));
      const encoded = this.bytes.subarray(start, this.pos);
      if (previous !== undefined && compareBytes(previous, encoded) >= 0)
        throw new SealError("map keys are not sorted");
      previous = encoded;
      map[key] = this.item(depth + 1);
    }
    return map;
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
        const half = this.view.getUint16(this.take(2));
        const value = fromHalf(half);
        if (Number.isNaN(value) && half !== 0x7e00) throw new SealError("not the one NaN");
        return value;
      }
      case 26: {
        const value = this.view.getFloat32(this.take(4));
        if (Number.isNaN(value) || toHalf(value) !== undefined) throw new SealError("not the shortest form");
        return value;
      }
      case 27: {
        const value = this.view.getFloat64(this.take(8));
        if (Number.isNaN(value) || Math.fround(value) === value) throw new SealError("not the shortest form");
        return value;
      }
      default:
        throw new SealError("a simple value of this kind is not accepted");
    }
  }
}

function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Decodes one map; only zero bytes may follow it. */
export function decodeMap(bytes: Uint8Array): Payload {
  const reader = new Reader(bytes);
  const value = reader.item(0);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new SealError("not a map");
  for (let i = reader.pos; i < bytes.length; i++) if (bytes[i] !== 0) throw new SealError("the padding is not zero");
  if (Object.hasOwn(value, sealedKey)) throw new SealError(`a sealed map holds ${sealedKey}`);
  return value as Payload;
}
