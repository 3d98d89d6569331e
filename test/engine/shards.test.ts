/** Shard keys as a view of the contract: what is written through it, under quotas, strict mode and sealing, and how shards are filled and dropped. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { limits, type QuotaUsage, type SealingPolicy, type ShardKey, sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import {
  createSharedChanges,
  Quota,
  quotaEngine,
  type SealedEngine,
  ShardKeys,
  sealEngine,
  shardEngine,
  strictEngine,
  type WriteOperation,
} from "../../src/engine/index.ts";
import { generateKeyPair, parsePublicKey, sealBatch } from "../../src/seal/index.ts";
import { buildSealed, encodePayload } from "../../src/wire/index.ts";
import {
  all,
  configOf,
  failure,
  idsOf,
  must,
  none,
  payloadOf,
  point,
  query,
  temporaryFolder,
  wait,
} from "./support.ts";

const folder = temporaryFolder();
const changes = createSharedChanges();
let usage: QuotaUsage = { memory: 1, disk: 1 };
let quota: Quota;
let below: SealedEngine;
let whole: SealedEngine;
let keys: ShardKeys;
let made = 0;
beforeAll(() => {
  quota = new Quota(folder.path, undefined, () => usage);
  below = sealEngine(openEmbeddedEngine({ dataDir: folder.path }), changes);
  whole = quotaEngine(strictEngine(below, changes, true), quota);
  keys = new ShardKeys(whole, below);
});
afterAll(async () => {
  await below.close();
  folder.remove();
});

const at = (...chosen: ShardKey[]): SealedEngine =>
  shardEngine(whole, changes, chosen.length === 0 ? undefined : { keys: chosen });

/** With the shards a and b, of which 1, 2 and 3 are in a, and 3 and 4 in b. */
async function collection(policy: SealingPolicy = sealingOff): Promise<string> {
  const name = `shards-${++made}`;
  await whole.createCollection(name, configOf({ "": [1, "dot"] }, { customShards: true }), policy);
  for (const key of ["a", "b"]) await keys.create(name, key, true);
  const points = (ids: number[]) => ids.map((id) => point(id, [id], { n: BigInt(id) }));
  await at("a").write(name, { kind: "upsert", points: points([1, 2]) }, wait);
  await at("a", "b").write(name, { kind: "upsert", points: points([3]) }, wait);
  await at("b").write(name, { kind: "upsert", points: points([4]) }, wait);
  return name;
}

async function strict(name: string, rules: object): Promise<void> {
  await whole.updateCollection(name, { strictMode: { enabled: true, ...rules } });
}

/** Takes the quota's reading as it is told, which is read anew once in a while. */
async function overQuota<T>(run: () => Promise<T>): Promise<T> {
  const full = new Quota(folder.path, quota.shared, () => ({ memory: 1, disk: 95 }));
  usage = { memory: 1, disk: 95 };
  await quota.set({ enabled: true, maxDiskUsagePercent: 90 });
  expect(full.exceeded("disk")).toBe(true);
  try {
    return await run();
  } finally {
    usage = { memory: 1, disk: 1 };
    await quota.set({ enabled: false });
  }
}

const inside = async (name: string, ...chosen: ShardKey[]) =>
  idsOf((await at(...chosen).scroll(name, { limit: 100, payload: none, vectors: none })).points).map(Number);
const ids = (...numbers: number[]) => ({ kind: "ids", ids: numbers.map(BigInt) }) as const;
const vectorOf = async (name: string, id: number) =>
  (await at().get(name, [BigInt(id)], none, all)).vectors(0)?.[0]?.[1];
const payloadAt = async (name: string, id: number) => payloadOf(await at().get(name, [BigInt(id)], all, none));
const hidden = async (name: string) => Object.keys((await whole.collectionInfo(name)).config.sparseVectors ?? {});

