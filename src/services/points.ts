/** Points: writes and reads of one collection, as qdrant.Points offers them. */
import {
  badInput,
  type Cancellation,
  type DomainError,
  type FieldIndexType,
  type Filter,
  limits,
  type OrderBy,
  type PayloadSelector,
  type PointId,
  type QuantizationSearch,
  type VectorsSelector,
} from "../core/index.ts";
import {
  type EncodedUpsert,
  type NearestQuery,
  type PointInput,
  type PointTable,
  type ScrollRequest,
  type SealedEngine,
  sealedSkippedOf,
  tableRows,
  type VectorDefinition,
  type WriteOperation,
  type WriteResult,
} from "../engine/index.ts";
import { Inference, type InferenceContext, type InferenceUsage } from "../inference/index.ts";
import { parsePublicKey, TimeSlices } from "../seal/index.ts";
import { type GivenWrite, holdsInputs, modelsSeeText, resolveWrite } from "./inferred.ts";

export interface UpdateOutcome {
  /** Absent where the write has not got its number yet. */
  readonly operationId: bigint | undefined;
  /** True: durable and visible; false: ordered and logged. */
  readonly completed: boolean;
  /** Sealed points that the selector's filter passed over. */
  readonly sealedSkipped: number;
  /** What a provider of models counted. */
  readonly usage?: InferenceUsage | undefined;
  /** The caller's timeout has passed; the write goes on. */
  readonly timedOut?: boolean;
}

/** An upsert as it came. */
export interface RawUpsert {
  /** Absent when the request has to be read whole. */
  readonly encoded: EncodedUpsert | undefined;
  read(): Promise<GivenWrite>;
  /** Called once, when nothing reads the request any more, also after a failure. `sealed`: its plaintext may have been sealed. */
  release(sealed: boolean): void;
}

export interface WriteContext extends InferenceContext {
  /** How long the caller waits for each write; absent: until it is done. */
  readonly waitSeconds?: number | undefined;
}

export interface NearestRequest {
  readonly using: string;
  /** Absent: points are listed by id. */
  readonly vector: Float32Array | { readonly pointId: PointId } | undefined;
  readonly filter: Filter | undefined;
  readonly limit: number;
  readonly offset: number;
  readonly scoreThreshold: number | undefined;
  readonly hnswEf: number | undefined;
  readonly exact: boolean | undefined;
  readonly indexedOnly: boolean | undefined;
  readonly quantization?: QuantizationSearch;
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
}

export interface Found {
  readonly points: PointTable;
  /** Sealed points that the filter passed over. */
  readonly sealedSkipped: number;
  readonly usage?: InferenceUsage | undefined;
}

export interface ScrollPage extends Found {
  readonly nextOffset: PointId | undefined;
}

/** A threshold of no score. The text is Qdrant's. */
export function thresholdAlone(): DomainError {
  return badInput(
    "Bad request: A query is needed to use the score_threshold. Can't have score_threshold without defining a query.",
    "score_threshold",
  );
}

function checkLimit(limit: number, field: string): void {
  if (limit >= 1) return;
  // The text is that of Qdrant's validator.
  throw badInput(`Validation error in body: [${field}: value ${limit} invalid, must be 1 or larger]`, field);
}

/** Dimensions and finiteness are checked natively, against the collection. */
function checkPoints(points: readonly unknown[]): void {
  if (points.length === 0) throw badInput("Wrong input: Empty update request", "points");
}

/** The engine judges keys too, but one operation at a time: then some of a batch would already be written. */
async function checkKeys(operations: readonly GivenWrite[]): Promise<void> {
  const slices = new TimeSlices();
  for (const [index, operation] of operations.entries()) {
    if (operation.kind !== "upsert" && operation.kind !== "set_payload" && operation.kind !== "overwrite_payload")
      continue;
    const field = `operations[${index}].${operation.kind}`;
    if (operation.publicKey !== undefined) parsePublicKey(operation.publicKey, `${field}.public_key`);
    if (operation.kind !== "upsert") continue;
    for (let place = 0; place < operation.points.length; place++) {
      if (slices.due()) await slices.yield();
      const { id, publicKey } = operation.points[place] as PointInput;
      const point = `${field}.points[${place}]`;
      if (publicKey !== undefined) parsePublicKey(publicKey, `${point}.public_key`, `point ${id}`);
    }
  }
}

export class PointsService {
  readonly #engine: SealedEngine;
  readonly #inference: Inference;

