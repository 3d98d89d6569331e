/** sealpoint.v1.Ingest over a socket and the embedded engine. */
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Ingest } from "../../gen/sealpoint/v1/ingest_pb.js";
import { limits } from "../../src/core/index.ts";
import { startTestServer, type TestServer } from "./server.ts";

let server: TestServer;
let made = 0;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

async function makeCollection(size = 2): Promise<string> {
  const collectionName = `ingest-${++made}`;
  const params = { case: "params" as const, value: { size: BigInt(size), distance: Distance.Dot } };
  await server.call(Collections.method.create, { collectionName, vectorsConfig: { config: params } });
  return collectionName;
}

const num = (value: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(value) } });
const point = (id: number, ...data: number[]) => ({
  id: num(id),
  vectors: {
    vectorsOptions: { case: "vector" as const, value: { vector: { case: "dense" as const, value: { data } } } },
  },
  payload: { n: { kind: { case: "integerValue" as const, value: BigInt(id) } } },
});
const start = (collectionName: string, streamId = "s") => ({
  message: { case: "start" as const, value: { collectionName, streamId } },
});
const chunk = (sequence: number | bigint, ...points: object[]) => ({
  message: { case: "chunk" as const, value: { sequence: BigInt(sequence), points } },
});

function open() {
  return server.bidi(Ingest.method.bulkUpsert);
}

async function failure(promise: Promise<unknown>): Promise<{ code: number; details: string }> {
  const error = await promise.then(
    (value) => {
      throw new Error(`no error but ${String(value)}`);
    },
    (thrown: { code: number; details: string }) => thrown,
  );
  return { code: error.code, details: error.details };
}

const count = async (collectionName: string) =>
  Number((await server.call(Points.method.count, { collectionName })).result?.count);

