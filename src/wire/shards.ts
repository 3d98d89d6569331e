/** Which shards a request selects. */
import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ShardKey as KeyMessage, ShardKeySchema } from "../../gen/qdrant/collections_pb.js";
import { type ShardKeySelector, ShardKeySelectorSchema } from "../../gen/qdrant/points_pb.js";
import { nameOfSelection, type ShardKey, type ShardSelection } from "../core/index.ts";
import type { BackwardWriter } from "./proto-bytes.ts";
import { MessageReader } from "./reader.ts";
import { usageOf, withUsage } from "./usage.ts";

/** Undefined for a key that is empty. */
export function mapShardKey(message: KeyMessage | undefined): ShardKey | undefined {
  return message?.key.value;
}

/** As qdrant.ShardKey. */
export function toShardKey(key: ShardKey) {
  return {
    key: typeof key === "string" ? { case: "keyword" as const, value: key } : { case: "number" as const, value: key },
  };
}

/** As a field whose tag is one byte. */
export function writeShardKey(w: BackwardWriter, key: ShardKey | undefined, tag: number): void {
  if (key === undefined) return;
  const bytes = toBinary(ShardKeySchema, create(ShardKeySchema, toShardKey(key)));
  w.raw(bytes);
  w.uint32(bytes.length);
  w.byte(tag);
}

/** Undefined: none is selected. */
export function mapShardSelection(selector: ShardKeySelector | undefined): ShardSelection | undefined {
  const keys = (selector?.shardKeys ?? []).flatMap((key) => mapShardKey(key) ?? []);
  if (keys.length === 0) return undefined;
  const fallback = mapShardKey(selector?.fallback);
  return { keys, ...(fallback === undefined ? {} : { fallback }) };
}

/** For messages that have a `shard_key_selector`: reads it from their bytes without the rest. */
export function shardSelectionReader(
  message: DescMessage,
): ((bytes: Uint8Array) => ShardSelection | undefined) | undefined {
  const field = message.field.shardKeySelector?.number;
  if (field === undefined) return undefined;
  const wanted = (field << 3) | 2;
  return (bytes) => {
    let selector: ShardKeySelector | undefined;
    try {
      const r = new MessageReader(bytes);
      while (r.pos < r.end) {
        const tag = r.tag();
        if (tag === wanted) selector = fromBinary(ShardKeySelectorSchema, r.slice());
        else r.skip(tag);
      }
    } catch {
      // What is malformed is said by who reads all of it.
      return undefined;
    }
    return mapShardSelection(selector);
  };
}

export interface CutBatch {
  readonly collection: string;
  readonly parts: number;
  readonly pieces: readonly BatchPiece[];
}

interface BatchPiece {
  /** Undefined: its parts name none. */
  readonly selection: ShardSelection | undefined;
  readonly bytes: Uint8Array;
}

/** For batches whose parts, under `field`, have a `shard_key_selector` each: cuts one where its parts select other shards than those before them. */
export function batchCutter(message: DescMessage, field: string): (bytes: Uint8Array) => CutBatch {
  const parts = message.field[field];
  const read = parts?.message && shardSelectionReader(parts.message);
  const nameNumber = message.field.collectionName?.number;
  if (parts === undefined || read === undefined || nameNumber === undefined)
    throw new Error(`${message.typeName}: no ${field} with shard keys`);
  const partTag = (parts.number << 3) | 2;
  const nameTag = (nameNumber << 3) | 2;
  return (bytes) => {
    let collection = "";
    let count = 0;
    const others: Uint8Array[] = [];
    const runs: { readonly name: string; readonly selection: ShardSelection | undefined; ranges: Uint8Array[] }[] = [];
    try {
      const r = new MessageReader(bytes);
      while (r.pos < r.end) {
        const at = r.pos;
        const tag = r.tag();
        if (tag !== partTag) {
          if (tag === nameTag) collection = r.string();
          else r.skip(tag);
          others.push(r.bytes.subarray(at, r.pos));
          continue;
        }
        count++;
        const selection = read(r.slice());
        const range = r.bytes.subarray(at, r.pos);
        const name = selection === undefined ? "" : nameOfSelection(selection);
        const last = runs.at(-1);
        if (last?.name === name) last.ranges.push(range);
        else runs.push({ name, selection, ranges: [range] });
      }
    } catch {
      // What is malformed is said by who reads all of it.
      return { collection, parts: count, pieces: [{ selection: undefined, bytes }] };
    }
    if (runs.length < 2) return { collection, parts: count, pieces: [{ selection: runs[0]?.selection, bytes }] };
    const pieces = runs.map(({ selection, ranges }) => ({
      selection,
      bytes: new Uint8Array(Buffer.concat([...others, ...ranges])),
    }));
    return { collection, parts: count, pieces };
  };
}

/** The answers of a batch's pieces as one: all results in their order, times and usages summed. */
export function joinAnswers(message: DescMessage, answers: readonly Uint8Array[]): Uint8Array {
  const [resultField, timeField] = [message.field.result, message.field.time];
  if (resultField === undefined || timeField === undefined) throw new Error(`${message.typeName}: no batch's answer`);
  const resultTag = (resultField.number << 3) | 2;
  const timeTag = (timeField.number << 3) | 1;
  const results: Uint8Array[] = [];
  const time = new DataView(new ArrayBuffer(9));
  time.setUint8(0, timeTag);
  const usage = new Map<string, number>();
  for (const answer of answers) {
    const r = new MessageReader(answer);
    while (r.pos < r.end) {
      const at = r.pos;
      const tag = r.tag();
      r.skip(tag);
      const range = r.bytes.subarray(at, r.pos);
      if (tag === resultTag) results.push(range);
      else if (tag === timeTag) {
        const seconds = new DataView(range.buffer, range.byteOffset + 1).getFloat64(0, true);
        time.setFloat64(1, time.getFloat64(1, true) + seconds, true);
      }
    }
    for (const [model, tokens] of usageOf(answer) ?? []) usage.set(model, (usage.get(model) ?? 0) + tokens);
  }
  return withUsage(Buffer.concat([...results, new Uint8Array(time.buffer)]), usage);
}
