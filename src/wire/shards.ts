/** Which shards a request selects. */
import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ShardKey as KeyMessage, ShardKeySchema } from "../../gen/qdrant/collections_pb.js";
import { type ShardKeySelector, ShardKeySelectorSchema } from "../../gen/qdrant/points_pb.js";
import type { ShardKey, ShardSelection } from "../core/index.ts";
import type { BackwardWriter } from "./proto-bytes.ts";
import { MessageReader } from "./reader.ts";

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
