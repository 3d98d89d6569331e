/** Qdrant's services over a socket and the embedded engine, with Qdrant's words for what is wrong. */
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CollectionStatus, Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { UpdateStatus } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Qdrant } from "../../gen/qdrant/qdrant_pb.js";
import { SealingMode } from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { Sealing } from "../../gen/sealpoint/v1/sealing_pb.js";
import { generateKeyPair } from "../../src/seal/index.ts";
import { startTestServer, type TestServer } from "./server.ts";

const points = Points.method;
const collections = Collections.method;
const num = (value: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(value) } });
const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
const integer = (value: number) => ({ kind: { case: "integerValue" as const, value: BigInt(value) } });
const dense = (...data: number[]) => ({
  vectorsOptions: { case: "vector" as const, value: { vector: { case: "dense" as const, value: { data } } } },
});
const nearest = (...data: number[]) => ({
  variant: { case: "nearest" as const, value: { variant: { case: "dense" as const, value: { data } } } },
});
const enable = { selectorOptions: { case: "enable" as const, value: true } };
const keyword = (key: string, value: string) => ({
  conditionOneOf: {
    case: "field" as const,
    value: { key, match: { matchValue: { case: "keyword" as const, value } } },
  },
});

const skipped = "x-sealpoint-sealed-skipped";

let server: TestServer;
let made = 0;

async function makeCollection(size = 2): Promise<string> {
  const collectionName = `api-${++made}`;
  await server.call(collections.create, {
    collectionName,
    vectorsConfig: { config: { case: "params", value: { size: BigInt(size), distance: Distance.Dot } } },
  });
  return collectionName;
}

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

async function refusal(promise: Promise<unknown>): Promise<ServiceError> {
  return promise.then(
    () => {
      throw new Error("it was accepted");
    },
    (error: ServiceError) => error,
  );
}

async function failure(promise: Promise<unknown>): Promise<{ code: number; details: string }> {
  const { code, details } = await refusal(promise);
  return { code, details };
}

/** Beside the text google.rpc.Status, whose strings can be read among its bytes. */
async function wholeFailure(promise: Promise<unknown>): Promise<{ code: number; details: string; status: string }> {
  const { code, details, metadata } = await refusal(promise);
  return { code, details, status: String(metadata.get("grpc-status-details-bin")[0]) };
}

