/** Facets and distance matrices: FacetCounts and SearchMatrixPoints to core requests. */
import type { FacetCounts, SearchMatrixPoints } from "../../gen/qdrant/points_pb.js";
import { badInput, type FacetRequest, limits, type MatrixRequest } from "../core/index.ts";
import { mapFilter } from "./filter.ts";
import { toCount } from "./selectors.ts";

/** Qdrant's defaults. */
const facetLimitDefault = 10n;
const matrixSampleDefault = 10n;
const matrixLimitDefault = 3n;

export function mapFacet(message: FacetCounts): { readonly collection: string; readonly request: FacetRequest } {
  if (message.key === "") throw badInput("key: empty", "key");
  const limit = toCount(message.limit ?? facetLimitDefault);
  if (limit < 1) throw badInput(`limit: value ${limit} invalid, must be 1 or larger`, "limit");
  return {
    collection: message.collectionName,
    request: {
      key: message.key,
      filter: mapFilter(message.filter),
      limit: Math.min(limit, limits.answerPointsMax),
      exact: message.exact ?? false,
    },
  };
}

export function mapMatrix(message: SearchMatrixPoints): {
  readonly collection: string;
  readonly request: MatrixRequest;
} {
  const sample = toCount(message.sample ?? matrixSampleDefault);
  const limit = toCount(message.limit ?? matrixLimitDefault);
  if (sample < 2) throw badInput(`sample: value ${sample} invalid, must be 2 or larger`, "sample");
  if (limit < 1) throw badInput(`limit: value ${limit} invalid, must be 1 or larger`, "limit");
  if (sample > limits.matrixSampleMax) {
    throw badInput(`sample: value ${sample} invalid, must be from 2 to ${limits.matrixSampleMax}`, "sample");
  }
  return {
    collection: message.collectionName,
    request: { filter: mapFilter(message.filter), sample, limit, using: message.using ?? "" },
  };
}
