/** Universal queries, selectors and formulas of REST bodies. */
import { create } from "@bufbuild/protobuf";
import { ShardKeySchema } from "../../../gen/qdrant/collections_pb.js";
import {
  ContextInputPairSchema,
  ContextInputSchema,
  type Expression,
  ExpressionSchema,
  FormulaSchema,
  FusionSchema,
  IdfParamsSchema,
  LookupLocationSchema,
  MmrSchema,
  type OrderBy,
  OrderBySchema,
  PointsIdsListSchema,
  PointsSelectorSchema,
  type Query,
  QuerySchema,
  SampleSchema,
  ShardKeySelectorSchema,
  StartFromSchema,
  VectorInputSchema,
  VectorsSelectorSchema,
  WithLookupSchema,
  WithPayloadSelectorSchema,
  WithVectorsSelectorSchema,
} from "../../../gen/qdrant/points_pb.js";
import { ConditionSchema } from "../../../gen/qdrant/qdrant_common_pb.js";
import { badInput } from "../../core/index.ts";
import {
  formatError,
  isList,
  isObject,
  type Json,
  type JsonObject,
  kindOf,
  member,
  toInteger,
  toNumber,
  toText,
  WholeDouble,
} from "./parse.ts";
import { addReader, has, noVariant, part, readEnum, readFields, readMessage } from "./read.ts";
import { readFilter } from "./read-filter.ts";

const texts = (json: readonly Json[], at: string): string[] => json.map((item, i) => toText(item, `${at}[${i}]`));

addReader(WithPayloadSelectorSchema, (json, at) => {
  const make = (selectorOptions: object) => create(WithPayloadSelectorSchema, { selectorOptions } as never);
  if (typeof json === "boolean") return make({ case: "enable", value: json });
  if (isList(json)) return make({ case: "include", value: { fields: texts(json, at) } });
  if (isObject(json)) {
    for (const key of ["include", "exclude"] as const) {
      const fields = member(json, key);
      if (isList(fields)) return make({ case: key, value: { fields: texts(fields, `${at}.${key}`) } });
    }
  }
  throw noVariant("WithPayloadInterface", at);
});

addReader(WithVectorsSelectorSchema, (json, at) => {
  const make = (selectorOptions: object) => create(WithVectorsSelectorSchema, { selectorOptions } as never);
  if (typeof json === "boolean") return make({ case: "enable", value: json });
  if (isList(json)) return make({ case: "include", value: { names: texts(json, at) } });
  throw noVariant("WithVector", at);
});

addReader(VectorsSelectorSchema, (json, at) => {
  if (!isList(json)) throw formatError(`invalid type: ${kindOf(json)}, expected a sequence`, at);
  return create(VectorsSelectorSchema, { names: texts(json, at) });
});

/** `{points: [...]}` or `{filter: {...}}`, beside whatever else the body holds. */
addReader(PointsSelectorSchema, (json, at, depth) => {
  const points = part(json, "points");
  if (points !== undefined) {
    const place = at === "" ? "points" : `${at}.points`;
    const list = readFields(PointsIdsListSchema, { ids: points }, place, depth);
    return create(PointsSelectorSchema, { pointsSelectorOneOf: { case: "points", value: list as never } });
  }
  const given = part(json, "filter");
  if (given !== undefined) {
    const filter = readFilter(given, at === "" ? "filter" : `${at}.filter`, depth + 1);
    return create(PointsSelectorSchema, { pointsSelectorOneOf: { case: "filter", value: filter as never } });
  }
  throw noVariant("PointsSelector", at);
});

const u64 = (1n << 64n) - 1n;
const i64 = 1n << 63n;

addReader(ShardKeySchema, (json, at) =>
  typeof json === "string"
    ? create(ShardKeySchema, { key: { case: "keyword", value: toText(json, at) } })
    : create(ShardKeySchema, { key: { case: "number", value: toInteger(json, 0n, u64, "a shard key", at) } }),
);

addReader(ShardKeySelectorSchema, (json, at, depth) => {
  const read = (key: Json, place: string) => readMessage(ShardKeySchema, key, place, depth + 1) as never;
  if (isList(json))
    return create(ShardKeySelectorSchema, { shardKeys: json.map((key, i) => read(key, `${at}[${i}]`)) });
  const [target, fallback] = [part(json, "target"), part(json, "fallback")];
  if (target !== undefined && fallback !== undefined) {
    return create(ShardKeySelectorSchema, {
      shardKeys: [read(target, `${at}.target`)],
      fallback: read(fallback, `${at}.fallback`),
    });
  }
  return create(ShardKeySelectorSchema, { shardKeys: [read(json, at)] });
});

addReader(OrderBySchema, (json, at, depth) =>
  typeof json === "string"
    ? create(OrderBySchema, { key: toText(json, at) })
    : (readFields(OrderBySchema, json, at, depth) as unknown as OrderBy),
);

