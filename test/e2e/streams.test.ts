/**
 * sealpoint.v1.Ingest against the server as a process that is killed: cuts, kill -9, resumption, takeover, slow and vanished peers.
 * SEALPOINT_STREAM_SEED repeats a run; the seed decides when the server is killed.
 */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Ingest, type ScrollResponse } from "../../gen/sealpoint/v1/ingest_pb.js";
import { limits } from "../../src/core/index.ts";
import { countOf, dense, enable, integer, makeCollection, num, text } from "./messages.ts";
import { addonBuilt, type Call, connectTo, failure, ServerProcess } from "./server-process.ts";

const { bulkUpsert } = Ingest.method;
const { upsert } = Points.method;

let server: ServerProcess;
let client: Call;

beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({ logLevel: "warn" });
  client = connectTo(server.address);
});
afterAll(async () => {
  client?.close();
  await server?.stop();
});

const start = (collectionName: string, streamId = "s") => ({
  message: { case: "start" as const, value: { collectionName, streamId } },
});
const point = (id: number, version: number) => ({
  id: num(id),
  vectors: dense(id, version),
  payload: { version: integer(version), words: text(`w${id}`) },
});
const chunk = (sequence: number, ...points: object[]) => ({
  message: { case: "chunk" as const, value: { sequence: BigInt(sequence), points } },
});

const pointsPerChunk = 8;
/** Chunk n brings new points and overwrites some of the chunk before, so that a chunk that is applied twice or late shows. */
function chunkOf(sequence: number) {
  const first = sequence * 100;
  const fresh = Array.from({ length: pointsPerChunk }, (_, k) => point(first + k, sequence));
  const again = sequence === 1 ? [] : [point(first - 100, sequence), point(first - 99, sequence)];
  return chunk(sequence, ...fresh, ...again);
}
/** What is there after chunks 1 to last. */
function expected(last: number): Map<bigint, bigint> {
  const versions = new Map<bigint, bigint>();
  for (let sequence = 1; sequence <= last; sequence++) {
    for (const one of chunkOf(sequence).message.value.points as ReturnType<typeof point>[]) {
      versions.set(one.id.pointIdOptions.value, BigInt(sequence));
    }
  }
  return versions;
}

async function readAll(from: Call, collectionName: string): Promise<Map<bigint, bigint>> {
  const versions = new Map<bigint, bigint>();
  const { next } = from.download(Ingest.method.scroll, { collectionName, withPayload: enable, withVectors: enable });
  for (let page = await next(); page !== undefined; page = await next()) {
    for (const { id, payload, vectors } of page.points) {
      const version = payload.version?.kind.value as bigint;
      versions.set(id?.pointIdOptions.value as bigint, version);
      const options = vectors?.vectorsOptions;
      const dense = options?.case === "vector" ? options.value.vector : undefined;
      // The vector and the payload come from the same write.
      expect(dense?.case === "dense" && dense.value.data[1]).toBe(Number(version));
    }
  }
  return versions;
}

const idsOf = (page: ScrollResponse | undefined) => (page?.points ?? []).map((one) => one.id?.pointIdOptions.value);

