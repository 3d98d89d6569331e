/** Ordinary JavaScript objects to payloads and back. */
import { SealError } from "./seal/errors.ts";
import { type Payload, type PayloadValue, payloadDepthMax } from "./seal/payload.ts";

/** A number that stays a double though it is whole: `new Double(1)` is 1.0, `1` is the integer 1. */
export class Double {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export type JsValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Double
  | Date
  | readonly JsValue[]
  | { readonly [key: string]: JsValue | undefined };

export type JsPayload = { readonly [key: string]: JsValue | undefined };

/** Safe whole numbers become integers, as JSON would make them; dates become ISO text; undefined entries are left out. */
export function toPayload(object: JsPayload): Payload {
  return convert(object, 0) as Payload;
}

function convert(value: JsValue, depth: number): PayloadValue {
  if (typeof value === "number") return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Double) return value.value;
  if (value instanceof Date) return value.toISOString();
  if (depth > payloadDepthMax) throw new SealError(`payload: nested deeper than ${payloadDepthMax} levels`);
  if (Array.isArray(value)) return value.map((item: JsValue) => convert(item, depth + 1));
  const out: { [key: string]: PayloadValue } = Object.create(null);
  for (const [key, item] of Object.entries(value))
    if (item !== undefined) out[key] = convert(item as JsValue, depth + 1);
  return out;
}

export type PlainValue = null | boolean | number | bigint | string | PlainValue[] | { [key: string]: PlainValue };

/** Integers become numbers where that is exact and stay bigint where it is not. */
export function fromPayload(payload: Payload): { [key: string]: PlainValue } {
  return plain(payload) as { [key: string]: PlainValue };
}

function plain(value: PayloadValue): PlainValue {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item: PayloadValue) => plain(item));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item as PayloadValue)]));
}
