/** qdrant.Filter to core's Filter: bounded, ids and dates canonical. What is not supported is refused by name. */
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type {
  Condition as ConditionMessage,
  FieldCondition,
  Filter as FilterMessage,
  GeoLineString,
  GeoPoint as GeoPointMessage,
  Match,
  SliceCondition,
} from "../../gen/qdrant/qdrant_common_pb.js";
import { FilterSchema } from "../../gen/qdrant/qdrant_common_pb.js";
import { type Bounds, badInput, type Condition, type Filter, type GeoPoint, limits } from "../core/index.ts";
import { decodePieces } from "./messages.ts";
import { mapPointIds } from "./point-id.ts";

interface Budget {
  conditions: number;
}

export function decodeFilter(pieces: readonly Uint8Array[] | undefined, field = "filter"): Filter | undefined {
  return mapFilter(decodePieces(FilterSchema, pieces), field);
}

export function mapFilter(message: FilterMessage | undefined, field = "filter"): Filter | undefined {
  if (message === undefined) return undefined;
  return toFilter(message, field, 1, { conditions: 0 });
}

/** For writes that pick their points by it: a filter must be there. */
export function requireFilter(message: FilterMessage | undefined, field = "filter"): Filter {
  const filter = mapFilter(message, field);
  if (filter === undefined) throw badInput(`${field}: missing`, field);
  return filter;
}

function toFilter(message: FilterMessage, field: string, depth: number, budget: Budget): Filter {
  if (depth > limits.filterDepthMax)
    throw badInput(`${field}: nested deeper than ${limits.filterDepthMax} levels`, field);
  const list = (conditions: readonly ConditionMessage[], name: string): Condition[] =>
    conditions.map((condition, index) => toCondition(condition, `${field}.${name}[${index}]`, depth, budget));
  const filter = {
    must: list(message.must, "must"),
    should: list(message.should, "should"),
    mustNot: list(message.mustNot, "must_not"),
  };
  if (message.minShould === undefined) return filter;
  const { conditions, minCount } = message.minShould;
  return {
    ...filter,
    minShould: {
      conditions: list(conditions, "min_should.conditions"),
      // More than the conditions there are can never hold, whatever the number.
      minCount: Number(minCount > 0xffff_ffffn ? 0xffff_ffffn : minCount),
    },
  };
}

/** One condition by itself, as a formula holds it. */
export function mapCondition(message: ConditionMessage, field: string): Condition {
  return toCondition(message, field, 1, { conditions: 0 });
}

function toCondition(message: ConditionMessage, field: string, depth: number, budget: Budget): Condition {
  if (++budget.conditions > limits.filterConditionsMax) {
    throw badInput(`filter: more than ${limits.filterConditionsMax} conditions`, field);
  }
  const one = message.conditionOneOf;
  switch (one.case) {
    case "field":
      return toFieldCondition(one.value, field);
    case "isEmpty":
      return { kind: "is_empty", key: requireKey(one.value.key, field) };
    case "isNull":
      return { kind: "is_null", key: requireKey(one.value.key, field) };
    case "hasId":
      if (one.value.hasId.length > limits.idsPerRequestMax) {
        throw badInput(`${field}.has_id: more than ${limits.idsPerRequestMax} ids`, `${field}.has_id`);
      }
      return { kind: "has_id", ids: mapPointIds(one.value.hasId, `${field}.has_id`) };
    case "hasVector":
      return { kind: "has_vector", name: one.value.hasVector };
    case "filter":
      return { kind: "filter", filter: toFilter(one.value, `${field}.filter`, depth + 1, budget) };
    case "nested": {
      if (one.value.filter === undefined)
        throw badInput(`${field}.nested: filter is missing`, `${field}.nested.filter`);
      return {
        kind: "nested",
        key: requireKey(one.value.key, `${field}.nested`),
        filter: toFilter(one.value.filter, `${field}.nested.filter`, depth + 1, budget),
      };
    }
    case "slice":
      return toSlice(one.value, `${field}.slice`);
    default:
      // The text is Qdrant's.
      throw badInput("Malformed Condition type", field);
  }
}

function toSlice({ total, index }: SliceCondition, field: string): Condition {
  // The texts are Qdrant's validator's.
  if (total < 1) {
    throw badInput(`Validation error in body: [${field}.total: value ${total} invalid, must be 1 or larger]`, field);
  }
  if (index >= total) {
    const bounds = `must be from 0 to ${total - 1}`;
    throw badInput(`Validation error in body: [${field}.index: value ${index} invalid, ${bounds}]`, field);
  }
  return { kind: "slice", total, index };
}

function requireKey(key: string, field: string): string {
  if (key === "") throw badInput(`${field}.key: empty`, `${field}.key`);
  return key;
}

