/** Points as JSON, written natively from their bytes, against what the messages say: random ones, odd numbers and texts, slices, and damage. SEED replays a run. */
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Value } from "../../gen/qdrant/json_with_int_pb.js";
import {
  QueryResponseSchema,
  type RetrievedPoint,
  RetrievedPointSchema,
  type ScoredPoint,
  ScoredPointSchema,
  ScrollResponseSchema,
  type VectorOutput,
  type VectorsOutput,
} from "../../gen/qdrant/points_pb.js";
import { nativeRenderPoints } from "../../src/native/index.ts";
import { payloadText } from "../../src/wire/json/index.ts";
import { arbitraryPayload, arbitraryPointId, arbitraryText, damage, makeRandom, seed } from "./fuzz-support.ts";

const all = 1 << 30;
const float = fc.float({ noNaN: true });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const floats = fc.array(float, { minLength: 1, maxLength: 6 });

const output = fc.oneof(
  floats.map((data) => ({ vector: { case: "dense" as const, value: { data } } })),
  floats.map((values) => ({
    vector: { case: "sparse" as const, value: { values, indices: values.map((_, i) => i * 700_000_000) } },
  })),
  fc.array(floats, { minLength: 1, maxLength: 3 }).map((rows) => ({
    vector: { case: "multiDense" as const, value: { vectors: rows.map((data) => ({ data })) } },
  })),
);
const vectors = fc.oneof(
  output.map((value) => ({ vectorsOptions: { case: "vector" as const, value } })),
  fc
    .dictionary(arbitraryText, output, { maxKeys: 3 })
    .map((named) => ({ vectorsOptions: { case: "vectors" as const, value: { vectors: named } } })),
);
const order = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => ({ variant: { case: "int" as const, value } })),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => ({ variant: { case: "float" as const, value } })),
);
const common = {
  id: arbitraryPointId,
  payload: arbitraryPayload,
  vectors: fc.option(vectors, { nil: undefined }),
  orderValue: fc.option(order, { nil: undefined }),
};

/** What a number's text has to say: `f` and `d` floats of 32 and 64 bits, `i` whole numbers. */
type Shown = readonly ["f" | "d", number] | readonly ["i", bigint];

const shownFloat = (value: number): unknown => (Number.isFinite(value) ? { shown: ["f", value] as Shown } : null);
const shownDouble = (value: number): unknown => (Number.isFinite(value) ? { shown: ["d", value] as Shown } : null);
const shownInteger = (value: bigint): unknown => ({ shown: ["i", value] as Shown });

function ofValue({ kind }: Value): unknown {
  switch (kind.case) {
    case "doubleValue":
      return shownDouble(kind.value);
    case "integerValue":
      return shownInteger(kind.value);
    case "stringValue":
    case "boolValue":
      return kind.value;
    case "structValue":
      return Object.fromEntries(Object.entries(kind.value.fields).map(([key, value]) => [`$${key}`, ofValue(value)]));
    case "listValue":
      return kind.value.values.map(ofValue);
    default:
      return null;
  }
}

function ofOutput({ vector }: VectorOutput): unknown {
  if (vector.case === "dense") return vector.value.data.map(shownFloat);
  if (vector.case === "multiDense") return vector.value.vectors.map(({ data }) => data.map(shownFloat));
  if (vector.case !== "sparse") return [];
  const { indices, values } = vector.value;
  return { $indices: indices.map((index) => shownInteger(BigInt(index))), $values: values.map(shownFloat) };
}

function ofVectors({ vectorsOptions }: VectorsOutput): unknown {
  if (vectorsOptions.case === "vector") return ofOutput(vectorsOptions.value);
  const named = vectorsOptions.case === "vectors" ? Object.entries(vectorsOptions.value.vectors) : [];
  return Object.fromEntries(named.map(([key, value]) => [`$${key}`, ofOutput(value)]));
}

