import { describe, expect, test } from "vitest";
import { DomainError } from "../../src/core/errors.ts";
import type { Condition, Filter } from "../../src/core/filter.ts";
import { limits } from "../../src/core/limits.ts";
import { encodeFilter, isJsonPath } from "../../src/filter/index.ts";

function must(...conditions: Condition[]): Filter {
  return { must: conditions, should: [], mustNot: [] };
}

function hex(filter: Filter): string {
  return Buffer.from(encodeFilter(filter)).toString("hex");
}

function fault(filter: Filter): { kind: string; field: string | undefined } {
  try {
    encodeFilter(filter);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return { kind: error.kind, field: error.details.field };
  }
  throw new Error("the filter was accepted");
}

function nest(depth: number): Filter {
  let filter = must();
  for (let i = 1; i < depth; i++) filter = must({ kind: "filter", filter });
  return filter;
}

const zero = "00000000";
/** Version, one condition in must, then nothing else. */
const framed = (condition: string) => `01${"01000000"}${condition}${zero}${zero}00`;
const keyA = "0100000061";

describe("the program's bytes", () => {
  test("an empty filter", () => {
    expect(hex(must())).toBe(`01${zero}${zero}${zero}00`);
  });

  const cases: [string, Condition, string][] = [
    ["match_keyword", { kind: "match_keyword", key: "a", value: "é" }, `01${keyA}02000000c3a9`],
    ["match_integer", { kind: "match_integer", key: "a", value: -2n }, `02${keyA}feffffffffffffff`],
    ["match_bool", { kind: "match_bool", key: "a", value: true }, `03${keyA}01`],
    ["match_any_keywords", { kind: "match_any_keywords", key: "a", values: ["x"] }, `04${keyA}010000000100000078`],
    ["match_any_integers", { kind: "match_any_integers", key: "a", values: [1n] }, `05${keyA}010000000100000000000000`],
    ["match_except_keywords", { kind: "match_except_keywords", key: "a", values: [] }, `06${keyA}${zero}`],
    ["match_except_integers", { kind: "match_except_integers", key: "a", values: [] }, `07${keyA}${zero}`],
    ["range", { kind: "range", key: "a", bounds: { lt: 1, gte: 0 } }, `08${keyA}09000000000000f03f0000000000000000`],
    ["datetime_range", { kind: "datetime_range", key: "a", bounds: { gt: -1n } }, `09${keyA}04ffffffffffffffff`],
    ["values_count", { kind: "values_count", key: "a", bounds: { lte: 3n } }, `0d${keyA}020300000000000000`],
    ["is_empty", { kind: "is_empty", key: "a" }, `0e${keyA}`],
    ["is_null", { kind: "is_null", key: "a" }, `0f${keyA}`],
    [
      "has_id",
      { kind: "has_id", ids: [7n, "00112233-4455-6677-8899-aabbccddeeff"] },
      "1002000000000700000000000000" + "0100112233445566778899aabbccddeeff",
    ],
    ["has_vector", { kind: "has_vector", name: "v" }, "110100000076"],
    ["nested", { kind: "nested", key: "a", filter: must() }, `12${keyA}${zero}${zero}${zero}00`],
    ["filter", { kind: "filter", filter: must() }, `13${zero}${zero}${zero}00`],
    [
      "geo_radius",
      { kind: "geo_radius", key: "a", center: { lon: 0, lat: 1 }, radius: 2 },
      `0b${keyA}${"0".repeat(16)}000000000000f03f0000000000000040`,
    ],
  ];
  test.each(cases)("%s", (_name, condition, expected) => {
    expect(hex(must(condition))).toBe(framed(expected));
  });

  test("min_should carries its count before its conditions", () => {
    const filter = { ...must(), minShould: { conditions: [{ kind: "is_null", key: "a" } as const], minCount: 1 } };
    expect(hex(filter)).toBe(`01${zero}${zero}${zero}01${"01000000"}${"01000000"}0f${keyA}`);
  });

  test("a program longer than the first buffer keeps its beginning", () => {
    const value = "x".repeat(10_000);
    const bytes = Buffer.from(encodeFilter(must({ kind: "match_keyword", key: "a", value })));
    expect(bytes.subarray(0, 11).toString("hex")).toBe(`010100000001${keyA}`);
    expect(bytes.length).toBe(11 + 4 + 10_000 + 9);
  });
});