addReader(StartFromSchema, (json, at) => {
  if (typeof json === "string")
    return create(StartFromSchema, { value: { case: "datetime", value: toText(json, at) } });
  if (typeof json === "bigint" || (typeof json === "number" && Number.isInteger(json))) {
    return create(StartFromSchema, { value: { case: "integer", value: toInteger(json, -i64, i64 - 1n, "i64", at) } });
  }
  return create(StartFromSchema, { value: { case: "float", value: toNumber(json, at) } });
});

addReader(IdfParamsSchema, (json, at, depth) =>
  json === "global" ? create(IdfParamsSchema, {}) : readFields(IdfParamsSchema, json, at, depth),
);

addReader(WithLookupSchema, (json, at, depth) =>
  typeof json === "string"
    ? create(WithLookupSchema, { collection: toText(json, at) })
    : readFields(WithLookupSchema, json, at, depth),
);

addReader(ContextInputSchema, (json, at, depth) => {
  const pairs = (isList(json) ? json : [json]).map(
    (pair, i) => readMessage(ContextInputPairSchema, pair, `${at}[${i}]`, depth + 1) as never,
  );
  return create(ContextInputSchema, { pairs });
});

addReader(LookupLocationSchema, (json, at, depth) => readFields(LookupLocationSchema, json, at, depth));

const otherQueries = ["recommend", "discover", "context", "order_by", "rrf", "relevance_feedback"] as const;

/** The vector by itself is the nearest query. */
addReader(QuerySchema, (json, at, depth) => {
  const make = (variant: object): Query => create(QuerySchema, { variant } as never);
  const nearest = (input: Json, place: string) => readMessage(VectorInputSchema, input, place, depth + 1);
  if (!isObject(json)) return make({ case: "nearest", value: nearest(json, at) });
  const input = member(json, "nearest");
  if (input !== undefined) {
    const mmr = member(json, "mmr");
    const value = nearest(input, `${at}.nearest`);
    if (mmr === undefined) return make({ case: "nearest", value });
    const read = readMessage(MmrSchema, mmr, `${at}.mmr`, depth + 1);
    return make({ case: "nearestWithMmr", value: { nearest: value, mmr: read } });
  }
  const fusion = member(json, "fusion");
  if (fusion !== undefined) return make({ case: "fusion", value: readEnum(FusionSchema, fusion, `${at}.fusion`) });
  const sample = member(json, "sample");
  if (sample !== undefined) return make({ case: "sample", value: readEnum(SampleSchema, sample, `${at}.sample`) });
  const formula = member(json, "formula");
  if (formula !== undefined) {
    return make({ case: "formula", value: readFields(FormulaSchema, { ...json, expression: formula }, at, depth) });
  }
  for (const key of otherQueries) {
    const value = member(json, key);
    if (value === undefined) continue;
    // The context of a discovery has to be named, if only to say that there is none.
    const none = key === "discover" && isObject(value) && value.context === null;
    const named = none ? { ...value, context: [] } : value;
    return readFields(QuerySchema, { [key]: named }, at, depth) as unknown as Query;
  }
  return make({ case: "nearest", value: nearest(json, at) });
});

const compound = [
  "geo_distance",
  "datetime",
  "datetime_key",
  "div",
  "neg",
  "abs",
  "sqrt",
  "pow",
  "exp",
  "log10",
  "ln",
  "exp_decay",
  "gauss_decay",
  "lin_decay",
] as const;

addReader(ExpressionSchema, (json, at, depth) => {
  const make = (variant: object): Expression => create(ExpressionSchema, { variant } as never);
  if (typeof json === "string") return make({ case: "variable", value: toText(json, at) });
  if (!isObject(json)) {
    if (typeof json !== "number" && typeof json !== "bigint" && !(json instanceof WholeDouble))
      throw noVariant("Expression", at);
    return make({ case: "constant", value: Math.fround(toNumber(json, at)) });
  }
  for (const key of ["mult", "sum"] as const) {
    const list = member(json, key);
    if (!isList(list)) continue;
    const read = list.map((item, i) => readMessage(ExpressionSchema, item, `${at}.${key}[${i}]`, depth + 1));
    return make({ case: key, value: { [key]: read } });
  }
  for (const key of compound) {
    const value = member(json, key);
    if (value !== undefined) return readFields(ExpressionSchema, { [key]: value }, at, depth) as unknown as Expression;
  }
  return make({ case: "condition", value: readMessage(ConditionSchema, json, at, depth + 1) });
});

/** Whether a body selects points at all, where it may do so by either. */
export function requireSelector(object: JsonObject): void {
  if (has(object, "points") || has(object, "filter")) return;
  // The text is Qdrant's.
  throw badInput("Either list of point ids or filter must be provided", "points");
}
