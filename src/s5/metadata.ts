/** A vector's id and metadata, from the JSON of a database or an upload. */
import { limits, type PayloadObject, sealedKey } from "../core/index.ts";
import { encodePayload } from "../wire/index.ts";
import { LoadError } from "./errors.ts";
import { originalIdKey } from "./record-ids.ts";

export const recordIdLengthMax = 1_024;

export function isRecordId(id: unknown): id is string {
  return typeof id === "string" && id !== "" && id.length <= recordIdLengthMax && id.isWellFormed();
}

/** JSON does not tell 1 from 1.0: what is a safe integer becomes an integer, as Qdrant reads JSON. Changes `value` in place. */
function markIntegers(value: unknown, depth: number, name: string): unknown {
  if (typeof value === "number") return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
  if (typeof value !== "object" || value === null) return value;
  if (depth > limits.payloadDepthMax)
    throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: metadata is nested too deep`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = markIntegers(value[i], depth + 1, name);
    return value;
  }
  // Without a prototype, so that a key named __proto__ stays a key.
  const result: Record<string, unknown> = Object.create(null);
  for (const [key, member] of Object.entries(value)) result[key] = markIntegers(member, depth + 1, name);
  return result;
}

/** As the store keeps a payload. `keepId`: with the id under `_id`. Throws MANIFEST_PARSE_ERROR. */
export function encodeMetadata(metadata: object, id: string, keepId: boolean, name: string): Uint8Array {
  const payload = markIntegers(metadata, 1, name) as Record<string, unknown>;
  if (sealedKey in payload)
    throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: metadata key ${sealedKey} is reserved`);
  if (keepId) {
    if (originalIdKey in payload && payload[originalIdKey] !== id) {
      throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: metadata key ${originalIdKey} is reserved`);
    }
    payload[originalIdKey] = id;
  }
  try {
    return encodePayload(payload as PayloadObject, "metadata");
  } catch {
    throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: metadata cannot be stored`);
  }
}