describe("a delete of some shards", () => {
  test("goes on under a quota, and as one write for strict mode", async () => {
    const name = await collection();
    await strict(name, { writeRateLimit: 2 });
    await overQuota(async () => {
      const selector = { kind: "filter", filter: must() } as const;
      const refused = await failure(at("a").write(name, { kind: "delete_vectors", selector, names: ["x"] }, wait));
      expect(refused.kind).toBe("exhausted");
      await at("a").write(name, { kind: "delete", selector: ids(1, 3) }, wait);
    });
    expect(await inside(name, "a")).toEqual([2]);
    expect(await inside(name, "b")).toEqual([3, 4]);
  });
});

describe("writes of points that are chosen by id", () => {
  const set = (n: number, selector = ids(1, 4)): WriteOperation => ({
    kind: "set_payload",
    selector,
    payload: encodePayload({ n: BigInt(n) }),
  });

  test("reach those of the shard, and tell of the first that is in none of them", async () => {
    const name = await collection();
    const error = await failure(at("a").write(name, set(10), wait));
    expect([error.kind, error.message]).toEqual(["not_found", "Not found: No point with id 4 found"]);
    await at("a").write(name, set(11, ids(2, 4)), { wait: false });
    expect([await payloadAt(name, 1), await payloadAt(name, 2), await payloadAt(name, 4)]).toEqual([
      { n: 10 },
      { n: 11 },
      { n: 4 },
    ]);
  });

  test("cost strict mode what they are, and are no conditions of a filter", async () => {
    const name = await collection();
    await strict(name, { conditionMaxSize: 1, filterMaxConditions: 0, writeRateLimit: 2 });
    await at("a").write(name, set(10, ids(1, 2)), wait);
    expect((await failure(at("a").write(name, set(10, ids(1, 2)), wait))).kind).toBe("rate_limited");
  });

  test("may bring an envelope for one point, which stays in its shard", async () => {
    const recipient = parsePublicKey(generateKeyPair().publicKeyPem, "key");
    const name = await collection({ ...sealingOff, mode: "optional" });
    const sealingId = Buffer.from((await below.collectionInfo(name)).sealingId, "hex");
    const envelopeFor = async (id: number): Promise<Uint8Array> => {
      const [envelope] = await sealBatch(
        [{ id: BigInt(id), payload: encodePayload({ secret: "x" }), recipient, field: "payload" }],
        { sealingId },
      );
      return buildSealed([envelope as Uint8Array], new Uint8Array(0));
    };
    const sealedCount = async () => (await below.collectionInfo(name)).sealedPointsCount;
    for (const kind of ["set_payload", "overwrite_payload"] as const) {
      const before = await sealedCount();
      const away = await failure(at("a").write(name, { kind, selector: ids(4), payload: await envelopeFor(4) }, wait));
      expect([away.kind, await sealedCount()]).toEqual(["not_found", before]);
      const id = kind === "set_payload" ? 1 : 2;
      await at("a").write(name, { kind, selector: ids(id), payload: await envelopeFor(id) }, wait);
      expect(await sealedCount()).toBe(before + 1);
    }
  });

  test("are sealed where they are in the shard, and what is sealed elsewhere stops none", async () => {
    const name = await collection({ ...sealingOff, mode: "optional" });
    const publicKey = generateKeyPair().publicKeyPem;
    const sealed = async (id: number) => Object.keys(await payloadAt(name, id)).includes("$sealpoint");
    const keyed = { ...set(10), publicKey } as WriteOperation;
    expect((await failure(at("a").write(name, keyed, wait))).message).toBe("Not found: No point with id 4 found");
    expect([await sealed(1), await sealed(4)]).toEqual([true, false]);
    const plain = set(11, ids(1, 4));
    expect((await failure(at("b").write(name, plain, wait))).message).toBe("Not found: No point with id 1 found");
    expect([await sealed(1), await payloadAt(name, 4)]).toEqual([true, { n: 11 }]);
    expect((await failure(at("a").write(name, plain, wait))).kind).toBe("precondition");
  });

  test("update vectors of the chosen shards alone", async () => {
    const name = await collection();
    const points = [1, 4].map((id) => ({ id: BigInt(id), vectors: [["", Float32Array.of(50)]] as const }));
    const error = await failure(at("a").write(name, { kind: "update_vectors", points }, wait));
    expect([error.kind, error.message]).toEqual(["not_found", "Not found: No point with id 4 found"]);
    expect([await vectorOf(name, 1), await vectorOf(name, 4)]).toEqual([Float32Array.of(50), Float32Array.of(4)]);
    expect([await inside(name, "a"), await inside(name, "b")]).toEqual([
      [1, 2, 3],
      [3, 4],
    ]);
  });

  test("an upsert that only updates passes points of other shards over", async () => {
    const name = await collection();
    const points = [1, 4].map((id) => point(id, [60]));
    await at("a").write(name, { kind: "upsert", points, condition: { mode: "update_only" } }, wait);
    expect([await vectorOf(name, 1), await vectorOf(name, 4)]).toEqual([Float32Array.of(60), Float32Array.of(4)]);
    expect(await inside(name, "b")).toEqual([3, 4]);
  });
});

