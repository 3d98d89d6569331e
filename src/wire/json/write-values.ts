/** JSON text of values and ids, straight from their protobuf bytes: integers stay exact and doubles stay doubles. Points are written natively. */
import { DomainError, limits } from "../../core/index.ts";
import { doubleText } from "../number-text.ts";
import { entryTag, valueTags } from "../payload-codec.ts";
import { ByteReader } from "../proto-bytes.ts";

const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

export function stringText(text: string): string {
  return plain.test(text) ? `"${text}"` : JSON.stringify(text);
}

function utf8(r: ByteReader): string {
  return Buffer.from(r.bytes.buffer, r.bytes.byteOffset + r.start, r.stop - r.start).toString("utf8");
}

/** A varint as decimal text. */
export function unsignedText(r: ByteReader): string {
  const small = r.smallVarint();
  return small >= 0 ? String(small) : BigInt.asUintN(64, r.int64()).toString();
}

function signedText(r: ByteReader): string {
  const small = r.smallVarint();
  return small >= 0 ? String(small) : BigInt.asIntN(64, r.int64()).toString();
}

/** Goes into the range that `range()` just left; gives where to go on. */
function enter(r: ByteReader): readonly [pos: number, end: number] {
  const outer = [r.pos, r.end] as const;
  r.pos = r.start;
  r.end = r.stop;
  return outer;
}

function leave(r: ByteReader, outer: readonly [pos: number, end: number]): void {
  r.pos = outer[0];
  r.end = outer[1];
}

/** The qdrant.Value in `r`, up to its end. Payloads were checked at the write, so what is odd here is damage. */
export function valueText(r: ByteReader, depth: number): string {
  if (depth > limits.payloadDepthMax + 1) throw new DomainError("data_loss", "a stored payload is damaged");
  let text = "null";
  while (r.pos < r.end) {
    const tag = r.uint32();
    switch (tag) {
      case valueTags.null:
        r.int64();
        text = "null";
        break;
      case valueTags.double:
        text = doubleText(r.double());
        break;
      case valueTags.integer:
        text = signedText(r);
        break;
      case valueTags.string:
        r.range();
        text = stringText(utf8(r));
        break;
      case valueTags.bool:
        text = r.bool() ? "true" : "false";
        break;
      case valueTags.struct: {
        r.range();
        const outer = enter(r);
        const entries = new Map<string, string>();
        while (r.pos < r.end) {
          const inner = r.uint32();
          if (inner === 0x0a) readEntry(r, entries, depth + 1);
          else r.skip(inner);
        }
        leave(r, outer);
        text = entriesText(entries);
        break;
      }
      case valueTags.list: {
        r.range();
        const outer = enter(r);
        text = "";
        while (r.pos < r.end) {
          const inner = r.uint32();
          if (inner !== 0x0a) {
            r.skip(inner);
            continue;
          }
          r.range();
          const item = enter(r);
          text += `${text === "" ? "" : ","}${valueText(r, depth + 1)}`;
          leave(r, item);
        }
        leave(r, outer);
        text = `[${text}]`;
        break;
      }
      default:
        r.skip(tag);
    }
  }
  return text;
}

/** A map entry from its length on: key = 1, value = 2. A key that comes twice counts with its last value. */
function readEntry(r: ByteReader, entries: Map<string, string>, depth: number): void {
  r.range();
  const outer = enter(r);
  let key = '""';
  let value = "null";
  while (r.pos < r.end) {
    const tag = r.uint32();
    if (tag === 0x0a) {
      r.range();
      key = stringText(utf8(r));
    } else if (tag === 0x12) {
      r.range();
      const inner = enter(r);
      value = valueText(r, depth);
      leave(r, inner);
    } else r.skip(tag);
  }
  leave(r, outer);
  entries.set(key, value);
}

function entriesText(entries: ReadonlyMap<string, string>): string {
  let text = "";
  for (const [key, value] of entries) text += `${text === "" ? "{" : ","}${key}:${value}`;
  return text === "" ? "{}" : `${text}}`;
}

/** A payload as the store keeps it, as the JSON of an object. */
export function payloadText(payload: Uint8Array): string {
  const r = new ByteReader(payload);
  const entries = new Map<string, string>();
  while (r.pos < r.end) {
    const tag = r.uint32();
    if (tag === entryTag) readEntry(r, entries, 1);
    else r.skip(tag);
  }
  return entriesText(entries);
}

/** PointId { num = 1, uuid = 2 }, from its length on. */
export function idText(r: ByteReader): string {
  r.range();
  const outer = enter(r);
  let text = "0";
  while (r.pos < r.end) {
    const tag = r.uint32();
    if (tag === 0x08) text = unsignedText(r);
    else if (tag === 0x12) {
      r.range();
      text = stringText(utf8(r));
    } else r.skip(tag);
  }
  leave(r, outer);
  return text;
}

/** Calls `visit` for each field of the message in `r`; what it does not take is skipped. */
export function eachField(r: ByteReader, visit: (tag: number) => boolean): void {
  while (r.pos < r.end) {
    const tag = r.uint32();
    if (!visit(tag)) r.skip(tag);
  }
}

/** Runs `read` inside of the message whose length comes next. */
export function inside<T>(r: ByteReader, read: () => T): T {
  r.range();
  const outer = enter(r);
  const result = read();
  leave(r, outer);
  return result;
}