describe("collections", () => {
  test("are made, described with Qdrant's defaults, changed and deleted", async () => {
    const collectionName = "described";
    await server.call(collections.create, {
      collectionName,
      hnswConfig: { m: 24n, payloadM: 8n },
      optimizersConfig: { deletedThreshold: 0.4 },
      vectorsConfig: { config: { case: "params", value: { size: 3n, distance: Distance.Cosine } } },
      metadata: { owner: text("me") },
    });
    const { result } = await server.call(collections.get, { collectionName });
    expect(result?.status).toBe(CollectionStatus.Green);
    expect(result?.pointsCount).toBe(0n);
    const config = result?.config;
    expect(config?.hnswConfig).toMatchObject({ m: 24n, efConstruct: 100n, fullScanThreshold: 10_000n, payloadM: 8n });
    expect(config?.optimizerConfig).toMatchObject({ deletedThreshold: 0.4, vacuumMinVectorNumber: 1_000n });
    expect(config?.walConfig).toMatchObject({ walCapacityMb: 32n });
    expect(config?.params?.vectorsConfig?.config.value).toMatchObject({ size: 3n, distance: Distance.Cosine });
    expect(config?.params).toMatchObject({ shardNumber: 1, replicationFactor: 1, onDiskPayload: true });
    expect(config?.metadata.owner?.kind.value).toBe("me");

    await server.call(collections.update, { collectionName, optimizersConfig: { flushIntervalSec: 9n } });
    const changed = (await server.call(collections.get, { collectionName })).result?.config?.optimizerConfig;
    expect(changed).toMatchObject({ deletedThreshold: 0.4, flushIntervalSec: 9n });

    expect((await server.call(collections.collectionExists, { collectionName })).result?.exists).toBe(true);
    expect((await server.call(collections.delete, { collectionName })).result).toBe(true);
    expect((await server.call(collections.delete, { collectionName })).result).toBe(false);
    expect((await server.call(collections.collectionExists, { collectionName })).result?.exists).toBe(false);
  });

  test("have aliases", async () => {
    const collectionName = await makeCollection();
    await server.call(collections.updateAliases, {
      actions: [{ action: { case: "createAlias", value: { collectionName, aliasName: "other" } } }],
    });
    const { aliases } = await server.call(collections.listCollectionAliases, { collectionName });
    expect(aliases.map((alias) => alias.aliasName)).toEqual(["other"]);
    // Who deletes by an alias does not mean what it points to.
    expect((await server.call(collections.delete, { collectionName: "other" })).result).toBe(false);
    expect((await server.call(collections.collectionExists, { collectionName })).result?.exists).toBe(true);
    expect((await server.call(collections.get, { collectionName: "other" })).result?.pointsCount).toBe(0n);
  });

  test.each([
    ["", /collection_name: value "" invalid, must be from 1 to 255 characters/],
    ["x".repeat(256), /must be from 1 to 255 characters/],
    ["../escape", /collection name cannot contain "\/" char/],
    ["..", /cannot contain/],
    ["a\u0000b", /cannot contain/],
  ])("refuse the name %j", async (collectionName, words) => {
    const config = { case: "params" as const, value: { size: 2n, distance: Distance.Dot } };
    const error = await failure(server.call(collections.create, { collectionName, vectorsConfig: { config } }));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.details).toMatch(words);
  });

  test("say what is wrong with a configuration", async () => {
    const vectorsConfig = (size: bigint, distance: Distance) => ({
      config: { case: "params" as const, value: { size, distance } },
    });
    const attempt = (request: object) =>
      failure(server.call(collections.create, { collectionName: "bad", ...request }));
    const zero = await attempt({ vectorsConfig: vectorsConfig(0n, Distance.Dot) });
    expect(zero.details).toBe(
      "Validation error in body: [vectors_config.params.size: value 0 invalid, must be from 1 to 65536]",
    );
    expect((await attempt({ vectorsConfig: vectorsConfig(2n, Distance.UnknownDistance) })).code).toBe(
      status.INVALID_ARGUMENT,
    );
    const params = { size: 2n, distance: Distance.Dot, multivectorConfig: { comparator: 7 } };
    const multi = await attempt({ vectorsConfig: { config: { case: "params" as const, value: params } } });
    expect(multi).toEqual({ code: status.INVALID_ARGUMENT, details: expect.stringContaining("comparator") });
    const existing = await makeCollection();
    const twice = await failure(
      server.call(collections.create, { collectionName: existing, vectorsConfig: vectorsConfig(2n, Distance.Dot) }),
    );
    expect(twice).toEqual({
      code: status.ALREADY_EXISTS,
      details: `Wrong input: Collection \`${existing}\` already exists!`,
    });
  });
});

