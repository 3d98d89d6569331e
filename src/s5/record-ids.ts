/**
 * How an S5 id becomes a point id. The rule is part of what a collection stores and may never change:
 * - a canonical decimal u64 ("0", "42", no leading zeros) becomes that number,
 * - a UUID in its hyphenated form becomes that UUID,
 * - any other string becomes the UUIDv5 (RFC 9562 section 5.5) of its UTF-8 bytes under `namespace`.
 * Where the point id does not read as the original does, the payload keeps the original under `_id`.
 */
import { createHash } from "node:crypto";
import { maxU64, type PointId, uuidBytes, uuidFromBytes } from "../core/index.ts";

export const originalIdKey = "_id";

/** A random UUID made once for this purpose. */
const namespace = uuidBytes("7c1e6f0a-3f0b-4d51-9d3c-5a5b8f6e2d47");

const decimalForm = /^(?:0|[1-9][0-9]{0,19})$/;
const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function toPointId(id: string): PointId {
  if (decimalForm.test(id)) {
    const value = BigInt(id);
    if (value <= maxU64) return value;
  }
  if (uuidForm.test(id)) return id.toLowerCase();
  const hash = createHash("sha1").update(namespace).update(id, "utf8").digest();
  hash[6] = ((hash[6] as number) & 0x0f) | 0x50;
  hash[8] = ((hash[8] as number) & 0x3f) | 0x80;
  return uuidFromBytes(hash);
}