function expected(point: ScoredPoint | RetrievedPoint, payloadShown: boolean): unknown {
  const id = point.id?.pointIdOptions;
  const entries = Object.entries(point.payload);
  const order = point.orderValue?.variant;
  return {
    $id: id?.case === "uuid" ? id.value : shownInteger(id?.case === "num" ? id.value : 0n),
    ...("score" in point ? { $version: shownInteger(point.version), $score: shownFloat(point.score) } : {}),
    ...(payloadShown || entries.length > 0
      ? { $payload: Object.fromEntries(entries.map(([key, value]) => [`$${key}`, ofValue(value)])) }
      : {}),
    ...(point.vectors === undefined ? {} : { $vector: ofVectors(point.vectors) }),
    ...(order === undefined
      ? {}
      : { $order_value: order.case === "float" ? shownDouble(order.value) : shownInteger(order.value ?? 0n) }),
  };
}

/** Parsed, with each number as its text, and `$` before each key so that `__proto__` is one like any other. */
function parsed(text: string): unknown {
  // Every string is taken, so that none is looked for from the end of another.
  const marked = text.replaceAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g, (all, colon) => (colon ? `"$${all.slice(1)}` : all));
  const revive = (_key: string, value: unknown, { source }: { source?: string }): unknown =>
    typeof value === "number" ? { number: source } : value;
  return JSON.parse(marked, revive as (key: string, value: unknown) => unknown);
}

function compare(found: unknown, wanted: unknown): void {
  if (typeof wanted === "object" && wanted !== null && "shown" in wanted) {
    const [kind, value] = wanted.shown as Shown;
    const text = (found as { number: string }).number;
    expect(typeof text).toBe("string");
    if (kind === "i") {
      expect(text).toBe(String(value));
      return;
    }
    expect(text).toMatch(/[.e]/);
    const read = kind === "f" ? Math.fround(Number(text)) : Number(text);
    // The least digits that read back as the same.
    if (kind === "f")
      expect(text.replace(/e.*|[-.]/g, "").length).toBeLessThanOrEqual(Math.abs(value as number) >= 1e9 ? 24 : 16);
    expect(read).toBe(value);
    return;
  }
  if (Array.isArray(wanted)) {
    expect(Array.isArray(found)).toBe(true);
    expect((found as unknown[]).length).toBe(wanted.length);
    for (const [i, one] of wanted.entries()) compare((found as unknown[])[i], one);
    return;
  }
  if (typeof wanted === "object" && wanted !== null) {
    const keys = Object.keys(wanted);
    expect(Object.keys(found as object).sort()).toEqual([...keys].sort());
    for (const key of keys) compare((found as Record<string, unknown>)[key], (wanted as Record<string, unknown>)[key]);
    return;
  }
  expect(found).toEqual(wanted);
}

function render(bytes: Uint8Array, tag: number, scored: boolean, payload: boolean): string {
  const { text, next } = nativeRenderPoints(bytes, 0, bytes.length, tag, { scored, payload }, all);
  expect(next).toBe(bytes.length);
  return `[${text}]`;
}

const scoredPoints = fc.array(fc.record({ ...common, score: float, version: u64 }), { maxLength: 4 });

