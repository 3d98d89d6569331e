/**
 * Strict mode as a decorator of the engine's contract, under every door: a collection whose configuration sets limits refuses what goes
 * beyond them, in Qdrant's words. It lies over the sealing, so that it judges what callers ask for and not what the sealing reads.
 */
import {
  badInput,
  type CollectionInfo,
  DomainError,
  type Filter,
  type GroupsRequest,
  limits,
  type Prefetch,
  type Query,
  type QueryRequest,
  type SearchParams,
  type ShardKey,
  type StrictMode,
  shownShardKey,
} from "../core/index.ts";
import type { AdmittedWrite, NearestQuery, SealedEngine, WriteOperation } from "./engine.ts";
import { residentMemoryPercent } from "./quota.ts";
import {
  checkExpression,
  checkFilter,
  checkGroupKey,
  countConditions,
  type Indexes,
  strictError,
} from "./strict/filters.ts";

interface Rules {
  /** Undefined: nothing holds. */
  readonly strict: StrictMode | undefined;
  readonly indexes: Indexes;
  readonly info: CollectionInfo;
  readonly changes: number;
}

/** `changes`: what sealEngine was given, which counts every change of a configuration or of an index. `shards`: there are shard keys. */
export function strictEngine(engine: SealedEngine, changes: SharedArrayBuffer, shards = false): SealedEngine {
  const count = new Int32Array(changes);
  const known = new Map<string, Rules>();

  /** Undefined where there is no such collection, which the engine says better. */
  async function knownOf(name: string): Promise<Rules | undefined> {
    let rules = known.get(name);
    if (rules?.changes !== Atomics.load(count, 0)) {
      const before = Atomics.load(count, 0);
      const info = await engine.collectionInfo(name).catch((error: unknown) => {
        if (error instanceof DomainError) return undefined;
        throw error;
      });
      if (info === undefined) return undefined;
      const { strictMode } = info.config;
      rules = {
        strict: strictMode?.enabled === true ? strictMode : undefined,
        indexes: new Map(info.fieldIndexes.map((index) => [index.key, index])),
        info,
        changes: before,
      };
      known.delete(name);
      known.set(name, rules);
      if (known.size > limits.collectionsMax) known.delete(known.keys().next().value as string);
    }
    return rules;
  }

  /** Undefined where nothing holds too. */
  async function rulesOf(name: string): Promise<(Rules & { readonly strict: StrictMode }) | undefined> {
    const rules = await knownOf(name);
    return rules?.strict === undefined ? undefined : (rules as Rules & { readonly strict: StrictMode });
  }

  /** A node that is no cluster has no shard keys, and a collection that was made for them nowhere to write to. The text is Qdrant's. */
  async function checkShards(name: string): Promise<void> {
    if (shards) return;
    const rules = await knownOf(name);
    if (rules?.info.config.customShards === true) {
      throw badInput("Wrong input: Shard key not specified", "shard_key_selector");
    }
  }

  async function spend(name: string, kind: "read" | "write", strict: StrictMode, cost: () => number): Promise<void> {
    const perMinute = kind === "read" ? strict.readRateLimit : strict.writeRateLimit;
    if (perMinute === undefined) return;
    const tokens = Math.max(1, cost());
    const answer = await engine.spend(name, kind, perMinute, tokens);
    if (answer.granted) return;
    const who = `Rate limiting exceeded: ${kind === "read" ? "Read" : "Write"} rate limit exceeded`;
    if (answer.retryAfterSeconds === 0) {
      throw new DomainError(
        "rate_limited",
        `${who}, request larger than rate limiter capacity, please try to split your request`,
      );
    }
    const seconds = Math.max(1, Math.ceil(answer.retryAfterSeconds));
    throw new DomainError(
      "rate_limited",
      `${who}: Operation requires ${tokens} tokens but only ${answer.available.toFixed(1)} were available. Retry after ${seconds}s`,
      { details: { retryAfterSeconds: seconds } },
    );
  }

  async function read(name: string, judge: (rules: Rules & { readonly strict: StrictMode }) => number): Promise<void> {
    const rules = await rulesOf(name);
    if (rules === undefined) return;
    const cost = judge(rules);
    await spend(name, "read", rules.strict, () => cost);
  }

  async function write(name: string, operation: WriteOperation): Promise<void> {
    const rules = await rulesOf(name);
    if (rules === undefined) return;
    await judgeWrite(name, rules, operation);
    await spend(name, "write", rules.strict, () => writeCost(rules, operation));
  }

  async function judgeWrite(
    name: string,
    { strict, indexes }: Rules & { readonly strict: StrictMode },
    operation: AdmittedWrite,
  ): Promise<void> {
    if (operation.selector?.kind === "filter") {
      checkFilter(strict, indexes, operation.selector.filter, strict.unindexedFilteringUpdate);
    }
    if (operation.kind === "upsert" || operation.kind === "update_vectors") {
      const what = operation.kind === "upsert" ? "upsert limit" : "update limit";
      const points = operation.points ?? [];
      checkLimit(points.length, strict.upsertMaxBatchsize, what);
      checkVectors(strict, points as Parameters<typeof checkVectors>[1]);
    }
    if (grows(operation)) await checkSizes(name, strict, operation.kind);
  }

  async function checkSizes(name: string, strict: StrictMode, kind: WriteOperation["kind"]): Promise<void> {
    checkResidentMemory(strict);
    const payloadOnly = kind === "set_payload" || kind === "overwrite_payload";
    const { maxCollectionPayloadSizeBytes: payload } = strict;
    const vector = payloadOnly ? undefined : strict.maxCollectionVectorSizeBytes;
    const points = payloadOnly ? undefined : strict.maxPointsCount;
    if (payload === undefined && vector === undefined && points === undefined) return;
    const info = await engine.collectionInfo(name);
    const reached = (what: string): Error => badInput(`Bad request: ${what} reached!`);
    if (vector !== undefined && info.vectorBytes >= vector) {
      throw reached(`Max vector storage size limit of ${megabytes(vector)}MB`);
    }
    if (payload !== undefined && info.payloadBytes >= payload) {
      throw reached(`Max payload storage size limit of ${megabytes(payload)}MB`);
    }
    if (points !== undefined && info.pointsCount >= points) throw reached(`Max points count limit of ${points}`);
  }

  const { admit: admitBelow } = engine;

  return {
    ...engine,
    async admit(name, request) {
      await admitBelow(name, request);
      const keyed = shards ? undefined : request.writes?.find((operation) => operation.shards !== undefined);
      if (keyed?.shards !== undefined) {
        await engine.collectionInfo(name);
        // The text is Qdrant's.
        const key = shownShardKey(keyed.shards.keys[0] as ShardKey);
        throw badInput(`Wrong input: Shard key ${key} not found`, "shard_key_selector");
      }
      const rules = await rulesOf(name);
      if (rules === undefined) return;
      if (request.timeoutSeconds !== undefined) checkLimit(request.timeoutSeconds, rules.strict.maxTimeout, "timeout");
      checkLimit(request.searches, rules.strict.searchMaxBatchsize, "search batch size");
      for (const operation of request.writes ?? []) await judgeWrite(name, rules, operation);
    },
    async write(name, operation, options) {
      await checkShards(name);
      if (options.continues !== true) await write(name, operation);
      return engine.write(name, operation, options);
    },
    async writeEncoded(name, points, options) {
      await checkShards(name);
      const rules = await rulesOf(name);
      if (rules !== undefined) {
        // Limits of single vectors are judged by who reads the points one by one, and points that have to be read would pay twice.
        if (hasAny(rules.strict.multivectorMaxVectors) || hasAny(rules.strict.sparseMaxLength)) return undefined;
        if (rules.strict.writeRateLimit !== undefined) return undefined;
        checkLimit(points.count, rules.strict.upsertMaxBatchsize, "upsert limit");
        await checkSizes(name, rules.strict, "upsert");
      }
      return engine.writeEncoded(name, points, options);
    },
    async createFieldIndex(name, key, type, params, wait) {
      const rules = await rulesOf(name);
      const most = rules?.strict.maxPayloadIndexCount;
      if (rules !== undefined && most !== undefined && rules.indexes.size >= most && !rules.indexes.has(key)) {
        throw strictError(
          `Collection already has the maximum number of payload indices (${most})`,
          "Please delete an existing index before creating a new one.",
        );
      }
      if (rules !== undefined) await spend(name, "write", rules.strict, () => 1);
      return engine.createFieldIndex(name, key, type, params, wait);
    },
    async get(name, ids, payload, vectors, signal) {
      await read(name, () => ids.length);
      return engine.get(name, ids, payload, vectors, signal);
    },
    async search(name, query, signal) {
      await read(name, (rules) => judgeNearest(rules, query));
      return engine.search(name, query, signal);
    },
    async searchBatch(name, queries, signal) {
      await read(name, (rules) => {
        checkLimit(queries.length, rules.strict.searchMaxBatchsize, "search batch size");
        return queries.reduce((sum, query) => sum + judgeNearest(rules, query), 0);
      });
      return engine.searchBatch(name, queries, signal);
    },
    async query(name, request, signal) {
      await read(name, (rules) => judgeQuery(rules, request, request.limit));
      return engine.query(name, request, signal);
    },
    async queryBatch(name, requests, signal) {
      await read(name, (rules) => {
        checkLimit(requests.length, rules.strict.searchMaxBatchsize, "search batch size");
        return requests.reduce((sum, request) => sum + judgeQuery(rules, request, request.limit), 0);
      });
      return engine.queryBatch(name, requests, signal);
    },
    async queryGroups(name, request, signal) {
      await read(name, (rules) => judgeGroups(rules, request));
      return engine.queryGroups(name, request, signal);
    },
    async facet(name, request, signal) {
      await read(name, (rules) => {
        const { strict, indexes } = rules;
        checkLimit(request.limit, strict.maxQueryLimit, "limit");
        checkFilter(strict, indexes, request.filter, strict.unindexedFilteringRetrieve);
        checkExact(strict, request.exact);
        return 1 + countConditions(request.filter);
      });
      return engine.facet(name, request, signal);
    },
    async count(name, filter, exact, options) {
      await read(name, ({ strict, indexes }) => {
        checkFilter(strict, indexes, filter, strict.unindexedFilteringRetrieve);
        checkExact(strict, exact);
        return 1 + countConditions(filter);
      });
      return engine.count(name, filter, exact, options);
    },
    async scroll(name, request, signal) {
      await read(name, ({ strict, indexes }) => {
        checkLimit(request.limit, strict.maxQueryLimit, "limit");
        checkFilter(strict, indexes, request.filter, strict.unindexedFilteringRetrieve);
        return 1 + countConditions(request.filter);
      });
      return engine.scroll(name, request, signal);
    },
    async openScroll(name, request) {
      await read(name, ({ strict, indexes }) => {
        checkFilter(strict, indexes, request.filter, strict.unindexedFilteringRetrieve);
        return 1 + countConditions(request.filter);
      });
      return engine.openScroll(name, request);
    },
    async explain(name, request) {
      await read(name, (rules) => {
        const { strict, indexes } = rules;
        checkFilter(strict, indexes, request.filter, strict.unindexedFilteringRetrieve);
        if (request.query !== undefined) checkLimit(request.query.limit, strict.maxQueryLimit, "limit");
        return 1 + countConditions(request.filter);
      });
      return engine.explain(name, request);
    },
  };
}

