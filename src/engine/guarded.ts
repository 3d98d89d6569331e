/**
 * Access as a decorator of the engine's contract: a caller whose token grants some collections only gets services over this. A
 * method that is added to the contract does not compile here until somebody decides what it needs.
 */
import {
  type Access,
  mayRead,
  type Prefetch,
  type QueryRequest,
  requireCollection,
  requireGlobalRead,
  requireManage,
  requireWhole,
} from "../core/index.ts";
import type { SealedEngine, Snapshots } from "./engine.ts";

/** Each method throws forbidden when `access` does not grant what it needs. Closing stays the owner's. */
export function guardEngine(engine: SealedEngine, access: Access): SealedEngine {
  const read = (name: string): void => requireCollection(access, name, "r");
  const write = (name: string): void => requireCollection(access, name, "prw");
  const change = (name: string): void => requireCollection(access, name, "rw");
  const manage = (): void => requireManage(access);
  return {
    async createCollection(name, config, sealing) {
      manage();
      return engine.createCollection(name, config, sealing);
    },
    async updateCollection(name, settings) {
      manage();
      return engine.updateCollection(name, settings);
    },
    async createVectorName(name, vector, definition, echo) {
      change(name);
      return engine.createVectorName(name, vector, definition, echo);
    },
    async deleteVectorName(name, vector, echo) {
      change(name);
      return engine.deleteVectorName(name, vector, echo);
    },
    async deleteCollection(name) {
      manage();
      return engine.deleteCollection(name);
    },
    async listCollections() {
      return (await engine.listCollections()).filter((name) => mayRead(access, name));
    },
    async largestCollections(count) {
      return (await engine.largestCollections(count)).filter((name) => mayRead(access, name));
    },
    async collectionExists(name) {
      read(name);
      return engine.collectionExists(name);
    },
    async collectionInfo(name) {
      read(name);
      return engine.collectionInfo(name);
    },
    async collectionMemory(name) {
      read(name);
      return engine.collectionMemory(name);
    },
    async admitManage() {
      manage();
      await engine.admitManage();
    },
    async updateAliases(actions) {
      manage();
      return engine.updateAliases(actions);
    },
    async listAliases(collection) {
      if (collection !== undefined) read(collection);
      return (await engine.listAliases(collection)).filter(([, name]) => mayRead(access, name));
    },
    async setSealingPolicy(name, policy) {
      manage();
      return engine.setSealingPolicy(name, policy);
    },
    async countPlain(name) {
      read(name);
      return engine.countPlain(name);
    },
    async write(name, operation, options) {
      write(name);
      return engine.write(name, operation, options);
    },
    async writeEncoded(name, points, options) {
      write(name);
      return engine.writeEncoded(name, points, options);
    },
    async createFieldIndex(name, key, type, params, wait) {
      change(name);
      return engine.createFieldIndex(name, key, type, params, wait);
    },
    async deleteFieldIndex(name, key) {
      change(name);
      return engine.deleteFieldIndex(name, key);
    },
    async spend(name, kind, perMinute, cost) {
      if (kind === "read") read(name);
      else write(name);
      return engine.spend(name, kind, perMinute, cost);
    },
    async admit(name, request) {
      if (request.writes === undefined) read(name);
      else write(name);
      return engine.admit(name, request);
    },
    async streamPosition(name, streamId) {
      write(name);
      return engine.streamPosition(name, streamId);
    },
    async get(name, ids, payload, vectors, signal) {
      read(name);
      return engine.get(name, ids, payload, vectors, signal);
    },
    async explain(name, request) {
      read(name);
      return engine.explain(name, request);
    },
    async search(name, query, signal) {
      read(name);
      return engine.search(name, query, signal);
    },
    async searchBatch(name, queries, signal) {
      read(name);
      return engine.searchBatch(name, queries, signal);
    },
    async query(name, request, signal) {
      readQuery(access, name, request);
      return engine.query(name, request, signal);
    },
    async queryBatch(name, requests, signal) {
      for (const request of requests) readQuery(access, name, request);
      return engine.queryBatch(name, requests, signal);
    },
    async queryGroups(name, request, signal) {
      readQuery(access, name, request);
      return engine.queryGroups(name, request, signal);
    },
    async facet(name, request, signal) {
      read(name);
      return engine.facet(name, request, signal);
    },
    async count(name, filter, exact, options) {
      read(name);
      return engine.count(name, filter, exact, options);
    },
    async scroll(name, request, signal) {
      read(name);
      return engine.scroll(name, request, signal);
    },
    async openScroll(name, request) {
      read(name);
      return engine.openScroll(name, request);
    },
    async sealedSkipped(name, filter) {
      read(name);
      return engine.sealedSkipped(name, filter);
    },
    snapshots: guardSnapshots(engine.snapshots, access),
    async close() {
      throw new Error("a guarded engine is not its caller's to close");
    },
  };
}

/** As Qdrant has it: whoever may change the collection may copy it; what replaces data, or concerns all of it, is the manager's. */
function guardSnapshots(snapshots: Snapshots, access: Access): Snapshots {
  const need = (name: string | undefined, mode: "r" | "rw"): void => {
    if (name !== undefined) requireWhole(access, name, mode);
    else if (mode === "r") requireGlobalRead(access);
    else requireManage(access);
  };
  return {
    async create(name, base, shard) {
      need(name, "rw");
      return snapshots.create(name, base, shard);
    },
    async list(name, shard) {
      need(name, "r");
      return snapshots.list(name, shard);
    },
    async delete(name, snapshot, shard) {
      need(name, "rw");
      return snapshots.delete(name, snapshot, shard);
    },
    async open(name, snapshot, shard) {
      need(name, "r");
      return snapshots.open(name, snapshot, shard);
    },
    async admitRestore() {
      requireManage(access);
      await snapshots.admitRestore();
    },
    async holds(path) {
      requireManage(access);
      return snapshots.holds(path);
    },
    async receive(parts) {
      requireManage(access);
      return snapshots.receive(parts);
    },
    async restore(name, paths, sha256) {
      requireManage(access);
      return snapshots.restore(name, paths, sha256);
    },
  };
}

/** A query also reads the collections that its examples come from. */
function readQuery(access: Access, name: string, stage: QueryRequest | Prefetch): void {
  requireCollection(access, name, "r");
  if (stage.lookupFrom !== undefined) requireCollection(access, stage.lookupFrom.collection, "r");
  for (const prefetch of stage.prefetch) readQuery(access, name, prefetch);
}
