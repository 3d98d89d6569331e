/**
 * Payloads as bytes (see core/payload.ts) and as objects, without generated code. Accepts what protobuf accepts: fields in
 * any order, repeated fields (the last wins, messages merge), unknown fields. The encoding it writes is a disk format.
 */
import { isUtf8 } from "node:buffer";
import {
  badInput,
  type EncodedPayload,
  limits,
  type PayloadObject,
  type PayloadValue,
  sealedKey,
  sealedValueField,
} from "../core/index.ts";
import { envelopeToJson, splitStored } from "./envelope.ts";
import { BackwardWriter, type ByteArena, ByteReader, WireFault } from "./proto-bytes.ts";

export const entryTag = 0x12;
export const keyTag = 0x0a;
export const valueTag = 0x12;
const memberTag = 0x0a;
export const sealedTag = (sealedValueField << 3) | 2;

/** Tags of qdrant.Value. */
export const valueTags = {
  null: 0x08,
  double: 0x11,
  integer: 0x18,
  string: 0x22,
  bool: 0x28,
  struct: 0x32,
  list: 0x3a,
} as const;

/** One scratch buffer for all: writing never waits, so no two writers meet. */
export const writer = new BackwardWriter();
const maxI64 = (1n << 63n) - 1n;
const minI64 = -(1n << 63n);

// ---- objects to bytes

/** Throws bad_input that names the place under `field`. */
export function encodePayload(object: PayloadObject, field = "payload"): EncodedPayload {
  writer.reset();
  const keys = Object.keys(object);
  for (let i = keys.length - 1; i >= 0; i--) {
    const key = keys[i] as string;
    writeEntry(entryTag, key, object[key], 1, () => `${field}.${key}`);
  }
  return finishWriter(field);
}

export function finishWriter(field: string, arena?: ByteArena): EncodedPayload {
  if (writer.length > limits.payloadBytesMax) {
    throw badInput(`${field}: larger than ${limits.payloadBytesMax} bytes`, field);
  }
  return writer.finish(arena);
}

export function writeEntry(
  tag: number,
  key: string,
  value: PayloadValue | undefined,
  depth: number,
  path: () => string,
): void {
  const end = writer.length;
  writeValue(value, depth, path);
  writer.uint32(writer.length - end);
  writer.byte(valueTag);
  if (!key.isWellFormed()) throw badInput(`${path()}: the key is not valid Unicode`, path());
  writer.text(key);
  writer.byte(keyTag);
  writer.uint32(writer.length - end);
  writer.byte(tag);
}

function writeValue(value: PayloadValue | undefined, depth: number, path: () => string): void {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw badInput(`${path()}: the text is not valid Unicode`, path());
      writer.text(value);
      writer.byte(valueTags.string);
      return;
    case "bigint":
      if (value > maxI64 || value < minI64) throw badInput(`${path()}: the integer does not fit 64 bits`, path());
      writer.int64(value);
      writer.byte(valueTags.integer);
      return;
    case "number":
      writer.double(value);
      writer.byte(valueTags.double);
      return;
    case "boolean":
      writer.byte(value ? 1 : 0);
      writer.byte(valueTags.bool);
      return;
    case "object":
      break;
    default:
      throw badInput(`${path()}: not a payload value`, path());
  }
  if (value === null) {
    writer.byte(0);
    writer.byte(valueTags.null);
    return;
  }
  if (depth > limits.payloadDepthMax) throw badInput(tooDeep(path()), path());
  const end = writer.length;
  if (Array.isArray(value)) {
    for (let i = value.length - 1; i >= 0; i--) {
      const itemEnd = writer.length;
      writeValue(value[i], depth + 1, () => `${path()}[${i}]`);
      writer.uint32(writer.length - itemEnd);
      writer.byte(memberTag);
    }
    writer.uint32(writer.length - end);
    writer.byte(valueTags.list);
    return;
  }
  const object = value as { readonly [key: string]: PayloadValue };
  const keys = Object.keys(object);
  for (let i = keys.length - 1; i >= 0; i--) {
    const key = keys[i] as string;
    writeEntry(memberTag, key, object[key], depth + 1, () => `${path()}.${key}`);
  }
  writer.uint32(writer.length - end);
  writer.byte(valueTags.struct);
}

function tooDeep(path: string): string {
  return `${path.length > 200 ? `${path.slice(0, 200)}...` : path}: nested deeper than ${limits.payloadDepthMax} levels`;
}

// ---- bytes to objects

