/** The timeout of a write says how long its caller waits: the write goes on, and the answer says WaitTimeout. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import type { RawUnaryHandler, UnaryHandler } from "../../src/api/grpc/call.ts";
import { bindPoints } from "../../src/api/grpc/handlers/points.ts";
import { withTimeouts } from "../../src/api/grpc/handlers/timeouts.ts";
import { DomainError } from "../../src/core/index.ts";
import type { AdmittedRequest, SealedEngine, WriteOperation, WriteOptions } from "../../src/engine/index.ts";
import { PointsService, QueriesService } from "../../src/services/index.ts";
import { failure } from "../engine/support.ts";

const { deletePoints, upsert, updateBatch, createFieldIndex } = {
  upsert: Points.method.upsert,
  deletePoints: Points.method.delete,
  updateBatch: Points.method.updateBatch,
  createFieldIndex: Points.method.createFieldIndex,
};
const collectionName = "any";
const call = { metadata: () => undefined, setTrailingMetadata: () => undefined } as never;
const ids = (id: bigint) => ({
  pointsSelectorOneOf: {
    case: "points" as const,
    value: { ids: [{ pointIdOptions: { case: "num" as const, value: id } }] },
  },
});

/** An engine whose writes end when the test says so. */
function slowEngine() {
  const admitted: AdmittedRequest[] = [];
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  let operationId = 0n;
  const wait = (what: string) => {
    begun.push(what);
    return new Promise((resolve) => ends.push(() => resolve({ operationId: ++operationId, applied: true })));
  };
  const taken: ((result: object | undefined) => void)[] = [];
  const written: WriteOperation[] = [];
  const engine = {
    admit: async (_: string, request: AdmittedRequest) => void admitted.push(request),
    sealedSkipped: async () => 0,
    write: (_: string, operation: WriteOperation) => {
      written.push(operation);
      return wait(operation.kind);
    },
    writeEncoded: () => new Promise((resolve) => taken.push(resolve)),
    createFieldIndex: (_: string, key: string) => wait(`index ${key}`),
  } as unknown as SealedEngine;
  const points = bindPoints(new PointsService(engine), new QueriesService(engine));
  return { admitted, begun, ends, taken, written, table: withTimeouts(points, engine).table };
}

function raw(table: Readonly<Record<string, unknown>>, name: string) {
  return (table[name] as RawUnaryHandler).handleBytes;
}

test("a write that is not done in time is answered WaitTimeout and goes on", async () => {
  const { admitted, begun, ends, table } = slowEngine();
  const request = { collectionName, wait: true, timeout: 1n, points: ids(1n) };
  const bytes = toBinary(deletePoints.input, create(deletePoints.input, request));
  const begunMs = performance.now();
  const { result } = fromBinary(deletePoints.output, await raw(table, "delete")(bytes, call));
  expect(performance.now() - begunMs).toBeGreaterThan(950);
  expect([result?.status, result?.operationId]).toEqual([4, undefined]);
  expect([begun, admitted]).toEqual([["delete"], [{ timeoutSeconds: 1 }]]);
  ends[0]?.();
});

test("an upsert whose points turn out to need a reader when its caller has been answered is read and written", async () => {
  const { begun, ends, taken, written, table } = slowEngine();
  const point = (n: number) => ({ id: { pointIdOptions: { case: "num" as const, value: BigInt(n) } } });
  const request = { collectionName, wait: true, timeout: 1n, points: [point(1), point(2)] };
  const bytes = toBinary(upsert.input, create(upsert.input, request));
  const { result } = fromBinary(upsert.output, await raw(table, "upsert")(bytes, call));
  expect([result?.status, result?.operationId]).toEqual([4, undefined]);
  expect([taken.length, begun]).toEqual([1, []]);
  taken[0]?.(undefined);
  await expect.poll(() => begun).toEqual(["upsert"]);
  expect(written).toMatchObject([{ kind: "upsert", points: [{ id: 1n }, { id: 2n }] }]);
  // Only now does nothing read the request any more.
  expect(bytes.some((byte) => byte !== 0)).toBe(true);
  ends[0]?.();
  await expect.poll(() => bytes.every((byte) => byte === 0)).toBe(true);
});

