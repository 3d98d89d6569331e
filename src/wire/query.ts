/**
 * Qdrant's universal query (QueryPoints, PrefetchQuery, QueryPointGroups) and the calls that came before it (Search, Recommend,
 * Discover with their groups), all as core's QueryRequest. Errors name the field.
 */
import type {
  ContextExamplePair,
  ContextInputPair,
  DiscoverPoints,
  LookupLocation,
  Query as QueryMessage,
  QueryPointGroups,
  QueryPoints,
  RecommendPointGroups,
  RecommendPoints,
  RelevanceFeedbackInput,
  SearchParams as SearchParamsMessage,
  SearchPointGroups,
  SearchPoints,
  TargetVector,
  Vector,
  VectorExample,
  VectorInput as VectorInputMessage,
  WithLookup,
  WithPayloadSelector,
  WithVectorsSelector,
} from "../../gen/qdrant/points_pb.js";
import { Fusion, RecommendStrategy } from "../../gen/qdrant/points_pb.js";
import type { PointId as PointIdMessage } from "../../gen/qdrant/qdrant_common_pb.js";
import {
  badInput,
  type ContextPair,
  type GroupsRequest,
  type LookupFrom,
  limits,
  type PointId,
  type Prefetch,
  type Query,
  type QueryRequest,
  type SearchParams,
  type RecommendStrategy as Strategy,
  type VectorInput,
} from "../core/index.ts";
import { mapFilter } from "./filter.ts";
import { mapFormula, mapOrderBy } from "./formula.ts";
import { mapPointId, requirePointId } from "./point-id.ts";
import { emptyError, rangeError, validationError } from "./quantization.ts";
import { mapPayloadSelector, mapVectorsSelector, toCount } from "./selectors.ts";
import type { StageMessage } from "./stages.ts";
import { mapInference, mapMulti, mapSearchedSparse, mapSparse, mapVectorValue } from "./vector-values.ts";

/** Qdrant's defaults of Query and of groups. */
const limitDefault = 10;
const groupSizeDefault = 3;
/** Qdrant's reciprocal rank constant. */
const rrfKDefault = 2;

/** A request with the collection that it names. */
export interface WireQuery<T extends QueryRequest = QueryRequest> {
  readonly collection: string;
  readonly request: T;
}

interface Budget {
  prefetches: number;
}

/** A QueryPoints of the generated code is one, too. */
export type QueryStages = StageMessage &
  Pick<QueryPoints, "collectionName"> & {
    readonly offset?: bigint | undefined;
    readonly withPayload?: WithPayloadSelector | undefined;
    readonly withVectors?: WithVectorsSelector | undefined;
  };

export function mapQuery(message: QueryStages, prefix = ""): WireQuery {
  return { collection: message.collectionName, request: toRequest(message, toCount(message.offset ?? 0n), prefix) };
}

export function mapQueryGroups(message: QueryPointGroups): WireQuery<GroupsRequest> {
  return {
    collection: message.collectionName,
    request: {
      ...toRequest(message, 0, ""),
      ...grouping(message.groupBy, toCount(message.groupSize ?? BigInt(groupSizeDefault)), message.withLookup),
    },
  };
}

function toRequest(
  message: StageMessage & Pick<QueryStages, "withPayload" | "withVectors">,
  offset: number,
  prefix: string,
): QueryRequest {
  return {
    ...toStage(message, prefix, 0, { prefetches: 0 }),
    offset,
    payload: mapPayloadSelector(message.withPayload, false),
    vectors: mapVectorsSelector(message.withVectors),
  };
}

function toStage(message: StageMessage, prefix: string, depth: number, budget: Budget): Prefetch {
  if (depth > limits.prefetchDepthMax) {
    throw badInput(`${prefix}prefetch: nested deeper than ${limits.prefetchDepthMax} levels`, `${prefix}prefetch`);
  }
  budget.prefetches += message.prefetch.length;
  if (budget.prefetches > limits.prefetchesMax) {
    throw badInput(`${prefix}prefetch: more than ${limits.prefetchesMax} in one query`, `${prefix}prefetch`);
  }
  const prefetch = message.prefetch.map((one, i) => toStage(one, `${prefix}prefetch[${i}].`, depth + 1, budget));
  const query = mapStageQuery(message, prefix);
  if (query === undefined && prefetch.length > 0) {
    // The text is Qdrant's.
    throw badInput(
      "Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query.",
      `${prefix}query`,
    );
  }
  if (query?.kind === "rrf" && query.weights.length > 0 && query.weights.length !== prefetch.length) {
    throw badInput(
      `${prefix}query.rrf.weights: ${query.weights.length} weights for ${prefetch.length} prefetches`,
      `${prefix}query.rrf.weights`,
    );
  }
  if (depth > 0 && message.limit !== undefined && message.limit < 1n) {
    throw validationError(`${prefix}limit`, `value ${message.limit} invalid, must be 1 or larger`);
  }
  return {
    prefetch,
    query,
    using: message.using ?? "",
    filter: mapFilter(message.filter, `${prefix}filter`),
    params: mapQueryParams(message.params, `${prefix}params`),
    scoreThreshold: message.scoreThreshold,
    lookupFrom: mapLookupFrom(message.lookupFrom),
    limit: message.limit === undefined ? limitDefault : toCount(message.limit),
  };
}

