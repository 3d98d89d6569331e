/** Bad input over the wire: the right status, a message that names the field and the point, nothing stored, and the server goes on. */
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Qdrant } from "../../gen/qdrant/qdrant_pb.js";
import { Ingest } from "../../gen/sealpoint/v1/ingest_pb.js";
import { generateKeyPair } from "../../src/seal/index.ts";
import {
  byIds,
  countOf,
  dense,
  enable,
  integer,
  keyword,
  makeCollection,
  nearest,
  num,
  text,
  uuid,
} from "./messages.ts";
import { addonBuilt, type Call, connectTo, failure, launcher, ServerProcess } from "./server-process.ts";

const { upsert, query, search, scroll, get, count, setPayload, updateVectors, updateBatch } = Points.method;
const { create } = Collections.method;

let server: ServerProcess;
let client: Call;
let collectionName: string;

beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start();
  client = connectTo(server.address);
});
afterAll(async () => {
  client?.close();
  await server?.stop();
});

const good = { id: num(1), vectors: dense(1, 2, 3, 4), payload: { kind: text("good") } };

beforeEach(async () => {
  if (!addonBuilt) return;
  collectionName = await makeCollection(client, 4);
  await client.call(upsert, { collectionName, wait: true, points: [good] });
});

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
};
const field = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);

/** An UpsertPoints whose second point, id 7, has a payload that is nested so deep; in bytes, since writers of messages recurse. */
function nested(depth: number, kind: "lists" | "structs"): Buffer {
  let value: Buffer = Buffer.from([0x28, 1]);
  for (let i = 0; i < depth; i++) {
    const entry = kind === "lists" ? value : Buffer.concat([field(1, Buffer.from("k")), field(2, value)]);
    value = field(kind === "lists" ? 7 : 6, field(1, entry));
  }
  const payload = field(3, Buffer.concat([field(1, Buffer.from("deep")), field(2, value)]));
  const point = (id: number, more: Buffer) => {
    const vector = field(4, field(1, field(1, Buffer.from(new Float32Array([1, 2, 3, 4]).buffer))));
    return field(3, Buffer.concat([field(1, Buffer.from([0x08, id])), more, vector]));
  };
  return Buffer.concat([
    field(1, Buffer.from(collectionName)),
    Buffer.from([0x10, 1]),
    point(6, Buffer.alloc(0)),
    point(7, payload),
  ]);
}

/** Everything that is stored, and that the server answers. */
async function stored(): Promise<string> {
  expect((await client.call(Qdrant.method.healthCheck, {})).title).toContain("qdrant");
  const { result } = await client.call(scroll, { collectionName, withPayload: enable, withVectors: enable });
  return JSON.stringify(result, (_, value) => (typeof value === "bigint" ? String(value) : value));
}

const offCurve = `04${"00".repeat(63)}01`;
const { publicKeyPem } = generateKeyPair();
const xOnly = Buffer.from(publicKeyPem.replace(/-----[^-]+-----|\s/g, ""), "base64")
  .subarray(27, 59)
  .toString("hex");
const otherCurve = generateKeyPairSync("ed25519").publicKey.export({ format: "pem", type: "spki" }) as string;
const uuidWords = /^Unable to parse UUID: /;

