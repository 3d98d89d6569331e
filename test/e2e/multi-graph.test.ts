/** Graphs over multivectors through the server: what they find against an exact search, with filters, beside writes, after a restart, and builds that nobody wants any more. */
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CollectionStatus, Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { FieldType } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Diagnostics, Strategy } from "../../gen/sealpoint/v1/diagnostics_pb.js";
import { byIds, countOf, integer, num } from "./messages.ts";
import { addonBuilt, type Call, connectTo, ServerProcess } from "./server-process.ts";

const size = 32;
const points = 5_000;
const topics = 60;
const wordsOfTopic = 12;

/** The same numbers in every run, by Box and Muller's way spread like noise. */
function normals(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (((x ^ (x >>> 14)) >>> 0) + 1) / 4_294_967_297;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

const ofWords = normals(1);
const words = Array.from({ length: topics * wordsOfTopic }, () => Array.from({ length: size }, ofWords));

/** 4 to 12 vectors near the words of one topic, and a few of another. */
function rowsOf(seed: number): number[][] {
  const next = normals(seed * 7_919 + 13);
  const below = (end: number) => Math.floor(Math.abs(next()) * 1_000) % end;
  const [topic, other] = [below(topics), below(topics)];
  return Array.from({ length: 4 + below(9) }, () => {
    const word = words[(below(4) === 0 ? other : topic) * wordsOfTopic + below(wordsOfTopic)] as number[];
    return word.map((value) => value + 0.7 * next());
  });
}

const multi = (rows: readonly (readonly number[])[]) => ({
  case: "multiDense" as const,
  value: { vectors: rows.map((data) => ({ data: [...data] })) },
});
const point = (id: number, seed = id) => ({
  id: num(id),
  vectors: { vectorsOptions: { case: "vector" as const, value: { vector: multi(rowsOf(seed)) } } },
  payload: { half: integer(id % 2), tenth: integer(id % 10), hundredth: integer(id % 100) },
});
const where = (key: string) => ({
  must: [
    {
      conditionOneOf: {
        case: "field" as const,
        value: { key, match: { matchValue: { case: "integer" as const, value: 1n } } },
      },
    },
  ],
});

const collectionName = "tokens";
const params = (m: number, fullScanThreshold = 10n) => ({
  vectorsConfig: {
    config: {
      case: "params" as const,
      value: { size: BigInt(size), distance: Distance.Cosine, multivectorConfig: {} },
    },
  },
  hnswConfig: { m: BigInt(m), fullScanThreshold },
  optimizersConfig: { indexingThreshold: 100n },
});

let server: ServerProcess;
let client: Call;
let live = points;

async function upsert(name: string, ids: readonly number[], seedOf = (id: number) => id): Promise<void> {
  for (let from = 0; from < ids.length; from += 500) {
    const batch = ids.slice(from, from + 500).map((id) => point(id, seedOf(id)));
    await client.call(Points.method.upsert, { collectionName: name, wait: true, points: batch });
  }
}

async function infoOf(name: string) {
  const { result } = await client.call(Collections.method.get, { collectionName: name });
  return { status: result?.status, indexed: Number(result?.indexedVectorsCount) };
}

async function untilIndexed(name: string, count: number): Promise<void> {
  for (let i = 0; i < 2_400; i++) {
    const { status, indexed } = await infoOf(name);
    if (status === CollectionStatus.Green && indexed === count) return;
    await sleep(50);
  }
  throw new Error(`not indexed: ${JSON.stringify(await infoOf(name))}`);
}

type Found = readonly { id: bigint; score: number }[];

async function search(
  seed: number,
  change: { filter?: ReturnType<typeof where>; params?: object } = {},
): Promise<Found> {
  const { result } = await client.call(Points.method.query, {
    collectionName,
    query: { variant: { case: "nearest", value: { variant: multi(rowsOf(seed)) } } },
    limit: 10n,
    ...change,
  });
  return result.map(({ id, score }) => ({ id: id?.pointIdOptions.value as bigint, score }));
}

/** The share of what is truly nearest that the collection finds in its own way. Scores are exact either way. */
async function recall(
  change: { filter?: ReturnType<typeof where>; params?: object } = {},
  queries = 40,
): Promise<number> {
  let [found, wanted] = [0, 0];
  for (let q = 0; q < queries; q++) {
    const exact = await search(900_000 + q, { ...change, params: { ...change.params, exact: true } });
    const scores = new Map(exact.map(({ id, score }) => [id, score]));
    for (const { id, score } of await search(900_000 + q, change)) {
      if (!scores.has(id)) continue;
      expect(score).toBe(scores.get(id));
      found++;
    }
    wanted += exact.length;
  }
  return found / wanted;
}

async function strategyOf(change: { filter?: ReturnType<typeof where>; params?: object } = {}): Promise<Strategy> {
  const query = { variant: { case: "dense" as const, value: { data: rowsOf(7)[0] as number[] } } };
  const { strategy } = await client.call(Diagnostics.method.explain, { collectionName, query, limit: 1n, ...change });
  return strategy;
}

beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({ logLevel: "warn" });
  client = connectTo(server.address);
  await client.call(Collections.method.create, { collectionName, ...params(16) });
  for (const fieldName of ["half", "tenth", "hundredth"]) {
    await client.call(Points.method.createFieldIndex, {
      collectionName,
      fieldName,
      fieldType: FieldType.FieldTypeInteger,
      wait: true,
    });
  }
  await upsert(
    collectionName,
    Array.from({ length: points }, (_, i) => i),
  );
}, 120_000);
afterAll(async () => {
  client?.close();
  await server?.stop();
});