/** Envelopes in stored form come out as their documented JSON. Throws bad_input that names the place under `field`. */
export function decodePayload(payload: EncodedPayload, field = "payload"): PayloadObject {
  return guarded(payload, field, () => {
    const reader = new ByteReader(payload);
    const object = newObject();
    while (reader.pos < payload.length) {
      if (!readEntry(reader, entryTag)) continue;
      const { start, stop } = reader;
      const resume = reader.pos;
      setEntry(reader, object, start, stop, 1, field);
      reader.pos = resume;
      reader.end = payload.length;
    }
    return object;
  });
}

/** Decodes the qdrant.Value that stands in `bytes[start, stop)`; the slow way that accepts every encoding. */
export function decodeValueAt(bytes: Uint8Array, start: number, stop: number, depth: number): PayloadValue {
  return readValue(new ByteReader(bytes, start, stop), depth, undefined);
}

function newObject(): { [key: string]: PayloadValue } {
  // No prototype: a key named __proto__ is a key like any other.
  return Object.create(null);
}

/** Reads one field; true when it is an entry, whose range is in `start` and `stop`. */
function readEntry(reader: ByteReader, tag: number): boolean {
  const found = reader.uint32();
  if (found !== tag) {
    reader.skip(found);
    return false;
  }
  reader.range();
  return true;
}

function setEntry(
  reader: ByteReader,
  object: { [key: string]: PayloadValue },
  start: number,
  stop: number,
  depth: number,
  sealedField: string | undefined,
): void {
  reader.pos = start;
  reader.end = stop;
  let key = "";
  let valueStart = stop;
  let valueStop = stop;
  while (reader.pos < stop) {
    const tag = reader.uint32();
    if (tag === keyTag) {
      reader.range();
      key = readText(reader);
    } else if (tag === valueTag) {
      reader.range();
      valueStart = reader.start;
      valueStop = reader.stop;
    } else reader.skip(tag);
  }
  reader.pos = valueStart;
  reader.end = valueStop;
  object[key] = readValue(reader, depth, key === sealedKey ? sealedField : undefined);
}

function readText(reader: ByteReader): string {
  const { bytes, start, stop } = reader;
  if (stop - start < 32) {
    // Short ASCII, most keys and many values, is quicker without a call into native code.
    let text = "";
    let i = start;
    for (; i < stop; i++) {
      const byte = bytes[i] as number;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
    if (i === stop) return text;
  }
  const view = Buffer.from(bytes.buffer, bytes.byteOffset + start, stop - start);
  if (!isUtf8(view)) throw new WireFault("text is not UTF-8", start);
  return view.toString("utf8");
}

function readValue(reader: ByteReader, depth: number, sealedField: string | undefined): PayloadValue {
  const end = reader.end;
  let value: PayloadValue = null;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case valueTags.null:
        reader.int64();
        value = null;
        break;
      case valueTags.double:
        value = reader.double();
        break;
      case valueTags.integer:
        value = reader.int64();
        break;
      case valueTags.string:
        reader.range();
        value = readText(reader);
        break;
      case valueTags.bool:
        value = reader.bool();
        break;
      case valueTags.struct: {
        reader.range();
        if (depth > limits.payloadDepthMax) throw new WireFault(depthFault, reader.start);
        // A message field that comes twice is merged (protobuf, "last one wins" for scalars only).
        const object: { [key: string]: PayloadValue } = isStruct(value) ? value : newObject();
        const stop = reader.stop;
        reader.pos = reader.start;
        while (reader.pos < stop) {
          reader.end = stop;
          if (!readEntry(reader, memberTag)) continue;
          const resume = reader.pos;
          setEntry(reader, object, reader.start, reader.stop, depth + 1, undefined);
          reader.pos = resume;
        }
        reader.pos = stop;
        reader.end = end;
        value = object;
        break;
      }
      case valueTags.list: {
        reader.range();
        if (depth > limits.payloadDepthMax) throw new WireFault(depthFault, reader.start);
        const list: PayloadValue[] = Array.isArray(value) ? value : [];
        const stop = reader.stop;
        reader.pos = reader.start;
        while (reader.pos < stop) {
          reader.end = stop;
          if (!readEntry(reader, memberTag)) continue;
          const resume = reader.pos;
          reader.pos = reader.start;
          reader.end = reader.stop;
          list.push(readValue(reader, depth + 1, undefined));
          reader.pos = resume;
        }
        reader.pos = stop;
        reader.end = end;
        value = list;
        break;
      }
      case sealedTag: {
        reader.range();
        if (sealedField === undefined) throw new WireFault("sealed form outside of $sealpoint", reader.start);
        const field = `${sealedField}.${sealedKey}`;
        const stored = reader.bytes.subarray(reader.start, reader.stop);
        value = splitStored(stored, field).map((envelope, i) => envelopeToJson(envelope, `${field}[${i}]`));
        break;
      }
      default:
        reader.skip(tag);
    }
  }
  return value;
}