describe(`points as JSON (seed ${seed})`, () => {
  test("scored points say what their messages say", () => {
    fc.assert(
      fc.property(scoredPoints, fc.boolean(), (init, shown) => {
        const result = init.map((one) => create(ScoredPointSchema, one as never));
        const bytes = toBinary(QueryResponseSchema, create(QueryResponseSchema, { result }));
        compare(
          parsed(render(bytes, 0x0a, true, shown)),
          result.map((point) => expected(point, shown)),
        );
      }),
      { seed, numRuns: 400 },
    );
  });

  test("retrieved points, too", () => {
    fc.assert(
      fc.property(fc.array(fc.record(common), { maxLength: 4 }), fc.boolean(), (init, shown) => {
        const result = init.map((one) => create(RetrievedPointSchema, one as never));
        const bytes = toBinary(ScrollResponseSchema, create(ScrollResponseSchema, { result }));
        compare(
          parsed(render(bytes, 0x12, false, shown)),
          result.map((point) => expected(point, shown)),
        );
      }),
      { seed, numRuns: 400 },
    );
  });

  test("a payload's text is the same as where TypeScript writes it", () => {
    fc.assert(
      fc.property(arbitraryPayload, (payload) => {
        const point = create(RetrievedPointSchema, { payload } as never);
        const bytes = toBinary(ScrollResponseSchema, create(ScrollResponseSchema, { result: [point] }));
        // The entries of a stored payload have the number that the field of a point has.
        const text = payloadText(toBinary(RetrievedPointSchema, point));
        expect(render(bytes, 0x12, false, true)).toBe(`[{"id":0,"payload":${text}}]`);
      }),
      { seed, numRuns: 2_000 },
    );
  });

  test("numbers have the form that JavaScript gives them, and whole ones a fraction", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const result = [create(RetrievedPointSchema, { payload: { k: { kind: { case: "doubleValue", value } } } })];
        const bytes = toBinary(ScrollResponseSchema, create(ScrollResponseSchema, { result }));
        const plain = Object.is(value, -0) ? "-0" : String(value);
        const wanted = Number.isInteger(value) && !plain.includes("e") ? `${plain}.0` : plain;
        expect(render(bytes, 0x12, false, false)).toBe(`[{"id":0,"payload":{"k":${wanted}}}]`);
      }),
      {
        seed,
        numRuns: 2_000,
        examples: [[1e21], [1e20], [123456789012345680000], [1e-6], [1e-7], [-0], [5e-324], [0.1]],
      },
    );
    const score = (value: number): string => {
      const result = [create(ScoredPointSchema, { score: value })];
      return render(toBinary(QueryResponseSchema, create(QueryResponseSchema, { result })), 0x0a, true, false);
    };
    const texts: [number, string][] = [
      [1, "1.0"],
      [0.1, "0.1"],
      [0.70710677, "0.70710677"],
      [-2.5, "-2.5"],
      [16777216, "16777216.0"],
      [1e-7, "1e-7"],
      [3.4028235e38, "3.4028235e+38"],
      [Number.NaN, "null"],
      [Number.POSITIVE_INFINITY, "null"],
    ];
    for (const [value, text] of texts) expect(score(value)).toBe(`[{"id":0,"version":0,"score":${text}}]`);
  });

  test("slices of a list make the whole, and another field ends one", () => {
    const result = Array.from({ length: 50 }, (_, i) =>
      create(RetrievedPointSchema, { id: { pointIdOptions: { case: "num", value: BigInt(i) } } }),
    );
    const nextPageOffset = { pointIdOptions: { case: "num" as const, value: 7n } };
    const bytes = toBinary(ScrollResponseSchema, create(ScrollResponseSchema, { result, nextPageOffset }));
    const form = { scored: false, payload: true };
    // The offset comes first, so nothing of the list is found at 0.
    expect(nativeRenderPoints(bytes, 0, bytes.length, 0x12, form, all)).toEqual({ text: "", next: 0 });
    const texts: string[] = [];
    for (let at = 4; at < bytes.length; ) {
      const { text, next } = nativeRenderPoints(bytes, at, bytes.length, 0x12, form, 100);
      expect(next).toBeGreaterThan(at);
      texts.push(text);
      at = next;
    }
    expect(texts.length).toBeGreaterThan(5);
    expect(JSON.parse(`[${texts.join(",")}]`)).toEqual(result.map((_, id) => ({ id, payload: {} })));
  });

  test("damaged bytes are refused or read, and never break what is around", () => {
    let refused = 0;
    fc.assert(
      fc.property(scoredPoints, fc.nat(), (init, form) => {
        const result = init.map((one) => create(ScoredPointSchema, one as never));
        const bytes = damage(toBinary(QueryResponseSchema, create(QueryResponseSchema, { result })), makeRandom(form));
        try {
          const { text } = nativeRenderPoints(bytes, 0, bytes.length, 0x0a, { scored: true, payload: false }, all);
          JSON.parse(`[${text}]`);
        } catch (error) {
          expect(error).toMatchObject({ kind: "data_loss" });
          refused += 1;
        }
      }),
      { seed, numRuns: 2_000 },
    );
    expect(refused).toBeGreaterThan(0);
  });
});
