import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { QdrantClient } from "@qdrant/js-client-grpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Points } from "../gen/qdrant/points_service_pb.js";
import {
  connect,
  generateKey,
  idToMessage,
  open,
  payloadFromMessage,
  payloadToMessage,
  type SealingOptions,
  sealedKey,
  sealingConnectInterceptor,
  sealQdrantClient,
} from "../src/index.ts";
import { FakeServer } from "./fake-server.ts";

const key = generateKey();
const sealingId = "000102030405060708090a0b0c0d0e0f";
const sealing: SealingOptions = {
  collections: { docs: { publicKey: key.publicKey, sealingId, clearFields: ["lang"] } },
  privateKey: key,
};
const secret = "the plain title";

let server: FakeServer;
beforeEach(async () => {
  server = new FakeServer();
  await server.start();
});
afterEach(() => server.stop());

function expectSealed(id: string) {
  const payload = server.stored.get(id)?.payload ?? {};
  expect(Object.keys(payload).sort()).toEqual([sealedKey, "lang"]);
  expect(JSON.stringify(payload, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
    secret,
  );
}

const point = {
  id: 1,
  vector: [1, 2],
  payload: { lang: "en", title: secret, year: 1999, ratio: 0.5, tags: ["a", null] },
};

describe("the client", () => {
  it("seals what it writes and opens what it reads", async () => {
    await using client = connect(server.address, { sealing });
    await client.upsert("docs", [point]);
    expectSealed("1");
    const [hit] = await client.query("docs", { vector: [1, 2] });
    expect(hit).toEqual({ id: 1n, score: 1, payload: point.payload });
    const scrolled = [];
    for await (const each of client.scroll("docs")) scrolled.push(each);
    expect(scrolled).toEqual([{ id: 1n, payload: point.payload }]);
  });

  it("sends nothing to a collection without a pin", async () => {
    await using client = connect(server.address, { sealing });
    await expect(client.upsert("others", [point])).rejects.toThrow("no recipient is pinned");
    expect(server.stored.size).toBe(0);
  });

  it("refuses a partial update that names no single point", async () => {
    await using client = connect(server.address, { sealing });
    const ids = [idToMessage(1), idToMessage(2)] as never[];
    const pointsSelector = { pointsSelectorOneOf: { case: "points" as const, value: { ids } } };
    const payload = payloadToMessage({ title: secret }) as never;
    await expect(client.points.setPayload({ collectionName: "docs", payload, pointsSelector })).rejects.toThrow(
      "exactly one id",
    );
  });

  it("fails with one text when an envelope was moved to another point, and lets nothing by", async () => {
    await using client = connect(server.address, { sealing });
    await client.upsert("docs", [point]);
    const moved = server.stored.get("1");
    if (moved === undefined) throw new Error("nothing was stored");
    server.stored.set("1", { ...moved, id: idToMessage(2) as never });
    await expect(client.query("docs", { vector: [1, 2] })).rejects.toMatchObject({
      code: 7,
      details: "cannot open the seal",
    });
    const scroll = async () => {
      for await (const each of client.scroll("docs")) expect(each).toBe("nothing is yielded");
    };
    await expect(scroll()).rejects.toMatchObject({ code: 7, details: "cannot open the seal" });
  });

  it("leaves the payloads of others sealed", async () => {
    await using writer = connect(server.address, { sealing });
    await writer.upsert("docs", [point]);
    await using reader = connect(server.address, { sealing: { ...sealing, privateKey: generateKey() } });
    const [hit] = await reader.query("docs", { vector: [1, 2] });
    expect(Object.keys(hit?.payload ?? {}).sort()).toEqual([sealedKey, "lang"]);
  });
});

describe("bulkUpsert", () => {
  const chunks = Array.from({ length: 40 }, (_, i) => [
    { ...point, id: 2 * i },
    { ...point, id: 2 * i + 1 },
  ]);

  it("loses, doubles and skips nothing over cuts", async () => {
    server.cutAfter = [5, 1, 11];
    await using client = connect(server.address, { sealing });
    const acked = new Set<bigint>();
    for await (const ack of client.bulkUpsert("docs", chunks, { streamId: "s" })) acked.add(ack.sequence);
    expect(server.connections).toBe(4);
    expect(server.applied).toEqual(Array.from({ length: 40 }, (_, i) => BigInt(i + 1)));
    expect(server.stored.size).toBe(80);
    expectSealed("79");
    expect(acked.size).toBeGreaterThan(30);
  });

  it("passes over what an earlier run brought", async () => {
    await using client = connect(server.address, { sealing });
    for await (const _ack of client.bulkUpsert("docs", chunks.slice(0, 10), { streamId: "s" }));
    for await (const _ack of client.bulkUpsert("docs", chunks, { streamId: "s" }));
    expect(server.applied).toHaveLength(40);
  });

  it("gives the error of its source up, and of a server that refuses", async () => {
    await using client = connect(server.address, { sealing });
    const failing = async function* () {
      yield chunks[0] ?? [];
      throw new Error("the source broke");
    };
    const run = async (collection: string, source: Parameters<typeof client.bulkUpsert>[1]) => {
      for await (const _ack of client.bulkUpsert(collection, source, { streamId: "x" }));
    };
    await expect(run("docs", failing())).rejects.toThrow("the source broke");
    await expect(run("others", chunks)).rejects.toThrow("no recipient is pinned");
  });
});

describe("under others' clients", () => {
  const message = () => ({
    collectionName: "docs",
    points: [
      {
        id: idToMessage("550e8400-e29b-41d4-a716-446655440000"),
        payload: payloadToMessage({ lang: "en", title: secret, n: 1n }),
      },
    ],
  });
  const uuid = "550e8400-e29b-41d4-a716-446655440000";

  it("a connect interceptor seals and opens", async () => {
    const interceptors = [sealingConnectInterceptor(sealing)];
    const points = createClient(Points, createGrpcTransport({ baseUrl: `http://${server.address}`, interceptors }));
    await points.upsert(message() as never);
    expectSealed(uuid);
    const { result } = await points.query({ collectionName: "docs" });
    expect({ ...payloadFromMessage(result[0]?.payload ?? {}) }).toEqual({ lang: "en", title: secret, n: 1n });
  });

  it("Qdrant's own client seals and opens", async () => {
    const [host, port] = server.address.split(":");
    const qdrant = sealQdrantClient(new QdrantClient({ host, port: Number(port), checkCompatibility: false }), sealing);
    await qdrant.api("points").upsert(message() as never);
    expectSealed(uuid);
    const { result } = await qdrant.api("points").query({ collectionName: "docs" });
    expect({ ...payloadFromMessage(result[0]?.payload ?? {}) }).toEqual({ lang: "en", title: secret, n: 1n });
    await expect(qdrant.api("points").upsert({ ...message(), collectionName: "others" } as never)).rejects.toThrow(
      "pinned",
    );
    const stored = payloadFromMessage(server.stored.get(uuid)?.payload ?? {});
    expect(open(stored, { id: uuid, privateKey: key, acceptedSealingIds: [sealingId] })).toMatchObject({
      title: secret,
    });
  });
});