  constructor(engine: SealedEngine, inference = new Inference()) {
    this.#engine = engine;
    this.#inference = inference;
  }

  async write(
    collection: string,
    given: GivenWrite,
    wait: boolean,
    context: WriteContext = {},
  ): Promise<UpdateOutcome> {
    return withinWait(this.#write(collection, given, wait, context), context);
  }

  async #write(
    collection: string,
    given: GivenWrite,
    wait: boolean,
    context: InferenceContext,
    confirmedByNext = false,
  ): Promise<UpdateOutcome> {
    const { signal } = context;
    if (given.kind === "upsert" || given.kind === "update_vectors") checkPoints(given.points);
    const { operation, usage, admittedEpoch } = await this.#resolve(collection, given, context);
    const { operationId } = await this.#engine.write(collection, operation, {
      wait,
      confirmedByNext,
      signal,
      admittedEpoch,
    });
    const filter = "selector" in operation && operation.selector.kind === "filter" && operation.selector.filter;
    // The write stands, whatever became of the collection and its policy since.
    const sealedSkipped = filter === false ? 0 : await this.#engine.sealedSkipped(collection, filter).catch(() => 0);
    return { operationId, completed: wait, sealedSkipped, usage };
  }

  /** What models make of a text goes to the disk in clear: where everything has to be sealed, the write is refused under that very policy. */
  async #resolve(
    collection: string,
    given: GivenWrite,
    context: InferenceContext,
  ): Promise<{ operation: WriteOperation; usage?: InferenceUsage; admittedEpoch?: number }> {
    if (!holdsInputs(given)) return { operation: given as WriteOperation };
    const { sealing, epoch } = await this.#engine.collectionInfo(collection);
    if (sealing.mode === "required") throw modelsSeeText("points");
    const { value, usage } = await resolveWrite(this.#inference, given, context);
    return { operation: value, usage, admittedEpoch: epoch };
  }

  /** An upsert whose points stay as they came, where the engine takes them so; otherwise they are read and written one by one. */
  async upsert(
    collection: string,
    request: RawUpsert,
    wait: boolean,
    context: WriteContext = {},
  ): Promise<UpdateOutcome> {
    return withinWait(this.#upsert(collection, request, wait, context), context);
  }

  /** All of it under one wait: also what is read only when the caller has its answer is written. */
  async #upsert(
    collection: string,
    { encoded, read, release }: RawUpsert,
    wait: boolean,
    context: WriteContext,
  ): Promise<UpdateOutcome> {
    const { signal, waitSeconds } = context;
    let sealed = true;
    try {
      const result = encoded && (await this.#engine.writeEncoded(collection, encoded, { wait, signal }));
      if (result !== undefined) {
        sealed = result.sealed === true;
        return { operationId: result.operationId, completed: wait, sealedSkipped: 0 };
      }
      return await this.#write(collection, await read(), wait, waitSeconds === undefined ? context : detached(context));
    } finally {
      release(sealed);
    }
  }

  /**
   * In order; the first failure ends it, and what came before stays. A bad key refuses all before anything is written. Once one of them has
   * timed out the others, which wait for it, have too.
   */
  async writeAll(
    collection: string,
    operations: readonly GivenWrite[],
    wait: boolean,
    context: WriteContext = {},
  ): Promise<UpdateOutcome[]> {
    await checkKeys(operations);
    await this.#engine.admit(collection, { writes: operations });
    const outcomes: UpdateOutcome[] = [];
    for (const [index, operation] of operations.entries()) {
      // The disk is waited for once, with the last of them: nobody hears of the others before, unless time runs out or one fails.
      const confirmedByNext = context.waitSeconds === undefined && index + 1 < operations.length;
      const writing = this.#write(collection, operation, wait, context, confirmedByNext);
      const outcome = await withinWait(writing, context).catch(async (error: unknown) => {
        // What came before stays, and is on the disk before anybody hears of the failure: what waits for the disk next, waits for all.
        if (wait && index > 0 && context.waitSeconds === undefined) {
          const { shards } = operation;
          const nothing = { kind: "delete", selector: { kind: "ids", ids: [] }, shards } as const;
          await this.#engine.write(collection, nothing, { wait, continues: true }).catch(() => undefined);
        }
        throw error;
      });
      outcomes.push(outcome);
      if (outcome.timedOut !== true) continue;
      const rest = operations.slice(index + 1);
      outcomes.push(...rest.map(() => timedOut));
      void this.#writeLater(writing, collection, rest, detached(context));
      break;
    }
    return outcomes;
  }

  /** What nobody waits for any more is written all the same, unless what stands before it fails. */
  async #writeLater(
    before: Promise<unknown>,
    collection: string,
    operations: readonly GivenWrite[],
    context: InferenceContext,
  ): Promise<void> {
    try {
      await before;
      for (const operation of operations) await this.#write(collection, operation, true, context);
    } catch {
      // Its caller was told that the outcome is not known.
    }
  }

  createFieldIndex(
    collection: string,
    key: string,
    type: FieldIndexType,
    params: string,
    wait: boolean,
    context: WriteContext = {},
  ): Promise<UpdateOutcome> {
    return this.#change(this.#engine.createFieldIndex(collection, key, type, params, wait), wait, context);
  }

  deleteFieldIndex(collection: string, key: string, wait: boolean, context: WriteContext = {}): Promise<UpdateOutcome> {
    return this.#change(this.#engine.deleteFieldIndex(collection, key), wait, context);
  }

  createVectorName(
    collection: string,
    vector: string,
    definition: VectorDefinition,
    echo: (present: string) => string,
    wait: boolean,
    context: WriteContext = {},
  ): Promise<UpdateOutcome> {
    return this.#change(this.#engine.createVectorName(collection, vector, definition, echo), wait, context);
  }

  deleteVectorName(
    collection: string,
    vector: string,
    echo: (present: string) => string,
    wait: boolean,
    context: WriteContext = {},
  ): Promise<UpdateOutcome> {
    return this.#change(this.#engine.deleteVectorName(collection, vector, echo), wait, context);
  }

  #change(changing: Promise<WriteResult>, wait: boolean, context: WriteContext): Promise<UpdateOutcome> {
    const done = changing.then(({ operationId }) => ({ operationId, completed: wait, sealedSkipped: 0 }));
    return withinWait(done, context);
  }

  /** In the order of the ids, each point once; unknown ids are left out. */
  get(
    collection: string,
    ids: readonly PointId[],
    payload: PayloadSelector,
    vectors: VectorsSelector,
    signal?: Cancellation,
  ): Promise<PointTable> {
    return this.#engine.get(collection, ids.length > 1 ? [...new Set(ids)] : ids, payload, vectors, signal);
  }

  async search(collection: string, request: NearestRequest, signal?: Cancellation): Promise<Found> {
    if (request.vector === undefined) return this.#list(collection, request, signal);
    const points = await this.#engine.search(collection, toQuery(request, ""), signal);
    checkWhole(points.length, request);
    return toFound(points);
  }

  async searchBatch(
    collection: string,
    requests: readonly NearestRequest[],
    signal?: Cancellation,
  ): Promise<{ tables: readonly PointTable[]; sealedSkipped: number }> {
    const queries: NearestQuery[] = [];
    checkAnswer(requests.reduce((sum, request) => sum + request.offset + clampLimit(request), 0));
    for (const [index, request] of requests.entries()) {
      if (request.vector !== undefined) queries.push(toQuery(request, `[${index}].`));
    }
    const answered = queries.length === 0 ? [] : await this.#engine.searchBatch(collection, queries, signal);
    const answers = answered[Symbol.iterator]();
    const tables: PointTable[] = [];
    let sealedSkipped = 0;
    for (const request of requests) {
      signal?.throwIfAborted();
      const found =
        request.vector === undefined
          ? await this.#list(collection, request, signal)
          : toFound(answers.next().value as PointTable);
      sealedSkipped += found.sealedSkipped;
      tables.push(found.points);
    }
    // An empty batch says too whether its collection is there.
    if (requests.length === 0) await this.#engine.collectionInfo(collection);
    return { tables, sealedSkipped };
  }

  /** A query without a vector: points by id, each with the score and the version that Qdrant gives such points. */
  async #list(collection: string, request: NearestRequest, signal?: Cancellation): Promise<Found> {
    checkLimit(request.limit, "limit");
    if (request.scoreThreshold !== undefined) throw thresholdAlone();
    const { filter, payload, vectors, offset } = request;
    const limit = offset + clampLimit(request);
    const { points } = await this.#engine.scroll(collection, { filter, limit, payload, vectors }, signal);
    checkWhole(points.length - offset, request);
    const rows = tableRows(points, offset);
    const listed: PointTable = {
      length: rows.length,
      id: (row) => rows.id(row),
      score: () => 1,
      version: () => 0n,
      payload: (row) => rows.payload(row),
      vectors: (row) => rows.vectors(row),
      shardKey: (row) => rows.shardKey?.(row),
    };
    return { points: listed, sealedSkipped: sealedSkippedOf(points) };
  }

  async scroll(
    collection: string,
    request: {
      readonly filter: Filter | undefined;
      readonly offset: PointId | undefined;
      readonly limit: number;
      readonly orderBy?: OrderBy;
      readonly payload: PayloadSelector;
      readonly vectors: VectorsSelector;
    },
    signal?: Cancellation,
  ): Promise<ScrollPage> {
    checkLimit(request.limit, "limit");
    if (request.orderBy !== undefined) {
      return this.#scrollInOrder(collection, { ...request, orderBy: request.orderBy }, signal);
    }
    // A shorter page than asked for still says where the next one begins.
    const limit = Math.min(request.limit, limits.answerPointsMax);
    const { points, nextOffset } = await this.#engine.scroll(collection, { ...request, limit }, signal);
    return { points, nextOffset, sealedSkipped: sealedSkippedOf(points) };
  }

  async #scrollInOrder(
    collection: string,
    request: ScrollRequest & { readonly offset?: PointId; readonly orderBy: OrderBy },
    signal?: Cancellation,
  ): Promise<ScrollPage> {
    if (request.offset !== undefined) {
      // The text is Qdrant's.
      throw badInput(
        "Wrong input: Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value",
        "offset",
      );
    }
    // There is no next page that a shorter one could name: more than an answer holds is refused.
    const limit = clampLimit({ ...request, offset: 0 });
    const { points } = await this.#engine.scroll(collection, { ...request, limit }, signal);
    checkWhole(points.length, { ...request, offset: 0 });
    return { points, nextOffset: undefined, sealedSkipped: sealedSkippedOf(points) };
  }

  async count(
    collection: string,
    filter: Filter | undefined,
    exact: boolean,
    signal?: Cancellation,
  ): Promise<{ count: number; sealedSkipped: number }> {
    const count = await this.#engine.count(collection, filter, exact, { signal });
    const sealedSkipped = filter === undefined ? 0 : await this.#engine.sealedSkipped(collection, filter);
    return { count, sealedSkipped };
  }
}