describe("points", () => {
  test("are written, found, listed, counted, changed and deleted", async () => {
    const collectionName = await makeCollection();
    const upsert = {
      collectionName,
      wait: true,
      points: [1, 2, 3, 4].map((n) => ({
        id: num(n),
        vectors: dense(n, 1),
        payload: { word: text(n % 2 === 0 ? "even" : "odd"), n: integer(n) },
      })),
    };
    const written = await server.call(points.upsert, upsert);
    expect(written.result).toMatchObject({ status: UpdateStatus.Completed, operationId: expect.any(BigInt) });
    expect(written.time).toBeGreaterThan(0);
    const unwaited = await server.call(points.upsert, { ...upsert, wait: undefined });
    expect(unwaited.result?.status).toBe(UpdateStatus.Acknowledged);

    const found = await server.call(points.query, {
      collectionName,
      query: nearest(1, 0),
      limit: 2n,
      withPayload: enable,
      withVectors: enable,
    });
    expect(found.result.map((point) => [point.id?.pointIdOptions.value, point.score])).toEqual([
      [4n, 4],
      [3n, 3],
    ]);
    expect(found.result[0]?.payload).toMatchObject({ word: { kind: { value: "even" } }, n: { kind: { value: 4n } } });
    const { vectorsOptions } = found.result[0]?.vectors ?? {};
    expect(vectorsOptions?.case === "vector" && vectorsOptions.value.vector.value).toMatchObject({ data: [4, 1] });
    expect(vectorsOptions?.case === "vector" && vectorsOptions.value.data).toEqual([]);

    const filter = { must: [keyword("word", "odd")] };
    const searched = await server.call(points.search, { collectionName, vector: [1, 0], limit: 10n, filter });
    expect(searched.result.map((point) => point.id?.pointIdOptions.value)).toEqual([3n, 1n]);
    expect(searched.result[0]?.payload).toEqual({});
    const batch = await server.call(points.queryBatch, {
      collectionName,
      queryPoints: [
        { collectionName, query: nearest(1, 0), limit: 1n },
        { collectionName, limit: 2n, offset: 1n },
      ],
    });
    expect(batch.result.map(({ result }) => result.map((point) => point.id?.pointIdOptions.value))).toEqual([
      [4n],
      [2n, 3n],
    ]);
    expect((await server.call(points.count, { collectionName, filter })).result?.count).toBe(2n);

    const page = await server.call(points.scroll, { collectionName, limit: 3 });
    expect(page.result).toHaveLength(3);
    expect(page.nextPageOffset?.pointIdOptions.value).toBe(4n);
    expect(Object.keys(page.result[0]?.payload ?? {}).sort()).toEqual(["n", "word"]);

    const batchUpdate = await server.call(points.updateBatch, {
      collectionName,
      wait: true,
      operations: [
        {
          operation: {
            case: "setPayload",
            value: {
              payload: { extra: text("yes") },
              pointsSelector: { pointsSelectorOneOf: { case: "points", value: { ids: [num(1)] } } },
            },
          },
        },
        {
          operation: {
            case: "deletePoints",
            value: { points: { pointsSelectorOneOf: { case: "filter", value: { must: [keyword("word", "even")] } } } },
          },
        },
      ],
    });
    expect(batchUpdate.result).toHaveLength(2);
    const got = await server.call(points.get, {
      collectionName,
      ids: [num(3), num(1), num(2), num(3)],
      withPayload: enable,
    });
    expect(got.result.map((point) => point.id?.pointIdOptions.value)).toEqual([3n, 1n]);
    expect(got.result[1]?.payload.extra?.kind.value).toBe("yes");

    await server.call(points.createFieldIndex, { collectionName, wait: true, fieldName: "n", fieldType: 1 });
    const schema = (await server.call(collections.get, { collectionName })).result?.payloadSchema;
    expect(schema?.n).toMatchObject({ dataType: 2, points: 2n });
  });

  test("are refused in Qdrant's words, and nothing is stored", async () => {
    const collectionName = await makeCollection(4);
    const upsert = (...all: object[]) =>
      wholeFailure(server.call(points.upsert, { collectionName, wait: true, points: all as never }));
    const good = { id: num(1), vectors: dense(1, 2, 3, 4) };
    const short = await upsert(good, { id: num(7), vectors: dense(1, 2, 3) });
    expect(short.code).toBe(status.INVALID_ARGUMENT);
    expect(short.details).toBe("Wrong input: Vector dimension error: expected dim: 4, got 3");
    expect(short.status).toContain("points[1].vectors");
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect((await upsert(good, { id: num(7), vectors: dense(1, bad, 3, 4) })).details).toMatch(
        /not finite.*points\[1\]/,
      );
    }
    const none = await upsert({ id: num(7), vectors: dense() });
    expect(none.details).toBe("Wrong input: Vector dimension error: expected dim: 4, got 0");
    expect(none.status).toContain("points[0].vectors");
    const uuid = { pointIdOptions: { case: "uuid" as const, value: "not-a-uuid" } };
    expect((await upsert(good, { id: uuid, vectors: dense(1, 2, 3, 4) })).details).toMatch(/^Unable to parse UUID: /);
    expect((await upsert({ vectors: dense(1, 2, 3, 4) })).details).toBe("Empty ID is not allowed");
    const named = { vectorsOptions: { case: "vectors" as const, value: { vectors: { foo: { data: [1] } } } } };
    expect(await upsert({ id: num(1), vectors: named })).toMatchObject({
      details: "Wrong input: Not existing vector name error: foo",
      status: expect.stringContaining("points[0].vectors.foo"),
    });
    expect((await upsert()).details).toBe("Wrong input: Empty update request");
    expect((await server.call(points.count, { collectionName })).result?.count).toBe(0n);

    const mode = failure(
      server.call(points.upsert, { collectionName, points: [{ id: num(1) }], updateMode: 7 as never }),
    );
    expect(await mode).toEqual({ code: status.INVALID_ARGUMENT, details: "update_mode: unknown mode 7" });
    const unknown = failure(server.call(points.query, { collectionName: "nowhere", query: nearest(1) }));
    expect(await unknown).toEqual({
      code: status.NOT_FOUND,
      details: "Not found: Collection `nowhere` doesn't exist!",
    });
    const zero = failure(server.call(points.query, { collectionName, query: nearest(1, 2, 3, 4), limit: 0n }));
    expect((await zero).details).toBe("Validation error in body: [limit: value 0 invalid, must be 1 or larger]");
    const fusion = failure(
      server.call(points.query, { collectionName, query: { variant: { case: "fusion", value: 0 } } }),
    );
    expect(await fusion).toEqual({
      code: status.INVALID_ARGUMENT,
      details: "Bad request: Fusion queries cannot be used without prefetches",
    });
  });

  test("malformed bytes are bad input, and the server goes on", async () => {
    for (const method of [points.upsert, points.query, points.setPayload, points.updateBatch, collections.create]) {
      const error = await failure(server.callBytes(method, Uint8Array.of(0x0a, 0x7f, 0x01)));
      expect(error.code).toBe(status.INVALID_ARGUMENT);
      expect(error.details).toMatch(/malformed/);
    }
    expect((await server.call(Qdrant.method.healthCheck, {})).title).toBe("qdrant - vector search engine");
  });

  test("a payload nested 1,000 deep is refused with a name", async () => {
    const collectionName = await makeCollection();
    let value: object = { kind: { case: "boolValue", value: true } };
    for (let i = 0; i < 1_000; i++) value = { kind: { case: "listValue", value: { values: [value] } } };
    const request = {
      collectionName,
      wait: true,
      points: [{ id: num(1), vectors: dense(1, 2), payload: { deep: value } }],
    };
    const error = await failure(server.call(points.upsert, request as never));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.details).toMatch(/deep/);
    expect((await server.call(points.count, { collectionName })).result?.count).toBe(0n);
  });
});