describe("BulkUpsert", () => {
  test("stores many chunks in flight, acknowledges them in order, and ends", async () => {
    const collectionName = await makeCollection();
    const stream = open();
    stream.send(start(collectionName));
    expect((await stream.next())?.message).toMatchObject({
      case: "started",
      value: { lastAppliedSequence: 0n, chunkPointsMax: limits.streamChunkPointsMax },
    });
    const chunks = 200;
    for (let n = 1; n <= chunks; n++) stream.send(chunk(n, ...[0, 1, 2].map((k) => point(n * 3 + k, n, k))));
    stream.end();
    for (let n = 1; n <= chunks; n++) {
      expect((await stream.next())?.message).toMatchObject({
        case: "ack",
        value: { sequence: BigInt(n), durableSequence: BigInt(n), applied: true, pointsApplied: 3, refused: [] },
      });
    }
    expect(await stream.next()).toBeUndefined();
    expect(await count(collectionName)).toBe(chunks * 3);
  });

  test("goes on where it was cut; a repeated chunk undoes nothing", async () => {
    const collectionName = await makeCollection();
    const first = open();
    first.send(start(collectionName));
    await first.next();
    first.send(chunk(1, point(1, 1, 1)));
    first.send(chunk(2, point(2, 2, 2)));
    await first.next();
    await first.next();
    first.cancel();
    await failure(first.next());
    // Somebody overwrites what the first chunk wrote.
    await server.call(Points.method.upsert, { collectionName, wait: true, points: [point(1, 9, 9)] });

    const second = open();
    second.send(start(collectionName));
    expect((await second.next())?.message.value).toMatchObject({ lastAppliedSequence: 2n });
    second.send(chunk(1, point(1, 1, 1)));
    second.send(chunk(2, point(2, 2, 2)));
    second.send(chunk(3, point(3, 3, 3)));
    second.end();
    expect((await second.next())?.message.value).toMatchObject({ sequence: 1n, applied: false, pointsApplied: 0 });
    expect((await second.next())?.message.value).toMatchObject({ sequence: 2n, applied: false });
    expect((await second.next())?.message.value).toMatchObject({ sequence: 3n, applied: true });
    expect(await second.next()).toBeUndefined();
    const { result } = await server.call(Points.method.search, { collectionName, vector: [1, 0], limit: 1n });
    expect(result[0]).toMatchObject({ id: num(1), score: 9 });
  });

  test("refuses points one by one and stores the others", async () => {
    const collectionName = await makeCollection();
    let deep: object = { kind: { case: "boolValue", value: true } };
    for (let i = 0; i < 300; i++) deep = { kind: { case: "listValue", value: { values: [deep] } } };
    const stream = open();
    stream.send(start(collectionName));
    await stream.next();
    stream.send(
      chunk(
        1,
        point(10, 1, 1),
        { ...point(11, 1, 1), id: { pointIdOptions: { case: "uuid", value: "bad" } } },
        point(12, 1, 1, 1),
        point(13, 1, Number.NaN),
        { ...point(14, 1, 1), payload: { deep } },
        {
          ...point(15, 1, 1),
          vectors: { vectorsOptions: { case: "vectors", value: { vectors: { foo: { data: [1] } } } } },
        },
        {
          ...point(16),
          vectors: { vectorsOptions: { case: "vector", value: { vector: { case: "sparse", value: {} } } } },
        },
        point(17, Number.NEGATIVE_INFINITY, 1),
        point(18, 2, 2),
      ),
    );
    stream.send(chunk(2, point(19, 3, 3)));
    stream.end();
    const ack = (await stream.next())?.message;
    if (ack?.case !== "ack") throw new Error("no acknowledgement");
    expect(ack.value).toMatchObject({ applied: true, pointsApplied: 2 });
    expect(ack.value.refused.map((one) => [one.index, one.code])).toEqual([
      [1, status.INVALID_ARGUMENT],
      [2, status.INVALID_ARGUMENT],
      [3, status.INVALID_ARGUMENT],
      [4, status.INVALID_ARGUMENT],
      [5, status.INVALID_ARGUMENT],
      [6, status.INVALID_ARGUMENT],
      [7, status.INVALID_ARGUMENT],
    ]);
    expect(ack.value.refused[0]?.message).toMatch(/Unable to parse UUID/);
    expect(ack.value.refused[1]).toMatchObject({
      id: num(12),
      message: expect.stringContaining("expected dim: 2, got 3"),
    });
    expect(ack.value.refused[2]?.message).toMatch(/not finite/);
    expect((await stream.next())?.message.value).toMatchObject({ sequence: 2n, applied: true, pointsApplied: 1 });
    expect(await stream.next()).toBeUndefined();
    expect(await count(collectionName)).toBe(3);
  });

  test("a chunk of which nothing is left still moves the stream on", async () => {
    const collectionName = await makeCollection();
    const stream = open();
    stream.send(start(collectionName));
    await stream.next();
    stream.send(chunk(1, point(1, 1)));
    stream.send(chunk(2, point(2, 1, 1)));
    stream.end();
    expect((await stream.next())?.message.value).toMatchObject({ sequence: 1n, applied: true, pointsApplied: 0 });
    expect((await stream.next())?.message.value).toMatchObject({ sequence: 2n, applied: true, pointsApplied: 1 });
  });

  test("another connection takes the stream over; the first ends with ABORTED", async () => {
    const collectionName = await makeCollection();
    const first = open();
    first.send(start(collectionName, "shared"));
    await first.next();
    first.send(chunk(1, point(1, 1, 1)));
    await first.next();
    const second = open();
    second.send(start(collectionName, "shared"));
    expect((await second.next())?.message.value).toMatchObject({ lastAppliedSequence: 1n });
    expect(await failure(first.next())).toEqual({ code: status.ABORTED, details: expect.stringContaining("took") });
    second.send(chunk(2, point(2, 1, 1)));
    second.end();
    expect((await second.next())?.message.value).toMatchObject({ sequence: 2n, applied: true });
    expect(await second.next()).toBeUndefined();
  });

  test.each([
    ["a chunk first", async () => [chunk(1)], /first message of a stream must be start/],
    ["an empty stream id", async () => [start(await makeCollection(), "")], /start\.stream_id/],
    ["a long stream id", async () => [start(await makeCollection(), "x".repeat(65))], /start\.stream_id/],
    [
      "two starts",
      async () => {
        const name = await makeCollection();
        return [start(name), start(name)];
      },
      /every message must be a chunk/,
    ],
    ["a gap", async () => [start(await makeCollection()), chunk(2, point(1, 1, 1))], /expected 1, got 2/],
    ["sequence 0", async () => [start(await makeCollection()), chunk(0, point(1, 1, 1))], /expected 1, got 0/],
  ])("refuses %s", async (_name, messages, words) => {
    const stream = open();
    for (const message of await messages()) stream.send(message as never);
    const seen = async (): Promise<never> => {
      for (;;) if ((await stream.next()) === undefined) throw new Error("it ended well");
    };
    expect(await failure(seen())).toEqual({ code: status.INVALID_ARGUMENT, details: expect.stringMatching(words) });
  });

  test("an unknown collection is not found", async () => {
    const stream = open();
    stream.send(start("nowhere"));
    expect(await failure(stream.next())).toEqual({
      code: status.NOT_FOUND,
      details: "Not found: Collection `nowhere` doesn't exist!",
    });
  });

  test("what came before a fault is acknowledged before the stream ends", async () => {
    const collectionName = await makeCollection();
    const stream = open();
    stream.send(start(collectionName));
    await stream.next();
    stream.send(chunk(1, point(1, 1, 1)));
    stream.send(chunk(3, point(3, 1, 1)));
    expect((await stream.next())?.message.value).toMatchObject({ sequence: 1n, applied: true });
    expect((await failure(stream.next())).details).toMatch(/expected 2, got 3/);
    expect(await count(collectionName)).toBe(1);
  });

  test("a sender whose acknowledgements nobody reads is held back, and loses nothing", async () => {
    const collectionName = await makeCollection(512);
    const stream = open();
    stream.send(start(collectionName));
    const chunks = 300;
    const data = Array.from({ length: 512 }, (_, n) => n);
    for (let n = 1; n <= chunks; n++) stream.send(chunk(n, ...[0, 1, 2, 3].map((k) => point(n * 4 + k, ...data))));
    stream.end();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await stream.next();
    for (let n = 1; n <= chunks; n++) {
      expect((await stream.next())?.message.value).toMatchObject({ sequence: BigInt(n), applied: true });
    }
    expect(await stream.next()).toBeUndefined();
    expect(await count(collectionName)).toBe(chunks * 4);
  });
});