describe.skipIf(!addonBuilt)("bad input", () => {
  // The second point of three is at fault: the message names it by its id or its place, or in Qdrant's words alone, and then the details.
  const badPoints: [string, object, RegExp, string][] = [
    ["a vector that is too short", { vectors: dense(1, 2, 3) }, /expected dim: 4, got 3/, "points[1].vectors"],
    ["a vector that is too long", { vectors: dense(1, 2, 3, 4, 5) }, /expected dim: 4, got 5/, "points[1].vectors"],
    ["NaN", { vectors: dense(1, Number.NaN, 3, 4) }, /not finite/, "points[1].vectors"],
    ["infinity", { vectors: dense(1, Number.POSITIVE_INFINITY, 3, 4) }, /not finite/, "points[1].vectors"],
    ["negative infinity", { vectors: dense(Number.NEGATIVE_INFINITY, 1, 3, 4) }, /not finite/, "points[1].vectors"],
    ["an empty vector", { vectors: dense() }, /the vector is empty|expected dim: 4, got 0/, "points[1].vectors"],
    [
      "an unknown vector name",
      { vectors: { vectorsOptions: { case: "vectors", value: { vectors: { nowhere: { data: [1, 2, 3, 4] } } } } } },
      /Not existing vector name error: nowhere/,
      "points[1].vectors.nowhere",
    ],
    ["a key that is off the curve", { publicKey: offCurve }, /not on the curve/, "points[1].public_key"],
    ["an X-only key", { publicKey: xOnly }, /X-only/, "points[1].public_key"],
    ["a key of another curve", { publicKey: otherCurve }, /P-256/, "points[1].public_key"],
    ["a key that is none", { publicKey: "not a key!" }, /not PEM/, "points[1].public_key"],
  ];

  test.each(badPoints)("of a point: %s", async (_name, fault, words, fieldName) => {
    const before = await stored();
    const bad = { id: num(7), vectors: dense(1, 2, 3, 4), payload: { a: text("x") }, ...fault };
    const points = [{ ...good, id: num(6) }, bad, { ...good, id: num(8) }];
    const error = await failure(client.call(upsert, { collectionName, wait: true, points: points as never }));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.details).toMatch(words);
    expect(`${error.details} ${error.info}`).toContain(fieldName);
    expect(await stored()).toBe(before);
    // Without waiting too it is refused, not dropped behind the caller's back.
    expect((await failure(client.call(upsert, { collectionName, points: points as never }))).code).toBe(error.code);
    expect(await stored()).toBe(before);
  });

  test.each(["nope", "550e8400-e29b-41d4-a716-44665544000", "550e8400-e29b-41d4-a716-44665544000g", ""])(
    "of a point: the id %j",
    async (id) => {
      const before = await stored();
      const bad = { ...good, id: uuid(id) };
      const error = await failure(
        client.call(upsert, { collectionName, wait: true, points: [{ ...good, id: num(6) }, bad] }),
      );
      expect(error.code).toBe(status.INVALID_ARGUMENT);
      expect(error.details).toMatch(uuidWords);
      expect(`${error.details} ${error.info}`).toContain("points[1].id");
      expect(await stored()).toBe(before);
    },
  );

  test.each([
    ["lists", 1_000],
    ["structs", 1_000],
    ["lists", 10_000],
    ["structs", 10_000],
  ] as const)("of a point: a payload of %s nested %i deep", async (kind, depth) => {
    const before = await stored();
    const error = await failure(client.callBytes(upsert, nested(depth, kind)));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.details).toMatch(/nested more than 128 deep at deep.*points\[1\]\.payload/);
    expect(error.details).toMatch(/point 7|points\[1\]/);
    expect(await stored()).toBe(before);
  });

  test("a message of 100 MB", async () => {
    const before = await stored();
    const big = Buffer.concat([field(1, Buffer.from(collectionName)), field(3, Buffer.alloc(100 * 1024 * 1024))]);
    const error = await failure(client.callBytes(upsert, big));
    expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(error.details).toMatch(/larger than|message/i);
    expect(await stored()).toBe(before);
  });

  test("bytes that are no message", async () => {
    const before = await stored();
    const methods = [upsert, query, search, scroll, get, count, setPayload, updateVectors, updateBatch, create];
    for (const method of [...methods, Collections.method.updateAliases]) {
      for (const bytes of [
        [0x0a, 0x7f, 0x01],
        [0x0f],
        [0x80],
        [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
      ]) {
        const error = await failure(client.callBytes(method, Uint8Array.from(bytes)));
        expect([method.name, error.code]).toEqual([method.name, status.INVALID_ARGUMENT]);
        expect(error.details).toMatch(/malformed/);
      }
    }
    // Cut anywhere, a good request is either refused or still a good request.
    const whole = toBinary(
      upsert.input,
      (await import("@bufbuild/protobuf")).create(upsert.input, { collectionName, points: [good] }),
    );
    for (let length = 1; length < whole.length; length++) {
      await client.callBytes(upsert, whole.subarray(0, length)).catch((error) => {
        expect([status.INVALID_ARGUMENT, status.NOT_FOUND]).toContain(error.code);
      });
    }
    expect(await stored()).toBe(before);
  });

  test("a collection that is not there, in every call that names one", async () => {
    const nowhere = "nowhere";
    const ids = [num(1)];
    const calls = [
      client.call(upsert, { collectionName: nowhere, points: [good] }),
      client.call(query, { collectionName: nowhere, query: nearest(1) }),
      client.call(search, { collectionName: nowhere, vector: [1], limit: 1n }),
      client.call(scroll, { collectionName: nowhere }),
      client.call(get, { collectionName: nowhere, ids }),
      client.call(count, { collectionName: nowhere }),
      client.call(setPayload, { collectionName: nowhere, payload: { a: text("x") }, pointsSelector: byIds(1) }),
      client.call(Points.method.overwritePayload, { collectionName: nowhere, pointsSelector: byIds(1) }),
      client.call(Points.method.deletePayload, { collectionName: nowhere, keys: ["a"], pointsSelector: byIds(1) }),
      client.call(Points.method.clearPayload, { collectionName: nowhere, points: byIds(1) }),
      client.call(Points.method.delete, { collectionName: nowhere, points: byIds(1) }),
      client.call(updateVectors, { collectionName: nowhere, points: [{ id: num(1), vectors: dense(1) }] }),
      client.call(Points.method.deleteVectors, {
        collectionName: nowhere,
        pointsSelector: byIds(1),
        vectors: { names: [""] },
      }),
      client.call(Points.method.createFieldIndex, { collectionName: nowhere, fieldName: "a", fieldType: 0 }),
      client.call(Collections.method.get, { collectionName: nowhere }),
      client.call(Collections.method.update, { collectionName: nowhere }),
      client.download(Ingest.method.scroll, { collectionName: nowhere }).next(),
    ];
    for (const error of await Promise.all(calls.map(failure))) {
      expect(error).toMatchObject({
        code: status.NOT_FOUND,
        details: "Not found: Collection `nowhere` doesn't exist!",
      });
    }
  });

  test("a collection that is there already keeps its points", async () => {
    const before = await stored();
    const params = { case: "params" as const, value: { size: 9n, distance: Distance.Cosine } };
    const error = await failure(client.call(create, { collectionName, vectorsConfig: { config: params } }));
    expect(error).toMatchObject({
      code: status.ALREADY_EXISTS,
      details: `Wrong input: Collection \`${collectionName}\` already exists!`,
    });
    expect(await stored()).toBe(before);
  });

  test.each([0n, 65_537n, 2n ** 63n])("a collection of %s dimensions", async (size) => {
    const params = { case: "params" as const, value: { size, distance: Distance.Dot } };
    const error = await failure(client.call(create, { collectionName: "odd", vectorsConfig: { config: params } }));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(`${error.details} ${error.info}`).toContain("size");
    expect((await client.call(Collections.method.collectionExists, { collectionName: "odd" })).result?.exists).toBe(
      false,
    );
  });

  test.each(["../up", "..", ".", "a/b", "/etc/passwd", "..\\up", "a\0b", "", "x".repeat(256), "C:up", "a\nb"])(
    "the name %j leaves the data folder alone",
    async (name) => {
      const outside = dirname(server.dataDir);
      const params = { case: "params" as const, value: { size: 2n, distance: Distance.Dot } };
      const error = await failure(client.call(create, { collectionName: name, vectorsConfig: { config: params } }));
      expect(error.code).toBe(status.INVALID_ARGUMENT);
      expect(error.details).toContain("collection_name");
      const alias = { case: "createAlias" as const, value: { collectionName, aliasName: name } };
      const refused = await failure(client.call(Collections.method.updateAliases, { actions: [{ action: alias }] }));
      expect(refused.code).toBe(status.INVALID_ARGUMENT);
      expect(readdirSync(outside)).toEqual(["data"]);
      const calls = [
        client.call(Collections.method.get, { collectionName: name }),
        client.call(upsert, { collectionName: name, points: [good] }),
      ];
      for (const { code } of await Promise.all(calls.map(failure))) {
        expect([status.NOT_FOUND, status.INVALID_ARGUMENT]).toContain(code);
      }
      expect((await client.call(Collections.method.list, {})).collections.map((one) => one.name)).not.toContain(name);
    },
  );

  test("keys of a request and in the metadata", async () => {
    const before = await stored();
    const request = { collectionName, wait: true, points: [{ ...good, payload: { a: text("x") } }] };
    const whole = await failure(client.call(upsert, { ...request, publicKey: offCurve }));
    expect(whole).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/public_key.*not on the curve|not on the curve.*public_key/),
    });
    const header = await failure(client.call(upsert, request, { "x-seal-public-key": xOnly }));
    expect(header).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringMatching(/X-only/) });
    expect(`${header.details} ${header.info}`).toMatch(/public.key/);
    for (const error of [whole, header]) expect(error.details).not.toContain(xOnly);
    const update = {
      collectionName,
      wait: true,
      payload: { b: text("x") },
      pointsSelector: byIds(1),
      publicKey: otherCurve,
    };
    expect((await failure(client.call(setPayload, update))).details).toMatch(/P-256/);
    expect(await stored()).toBe(before);
  });

  test("partial updates and batches", async () => {
    const before = await stored();
    const wait = true;
    const vectors = await failure(
      client.call(updateVectors, { collectionName, wait, points: [{ id: num(1), vectors: dense(1, 2) }] }),
    );
    expect(vectors).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/expected dim: 4, got 2$/),
    });
    expect(vectors.info).toContain("points[0].vectors");
    const missing = await failure(
      client.call(setPayload, { collectionName, wait, payload: { a: text("x") }, pointsSelector: byIds(98, 99) }),
    );
    expect(missing).toMatchObject({ code: status.NOT_FOUND, details: "Not found: No point with id 98 found" });
    const unselected = await failure(client.call(setPayload, { collectionName, wait, payload: { a: text("x") } }));
    expect(unselected.code).toBe(status.INVALID_ARGUMENT);
    const path = await failure(
      client.call(setPayload, {
        collectionName,
        wait,
        payload: { a: text("x") },
        pointsSelector: byIds(1),
        key: "a..b[",
      }),
    );
    expect(path.code).toBe(status.INVALID_ARGUMENT);
    const batch = await failure(
      client.call(updateBatch, {
        collectionName,
        wait,
        operations: [
          { operation: { case: "upsert", value: { points: [{ ...good, id: num(1), vectors: dense(1) }] } } },
          { operation: { case: "clearPayload", value: { points: byIds(1) } } },
        ],
      }),
    );
    expect(batch).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/expected dim: 4, got 1/),
    });
    expect(await stored()).toBe(before);
  });

  test("questions", async () => {
    const ask = (request: object) => failure(client.call(query, { collectionName, ...request } as never));
    for (const [request, words] of [
      [{ query: nearest(1, 2) }, /expected dim: 4, got 2/],
      [{ query: nearest(1, 2, Number.NaN, 4) }, /finite/],
      [{ query: nearest(Number.POSITIVE_INFINITY, 2, 3, 4) }, /finite/],
      [{ query: nearest() }, /empty|expected dim: 4, got 0/],
      [{ query: nearest(1, 2, 3, 4), using: "nowhere" }, /nowhere/],
      [{ query: nearest(1, 2, 3, 4), limit: 0n }, /limit/],
      [{ query: { variant: { case: "nearest", value: { variant: { case: "id", value: uuid("nope") } } } } }, uuidWords],
    ] as const) {
      const error = await ask(request);
      expect([error.code, error.details]).toEqual([status.INVALID_ARGUMENT, expect.stringMatching(words)]);
    }
    let filter: object = { must: [keyword("a", "b")] };
    for (let i = 0; i < 200; i++) filter = { must: [{ conditionOneOf: { case: "filter", value: filter } }] };
    const calls: Promise<unknown>[] = [
      client.call(query, { collectionName, query: nearest(1, 2, 3, 4), filter }),
      client.call(count, { collectionName, filter }),
      client.call(scroll, { collectionName, filter }),
      client.call(Points.method.delete, {
        collectionName,
        wait: true,
        points: { pointsSelectorOneOf: { case: "filter", value: filter } },
      }),
    ];
    for (const error of await Promise.all(calls.map(failure))) {
      expect(error.code).toBe(status.INVALID_ARGUMENT);
      expect(error.details).toMatch(/filter|nested too deep|recursion depth/i);
    }
    expect((await failure(client.call(get, { collectionName, ids: [uuid("x")] }))).details).toMatch(uuidWords);
    expect((await failure(client.call(scroll, { collectionName, offset: uuid("x") }))).details).toMatch(uuidWords);
    expect((await failure(client.call(scroll, { collectionName, limit: 0 }))).code).toBe(status.INVALID_ARGUMENT);
    expect(await countOf(client, collectionName)).toBe(1);
  });

  test("a stream's bad points are refused one by one, its good ones stored", async () => {
    const stream = client.bidi(Ingest.method.bulkUpsert);
    stream.send({ message: { case: "start", value: { collectionName, streamId: "bad" } } });
    await stream.next();
    const points = [
      { ...good, id: num(2) },
      { ...good, id: num(3), vectors: dense(1) },
      { ...good, id: uuid("nope") },
      { ...good, id: num(5), publicKey: offCurve },
      { ...good, id: num(6), payload: { n: integer(1) } },
    ];
    stream.send({ message: { case: "chunk", value: { sequence: 1n, points } } });
    stream.end();
    const message = (await stream.next())?.message;
    if (message?.case !== "ack") throw new Error("no acknowledgement");
    expect(message.value.pointsApplied).toBe(2);
    expect(message.value.refused.map((one) => [one.index, one.code, one.message])).toEqual([
      [1, status.INVALID_ARGUMENT, expect.stringMatching(/expected dim: 4, got 1/)],
      [2, status.INVALID_ARGUMENT, expect.stringMatching(uuidWords)],
      [3, status.INVALID_ARGUMENT, expect.stringMatching(/not on the curve/)],
    ]);
    expect(await countOf(client, collectionName)).toBe(3);
  });
});

