/**
 * The encoder against the programs of oracle-cases.jsonl, which oracle.py wrote on its own. The answers of the same cases are checked natively
 * (src/native/addon/check/filter_check.cc).
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Bounds, Condition, Filter, GeoPoint } from "../../src/core/filter.ts";
import { encodeFilter } from "../../src/filter/index.ts";

// biome-ignore lint/suspicious/noExplicitAny: Qdrant's REST form of a filter, written by oracle.py
type Rest = any;

const lines = readFileSync(new URL("./oracle-cases.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n");

/** Integers as bigint, exactly; numbers with a dot or an exponent as number. */
function parse(line: string): Rest {
  const reviver = (_key: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && context?.source !== undefined && /^-?\d+$/.test(context.source)
      ? BigInt(context.source)
      : value;
  return JSON.parse(line, reviver as (key: string, value: unknown) => unknown);
}

function bounds<T>(spec: Rest, convert: (value: Rest) => T): Bounds<T> {
  return Object.fromEntries(Object.entries(spec).map(([name, value]) => [name, convert(value)])) as Bounds<T>;
}

function geoPoint(spec: Rest): GeoPoint {
  return { lon: Number(spec.lon), lat: Number(spec.lat) };
}

function micros(date: string): bigint {
  const [seconds, fraction = ""] = date.replace("Z", "").split(".");
  return BigInt(Date.parse(`${seconds}Z`)) * 1000n + BigInt(fraction.padEnd(6, "0"));
}

function matchCondition(key: string, match: Rest): Condition {
  const { value } = match;
  if (typeof value === "string") return { kind: "match_keyword", key, value };
  if (typeof value === "boolean") return { kind: "match_bool", key, value };
  if (typeof value === "bigint") return { kind: "match_integer", key, value };
  const side = match.any === undefined ? "except" : "any";
  const values = match[side];
  const type = typeof values[0] === "string" ? "keywords" : "integers";
  return { kind: `match_${side}_${type}`, key, values } as Condition;
}

function toCondition(spec: Rest): Condition {
  if (spec.has_id !== undefined) return { kind: "has_id", ids: spec.has_id };
  if (spec.nested !== undefined) return { kind: "nested", key: spec.nested.key, filter: toFilter(spec.nested.filter) };
  if (spec.is_empty !== undefined) return { kind: "is_empty", key: spec.is_empty.key };
  if (spec.is_null !== undefined) return { kind: "is_null", key: spec.is_null.key };
  const { key } = spec;
  if (key === undefined) return { kind: "filter", filter: toFilter(spec) };
  if (spec.match !== undefined) return matchCondition(key, spec.match);
  if (spec.values_count !== undefined)
    return { kind: "values_count", key, bounds: bounds<bigint>(spec.values_count, BigInt) };
  if (spec.range !== undefined) {
    return Object.values(spec.range).some((value) => typeof value === "string")
      ? { kind: "datetime_range", key, bounds: bounds(spec.range, micros) }
      : { kind: "range", key, bounds: bounds(spec.range, Number) };
  }
  if (spec.geo_bounding_box !== undefined) {
    const { top_left, bottom_right } = spec.geo_bounding_box;
    return { kind: "geo_box", key, topLeft: geoPoint(top_left), bottomRight: geoPoint(bottom_right) };
  }
  if (spec.geo_radius !== undefined) {
    return {
      kind: "geo_radius",
      key,
      center: geoPoint(spec.geo_radius.center),
      radius: Number(spec.geo_radius.radius),
    };
  }
  const ring = (points: Rest) => points.points.map(geoPoint);
  const { exterior, interiors = [] } = spec.geo_polygon;
  return { kind: "geo_polygon", key, exterior: ring(exterior), interiors: interiors.map(ring) };
}

function toFilter(spec: Rest): Filter {
  const list = (conditions: Rest): Condition[] => (conditions ?? []).map(toCondition);
  const filter = { must: list(spec.must), should: list(spec.should), mustNot: list(spec.must_not) };
  if (spec.min_should === undefined) return filter;
  const { conditions, min_count } = spec.min_should;
  return { ...filter, minShould: { conditions: list(conditions), minCount: Number(min_count) } };
}

test("the encoder writes the programs of the oracle", () => {
  expect(lines.length).toBeGreaterThan(200);
  const kinds = new Set<string>();
  for (const line of lines) {
    const spec = parse(line);
    const filter = toFilter(spec.filter);
    for (const condition of [...filter.must, ...filter.should, ...filter.mustNot]) kinds.add(condition.kind);
    expect(Buffer.from(encodeFilter(filter)).toString("hex"), line).toBe(spec.program_hex);
  }
  // Every kind but has_vector, which the oracle cannot answer without vectors.
  expect(kinds.size).toBe(18);
});
