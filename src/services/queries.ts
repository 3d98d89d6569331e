/** Universal queries and groups, as qdrant.Points offers them: what a query names is fetched before the engine runs it. */
import {
  badInput,
  type Cancellation,
  comparePointIds,
  DomainError,
  type FacetRequest,
  type GroupKey,
  type GroupsRequest,
  limits,
  type MatrixRequest,
  type PointId,
  type Prefetch,
  type Query,
  type QueryRequest,
  type VectorInput,
  type VectorValue,
} from "../core/index.ts";
import { type FacetCounts, type PointTable, type SealedEngine, sealedSkippedOf } from "../engine/index.ts";
import { Inference, type InferenceContext, type InferenceUsage } from "../inference/index.ts";
import { forEachInput, mapQueryInputs, resolveQueries } from "./inferred.ts";
import { type Found, thresholdAlone } from "./points.ts";

export interface FoundGroups {
  readonly groups: readonly FoundGroup[];
  readonly sealedSkipped: number;
  readonly usage?: InferenceUsage | undefined;
}

export interface FoundGroup {
  readonly key: GroupKey;
  readonly points: PointTable;
  /** The point of the lookup collection whose id the key is; length 0 when there is none. */
  readonly lookup: PointTable | undefined;
}

export interface FoundMatrix {
  /** Ascending. */
  readonly ids: readonly PointId[];
  /** By place in `ids`, the nearest first. */
  readonly rows: readonly (readonly { readonly id: PointId; readonly score: number }[])[];
  readonly sealedSkipped: number;
}

/** Ids in the filters of one batch of a matrix: its message is written on the event loop, in a few milliseconds. */
const matrixBatchIds = 32_768;
const noFilter = { must: [], should: [], mustNot: [] } as const;

export class QueriesService {
  readonly #engine: SealedEngine;
  readonly #inference: Inference;

  constructor(engine: SealedEngine, inference = new Inference()) {
    this.#engine = engine;
    this.#inference = inference;
  }

