/** Our writer's bytes, read by the generated code. SEED replays a run. */
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  GetResponseSchema,
  PointsOperationResponseSchema,
  QueryBatchResponseSchema,
  type RetrievedPoint,
  type ScoredPoint,
  ScrollResponseSchema,
  SearchResponseSchema,
  UpdateBatchResponseSchema,
} from "../../gen/qdrant/points_pb.js";
import {
  BulkUpsertResponseSchema,
  ScrollResponseSchema as ScrollPageSchema,
} from "../../gen/sealpoint/v1/ingest_pb.js";
import type { PayloadObject, PointId } from "../../src/core/index.ts";
import {
  encodeBulkAck,
  encodeBulkStarted,
  encodeGetResponse,
  encodePayload,
  encodeScoredBatchResponse,
  encodeScoredResponse,
  encodeScrollPage,
  encodeScrollResponse,
  encodeUpdateResponse,
  type NamedVectors,
  type WireTable,
} from "../../src/wire/index.ts";
import { arbitraryText, seed } from "./fuzz-support.ts";

interface Row {
  readonly id: PointId;
  readonly score: number;
  readonly version: bigint;
  readonly payload: PayloadObject | undefined;
  readonly vectors: readonly (readonly [string, number[]])[] | undefined;
}

const u64 = fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
const id: fc.Arbitrary<PointId> = fc.oneof(u64, fc.uuid());
const float = fc.float({ noNaN: true });
const row: fc.Arbitrary<Row> = fc.record({
  id,
  score: fc.oneof(float, fc.constant(Number.NaN)),
  version: u64,
  payload: fc.option(
    fc.dictionary(arbitraryText, fc.oneof(arbitraryText, fc.boolean(), fc.bigInt({ min: -9n, max: 1n << 40n })), {
      maxKeys: 3,
    }),
    { nil: undefined },
  ),
  vectors: fc.option(
    fc.uniqueArray(fc.tuple(arbitraryText, fc.array(float, { maxLength: 5 })), {
      selector: ([name]) => name,
      maxLength: 3,
    }),
    { nil: undefined },
  ),
});

function tableOf(rows: readonly Row[]): WireTable {
  const at = (index: number) => rows[index] as Row;
  return {
    length: rows.length,
    id: (index) => at(index).id,
    score: (index) => at(index).score,
    version: (index) => at(index).version,
    payload: (index) => {
      const { payload } = at(index);
      return payload === undefined ? undefined : encodePayload(payload);
    },
    vectors: (index): NamedVectors | undefined =>
      at(index).vectors?.map(([name, data]) => [name, Float32Array.from(data)] as const),
  };
}

function seen(point: ScoredPoint | RetrievedPoint) {
  const one = point.vectors?.vectorsOptions;
  const vectors =
    one?.case === "vector"
      ? [["", [...(one.value.vector.value as { data: number[] }).data]]]
      : one?.case === "vectors"
        ? Object.entries(one.value.vectors).map(([name, vector]) => [
            name,
            [...(vector.vector.value as { data: number[] }).data],
          ])
        : [];
  return {
    id: point.id?.pointIdOptions.value,
    payload: new Map(Object.entries(point.payload).map(([key, value]) => [key, value.kind.value] as const)),
    vectors: new Map(vectors as [string, number[]][]),
  };
}

function wanted(one: Row) {
  return {
    id: one.id,
    payload: new Map(Object.entries(one.payload ?? {})),
    vectors: new Map(one.vectors ?? []),
  };
}

const seenScored = (point: ScoredPoint) => ({ ...seen(point), score: point.score, version: point.version });
const wantedScored = (one: Row) => ({
  ...wanted(one),
  score: Number.isNaN(one.score) ? 0 : one.score,
  version: one.version,
});

function read<S extends DescMessage>(schema: S, bytes: Uint8Array): MessageShape<S> {
  const message = fromBinary(schema, bytes);
  expect(message.$unknown).toBeUndefined();
  return message;
}