describe.skipIf(!addonBuilt)("BulkUpsert", () => {
  test("acknowledges in order with a durable watermark, and resumes after a cut", async () => {
    const collectionName = await makeCollection(client);
    const first = client.bidi(bulkUpsert);
    first.send(start(collectionName));
    expect((await first.next())?.message).toMatchObject({ case: "started", value: { lastAppliedSequence: 0n } });
    for (let n = 1; n <= 50; n++) first.send(chunkOf(n));
    for (let n = 1; n <= 30; n++) {
      const ack = (await first.next())?.message.value;
      expect(ack).toMatchObject({ sequence: BigInt(n), applied: true, refused: [] });
      expect((ack as { durableSequence: bigint }).durableSequence).toBeGreaterThanOrEqual(BigInt(n));
    }
    first.cancel();
    // A reader overwrites a point of an acknowledged chunk meanwhile.
    await client.call(upsert, { collectionName, wait: true, points: [point(305, 77)] });

    const second = client.bidi(bulkUpsert);
    second.send(start(collectionName));
    const started = (await second.next())?.message;
    if (started?.case !== "started") throw new Error("it did not start");
    const last = Number(started.value.lastAppliedSequence);
    expect(last).toBeGreaterThanOrEqual(30);
    expect(last).toBeLessThanOrEqual(50);
    // Sent again from the first on, though the server has them.
    for (let n = 1; n <= 60; n++) second.send(chunkOf(n));
    second.end();
    for (let n = 1; n <= 60; n++) {
      expect((await second.next())?.message.value).toMatchObject({ sequence: BigInt(n), applied: n > last });
    }
    expect(await second.next()).toBeUndefined();
    expect(await readAll(client, collectionName)).toEqual(expected(60).set(305n, 77n));
  });

  test("loses, doubles and undoes nothing when the server is killed again and again", {
    timeout: 120_000,
  }, async () => {
    const seed = Number(process.env.SEALPOINT_STREAM_SEED ?? randomInt(2 ** 31));
    console.info(`seed ${seed}`);
    let state = seed;
    const random = (below: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
    const own = await ServerProcess.start({ logLevel: "warn" });
    try {
      let caller = connectTo(own.address);
      const collectionName = await makeCollection(caller);
      const total = 1_200;
      let acknowledged = 0;
      let durable = 0;
      let kills = 0;
      const overwritten = new Map<bigint, bigint>();
      for (;;) {
        const stream = caller.bidi(bulkUpsert);
        stream.send(start(collectionName, "killed"));
        const started = (await stream.next())?.message;
        if (started?.case !== "started") throw new Error("it did not start");
        const last = Number(started.value.lastAppliedSequence);
        // What was called durable is there, and nothing that was never sent.
        expect(last).toBeGreaterThanOrEqual(durable);
        if (last === total) {
          stream.end();
          expect(await stream.next()).toBeUndefined();
          caller.close();
          break;
        }
        // From where the client knows itself, which is behind the server at times.
        for (let n = acknowledged + 1; n <= total; n++) stream.send(chunkOf(n));
        stream.end();
        const until = kills < 4 ? acknowledged + 10 + random(80) : total;
        try {
          while (acknowledged < Math.min(until, total)) {
            const ack = (await stream.next())?.message;
            if (ack?.case !== "ack") throw new Error("no acknowledgement");
            expect(ack.value.sequence).toBe(BigInt(acknowledged + 1));
            expect(ack.value.applied).toBe(acknowledged + 1 > last);
            acknowledged++;
            durable = Number(ack.value.durableSequence);
          }
        } finally {
          if (kills < 4) {
            // An acknowledged overwrite of an acknowledged point: no chunk that is sent again may undo it.
            const id = BigInt(acknowledged * 100 - 100 + 4);
            await caller.call(upsert, { collectionName, wait: true, points: [point(Number(id), 1_000 + kills)] });
            overwritten.set(id, BigInt(1_000 + kills));
            await own.kill("SIGKILL");
            kills++;
            caller.close();
            await own.restart();
            caller = connectTo(own.address);
          }
        }
      }
      const reader = connectTo(own.address);
      const wanted = expected(total);
      for (const [id, version] of overwritten) wanted.set(id, version);
      expect(await readAll(reader, collectionName)).toEqual(wanted);
      expect(await countOf(reader, collectionName)).toBe(wanted.size);
      // A server that is fast enough may have written the rest while the client had read little.
      expect(kills).toBeGreaterThanOrEqual(3);
      reader.close();
    } finally {
      await own.stop();
    }
  });

  test("a chunk is there wholly or not at all after kill -9", { timeout: 60_000 }, async () => {
    const own = await ServerProcess.start({ logLevel: "warn" });
    try {
      const caller = connectTo(own.address);
      const collectionName = await makeCollection(caller);
      const stream = caller.bidi(bulkUpsert);
      stream.send(start(collectionName));
      await stream.next();
      const size = 500;
      for (let n = 1; n <= 60; n++) {
        stream.send(chunk(n, ...Array.from({ length: size }, (_, k) => point(n * 1_000 + k, n))));
      }
      for (let n = 1; n <= 5; n++) await stream.next();
      await own.kill("SIGKILL");
      caller.close();
      await own.restart();
      const reader = connectTo(own.address);
      const count = await countOf(reader, collectionName);
      expect(count % size).toBe(0);
      expect(count).toBeGreaterThanOrEqual(5 * size);
      const again = reader.bidi(bulkUpsert);
      again.send(start(collectionName));
      expect((await again.next())?.message.value).toMatchObject({ lastAppliedSequence: BigInt(count / size) });
      again.cancel();
      reader.close();
    } finally {
      await own.stop();
    }
  });

  test("another connection takes the stream over", async () => {
    const collectionName = await makeCollection(client);
    const first = client.bidi(bulkUpsert);
    first.send(start(collectionName, "shared"));
    await first.next();
    first.send(chunkOf(1));
    await first.next();
    const other = connectTo(server.address);
    const second = other.bidi(bulkUpsert);
    second.send(start(collectionName, "shared"));
    expect((await second.next())?.message.value).toMatchObject({ lastAppliedSequence: 1n });
    expect((await failure(first.next())).code).toBe(status.ABORTED);
    second.send(chunkOf(2));
    second.end();
    expect((await second.next())?.message.value).toMatchObject({ sequence: 2n, applied: true });
    expect(await second.next()).toBeUndefined();
    other.close();
    expect(await readAll(client, collectionName)).toEqual(expected(2));
  });

  test("holds back a sender whose acknowledgements nobody reads, and then loses nothing", {
    timeout: 60_000,
  }, async () => {
    const dimensions = 4_096;
    const collectionName = await makeCollection(client, dimensions);
    const caller = connectTo(server.address);
    const stream = caller.bidi(bulkUpsert);
    stream.send(start(collectionName));
    await stream.next();
    stream.pause();
    const data = Array.from({ length: dimensions }, (_, k) => k);
    // 64 KiB a chunk, 64 MiB in all: four times what may be in flight.
    const chunks = 1_000;
    for (let n = 1; n <= chunks; n++) {
      stream.send(chunk(n, ...[0, 1, 2, 3].map((k) => ({ id: num(n * 4 + k), vectors: dense(...data) }))));
    }
    stream.end();
    await sleep(500);
    expect((await client.call(Collections.method.list, {})).collections.length).toBeGreaterThan(0);
    stream.resume();
    for (let n = 1; n <= chunks; n++) {
      expect((await stream.next())?.message.value).toMatchObject({ sequence: BigInt(n), applied: true });
    }
    expect(await stream.next()).toBeUndefined();
    expect(await countOf(client, collectionName)).toBe(chunks * 4);
    expect(chunks * 4 * dimensions * 4).toBeGreaterThan(2 * limits.streamBytesInFlightMax);
    caller.close();
  });

  test("forgets peers that vanish, keeps what it acknowledged, and takes them up again", async () => {
    const collectionName = await makeCollection(client);
    // More than may be open at a time, were they kept.
    for (let round = 0; round < 3; round++) {
      const callers = Array.from({ length: 100 }, () => connectTo(server.address));
      await Promise.all(
        callers.map(async (caller, n) => {
          const stream = caller.bidi(bulkUpsert);
          stream.send(start(collectionName, `vanished-${round}-${n}`));
          expect((await stream.next())?.message.case).toBe("started");
          stream.send(chunk(1, point(round * 1_000 + n, 1)));
          expect((await stream.next())?.message.value).toMatchObject({ sequence: 1n, applied: true });
          caller.close();
          stream.cancel();
        }),
      );
    }
    expect(await countOf(client, collectionName)).toBe(300);
    const again = client.bidi(bulkUpsert);
    again.send(start(collectionName, "vanished-0-0"));
    expect((await again.next())?.message.value).toMatchObject({ lastAppliedSequence: 1n });
    again.cancel();
  });
});

describe.skipIf(!addonBuilt)("Scroll", () => {
  test("shows one view while writes go on, and resumes from the last id", { timeout: 60_000 }, async () => {
    const collectionName = await makeCollection(client);
    // 20 MB: more than the buffers of the transport hold, so that most is read by the server after writes.
    const size = 20_000;
    const words = text("x".repeat(1_000));
    for (let from = 0; from < size; from += 5_000) {
      const points = Array.from({ length: 5_000 }, (_, n) => {
        const one = point(from + n, 1);
        return { ...one, payload: { ...one.payload, words } };
      });
      await client.call(upsert, { collectionName, wait: true, points });
    }
    const { next } = client.download(Ingest.method.scroll, { collectionName, pageSize: 500, withPayload: enable });
    const pages = [await next()];
    // The view is open: from here on every point is overwritten, every fifth deleted, others are added.
    let writing = true;
    let written = 0;
    const writer = (async () => {
      for (let from = 0; from < size && writing; from += 2_000) {
        const points = Array.from({ length: 2_000 }, (_, n) => point(from + n, 2));
        await client.call(upsert, { collectionName, wait: true, points });
        const ids = Array.from({ length: 400 }, (_, n) => num(from + n * 5));
        const selected = { pointsSelectorOneOf: { case: "points" as const, value: { ids } } };
        await client.call(Points.method.delete, { collectionName, wait: true, points: selected });
        await client.call(upsert, { collectionName, wait: true, points: [point(size + from, 2)] });
        written++;
      }
    })();
    for (let page = await next(); page !== undefined; page = await next()) {
      pages.push(page);
      // The writer keeps ahead of the reader.
      while (written < Math.min(pages.length / 2, size / 2_000)) await sleep(2);
    }
    writing = false;
    expect(written).toBe(size / 2_000);
    await writer;
    expect(pages.flatMap(idsOf)).toEqual(Array.from({ length: size }, (_, n) => BigInt(n)));
    const versions = new Set(pages.flatMap((page) => page?.points.map((one) => one.payload.version?.kind.value)));
    expect(versions).toEqual(new Set([1n]));

    const rest = client.download(Ingest.method.scroll, { collectionName, pageSize: 500, after: num(1_001), limit: 3n });
    expect(idsOf(await rest.next())).toEqual([1_002n, 1_003n, 1_004n]);
    expect(await rest.next()).toBeUndefined();
  });

  test("a cancelled one and one that nobody reads let go of their view", { timeout: 60_000 }, async () => {
    const collectionName = await makeCollection(client, 256);
    const data = Array.from({ length: 256 }, (_, n) => n);
    const points = Array.from({ length: 5_000 }, (_, n) => ({ id: num(n), vectors: dense(...data) }));
    await client.call(upsert, { collectionName, wait: true, points });
    for (let n = 0; n < limits.streamsMax + 20; n++) {
      const view = client.download(Ingest.method.scroll, { collectionName, pageSize: 100, withVectors: enable });
      expect((await view.next())?.points).toHaveLength(100);
      view.cancel();
      const rest = async () => {
        while ((await view.next()) !== undefined);
      };
      expect((await failure(rest())).code).toBe(status.CANCELLED);
    }
    const caller = connectTo(server.address);
    for (let n = 0; n < 20; n++) {
      caller.download(Ingest.method.scroll, { collectionName, pageSize: 100, withVectors: enable });
    }
    await sleep(300);
    // The server waits for nobody: others are served meanwhile.
    expect(await countOf(client, collectionName)).toBe(5_000);
    caller.close();
    const after = client.download(Ingest.method.scroll, { collectionName, pageSize: 10_000 });
    expect((await after.next())?.points).toHaveLength(5_000);
  });

  test("ends at its deadline", async () => {
    const collectionName = await makeCollection(client, 256);
    const data = Array.from({ length: 256 }, (_, n) => n);
    const points = Array.from({ length: 5_000 }, (_, n) => ({ id: num(n), vectors: dense(...data) }));
    await client.call(upsert, { collectionName, wait: true, points });
    const request = { collectionName, pageSize: 10, withVectors: enable };
    const view = client.download(Ingest.method.scroll, request, { deadline: Date.now() + 100 });
    const read = async () => {
      for (let page = await view.next(); page !== undefined; page = await view.next()) await sleep(10);
    };
    expect((await failure(read())).code).toBe(status.DEADLINE_EXCEEDED);
    expect(await countOf(client, collectionName)).toBe(5_000);
  });
});