test("strict mode finds a tenant beside the shards that are asked", async () => {
  const name = `shards-${++made}`;
  const hnsw = { m: 0, efConstruct: 100, fullScanThreshold: 10_000 };
  await whole.createCollection(name, configOf({ "": [1, "dot"] }, { customShards: true, hnsw }), sealingOff);
  await keys.create(name, "a", true);
  await whole.createFieldIndex(name, "t", "keyword", '{"keywordIndexParams":{"isTenant":true}}');
  await at("a").write(name, { kind: "upsert", points: [point(1, [1], { t: "x" })] }, wait);
  await strict(name, { searchAllowExact: false });
  const filter = must({ kind: "match_keyword", key: "t", value: "x" });
  expect(idsOf(await at("a").search(name, query([1], { filter })))).toEqual([1n]);
  expect((await failure(at("a").search(name, query([1])))).message).toMatch("global vector indexing is disabled");
});

describe("shards that are filled", () => {
  test("are, whatever strict mode and quotas refuse callers", async () => {
    const name = await collection();
    await keys.create(name, "c", false);
    await strict(name, {
      writeRateLimit: 1,
      readRateLimit: 1,
      upsertMaxBatchsize: 1,
      unindexedFilteringRetrieve: false,
    });
    const filter = must({ kind: "range", key: "n", bounds: { lte: 2 } });
    await overQuota(() => keys.replicate(name, "a", "c", filter));
    await whole.updateCollection(name, { strictMode: { enabled: false } });
    expect([await inside(name, "a"), await inside(name, "c")]).toEqual([
      [1, 2, 3],
      [1, 2],
    ]);
    expect(await keys.list(name)).toMatchObject([{ key: "a" }, { key: "b" }, { key: "c", active: true }]);
  });

  test("after half of it are one key, keep what is written, and are finished by the next call", async () => {
    const name = await collection();
    await keys.create(name, "c", false);
    await at("c").write(name, { kind: "upsert", points: [point(5, [5])] }, wait);
    const broken = new ShardKeys(whole, {
      ...below,
      write: (...given) =>
        given[1].kind === "update_vectors" ? Promise.reject(new Error("full")) : below.write(...given),
    });
    await expect(broken.replicate(name, "a", "c", undefined)).rejects.toThrow("full");
    expect(await keys.list(name)).toMatchObject([
      { key: "a", active: true },
      { key: "b", active: true },
      { key: "c", active: false },
    ]);
    await at("c").write(name, { kind: "upsert", points: [point(6, [6])] }, wait);
    expect(await inside(name, "c")).toEqual([5, 6]);
    await at("c").write(name, { kind: "delete", selector: ids(6) }, wait);
    expect(await inside(name, "c")).toEqual([5]);
    await keys.replicate(name, "a", "c", undefined);
    expect(await keys.list(name)).toMatchObject([{ key: "a" }, { key: "b" }, { key: "c", active: true }]);
    expect(await inside(name, "c")).toEqual([1, 2, 3, 5]);
    expect(await hidden(name)).toHaveLength(3);
  });
});

