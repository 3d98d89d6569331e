/** Protobuf's JSON of qdrant.Value, to and from payload values: independent of the code under test. */
import type { PayloadObject, PayloadValue } from "../../src/core/index.ts";

export function toProtoJson(value: PayloadValue): unknown {
  if (value === null) return { nullValue: null };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "bigint") return { integerValue: value.toString() };
  // JSON has no -0: protobuf writes it as the text "-0".
  if (typeof value === "number")
    return {
      doubleValue:
        Number.isFinite(value) && !Object.is(value, -0) ? value : Object.is(value, -0) ? "-0" : String(value),
    };
  if (Array.isArray(value)) return { listValue: { values: value.map(toProtoJson) } };
  return {
    structValue: { fields: Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toProtoJson(item)])) },
  };
}

export function fromProtoJson(json: unknown): PayloadValue {
  const [[kind, inner]] = Object.entries(json as object) as [[string, unknown]];
  switch (kind) {
    case "nullValue":
      return null;
    case "boolValue":
    case "stringValue":
      return inner as boolean | string;
    case "integerValue":
      return BigInt(inner as string);
    case "doubleValue":
      return Number(inner);
    case "listValue":
      return ((inner as { values?: unknown[] }).values ?? []).map(fromProtoJson);
    case "structValue":
      return fromProtoMap((inner as { fields?: object }).fields ?? {});
    default:
      throw new Error(`not a value: ${kind}`);
  }
}

export function fromProtoMap(json: object): PayloadObject {
  const object: { [key: string]: PayloadValue } = Object.create(null);
  for (const [key, value] of Object.entries(json)) object[key] = fromProtoJson(value);
  return object;
}
