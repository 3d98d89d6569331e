/** What a request asks for beside its matter, a timeout and shard keys, read from its bytes without the rest. */
import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { type ShardKeySelector, ShardKeySelectorSchema } from "../../gen/qdrant/points_pb.js";
import { MessageReader } from "./reader.ts";

export interface Asked {
  readonly collection: string;
  /** The timeout; absent: none. */
  readonly seconds: number | undefined;
  /** The first shard key as messages show it, such as `"user_1"` or `7`; absent: none. */
  readonly shardKey: string | undefined;
  /** Of a write: the caller waits until it is done. */
  readonly wait: boolean;
}

/** For messages that have a `timeout` in seconds beside their `collection_name`; undefined for others, and for requests that ask for neither. */
export function askedReader(message: DescMessage): ((bytes: Uint8Array) => Asked | undefined) | undefined {
  const timeout = message.field.timeout?.number;
  const name = message.field.collectionName?.number;
  const waits = message.field.wait?.number;
  if (timeout === undefined || name === undefined) return undefined;
  const timeoutTag = timeout << 3;
  const nameTag = (name << 3) | 2;
  const waitTag = waits === undefined ? undefined : waits << 3;
  const shards = message.field.shardKeySelector?.number;
  const shardsTag = shards === undefined ? undefined : (shards << 3) | 2;
  return (bytes) => {
    let collection = "";
    let seconds: bigint | undefined;
    let wait = false;
    let shardKey: string | undefined;
    try {
      const r = new MessageReader(bytes);
      while (r.pos < r.end) {
        const tag = r.tag();
        if (tag === timeoutTag) seconds = r.u64();
        else if (tag === nameTag) collection = r.string();
        else if (tag === waitTag) wait = r.bool();
        else if (tag === shardsTag) shardKey = shownKey(fromBinary(ShardKeySelectorSchema, r.slice()));
        else r.skip(tag);
      }
    } catch {
      // What is malformed is said by who reads all of it.
      return undefined;
    }
    if (seconds === undefined && shardKey === undefined) return undefined;
    return { collection, seconds: seconds === undefined ? undefined : Number(seconds), wait, shardKey };
  };
}

function shownKey({ shardKeys: [first] }: ShardKeySelector): string | undefined {
  const key = first?.key;
  return key?.case === "keyword" ? `"${key.value}"` : key?.case === "number" ? String(key.value) : undefined;
}
