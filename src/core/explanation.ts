/** How a filter, or a search with one, was answered. */
import type { FieldIndexType } from "./collection.ts";

/** What was known of a count before anything was looked up. */
export interface CountEstimate {
  readonly min: number;
  readonly expected: number;
  readonly max: number;
}

/** Where the points of one part of a filter come from; qdrant knows no such thing, the names are sealpoint.v1.PlanNode.Access's. */
export const planAccesses = ["parts", "index", "temporary_index", "ids", "vectors", "judged", "few_left"] as const;
export type PlanAccess = (typeof planAccesses)[number];

export interface PlanPart {
  readonly condition: string;
  readonly key: string;
  readonly access: PlanAccess;
  /** Of the index, where one was asked. */
  readonly indexType: FieldIndexType;
  readonly exact: boolean;
  readonly estimate: CountEstimate;
  readonly candidates: number;
  /** Absent where it is not counted. */
  readonly matches?: number;
  readonly children: readonly PlanPart[];
}

export type SearchStrategy = "filter" | "full_scan" | "matches_scan" | "walk" | "masked_walk";

export interface Explanation {
  readonly points: number;
  readonly plan: PlanPart;
  readonly strategy: SearchStrategy;
  readonly candidates: number;
  readonly matches: number;
  readonly exact: boolean;
  readonly planKept: boolean;
  /** Microseconds. */
  readonly times: { readonly plan: number; readonly judge: number; readonly search: number };
  /** Parts of the vector index by what was done with them. */
  readonly search: {
    readonly tailsScanned: number;
    readonly segmentsScanned: number;
    readonly codesScanned: number;
    readonly walked: number;
    readonly walkedMasked: number;
    readonly walksGivenUp: number;
  };
  readonly temporaryIndexes: readonly {
    readonly key: string;
    readonly type: FieldIndexType;
    readonly points: number;
    readonly bytes: number;
  }[];
}