type HeldRules = Rules & { readonly strict: StrictMode };

function hasAny(map: Readonly<Record<string, number>> | undefined): boolean {
  return map !== undefined && Object.keys(map).length > 0;
}

function checkLimit(value: number | undefined, limit: number | undefined, name: string): void {
  if (value === undefined || limit === undefined || value <= limit) return;
  throw strictError(
    `Limit exceeded ${value} > ${limit} for "${name}"`,
    `Reduce the "${name}" parameter to or below ${limit}.`,
  );
}

function checkExact(strict: StrictMode, exact: boolean | undefined): void {
  if (strict.searchAllowExact === false && exact === true) {
    throw strictError("Exact search disabled!", "Set exact=false.");
  }
}

function checkParams({ strict, indexes }: HeldRules, params: SearchParams): void {
  checkLimit(params.quantization?.oversampling, strict.searchMaxOversampling, "oversampling");
  checkLimit(params.hnswEf, strict.searchMaxHnswEf, "hnsw_ef");
  checkFilter(strict, indexes, params.idfCorpus, strict.unindexedFilteringRetrieve);
  checkExact(strict, params.exact);
}

/** Judges one search and tells what it costs. */
function judgeNearest(rules: HeldRules, query: NearestQuery): number {
  const { strict, indexes } = rules;
  checkFullScan(rules, query.using, query.filter);
  checkLimit(query.limit, strict.maxQueryLimit, "limit");
  checkFilter(strict, indexes, query.filter, strict.unindexedFilteringRetrieve);
  checkParams(rules, query);
  return 1 + countConditions(query.filter);
}

