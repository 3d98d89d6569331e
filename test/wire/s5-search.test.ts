/** The hot reader and writer of S5 searches, against the generated code. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SearchRequestSchema, SearchResponseSchema } from "../../gen/sealpoint/v1/s5_pb.js";
import { decodeS5Search, encodeS5SearchResponse, mapFilter } from "../../src/wire/index.ts";

type Request = MessageInitShape<typeof SearchRequestSchema>;

const mapped = (bytes: Uint8Array): object => {
  const { sessionId, vector, k, threshold, filter, allowPartial, exact, hnswEf } = fromBinary(
    SearchRequestSchema,
    bytes,
  );
  return {
    sessionId,
    vector: Float32Array.from(vector),
    k,
    threshold,
    filter: mapFilter(filter),
    allowPartial,
    exact,
    ef: hnswEf,
  };
};

const filter = {
  must: [
    {
      conditionOneOf: {
        case: "field" as const,
        value: { key: "lemma", match: { matchValue: { case: "keyword" as const, value: "dog" } } },
      },
    },
  ],
};

const requests: readonly Request[] = [
  {},
  { sessionId: "words", vector: [1, -0.5, 1e30, -0], k: 10 },
  { sessionId: "ä€😀".repeat(30), k: 0xffff_ffff, threshold: -0.25, allowPartial: true },
  { vector: Array.from({ length: 384 }, (_, i) => i / 7), exact: true, hnswEf: 0, threshold: 0 },
  { vector: [Number.NaN, Number.POSITIVE_INFINITY], filter, hnswEf: 300_000 },
];

const bytesOf = (request: Request): Uint8Array => toBinary(SearchRequestSchema, create(SearchRequestSchema, request));
const never = { due: () => false, yield: async () => {} };

describe("a search of a session", () => {
  it.each(requests.map((request) => ({ request })))(
    "is read as the generated code reads it ($request)",
    ({ request }) => {
      const bytes = bytesOf(request);
      expect(decodeS5Search(bytes)).toEqual(mapped(bytes));
    },
  );

  it("may come in pieces, with floats one by one and fields that nobody knows", () => {
    const loose = (...values: number[]): Buffer =>
      Buffer.concat(
        values.map((value) => {
          const one = Buffer.alloc(5);
          one[0] = 0x15;
          one.writeFloatLE(value, 1);
          return one;
        }),
      );
    const unknown = Buffer.of(0x7a, 2, 1, 2, 0xa0, 0x06, 5);
    const bytes = Buffer.concat([
      bytesOf({ sessionId: "a", vector: [1, 2], filter, k: 3 }),
      loose(3, 4),
      unknown,
      bytesOf({ sessionId: "b", vector: [5], filter, k: 4 }),
      loose(6),
    ]);
    expect(decodeS5Search(bytes)).toEqual(mapped(bytes));
    expect([...decodeS5Search(bytes).vector]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("is joined once, however many pieces it comes in, and no longer than a vector may be", () => {
    const piece = Buffer.of(0x12, 4, 0, 0, 0x80, 0x3f);
    const loose = Buffer.of(0x15, 0, 0, 0, 0x40);
    const pieces = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => piece));
    const most = Buffer.concat([pieces(65_535), loose]);
    const { vector } = decodeS5Search(most);
    expect([vector.length, vector.buffer.byteLength, vector[0], vector.at(-1)]).toEqual([65_536, 4 * 65_536, 1, 2]);
    // Copied anew for each piece, these would be gigabytes.
    const odd = decodeS5Search(Buffer.concat([pieces(40_000), bytesOf({ vector: Array(100).fill(3) }), loose]));
    expect([odd.vector.length, odd.vector.buffer.byteLength]).toEqual([40_101, 4 * 40_101]);
    expect([...odd.vector.subarray(39_999, 40_001), ...odd.vector.subarray(-2)]).toEqual([1, 3, 3, 2]);
    const refused = { kind: "bad_input", message: "vector: more than 65536 dimensions", details: { field: "vector" } };
    for (const more of [piece, loose]) {
      expect(() => decodeS5Search(Buffer.concat([most, more]))).toThrow(expect.objectContaining(refused));
    }
    const begunMs = performance.now();
    const long = Buffer.concat([pieces(1_000_000), Buffer.of(0xff)]);
    const readMs = performance.now();
    expect(() => decodeS5Search(long)).toThrow(expect.objectContaining(refused));
    expect(() => decodeS5Search(bytesOf({ vector: Array(65_537).fill(1) }))).toThrow(expect.objectContaining(refused));
    // Not even to its end.
    expect(performance.now() - readMs).toBeLessThan(Math.max(100, readMs - begunMs));
  });

  it("never reads what the generated code refuses, wherever it is cut or changed", () => {
    const whole = bytesOf({
      sessionId: "words",
      vector: [1, 2, 3],
      k: 300,
      threshold: 0.5,
      filter,
      exact: true,
      hnswEf: 64,
    });
    let read = 0;
    for (let at = 0; at < whole.length; at++) {
      for (const bytes of [
        whole.slice(0, at),
        ...[1, 4, 0x80].map((bit) => whole.map((byte, i) => (i === at ? byte ^ bit : byte))),
      ]) {
        let ours: object;
        try {
          ours = decodeS5Search(bytes);
        } catch (error) {
          expect(error).toMatchObject({ kind: "bad_input" });
          continue;
        }
        read++;
        expect(ours).toEqual(mapped(bytes));
      }
    }
    expect(read).toBeGreaterThan(50);
  });
});

describe("its answer", () => {
  const hit = (row: number) => ({
    id: row % 50 === 3 ? "" : `id ä ${row}`,
    score: row % 7 === 0 ? 0 : Math.fround(1 / row),
    metadata: row % 5 === 0 ? "" : `{"n":${row},"text":"${"€".repeat(row % 40)}"}`,
  });

  it.each([0, 1, 10, 127, 128, 129, 1_000])("of %d hits reads as it was", async (count) => {
    for (const rest of [
      { partial: false, percent: 100 },
      { partial: true, percent: 0 },
      { partial: true, percent: 42 },
    ]) {
      const answer = { hits: Array.from({ length: count }, (_, row) => hit(row)), ...rest };
      let turns = 0;
      const pauses = { due: () => true, yield: async () => void turns++ };
      const bytes = await encodeS5SearchResponse(answer, pauses);
      expect(fromBinary(SearchResponseSchema, bytes)).toEqual(create(SearchResponseSchema, answer));
      expect(await encodeS5SearchResponse(answer, never)).toEqual(bytes);
      expect(turns).toBe(Math.max(0, Math.ceil(count / 128) - 1));
    }
  });
});
