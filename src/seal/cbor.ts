/**
 * Deterministic CBOR (RFC 8949 section 4.2.1) of a sealed part, as docs/sealing-format-v1.md fixes it for ever: the same
 * payload gives the same bytes in every language. Writes straight from a payload's wire bytes, without objects between.
 */
import { isUtf8 } from "node:buffer";
import { type EncodedPayload, limits, type PayloadValue } from "../core/index.ts";
import { ByteReader, decodeValueAt, guarded, valueTags, WireFault } from "../wire/index.ts";

const entryTag = 0x12;
const keyTag = 0x0a;
const valueTag = 0x12;
const memberTag = 0x0a;

let out = Buffer.allocUnsafe(64 * 1024);
let pos = 0;

const bits = new DataView(new ArrayBuffer(4));

/**
 * The CBOR map of the payload's entries but those in `leaveOut`. The result is a view of a scratch buffer: use it before the
 * next call. Throws bad_input that names the place under `field`.
 */
export function transcodePayload(payload: EncodedPayload, leaveOut?: ReadonlySet<string>, field = "payload"): Buffer {
  if (out.length > 1 << 20) out = Buffer.allocUnsafe(64 * 1024);
  pos = 0;
  guarded(payload, field, () => writeEntries(new ByteReader(payload), 0, payload.length, entryTag, 0, leaveOut));
  return out.subarray(0, pos);
}

/** Room for `extra` zero bytes after the last transcoded item; for padding. */
export function padTranscoded(length: number): Buffer {
  reserve(length - pos);
  out.fill(0, pos, length);
  pos = length;
  return out.subarray(0, pos);
}

function reserve(count: number): void {
  if (pos + count <= out.length) return;
  const grown = Buffer.allocUnsafe(Math.max(out.length * 2, pos + count));
  out.copy(grown, 0, 0, pos);
  out = grown;
}

// ---- writing

/** RFC 8949 section 3: major type and argument in the shortest form; `value` is below 2^53. */
function writeHead(major: number, value: number): void {
  reserve(9);
  const top = major << 5;
  if (value < 24) {
    out[pos++] = top | value;
  } else if (value < 0x100) {
    out[pos] = top | 24;
    out[pos + 1] = value;
    pos += 2;
  } else if (value < 0x10000) {
    out[pos] = top | 25;
    out[pos + 1] = value >> 8;
    out[pos + 2] = value & 0xff;
    pos += 3;
  } else if (value < 0x100000000) {
    out[pos] = top | 26;
    out.writeUInt32BE(value, pos + 1);
    pos += 5;
  } else {
    out[pos] = top | 27;
    out.writeUInt32BE(Math.floor(value / 0x100000000), pos + 1);
    out.writeUInt32BE(value % 0x100000000, pos + 5);
    pos += 9;
  }
}

function writeInteger(value: bigint): void {
  const argument = value >= 0n ? value : -1n - value;
  const major = value >= 0n ? 0 : 1;
  if (argument < 0x100000000n) {
    writeHead(major, Number(argument));
    return;
  }
  reserve(9);
  out[pos] = (major << 5) | 27;
  out.writeBigUInt64BE(argument, pos + 1);
  pos += 9;
}

/** Always a float, in the shortest of half, single and double that keeps the value (RFC 8949 section 4.2.2, rule 2). */
function writeDouble(value: number): void {
  reserve(9);
  if (Number.isNaN(value)) {
    out[pos] = 0xf9;
    out[pos + 1] = 0x7e;
    out[pos + 2] = 0;
    pos += 3;
    return;
  }
  if (Math.fround(value) !== value) {
    out[pos] = 0xfb;
    out.writeDoubleBE(value, pos + 1);
    pos += 9;
    return;
  }
  bits.setFloat32(0, value);
  const single = bits.getUint32(0);
  const half = halfOf(single);
  if (half >= 0) {
    out[pos] = 0xf9;
    out[pos + 1] = half >> 8;
    out[pos + 2] = half & 0xff;
    pos += 3;
  } else {
    out[pos] = 0xfa;
    out.writeUInt32BE(single, pos + 1);
    pos += 5;
  }
}