/** Only the leaves of a tree cost, as in Qdrant: what stands above them searches nothing, but its conditions hold for them too. */
function judgeQuery(rules: HeldRules, request: QueryRequest | Prefetch, limit: number, conditions = 0): number {
  const { strict, indexes } = rules;
  const { query } = request;
  const here = conditions + countConditions(request.filter);
  let cost = request.prefetch.length === 0 ? leafCost(query) + here : 0;
  for (const prefetch of request.prefetch) cost += judgeQuery(rules, prefetch, prefetch.limit, here);
  if (query?.kind === "formula" && strict.unindexedFilteringRetrieve === false) {
    checkExpression(indexes, query.expression);
  }
  const ofVectors = ["nearest", "recommend", "discover", "context", "relevance_feedback"].includes(query?.kind ?? "");
  if (ofVectors && request.prefetch.length === 0) checkFullScan(rules, request.using, request.filter);
  checkLimit(limit, strict.maxQueryLimit, "limit");
  checkFilter(strict, indexes, request.filter, strict.unindexedFilteringRetrieve);
  checkParams(rules, request.params);
  return cost;
}

/** Each example that every point is compared with counts. */
function leafCost(query: Query | undefined): number {
  if (query?.kind === "discover" || query?.kind === "context") return query.context.length;
  if (query?.kind === "recommend" && query.strategy !== "average_vector") {
    return query.positive.length + query.negative.length;
  }
  if (query?.kind === "relevance_feedback") return 1 + query.feedback.length;
  return 1;
}