function mapStageQuery({ dense, query }: StageMessage, prefix: string): Query | undefined {
  if (dense !== undefined) return { kind: "nearest", vector: dense };
  return query === undefined ? undefined : toQuery(query, `${prefix}query`);
}

function mapQueryParams(params: SearchParamsMessage | undefined, field: string): SearchParams {
  if (params === undefined) return {};
  const { hnswEf, exact, indexedOnly, quantization } = params;
  const oversampling = quantization?.oversampling;
  if (oversampling !== undefined && !(oversampling >= 1)) {
    throw rangeError(`${field}.quantization.oversampling`, oversampling, "1.0 or larger");
  }
  return {
    hnswEf: hnswEf === undefined ? undefined : Math.min(toCount(hnswEf), limits.efMax),
    exact,
    indexedOnly,
    quantization:
      quantization === undefined
        ? undefined
        : { ignore: quantization.ignore, rescore: quantization.rescore, oversampling },
    idfCorpus: mapFilter(params.idf?.corpus, `${field}.idf.corpus`),
  };
}

function mapLookupFrom(location: LookupLocation | undefined): LookupFrom | undefined {
  if (location === undefined) return undefined;
  return { collection: location.collectionName, vector: location.vectorName ?? "" };
}

function grouping(
  groupBy: string,
  groupSize: number,
  lookup: WithLookup | undefined,
): Pick<GroupsRequest, "groupBy" | "groupSize" | "lookup"> {
  if (groupBy === "") throw emptyError("group_by");
  if (groupSize < 1) throw validationError("group_size", `value ${groupSize} invalid, must be 1 or larger`);
  return {
    groupBy,
    groupSize,
    lookup:
      lookup === undefined
        ? undefined
        : {
            collection: lookup.collection,
            payload: mapPayloadSelector(lookup.withPayload, true),
            vectors: mapVectorsSelector(lookup.withVectors),
          },
  };
}

/** A message that has to be there: protobuf lets it be absent. */
function need<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw badInput(`${field}: missing`, field);
  return value;
}

function toQuery(message: QueryMessage, field: string): Query {
  const one = message.variant;
  switch (one.case) {
    case "nearest":
      return { kind: "nearest", vector: mapInput(one.value, `${field}.nearest`) };
    case "nearestWithMmr": {
      const at = `${field}.nearest_with_mmr`;
      const { diversity = 0.5, candidatesLimit } = need(one.value.mmr, `${at}.mmr`);
      if (!(diversity >= 0 && diversity <= 1)) {
        throw rangeError(`${at}.mmr.diversity`, diversity, "from 0.0 to 1.0");
      }
      if (candidatesLimit !== undefined && candidatesLimit > limits.mmrCandidatesMax) {
        throw validationError(
          `${at}.mmr.candidates_limit`,
          `value ${candidatesLimit} invalid, must be from 1 to ${limits.mmrCandidatesMax}`,
        );
      }
      const vector = mapInput(need(one.value.nearest, `${at}.nearest`), `${at}.nearest`);
      return { kind: "nearest", vector, mmr: { diversity, candidatesLimit } };
    }
    case "recommend": {
      const at = `${field}.recommend`;
      const { positive, negative, strategy } = one.value;
      return recommend(
        positive.map((input, i) => mapInput(input, `${at}.positive[${i}]`)),
        negative.map((input, i) => mapInput(input, `${at}.negative[${i}]`)),
        strategy,
        at,
      );
    }
    case "discover": {
      const at = `${field}.discover`;
      const target = mapInput(need(one.value.target, `${at}.target`), `${at}.target`);
      const pairs = need(one.value.context, `${at}.context`).pairs;
      return { kind: "discover", target, context: mapPairs(pairs, `${at}.context`) };
    }
    case "context":
      return { kind: "context", context: mapPairs(one.value.pairs, `${field}.context`) };
    case "orderBy":
      return { kind: "order_by", orderBy: mapOrderBy(one.value, `${field}.order_by`) };
    case "fusion":
      switch (one.value) {
        case Fusion.RRF:
          return { kind: "rrf", k: rrfKDefault, weights: [] };
        case Fusion.DBSF:
          return { kind: "dbsf" };
        default:
          throw badInput(`${field}.fusion: unknown fusion`, `${field}.fusion`);
      }
    case "rrf": {
      const { k = rrfKDefault, weights } = one.value;
      if (k < 1) throw validationError(`${field}.rrf.k`, `value ${k} invalid, must be 1 or larger`);
      if (weights.some((weight) => !(weight >= 0) || weight === Number.POSITIVE_INFINITY)) {
        throw badInput(`${field}.rrf.weights: must be finite and not negative`, `${field}.rrf.weights`);
      }
      return { kind: "rrf", k, weights };
    }
    case "sample":
      return { kind: "sample" };
    case "formula":
      return mapFormula(one.value, `${field}.formula`);
    case "relevanceFeedback":
      return mapFeedback(one.value, `${field}.relevance_feedback`);
    default:
      throw badInput("Query variant is missing", field);
  }
}

