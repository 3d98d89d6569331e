/** qdrant.Collections. */
import {
  type CreateShardKey,
  type CreateShardKeyRequest,
  type DeleteShardKeyRequest,
  type ShardKey as KeyMessage,
  ReplicaState,
  type UpdateCollectionClusterSetupRequest,
} from "../../../../gen/qdrant/collections_pb.js";
import { Collections } from "../../../../gen/qdrant/collections_service_pb.js";
import { badInput, type CollectionDefaults, DomainError, type ShardKey } from "../../../core/index.ts";
import type { ShardKeys } from "../../../engine/index.ts";
import type { CollectionsService } from "../../../services/index.ts";
import {
  defaultsFiller,
  mapAliasActions,
  mapCreateCollection,
  mapFilter,
  mapShardKey,
  mapUpdateCollection,
  mergeEcho,
  toCollectionInfo,
  toShardKey,
} from "../../../wire/index.ts";
import { bindService, type ServiceBinding, unary } from "../call.ts";
import { secondsSince } from "./common.ts";

/** The id of the peer of a cluster of one. */
const onlyPeer = 1n;

function toAliases(pairs: readonly (readonly [string, string])[]) {
  return pairs.map(([aliasName, collectionName]) => ({ aliasName, collectionName }));
}

/** `shards`: of a cluster; absent: the node stands alone. */
export function bindCollections(
  collections: CollectionsService,
  defaults: CollectionDefaults = {},
  shards?: ShardKeys,
): ServiceBinding {
  const filled = defaultsFiller(defaults);
  /** The text is Qdrant's, which is for callers alone who might change a cluster. */
  const clusterOnly = <T>(change: (shards: ShardKeys, message: T) => Promise<void>) =>
    unary(async (message: T) => {
      const startMs = performance.now();
      await collections.admitManage();
      if (shards === undefined) throw new DomainError("unimplemented", "Qdrant is running in standalone mode");
      await change(shards, message);
      return { result: true, time: secondsSince(startMs) };
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
    // One shard on one node; of a collection that was made for shard keys one for each of them.
    collectionClusterInfo: unary(async ({ collectionName }) => {
      const startMs = performance.now();
      const { pointsCount, config } = await collections.info(collectionName);
      const localShards =
        config.customShards === true
          ? await keyedShards(collectionName, shards)
          : [{ shardId: 0, pointsCount: BigInt(pointsCount), state: ReplicaState.Active }];
      return {
        peerId: shards === undefined ? 0n : onlyPeer,
        shardCount: BigInt(localShards.length),
        localShards,
        time: secondsSince(startMs),
      };
    }),
    updateCollectionClusterSetup: clusterOnly(changeShards),
    createShardKey: clusterOnly<CreateShardKeyRequest>((keys, { collectionName, request }) =>
      keys.create(collectionName, needKey(request?.shardKey), startsActive(request)),
    ),
    deleteShardKey: clusterOnly<DeleteShardKeyRequest>((keys, { collectionName, request }) =>
      keys.drop(collectionName, needKey(request?.shardKey)),
    ),
    listShardKeys: unary(async ({ collectionName }) => {
      const startMs = performance.now();
      await collections.info(collectionName);
      const found = (await shards?.list(collectionName)) ?? [];
      return { shardKeys: found.map(({ key }) => ({ key: toShardKey(key) })), time: secondsSince(startMs) };
    }),
  });
}

async function keyedShards(collection: string, shards: ShardKeys | undefined) {
  const found = (await shards?.list(collection)) ?? [];
  return Promise.all(
    found.map(async (shard, shardId) => ({
      shardId,
      pointsCount: BigInt((await shards?.points(collection, shard)) ?? 0),
      state: shard.active ? ReplicaState.Active : ReplicaState.Partial,
      shardKey: toShardKey(shard.key),
    })),
  );
}

async function changeShards(
  keys: ShardKeys,
  { collectionName, operation }: UpdateCollectionClusterSetupRequest,
): Promise<void> {
  switch (operation.case) {
    case "createShardKey":
      return keys.create(collectionName, needKey(operation.value.shardKey), startsActive(operation.value));
    case "deleteShardKey":
      return keys.drop(collectionName, needKey(operation.value.shardKey));
    case "replicatePoints": {
      const { fromShardKey, toShardKey: to, filter } = operation.value;
      const matching = filter === undefined ? undefined : mapFilter(filter, "filter");
      return keys.replicate(collectionName, needKey(fromShardKey), needKey(to), matching);
    }
    default:
      throw badInput("Bad request: this cluster has one peer, and no shard can be moved", "operation");
  }
}

function needKey(message: KeyMessage | undefined): ShardKey {
  const key = mapShardKey(message);
  if (key === undefined) throw badInput("Bad request: ShardKey must be specified", "shard_key");
  return key;
}

/** Another state is for a shard that points are replicated to. */
function startsActive(request: CreateShardKey | undefined): boolean {
  return request?.initialState === undefined || request.initialState === ReplicaState.Active;
}
