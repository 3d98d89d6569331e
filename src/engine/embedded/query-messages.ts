/** Universal queries as the addon reads them: src/native/addon/engine/query_stage.h and query/formula.cc. */
import {
  badInput,
  DomainError,
  type Expression,
  type FacetRequest,
  type Filter,
  type GroupsRequest,
  type OrderBy,
  type PayloadObject,
  type Prefetch,
  type Query,
  type QueryRequest,
  type SearchParams,
  type VectorInput,
} from "../../core/index.ts";
import { encodeFilter } from "../../filter/index.ts";
import { NativeWriter } from "../../native/index.ts";
import { encodePayload } from "../../wire/index.ts";
import type { ScrollRequest } from "../engine.ts";
import { writeFilter, writePayloadSelector, writeVectorsSelector } from "./messages.ts";

type Stage = Prefetch | QueryRequest;

export function encodeQueries(name: string, requests: readonly QueryRequest[]): Uint8Array {
  const out = new NativeWriter(512 + requests.length * 2048).text(name).u32(requests.length);
  for (const request of requests) {
    const query = new NativeWriter(2048);
    writeStage(query, request, undefined, false);
    query.u32(request.offset).u8(0);
    writePayloadSelector(query, request.payload);
    writeVectorsSelector(query, request.vectors);
    out.blob(query.done());
  }
  return out.done();
}

/** A scroll in the order of a key, as a query whose points come as records. */
export function encodeOrderedScroll(name: string, request: ScrollRequest, orderBy: OrderBy): Uint8Array {
  const query = new NativeWriter(1024);
  const { filter, plainOnly, limit } = request;
  const stage: Stage = {
    prefetch: [],
    query: { kind: "order_by", orderBy },
    using: "",
    params: {},
    filter,
    plainOnly,
    limit,
  };
  writeStage(query, stage, undefined, false);
  query.u32(0).u8(1);
  writePayloadSelector(query, request.payload);
  writeVectorsSelector(query, request.vectors);
  return new NativeWriter(query.size + name.length * 3 + 16).text(name).u32(1).blob(query.done()).done();
}

export function encodeFacet(name: string, { key, filter, plainOnly, limit }: FacetRequest): Uint8Array {
  const out = new NativeWriter(512).text(name).text(key);
  writeFilter(out, filter, plainOnly);
  return out.u32(limit).done();
}

export function encodeGroups(name: string, request: GroupsRequest): Uint8Array {
  const query = new NativeWriter(2048);
  writeStage(query, request, undefined, false);
  query.text(request.groupBy).u32(request.groupSize);
  writePayloadSelector(query, request.payload);
  writeVectorsSelector(query, request.vectors);
  return new NativeWriter(query.size + name.length * 3 + 16).text(name).blob(query.done()).done();
}

/** A stage's filter holds for its prefetches too, so that their limits count points that can be answered. The query's offset does not, as in Qdrant. */
function writeStage(out: NativeWriter, stage: Stage, above: Filter | undefined, plainAbove: boolean): void {
  const filter = mergeFilters(above, stage.filter);
  const plainOnly = plainAbove || stage.plainOnly === true;
  out.u32(stage.prefetch.length);
  for (const prefetch of stage.prefetch) writeStage(out, prefetch, filter, plainOnly);
  writeQuery(out, stage.query);
  out.text(stage.using);
  writeParams(out, stage.params, stage.scoreThreshold);
  writeFilter(out, filter, plainOnly);
  const { idfCorpus, idfCorpusPlainOnly } = stage.params;
  writeFilter(out, idfCorpus, idfCorpus !== undefined && idfCorpusPlainOnly === true);
  out.u32(Math.min(stage.limit, 0xffff_ffff));
}

/** Field by field, as Qdrant's Filter::merge_opts: the `should` clauses of both become alternatives of each other. */
function mergeFilters(outer: Filter | undefined, inner: Filter | undefined): Filter | undefined {
  if (outer === undefined || inner === undefined) return outer ?? inner;
  const [a, b] = [outer.minShould, inner.minShould];
  const minShould =
    a === undefined || b === undefined
      ? (a ?? b)
      : { conditions: [...a.conditions, ...b.conditions], minCount: Math.max(a.minCount, b.minCount) };
  return {
    must: [...outer.must, ...inner.must],
    should: [...outer.should, ...inner.should],
    mustNot: [...outer.mustNot, ...inner.mustNot],
    ...(minShould === undefined ? {} : { minShould }),
  };
}

function writeParams(out: NativeWriter, params: SearchParams, threshold: number | undefined): void {
  const { exact, indexedOnly, quantization, hnswEf } = params;
  out
    .u8(
      (exact === true ? 1 : 0) |
        (indexedOnly === true ? 2 : 0) |
        (threshold === undefined ? 0 : 4) |
        (quantization?.ignore === true ? 8 : 0) |
        (quantization?.rescore === undefined ? 0 : 16) |
        (quantization?.rescore === true ? 32 : 0),
    )
    .f32(threshold ?? 0)
    .u32(hnswEf ?? 0)
    .f32(quantization?.oversampling ?? 0);
}

function writeInput(out: NativeWriter, input: VectorInput): void {
  if (input instanceof Float32Array) out.u8(1).floats(input);
  else if ("pointId" in input) out.u8(0).id(input.pointId);
  else if ("indices" in input) {
    const { indices, values } = input;
    const bytes = new Uint8Array(indices.buffer, indices.byteOffset, indices.byteLength);
    out.u8(2).u32(indices.length).raw(bytes).rawFloats(values);
  } else if ("rows" in input) {
    out.u8(3).u32(input.rows).floats(input.values);
  } else {
    throw new DomainError("unimplemented", "query: inference inputs arrive with a later version", {
      details: { field: "query" },
    });
  }
}