describe("others", () => {
  test("a new shard key is refused in Qdrant's words", async () => {
    const error = await failure(server.call(Collections.method.createShardKey, { collectionName: "x" }));
    expect(error).toEqual({ code: status.UNIMPLEMENTED, details: "Qdrant is running in standalone mode" });
  });

  test("a collection made without a policy: plain clients work, what brings a key is sealed", async () => {
    const collectionName = await makeCollection();
    const { state } = await server.call(Sealing.method.getPolicy, { collectionName });
    expect(state?.policy).toMatchObject({ mode: SealingMode.OPTIONAL, recipients: [], clearFields: [] });
    const payload = { secret: text("hidden") };
    const plain = { collectionName, wait: true, points: [{ id: num(1), vectors: dense(1, 2), payload }] };
    const query = { collectionName, filter: { must: [keyword("secret", "hidden")] } };
    await server.call(points.upsert, plain);
    expect((await server.call(points.query, query)).headers.get(skipped)).toEqual([]);
    const publicKey = generateKeyPair().publicKeyPem;
    const keyed = { ...plain, points: [2, 3].map((id) => ({ ...plain.points[0], id: num(id), publicKey })) };
    await server.call(points.upsert, keyed);
    const got = await server.call(points.get, { collectionName, ids: [num(1), num(2)], withPayload: enable });
    expect(got.result.map((point) => Object.keys(point.payload))).toEqual([["secret"], ["$sealpoint"]]);

    const found = await server.call(points.query, query);
    expect(found.result.map((point) => point.id)).toMatchObject([num(1)]);
    expect(found.headers.get(skipped)).toEqual(["2"]);
    // Lists by id in a batch, and past their beginning too.
    const batch = {
      collectionName,
      queryPoints: [
        { ...query, offset: 1n },
        { ...query, query: nearest(1, 2) },
      ],
    };
    expect((await server.call(points.queryBatch, batch)).headers.get(skipped)).toEqual(["4"]);
    expect((await server.call(points.count, query)).headers.get(skipped)).toEqual(["2"]);
    const selector = { pointsSelectorOneOf: { case: "filter" as const, value: query.filter } };
    const cleared = await server.call(points.deletePayload, {
      collectionName,
      wait: true,
      keys: ["secret"],
      pointsSelector: selector,
    });
    expect(cleared.headers.get(skipped)).toEqual(["2"]);

    await server.call(Sealing.method.setPolicy, { collectionName, policy: { mode: SealingMode.OFF } });
    expect(await failure(server.call(points.upsert, keyed))).toEqual({
      code: status.FAILED_PRECONDITION,
      details: expect.stringContaining("policy is off"),
    });
    await server.call(points.upsert, plain);
    const again = await server.call(Sealing.method.setPolicy, { collectionName, policy: {} });
    expect(again.state?.policy?.mode).toBe(SealingMode.OPTIONAL);
  });

  test("a partial update with a key takes the plain value away, on disk too", async () => {
    const collectionName = await makeCollection();
    const one = { id: num(1), vectors: dense(1, 2), payload: { a: text("plain"), b: integer(1) } };
    await server.call(points.upsert, { collectionName, wait: true, points: [one] });
    await server.call(points.setPayload, {
      collectionName,
      wait: true,
      payload: { a: text("sealed") },
      pointsSelector: { pointsSelectorOneOf: { case: "points", value: { ids: [num(1)] } } },
      publicKey: generateKeyPair().publicKeyPem,
    });
    const got = await server.call(points.get, { collectionName, ids: [num(1)], withPayload: enable });
    expect(Object.keys(got.result[0]?.payload ?? {}).sort()).toEqual(["$sealpoint", "b"]);
  });

  test("a limit beyond every answer means all; an offset beyond is refused", async () => {
    const collectionName = await makeCollection();
    const three = [1, 2, 3].map((id) => ({ id: num(id), vectors: dense(id, 1) }));
    await server.call(points.upsert, { collectionName, wait: true, points: three });
    for (const query of [undefined, nearest(1, 1)]) {
      const request = { collectionName, query, limit: (1n << 64n) - 1n, offset: 1n };
      expect((await server.call(points.query, request)).result).toHaveLength(2);
      const beyond = await failure(server.call(points.query, { ...request, offset: 1_000_000n }));
      expect(beyond.details).toMatch(/offset and limit together are more than 1000000/);
    }
  });

  test("a bad key in one operation of a batch: nothing of the batch is written", async () => {
    const collectionName = await makeCollection();
    const upsert = (id: number, publicKey?: string) => ({
      operation: {
        case: "upsert" as const,
        value: { points: [{ id: num(id), vectors: dense(1, 2), payload: {}, publicKey }] },
      },
    });
    const request = { collectionName, wait: true, operations: [upsert(1), upsert(2, "not a key")] };
    expect(await failure(server.call(points.updateBatch, request))).toEqual({
      code: status.INVALID_ARGUMENT,
      details: "operations[1].upsert.points[0].public_key: the public key is not PEM, hex or base64 (for point 2)",
    });
    expect((await server.call(points.count, { collectionName })).result?.count).toBe(0n);
  });

  test("what an update by name changes can be read again", async () => {
    const collectionName = await makeCollection();
    await server.call(collections.update, {
      collectionName,
      vectorsConfig: { config: { case: "paramsMap", value: { map: { "": { onDisk: true } } } } },
    });
    const { result } = await server.call(collections.get, { collectionName });
    expect(result?.config?.params?.vectorsConfig?.config).toMatchObject({ case: "params", value: { onDisk: true } });
  });

  test("a key in the metadata seals, and the policy is told", async () => {
    const collectionName = await makeCollection();
    const { publicKeyPem } = generateKeyPair();
    const { state } = await server.call(Sealing.method.setPolicy, {
      collectionName,
      policy: { mode: SealingMode.REQUIRED, clearFields: ["kind"] },
    });
    expect(state).toMatchObject({ policy: { mode: SealingMode.REQUIRED, clearFields: ["kind"] } });
    expect(state?.sealingId).toHaveLength(16);
    const request = {
      collectionName,
      wait: true,
      points: [{ id: num(1), vectors: dense(1, 2), payload: { secret: text("hidden"), kind: text("note") } }],
    };
    const refused = await failure(server.call(points.upsert, request));
    expect(refused).toEqual({
      code: status.FAILED_PRECONDITION,
      details: expect.stringContaining("EncryptionRequired"),
    });
    const header = publicKeyPem.replace(/-----[^-]+-----|\s/g, "");
    await server.call(points.upsert, request, { "x-seal-public-key": header });
    const got = await server.call(points.get, { collectionName, ids: [num(1)], withPayload: enable });
    expect(Object.keys(got.result[0]?.payload ?? {}).sort()).toEqual(["$sealpoint", "kind"]);
    expect(got.result[0]?.payload.$sealpoint?.kind.case).toBe("listValue");
    expect(await server.call(Sealing.method.countPlain, { collectionName })).toMatchObject({ plain: 0n, total: 1n });
  });
});
