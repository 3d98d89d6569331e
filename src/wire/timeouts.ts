/** The timeout that a request asks for, read from its bytes without the rest. */
import type { DescMessage } from "@bufbuild/protobuf";
import { MessageReader } from "./reader.ts";

export interface AskedTimeout {
  readonly collection: string;
  readonly seconds: number;
  /** Of a write: the caller waits until it is done. */
  readonly wait: boolean;
}

/** For messages that have a `timeout` in seconds beside their `collection_name`; undefined for others. */
export function timeoutReader(message: DescMessage): ((bytes: Uint8Array) => AskedTimeout | undefined) | undefined {
  const timeout = message.field.timeout?.number;
  const name = message.field.collectionName?.number;
  const waits = message.field.wait?.number;
  if (timeout === undefined || name === undefined) return undefined;
  const timeoutTag = timeout << 3;
  const nameTag = (name << 3) | 2;
  const waitTag = waits === undefined ? undefined : waits << 3;
  return (bytes) => {
    let collection = "";
    let seconds: bigint | undefined;
    let wait = false;
    try {
      const r = new MessageReader(bytes);
      while (r.pos < r.end) {
        const tag = r.tag();
        if (tag === timeoutTag) seconds = r.u64();
        else if (tag === nameTag) collection = r.string();
        else if (tag === waitTag) wait = r.bool();
        else r.skip(tag);
      }
    } catch {
      // What is malformed is said by who reads all of it.
      return undefined;
    }
    return seconds === undefined ? undefined : { collection, seconds: Number(seconds), wait };
  };
}
