/** sealpoint.v1.Diagnostics: requests to core types, explanations to messages. */
import { create } from "@bufbuild/protobuf";
import {
  type ExplainRequest,
  type ExplainResponse,
  ExplainResponseSchema,
  type PlanNode,
  PlanNode_Access,
  PlanNodeSchema,
  Strategy,
} from "../../gen/sealpoint/v1/diagnostics_pb.js";
import type {
  Explanation,
  FieldIndexType,
  Filter,
  PlanAccess,
  PlanPart,
  PointId,
  SearchStrategy,
} from "../core/index.ts";
import { mapFilter } from "./filter.ts";
import { mapPointId, requirePointId } from "./point-id.ts";
import { mapSearchParams } from "./search.ts";
import { toCount, type WireSearchParams } from "./selectors.ts";
import { mapVectorInput } from "./vectors.ts";

const limitDefault = 10;

const accesses: Readonly<Record<PlanAccess, PlanNode_Access>> = {
  parts: PlanNode_Access.PARTS,
  index: PlanNode_Access.INDEX,
  temporary_index: PlanNode_Access.TEMPORARY_INDEX,
  ids: PlanNode_Access.IDS,
  vectors: PlanNode_Access.VECTORS,
  judged: PlanNode_Access.JUDGED,
  few_left: PlanNode_Access.FEW_LEFT,
};

const strategies: Readonly<Record<SearchStrategy, Strategy>> = {
  filter: Strategy.FILTER,
  full_scan: Strategy.FULL_SCAN,
  matches_scan: Strategy.MATCHES_SCAN,
  walk: Strategy.WALK,
  masked_walk: Strategy.MASKED_WALK,
};

export interface WireExplainRequest {
  readonly collection: string;
  readonly filter: Filter | undefined;
  readonly query:
    | (WireSearchParams & {
        readonly using: string;
        readonly vector: Float32Array | { readonly pointId: PointId };
        readonly limit: number;
        readonly offset: number;
      })
    | undefined;
}

export function mapExplain(message: ExplainRequest): WireExplainRequest {
  const { query, using, params, limit } = message;
  const filter = mapFilter(message.filter);
  if (query === undefined) return { collection: message.collectionName, filter, query: undefined };
  const vector =
    query.variant.case === "id"
      ? { pointId: requirePointId(mapPointId(query.variant.value, "query.id"), "query.id") }
      : mapVectorInput(query, "query");
  return {
    collection: message.collectionName,
    filter,
    query: {
      ...mapSearchParams(params),
      vector,
      using: using ?? "",
      limit: limit === undefined ? limitDefault : toCount(limit),
      offset: 0,
    },
  };
}

/** An index of texts that the server makes for itself keeps only whether a key is there. */
function indexType(type: FieldIndexType): string {
  return type === "text" ? "presence" : type;
}

function toPlanNode(part: PlanPart): PlanNode {
  const indexed = part.access === "index" || part.access === "temporary_index" || part.access === "few_left";
  const { min, expected, max } = part.estimate;
  return create(PlanNodeSchema, {
    condition: part.condition,
    key: part.key,
    access: accesses[part.access],
    indexType: indexed ? indexType(part.indexType) : "",
    exact: part.exact,
    estimate: { min: BigInt(min), expected: BigInt(expected), max: BigInt(max) },
    candidates: BigInt(part.candidates),
    matches: part.matches === undefined ? undefined : BigInt(part.matches),
    children: part.children.map(toPlanNode),
  });
}

export function toExplainResponse(explanation: Explanation, sealedSkipped: number): ExplainResponse {
  const { times, search } = explanation;
  return create(ExplainResponseSchema, {
    points: BigInt(explanation.points),
    plan: toPlanNode(explanation.plan),
    strategy: strategies[explanation.strategy],
    candidates: BigInt(explanation.candidates),
    matches: BigInt(explanation.matches),
    exact: explanation.exact,
    planKept: explanation.planKept,
    times: { planUs: BigInt(times.plan), judgeUs: BigInt(times.judge), searchUs: BigInt(times.search) },
    search,
    temporaryIndexes: explanation.temporaryIndexes.map(({ key, type, points, bytes }) => ({
      key,
      indexType: indexType(type),
      points: BigInt(points),
      bytes: BigInt(bytes),
    })),
    sealedSkipped: BigInt(sealedSkipped),
  });
}
