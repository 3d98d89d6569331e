/**
 * kill -9 of the real server while several clients write over gRPC: unary writers, a stream, index changes and snapshots. What was acknowledged is there,
 * what was in flight wholly or not at all. SEALPOINT_SERVER_KILLS and SEALPOINT_TEST_SEED repeat a run.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type ServiceError, status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { FieldType } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Snapshots } from "../../gen/qdrant/snapshots_service_pb.js";
import { Ingest } from "../../gen/sealpoint/v1/ingest_pb.js";
import { countOf, enable, nearest } from "../e2e/messages.ts";
import { addonBuilt, type Call, connectTo, ServerProcess } from "../e2e/server-process.ts";
import {
  dimensions,
  type Held,
  type HeldPoints,
  IndexClient,
  idsApart,
  ownRange,
  StreamClient,
  UnaryClient,
} from "./server-workload.ts";
import { randomOf } from "./workload.ts";

const kills = Number(process.env.SEALPOINT_SERVER_KILLS ?? 5);
const seed = Number(process.env.SEALPOINT_TEST_SEED ?? Math.floor(Math.random() * 1_000_000));
const collectionName = "kills";

/** What the server holds, by the client that owns it. */
async function readAll(client: Call): Promise<Map<number, HeldPoints>> {
  const found = new Map<number, HeldPoints>();
  const { next } = client.download(Ingest.method.scroll, { collectionName, withPayload: enable, withVectors: enable });
  for (let page = await next(); page !== undefined; page = await next()) {
    for (const { id, payload, vectors } of page.points) {
      const at = Number(id?.pointIdOptions.value);
      const owner = Math.floor(at / idsApart);
      expect(Number(payload.owner?.kind.value)).toBe(owner);
      const options = vectors?.vectorsOptions;
      const vector = options?.case === "vector" ? options.value.vector : undefined;
      if (vector?.case !== "dense") throw new Error(`point ${at} has no vector`);
      const tag = payload.tag?.kind.value;
      const held: Held = { vector: vector.value.data, n: Number(payload.n?.kind.value) };
      const mine = found.get(owner) ?? new Map();
      found.set(owner, mine.set(at, tag === undefined ? held : { ...held, tag: Number(tag) }));
    }
  }
  return found;
}

const sorted = (points: HeldPoints | undefined): string =>
  JSON.stringify(
    [...(points ?? [])].sort(([a], [b]) => a - b).map(([id, { vector, n, tag }]) => [id, vector, n, tag ?? null]),
  );

/** Snapshots come and go; those that were acknowledged and not deleted. */
class SnapshotClient {
  readonly known = new Set<string>();
  /** Being deleted when the server went. */
  doubtful: string | undefined;
  done = 0;

  async run(client: Call): Promise<void> {
    for (;;) {
      const { snapshotDescription } = await client.call(Snapshots.method.create, { collectionName });
      this.known.add(snapshotDescription?.name as string);
      this.done++;
      const [oldest] = this.known;
      if (this.known.size > 2 && oldest !== undefined) {
        this.doubtful = oldest;
        this.known.delete(oldest);
        await client.call(Snapshots.method.delete, { collectionName, snapshotName: oldest });
        this.doubtful = undefined;
      }
      await sleep(80);
    }
  }
}

/** Runs until the server is gone; any other end is a failure. */
async function untilGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const { code } = error as ServiceError;
    if (code !== status.UNAVAILABLE && code !== status.CANCELLED) throw error;
  }
}