describe.runIf(addonBuilt)("graphs over multivectors", () => {
  test("are made in the background: yellow and exact until then, green afterwards, and all are counted", async () => {
    expect((await infoOf(collectionName)).status).toBe(CollectionStatus.Yellow);
    await untilIndexed(collectionName, points);
    expect(await strategyOf()).toBe(Strategy.WALK);
    expect(await strategyOf({ params: { exact: true } })).toBe(Strategy.FULL_SCAN);
    expect(await recall()).toBeGreaterThan(0.95);
  }, 120_000);

  test("are walked with a filter's matches as a mask, and few matches are compared one by one", async () => {
    const walked = { filter: where("half"), params: { hnswEf: 40n } };
    expect(await strategyOf(walked)).toBe(Strategy.MASKED_WALK);
    expect(await recall(walked)).toBeGreaterThan(0.95);
    for (const key of ["half", "tenth", "hundredth"]) {
      expect(await recall({ filter: where(key) })).toBeGreaterThan(0.95);
      for (const { id } of await search(5, { filter: where(key) })) expect(id % 2n).toBe(1n);
    }
    expect(await strategyOf({ filter: where("hundredth") })).toBe(Strategy.FULL_SCAN);
    expect(await recall({ filter: where("hundredth") })).toBe(1);
  }, 120_000);

  test("find what was overwritten as it is now, nothing that was deleted, and what is new", async () => {
    const changed = Array.from({ length: 300 }, (_, i) => i * 7);
    await upsert(collectionName, changed, (id) => id + 50_000);
    const removed = Array.from({ length: 200 }, (_, i) => i * 7 + 1);
    await client.call(Points.method.delete, { collectionName, wait: true, points: byIds(...removed) });
    const fresh = Array.from({ length: 200 }, (_, i) => points + i);
    await upsert(collectionName, fresh);
    const check = async () => {
      // Each is the nearest to its own vectors.
      for (const id of [0, 7, 700, 2_093]) expect((await search(id + 50_000))[0]?.id).toBe(BigInt(id));
      for (const id of [points, points + 199]) expect((await search(id))[0]?.id).toBe(BigInt(id));
      for (const id of [1, 8, 1_394]) expect((await search(id)).map((found) => found.id)).not.toContain(BigInt(id));
      expect(await recall()).toBeGreaterThan(0.95);
    };
    await check();
    await untilIndexed(collectionName, points);
    await check();
    const { result } = await client.call(Points.method.count, { collectionName, exact: true });
    expect(result?.count).toBe(BigInt(points));
  }, 120_000);

  test("are there at once after a restart and after a kill, also one beside which was written", async () => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await server.kill(signal);
      await server.restart();
      expect(await infoOf(collectionName)).toEqual({ status: CollectionStatus.Green, indexed: points });
      expect(await strategyOf()).toBe(Strategy.WALK);
      expect(await recall()).toBeGreaterThan(0.95);
      expect((await search(50_007))[0]?.id).toBe(7n);
    }
    const changed = Array.from({ length: 200 }, (_, i) => i * 11 + 2);
    await upsert(collectionName, changed, (id) => id + 90_000);
    const removed = Array.from({ length: 100 }, (_, i) => i * 11 + 3);
    await client.call(Points.method.delete, { collectionName, wait: true, points: byIds(...removed) });
    await server.kill("SIGKILL");
    await server.restart();
    const check = async () => {
      for (const id of [2, 13, 2_191]) expect((await search(id + 90_000))[0]?.id).toBe(BigInt(id));
      for (const id of [3, 14, 1_092]) expect((await search(id)).map((found) => found.id)).not.toContain(BigInt(id));
      expect(await recall()).toBeGreaterThan(0.95);
    };
    await check();
    live = await countOf(client, collectionName);
    await untilIndexed(collectionName, live);
    await check();
  }, 180_000);

  test("whose file is damaged, cut short or gone are made again, and answers are right meanwhile", async () => {
    const segments = join(server.dataDir, "segments");
    const file = () => {
      const [name = "none"] = readdirSync(segments, { recursive: true }).filter((path) =>
        String(path).endsWith("multivectors.graph"),
      );
      return join(segments, String(name));
    };
    const damages: ((path: string) => void)[] = [
      (path) => {
        const bytes = readFileSync(path);
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 16;
        writeFileSync(path, bytes);
      },
      (path) => truncateSync(path, 1_000),
      (path) => rmSync(path),
    ];
    for (const [turn, damage] of damages.entries()) {
      await server.kill("SIGTERM");
      damage(file());
      await server.restart();
      expect(await recall({}, 5)).toBeGreaterThan(0.9);
      expect(server.log.split("multivectors.graph: fails its checksum").length - 1).toBe(Math.min(turn + 1, 2));
      await untilIndexed(collectionName, live);
      expect(await recall({}, 10)).toBeGreaterThan(0.95);
      expect(existsSync(file())).toBe(true);
    }
  }, 180_000);

  test("are not made with m = 0, nor walked below full_scan_threshold, which an update may change", async () => {
    const update = (m: number, fullScanThreshold: bigint) =>
      client.call(Collections.method.update, { collectionName, hnswConfig: { m: BigInt(m), fullScanThreshold } });
    await update(16, 1_000_000n);
    expect(await strategyOf()).toBe(Strategy.FULL_SCAN);
    expect(await recall({}, 10)).toBe(1);
    await update(0, 10n);
    expect(await strategyOf()).toBe(Strategy.FULL_SCAN);
    await untilIndexed(collectionName, 0);
    await update(16, 10n);
    await untilIndexed(collectionName, live);
    expect(await strategyOf()).toBe(Strategy.WALK);
  }, 120_000);

  test("that nobody wants any more hold up no other build", async () => {
    // It would take minutes.
    const [rows, dimensions] = [40, 256];
    const vectors = Array.from({ length: rows }, (_, row) => ({
      data: Array.from({ length: dimensions }, (_, d) => Math.sin(row * d + 1)),
    }));
    const config = {
      case: "params" as const,
      value: { size: BigInt(dimensions), distance: Distance.Dot, multivectorConfig: {} },
    };
    await client.call(Collections.method.create, { collectionName: "gone", ...params(16), vectorsConfig: { config } });
    const value = { vector: { case: "multiDense" as const, value: { vectors } } };
    for (let from = 0; from < 2_000; from += 200) {
      const batch = Array.from({ length: 200 }, (_, i) => ({
        id: num(from + i),
        vectors: { vectorsOptions: { case: "vector" as const, value } },
      }));
      await client.call(Points.method.upsert, { collectionName: "gone", wait: true, points: batch });
    }
    await sleep(1_000);
    // The first points may have had a graph before the others came.
    const { status, indexed } = await infoOf("gone");
    expect(status).toBe(CollectionStatus.Yellow);
    expect(indexed).toBeLessThan(2_000);
    await client.call(Collections.method.delete, { collectionName: "gone" });
    await client.call(Collections.method.create, { collectionName: "next", ...params(16) });
    await upsert(
      "next",
      Array.from({ length: 500 }, (_, i) => i),
    );
    const begun = performance.now();
    await untilIndexed("next", 500);
    expect(performance.now() - begun).toBeLessThan(20_000);
  }, 120_000);
});
