/** Filters of REST bodies: conditions are told apart by the fields that they have. */
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  type Condition,
  ConditionSchema,
  DatetimeRangeSchema,
  FieldConditionSchema,
  type Filter,
  FilterSchema,
  HasIdConditionSchema,
  IsEmptyConditionSchema,
  IsNullConditionSchema,
  type Match,
  MatchSchema,
  MinShouldSchema,
  NestedConditionSchema,
  RangeSchema,
  SliceConditionSchema,
} from "../../../gen/qdrant/qdrant_common_pb.js";
import { parseDatetime } from "../../core/index.ts";
import { formatError, isList, type Json, type JsonObject, member, toInteger, toObject, toText } from "./parse.ts";
import { addReader, has, noVariant, part, readFields, readMessage } from "./read.ts";

const clauses = ["should", "must", "must_not"] as const;
const filterKeys = new Set<string>([...clauses, "min_should"]);

/** A list of conditions, or one by itself. */
function readConditions(json: Json | undefined, at: string, depth: number): Condition[] {
  if (json === undefined) return [];
  const list = isList(json) ? json : [json];
  return list.map((item, i) => readMessage(ConditionSchema, item, `${at}[${i}]`, depth) as unknown as Condition);
}

addReader(FilterSchema, (json, at, depth) => {
  const object = toObject(json, "struct Filter", at);
  for (const key of Object.keys(object)) {
    if (filterKeys.has(key)) continue;
    throw formatError(
      `unknown field \`${key.slice(0, 64).toWellFormed()}\`, expected one of \`should\`, \`min_should\`, \`must\`, \`must_not\``,
      at,
    );
  }
  const read = (key: (typeof clauses)[number]) => readConditions(member(object, key), `${at}.${key}`, depth + 1);
  const least = member(object, "min_should");
  return create(FilterSchema, {
    should: read("should"),
    must: read("must"),
    mustNot: read("must_not"),
    ...(least === undefined
      ? {}
      : { minShould: readMessage(MinShouldSchema, least, `${at}.min_should`, depth + 1) as never }),
  });
});

export function readFilter(json: Json, at: string, depth: number): Filter {
  return readMessage(FilterSchema, json, at, depth) as unknown as Filter;
}

addReader(ConditionSchema, (json, at, depth) => {
  const one = (value: Condition["conditionOneOf"]): Condition => create(ConditionSchema, { conditionOneOf: value });
  const object = toObject(json, "a condition", at);
  if (has(object, "key")) {
    return one({ case: "field", value: readMessage(FieldConditionSchema, object, at, depth) as never });
  }
  if (has(object, "has_id")) {
    return one({ case: "hasId", value: readFields(HasIdConditionSchema, object, at, depth) as never });
  }
  const inner = (key: string): Json => object[key] as Json;
  if (has(object, "is_empty")) {
    return one({
      case: "isEmpty",
      value: readMessage(IsEmptyConditionSchema, inner("is_empty"), `${at}.is_empty`, depth + 1) as never,
    });
  }
  if (has(object, "is_null")) {
    return one({
      case: "isNull",
      value: readMessage(IsNullConditionSchema, inner("is_null"), `${at}.is_null`, depth + 1) as never,
    });
  }
  if (has(object, "nested")) {
    return one({
      case: "nested",
      value: readMessage(NestedConditionSchema, inner("nested"), `${at}.nested`, depth + 1) as never,
    });
  }
  if (has(object, "has_vector")) {
    const hasVector = toText(inner("has_vector"), `${at}.has_vector`);
    return one({ case: "hasVector", value: { hasVector } as never });
  }
  if (has(object, "slice")) {
    const slice = readMessage(SliceConditionSchema, inner("slice"), `${at}.slice`, depth + 1);
    // Of a type that has no zero in Qdrant's JSON, so it does not come to the validator.
    if (slice.total === 0) throw formatError("invalid value: integer `0`, expected a nonzero u32", `${at}.slice`);
    return one({ case: "slice", value: slice as never });
  }
  const keys = Object.keys(object);
  if (keys.every((key) => filterKeys.has(key))) {
    return one({ case: "filter", value: readMessage(FilterSchema, object, at, depth + 1) as unknown as Filter });
  }
  throw noVariant("Condition", at);
});

