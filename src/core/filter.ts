import type { PointId } from "./ids.ts";

/** qdrant.Filter, already validated: dates are microseconds since 1970, ids canonical. */
export interface Filter {
  readonly must: readonly Condition[];
  readonly should: readonly Condition[];
  readonly mustNot: readonly Condition[];
  readonly minShould?: { readonly conditions: readonly Condition[]; readonly minCount: number };
}

export interface GeoPoint {
  /** Degrees, -180 to 180. */
  readonly lon: number;
  /** Degrees, -90 to 90. */
  readonly lat: number;
}

/** Bounds of a range; absent means unbounded. */
export interface Bounds<T> {
  readonly lt?: T;
  readonly lte?: T;
  readonly gt?: T;
  readonly gte?: T;
}

export type Condition =
  | { readonly kind: "match_keyword"; readonly key: string; readonly value: string }
  /** Texts that hold all words of `text`, one of them, or all of them in a row; and strings that begin with it. */
  | {
      readonly kind: "match_text" | "match_text_any" | "match_phrase" | "match_prefix";
      readonly key: string;
      readonly text: string;
    }
  | { readonly kind: "match_integer"; readonly key: string; readonly value: bigint }
  | { readonly kind: "match_bool"; readonly key: string; readonly value: boolean }
  | { readonly kind: "match_any_keywords"; readonly key: string; readonly values: readonly string[] }
  | { readonly kind: "match_any_integers"; readonly key: string; readonly values: readonly bigint[] }
  | { readonly kind: "match_except_keywords"; readonly key: string; readonly values: readonly string[] }
  | { readonly kind: "match_except_integers"; readonly key: string; readonly values: readonly bigint[] }
  | { readonly kind: "range"; readonly key: string; readonly bounds: Bounds<number> }
  /** Bounds in microseconds since 1970-01-01T00:00:00Z. */
  | { readonly kind: "datetime_range"; readonly key: string; readonly bounds: Bounds<bigint> }
  | { readonly kind: "geo_box"; readonly key: string; readonly topLeft: GeoPoint; readonly bottomRight: GeoPoint }
  /** Radius in metres. */
  | { readonly kind: "geo_radius"; readonly key: string; readonly center: GeoPoint; readonly radius: number }
  | {
      readonly kind: "geo_polygon";
      readonly key: string;
      readonly exterior: readonly GeoPoint[];
      readonly interiors: readonly (readonly GeoPoint[])[];
    }
  | { readonly kind: "values_count"; readonly key: string; readonly bounds: Bounds<bigint> }
  | { readonly kind: "is_empty"; readonly key: string }
  | { readonly kind: "is_null"; readonly key: string }
  | { readonly kind: "has_id"; readonly ids: readonly PointId[] }
  | { readonly kind: "has_vector"; readonly name: string }
  /** One of `total` disjoint parts of all ids, told by their hash. */
  | { readonly kind: "slice"; readonly total: number; readonly index: number }
  | { readonly kind: "nested"; readonly key: string; readonly filter: Filter }
  | { readonly kind: "filter"; readonly filter: Filter };
