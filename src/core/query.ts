/**
 * Core nouns of Qdrant's universal query. The doors check their form; what needs the collection (dimensions, names, existence) is
 * judged by the engine.
 */
import type { Condition, Filter, GeoPoint } from "./filter.ts";
import type { PointId } from "./ids.ts";
import type { PayloadObject, PayloadSelector, PayloadValue, VectorsSelector } from "./payload.ts";

/** Indices strictly ascending and unique (the door sorts, refuses duplicates as Qdrant does); as many values, finite. */
export interface SparseVector {
  readonly indices: Uint32Array;
  readonly values: Float32Array;
}
/** ColBERT-like: `rows` vectors of `dimensions` floats each, one after the other. rows >= 1. */
export interface MultiVector {
  readonly rows: number;
  readonly dimensions: number;
  readonly values: Float32Array;
}
/** A dense one is the plain array, because that is the hot path. */
export type VectorValue = Float32Array | SparseVector | MultiVector;
/** Vectors of a point by name; "" is the unnamed one. */
export type PointVectors = readonly (readonly [name: string, vector: VectorValue])[];

/** qdrant.Document, Image and InferenceObject: something that a model turns into a vector. */
export interface InferenceInput {
  readonly kind: "document" | "image" | "object";
  /** A document's text; an image's or object's value as it came. */
  readonly value: PayloadValue;
  readonly model: string;
  readonly options: PayloadObject;
}

/** What stands for a vector in a write. The services make vectors of inference inputs: the engine never meets one. */
export type GivenVector = VectorValue | { readonly inference: InferenceInput };
/** Inference inputs are resolved by the services: the engine never meets one. */
export type VectorInput = VectorValue | { readonly pointId: PointId } | { readonly inference: InferenceInput };

export interface LookupFrom {
  readonly collection: string /** "" = the default vector */;
  readonly vector?: string;
}

export interface SearchParams {
  readonly hnswEf?: number;
  readonly exact?: boolean;
  readonly indexedOnly?: boolean;
  readonly quantization?: { readonly ignore?: boolean; readonly rescore?: boolean; readonly oversampling?: number };
  /** Sparse with modifier idf: statistics over the points that match, instead of all. */
  readonly idfCorpus?: Filter;
  /** Of the corpus too: points with envelopes never match (set by engine/sealed.ts). */
  readonly idfCorpusPlainOnly?: boolean;
}

export type RecommendStrategy = "average_vector" | "best_score" | "sum_scores";
export interface ContextPair {
  readonly positive: VectorInput;
  readonly negative: VectorInput;
}
/** An example with the score that a better model gave it. */
export interface FeedbackItem {
  readonly example: VectorInput;
  readonly score: number;
}
/** Qdrant's naive strategy: a for the target's similarity, b the power of a pair's difference in score, c the weight of the pairs. b >= 0. */
export interface FeedbackCoefficients {
  readonly a: number;
  readonly b: number;
  readonly c: number;
}
/** A date's are microseconds since 1970, as integers. */
export type OrderValue = bigint | number;
export interface OrderBy {
  readonly key: string;
  readonly direction: "asc" | "desc";
  readonly startFrom?:
    | { readonly kind: "float"; readonly value: number }
    | { readonly kind: "integer"; readonly value: bigint }
    | { readonly kind: "datetime" /** microseconds */; readonly value: bigint };
}

export type Expression =
  | { readonly kind: "constant"; readonly value: number }
  /** "$score", "$score[i]" (prefetch i), or a payload path. */
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "condition"; readonly condition: Condition }
  | { readonly kind: "geo_distance"; readonly origin: GeoPoint; readonly to: string }
  /** Microseconds since 1970; evaluates to seconds. */
  | { readonly kind: "datetime"; readonly value: bigint }
  | { readonly kind: "datetime_key"; readonly key: string }
  | { readonly kind: "mult" | "sum"; readonly of: readonly Expression[] }
  | { readonly kind: "div"; readonly left: Expression; readonly right: Expression; readonly byZeroDefault?: number }
  | { readonly kind: "neg" | "abs" | "sqrt" | "exp" | "log10" | "ln"; readonly of: Expression }
  | { readonly kind: "pow"; readonly base: Expression; readonly exponent: Expression }
  | {
      readonly kind: "exp_decay" | "gauss_decay" | "lin_decay";
      readonly x: Expression;
      readonly target?: Expression;
      readonly scale: number;
      readonly midpoint: number;
    };

/** The expressions that one is made of, in its order; none of a leaf. */
export function partsOf(one: Expression): readonly Expression[] {
  switch (one.kind) {
    case "constant":
    case "variable":
    case "condition":
    case "geo_distance":
    case "datetime":
    case "datetime_key":
      return [];
    case "mult":
    case "sum":
      return one.of;
    case "div":
      return [one.left, one.right];
    case "pow":
      return [one.base, one.exponent];
    case "exp_decay":
    case "gauss_decay":
    case "lin_decay":
      return one.target === undefined ? [one.x] : [one.x, one.target];
    default:
      return [one.of];
  }
}

export type Query =
  | {
      readonly kind: "nearest";
      readonly vector: VectorInput;
      readonly mmr?: { readonly diversity: number; readonly candidatesLimit?: number };
    }
  | {
      readonly kind: "recommend";
      readonly positive: readonly VectorInput[];
      readonly negative: readonly VectorInput[];
      readonly strategy: RecommendStrategy;
    }
  | { readonly kind: "discover"; readonly target: VectorInput; readonly context: readonly ContextPair[] }
  | { readonly kind: "context"; readonly context: readonly ContextPair[] }
  | {
      readonly kind: "relevance_feedback";
      readonly target: VectorInput;
      readonly feedback: readonly FeedbackItem[];
      readonly strategy: FeedbackCoefficients;
    }
  | { readonly kind: "order_by"; readonly orderBy: OrderBy }
  | { readonly kind: "rrf" /** default 2, as Qdrant's */; readonly k: number; readonly weights: readonly number[] }
  | { readonly kind: "dbsf" }
  | { readonly kind: "sample" }
  | {
      readonly kind: "formula";
      readonly expression: Expression;
      readonly defaults: Readonly<Record<string, PayloadValue>>;
    };

interface QueryStage {
  readonly prefetch: readonly Prefetch[];
  /** Absent: with prefetches refused as Qdrant does; without any, points in id order. */
  readonly query?: Query;
  readonly using: string;
  readonly filter?: Filter;
  /** Points with envelopes never match (set by engine/sealed.ts). */
  readonly plainOnly?: boolean;
  readonly params: SearchParams;
  readonly scoreThreshold?: number;
  readonly lookupFrom?: LookupFrom;
}
export interface Prefetch extends QueryStage {
  readonly limit: number;
}
export interface QueryRequest extends QueryStage {
  readonly limit: number;
  readonly offset: number;
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
}

export interface GroupsRequest extends QueryRequest {
  readonly groupBy: string;
  readonly groupSize: number; // points per group, 3 by default; `limit` = number of groups
  readonly lookup?: {
    readonly collection: string;
    readonly payload: PayloadSelector;
    readonly vectors: VectorsSelector;
  };
}
export type GroupKey = string | bigint;
export type FacetValue = string | bigint | boolean;
export interface FacetRequest {
  readonly key: string;
  readonly filter?: Filter;
  readonly plainOnly?: boolean;
  readonly limit: number;
  readonly exact: boolean;
}
export interface MatrixRequest {
  readonly filter?: Filter;
  readonly plainOnly?: boolean;
  readonly sample: number;
  readonly limit: number;
  readonly using: string;
}