function judgeGroups(rules: HeldRules, request: GroupsRequest): number {
  const cost = judgeQuery(rules, request, request.limit * request.groupSize);
  if (rules.strict.unindexedFilteringRetrieve === false) checkGroupKey(rules.indexes, request.groupBy);
  return cost;
}

/** Without a graph every search is an exact one. */
function checkFullScan({ strict, info }: HeldRules, using: string, filter: Filter | undefined): void {
  if (strict.searchAllowExact !== false) return;
  const { vectors, hnsw } = info.config;
  const params = Object.hasOwn(vectors, using) ? vectors[using] : undefined;
  if (params === undefined || (params.hnsw?.m ?? hnsw.m) > 0) return;
  const where = using === "" ? "" : ` on '${using}'`;
  if (filter === undefined || !asksTenant(info, filter)) {
    throw strictError(
      `Request is forbidden${where} because global vector indexing is disabled (hnsw_config.m = 0)`,
      "Use tenant-specific filter, enable global vector indexing or enable strict mode `search_allow_exact` option",
    );
  }
}

function asksTenant(info: CollectionInfo, filter: Filter): boolean {
  const tenants = new Set(
    info.fieldIndexes.filter(({ params }) => /"isTenant":\s*true/.test(params)).map(({ key }) => key),
  );
  return [...filter.must, ...filter.should].some((condition) => "key" in condition && tenants.has(condition.key));
}

function grows(operation: AdmittedWrite): boolean {
  return ["upsert", "update_vectors", "set_payload", "overwrite_payload"].includes(operation.kind);
}

function writeCost({ strict, indexes, info }: HeldRules, operation: WriteOperation): number {
  if ("points" in operation) return operation.points.length;
  if (operation.selector.kind === "ids") return operation.selector.ids.length;
  // Qdrant pays for the points that it expects to be changed: half of all where no index tells.
  const { filter } = operation.selector;
  try {
    checkFilter({ ...strict, filterMaxConditions: undefined, conditionMaxSize: undefined }, indexes, filter, false);
    return 1 + countConditions(filter);
  } catch {
    return Math.ceil(info.pointsCount / 2);
  }
}

function checkVectors(
  { multivectorMaxVectors: multi, sparseMaxLength: sparse }: StrictMode,
  points: readonly { readonly vectors: readonly (readonly [name: string, vector: object])[] }[],
): void {
  if (!hasAny(multi) && !hasAny(sparse)) return;
  for (const { vectors } of points) {
    for (const [name, vector] of vectors) {
      const many = "rows" in vector ? (vector.rows as number) : undefined;
      const most = multi?.[name];
      if (many !== undefined && most !== undefined && many > most) {
        throw badInput(`Bad request: Multivector '${name}' has a limit of ${most} vectors, but ${many} were provided!`);
      }
      const length = "indices" in vector ? (vector.indices as Uint32Array).length : undefined;
      const longest = sparse?.[name];
      if (length !== undefined && longest !== undefined && length > longest) {
        throw badInput(
          `Bad request: Sparse vector '${name}' has a limit of ${longest} indices, but ${length} were provided!`,
        );
      }
    }
  }
}

function checkResidentMemory({ maxResidentMemoryPercent: most }: StrictMode): void {
  if (most === undefined) return;
  const used = residentMemoryPercent();
  if (used < most) return;
  throw strictError(
    `Resident memory usage is at ${used}% of total memory, exceeding the configured limit of ${most}%`,
    "Reduce memory usage (e.g. delete points or drop collections), or raise `max_resident_memory_percent` in the strict mode config of this collection.",
  );
}

/** As Rust prints an f32. */
function megabytes(bytes: number): string {
  const value = Math.fround(bytes / (1024 * 1024));
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(value);
}