const timedOut: UpdateOutcome = { operationId: undefined, completed: false, sealedSkipped: 0, timedOut: true };

/** Of a write whose caller has its answer already: nothing of the caller's ends it. */
function detached(context: WriteContext): InferenceContext {
  return { metadata: (name) => context.metadata?.(name) };
}

/** The outcome, or that it was not there in time; the write goes on. */
async function withinWait(writing: Promise<UpdateOutcome>, { waitSeconds }: WriteContext): Promise<UpdateOutcome> {
  if (waitSeconds === undefined) return writing;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<UpdateOutcome>((resolve) => {
    timer = setTimeout(() => resolve(timedOut), Math.min(waitSeconds, limits.timeoutSecondsMax) * 1_000);
    timer.unref();
  });
  // Who fails later has nobody who listens.
  writing.catch(() => undefined);
  try {
    return await Promise.race([writing, late]);
  } finally {
    clearTimeout(timer);
  }
}

function toFound(points: PointTable): Found {
  return { points, sealedSkipped: sealedSkippedOf(points) };
}

type Window = Pick<NearestRequest, "offset" | "limit">;

/** "All of them" is asked for by a limit that no answer has. */
function clampLimit({ offset, limit }: Window): number {
  checkAnswer(offset + 1);
  return Math.min(limit, limits.answerPointsMax - offset);
}

/** An answer that was cut short of what was asked for is refused, never given as if it were all. */
function checkWhole(points: number, window: Window): void {
  const clamped = clampLimit(window);
  if (clamped < window.limit && points >= clamped) checkAnswer(window.offset + window.limit);
}

function checkAnswer(points: number): void {
  if (points > limits.answerPointsMax) {
    throw badInput(`limit: offset and limit together are more than ${limits.answerPointsMax}`, "limit");
  }
}

function toQuery(request: NearestRequest, prefix: string): NearestQuery {
  checkLimit(request.limit, `${prefix}limit`);
  const { vector, hnswEf } = request;
  return {
    ...request,
    limit: clampLimit(request),
    vector: vector as NearestQuery["vector"],
    hnswEf: hnswEf === undefined ? undefined : Math.min(hnswEf, limits.efMax),
  };
}
