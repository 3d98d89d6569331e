/** Batches whose parts name different shard keys, against a server that is a cluster of one. */
import { create, toBinary } from "@bufbuild/protobuf";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { QueryBatchPointsSchema } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Inference, type InferenceProvider } from "../../src/inference/index.ts";
import { generateKeyPair } from "../../src/seal/index.ts";
import { batchCutter, decodeQueryBatchPoints } from "../../src/wire/index.ts";
import { startTestServer, type TestServer } from "./server.ts";

const provider: InferenceProvider = {
  embed: async (inputs) => ({
    vectors: inputs.map(() => Float32Array.of(1)),
    usage: new Map(inputs.map(({ input }) => [input.model, 5])),
  }),
};
let slowMs = 0;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    cluster: true,
    inference: new Inference(provider),
    wrap: (engine) => ({
      ...engine,
      async queryBatch(...given) {
        await new Promise((resolve) => setTimeout(resolve, slowMs));
        return engine.queryBatch(...given);
      },
    }),
  });
  const config = { case: "params" as const, value: { size: 1n, distance: 3 } };
  await server.call(Collections.method.create, { ...at, vectorsConfig: { config }, shardingMethod: 1 });
  for (const key of ["a", "b"]) {
    await server.call(Collections.method.createShardKey, { ...at, request: { shardKey: keyOf(key) } });
  }
  await server.call(Points.method.updateBatch, { ...written, operations: [upsert(1, "a"), upsert(2, "b")] });
});
afterAll(() => server.close());

const at = { collectionName: "shards" };
const written = { ...at, wait: true };
const keyOf = (key: string) => ({ key: { case: "keyword" as const, value: key } });
const inShard = (key: string) => ({ shardKeySelector: { shardKeys: [keyOf(key)] } });
const num = (id: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(id) } });
const words = { variant: { case: "document" as const, value: { text: "text", model: "any" } } };
const ofModel = {
  vectorsOptions: {
    case: "vector" as const,
    value: { vector: { case: "document" as const, value: words.variant.value } },
  },
};
const dense = { vectorsOptions: { case: "vector" as const, value: { data: [1] } } };
const upsert = (id: number, key: string, change: object = {}, vectors: object = dense) => ({
  operation: {
    case: "upsert" as const,
    value: { points: [{ id: num(id), vectors }], ...inShard(key), ...change } as never,
  },
});
const n = (value: bigint) => ({
  must: [
    {
      conditionOneOf: {
        case: "field" as const,
        value: { key: "n", match: { matchValue: { case: "integer" as const, value } } },
      },
    },
  ],
});
const setWhere = (key: string) => ({
  operation: {
    case: "setPayload" as const,
    value: {
      payload: {},
      pointsSelector: { pointsSelectorOneOf: { case: "filter" as const, value: n(1n) } },
      ...inShard(key),
    } as never,
  },
});
const countIn = async (key: string) =>
  Number((await server.call(Points.method.count, { ...at, ...inShard(key) })).result?.count);
const refusal = (promise: Promise<unknown>): Promise<ServiceError> =>
  promise.then(
    () => Promise.reject(new Error("it was not refused")),
    (error: ServiceError) => error,
  );
const tokens = (answer: { usage?: { inference?: { models: Record<string, { tokens: bigint }> } } }) =>
  answer.usage?.inference?.models.any?.tokens;
const skipped = "x-sealpoint-sealed-skipped";