describe("a host other than loopback", () => {
  const run = promisify(execFile);
  const serve = (env: Record<string, string>, ...more: string[]) => {
    const folder = mkdtempSync(join(tmpdir(), "sealpoint-host-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const args = [launcher, "serve", "--data-dir", folder, "--grpc-port", "0", "--http-port", "0", ...more];
    return run(process.execPath, args, { env: { ...process.env, ...env }, timeout: 20_000 }).then(
      () => {
        throw new Error("it served");
      },
      (error: { code: number; stderr: string; killed: boolean }) => error,
    );
  };

  test.each(["0.0.0.0", "::", "192.0.2.1"])("%s is refused without an API key and TLS", async (host) => {
    const error = await serve({}, "--host", host);
    expect([error.killed, error.code]).toEqual([false, 1]);
    expect(error.stderr).toMatch(/SEALPOINT_API_KEY/);
    expect(error.stderr).toMatch(/SEALPOINT_TLS_CERT/);
    expect(error.stderr).toMatch(/--insecure/);
  });

  test("is refused with an API key alone, which is not shown", async () => {
    const error = await serve({ SEALPOINT_API_KEY: "a-long-enough-api-key-for-tests-0123456789" }, "--host", "0.0.0.0");
    expect([error.killed, error.code]).toEqual([false, 1]);
    expect(error.stderr).toMatch(/TLS/);
    expect(error.stderr).not.toContain("a-long-enough");
  });
});
