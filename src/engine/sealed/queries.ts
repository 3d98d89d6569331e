/** Queries under a sealing policy: what their filters, formulas and keys ask for has to be readable. */
import {
  type Expression,
  type Filter,
  type GroupsRequest,
  type Prefetch,
  partsOf,
  type QueryRequest,
} from "../../core/index.ts";
import { judgesPlainOnly } from "./admission.ts";
import { fieldIsSealed, rootKey } from "./fields.ts";
import type { AdmissionPolicy } from "./policy.ts";

export interface JudgedQuery<T> {
  readonly request: T;
  /** Whether sealed points are passed over somewhere in the tree. */
  readonly passesOver: boolean;
}

/** Throws precondition (SealedField) when a policy that requires sealing leaves a field unreadable that the query asks for. */
export function judgeQuery<T extends QueryRequest | GroupsRequest | Prefetch>(
  policy: AdmissionPolicy,
  request: T,
): JudgedQuery<T> {
  const { query, filter, params } = request;
  if (query?.kind === "formula") checkExpression(policy, query.expression);
  if (query?.kind === "order_by") checkKey(policy, query.orderBy.key);
  if ("groupBy" in request) checkKey(policy, request.groupBy);
  const prefetch = request.prefetch.map((one) => judgeQuery(policy, one));
  const own = judgesPlainOnly(policy, filter);
  const corpus = judgesPlainOnly(policy, params.idfCorpus);
  return {
    request: {
      ...request,
      prefetch: prefetch.map((one) => one.request),
      ...(own ? { plainOnly: true } : {}),
      ...(corpus ? { params: { ...params, idfCorpusPlainOnly: true } } : {}),
    },
    passesOver: own || corpus || prefetch.some((one) => one.passesOver),
  };
}

/** For keys whose values an answer shows or is ordered by. Under `optional` sealed points simply have no such value. */
export function checkKey(policy: AdmissionPolicy, key: string): void {
  if (policy.mode === "required" && !policy.clearFields.has(rootKey(key))) throw fieldIsSealed(key);
}

function checkExpression(policy: AdmissionPolicy, one: Expression): void {
  switch (one.kind) {
    case "variable":
      if (!one.name.startsWith("$score")) checkKey(policy, one.name);
      break;
    case "condition":
      judgesPlainOnly(policy, { must: [one.condition], should: [], mustNot: [] } satisfies Filter);
      break;
    case "geo_distance":
      checkKey(policy, one.to);
      break;
    case "datetime_key":
      checkKey(policy, one.key);
      break;
    default:
      for (const part of partsOf(one)) checkExpression(policy, part);
  }
}