describe("a shard that goes while something is written", () => {
  /** Runs `change` between the view's look at the shards and the write. */
  const meanwhile = (key: ShardKey, change: () => Promise<void>): SealedEngine => {
    let first = true;
    const late: SealedEngine = {
      ...whole,
      async write(...given) {
        if (first) {
          first = false;
          await change();
        }
        return whole.write(...given);
      },
    };
    return shardEngine(late, changes, { keys: [key] });
  };
  const upsert = { kind: "upsert", points: [point(20, [20])] } as const;

  test("is not found", async () => {
    const name = await collection();
    const error = await failure(meanwhile("a", () => keys.drop(name, "a")).write(name, upsert, wait));
    expect(error.message).toBe('Wrong input: Shard key "a" not found');
  });

  test("takes it in another state", async () => {
    const name = await collection();
    await keys.create(name, "c", false);
    await meanwhile("c", () => keys.replicate(name, "a", "c", undefined)).write(name, upsert, wait);
    expect(await inside(name, "c")).toEqual([1, 2, 3, 20]);
  });
});

describe("a shard that is dropped", () => {
  test("leaves no points behind that were written meanwhile, and others theirs", async () => {
    const name = await collection();
    const late = new ShardKeys(whole, {
      ...below,
      async deleteVectorName(...given) {
        await at("a").write(name, { kind: "upsert", points: [point(7, [7])] }, wait);
        return below.deleteVectorName(...given);
      },
    });
    await late.drop(name, "a");
    expect([await inside(name), await inside(name, "b")]).toEqual([
      [3, 4],
      [3, 4],
    ]);
    expect(await below.count(name, undefined, true)).toBe(2);
  });

  test("takes nothing of a shard that is made meanwhile", async () => {
    const name = await collection();
    let late = true;
    const racing = new ShardKeys(whole, {
      ...below,
      async write(...given) {
        if (late && given[1].kind === "delete" && (await hidden(name)).length === 1) {
          late = false;
          await keys.create(name, "c", true);
          await at("c").write(name, { kind: "upsert", points: [point(8, [8])] }, wait);
        }
        return below.write(...given);
      },
    });
    await racing.drop(name, "a");
    expect(late).toBe(false);
    expect(await inside(name)).toEqual([3, 4, 8]);
  });
});

test("vectors that stand for shards are nobody's to write or to name", async () => {
  const name = await collection();
  const [mine] = await hidden(name);
  const vectors = [[mine as string, { indices: Uint32Array.of(0), values: Float32Array.of(1) }]] as const;
  const selector = ids(4);
  const view = at("b");
  for (const refused of [
    () => view.write(name, { kind: "upsert", points: [{ ...point(9, [9]), vectors }] }, wait),
    () => view.write(name, { kind: "update_vectors", points: [{ id: 4n, vectors }] }, wait),
    () => view.write(name, { kind: "delete_vectors", selector, names: [mine as string] }, wait),
    () => view.createVectorName(name, mine as string, { kind: "sparse", params: { modifier: "none" } }, (echo) => echo),
    () => view.deleteVectorName(name, mine as string, (echo) => echo),
    () => view.updateCollection(name, { sparseVectors: { [mine as string]: { modifier: "idf" } } }),
  ]) {
    expect((await failure(refused())).message).toBe(`Wrong input: Not existing vector name error: ${mine}`);
  }
  expect([await inside(name, "a"), (await hidden(name)).length]).toEqual([[1, 2, 3], 2]);
});

test("keys have a bounded length", async () => {
  const name = await collection();
  await keys.create(name, "k".repeat(limits.shardKeyBytesMax), true);
  const error = await failure(keys.create(name, "é".repeat(limits.shardKeyBytesMax / 2 + 1), true));
  expect([error.kind, error.message]).toEqual(["bad_input", "Wrong input: a shard key must be at most 180 bytes long"]);
});