function toFieldCondition(message: FieldCondition, field: string): Condition {
  const key = requireKey(message.key, field);
  const found: Condition[] = [];
  if (message.match !== undefined) found.push(toMatch(message.match, key, `${field}.match`));
  if (message.range !== undefined) {
    const { lt, lte, gt, gte } = message.range;
    found.push({ kind: "range", key, bounds: pickBounds(lt, lte, gt, gte) });
  }
  if (message.datetimeRange !== undefined) {
    const { lt, lte, gt, gte } = message.datetimeRange;
    const at = (time: Timestamp | undefined, name: string) =>
      time === undefined ? undefined : toMicros(time, `${field}.datetime_range.${name}`);
    found.push({
      kind: "datetime_range",
      key,
      bounds: pickBounds(at(lt, "lt"), at(lte, "lte"), at(gt, "gt"), at(gte, "gte")),
    });
  }
  if (message.geoBoundingBox !== undefined) {
    const name = `${field}.geo_bounding_box`;
    const topLeft = mapGeoPoint(message.geoBoundingBox.topLeft, `${name}.top_left`);
    const bottomRight = mapGeoPoint(message.geoBoundingBox.bottomRight, `${name}.bottom_right`);
    found.push({ kind: "geo_box", key, topLeft, bottomRight });
  }
  if (message.geoRadius !== undefined) {
    const name = `${field}.geo_radius`;
    const { radius } = message.geoRadius;
    if (!(radius >= 0)) throw badInput(`${name}.radius: must be 0 or larger`, `${name}.radius`);
    found.push({ kind: "geo_radius", key, center: mapGeoPoint(message.geoRadius.center, `${name}.center`), radius });
  }
  if (message.geoPolygon !== undefined) {
    const name = `${field}.geo_polygon`;
    const { exterior, interiors } = message.geoPolygon;
    found.push({
      kind: "geo_polygon",
      key,
      exterior: toRing(exterior, `${name}.exterior`),
      interiors: interiors.map((ring, index) => toRing(ring, `${name}.interiors[${index}]`)),
    });
  }
  if (message.valuesCount !== undefined) {
    const { lt, lte, gt, gte } = message.valuesCount;
    found.push({ kind: "values_count", key, bounds: pickBounds(lt, lte, gt, gte) });
  }
  const inverted: Condition[] = [];
  if (message.isEmpty !== undefined) (message.isEmpty ? found : inverted).push({ kind: "is_empty", key });
  if (message.isNull !== undefined) (message.isNull ? found : inverted).push({ kind: "is_null", key });
  const [first] = found;
  if (first !== undefined && found.length === 1 && inverted.length === 0) return first;
  if (first === undefined && inverted.length === 0) {
    throw badInput(
      `Validation error in body: [${field}: Validation error: At least one field condition must be specified [{}]]`,
      field,
    );
  }
  return { kind: "filter", filter: { must: found, should: [], mustNot: inverted } };
}

function toMatch(match: Match, key: string, field: string): Condition {
  const one = match.matchValue;
  switch (one.case) {
    case "keyword":
      return { kind: "match_keyword", key, value: one.value };
    case "integer":
      return { kind: "match_integer", key, value: one.value };
    case "boolean":
      return { kind: "match_bool", key, value: one.value };
    case "keywords":
      return { kind: "match_any_keywords", key, values: one.value.strings };
    case "integers":
      return { kind: "match_any_integers", key, values: one.value.integers };
    case "exceptKeywords":
      return { kind: "match_except_keywords", key, values: one.value.strings };
    case "exceptIntegers":
      return { kind: "match_except_integers", key, values: one.value.integers };
    case "text":
      return { kind: "match_text", key, text: one.value };
    case "textAny":
      return { kind: "match_text_any", key, text: one.value };
    case "phrase":
      return { kind: "match_phrase", key, text: one.value };
    case "prefix":
      return { kind: "match_prefix", key, text: one.value };
    default:
      throw badInput("Malformed Match condition", field);
  }
}

function pickBounds<T>(lt: T | undefined, lte: T | undefined, gt: T | undefined, gte: T | undefined): Bounds<T> {
  const bounds: { lt?: T; lte?: T; gt?: T; gte?: T } = {};
  if (lt !== undefined) bounds.lt = lt;
  if (lte !== undefined) bounds.lte = lte;
  if (gt !== undefined) bounds.gt = gt;
  if (gte !== undefined) bounds.gte = gte;
  return bounds;
}

/** Microseconds since 1970, as Qdrant keeps dates. */
export function toMicros(time: Timestamp, field: string): bigint {
  // Years 0001 to 9999, as google.protobuf.Timestamp allows.
  const inRange = time.seconds >= -62_135_596_800n && time.seconds <= 253_402_300_799n;
  if (!inRange || time.nanos < 0 || time.nanos > 999_999_999) {
    throw badInput(`${field}: the timestamp is out of range`, field);
  }
  return time.seconds * 1_000_000n + BigInt(Math.floor(time.nanos / 1_000));
}

export function mapGeoPoint(point: GeoPointMessage | undefined, field: string): GeoPoint {
  if (point === undefined) throw badInput(`${field}: missing`, field);
  const { lon, lat } = point;
  if (!(lon >= -180 && lon <= 180)) throw badInput(`${field}.lon: must be from -180 to 180`, `${field}.lon`);
  if (!(lat >= -90 && lat <= 90)) throw badInput(`${field}.lat: must be from -90 to 90`, `${field}.lat`);
  return { lon, lat };
}

function toRing(ring: GeoLineString | undefined, field: string): GeoPoint[] {
  const points = (ring?.points ?? []).map((point, index) => mapGeoPoint(point, `${field}.points[${index}]`));
  const first = points[0];
  const last = points.at(-1);
  if (first === undefined || last === undefined || points.length < 4) {
    throw badInput(`${field}: a polygon's ring needs at least 4 points, got ${points.length}`, field);
  }
  if (first.lon !== last.lon || first.lat !== last.lat) {
    throw badInput(`${field}: a polygon's ring must end at its first point`, field);
  }
  return points;
}