const depthFault = `nested deeper than ${limits.payloadDepthMax} levels`;

function isStruct(value: PayloadValue): value is { [key: string]: PayloadValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// ---- faults

/** Runs `read`; turns a WireFault into bad_input whose field is the JSON path of the place. */
export function guarded<T>(payload: EncodedPayload, field: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof WireFault)) throw error;
    const path = locate(payload, error.offset, field);
    const shown = path.length > 200 ? `${path.slice(0, 200)}...` : path;
    throw badInput(`${shown}: ${error.message}`, shown);
  }
}

/** The JSON path of a byte: errors are rare, so the path is walked again instead of being carried along. */
function locate(payload: EncodedPayload, offset: number, field: string): string {
  let path = field;
  const reader = new ByteReader(payload);
  const entryOrItem = { tag: entryTag, list: false };
  try {
    for (let depth = 0; depth <= limits.payloadDepthMax + 1; depth++) {
      let index = 0;
      while (true) {
        if (reader.pos >= reader.end) return path;
        if (!readEntry(reader, entryOrItem.tag)) continue;
        if (offset <= reader.stop) break;
        index++;
      }
      reader.pos = reader.start;
      reader.end = reader.stop;
      if (entryOrItem.list) path += `[${index}]`;
      else {
        let valueFound = false;
        const inner = new ByteReader(payload, reader.start, reader.stop);
        while (inner.pos < inner.end) {
          const tag = inner.uint32();
          inner.range();
          if (tag === keyTag) path += `.${readText(inner).slice(0, 64)}`;
          else if (tag === valueTag && offset >= inner.start) {
            reader.pos = inner.start;
            reader.end = inner.stop;
            valueFound = true;
          }
        }
        if (!valueFound) return path;
      }
      // Into the container that holds the place, if one does.
      let entered = false;
      while (reader.pos < reader.end && !entered) {
        const tag = reader.uint32();
        if (tag !== valueTags.struct && tag !== valueTags.list) {
          reader.skip(tag);
          continue;
        }
        reader.range();
        if (offset > reader.stop) continue;
        entryOrItem.tag = memberTag;
        entryOrItem.list = tag === valueTags.list;
        reader.pos = reader.start;
        reader.end = reader.stop;
        entered = true;
      }
      if (!entered) return path;
    }
  } catch (error) {
    if (!(error instanceof WireFault)) throw error;
  }
  return path;
}

// ---- top-level entries without decoding

/** Calls `visit` with each top-level entry's key and range (tag included). Repeated keys come as often as they stand. */
export function visitEntries(
  payload: EncodedPayload,
  visit: (key: string, start: number, stop: number, valueStart: number, valueStop: number) => void,
  field = "payload",
): void {
  guarded(payload, field, () => {
    const reader = new ByteReader(payload);
    while (reader.pos < payload.length) {
      const start = reader.pos;
      reader.end = payload.length;
      if (!readEntry(reader, entryTag)) continue;
      const stop = reader.stop;
      reader.pos = reader.start;
      reader.end = stop;
      let key = "";
      let valueStart = stop;
      let valueStop = stop;
      while (reader.pos < stop) {
        const tag = reader.uint32();
        if (tag === keyTag) {
          reader.range();
          key = readText(reader);
        } else if (tag === valueTag) {
          reader.range();
          valueStart = reader.start;
          valueStop = reader.stop;
        } else reader.skip(tag);
      }
      reader.pos = stop;
      visit(key, start, stop, valueStart, valueStop);
    }
  });
}

export function payloadKeys(payload: EncodedPayload, field?: string): string[] {
  const keys = new Set<string>();
  visitEntries(payload, (key) => keys.add(key), field);
  return [...keys];
}

/** The entries whose key is in `keys`. */
export function pickEntries(payload: EncodedPayload, keys: ReadonlySet<string>, field?: string): EncodedPayload {
  return filterEntries(payload, (key) => keys.has(key), field);
}

/** The entries whose key is not in `keys`. */
export function omitEntries(payload: EncodedPayload, keys: ReadonlySet<string>, field?: string): EncodedPayload {
  return filterEntries(payload, (key) => !keys.has(key), field);
}

function filterEntries(payload: EncodedPayload, keep: (key: string) => boolean, field?: string): EncodedPayload {
  const ranges: number[] = [];
  let size = 0;
  visitEntries(
    payload,
    (key, start, stop) => {
      if (!keep(key)) return;
      ranges.push(start, stop);
      size += stop - start;
    },
    field,
  );
  if (size === payload.length) return payload;
  const out = new Uint8Array(size);
  let pos = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    out.set(payload.subarray(ranges[i], ranges[i + 1]), pos);
    pos += (ranges[i + 1] as number) - (ranges[i] as number);
  }
  return out;
}
