/** Queries of several stages, read by hand against the generated code: every encoding of them, and damaged ones. SEED replays a run. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fusion, QueryPointsSchema } from "../../gen/qdrant/points_pb.js";
import { DomainError, limits } from "../../src/core/index.ts";
import { decodeQueryPoints } from "../../src/wire/index.ts";
import { mapQuery } from "../../src/wire/query.ts";
import { toUniversal } from "../../src/wire/search.ts";
import {
  arbitraryFloats,
  arbitraryPointId,
  arbitraryText,
  damage,
  makeRandom,
  reencode,
  seed,
} from "./fuzz-support.ts";

const numRuns = 300;
const optional = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });
const count = fc.integer({ min: 1, max: 1000 }).map(BigInt);
const input = fc.oneof(
  { weight: 3, arbitrary: arbitraryFloats.map((data) => ({ variant: { case: "dense" as const, value: { data } } })) },
  { weight: 1, arbitrary: arbitraryPointId.map((value) => ({ variant: { case: "id" as const, value } })) },
  {
    weight: 1,
    arbitrary: fc
      .uniqueArray(fc.nat(1000), { minLength: 1, maxLength: 5 })
      .map((indices) => ({ variant: { case: "sparse" as const, value: { indices, values: indices.map(() => 0.5) } } })),
  },
  {
    weight: 1,
    arbitrary: arbitraryText.map((text) => ({
      variant: { case: "document" as const, value: { text, model: "qdrant/bm25" } },
    })),
  },
);
const nearest = input.map((value) => ({ variant: { case: "nearest" as const, value } }));
const merging = fc.oneof(
  fc.constant({ variant: { case: "fusion" as const, value: Fusion.RRF } }),
  fc.constant({ variant: { case: "rrf" as const, value: { k: 7, weights: [] } } }),
  nearest,
);
const filter = arbitraryText.map((key) => ({
  must: [
    {
      conditionOneOf: {
        case: "field" as const,
        value: { key: `k${key}`, match: { matchValue: { case: "integer" as const, value: 5n } } },
      },
    },
  ],
}));
const common = {
  using: optional(arbitraryText),
  filter: optional(filter),
  params: optional(fc.record({ hnswEf: optional(count), exact: optional(fc.boolean()) })),
  scoreThreshold: optional(fc.float({ noNaN: true, noDefaultInfinity: true })),
  limit: optional(count),
  lookupFrom: optional(fc.record({ collectionName: arbitraryText, vectorName: optional(arbitraryText) })),
};
const { prefetch } = fc.letrec((tie) => ({
  prefetch: fc.oneof(
    { depthSize: "small" },
    fc.record({ ...common, query: nearest }),
    fc.record({ ...common, query: merging, prefetch: fc.array(tie("prefetch"), { minLength: 1, maxLength: 2 }) }),
  ),
}));
const query = fc.record({
  ...common,
  collectionName: arbitraryText,
  prefetch: fc.array(prefetch, { maxLength: 3 }),
  query: merging,
  offset: optional(count),
  withPayload: optional(fc.constant({ selectorOptions: { case: "enable" as const, value: true } })),
  withVectors: optional(
    fc.array(arbitraryText).map((names) => ({ selectorOptions: { case: "include" as const, value: { names } } })),
  ),
});

function ours(bytes: Uint8Array): unknown {
  const read = decodeQueryPoints(bytes);
  return { collection: read.collection, request: toUniversal(read) };
}

const plain = (bytes: Uint8Array): unknown => mapQuery(fromBinary(QueryPointsSchema, bytes, { recursionLimit: 1_000 }));

/** The value, or the text of the refusal. */
function attempt(run: () => unknown): { readonly value: unknown } | { readonly refused: string } {
  try {
    return { value: run() };
  } catch (error) {
    expect(error).toBeInstanceOf(DomainError);
    return { refused: (error as DomainError).message };
  }
}

describe(`queries of several stages (seed ${seed})`, () => {
  test("every encoding reads as the generated code reads it", () => {
    fc.assert(
      fc.property(query, fc.nat(), (init, form) => {
        const canonical = toBinary(QueryPointsSchema, create(QueryPointsSchema, init as never));
        const bytes = reencode(QueryPointsSchema, canonical, makeRandom(form));
        expect(attempt(() => ours(canonical))).toEqual(attempt(() => plain(canonical)));
        expect(attempt(() => ours(bytes))).toEqual(attempt(() => plain(bytes)));
      }),
      { seed, numRuns },
    );
  });

  test("damaged bytes are read alike or refused as bad input", () => {
    fc.assert(
      fc.property(query, fc.nat(), (init, form) => {
        const bytes = damage(toBinary(QueryPointsSchema, create(QueryPointsSchema, init as never)), makeRandom(form));
        const mine = attempt(() => ours(bytes));
        // Stricter is allowed, otherwise is not.
        if ("value" in mine) expect(mine.value).toEqual(plain(bytes));
      }),
      { seed, numRuns: numRuns * 3 },
    );
  });

  test("a prefetch that lies too deep is refused by name", () => {
    let stage: object = {
      query: { variant: { case: "nearest", value: { variant: { case: "dense", value: { data: [1] } } } } },
    };
    for (let depth = 0; depth <= limits.prefetchDepthMax; depth++) {
      stage = { prefetch: [stage], query: { variant: { case: "fusion", value: Fusion.RRF } } };
    }
    const bytes = toBinary(QueryPointsSchema, create(QueryPointsSchema, { collectionName: "c", ...stage } as never));
    expect(() => ours(bytes)).toThrow(/prefetch: nested deeper than/);
  });
});
