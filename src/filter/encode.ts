/**
 * Turns a filter into the program that the addon decodes (src/native/addon/filter/decode.cc), once per request, so that no condition
 * crosses to native code as an object. All little endian; `text` is a u32 length and UTF-8 bytes.
 *
 *     program   = u8 version (1), filter
 *     filter    = list must, list should, list must_not, u8 flag, [flag 1: u32 min_count, list conditions]
 *     list      = u32 count, condition...
 *     condition = u8 kind (`kinds` below), then for the kinds with a key: text key, then
 *       match_keyword text | match_integer i64 | match_bool u8
 *       any/except keywords: u32 count, text... | any/except integers: u32 count, i64...
 *       range: u8 flags (1 lt, 2 lte, 4 gt, 8 gte), f64 for each in this order | datetime_range: the same in i64 | values_count: in u64
 *       geo_box: f64 lon, lat (top left), lon, lat (bottom right) | geo_radius: f64 lon, lat, metres
 *       geo_polygon: u32 rings (the exterior first), each u32 points, f64 lon, lat...
 *       is_empty, is_null: nothing | nested: filter | match_text, match_text_any, match_phrase, match_prefix: text
 *     without a key: has_id u32 count, ids (u8 0 and u64, or u8 1 and 16 bytes) | has_vector text | slice u32 total, u32 index | filter filter
 *
 * A program lives as long as its request: the format may change with the addon.
 */
import {
  type Bounds,
  badInput,
  type Condition,
  type Filter,
  type GeoPoint,
  limits,
  maxU64,
  uuidBytes,
} from "../core/index.ts";
import { checkJsonPath } from "./path.ts";

const programVersion = 1;

const kinds: Record<Condition["kind"], number> = {
  match_keyword: 1,
  match_integer: 2,
  match_bool: 3,
  match_any_keywords: 4,
  match_any_integers: 5,
  match_except_keywords: 6,
  match_except_integers: 7,
  range: 8,
  datetime_range: 9,
  geo_box: 10,
  geo_radius: 11,
  geo_polygon: 12,
  values_count: 13,
  is_empty: 14,
  is_null: 15,
  has_id: 16,
  has_vector: 17,
  nested: 18,
  filter: 19,
  match_text: 21,
  match_text_any: 22,
  match_phrase: 23,
  match_prefix: 24,
  slice: 30,
};

/** Corners that a ring needs to enclose anything: three and the first again. */
const ringPointsMin = 4;

const minI64 = -(1n << 63n);
const maxI64 = (1n << 63n) - 1n;
const maxU32 = 0xffff_ffff;

/** The program of a filter. Throws bad_input that names the condition at fault, such as `filter.must[2].key`. */
export function encodeFilter(filter: Filter): Uint8Array {
  const encoder = new FilterEncoder();
  encoder.u8(programVersion);
  encoder.filter(filter, "filter", 1);
  return encoder.bytes();
}