/** IEEE 754 binary16 of a binary32 that is not NaN; -1 when it would lose something. */
export function halfOf(single: number): number {
  const sign = (single >>> 16) & 0x8000;
  const exponent = (single >>> 23) & 0xff;
  const fraction = single & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00;
  if (exponent === 0) return fraction === 0 ? sign : -1;
  const power = exponent - 127;
  if (power >= -14 && power <= 15) {
    return (fraction & 0x1fff) === 0 ? sign | ((power + 15) << 10) | (fraction >>> 13) : -1;
  }
  if (power < -24 || power > 15) return -1;
  const shift = -power - 1;
  const whole = fraction | 0x800000;
  return (whole & ((1 << shift) - 1)) === 0 ? sign | (whole >>> shift) : -1;
}

function writeText(bytes: Uint8Array, start: number, stop: number): void {
  const length = stop - start;
  writeHead(3, length);
  reserve(length);
  if (length < 48) {
    let at = pos;
    let i = start;
    for (; i < stop; i++) {
      const byte = bytes[i] as number;
      if (byte >= 0x80) break;
      out[at++] = byte;
    }
    if (i === stop) {
      pos = at;
      return;
    }
  }
  const view = bytes.subarray(start, stop);
  if (!isUtf8(view)) throw new WireFault("text is not UTF-8", start);
  out.set(view, pos);
  pos += length;
}

/**
 * Ranges of a map's entries, four numbers each: key start and stop, value start and stop. Sorted bytewise by the keys'
 * encodings, which is by length first; of equal keys the last stays, as protobuf reads maps.
 */
function collectEntries(
  reader: ByteReader,
  start: number,
  stop: number,
  tag: number,
  leaveOut: ReadonlySet<string> | undefined,
): number[] {
  const bytes = reader.bytes;
  const ranges: number[] = [];
  let pos = start;
  while (pos < stop) {
    reader.pos = pos;
    reader.end = stop;
    const found = reader.uint32();
    if (found !== tag) {
      reader.skip(found);
      pos = reader.pos;
      continue;
    }
    reader.range();
    const entryStop = reader.stop;
    reader.pos = reader.start;
    reader.end = entryStop;
    let keyStart = 0;
    let keyStop = 0;
    let valueStart = entryStop;
    let valueStop = entryStop;
    while (reader.pos < entryStop) {
      const inner = reader.uint32();
      if (inner === keyTag) {
        reader.range();
        keyStart = reader.start;
        keyStop = reader.stop;
      } else if (inner === valueTag) {
        reader.range();
        valueStart = reader.start;
        valueStop = reader.stop;
      } else reader.skip(inner);
    }
    pos = entryStop;
    if (leaveOut !== undefined && isLeftOut(bytes, keyStart, keyStop, leaveOut)) continue;
    insertSorted(bytes, ranges, keyStart, keyStop, valueStart, valueStop);
  }
  return ranges;
}

/** Keys to leave out as bytes by their length: a decoded string for each key would cost more than all else here. */
const leftOutBytes = new WeakMap<ReadonlySet<string>, Buffer[][]>();

function isLeftOut(bytes: Uint8Array, start: number, stop: number, keys: ReadonlySet<string>): boolean {
  let byLength = leftOutBytes.get(keys);
  if (byLength === undefined) {
    byLength = [];
    for (const key of keys) {
      const encoded = Buffer.from(key, "utf8");
      const same = byLength[encoded.length] ?? [];
      same.push(encoded);
      byLength[encoded.length] = same;
    }
    leftOutBytes.set(keys, byLength);
  }
  const candidates = byLength[stop - start];
  if (candidates === undefined) return false;
  return candidates.some((key) => key.every((byte, i) => bytes[start + i] === byte));
}

function insertSorted(
  bytes: Uint8Array,
  ranges: number[],
  keyStart: number,
  keyStop: number,
  valueStart: number,
  valueStop: number,
): void {
  let low = 0;
  let high = ranges.length >> 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = compareKeys(bytes, ranges[middle * 4] as number, ranges[middle * 4 + 1] as number, keyStart, keyStop);
    if (order === 0) {
      ranges[middle * 4 + 2] = valueStart;
      ranges[middle * 4 + 3] = valueStop;
      return;
    }
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  if (low * 4 === ranges.length) ranges.push(keyStart, keyStop, valueStart, valueStop);
  else ranges.splice(low * 4, 0, keyStart, keyStop, valueStart, valueStop);
}

function compareKeys(bytes: Uint8Array, aStart: number, aStop: number, bStart: number, bStop: number): number {
  const length = aStop - aStart;
  if (length !== bStop - bStart) return length - (bStop - bStart);
  for (let i = 0; i < length; i++) {
    const order = (bytes[aStart + i] as number) - (bytes[bStart + i] as number);
    if (order !== 0) return order;
  }
  return 0;
}

