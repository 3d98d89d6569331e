/** Facets and distance matrices: FacetCounts and SearchMatrixPoints to core requests, a matrix to its two forms. */
import type {
  FacetCounts,
  SearchMatrixOffsets,
  SearchMatrixPairs,
  SearchMatrixPoints,
} from "../../gen/qdrant/points_pb.js";
import { type FacetRequest, limits, type MatrixRequest, type PointId } from "../core/index.ts";
import { mapFilter } from "./filter.ts";
import { toPointIdMessage } from "./point-id.ts";
import { emptyError, validationError } from "./quantization.ts";
import { toCount } from "./selectors.ts";

/** Qdrant's defaults. */
const facetLimitDefault = 10n;
const matrixSampleDefault = 10n;
const matrixLimitDefault = 3n;

export function mapFacet(message: FacetCounts): { readonly collection: string; readonly request: FacetRequest } {
  if (message.key === "") throw emptyError("key");
  const limit = toCount(message.limit ?? facetLimitDefault);
  return {
    collection: message.collectionName,
    request: {
      key: message.key,
      filter: mapFilter(message.filter),
      limit,
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
  if (sample < 2) throw validationError("sample", `value ${sample} invalid, must be 2 or larger`);
  if (limit < 1) throw validationError("limit", `value ${limit} invalid, must be 1 or larger`);
  if (sample > limits.matrixSampleMax) {
    throw validationError("sample", `value ${sample} invalid, must be from 2 to ${limits.matrixSampleMax}`);
  }
  return {
    collection: message.collectionName,
    request: { filter: mapFilter(message.filter), sample, limit, using: message.using ?? "" },
  };
}

/** `ids` ascending, and for each of them its nearest of the others, best first. */
export interface MatrixRows {
  readonly ids: readonly PointId[];
  readonly rows: readonly (readonly { readonly id: PointId; readonly score: number }[])[];
}

export function toMatrixPairs({ ids, rows }: MatrixRows): SearchMatrixPairs {
  const pairs: SearchMatrixPairs["pairs"] = [];
  for (const [row, id] of ids.entries()) {
    for (const { id: other, score } of rows[row] ?? []) {
      pairs.push({
        $typeName: "qdrant.SearchMatrixPair",
        a: toPointIdMessage(id),
        b: toPointIdMessage(other),
        score,
      });
    }
  }
  return { $typeName: "qdrant.SearchMatrixPairs", pairs };
}

export function toMatrixOffsets({ ids, rows }: MatrixRows): SearchMatrixOffsets {
  const places = new Map(ids.map((id, place) => [id, BigInt(place)]));
  const offsetsRow: bigint[] = [];
  const offsetsCol: bigint[] = [];
  const scores: number[] = [];
  for (const [row, found] of rows.entries()) {
    for (const { id, score } of found) {
      const column = places.get(id);
      if (column === undefined) continue;
      offsetsRow.push(BigInt(row));
      offsetsCol.push(column);
      scores.push(score);
    }
  }
  return {
    $typeName: "qdrant.SearchMatrixOffsets",
    offsetsRow,
    offsetsCol,
    scores,
    ids: ids.map(toPointIdMessage),
  };
}