describe("a batch of updates", () => {
  test("is refused as a whole for a key of its last operation", async () => {
    const { updateBatch } = Points.method;
    const bad = [
      [upsert(10, "nowhere"), 'Wrong input: Shard key "nowhere" not found'],
      [upsert(10, "b", { publicKey: "no key" }), "operations[1].upsert.public_key"],
      [
        { operation: { case: "upsert" as const, value: { points: [{ id: num(10), vectors: dense }] } } },
        "Wrong input: Shard key not specified",
      ],
    ] as const;
    for (const [last, text] of bad) {
      const error = await refusal(
        server.call(updateBatch, { ...written, operations: [upsert(9, "a"), last as never] }),
      );
      expect([error.code, error.details]).toEqual([status.INVALID_ARGUMENT, expect.stringContaining(text)]);
    }
    expect([await countIn("a"), await countIn("b")]).toEqual([1, 1]);
  });

  test("tells the usage and the sealed points of all its operations", async () => {
    const operations = [upsert(1, "a", {}, ofModel), upsert(2, "b", {}, ofModel), setWhere("a"), setWhere("b")];
    const publicKey = generateKeyPair().publicKeyPem;
    await server.call(Points.method.updateBatch, { ...written, operations: [upsert(3, "b", { publicKey })] });
    const answer = await server.call(Points.method.updateBatch, { ...written, operations });
    expect([answer.result.length, tokens(answer), answer.headers.get(skipped)]).toEqual([4, 10n, ["2"]]);
    expect([await countIn("a"), await countIn("b")]).toEqual([1, 2]);
  });
});

describe("a batch of queries", () => {
  const query = (key: string) => ({
    ...at,
    query: { variant: { case: "nearest" as const, value: words } },
    ...inShard(key),
  });

  test("answers in its order, with the usage and the sealed points of all", async () => {
    const queryPoints = [query("b"), { ...query("a"), filter: n(1n) }, query("a"), { ...query("b"), filter: n(1n) }];
    const answer = await server.call(Points.method.queryBatch, { ...at, queryPoints });
    expect(answer.result.map(({ result }) => result.map(({ id }) => Number(id?.pointIdOptions.value)))).toEqual([
      [2, 3],
      [],
      [1],
      [],
    ]);
    expect([tokens(answer), answer.headers.get(skipped)]).toEqual([15n, ["2"]]);
    expect(answer.time).toBeGreaterThan(0);
  });

  test("is no more searches than strict mode allows in one", async () => {
    const { update } = Collections.method;
    await server.call(update, { ...at, strictModeConfig: { enabled: true, searchMaxBatchsize: 1n } });
    try {
      const queryPoints = [query("a"), query("b")];
      const { details } = await refusal(server.call(Points.method.queryBatch, { ...at, queryPoints }));
      expect(details).toMatch('Limit exceeded 2 > 1 for "search batch size"');
    } finally {
      await server.call(update, { ...at, strictModeConfig: { enabled: false } });
    }
  });

  test("has one timeout", async () => {
    slowMs = 700;
    try {
      const queryPoints = [query("a"), query("b")];
      const error = await refusal(server.call(Points.method.queryBatch, { ...at, queryPoints, timeout: 1n }));
      expect([error.code, error.details]).toEqual([
        status.DEADLINE_EXCEEDED,
        expect.stringContaining("timed out after 1 seconds"),
      ]);
    } finally {
      slowMs = 0;
    }
  });

  test("is cut where the keys change, and left as it is where they do not", () => {
    const cut = batchCutter(QueryBatchPointsSchema, "queryPoints");
    const bytesOf = (...keys: (string | undefined)[]) => {
      const queryPoints = keys.map((key, i) => ({
        ...at,
        limit: BigInt(i + 1),
        ...(key === undefined ? {} : inShard(key)),
      }));
      return toBinary(QueryBatchPointsSchema, create(QueryBatchPointsSchema, { ...at, queryPoints, timeout: 5n }));
    };
    for (const bytes of [bytesOf(), bytesOf(undefined, undefined), bytesOf("a", "a"), Uint8Array.of(0x12, 0x7f)]) {
      expect(cut(bytes).pieces.map((piece) => piece.bytes === bytes)).toEqual([true]);
    }
    const { collection, parts, pieces } = cut(bytesOf("a", "a", "b", undefined));
    expect([collection, parts]).toEqual(["shards", 4]);
    const limitsOf = (bytes: Uint8Array) =>
      decodeQueryBatchPoints(bytes).searches.map((one) => ("request" in one ? one.request.limit : one.limit));
    expect(pieces.map(({ selection, bytes }) => [selection?.keys, limitsOf(bytes)])).toEqual([
      [["a"], [1, 2]],
      [["b"], [3]],
      [undefined, [4]],
    ]);
  });
});
