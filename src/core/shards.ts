/** Shard keys: parts of a collection that callers name, and choose by name. */
import type { SparseVectorParams } from "./collection.ts";

export type ShardKey = string | bigint;

export interface ShardSelection {
  /** At least one. */
  readonly keys: readonly ShardKey[];
  /** Stands for each of the keys that is not there, or takes no requests yet. */
  readonly fallback?: ShardKey;
}

/** What is the same for equal selections only. */
export function nameOfSelection({ keys, fallback }: ShardSelection): string {
  const name = (key: ShardKey): string | readonly string[] => (typeof key === "string" ? key : [String(key)]);
  return JSON.stringify([keys.map(name), fallback === undefined ? null : [name(fallback)]]);
}

/** As Qdrant's messages show it. */
export function shownShardKey(key: ShardKey): string {
  return typeof key === "string" ? `"${key}"` : String(key);
}

/**
 * A shard is a sparse vector that nobody sees, and a point is in a shard when it has that vector: so the two are written as one, and a shard is
 * a condition of a filter like others. A name that callers give has no such character in front.
 */
const mark = "\u0001shard ";

/** Whether a text, such as an error's, holds the name of a shard's vector. */
export function namesShard(text: string): boolean {
  return text.includes(mark);
}

export interface Shard {
  readonly key: ShardKey;
  /** It takes requests; otherwise only points that are replicated to it. */
  readonly active: boolean;
  /** Names of its vectors: one, and the active one beside the other while that becomes active. */
  readonly vectors: readonly string[];
}

/** The name of the vector of a shard in this state. */
export function vectorOfShard(key: ShardKey, active: boolean): string {
  const kind = typeof key === "string" ? "s" : "n";
  return `${mark}${active ? "+" : "-"}${kind}${key}`;
}

/** Undefined for a vector's name that stands for no shard. */
export function shardOfVector(vector: string): Pick<Shard, "key" | "active"> | undefined {
  if (!vector.startsWith(mark)) return undefined;
  const [state, kind] = [vector[mark.length], vector[mark.length + 1]];
  const key = vector.slice(mark.length + 2);
  return { key: kind === "n" ? BigInt(key) : key, active: state === "+" };
}

/** In the order in which they were made. One is active once all of its points have the active vector, and no other is left. */
export function shardsAmong(sparseVectors: Readonly<Record<string, SparseVectorParams>> | undefined): Shard[] {
  const shards = new Map<ShardKey, Shard>();
  for (const vector of Object.keys(sparseVectors ?? {})) {
    const one = shardOfVector(vector);
    if (one === undefined) continue;
    const { vectors = [], active = true } = shards.get(one.key) ?? {};
    shards.set(one.key, { key: one.key, active: active && one.active, vectors: [...vectors, vector] });
  }
  return [...shards.values()];
}