test("its two ways share one wait", async () => {
  const { begun, ends, taken, table } = slowEngine();
  const request = {
    collectionName,
    wait: true,
    timeout: 1n,
    points: [{ id: ids(1n).pointsSelectorOneOf.value.ids[0] }],
  };
  const bytes = toBinary(upsert.input, create(upsert.input, request));
  const begunMs = performance.now();
  const answered = raw(table, "upsert")(bytes, call);
  setTimeout(() => taken[0]?.(undefined), 700);
  const { result } = fromBinary(upsert.output, await answered);
  expect(performance.now() - begunMs).toBeLessThan(1_600);
  expect([result?.status, begun]).toEqual([4, ["upsert"]]);
  ends[0]?.();
});

test("in time it is Completed, and who does not wait is answered as ever", async () => {
  const { ends, table } = slowEngine();
  const answer = async (request: object) => {
    const bytes = toBinary(
      deletePoints.input,
      create(deletePoints.input, { collectionName, points: ids(1n), ...request }),
    );
    const answered = raw(table, "delete")(bytes, call);
    await new Promise((resolve) => setTimeout(resolve, 20));
    ends.pop()?.();
    const { result } = fromBinary(deletePoints.output, await answered);
    return [result?.status, result?.operationId];
  };
  expect(await answer({ wait: true, timeout: 5n })).toEqual([2, 1n]);
  expect(await answer({ wait: false, timeout: 5n })).toEqual([1, 2n]);
  const refused = toBinary(deletePoints.input, create(deletePoints.input, { collectionName, timeout: 0n }));
  await expect(raw(table, "delete")(refused, call)).rejects.toMatchObject({
    kind: "bad_input",
    message: "Validation error in body: [timeout: value 0 invalid, must be 1 or larger]",
  });
});

test("of a batch, what stands behind a write that timed out has timed out too, and is written in its order", async () => {
  const { begun, ends, table } = slowEngine();
  const clear = { operation: { case: "clearPayload" as const, value: { points: ids(1n) } } };
  const drop = { operation: { case: "deletePoints" as const, value: { points: ids(2n) } } };
  const request = { collectionName, wait: true, timeout: 1n, operations: [clear, drop, clear] };
  const answered = raw(table, "updateBatch")(toBinary(updateBatch.input, create(updateBatch.input, request)), call);
  await new Promise((resolve) => setTimeout(resolve, 20));
  ends[0]?.();
  const { result } = fromBinary(updateBatch.output, await answered);
  expect(result.map(({ status, operationId }) => [status, operationId])).toEqual([
    [2, 1n],
    [4, undefined],
    [4, undefined],
  ]);
  expect(begun).toEqual(["clear_payload", "delete"]);
  ends[1]?.();
  await expect.poll(() => begun).toEqual(["clear_payload", "delete", "clear_payload"]);
  ends[2]?.();
});

test("of a batch that fails half way nobody hears before what stands is on the disk", async () => {
  const given: { readonly kind: string; readonly options: WriteOptions }[] = [];
  let confirm = (): void => undefined;
  const engine = {
    admit: async () => undefined,
    sealedSkipped: async () => 0,
    write: async (_: string, { kind }: WriteOperation, options: WriteOptions) => {
      given.push({ kind, options });
      if (given.length === 2) throw new DomainError("bad_input", "refused");
      if (given.length === 3) await new Promise<void>((resolve) => (confirm = resolve));
      return { operationId: 1n, applied: true };
    },
  } as unknown as SealedEngine;
  const write = { kind: "clear_payload", selector: { kind: "ids", ids: [1n] } } as const;
  let heard = false;
  const failing = failure(
    new PointsService(engine).writeAll(collectionName, [write, write, write], true).finally(() => {
      heard = true;
    }),
  );
  await expect.poll(() => given.length).toBe(3);
  // The first did not wait for the disk; this one, of nothing, does so for it, and no limit stops it.
  expect(given.map(({ options }) => options.confirmedByNext === true)).toEqual([true, true, false]);
  expect(given[2]).toMatchObject({ kind: "delete", options: { wait: true, continues: true } });
  expect(heard).toBe(false);
  confirm();
  expect(await failing).toMatchObject({ kind: "bad_input" });
  expect(given).toHaveLength(3);
});

test("an index that is not filled in time", async () => {
  const { begun, ends, table } = slowEngine();
  const { handle } = table.createFieldIndex as UnaryHandler<unknown, { result: { status: number } }>;
  const request = { collectionName, fieldName: "city", fieldType: 0, wait: true, timeout: 1n };
  const { result } = await handle(create(createFieldIndex.input, request), call);
  expect(result).toEqual({ operationId: undefined, status: 4 });
  expect(begun).toEqual(["index city"]);
  ends[0]?.();
});
