/**
 * Sealing as a decorator of the engine's contract, under every door and every job: what a policy forbids cannot be written
 * by any way round. Admission leans on a cached policy; the commit checks its epoch, so a stale one never lets plaintext in.
 */
import {
  DomainError,
  type Filter,
  type PayloadSelector,
  type QueryRequest,
  type SealingPolicy,
  sealedKey,
} from "../core/index.ts";
import { hasSealedStored } from "../wire/index.ts";
import type {
  EncodedUpsert,
  Engine,
  NearestQuery,
  PointTable,
  ScrollCursor,
  ScrollRequest,
  SealedEngine,
  WriteOperation,
  WriteOptions,
  WriteResult,
} from "./engine.ts";
import { admitEncoded, admitWrite, judgesPlainOnly } from "./sealed/admission.ts";
import { fieldIsSealed, rootKey } from "./sealed/fields.ts";
import { type AdmissionPolicy, normalizePolicy, PolicyCache } from "./sealed/policy.ts";
import { checkKey, judgeQuery } from "./sealed/queries.ts";

/** Times that a write is judged anew because the policy changed under it. */
const admissionsMax = 32;

const skippedCounts = new WeakMap<object, number>();

/** Sealed points that the filter of this answer passed over; 0 when none did. */
export function sealedSkippedOf(result: PointTable | ScrollCursor): number {
  return skippedCounts.get(result) ?? 0;
}

/** For a view of an answer: it passed over as many. */
export function carrySkipped(from: PointTable | ScrollCursor, to: PointTable | ScrollCursor): void {
  const count = skippedCounts.get(from);
  if (count !== undefined) skippedCounts.set(to, count);
}

/** Bytes of what the sealed engines of a process share. */
const sharedBytes = Int32Array.BYTES_PER_ELEMENT;

/** What each thread's sealEngine over the same engine must be given, so that none leans on a policy that another one changed. */
export function createSharedChanges(): SharedArrayBuffer {
  return new SharedArrayBuffer(sharedBytes);
}

