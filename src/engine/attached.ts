/**
 * Collections that lie in another engine and can be read by their name, such as an S5 database that a session has loaded: a decorator of
 * the contract below sealing. What would change one is refused with precondition.
 */
import { badInput, DomainError, type Prefetch, type QueryRequest } from "../core/index.ts";
import type { Engine } from "./engine.ts";

export interface Attached {
  readonly engine: Engine;
  /** Its name there. */
  readonly collection: string;
}

export interface Attachments {
  readonly names: readonly string[];
  find(name: string): Attached | undefined;
  /** Something was attached or detached since the last refresh; always known at once, whichever thread did it. */
  readonly isStale: boolean;
  /** Looks anew what is attached; for threads that are not told. True when something may have changed. */
  refresh(): Promise<boolean>;
}

export class AttachmentTable implements Attachments {
  /** Counts the changes, for the threads that have only a copy: it is raised before a change is acknowledged. */
  readonly changes = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  readonly #count = new Int32Array(this.changes);
  readonly #table = new Map<string, Attached>();
  readonly isStale = false;

  get names(): readonly string[] {
    return [...this.#table.keys()];
  }

  find(name: string): Attached | undefined {
    return this.#table.get(name);
  }

  async refresh(): Promise<boolean> {
    return false;
  }

  set(name: string, attached: Attached): void {
    this.#table.set(name, attached);
    Atomics.add(this.#count, 0, 1);
  }

  delete(name: string): void {
    this.#table.delete(name);
    Atomics.add(this.#count, 0, 1);
  }
}

function readOnly(name: string): DomainError {
  const text = `Collection \`${name}\` is read-only: it is attached from S5 and goes with its session`;
  return new DomainError("precondition", text, { details: { field: "collection_name" } });
}

export function attachedEngine(engine: Engine, attachments: Attachments): Engine {
  const missing = (error: unknown): boolean =>
    error instanceof DomainError && (error.kind === "not_found" || error.kind === "unavailable");

  const current = async (name: string): Promise<Attached | undefined> => {
    if (attachments.isStale) await attachments.refresh();
    return attachments.find(name);
  };

  /** Runs on the engine that has the collection. */
  const on = async <T>(name: string, run: (at: Engine, collection: string) => Promise<T>): Promise<T> => {
    if (attachments.isStale) await attachments.refresh();
    const attached = attachments.find(name);
    try {
      if (attached !== undefined) return await run(attached.engine, attached.collection);
      return await run(engine, name);
    } catch (error) {
      if (!missing(error) || !(await attachments.refresh())) throw error;
      const found = attachments.find(name);
      if (found === attached) throw error;
      return found === undefined ? run(engine, name) : run(found.engine, found.collection);
    }
  };
  const change = async <T>(name: string, run: () => Promise<T>): Promise<T> => {
    if (attachments.isStale) await attachments.refresh();
    if (attachments.find(name) !== undefined) throw readOnly(name);
    return run().catch(async (error: unknown) => {
      if (missing(error) && (await attachments.refresh()) && attachments.find(name) !== undefined) throw readOnly(name);
      throw error;
    });
  };
  /** The same where no name means the whole storage. */
  const changeOne = <T>(name: string | undefined, run: () => Promise<T>): Promise<T> =>
    name === undefined ? run() : change(name, run);
  const query = <R extends QueryRequest | Prefetch>(name: string, collection: string, request: R): R =>
    collection === name ? request : toOther(name, collection, request);

  return {
    async createCollection(name, config, sealing) {
      await attachments.refresh();
      if (attachments.find(name) !== undefined) {
        throw new DomainError("already_exists", `Wrong input: Collection \`${name}\` already exists!`);
      }
      return engine.createCollection(name, config, sealing);
    },
    updateCollection: (name, settings) => change(name, () => engine.updateCollection(name, settings)),
    createVectorName: (name, vector, definition, echo) =>
      change(name, () => engine.createVectorName(name, vector, definition, echo)),
    deleteVectorName: (name, vector, echo) => change(name, () => engine.deleteVectorName(name, vector, echo)),
    deleteCollection: (name) => change(name, () => engine.deleteCollection(name)),
    async listCollections() {
      await attachments.refresh();
      return [...new Set([...(await engine.listCollections()), ...attachments.names])].sort();
    },
    largestCollections: (count) => engine.largestCollections(count),
    async collectionExists(name) {
      if ((await current(name)) !== undefined || (await engine.collectionExists(name))) return true;
      return (await attachments.refresh()) && attachments.find(name) !== undefined;
    },
    collectionInfo: (name) =>
      on(name, async (at, collection) => {
        const info = await at.collectionInfo(collection);
        return collection === name || at === engine ? info : { ...info, name };
      }),
    collectionMemory: (name) => on(name, (at, collection) => at.collectionMemory(collection)),
    admitManage: () => engine.admitManage(),
    async updateAliases(actions) {
      await attachments.refresh();
      for (const action of actions) {
        const name = action.kind === "create" ? action.alias : action.kind === "rename" ? action.to : "";
        if (attachments.find(name) !== undefined) {
          throw new DomainError("already_exists", `Wrong input: Collection \`${name}\` already exists!`);
        }
      }
      return engine.updateAliases(actions);
    },
    listAliases: async (name) =>
      name !== undefined && (await current(name)) !== undefined ? [] : engine.listAliases(name),
    setSealingPolicy: (name, policy) => change(name, () => engine.setSealingPolicy(name, policy)),
    countPlain: (name) => on(name, (at, collection) => at.countPlain(collection)),
    write: (name, operation, options) => change(name, () => engine.write(name, operation, options)),
    writeEncoded: (name, points, options) => change(name, () => engine.writeEncoded(name, points, options)),
    createFieldIndex: (name, key, type, params, wait) =>
      change(name, () => engine.createFieldIndex(name, key, type, params, wait)),
    deleteFieldIndex: (name, key) => change(name, () => engine.deleteFieldIndex(name, key)),
    spend: (name, kind, perMinute, cost) => on(name, (at, collection) => at.spend(collection, kind, perMinute, cost)),
    streamPosition: (name, id) => change(name, () => engine.streamPosition(name, id)),
    get: (name, ids, payload, vectors, signal) =>
      on(name, (at, collection) => at.get(collection, ids, payload, vectors, signal)),
    search: (name, request, signal) => on(name, (at, collection) => at.search(collection, request, signal)),
    searchBatch: (name, queries, signal) => on(name, (at, collection) => at.searchBatch(collection, queries, signal)),
    query: (name, request, signal) =>
      on(name, (at, collection) => at.query(collection, query(name, collection, request), signal)),
    queryBatch: (name, requests, signal) =>
      on(name, (at, collection) =>
        at.queryBatch(
          collection,
          requests.map((request) => query(name, collection, request)),
          signal,
        ),
      ),
    queryGroups: (name, request, signal) =>
      on(name, (at, collection) => at.queryGroups(collection, query(name, collection, request), signal)),
    facet: (name, request, signal) => on(name, (at, collection) => at.facet(collection, request, signal)),
    count: (name, filter, exact, options) => on(name, (at, collection) => at.count(collection, filter, exact, options)),
    explain: (name, request) => on(name, (at, collection) => at.explain(collection, request)),
    scroll: (name, request, signal) => on(name, (at, collection) => at.scroll(collection, request, signal)),
    openScroll: (name, request) => on(name, (at, collection) => at.openScroll(collection, request)),
    snapshots: {
      create: (name, base, shard) => changeOne(name, () => engine.snapshots.create(name, base, shard)),
      list: async (name, shard) =>
        name !== undefined && (await current(name)) !== undefined ? [] : engine.snapshots.list(name, shard),
      delete: (name, snapshot, shard) => changeOne(name, () => engine.snapshots.delete(name, snapshot, shard)),
      open: (name, snapshot, shard) => engine.snapshots.open(name, snapshot, shard),
      receive: (parts) => engine.snapshots.receive(parts),
      admitRestore: () => engine.snapshots.admitRestore(),
      holds: (path) => engine.snapshots.holds(path),
      restore: (name, paths, sha256) => changeOne(name, () => engine.snapshots.restore(name, paths, sha256)),
    },
    close: () => engine.close(),
  };
}

/** A query's examples are looked up in the engine that runs it. */
function toOther<R extends QueryRequest | Prefetch>(name: string, collection: string, request: R): R {
  const { lookupFrom } = request;
  if (lookupFrom !== undefined && lookupFrom.collection !== name) {
    throw badInput("lookup_from: a collection that is attached from S5 looks up in itself only", "lookup_from");
  }
  return {
    ...request,
    ...(lookupFrom === undefined ? {} : { lookupFrom: { ...lookupFrom, collection } }),
    prefetch: request.prefetch.map((stage) => toOther(name, collection, stage)),
  };
}