function recommend(
  positive: readonly VectorInput[],
  negative: readonly VectorInput[],
  strategy: RecommendStrategy | undefined,
  field: string,
): Query {
  const kind = strategies.get(strategy ?? RecommendStrategy.AverageVector);
  if (kind === undefined) throw badInput(`${field}.strategy: unknown strategy ${strategy}`, `${field}.strategy`);
  if (positive.length + negative.length > limits.examplesMax) {
    throw badInput(`${field}: more than ${limits.examplesMax} examples`, field);
  }
  return { kind: "recommend", positive, negative, strategy: kind };
}

const strategies: ReadonlyMap<RecommendStrategy, Strategy> = new Map<RecommendStrategy, Strategy>([
  [RecommendStrategy.AverageVector, "average_vector"],
  [RecommendStrategy.BestScore, "best_score"],
  [RecommendStrategy.SumScores, "sum_scores"],
]);

function mapPairs(pairs: readonly ContextInputPair[], field: string): ContextPair[] {
  if (pairs.length > limits.examplesMax) throw badInput(`${field}: more than ${limits.examplesMax} pairs`, field);
  return pairs.map(({ positive, negative }, i) => ({
    positive: mapInput(need(positive, `${field}[${i}].positive`), `${field}[${i}].positive`),
    negative: mapInput(need(negative, `${field}[${i}].negative`), `${field}[${i}].negative`),
  }));
}

function mapFeedback({ target, feedback, strategy }: RelevanceFeedbackInput, field: string): Query {
  const of = mapInput(need(target, `${field}.target`), `${field}.target`);
  const { variant } = need(strategy, `${field}.strategy`);
  if (variant.case !== "naive") throw badInput(`${field}.strategy: missing`, `${field}.strategy`);
  // Qdrant's validator judges the message as a whole here, which it calls `__all__`.
  if (feedback.length === 0) throw validationError(`${field}.__all__`, "feedback elements must be non-empty");
  if (feedback.length > limits.examplesMax) {
    throw badInput(`${field}.feedback: more than ${limits.examplesMax} examples`, `${field}.feedback`);
  }
  const finite = (value: number, at: string): number => {
    if (!Number.isFinite(value)) throw badInput(`${at}: must be finite`, at);
    return value;
  };
  const { a, b, c } = variant.value;
  if (b < 0) throw rangeError(`${field}.strategy.naive.b`, b, "0.0 or larger");
  return {
    kind: "relevance_feedback",
    target: of,
    feedback: feedback.map(({ example, score }, i) => {
      const at = `${field}.feedback[${i}]`;
      return {
        example: mapInput(need(example, `${at}.example`), `${at}.example`),
        score: finite(score, `${at}.score`),
      };
    }),
    strategy: {
      a: finite(a, `${field}.strategy.naive.a`),
      b: finite(b, `${field}.strategy.naive.b`),
      c: finite(c, `${field}.strategy.naive.c`),
    },
  };
}

function mapInput(input: VectorInputMessage, field: string): VectorInput {
  const one = input.variant;
  switch (one.case) {
    case "id":
      return { pointId: requirePointId(mapPointId(one.value, `${field}.id`), `${field}.id`) };
    case "dense":
      return Float32Array.from(one.value.data);
    case "sparse":
      return mapSparse(one.value.indices, one.value.values, `${field}.sparse`);
    case "multiDense":
      return mapMulti(
        one.value.vectors.map(({ data }) => data),
        `${field}.multi_dense`,
      );
    case "document":
    case "image":
    case "object":
      return { inference: mapInference(one, field) };
    default:
      throw badInput("VectorInput variant is missing", field);
  }
}

// ---- The older calls ----

const noStage = { prefetch: [], scoreThreshold: undefined, lookupFrom: undefined } as const;

/** SearchPoints whose vector is not one plain dense list, and SearchPointGroups. */
export function mapSearch(message: SearchPoints): WireQuery {
  return {
    collection: message.collectionName,
    request: { ...toSearch(message), limit: toCount(message.limit), offset: toCount(message.offset ?? 0n) },
  };
}