  async query(collection: string, request: QueryRequest, context: InferenceContext = {}): Promise<Found> {
    checkWindow(request, "");
    const { value, usage } = await resolveQueries(this.#inference, [request], context);
    const resolved = await this.#resolve(collection, value[0] as QueryRequest);
    checkStages(resolved);
    const points = await this.#engine.query(collection, resolved, context.signal);
    return { points, sealedSkipped: sealedSkippedOf(points), usage };
  }

  async queryBatch(
    collection: string,
    requests: readonly QueryRequest[],
    context: InferenceContext = {},
  ): Promise<{ tables: readonly PointTable[]; sealedSkipped: number; usage?: InferenceUsage | undefined }> {
    let points = 0;
    for (const [index, request] of requests.entries()) {
      checkWindow(request, `[${index}].`);
      points += request.limit + request.offset;
    }
    if (points > limits.answerPointsMax) {
      throw badInput(`limit: the batch asks for more than ${limits.answerPointsMax} points`, "limit");
    }
    // An empty batch says too whether its collection is there.
    if (requests.length === 0) await this.#engine.collectionInfo(collection);
    const { value, usage } = await resolveQueries(this.#inference, requests, context);
    const resolved: QueryRequest[] = [];
    for (const request of value) resolved.push(await this.#resolve(collection, request));
    for (const request of resolved) checkStages(request);
    const tables = requests.length === 0 ? [] : await this.#engine.queryBatch(collection, resolved, context.signal);
    return { tables, sealedSkipped: tables.reduce((sum, table) => sum + sealedSkippedOf(table), 0), usage };
  }

  async queryGroups(collection: string, request: GroupsRequest, context: InferenceContext = {}): Promise<FoundGroups> {
    checkWindow(request, "");
    if (request.limit * request.groupSize > limits.answerPointsMax) {
      throw badInput(`limit: the groups hold more than ${limits.answerPointsMax} points`, "limit");
    }
    const { value, usage } = await resolveQueries(this.#inference, [request], context);
    const resolved = await this.#resolve(collection, value[0] as GroupsRequest);
    checkStages(resolved);
    const groups = await this.#engine.queryGroups(collection, resolved, context.signal);
    const lookups = await this.#lookUp(request.lookup, groups);
    return {
      groups: groups.map(({ key, points }, index) => ({ key, points, lookup: lookups?.[index] })),
      sealedSkipped: groups[0] === undefined ? 0 : sealedSkippedOf(groups[0].points),
      usage,
    };
  }

  /**
   * The `limit` nearest of each of `sample` random points among the others of them. Fewer than two points make no matrix, as
   * in Qdrant. The queries go in batches, so that neither their messages nor their answers grow with the square of the sample.
   */
  async matrix(
    collection: string,
    { filter, sample, limit, using }: MatrixRequest,
    signal?: Cancellation,
  ): Promise<FoundMatrix> {
    if (sample * Math.min(limit, sample - 1) > limits.answerPointsMax) {
      throw badInput(`limit: the matrix holds more than ${limits.answerPointsMax} pairs`, "limit");
    }
    const bare = { prefetch: [], using, params: {}, offset: 0, payload: { kind: "none" } } as const;
    const sampled = await this.#engine.query(
      collection,
      {
        ...bare,
        query: { kind: "sample" },
        filter: { ...(filter ?? noFilter), must: [...(filter?.must ?? []), { kind: "has_vector", name: using }] },
        limit: sample,
        vectors: { kind: "names", names: [using] },
      },
      signal,
    );
    const points: { readonly id: PointId; readonly vector: VectorValue }[] = [];
    for (let row = 0; row < sampled.length; row += 1) {
      const vector = sampled.vectors(row)?.find(([name]) => name === using)?.[1];
      if (vector !== undefined) points.push({ id: sampled.id(row), vector });
    }
    const sealedSkipped = sealedSkippedOf(sampled);
    if (points.length < 2) return { ids: [], rows: [], sealedSkipped };
    points.sort((a, b) => comparePointIds(a.id, b.id));
    const ids = points.map(({ id }) => id);
    const rows: { readonly id: PointId; readonly score: number }[][] = [];
    const size = Math.max(1, Math.floor(matrixBatchIds / ids.length));
    for (let first = 0; first < points.length; first += size) {
      const requests = points.slice(first, first + size).map(
        ({ id, vector }): QueryRequest => ({
          ...bare,
          query: { kind: "nearest", vector },
          filter: { must: [{ kind: "has_id", ids }], should: [], mustNot: [{ kind: "has_id", ids: [id] }] },
          limit: Math.min(limit, ids.length - 1),
          vectors: { kind: "none" },
        }),
      );
      for (const table of await this.#engine.queryBatch(collection, requests, signal)) {
        rows.push(Array.from({ length: table.length }, (_, row) => ({ id: table.id(row), score: table.score(row) })));
      }
    }
    return { ids, rows, sealedSkipped };
  }

  async facet(
    collection: string,
    request: FacetRequest,
    signal?: Cancellation,
  ): Promise<{ readonly hits: FacetCounts; readonly sealedSkipped: number }> {
    const { limit } = request;
    if (limit < 1) {
      // The text is that of Qdrant's validator.
      throw badInput(`Validation error in body: [limit: value ${limit} invalid, must be 1 or larger]`, "limit");
    }
    const clamped = Math.min(limit, limits.answerPointsMax);
    const hits = await this.#engine.facet(collection, { ...request, limit: clamped }, signal);
    if (hits.length > clamped || (hits.length === clamped && clamped < limit)) {
      throw badInput(`limit: the answer holds more than ${limits.answerPointsMax} values`, "limit");
    }
    const { filter } = request;
    return { hits, sealedSkipped: filter === undefined ? 0 : await this.#engine.sealedSkipped(collection, filter) };
  }

  /** The points of the lookup collection that the keys name, by group. A key that is no id names none. */
  async #lookUp(
    lookup: GroupsRequest["lookup"],
    groups: readonly { readonly key: GroupKey }[],
  ): Promise<PointTable[] | undefined> {
    if (lookup === undefined) return undefined;
    const { collection, payload, vectors } = lookup;
    const found = groups.map(({ key }) => this.#engine.get(collection, idsOf(key), payload, vectors));
    return Promise.all(found).catch((error: unknown) => {
      throw lookupError(error, collection);
    });
  }

  /** Examples that another collection holds become plain vectors. */
  async #resolve<T extends QueryRequest | Prefetch>(collection: string, stage: T): Promise<T> {
    if (stage.prefetch.length === 0 && stage.lookupFrom === undefined) return stage;
    const prefetch: Prefetch[] = [];
    for (const one of stage.prefetch) prefetch.push(await this.#resolve(collection, one));
    const { query, lookupFrom, using } = stage;
    if (lookupFrom === undefined || query === undefined) return { ...stage, prefetch };
    const name = lookupFrom.vector === undefined || lookupFrom.vector === "" ? using : lookupFrom.vector;
    const vectors = new Map<PointId, VectorValue>();
    for (const id of pointsOf(query)) vectors.set(id, await this.#fetch(lookupFrom.collection, id, name));
    if (vectors.size === 0) await this.#require(lookupFrom.collection);
    const replace = (input: VectorInput): VectorInput =>
      isId(input) ? (vectors.get(input.pointId) as VectorValue) : input;
    return { ...stage, prefetch, query: mapQueryInputs(query, replace) };
  }

  async #fetch(collection: string, id: PointId, name: string): Promise<VectorValue> {
    const table = await this.#engine
      .get(collection, [id], { kind: "none" }, { kind: "names", names: [name] })
      .catch(async (error: unknown) => {
        if (!(error instanceof DomainError && error.kind === "bad_input")) throw lookupError(error, collection);
        // A point that is not there is named before a vector that no point has.
        const bare = await this.#engine.get(collection, [id], { kind: "none" }, { kind: "none" });
        if (bare.length > 0) throw error;
        return bare;
      });
    if (table.length === 0) throw notFound(`No point with id ${id} found`);
    const found = table.vectors(0)?.find(([vector]) => vector === name)?.[1];
    if (found === undefined) throw notFound(`Point ${id} has no vector \`${name}\``);
    return found;
  }

  /** Of a collection whose points nobody asks for it is said too when it is not there. */
  async #require(collection: string): Promise<void> {
    await this.#engine.collectionInfo(collection).catch((error: unknown) => {
      throw lookupError(error, collection);
    });
  }
}

/** After the lookups, since Qdrant names their faults first. The texts are Qdrant's. */
function checkStages(stage: QueryRequest | Prefetch): void {
  const kind = stage.query?.kind;
  if ((kind === "rrf" || kind === "dbsf") && stage.using !== "") {
    throw badInput("Bad request: Fusion queries cannot be combined with the 'using' field.", "using");
  }
  if ((kind === "rrf" || kind === "dbsf") && stage.prefetch.length === 0) {
    throw badInput("Bad request: Fusion queries cannot be used without prefetches", "prefetch");
  }
  if (stage.scoreThreshold !== undefined) {
    if (kind === undefined) throw thresholdAlone();
    if (kind === "order_by") {
      throw badInput("Bad request: Can't use score_threshold with an order_by query.", "score_threshold");
    }
  }
  for (const prefetch of stage.prefetch) checkStages(prefetch);
}

/** Of a collection that is looked into Qdrant speaks in other words than of the one that is asked. */
function lookupError(error: unknown, collection: string): unknown {
  const isMissing = error instanceof DomainError && error.message.startsWith("Not found: Collection ");
  return isMissing ? notFound(`Collection ${collection.slice(0, limits.collectionNameLengthMax)} not found`) : error;
}

function notFound(what: string): DomainError {
  return new DomainError("not_found", `Not found: ${what}`, { details: { field: "query" } });
}

function isId(input: VectorInput): input is { readonly pointId: PointId } {
  return "pointId" in input;
}

/** The ids among the query's inputs, each once. */
function pointsOf(query: Query): ReadonlySet<PointId> {
  const ids = new Set<PointId>();
  forEachInput(query, (input) => {
    if (isId(input)) ids.add(input.pointId);
  });
  return ids;
}

const uuidForm = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

function idsOf(key: GroupKey): PointId[] {
  if (typeof key === "bigint") return key >= 0n ? [key] : [];
  if (!uuidForm.test(key)) return [];
  return [key.toLowerCase().replace(/^(.{8})-?(.{4})-?(.{4})-?(.{4})-?(.{12})$/, "$1-$2-$3-$4-$5")];
}

function checkWindow({ limit, offset }: Pick<QueryRequest, "limit" | "offset">, prefix: string): void {
  const field = `${prefix}limit`;
  // The text is that of Qdrant's validator.
  if (limit < 1)
    throw badInput(`Validation error in body: [${field}: value ${limit} invalid, must be 1 or larger]`, field);
  if (limit + offset > limits.answerPointsMax) {
    throw badInput(`${field}: offset and limit together are more than ${limits.answerPointsMax}`, field);
  }
}
