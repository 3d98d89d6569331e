/** Strict mode, timeouts and metadata as callers meet them. */
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { type RawUnaryHandler, rawUnary } from "../../src/api/grpc/call.ts";
import { withTimeouts } from "../../src/api/grpc/handlers/timeouts.ts";
import type { SealedEngine } from "../../src/engine/index.ts";
import { startTestServer, type TestServer } from "./server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

const { create, get, update } = Collections.method;
const { query, upsert, updateBatch, count } = Points.method;
const params = { config: { case: "params" as const, value: { size: 2n, distance: 3 } } };
const vector = (...data: number[]) => ({
  vectorsOptions: { case: "vector" as const, value: { vector: { case: "dense" as const, value: { data } } } },
});
const num = (value: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(value) } });
const city = {
  must: [
    {
      conditionOneOf: {
        case: "field" as const,
        value: { key: "city", match: { matchValue: { case: "keyword" as const, value: "Berlin" } } },
      },
    },
  ],
};

interface Refused {
  readonly code: number;
  readonly details: string;
  readonly metadata: { get(name: string): unknown[] };
}

async function refused(promise: Promise<unknown>): Promise<Refused> {
  return promise.then(
    () => {
      throw new Error("it was not refused");
    },
    (error: Refused) => error,
  );
}

test("limits are refused as INVALID_ARGUMENT, changed by an update, and shown", async () => {
  const collectionName = "limits";
  await server.call(create, {
    collectionName,
    vectorsConfig: params,
    strictModeConfig: { enabled: true, maxQueryLimit: 5, maxTimeout: 2, unindexedFilteringUpdate: false },
  });
  const limit = await refused(server.call(query, { collectionName, limit: 6n }));
  expect([limit.code, limit.details]).toEqual([
    status.INVALID_ARGUMENT,
    'Bad request: Limit exceeded 6 > 5 for "limit". Help: Reduce the "limit" parameter to or below 5.',
  ]);
  await server.call(query, { collectionName, limit: 5n, timeout: 2n });
  for (const call of [query, count as never]) {
    const timeout = await refused(
      server.call(call as typeof query, { collectionName, ...(call === query ? { limit: 5n } : {}), timeout: 3n }),
    );
    expect(timeout.details).toMatch(/^Bad request: Limit exceeded 3 > 2 for "timeout"/);
  }
  const zero = await refused(server.call(query, { collectionName, limit: 5n, timeout: 0n }));
  expect(zero.details).toBe("Validation error in body: [timeout: value 0 invalid, must be 1 or larger]");
  // The whole batch is judged before its first operation is written.
  const batch = await refused(
    server.call(updateBatch, {
      collectionName,
      wait: true,
      operations: [
        {
          operation: {
            case: "upsert",
            value: { points: [{ id: num(1), vectors: vector(1, 2) as never }] },
          },
        },
        {
          operation: {
            case: "deletePoints",
            value: { points: { pointsSelectorOneOf: { case: "filter", value: city } } },
          },
        },
      ],
    } as never),
  );
  expect(batch.details).toMatch(/^Bad request: Index required but not found for "city"/);
  expect((await server.call(count, { collectionName })).result?.count).toBe(0n);

  await server.call(update, { collectionName, strictModeConfig: { maxQueryLimit: 7 } });
  await server.call(query, { collectionName, limit: 6n });
  const shown = (await server.call(get, { collectionName })).result?.config?.strictModeConfig;
  expect(shown).toMatchObject({ enabled: true, maxQueryLimit: 7, maxTimeout: 2, unindexedFilteringUpdate: false });
  const wrong = await refused(server.call(update, { collectionName, strictModeConfig: { maxQueryLimit: 0 } }));
  expect(wrong.details).toBe(
    "Validation error in body: [strict_mode_config.max_query_limit: value 0 invalid, must be 1 or larger]",
  );
});

test("the fast way of an upsert is held to the limits too", async () => {
  const collectionName = "fast";
  await server.call(create, {
    collectionName,
    vectorsConfig: params,
    strictModeConfig: { enabled: true, upsertMaxBatchsize: 1n, writeRateLimit: 3 },
  });
  const points = [1, 2].map((id) => ({ id: num(id), vectors: vector(id, id) }));
  const many = await refused(server.call(upsert, { collectionName, wait: true, points: points as never }));
  expect(many.details).toMatch(/^Bad request: Limit exceeded 2 > 1 for "upsert limit"/);
  let last: Refused | undefined;
  for (let n = 0; n < 4; n++) {
    const [one] = points;
    last = await server.call(upsert, { collectionName, wait: true, points: [one] as never }).then(
      () => undefined,
      (error: Refused) => error,
    );
  }
  expect(last?.code).toBe(status.RESOURCE_EXHAUSTED);
  expect(last?.details).toMatch(/^Rate limiting exceeded: Write rate limit exceeded: Operation requires 1 tokens/);
  expect(Number(last?.metadata.get("retry-after")[0])).toBeGreaterThan(0);
});

test("metadata is kept, merged by an update, and shown", async () => {
  const collectionName = "metadata";
  const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
  await server.call(create, { collectionName, vectorsConfig: params, metadata: { a: text("1"), b: text("2") } });
  await server.call(update, {
    collectionName,
    metadata: { b: text("3"), a: { kind: { case: "nullValue", value: 0 } }, c: text("4") },
  });
  const shown = (await server.call(get, { collectionName })).result?.config?.metadata ?? {};
  expect(Object.fromEntries(Object.entries(shown).map(([key, value]) => [key, value.kind.value]))).toEqual({
    b: "3",
    c: "4",
  });
});

test("a read ends at its timeout, and what it waits for is told", async () => {
  const engine = { admit: async () => undefined } as unknown as SealedEngine;
  let ended: unknown;
  const slow = rawUnary(
    (_bytes, call) =>
      new Promise((_, reject) => {
        call.signal.addEventListener("abort", () => {
          ended = call.signal.reason;
          reject(call.signal.reason);
        });
      }),
  );
  const { table } = withTimeouts({ service: Points as never, table: { query: slow } }, engine);
  const controller = new AbortController();
  const call = { signal: controller.signal } as never;
  const { create: make, toBinary } = await import("@bufbuild/protobuf");
  const bytes = toBinary(query.input, make(query.input, { collectionName: "any", timeout: 1n }));
  const error = await (table.query as RawUnaryHandler).handleBytes(bytes, call).catch((thrown: Error) => thrown);
  expect(error).toMatchObject({
    kind: "timeout",
    message: "Timeout error: Operation 'Query' timed out after 1 seconds",
  });
  expect(ended).toBe(error);
  // The server's own default holds where none is asked for.
  const { table: within } = withTimeouts({ service: Points as never, table: { query: slow } }, engine, 1);
  const plain = toBinary(query.input, make(query.input, { collectionName: "any" }));
  await expect((within.query as RawUnaryHandler).handleBytes(plain, call)).rejects.toMatchObject({ kind: "timeout" });
});