class FilterEncoder {
  #buffer = Buffer.allocUnsafe(256);
  #size = 0;
  #conditions = 0;

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#size);
  }

  filter(filter: Filter, field: string, depth: number): void {
    if (depth > limits.filterDepthMax)
      throw badInput(`filters are nested more than ${limits.filterDepthMax} deep`, field);
    this.#list(filter.must, `${field}.must`, depth);
    this.#list(filter.should, `${field}.should`, depth);
    this.#list(filter.mustNot, `${field}.must_not`, depth);
    this.u8(filter.minShould === undefined ? 0 : 1);
    if (filter.minShould === undefined) return;
    const { conditions, minCount } = filter.minShould;
    if (!Number.isInteger(minCount) || minCount < 0)
      throw badInput("min_count must not be negative", `${field}.min_should.min_count`);
    // More than there are conditions never holds, whatever the number.
    this.#u32(Math.min(minCount, maxU32));
    this.#list(conditions, `${field}.min_should.conditions`, depth);
  }

  #list(conditions: readonly Condition[], field: string, depth: number): void {
    this.#conditions += conditions.length;
    if (this.#conditions > limits.filterConditionsMax) {
      throw badInput(`a filter can have ${limits.filterConditionsMax} conditions, all levels together`, field);
    }
    this.#u32(conditions.length);
    for (const [index, condition] of conditions.entries()) this.#condition(condition, `${field}[${index}]`, depth);
  }

  #condition(condition: Condition, field: string, depth: number): void {
    this.u8(kinds[condition.kind]);
    if ("key" in condition) {
      checkJsonPath(condition.key, `${field}.key`);
      this.#text(condition.key);
    }
    switch (condition.kind) {
      case "match_keyword":
        this.#text(condition.value);
        break;
      case "match_text":
      case "match_text_any":
      case "match_phrase":
      case "match_prefix":
        if (Buffer.byteLength(condition.text) > limits.filterTextBytesMax) {
          throw badInput(`a text can have ${limits.filterTextBytesMax} bytes`, `${field}.match`);
        }
        this.#text(condition.text);
        break;
      case "match_integer":
        this.#i64(condition.value, `${field}.match.integer`);
        break;
      case "match_bool":
        this.u8(condition.value ? 1 : 0);
        break;
      case "match_any_keywords":
      case "match_except_keywords":
        this.#count(condition.values.length, limits.filterValuesMax, "values", `${field}.match`);
        for (const value of condition.values) this.#text(value);
        break;
      case "match_any_integers":
      case "match_except_integers":
        this.#count(condition.values.length, limits.filterValuesMax, "values", `${field}.match`);
        for (const value of condition.values) this.#i64(value, `${field}.match`);
        break;
      case "range":
        this.#bounds(condition.bounds, (value, name) => this.#number(value, `${field}.range.${name}`));
        break;
      case "datetime_range":
        this.#bounds(condition.bounds, (value, name) => this.#i64(value, `${field}.datetime_range.${name}`));
        break;
      case "values_count":
        this.#bounds(condition.bounds, (value, name) => this.#u64(value, `${field}.values_count.${name}`));
        break;
      case "geo_box":
        this.#point(condition.topLeft, `${field}.geo_bounding_box.top_left`);
        this.#point(condition.bottomRight, `${field}.geo_bounding_box.bottom_right`);
        break;
      case "geo_radius":
        this.#point(condition.center, `${field}.geo_radius.center`);
        if (condition.radius < 0) throw badInput("a radius must not be negative", `${field}.geo_radius.radius`);
        this.#number(condition.radius, `${field}.geo_radius.radius`);
        break;
      case "geo_polygon":
        this.#polygon(condition.exterior, condition.interiors, `${field}.geo_polygon`);
        break;
      case "is_empty":
      case "is_null":
        break;
      case "has_id":
        this.#count(condition.ids.length, limits.idsPerRequestMax, "ids", `${field}.has_id`);
        for (const id of condition.ids) {
          this.u8(typeof id === "bigint" ? 0 : 1);
          if (typeof id === "bigint") this.#u64(id, `${field}.has_id`);
          else this.#raw(uuidBytes(id));
        }
        break;
      case "has_vector":
        this.#text(condition.name);
        break;
      case "slice":
        this.#u32(condition.total);
        this.#u32(condition.index);
        break;
      case "nested":
        this.filter(condition.filter, `${field}.nested.filter`, depth + 1);
        break;
      case "filter":
        this.filter(condition.filter, `${field}.filter`, depth + 1);
        break;
      default:
        condition satisfies never;
    }
  }

  #bounds<T>(bounds: Bounds<T>, put: (value: T, name: string) => void): void {
    const { lt, lte, gt, gte } = bounds;
    this.u8(
      (lt === undefined ? 0 : 1) |
        (lte === undefined ? 0 : 2) |
        (gt === undefined ? 0 : 4) |
        (gte === undefined ? 0 : 8),
    );
    if (lt !== undefined) put(lt, "lt");
    if (lte !== undefined) put(lte, "lte");
    if (gt !== undefined) put(gt, "gt");
    if (gte !== undefined) put(gte, "gte");
  }

  #polygon(exterior: readonly GeoPoint[], interiors: readonly (readonly GeoPoint[])[], field: string): void {
    this.#count(interiors.length + 1, limits.filterValuesMax, "rings", `${field}.interiors`);
    let points = 0;
    const ring = (corners: readonly GeoPoint[], ringField: string): void => {
      points += corners.length;
      if (corners.length < ringPointsMin) throw badInput(`a ring needs at least ${ringPointsMin} points`, ringField);
      const first = corners[0];
      const last = corners[corners.length - 1];
      if (first?.lon !== last?.lon || first?.lat !== last?.lat) {
        throw badInput("the first and the last point of a ring must be the same", ringField);
      }
      if (points > limits.filterValuesMax)
        throw badInput(`a polygon can have ${limits.filterValuesMax} points`, ringField);
      this.#u32(corners.length);
      for (const [index, corner] of corners.entries()) this.#point(corner, `${ringField}.points[${index}]`);
    };
    ring(exterior, `${field}.exterior`);
    for (const [index, interior] of interiors.entries()) ring(interior, `${field}.interiors[${index}]`);
  }

  #point(point: GeoPoint, field: string): void {
    if (!(Math.abs(point.lon) <= 180)) throw badInput("longitude must be between -180 and 180", `${field}.lon`);
    if (!(Math.abs(point.lat) <= 90)) throw badInput("latitude must be between -90 and 90", `${field}.lat`);
    this.#f64(point.lon);
    this.#f64(point.lat);
  }

  #count(count: number, max: number, what: string, field: string): void {
    if (count > max) throw badInput(`a condition can have ${max} ${what}`, field);
    this.#u32(count);
  }

  #number(value: number, field: string): void {
    if (Number.isNaN(value)) throw badInput("not a number", field);
    this.#f64(value);
  }

  #i64(value: bigint, field: string): void {
    if (value < minI64 || value > maxI64) throw badInput("not a signed 64-bit integer", field);
    this.#size = this.#room(8).writeBigInt64LE(value, this.#size);
  }

  #u64(value: bigint, field: string): void {
    if (value < 0n || value > maxU64) throw badInput("not an unsigned 64-bit integer", field);
    this.#size = this.#room(8).writeBigUInt64LE(value, this.#size);
  }

  #f64(value: number): void {
    this.#size = this.#room(8).writeDoubleLE(value, this.#size);
  }

  u8(value: number): void {
    this.#size = this.#room(1).writeUInt8(value, this.#size);
  }

  #u32(value: number): void {
    this.#size = this.#room(4).writeUInt32LE(value, this.#size);
  }

  #text(value: string): void {
    const size = Buffer.byteLength(value);
    this.#u32(size);
    this.#room(size).write(value, this.#size, "utf8");
    this.#size += size;
  }

  #raw(value: Uint8Array): void {
    this.#room(value.length).set(value, this.#size);
    this.#size += value.length;
  }

  #room(size: number): Buffer {
    if (this.#size + size > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#size + size));
      this.#buffer.copy(grown, 0, 0, this.#size);
      this.#buffer = grown;
    }
    return this.#buffer;
  }
}
