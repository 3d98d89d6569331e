import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { payloadFromMessage, payloadToMessage } from "../../clients/typescript/src/messages.ts";
import { RetrievedPointSchema } from "../../gen/qdrant/points_pb.js";
import type { PayloadObject, PayloadValue } from "../../src/core/index.ts";
import { transcodePayload } from "../../src/seal/index.ts";
import {
  buildSealed,
  compactSealed,
  decodePayload,
  encodePayload,
  expandSealed,
  hasSealedStored,
  omitEntries,
  payloadKeys,
  pickEntries,
  readEnvelopes,
} from "../../src/wire/index.ts";

const text = fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__" && key !== "$sealpoint");
const { value } = fc.letrec<{ value: PayloadValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.double(),
    text,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(text, tie("value"), { maxKeys: 4 }),
  ),
}));
const payloads: fc.Arbitrary<PayloadObject> = fc.dictionary(text, value, { maxKeys: 6 });

const plain = (item: unknown): unknown =>
  Array.isArray(item)
    ? item.map(plain)
    : typeof item === "object" && item !== null
      ? Object.fromEntries(Object.entries(item).map(([name, inner]) => [name, plain(inner)]))
      : item;

/** RetrievedPoint carries a payload under field 2, as the stored form does. */
const generatedBytes = (payload: PayloadObject) =>
  toBinary(RetrievedPointSchema, create(RetrievedPointSchema, { payload: payloadToMessage(payload) as never }));
const generatedRead = (bytes: Uint8Array) => payloadFromMessage(fromBinary(RetrievedPointSchema, bytes).payload);

