/** qdrant.Collections. */
import { Collections } from "../../../../gen/qdrant/collections_service_pb.js";
import { type CollectionDefaults, DomainError } from "../../../core/index.ts";
import type { CollectionsService } from "../../../services/index.ts";
import {
  defaultsFiller,
  mapAliasActions,
  mapCreateCollection,
  mapUpdateCollection,
  mergeEcho,
  toCollectionInfo,
} from "../../../wire/index.ts";
import { bindService, type ServiceBinding, unary } from "../call.ts";
import { secondsSince } from "./common.ts";

function toAliases(pairs: readonly (readonly [string, string])[]) {
  return pairs.map(([aliasName, collectionName]) => ({ aliasName, collectionName }));
}

export function bindCollections(collections: CollectionsService, defaults: CollectionDefaults = {}): ServiceBinding {
  const filled = defaultsFiller(defaults);
  /** The text is Qdrant's, which is for callers alone who might change a cluster. */
  const clusterOnly = unary(async () => {
    await collections.admitManage();
    throw new DomainError("unimplemented", "Qdrant is running in standalone mode");
  });
  return bindService(Collections, {
    create: unary(async (message) => {
      const startMs = performance.now();
      const { name, config, sealing } = mapCreateCollection(filled(message));
      await collections.create(name, config, sealing);
      return { result: true, time: secondsSince(startMs) };
    }),
    update: unary(async (message) => {
      const startMs = performance.now();
      const { name, change } = mapUpdateCollection(message);
      await collections.update(name, change, (echo) => mergeEcho(echo, message));
      return { result: true, time: secondsSince(startMs) };
    }),
    delete: unary(async ({ collectionName }) => {
      const startMs = performance.now();
      return { result: await collections.delete(collectionName), time: secondsSince(startMs) };
    }),
    get: unary(async ({ collectionName }) => {
      const startMs = performance.now();
      const info = await collections.info(collectionName);
      return { result: toCollectionInfo(info), time: secondsSince(startMs) };
    }),
    list: unary(async () => {
      const startMs = performance.now();
      const names = await collections.list();
      return { collections: names.map((name) => ({ name })), time: secondsSince(startMs) };
    }),
    collectionExists: unary(async ({ collectionName }) => {
      const startMs = performance.now();
      return { result: { exists: await collections.exists(collectionName) }, time: secondsSince(startMs) };
    }),
    updateAliases: unary(async (message) => {
      const startMs = performance.now();
      await collections.updateAliases(mapAliasActions(message));
      return { result: true, time: secondsSince(startMs) };
    }),
    listAliases: unary(async () => {
      const startMs = performance.now();
      return { aliases: toAliases(await collections.listAliases()), time: secondsSince(startMs) };
    }),
    listCollectionAliases: unary(async ({ collectionName }) => {
      const startMs = performance.now();
      return { aliases: toAliases(await collections.listAliases(collectionName)), time: secondsSince(startMs) };
    }),
    // One shard on one node, and none of a collection that was made for shard keys; 0 is the state Active.
    collectionClusterInfo: unary(async ({ collectionName }) => {
      const startMs = performance.now();
      const { pointsCount, config } = await collections.info(collectionName);
      const local = { shardId: 0, pointsCount: BigInt(pointsCount), state: 0 };
      return {
        shardCount: config.customShards === true ? 0n : 1n,
        localShards: config.customShards === true ? [] : [local],
        time: secondsSince(startMs),
      };
    }),
    updateCollectionClusterSetup: clusterOnly,
    createShardKey: clusterOnly,
    deleteShardKey: clusterOnly,
    listShardKeys: unary(async ({ collectionName }) => {
      const startMs = performance.now();
      await collections.info(collectionName);
      return { time: secondsSince(startMs) };
    }),
  });
}