export function mapSearchGroups(message: SearchPointGroups): WireQuery<GroupsRequest> {
  return {
    collection: message.collectionName,
    request: {
      ...toSearch(message),
      limit: message.limit,
      offset: 0,
      ...grouping(message.groupBy, message.groupSize, message.withLookup),
    },
  };
}

function toSearch(message: SearchPoints | SearchPointGroups): Omit<QueryRequest, "limit" | "offset"> {
  const { vector, sparseIndices } = message;
  return {
    ...noStage,
    query: {
      kind: "nearest",
      vector: sparseIndices === undefined ? Float32Array.from(vector) : mapSearchedSparse(sparseIndices.data, vector),
    },
    using: message.vectorName ?? "",
    filter: mapFilter(message.filter),
    params: mapQueryParams(message.params, "params"),
    scoreThreshold: message.scoreThreshold,
    payload: mapPayloadSelector(message.withPayload, false),
    vectors: mapVectorsSelector(message.withVectors),
  };
}

export function mapRecommend(message: RecommendPoints): WireQuery {
  const request = toRecommend(message);
  // The one limit that Qdrant's validator lets be zero: nothing is asked for, and nothing found.
  const none = message.limit === 0n;
  return {
    collection: message.collectionName,
    request: {
      ...request,
      ...(none ? { filter: { must: [{ kind: "has_id", ids: [] }], should: [], mustNot: [] } } : {}),
      limit: none ? 1 : toCount(message.limit),
      offset: toCount(message.offset ?? 0n),
    },
  };
}

export function mapRecommendGroups(message: RecommendPointGroups): WireQuery<GroupsRequest> {
  return {
    collection: message.collectionName,
    request: {
      ...toRecommend(message),
      limit: message.limit,
      offset: 0,
      ...grouping(message.groupBy, message.groupSize, message.withLookup),
    },
  };
}

function toRecommend(message: RecommendPoints | RecommendPointGroups): Omit<QueryRequest, "limit" | "offset"> {
  const examples = (ids: readonly PointIdMessage[], vectors: readonly Vector[], name: string): VectorInput[] => [
    ...ids.map((id, i) => ({ pointId: requirePointId(mapPointId(id, `${name}[${i}]`), `${name}[${i}]`) })),
    ...vectors.map((vector, i) => mapVectorValue(vector, `${name}_vectors[${i}]`)),
  ];
  return {
    ...noStage,
    query: recommend(
      examples(message.positive, message.positiveVectors, "positive"),
      examples(message.negative, message.negativeVectors, "negative"),
      message.strategy,
      "",
    ),
    using: message.using ?? "",
    filter: mapFilter(message.filter),
    params: mapQueryParams(message.params, "params"),
    scoreThreshold: message.scoreThreshold,
    lookupFrom: mapLookupFrom(message.lookupFrom),
    payload: mapPayloadSelector(message.withPayload, false),
    vectors: mapVectorsSelector(message.withVectors),
  };
}

/** With a target it is discovery, without one the context alone is searched. */
export function mapDiscover(message: DiscoverPoints): WireQuery {
  const context = mapExamplePairs(message.context);
  const target = mapTarget(message.target);
  if (target === undefined && context.length === 0) {
    throw badInput("Bad request: Either target or context is needed", "target");
  }
  return {
    collection: message.collectionName,
    request: {
      ...noStage,
      query: target === undefined ? { kind: "context", context } : { kind: "discover", target, context },
      using: message.using ?? "",
      filter: mapFilter(message.filter),
      params: mapQueryParams(message.params, "params"),
      lookupFrom: mapLookupFrom(message.lookupFrom),
      limit: toCount(message.limit),
      offset: toCount(message.offset ?? 0n),
      payload: mapPayloadSelector(message.withPayload, false),
      vectors: mapVectorsSelector(message.withVectors),
    },
  };
}

function mapTarget(target: TargetVector | undefined): VectorInput | undefined {
  if (target?.target.case !== "single") return undefined;
  return mapExample(target.target.value, "target");
}

function mapExamplePairs(pairs: readonly ContextExamplePair[]): ContextPair[] {
  if (pairs.length > limits.examplesMax) throw badInput(`context: more than ${limits.examplesMax} pairs`, "context");
  return pairs.map(({ positive, negative }, i) => ({
    positive: mapExample(positive, `context[${i}].positive`),
    negative: mapExample(negative, `context[${i}].negative`),
  }));
}

function mapExample(message: VectorExample | undefined, field: string): VectorInput {
  const example = message?.example;
  switch (example?.case) {
    case "id": {
      const pointId: PointId = requirePointId(mapPointId(example.value, `${field}.id`), `${field}.id`);
      return { pointId };
    }
    case "vector":
      return mapVectorValue(example.value, `${field}.vector`);
    default:
      throw badInput(`${field}: missing`, field);
  }
}