describe("payload bytes", () => {
  it("are those of the generated code, both ways", () => {
    fc.assert(
      fc.property(payloads, (payload) => {
        const bytes = encodePayload(payload);
        expect(Buffer.from(bytes)).toEqual(Buffer.from(generatedBytes(payload)));
        expect(plain(decodePayload(bytes))).toStrictEqual(plain(payload));
      }),
    );
  });

  it("are read alike by both readers when damaged, or refused with a place", () => {
    fc.assert(
      fc.property(
        payloads,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        (payload, changes) => {
          const bytes = encodePayload(payload).slice();
          for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
          let own: unknown;
          try {
            own = plain(decodePayload(bytes));
            transcodePayload(bytes);
          } catch (error) {
            expect(error).toMatchObject({ kind: "bad_input", details: { field: expect.stringMatching(/^payload/) } });
            return;
          }
          // The generated code does not check wire types, so it is no oracle here: the two readers are each other's.
          const again = transcodePayload(encodePayload(own as PayloadObject)).toString("hex");
          expect(transcodePayload(bytes).toString("hex")).toBe(again);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("may come in any order, repeated and split, as protobuf allows", () => {
    const entry = (...bytes: number[]) => [0x12, bytes.length, ...bytes];
    const a = [0x0a, 1, 0x61];
    const cases: [number[], PayloadObject][] = [
      [entry(0x12, 2, 0x18, 5, ...a), { a: 5n }],
      [[...entry(...a, 0x12, 2, 0x18, 5), ...entry(...a, 0x12, 2, 0x28, 1)], { a: true }],
      [entry(...a), { a: null }],
      [entry(0x12, 2, 0x18, 5), { "": 5n }],
      [entry(...a, 0x12, 0), { a: null }],
      [entry(...a, 0x12, 4, 0x18, 5, 0x28, 1), { a: true }],
      // Two struct fields in one Value merge; two lists concatenate.
      [
        entry(...a, 0x12, 18, 0x32, 7, 0x0a, 5, 0x0a, 1, 0x78, 0x12, 0, 0x32, 7, 0x0a, 5, 0x0a, 1, 0x79, 0x12, 0),
        { a: { x: null, y: null } },
      ],
      [entry(...a, 0x12, 12, 0x3a, 4, 0x0a, 2, 0x18, 1, 0x3a, 4, 0x0a, 2, 0x18, 2), { a: [1n, 2n] }],
      [entry(...a, 0x12, 5, 0x98, 0x06, 7, 0x18, 5), { a: 5n }],
    ];
    for (const [bytes, expected] of cases) {
      const payload = Uint8Array.from(bytes);
      expect(plain(decodePayload(payload))).toStrictEqual(expected);
      expect(plain(generatedRead(payload))).toStrictEqual(expected);
      expect(transcodePayload(payload).toString("hex")).toBe(transcodePayload(encodePayload(expected)).toString("hex"));
    }
  });

  it("name the place of a fault", () => {
    const bytes = encodePayload({ first: 1n, list: [{ ok: true }, { deep: "text here" }] });
    const at = Buffer.from(bytes).indexOf("text here");
    bytes[at + 3] = 0xff;
    for (const read of [
      () => decodePayload(bytes, "points[4].payload"),
      () => transcodePayload(bytes, undefined, "points[4].payload"),
    ]) {
      expect(read).toThrow(/^points\[4\]\.payload\.list\[1\]\.deep: text is not UTF-8$/);
    }
    let deep: PayloadValue = 1n;
    for (let i = 0; i < 128; i++) deep = [deep];
    expect(transcodePayload(encodePayload({ deep })).length).toBeGreaterThan(128);
    expect(() => encodePayload({ deep: [deep] })).toThrow(/deeper than 128/);
    const tooDeep = generatedBytes({ deep: [deep] });
    expect(() => decodePayload(tooDeep)).toThrow(/deeper than 128/);
    expect(() => transcodePayload(tooDeep)).toThrow(/deeper than 128/);
    expect(() => encodePayload({ a: { b: [2n ** 63n] } })).toThrow(/payload\.a\.b\[0\]: the integer does not fit/);
    expect(() => decodePayload(Uint8Array.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]))).toThrow(/past the end/);
    // The private field is nobody's but the reserved key's.
    expect(() => decodePayload(Uint8Array.from([0x12, 7, 0x0a, 1, 0x61, 0x12, 2, 0x7a, 0]))).toThrow(
      /payload\.a: sealed form outside/,
    );
  });

  it("are picked and omitted by top-level key", () => {
    fc.assert(
      fc.property(payloads, fc.func(fc.boolean()), (payload, keep) => {
        const keys = new Set(Object.keys(payload).filter((key) => keep(key)));
        const bytes = encodePayload(payload);
        expect(new Set(payloadKeys(pickEntries(bytes, keys)))).toEqual(keys);
        expect({ ...decodePayload(pickEntries(bytes, keys)), ...decodePayload(omitEntries(bytes, keys)) }).toEqual(
          decodePayload(bytes),
        );
      }),
    );
  });
});

describe("envelopes in payloads", () => {
  const envelope = (size: number) => {
    const bytes = new Uint8Array(122 + size).fill(5);
    bytes.set([1, 0, 1]);
    bytes.set([0, 65], 27);
    return bytes;
  };

  it("go to JSON and back", () => {
    fc.assert(
      fc.property(payloads, fc.array(fc.nat(40_000), { minLength: 1, maxLength: 8 }), (clear, sizes) => {
        const stored = buildSealed(sizes.map(envelope), encodePayload(clear));
        expect(hasSealedStored(stored)).toBe(true);
        const expanded = expandSealed(stored);
        expect(hasSealedStored(expanded)).toBe(false);
        expect(plain(generatedRead(expanded))).toStrictEqual(plain(decodePayload(stored)));
        expect(Buffer.from(compactSealed(expanded))).toEqual(Buffer.from(stored));
        expect(readEnvelopes(expanded)).toHaveLength(sizes.length);
      }),
      { numRuns: 30 },
    );
  });

  it("are told from other payloads", () => {
    fc.assert(fc.property(payloads, (payload) => !hasSealedStored(encodePayload(payload))));
    expect(hasSealedStored(encodePayload({ $sealpoint: "a text" }))).toBe(false);
    expect(compactSealed(encodePayload({ a: 1n }))).toEqual(encodePayload({ a: 1n }));
  });
});
