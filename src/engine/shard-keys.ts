/** Makes, lists, fills and drops the shards of collections that callers divide by keys (shards.ts). */
import {
  badInput,
  DomainError,
  type Filter,
  limits,
  type PointId,
  type Shard,
  type ShardKey,
  shardsAmong,
  shownShardKey,
  vectorOfShard,
} from "../core/index.ts";
import type { SealedEngine } from "./engine.ts";
import { inAnyOf, member } from "./shards.ts";
import { both } from "./within.ts";

/** Points that are given another shard in one write. */
const replicatedAtOnce = 1_000;
const durable = { wait: true } as const;
/** Times that a delete is made anew because keys came or went meanwhile. */
const deleteAttemptsMax = 32;

/** For callers who may manage, over an engine that shows the hidden vectors. The texts are Qdrant's. */
export class ShardKeys {
  readonly #engine: SealedEngine;
  readonly #below: SealedEngine;

  /** `below`: the engine under what may refuse a write, so that no change ends half way because of a limit. Callers' rights are `engine`'s. */
  constructor(engine: SealedEngine, below: SealedEngine) {
    this.#engine = engine;
    this.#below = below;
  }

  /** Undefined: the collection is not divided by keys. */
  async list(name: string): Promise<readonly Shard[] | undefined> {
    const { config } = await this.#engine.collectionInfo(name);
    return config.customShards === true ? shardsAmong(config.sparseVectors) : undefined;
  }

  async points(name: string, shard: Shard): Promise<number> {
    return this.#engine.count(name, inAnyOf([shard]), true);
  }

  async create(name: string, key: ShardKey, active: boolean): Promise<void> {
    await this.#engine.admitManage();
    const shards = await this.list(name);
    const shown = shownShardKey(key);
    if (shards === undefined)
      throw badInput(`Wrong input: Shard Key ${shown} cannot be created with Auto sharding method`);
    if (typeof key === "string" && Buffer.byteLength(key) > limits.shardKeyBytesMax) {
      const most = limits.shardKeyBytesMax;
      throw badInput(`Wrong input: a shard key must be at most ${most} bytes long`, "shard_key");
    }
    if (shards.some((shard) => shard.key === key)) throw badInput(`Wrong input: Shard key ${shown} already exists`);
    const { config } = await this.#engine.collectionInfo(name);
    const names = Object.keys({ ...config.vectors, ...config.sparseVectors });
    if (names.length >= limits.vectorNamesMax)
      throw badInput(`Wrong input: a collection has at most ${limits.vectorNamesMax} vectors and shard keys together`);
    await this.#add(name, vectorOfShard(key, active));
  }

  /** With its points, but for those that are in other shards as well. */
  async drop(name: string, key: ShardKey): Promise<void> {
    await this.#engine.admitManage();
    const shards = await this.list(name);
    const shown = shownShardKey(key);
    if (shards === undefined)
      throw badInput(`Wrong input: Shard Key ${shown} cannot be removed with Auto sharding method`);
    const shard = shards.find((one) => one.key === key);
    if (shard === undefined) throw badInput(`Wrong input: Shard key ${shown} does not exist`);
    const isOther = (one: Shard): boolean => one.key !== key;
    await this.#deleteOutside(name, isOther, inAnyOf([shard]));
    for (const vector of shard.vectors) await this.#remove(name, vector);
    // What was written to it meanwhile is in no shard now, and nobody could choose it.
    await this.#deleteOutside(name, () => true);
  }

  /**
   * Afterwards the points of `from` that match are in `to` as well, which takes requests from then on. Ended half way, `to` is as it was but for
   * points that it has already: the next call goes on.
   */
  async replicate(name: string, from: ShardKey, to: ShardKey, filter: Filter | undefined): Promise<void> {
    await this.#engine.admitManage();
    const shards = (await this.list(name)) ?? [];
    const find = (wanted: ShardKey): Shard => {
      const shard = shards.find(({ key }) => key === wanted);
      if (shard === undefined) throw badInput(`Wrong input: Shard key ${shownShardKey(wanted)} not found`);
      return shard;
    };
    const [source, target] = [find(from), find(to)];
    const active = vectorOfShard(to, true);
    const inactive = vectorOfShard(to, false);
    if (!target.vectors.includes(active)) await this.#add(name, active);
    await this.#spread(name, both(filter, inAnyOf([source])), active);
    if (target.active) return;
    // Writes give points both vectors by now; those that were on their way have the old one alone.
    const left: Filter = {
      must: [{ kind: "has_vector", name: inactive }],
      should: [],
      mustNot: [{ kind: "has_vector", name: active }],
    };
    while ((await this.#spread(name, left, active)) > 0);
    await this.#remove(name, inactive);
  }

  /** Gives points another vector, and tells how many were found. */
  async #spread(name: string, filter: Filter, vector: string): Promise<number> {
    const none = { kind: "none" } as const;
    const cursor = await this.#below.openScroll(name, { filter, payload: none, vectors: none });
    try {
      for (let found = 0; ; ) {
        const table = await cursor.next(replicatedAtOnce);
        if (table.length === 0) return found;
        found += table.length;
        const ids: PointId[] = Array.from({ length: table.length }, (_, row) => table.id(row));
        const points = ids.map((id) => ({ id, vectors: [[vector, member] as const] }));
        // What was deleted since, or moved to another shard, stays so.
        const condition = { mode: "update_only", filter } as const;
        await this.#below
          .write(name, { kind: "update_vectors", points, condition }, durable)
          .catch((error: unknown) => {
            if (!(error instanceof DomainError) || error.kind !== "not_found") throw error;
          });
      }
    } finally {
      await cursor.close();
    }
  }

  /** Deletes what is in none of the kept shards. Of them as they are when it is done: the commit checks the epoch of what was read. */
  async #deleteOutside(name: string, keeps: (shard: Shard) => boolean, of?: Filter): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { config, epoch } = await this.#below.collectionInfo(name);
      const kept = shardsAmong(config.sparseVectors).filter(keeps);
      const outside: Filter = { must: [], should: [], mustNot: inAnyOf(kept).should };
      const filter = of === undefined ? outside : both(of, outside);
      try {
        const options = { ...durable, admittedEpoch: epoch };
        await this.#below.write(name, { kind: "delete", selector: { kind: "filter", filter } }, options);
        return;
      } catch (error) {
        if (!(error instanceof DomainError) || error.kind !== "aborted" || attempt >= deleteAttemptsMax) throw error;
      }
    }
  }

  async #add(name: string, vector: string): Promise<void> {
    await this.#below.createVectorName(name, vector, { kind: "sparse", params: { modifier: "none" } }, (echo) => echo);
  }

  async #remove(name: string, vector: string): Promise<void> {
    await this.#below.deleteVectorName(name, vector, (echo) => echo);
  }
}