function writeEntries(
  reader: ByteReader,
  start: number,
  stop: number,
  tag: number,
  depth: number,
  leaveOut?: ReadonlySet<string>,
): void {
  const ranges = collectEntries(reader, start, stop, tag, leaveOut);
  writeHead(5, ranges.length >> 2);
  for (let i = 0; i < ranges.length; i += 4) {
    writeText(reader.bytes, ranges[i] as number, ranges[i + 1] as number);
    writeWireValue(reader, ranges[i + 2] as number, ranges[i + 3] as number, depth + 1);
  }
}

/** `depth` is the level that a container at this place would have. */
function writeWireValue(reader: ByteReader, start: number, stop: number, depth: number): void {
  if (start === stop) {
    // No kind at all reads as null.
    reserve(1);
    out[pos++] = 0xf6;
    return;
  }
  reader.pos = start;
  reader.end = stop;
  const tag = reader.uint32();
  const mark = pos;
  switch (tag) {
    case valueTags.string: {
      reader.range();
      if (reader.stop !== stop) break;
      writeText(reader.bytes, reader.start, reader.stop);
      return;
    }
    case valueTags.integer: {
      const small = reader.smallVarint();
      const value = small >= 0 ? small : reader.int64();
      if (reader.pos !== stop) break;
      if (typeof value === "number") writeHead(0, value);
      else writeInteger(value);
      return;
    }
    case valueTags.double: {
      const value = reader.double();
      if (reader.pos !== stop) break;
      writeDouble(value);
      return;
    }
    case valueTags.bool: {
      const value = reader.bool();
      if (reader.pos !== stop) break;
      reserve(1);
      out[pos++] = value ? 0xf5 : 0xf4;
      return;
    }
    case valueTags.null: {
      reader.int64();
      if (reader.pos !== stop) break;
      reserve(1);
      out[pos++] = 0xf6;
      return;
    }
    case valueTags.struct: {
      reader.range();
      if (reader.stop !== stop) break;
      if (depth > limits.payloadDepthMax) throw new WireFault(depthFault, start);
      writeEntries(reader, reader.start, stop, memberTag, depth);
      return;
    }
    case valueTags.list: {
      reader.range();
      if (reader.stop !== stop) break;
      if (depth > limits.payloadDepthMax) throw new WireFault(depthFault, start);
      writeList(reader, reader.start, stop, depth);
      return;
    }
    default:
      break;
  }
  // Several fields in one Value, or unknown ones: rare, so the slow way, which reads every encoding as protobuf does.
  pos = mark;
  writeValue(decodeValueAt(reader.bytes, start, stop, depth), depth);
}

const depthFault = `nested deeper than ${limits.payloadDepthMax} levels`;

function writeList(reader: ByteReader, start: number, stop: number, depth: number): void {
  const items: number[] = [];
  reader.pos = start;
  reader.end = stop;
  while (reader.pos < stop) {
    const tag = reader.uint32();
    if (tag !== memberTag) {
      reader.skip(tag);
      continue;
    }
    reader.range();
    items.push(reader.start, reader.stop);
  }
  writeHead(4, items.length >> 1);
  for (let i = 0; i < items.length; i += 2) {
    writeWireValue(reader, items[i] as number, items[i + 1] as number, depth + 1);
  }
}

function writeValue(value: PayloadValue, depth: number): void {
  switch (typeof value) {
    case "string": {
      const bytes = Buffer.from(value, "utf8");
      writeText(bytes, 0, bytes.length);
      return;
    }
    case "bigint":
      writeInteger(value);
      return;
    case "number":
      writeDouble(value);
      return;
    case "boolean":
      reserve(1);
      out[pos++] = value ? 0xf5 : 0xf4;
      return;
    default:
      break;
  }
  if (value === null) {
    reserve(1);
    out[pos++] = 0xf6;
    return;
  }
  if (Array.isArray(value)) {
    writeHead(4, value.length);
    for (const item of value) writeValue(item, depth + 1);
    return;
  }
  const object = value as { readonly [key: string]: PayloadValue };
  const keys = Object.keys(object)
    .map((key) => Buffer.from(key, "utf8"))
    .sort((a, b) => a.length - b.length || Buffer.compare(a, b));
  writeHead(5, keys.length);
  for (const key of keys) {
    writeText(key, 0, key.length);
    writeValue(object[key.toString("utf8")] ?? null, depth + 1);
  }
}