describe.skipIf(!addonBuilt)("kill -9 of the server", () => {
  test(`${kills} kills lose and halve nothing (seed ${seed})`, { timeout: 60_000 + kills * 20_000 }, async () => {
    console.log(`server kills: seed ${seed}, ${kills} kills (SEALPOINT_TEST_SEED, SEALPOINT_SERVER_KILLS)`);
    const random = randomOf(seed);
    const server = await ServerProcess.start({ logLevel: "warn" });
    const unary = [1, 2, 3].map((owner) => new UnaryClient(collectionName, owner, randomOf(seed + owner)));
    const stream = new StreamClient(collectionName, 4, randomOf(seed + 4));
    const indexes = new IndexClient(collectionName, randomOf(seed + 5));
    const snapshots = new SnapshotClient();
    let client = connectTo(server.address);
    await client.call(Collections.method.create, {
      collectionName,
      vectorsConfig: { config: { case: "params", value: { size: BigInt(dimensions), distance: Distance.Dot } } },
      // Small, so that graphs are built and swapped between the kills.
      optimizersConfig: { indexingThreshold: 4n },
      hnswConfig: { m: 8n, efConstruct: 32n, fullScanThreshold: 10n },
    });
    const n = { collectionName, wait: true, fieldName: "n", fieldType: FieldType.FieldTypeInteger };
    await client.call(Points.method.createFieldIndex, n);
    let midway = 0;
    for (let kill = 0; kill < kills; kill++) {
      const works = [...unary, stream, indexes, snapshots].map((one) => untilGone(one.run(client)));
      await Promise.race([sleep(50 + random() * 900), Promise.all(works)]);
      await server.kill("SIGKILL");
      await Promise.all(works);
      client.close();
      await server.restart();
      client = connectTo(server.address);

      const found = await readAll(client);
      let points = 0;
      for (const one of [...unary, stream]) {
        const state = sorted(found.get(one.owner));
        const possible = one.possible();
        const match = possible.findIndex((model) => sorted(model) === state);
        if (match < 0) expect(state, `client ${one.owner}, kill ${kill}`).toEqual(sorted(possible.at(-1)));
        if (match > 0) midway++;
        one.settle(match);
        points += one.model.size;
        const inRange = [...one.model.values()].filter((held) => held.n >= 300 && held.n < 600).length;
        const filter = ownRange(one.owner, 300, 600);
        const counted = await client.call(Points.method.count, { collectionName, filter, exact: true });
        expect(Number(counted.result?.count)).toBe(inRange);
        const [some] = one.model;
        if (some !== undefined) {
          const params = { exact: true };
          const query = nearest(...some[1].vector);
          const { result } = await client.call(Points.method.query, { collectionName, query, limit: 2_000n, params });
          expect(result.length).toBe(await countOf(client, collectionName));
          const mine = result.find(({ id }) => Number(id?.pointIdOptions.value) === some[0]);
          expect(mine?.score).toBeCloseTo(
            some[1].vector.reduce((sum, value) => sum + value * value, 0),
            4,
          );
        }
      }
      expect(await countOf(client, collectionName)).toBe(points);

      const { result } = await client.call(Collections.method.get, { collectionName });
      const schema = Object.keys(result?.payloadSchema ?? {});
      expect(schema).toContain("n");
      if (!indexes.unsure) expect(schema.includes("tag")).toBe(indexes.exists);
      indexes.exists = schema.includes("tag");

      const { snapshotDescriptions } = await client.call(Snapshots.method.list, { collectionName });
      const names = snapshotDescriptions.map(({ name }) => name);
      for (const name of snapshots.known) expect(names).toContain(name);
      // A snapshot whose acknowledgement did not get out is whole, or not there.
      for (const name of names) {
        expect(name).not.toContain("partial");
        snapshots.known.add(name);
      }
    }
    const writes = unary.reduce((sum, one) => sum + one.done, 0);
    console.log(
      `server kills: ${kills} kills under ${writes} writes, ${stream.done} chunks, ${indexes.done} index changes and ` +
        `${snapshots.done} snapshots; ${midway} states held a write whose acknowledgement had not got out`,
    );
    expect(writes).toBeGreaterThan(kills);
    expect(stream.done).toBeGreaterThan(kills);
    client.close();
    await server.stop();
  });
});