describe(`answers (seed ${seed})`, () => {
  test("points as the generated code reads them", () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 5 }), fc.double({ noNaN: true, min: 0 }), id, (rows, seconds, next) => {
        const table = tableOf(rows);
        const search = read(SearchResponseSchema, encodeScoredResponse(table, seconds));
        expect(search.result.map(seenScored)).toEqual(rows.map(wantedScored));
        expect(search.time).toBe(seconds);
        const batch = read(QueryBatchResponseSchema, encodeScoredBatchResponse([table, tableOf([]), table], seconds));
        expect(batch.result.map(({ result }) => result.map(seenScored))).toEqual([
          rows.map(wantedScored),
          [],
          rows.map(wantedScored),
        ]);
        const scroll = read(ScrollResponseSchema, encodeScrollResponse(table, next, seconds));
        expect(scroll.result.map(seen)).toEqual(rows.map(wanted));
        expect(scroll.nextPageOffset?.pointIdOptions.value).toBe(next);
        expect(scroll.time).toBe(seconds);
        const end = read(ScrollResponseSchema, encodeScrollResponse(table, undefined, seconds));
        expect(end.nextPageOffset).toBeUndefined();
        expect(read(GetResponseSchema, encodeGetResponse(table, seconds)).result.map(seen)).toEqual(rows.map(wanted));
        expect(read(ScrollPageSchema, encodeScrollPage(table)).points.map(seen)).toEqual(rows.map(wanted));
      }),
      { seed, numRuns: 300 },
    );
  });

  test("long answers are written in slices: the same bytes, and whoever writes meanwhile disturbs nothing", async () => {
    const rows = fc.sample(row, { seed, numRuns: 300 });
    const [table, small] = [tableOf(rows), tableOf(rows.slice(0, 3))];
    let pauses = 0;
    const slices = {
      due: () => true,
      yield: async () => {
        pauses++;
        encodeScoredResponse(small, 1);
      },
    };
    expect(await encodeScoredResponse(table, 2, slices)).toEqual(encodeScoredResponse(table, 2));
    expect(await encodeGetResponse(table, 2, slices)).toEqual(encodeGetResponse(table, 2));
    expect(await encodeScrollPage(table, slices)).toEqual(encodeScrollPage(table));
    expect(await encodeScrollResponse(table, 7n, 2, slices)).toEqual(encodeScrollResponse(table, 7n, 2));
    const batch = [table, small, table];
    expect(await encodeScoredBatchResponse(batch, 2, slices)).toEqual(encodeScoredBatchResponse(batch, 2));
    expect(pauses).toBe(6 * rows.length + 3);
    expect(encodeGetResponse(small, 2, slices)).toEqual(encodeGetResponse(small, 2));
  });

  test("vectors carry the oneof only, and an answer without vectors has no field for them", () => {
    const table = tableOf([
      { id: 1n, score: 1, version: 1n, payload: undefined, vectors: [["", [1, 2]]] },
      { id: 2n, score: 1, version: 1n, payload: undefined, vectors: undefined },
    ]);
    const [first, second] = read(SearchResponseSchema, encodeScoredResponse(table, 0)).result;
    const one = first?.vectors?.vectorsOptions;
    expect(one?.case === "vector" && [one.value.data, one.value.vectorsCount]).toEqual([[], undefined]);
    expect(second?.vectors).toBeUndefined();
  });

  test("results of writes and of streams", () => {
    fc.assert(
      fc.property(
        u64,
        u64,
        fc.boolean(),
        fc.double({ noNaN: true, min: 0 }),
        arbitraryText,
        (a, b, flag, seconds, text) => {
          const outcome = { operationId: a, completed: flag };
          const written = read(PointsOperationResponseSchema, encodeUpdateResponse([outcome], seconds));
          expect(written.result).toMatchObject({ operationId: a, status: flag ? 2 : 1 });
          expect(written.time).toBe(seconds);
          const many = read(UpdateBatchResponseSchema, encodeUpdateResponse([outcome, outcome], seconds));
          expect(many.result).toHaveLength(2);
          const refused = [
            { index: 0, id: a, code: 3, message: text },
            { index: 9, id: undefined, code: 9, message: "" },
          ];
          const ack = { sequence: a, durableSequence: b, applied: flag, pointsApplied: 7, refused };
          const { message } = read(BulkUpsertResponseSchema, encodeBulkAck(ack));
          expect(message).toMatchObject({
            case: "ack",
            value: {
              sequence: a,
              durableSequence: b,
              applied: flag,
              pointsApplied: 7,
              refused: [
                { index: 0, id: { pointIdOptions: { case: "num", value: a } }, code: 3, message: text },
                { index: 9, code: 9, message: "" },
              ],
            },
          });
          expect(read(BulkUpsertResponseSchema, encodeBulkStarted(a, 10_000, 1 << 24)).message.value).toMatchObject({
            lastAppliedSequence: a,
            chunkPointsMax: 10_000,
            bytesInFlightMax: 1n << 24n,
          });
        },
      ),
      { seed, numRuns: 200 },
    );
  });
});
