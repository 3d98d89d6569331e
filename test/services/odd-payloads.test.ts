/** Payloads in encodings that no client writes but protobuf allows: under `required` none of them gets plaintext into the store. */
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { SealingMode } from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { generateKeyPair } from "../../src/seal/index.ts";
import { startTestServer, type TestServer } from "./server.ts";

const collectionName = "odd";
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await server.call(Collections.method.create, {
    collectionName,
    sealing: { mode: SealingMode.REQUIRED, clearFields: ["clear"] },
    vectorsConfig: { config: { case: "params", value: { size: 1n, distance: Distance.Dot } } },
  });
});
afterAll(() => server.close());

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

function field(number: number, ...parts: (Uint8Array | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(body.length)]), body]);
}

const secret = "SECRET";
const key = (name: string) => field(1, name);
const value = (...parts: Uint8Array[]) => field(2, ...parts);
const text = (content: string) => field(4, content);
const { publicKeyPem } = generateKeyPair();
let id = 0;

function upsert(...entries: Buffer[]): { id: bigint; bytes: Buffer } {
  id++;
  const one = new Uint8Array(Float32Array.of(1).buffer);
  const vectors = field(4, field(1, field(101, field(1, one))));
  const pointId = field(1, Uint8Array.of(8, id));
  const point = field(3, pointId, ...entries.map((entry) => field(3, entry)), vectors);
  return { id: BigInt(id), bytes: Buffer.concat([field(1, collectionName), point, field(50_001, publicKeyPem)]) };
}

test.each<[string, Buffer[]]>([
  ["a clear key, overruled by a sealed one", [Buffer.concat([key("clear"), key("other"), value(text(secret))])]],
  ["the value before its key", [Buffer.concat([value(text(secret)), key("other")])]],
  ["two values, one of them first", [Buffer.concat([key("other"), value(text(secret)), value(text("x"))])]],
  ["equal keys", [0, 1].map(() => Buffer.concat([key("other"), value(text(secret))]))],
  ["no key", [value(text(secret))]],
  ["a key that only begins as a clear one", [Buffer.concat([key("clear\0"), value(text(secret))])]],
  ["an unknown field of a clear value", [Buffer.concat([key("clear"), value(field(99, secret), text("x"))])]],
  ["the private field in a clear value", [Buffer.concat([key("clear"), value(field(15, secret), text("x"))])]],
  ["an unknown field of a clear entry", [Buffer.concat([key("clear"), field(99, secret), value(text("x"))])]],
])("%s", async (_name, entries) => {
  const { id, bytes } = upsert(...entries);
  await server.callBytes(Points.method.upsert, bytes);
  const points = await server.engine.get(collectionName, [id], { kind: "all" }, { kind: "none" });
  const stored = Buffer.from(points.payload(0) as Uint8Array);
  expect(stored.includes("$sealpoint")).toBe(true);
  expect(stored.includes(secret)).toBe(false);
  expect(await server.engine.countPlain(collectionName)).toMatchObject({ plain: 0 });
});

test.each<[string, Buffer[], RegExp]>([
  ["a stored form that is none", [Buffer.concat([key("$sealpoint"), value(field(15, secret))])], /damaged/],
  [
    "envelopes given twice, the last one empty",
    [Buffer.concat([key("$sealpoint"), value(text(secret))]), Buffer.concat([key("$sealpoint"), value(field(15, ""))])],
    /there is no envelope/,
  ],
  ["a key that is not UTF-8", [Buffer.concat([field(1, Uint8Array.of(0xff)), value(text(secret))])], /not UTF-8/],
])("%s is refused", async (_name, entries, words) => {
  const { id, bytes } = upsert(...entries);
  const refused = server.callBytes(Points.method.upsert, bytes);
  await expect(refused).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringMatching(words),
  });
  const points = await server.engine.get(collectionName, [id], { kind: "all" }, { kind: "none" });
  expect(points.length).toBe(0);
});