export function sealEngine(engine: Engine, changes: SharedArrayBuffer = createSharedChanges()): SealedEngine {
  const policies = new PolicyCache(engine, changes);

  async function changed<T>(change: Promise<T>): Promise<T> {
    try {
      return await change;
    } finally {
      policies.clear();
    }
  }

  async function write(name: string, operation: WriteOperation, options: WriteOptions): Promise<WriteResult> {
    let policy = await policies.forWrite(name);
    for (let admission = 1; ; admission++) {
      // Admission is judged under this very policy and the commit checks that it still holds.
      const { epoch } = policy;
      if (options.admittedEpoch !== undefined && options.admittedEpoch !== epoch) {
        policy = await policies.refresh(name);
        if (options.admittedEpoch !== policy.epoch) throw policyMoved();
        continue;
      }
      let admitted: WriteOperation;
      try {
        admitted = await admitWrite(engine, name, policy, operation);
      } catch (error) {
        // A refusal under a stale policy is as wrong as an admission.
        const fresh = await policies.refresh(name);
        if (fresh.epoch === epoch || admission >= admissionsMax) throw error;
        policy = fresh;
        continue;
      }
      try {
        await options.turn?.comes;
        const writing = engine.write(name, admitted, { ...options, admittedEpoch: epoch });
        options.turn?.taken();
        const result = await writing;
        // From now on answers tell how many points their filters pass over.
        if (!policy.holdsSealed && storesEnvelopes(operation, admitted)) policies.clear();
        return result;
      } catch (error) {
        // A missing point is told once the others are written.
        if (!policy.holdsSealed && storesEnvelopes(operation, admitted)) policies.clear();
        if (!(error instanceof DomainError) || error.kind !== "aborted") throw error;
        policy = await policies.refresh(name);
        // Aborted for another reason, such as a stream that was taken over.
        if (policy.epoch === epoch || options.admittedEpoch !== undefined || admission >= admissionsMax) throw error;
      }
    }
  }

  /** Only what needs no judgement of single points: the native readers refuse points that bring keys or envelopes. */
  async function writeEncoded(
    name: string,
    points: EncodedUpsert,
    options: WriteOptions,
  ): Promise<WriteResult | undefined> {
    for (let admission = 1; ; admission++) {
      let policy: AdmissionPolicy;
      try {
        policy = await policies.forWrite(name);
      } catch (error) {
        // What is wrong with the points is said before that there is no such collection.
        if (error instanceof DomainError && error.kind === "not_found") return undefined;
        throw error;
      }
      const { epoch } = policy;
      if (options.admittedEpoch !== undefined && options.admittedEpoch !== epoch) return undefined;
      const admitted = await admitEncoded(policy, points);
      if (admitted === undefined) return undefined;
      const sealed = admitted.sealedPayloads !== undefined;
      try {
        await options.turn?.comes;
        const writing = engine.writeEncoded(name, admitted, { ...options, admittedEpoch: epoch });
        options.turn?.taken();
        const result = await writing;
        // From now on answers tell how many points their filters pass over.
        if (sealed && !policy.holdsSealed) policies.clear();
        return result && { ...result, sealed };
      } catch (error) {
        if (!(error instanceof DomainError) || error.kind !== "aborted") throw error;
        // A moved policy is read anew; aborted for another reason, such as a stream that was taken over, it stays.
        if ((await policies.refresh(name)).epoch === epoch) throw error;
        if (admission >= admissionsMax) return undefined;
      }
    }
  }

  /** Whether the filter judges plain points only; throws when the policy forbids it. */
  async function passesOver(name: string, filter: Filter | undefined): Promise<boolean> {
    return filter !== undefined && judgesPlainOnly(await policies.forRead(name), filter);
  }

  async function sealedPoints(name: string): Promise<number> {
    if (!(await policies.forRead(name)).holdsSealed) return 0;
    return (await engine.collectionInfo(name)).sealedPointsCount;
  }

  async function judge<T extends { readonly filter?: Filter; readonly payload: PayloadSelector }>(
    name: string,
    request: T,
  ): Promise<{ request: T; passesOver: boolean }> {
    const payload = keepEnvelopes(request.payload);
    if (await passesOver(name, request.filter))
      return { request: { ...request, payload, plainOnly: true }, passesOver: true };
    return { request: payload === request.payload ? request : { ...request, payload }, passesOver: false };
  }

  async function judgeOne<T extends QueryRequest>(
    name: string,
    request: T,
  ): Promise<{ readonly request: T; readonly skipped: number }> {
    const judged = judgeQuery(await policies.forRead(name), { ...request, payload: keepEnvelopes(request.payload) });
    return { request: judged.request, skipped: judged.passesOver ? await sealedPoints(name) : 0 };
  }

  function counted<T extends PointTable | ScrollCursor>(result: T, skipped: number): T {
    if (skipped > 0) skippedCounts.set(result, skipped);
    return result;
  }

  return {
    createCollection: async (name, config, sealing) =>
      changed(engine.createCollection(name, config, normalizePolicy(sealing))),
    updateCollection: (name, change) => changed(engine.updateCollection(name, change)),
    createVectorName: (name, vector, definition, echo) =>
      changed(engine.createVectorName(name, vector, definition, echo)),
    deleteVectorName: (name, vector, echo) => changed(engine.deleteVectorName(name, vector, echo)),
    deleteCollection: (name) => changed(engine.deleteCollection(name)),
    listCollections: () => engine.listCollections(),
    largestCollections: (count) => engine.largestCollections(count),
    collectionExists: (name) => engine.collectionExists(name),
    collectionInfo: (name) => engine.collectionInfo(name),
    collectionMemory: (name) => engine.collectionMemory(name),
    admitManage: () => engine.admitManage(),
    updateAliases: (actions) => changed(engine.updateAliases(actions)),
    listAliases: (collection) => engine.listAliases(collection),
    setSealingPolicy: async (name: string, policy: SealingPolicy) =>
      changed(engine.setSealingPolicy(name, normalizePolicy(policy))),
    countPlain: (name) => engine.countPlain(name),
    write,
    writeEncoded,
    async createFieldIndex(name, key, type, params, wait) {
      const check = async (): Promise<void> => {
        const policy = await policies.refresh(name);
        if (rootKey(key) === sealedKey || (policy.mode === "required" && !policy.clearFields.has(rootKey(key))))
          throw fieldIsSealed(key);
      };
      await check();
      const made = await changed(engine.createFieldIndex(name, key, type, params, wait));
      // The policy may have become stricter meanwhile.
      await check().catch(async (error: unknown) => {
        await engine.deleteFieldIndex(name, key);
        throw error;
      });
      return made;
    },
    deleteFieldIndex: (name, key) => changed(engine.deleteFieldIndex(name, key)),
    spend: (name, kind, perMinute, cost) => engine.spend(name, kind, perMinute, cost),
    admit: async () => undefined,
    streamPosition: (name, streamId) => engine.streamPosition(name, streamId),
    get: (name, ids, payload, vectors, signal) => engine.get(name, ids, keepEnvelopes(payload), vectors, signal),
    async search(name: string, query: NearestQuery, signal) {
      const judged = await judge(name, query);
      const skipped = judged.passesOver ? await sealedPoints(name) : 0;
      return counted(await engine.search(name, judged.request, signal), skipped);
    },
    async searchBatch(name: string, queries: readonly NearestQuery[], signal) {
      const judged: Awaited<ReturnType<typeof judge<NearestQuery>>>[] = [];
      for (const query of queries) judged.push(await judge(name, query));
      const skipped = judged.some((each) => each.passesOver) ? await sealedPoints(name) : 0;
      const requests = judged.map((each) => each.request);
      const tables = await engine.searchBatch(name, requests, signal);
      return tables.map((points, i) => counted(points, judged[i]?.passesOver === true ? skipped : 0));
    },
    async query(name, request, signal) {
      const judged = await judgeOne(name, request);
      return counted(await engine.query(name, judged.request, signal), judged.skipped);
    },
    async queryBatch(name, requests, signal) {
      const judged: { readonly request: QueryRequest; readonly skipped: number }[] = [];
      for (const request of requests) judged.push(await judgeOne(name, request));
      const tables = await engine.queryBatch(
        name,
        judged.map(({ request }) => request),
        signal,
      );
      return tables.map((points, i) => counted(points, judged[i]?.skipped ?? 0));
    },
    async queryGroups(name, request, signal) {
      const judged = await judgeOne(name, request);
      const groups = await engine.queryGroups(name, judged.request, signal);
      for (const { points } of groups) counted(points, judged.skipped);
      return groups;
    },
    async facet(name, request, signal) {
      checkKey(await policies.forRead(name), request.key);
      const plainOnly = await passesOver(name, request.filter);
      return engine.facet(name, plainOnly ? { ...request, plainOnly } : request, signal);
    },
    async explain(name, request) {
      const plainOnly = await passesOver(name, request.filter);
      return engine.explain(name, plainOnly ? { ...request, plainOnly } : request);
    },
    async count(name, filter, exact, options) {
      const plainOnly = await passesOver(name, filter);
      return engine.count(name, filter, exact, plainOnly ? { ...options, plainOnly } : options);
    },
    async scroll(name: string, scroll: ScrollRequest, signal) {
      if (scroll.orderBy !== undefined) checkKey(await policies.forRead(name), scroll.orderBy.key);
      const judged = await judge(name, scroll);
      const skipped = judged.passesOver ? await sealedPoints(name) : 0;
      const page = await engine.scroll(name, judged.request, signal);
      counted(page.points, skipped);
      return page;
    },
    async openScroll(name, scroll) {
      const judged = await judge(name, scroll);
      const skipped = judged.passesOver ? await sealedPoints(name) : 0;
      return counted(await engine.openScroll(name, judged.request), skipped);
    },
    sealedSkipped: async (name, filter) => ((await passesOver(name, filter)) ? sealedPoints(name) : 0),
    snapshots: {
      create: (name, base, shard) => engine.snapshots.create(name, base, shard),
      list: (name, shard) => engine.snapshots.list(name, shard),
      delete: (name, snapshot, shard) => engine.snapshots.delete(name, snapshot, shard),
      open: (name, snapshot, shard) => engine.snapshots.open(name, snapshot, shard),
      admitRestore: () => engine.snapshots.admitRestore(),
      holds: (path) => engine.snapshots.holds(path),
      receive: (parts) => engine.snapshots.receive(parts),
      // Another policy may hold for the name afterwards.
      restore: (name, paths, sha256) => changed(engine.snapshots.restore(name, paths, sha256)),
    },
    close: () => engine.close(),
  };
}

/** Whether the admitted write stores an envelope. */
function storesEnvelopes(given: WriteOperation, admitted: WriteOperation): boolean {
  switch (admitted.kind) {
    case "upsert":
      // Admission hands on plain points as they are.
      return given.kind === "upsert" && admitted.points.some((point, i) => point !== given.points[i]);
    case "overwrite_payload":
      return hasSealedStored(admitted.payload);
    default:
      return admitted.kind === "seal_payload";
  }
}

/** Selectors by key always keep the envelopes: which fields they hold nobody but the owner knows. */
function keepEnvelopes(selector: PayloadSelector): PayloadSelector {
  if (selector.kind === "include") {
    return { kind: "include", keys: [`"${sealedKey}"`, ...selector.keys.filter((key) => rootKey(key) !== sealedKey)] };
  }
  if (selector.kind === "exclude" && selector.keys.some((key) => rootKey(key) === sealedKey)) {
    return { kind: "exclude", keys: selector.keys.filter((key) => rootKey(key) !== sealedKey) };
  }
  return selector;
}

function policyMoved(): DomainError {
  return new DomainError("aborted", "the collection's policy changed meanwhile", { details: { field: "epoch" } });
}
