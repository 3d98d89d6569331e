/** qdrant.PointId { oneof { uint64 num = 1; string uuid = 2; } } */

import type { PointId as PointIdMessage } from "../../gen/qdrant/qdrant_common_pb.js";
import { badInput, type PointId, parseUuid } from "../core/index.ts";
import type { MessageReader } from "./reader.ts";

const canonicalUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function readUuid(text: string, field: string): string {
  return canonicalUuid.test(text) ? text : parseUuid(text, field);
}

/** From the length of a PointId on. Undefined for a message without id. */
export function readPointId(r: MessageReader, field: string): PointId | undefined {
  const outer = r.enter();
  let id: PointId | undefined;
  let uuid: string | undefined;
  while (r.pos < r.end) {
    const tag = r.tag();
    if (tag === 0x08) {
      id = r.u64();
      uuid = undefined;
    } else if (tag === 0x12) {
      uuid = r.string();
    } else {
      r.skipUnknown(tag, 0b110);
    }
  }
  r.leave(outer);
  return uuid === undefined ? id : readUuid(uuid, field);
}

export function mapPointId(message: PointIdMessage | undefined, field: string): PointId | undefined {
  switch (message?.pointIdOptions.case) {
    case "num":
      return message.pointIdOptions.value;
    case "uuid":
      return readUuid(message.pointIdOptions.value, field);
    default:
      return undefined;
  }
}

export function requirePointId(id: PointId | undefined, field: string): PointId {
  // The text is Qdrant's.
  if (id === undefined) throw badInput("Empty ID is not allowed", field);
  return id;
}

export function mapPointIds(messages: readonly PointIdMessage[], field: string): PointId[] {
  return messages.map((message, index) => {
    const name = `${field}[${index}]`;
    return requirePointId(mapPointId(message, name), name);
  });
}

export function toPointIdMessage(id: PointId): PointIdMessage {
  return {
    $typeName: "qdrant.PointId",
    pointIdOptions: typeof id === "bigint" ? { case: "num", value: id } : { case: "uuid", value: id },
  };
}