describe("Scroll", () => {
  test("gives all points in id order, of one view, and goes on after an id", async () => {
    const collectionName = await makeCollection();
    const points = Array.from({ length: 1_000 }, (_, n) => point(n + 1, n, 1));
    await server.call(Points.method.upsert, { collectionName, wait: true, points });
    const next = server.download(Ingest.method.scroll, { collectionName, pageSize: 300 });
    const ids: unknown[] = [];
    const first = await next();
    ids.push(...(first?.points ?? []).map((one) => one.id?.pointIdOptions.value));
    expect(first?.points[0]?.payload.n?.kind.value).toBe(1n);
    // Comes after the view was opened.
    await server.call(Points.method.upsert, { collectionName, wait: true, points: [point(5_000, 1, 1)] });
    for (let page = await next(); page !== undefined; page = await next()) {
      expect(page.points.length).toBeLessThanOrEqual(300);
      ids.push(...page.points.map((one) => one.id?.pointIdOptions.value));
    }
    expect(ids).toEqual(points.map((one) => one.id.pointIdOptions.value));

    const rest = server.download(Ingest.method.scroll, { collectionName, after: num(998), limit: 2n });
    expect((await rest())?.points.map((one) => one.id?.pointIdOptions.value)).toEqual([999n, 1_000n]);
    expect(await rest()).toBeUndefined();
  });

  test("refuses a page that is too large and an unknown collection", async () => {
    const collectionName = await makeCollection();
    const large = server.download(Ingest.method.scroll, { collectionName, pageSize: 10_001 });
    expect((await failure(large())).code).toBe(status.INVALID_ARGUMENT);
    const unknown = server.download(Ingest.method.scroll, { collectionName: "nowhere" });
    expect((await failure(unknown())).code).toBe(status.NOT_FOUND);
  });
});
