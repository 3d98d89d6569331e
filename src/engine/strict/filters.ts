/** What strict mode counts in a filter, and which index each of its conditions needs. */
import {
  badInput,
  type Condition,
  type Expression,
  type FieldIndex,
  type FieldIndexType,
  type Filter,
  partsOf,
  type StrictMode,
  shardOfVector,
} from "../../core/index.ts";

export type Indexes = ReadonlyMap<string, FieldIndex>;

/** Qdrant's form of these errors. */
export function strictError(what: string, help: string): Error {
  return badInput(`Bad request: ${what}. Help: ${help}`);
}

function* conditionsOf(filter: Filter): Iterable<Condition> {
  yield* filter.must;
  yield* filter.should;
  yield* filter.mustNot;
  yield* filter.minShould?.conditions ?? [];
}

/** Conditions of all levels; those that hold others are not counted themselves. */
export function countConditions(filter: Filter | undefined): number {
  if (filter === undefined) return 0;
  let count = 0;
  for (const condition of conditionsOf(filter)) {
    if (condition.kind === "filter" || condition.kind === "nested") count += countConditions(condition.filter);
    // That of a shard is none of the caller's.
    else if (condition.kind !== "has_vector" || shardOfVector(condition.name) === undefined) count += 1;
  }
  return count;
}

/** Values of the greatest condition: those of a match any, ids, corners of a polygon. */
export function greatestCondition(filter: Filter): number {
  let greatest = 0;
  for (const condition of conditionsOf(filter)) greatest = Math.max(greatest, sizeOf(condition));
  return greatest;
}

function sizeOf(condition: Condition): number {
  switch (condition.kind) {
    case "filter":
    case "nested":
      return greatestCondition(condition.filter);
    case "match_any_keywords":
    case "match_any_integers":
    case "match_except_keywords":
    case "match_except_integers":
      return condition.values.length;
    case "has_id":
      return condition.ids.length;
    case "geo_polygon":
      return condition.interiors.reduce((sum, ring) => sum + ring.length, condition.exterior.length);
    default:
      return 0;
  }
}

export function checkFilter(
  strict: StrictMode,
  indexes: Indexes,
  filter: Filter | undefined,
  allowUnindexed: boolean | undefined,
): void {
  if (filter === undefined) return;
  const { filterMaxConditions, conditionMaxSize } = strict;
  if (filterMaxConditions !== undefined) {
    const count = countConditions(filter);
    if (count > filterMaxConditions) {
      throw strictError(
        `Filter condition limit reached (${count} > ${filterMaxConditions})`,
        "Reduce the amount of conditions of your filter.",
      );
    }
  }
  if (conditionMaxSize !== undefined) {
    const size = greatestCondition(filter);
    if (size > conditionMaxSize) {
      throw strictError(
        `Condition size limit reached (${size} > ${conditionMaxSize})`,
        "Reduce the size of your condition.",
      );
    }
  }
  if (allowUnindexed !== false) return;
  const lacking = unindexed(indexes, filter, "");
  if (lacking !== undefined) throw indexRequired(lacking, "Create an index for this key or use a different filter.");
}

interface Lacking {
  readonly key: string;
  readonly types: readonly FieldIndexType[];
}

function indexRequired({ key, types }: Lacking, help: string): Error {
  const shown = [...new Set(types)].sort().join(", ");
  return strictError(`Index required but not found for "${key}" of one of the following types: [${shown}]`, help);
}

const anyIndex: readonly FieldIndexType[] = ["bool", "datetime", "float", "geo", "integer", "keyword", "text", "uuid"];

/** By key: the types of which an index would serve the conditions that have none. */
export function unindexedFields(indexes: Indexes, filter: Filter): ReadonlyMap<string, ReadonlySet<FieldIndexType>> {
  const found = new Map<string, Set<FieldIndexType>>();
  for (const { key, types } of lackingOf(indexes, filter, "")) {
    found.set(key, new Set([...(found.get(key) ?? []), ...types]));
  }
  return found;
}

/** The first key of the filter that has no index which serves its condition. */
function unindexed(indexes: Indexes, filter: Filter, prefix: string): Lacking | undefined {
  for (const lacking of lackingOf(indexes, filter, prefix)) return lacking;
  return undefined;
}