const judgedApart = new Set(["match", "range", "datetime_range"]);

addReader(FieldConditionSchema, (json, at, depth) => {
  const message = readFields(FieldConditionSchema, json, at, depth, { except: judgedApart });
  const object = json as JsonObject;
  const match = member(object, "match");
  if (match !== undefined) message.match = readMatch(match, `${at}.match`);
  const range = member(object, "range");
  if (range !== undefined) setRange(message, range, `${at}.range`, depth + 1);
  return message;
});

const bounds = ["lt", "gt", "gte", "lte"] as const;

/** Dates are texts, everything else is a number. */
function setRange(message: Record<string, unknown>, json: Json, at: string, depth: number): void {
  const object = toObject(json, "a range", at);
  if (!bounds.some((bound) => typeof member(object, bound) === "string")) {
    message.range = readMessage(RangeSchema, json, at, depth);
    return;
  }
  const range: { [K in (typeof bounds)[number]]?: Timestamp } = {};
  for (const bound of bounds) {
    const text = member(object, bound);
    if (text !== undefined) range[bound] = toTimestamp(toText(text, `${at}.${bound}`), `${at}.${bound}`);
  }
  message.datetimeRange = create(DatetimeRangeSchema, range);
}

function toTimestamp(text: string, at: string): Timestamp {
  const micros = parseDatetime(text);
  if (micros === undefined) throw formatError("is not a datetime", at);
  const million = 1_000_000n;
  const rest = ((micros % million) + million) % million;
  return create(TimestampSchema, { seconds: (micros - rest) / million, nanos: Number(rest) * 1_000 });
}

const i64 = 1n << 63n;

function isInteger(json: Json): json is number | bigint {
  return typeof json === "bigint" || (typeof json === "number" && Number.isInteger(json));
}

function toI64(json: Json, at: string): bigint {
  return toInteger(json, -i64, i64 - 1n, "i64", at);
}

/** Values of one kind, strings or integers; an empty list is one of strings, as Qdrant reads it. */
function readAny(json: Json, at: string): { readonly strings: string[] } | { readonly integers: bigint[] } {
  if (!isList(json)) throw noVariant("AnyVariants", at);
  if (json.every((item) => typeof item === "string")) {
    return { strings: json.map((item, i) => toText(item, `${at}[${i}]`)) };
  }
  if (!json.every(isInteger)) throw noVariant("AnyVariants", at);
  return { integers: json.map((item, i) => toI64(item, `${at}[${i}]`)) };
}

const textMatches = [
  ["text", "text"],
  ["text_any", "textAny"],
  ["phrase", "phrase"],
  ["prefix", "prefix"],
] as const;

function readMatch(json: Json, at: string): Match {
  const make = (matchValue: object): Match => create(MatchSchema, { matchValue } as never);
  const value = part(json, "value");
  if (typeof value === "string") return make({ case: "keyword", value: toText(value, `${at}.value`) });
  if (typeof value === "boolean") return make({ case: "boolean", value });
  if (value !== undefined && isInteger(value)) return make({ case: "integer", value: toI64(value, `${at}.value`) });
  for (const [key, name] of textMatches) {
    const text = part(json, key);
    if (text !== undefined) return make({ case: name, value: toText(text, `${at}.${key}`) });
  }
  const any = part(json, "any");
  if (any !== undefined) {
    const found = readAny(any, `${at}.any`);
    return make({ case: "strings" in found ? "keywords" : "integers", value: found });
  }
  const except = part(json, "except");
  if (except !== undefined) {
    const found = readAny(except, `${at}.except`);
    return make({ case: "strings" in found ? "exceptKeywords" : "exceptIntegers", value: found });
  }
  throw noVariant("Match", at);
}