function writeQuery(out: NativeWriter, query: Query | undefined): void {
  switch (query?.kind) {
    case undefined:
      out.u8(0);
      break;
    case "nearest":
      out.u8(1);
      writeInput(out, query.vector);
      out
        .u8(query.mmr === undefined ? 0 : 1)
        .f32(query.mmr?.diversity ?? 0)
        .u32(query.mmr?.candidatesLimit ?? 0);
      break;
    case "recommend":
      out.u8(recommendKinds[query.strategy]).u32(query.positive.length).u32(query.negative.length);
      for (const input of [...query.positive, ...query.negative]) writeInput(out, input);
      break;
    case "discover":
      out.u8(5);
      writeInput(out, query.target);
      writePairs(out, query.context);
      break;
    case "context":
      out.u8(6);
      writePairs(out, query.context);
      break;
    case "relevance_feedback": {
      const { a, b, c } = query.strategy;
      out.u8(12);
      writeInput(out, query.target);
      out.f32(a).f32(b).f32(c).u32(query.feedback.length);
      for (const { example, score } of query.feedback) {
        writeInput(out, example);
        out.f32(score);
      }
      break;
    }
    case "order_by":
      out.u8(7);
      writeOrderBy(out, query.orderBy);
      break;
    case "rrf":
      out.u8(8).u32(query.k).u32(query.weights.length);
      for (const weight of query.weights) out.f32(weight);
      break;
    case "dbsf":
      out.u8(9);
      break;
    case "sample":
      out.u8(10);
      break;
    case "formula":
      out.u8(11);
      writeExpression(out, query.expression);
      out.blob(encodePayload(scoreKeys(query.defaults), "query.formula.defaults"));
      break;
  }
}

const recommendKinds = { average_vector: 2, best_score: 3, sum_scores: 4 } as const;

function writePairs(
  out: NativeWriter,
  pairs: readonly { readonly positive: VectorInput; readonly negative: VectorInput }[],
): void {
  out.u32(pairs.length);
  for (const { positive, negative } of pairs) {
    writeInput(out, positive);
    writeInput(out, negative);
  }
}

function writeOrderBy(out: NativeWriter, { key, direction, startFrom }: OrderBy): void {
  out.text(key).u8(direction === "desc" ? 1 : 0);
  switch (startFrom?.kind) {
    case undefined:
      out.u8(0);
      break;
    case "float":
      out.u8(1).f64(startFrom.value);
      break;
    case "integer":
      out.u8(2).u64(BigInt.asUintN(64, startFrom.value));
      break;
    case "datetime":
      out.u8(3).u64(BigInt.asUintN(64, startFrom.value));
      break;
  }
}

const scoreVariable = /^\$score(?:\[(\d{1,9})\])?$/;

/** `$score` is `$score[0]`. */
function scoreKeys(defaults: PayloadObject): PayloadObject {
  return Object.fromEntries(
    Object.entries(defaults).map(([key, value]) => [key === "$score" ? "$score[0]" : key, value]),
  );
}

const unaryOps = { neg: 9, abs: 10, sqrt: 11, exp: 13, log10: 14, ln: 15 } as const;
const decayOps = { exp_decay: 16, gauss_decay: 17, lin_decay: 18 } as const;

function writeExpression(out: NativeWriter, one: Expression): void {
  switch (one.kind) {
    case "constant":
      out.u8(1).f64(one.value);
      break;
    case "variable": {
      const score = scoreVariable.exec(one.name);
      if (score !== null) out.u8(2).u32(Number(score[1] ?? "0"));
      else if (one.name.startsWith("$score")) throw badInput(`Invalid score pattern: ${one.name}`, "query.formula");
      else out.u8(3).text(one.name);
      break;
    }
    case "condition":
      out.u8(4).blob(encodeFilter({ must: [one.condition], should: [], mustNot: [] }));
      break;
    case "geo_distance":
      out.u8(5).f64(one.origin.lon).f64(one.origin.lat).text(one.to);
      break;
    case "datetime":
      out.u8(1).f64(Number(one.value) / 1_000_000);
      break;
    case "datetime_key":
      out.u8(6).text(one.key);
      break;
    case "mult":
    case "sum":
      out.u8(one.kind === "mult" ? 7 : 8).u32(one.of.length);
      for (const each of one.of) writeExpression(out, each);
      break;
    case "div":
      out.u8(19).u8(one.byZeroDefault === undefined ? 0 : 1);
      if (one.byZeroDefault !== undefined) out.f64(one.byZeroDefault);
      writeExpression(out, one.left);
      writeExpression(out, one.right);
      break;
    case "pow":
      out.u8(12);
      writeExpression(out, one.base);
      writeExpression(out, one.exponent);
      break;
    case "neg":
    case "abs":
    case "sqrt":
    case "exp":
    case "log10":
    case "ln":
      out.u8(unaryOps[one.kind]);
      writeExpression(out, one.of);
      break;
    case "exp_decay":
    case "gauss_decay":
    case "lin_decay":
      out
        .u8(decayOps[one.kind])
        .f64(one.scale)
        .f64(one.midpoint)
        .u8(one.target === undefined ? 0 : 1);
      writeExpression(out, one.x);
      if (one.target !== undefined) writeExpression(out, one.target);
      break;
  }
}