describe("bounds", () => {
  test("depth", () => {
    expect(() => encodeFilter(nest(limits.filterDepthMax))).not.toThrow();
    const { kind, field } = fault(nest(limits.filterDepthMax + 1));
    expect(kind).toBe("bad_input");
    expect(field?.startsWith("filter.must[0].filter.must[0]")).toBe(true);
  });

  test("conditions of all levels together", () => {
    const half = Array.from(
      { length: limits.filterConditionsMax / 2 },
      (): Condition => ({ kind: "is_null", key: "a" }),
    );
    const inner: Filter = { must: half, should: [], mustNot: [] };
    expect(() => encodeFilter(must({ kind: "filter", filter: inner }))).not.toThrow();
    expect(fault({ must: [{ kind: "filter", filter: inner }], should: half, mustNot: [] })).toEqual({
      kind: "bad_input",
      field: "filter.should",
    });
  });

  test("values", () => {
    const values = new Array<string>(limits.filterValuesMax + 1).fill("");
    expect(fault(must({ kind: "match_any_keywords", key: "a", values })).field).toBe("filter.must[0].match");
  });

  const wrong: [string, Condition, string][] = [
    ["an integer beyond 64 bits", { kind: "match_integer", key: "a", value: 1n << 63n }, "match.integer"],
    ["a negative count", { kind: "values_count", key: "a", bounds: { gt: -1n } }, "values_count.gt"],
    ["NaN", { kind: "range", key: "a", bounds: { lte: Number.NaN } }, "range.lte"],
    ["an id beyond 64 bits", { kind: "has_id", ids: [1n << 64n] }, "has_id"],
    [
      "a latitude off the globe",
      { kind: "geo_box", key: "a", topLeft: { lon: 0, lat: 91 }, bottomRight: { lon: 1, lat: 0 } },
      "geo_bounding_box.top_left.lat",
    ],
    [
      "a longitude that is no number",
      { kind: "geo_radius", key: "a", center: { lon: Number.NaN, lat: 0 }, radius: 1 },
      "geo_radius.center.lon",
    ],
    [
      "a negative radius",
      { kind: "geo_radius", key: "a", center: { lon: 0, lat: 0 }, radius: -1 },
      "geo_radius.radius",
    ],
    [
      "an open ring",
      {
        kind: "geo_polygon",
        key: "a",
        exterior: [
          { lon: 0, lat: 0 },
          { lon: 1, lat: 0 },
          { lon: 1, lat: 1 },
          { lon: 0, lat: 1 },
        ],
        interiors: [],
      },
      "geo_polygon.exterior",
    ],
    ["a path that is none", { kind: "is_null", key: "a..b" }, "key"],
  ];
  test.each(wrong)("%s", (_name, condition, field) => {
    expect(fault(must(condition))).toEqual({ kind: "bad_input", field: `filter.must[0].${field}` });
  });

  test("the error names the condition within nested filters", () => {
    const inner: Filter = { must: [], should: [], mustNot: [{ kind: "is_null", key: "" }] };
    expect(fault({ must: [], should: [{ kind: "nested", key: "a", filter: inner }], mustNot: [] }).field).toBe(
      "filter.should[0].nested.filter.must_not[0].key",
    );
  });
});

describe("JSON paths", () => {
  test.each(["a", "a.b", "a[].b", "a[0][12].b", '"a.b"', 'a."b c"[]', "é.日本-_1", '""'])("%s is one", (path) => {
    expect(isJsonPath(path)).toBe(true);
  });
  const broken = [
    "",
    ".a",
    "a.",
    "a..b",
    "[]",
    "[0].a",
    "a[-1]",
    "a[x]",
    "a[",
    "a]",
    "a b",
    '"a',
    'a"b"',
    '"a\\"b"',
    "a[0]b",
    "$a",
    "a[18446744073709551616]",
    "x".repeat(limits.jsonPathBytesMax + 1),
    `a${"[]".repeat(limits.jsonPathItemsMax)}`,
  ];
  test.each(broken.map((path) => [path.slice(0, 24), path] as const))("%s is none", (_title, path) => {
    expect(isJsonPath(path)).toBe(false);
  });
});