function* lackingOf(indexes: Indexes, filter: Filter, prefix: string): Iterable<Lacking> {
  for (const condition of conditionsOf(filter)) {
    if (condition.kind === "filter" || condition.kind === "nested") {
      const under = condition.kind === "filter" ? prefix : `${prefix}${condition.key.replace(/\[\]$/, "")}[].`;
      yield* lackingOf(indexes, condition.filter, under);
      continue;
    }
    const types = requiredIndexes(condition);
    if (types.length === 0 || !("key" in condition)) continue;
    const key = prefix + condition.key;
    const index = indexes.get(key);
    if (index === undefined || !types.includes(index.type) || !serves(index, condition)) yield { key, types };
  }
}

/** An integer index may be made without one of its two halves, a text index without places. */
function serves(index: FieldIndex, condition: Condition): boolean {
  const params = index.params === "" ? {} : (Object.values(JSON.parse(index.params) as object)[0] as Params);
  if (index.type === "integer" && condition.kind.startsWith("match")) return params.lookup !== false;
  if (index.type === "integer" && condition.kind === "range") return params.range !== false;
  if (condition.kind === "match_phrase") return params.phraseMatching === true;
  if (condition.kind === "match_prefix") return params.prefix !== undefined;
  return true;
}

interface Params {
  readonly lookup?: boolean;
  readonly range?: boolean;
  readonly phraseMatching?: boolean;
  readonly prefix?: object;
}

const uuid = /^(?:urn:uuid:)?\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?$/i;

const keywordTypes = (values: readonly string[]): readonly FieldIndexType[] =>
  values.every((value) => uuid.test(value)) ? ["keyword", "uuid"] : ["keyword"];

/** Empty: the condition needs none. */
function requiredIndexes(condition: Condition): readonly FieldIndexType[] {
  switch (condition.kind) {
    case "match_keyword":
      return keywordTypes([condition.value]);
    case "match_any_keywords":
    case "match_except_keywords":
      return condition.values.length === 0 ? [] : keywordTypes(condition.values);
    case "match_integer":
      return ["integer"];
    case "match_any_integers":
    case "match_except_integers":
      return condition.values.length === 0 ? [] : ["integer"];
    case "match_bool":
      return ["bool"];
    case "range":
      return ["float", "integer"];
    case "datetime_range":
      return ["datetime"];
    case "geo_box":
    case "geo_radius":
    case "geo_polygon":
      return ["geo"];
    case "values_count":
    case "is_empty":
    case "is_null":
      return anyIndex;
    case "has_id":
    case "has_vector":
    case "slice":
    case "filter":
    case "nested":
      return [];
    case "match_text":
    case "match_text_any":
    case "match_phrase":
      return ["text"];
    case "match_prefix":
      return ["keyword"];
    default:
      return condition satisfies never;
  }
}

/** A formula reads its variables from indexes. */
export function checkExpression(indexes: Indexes, one: Expression): void {
  const need = (key: string, types: readonly FieldIndexType[]): void => {
    const index = indexes.get(key);
    if (index !== undefined && types.includes(index.type)) return;
    throw indexRequired({ key, types }, "Create an index for this key or use a different formula expression.");
  };
  switch (one.kind) {
    case "variable":
      if (!one.name.startsWith("$score")) need(one.name, ["float", "integer"]);
      return;
    case "condition": {
      const lacking = unindexed(indexes, { must: [one.condition], should: [], mustNot: [] }, "");
      if (lacking !== undefined) need(lacking.key, lacking.types);
      return;
    }
    case "geo_distance":
      need(one.to, ["geo"]);
      return;
    case "datetime_key":
      need(one.key, ["datetime"]);
      return;
    default:
      for (const part of partsOf(one)) checkExpression(indexes, part);
  }
}

/** Groups are made of values that an index can match. */
export function checkGroupKey(indexes: Indexes, key: string): void {
  const index = indexes.get(key);
  const help = "Create an index supporting `match` for this key.";
  if (index === undefined) throw strictError(`Index required but not found for "${key}"`, help);
  if (!["keyword", "integer", "uuid", "bool"].includes(index.type)) {
    const kind = index.type[0]?.toUpperCase() + index.type.slice(1);
    throw strictError(`Index of type "${kind}" found for "${key}"`, help);
  }
}
