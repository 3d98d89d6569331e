/** Reads in the order of a key, and facets: against plain computations over enough points for the index to have many blocks. */

import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FacetResponseSchema } from "../../gen/qdrant/points_pb.js";
import { type Filter, type OrderBy, type PointId, type QueryRequest, sealingOff } from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import type { FacetCounts, PointTable } from "../../src/engine/index.ts";
import { encodeScoredResponse, encodeScrollResponse } from "../../src/wire/index.ts";
import { configOf, failure, idsOf, must, none, point, temporaryFolder, wait } from "./support.ts";

const count = 60_000;
const few = 7;
const folder = temporaryFolder();
let engine: EmbeddedEngine;

// Two values each; `same` is nearly always one value, so that a run of equals is longer than any page.
const valuesOf = (n: number) => ({
  n: [(n * 7919) % count, -n],
  f: n / 4 - 100,
  same: n < 5 ? n : 9,
  tag: `t${n % 4000}`,
  even: n % 2 === 0,
});

beforeAll(async () => {
  engine = openEmbeddedEngine({ dataDir: folder.path });
  await engine.createCollection("c", configOf({ "": [2, "dot"] }), sealingOff);
  for (let from = 0; from < count; from += 5_000) {
    const points = Array.from({ length: 5_000 }, (_, i) => {
      const { n, f, same, tag, even } = valuesOf(from + i);
      return point(from + i, [1, 2], { n: n.map(BigInt), f, same: BigInt(same), tag, even });
    });
    await engine.write("c", { kind: "upsert", points }, wait);
  }
  await engine.createFieldIndex("c", "n", "integer", "{}");
  await engine.createFieldIndex("c", "same", "integer", "{}");
  await engine.createFieldIndex("c", "f", "float", "{}");
  await engine.createFieldIndex("c", "tag", "keyword", "{}");
  await engine.createFieldIndex("c", "even", "bool", "{}");
  await engine.createFieldIndex("c", "lookup", "integer", '{"integerIndexParams":{"lookup":true,"range":false}}');
  await engine.createFieldIndex("c", "range", "integer", '{"integerIndexParams":{"lookup":false,"range":true}}');
}, 120_000);
afterAll(async () => {
  await engine.close();
  folder.remove();
});

async function scroll(orderBy: OrderBy, limit: number, filter?: Filter): Promise<PointTable> {
  const { points, nextOffset } = await engine.scroll("c", {
    orderBy,
    limit,
    payload: none,
    vectors: none,
    ...(filter && { filter }),
  });
  expect(nextOffset).toBeUndefined();
  return points;
}

const rowsOf = (table: PointTable): [PointId, unknown][] =>
  idsOf(table).map((id, row) => [id, table.orderValue?.(row)]);

type Pair = [id: bigint, value: bigint | number];
function sorted(pairs: Pair[], direction: "asc" | "desc"): Pair[] {
  const sign = direction === "asc" ? 1 : -1;
  return pairs.sort(([a, x], [b, y]) => sign * (x < y ? -1 : x > y ? 1 : Number(a - b)));
}
const all = Array.from({ length: count }, (_, n) => n);

describe("order_by", () => {
  test.each(["asc", "desc"] as const)("gives each value of a point, %s", async (direction) => {
    const pairs = sorted(
      all.flatMap((n) => valuesOf(n).n.map((value): Pair => [BigInt(n), BigInt(value)])),
      direction,
    );
    expect(rowsOf(await scroll({ key: "n", direction }, 5_000))).toEqual(pairs.slice(0, 5_000));
    const start = 31_007n;
    const rest = pairs.filter(([, value]) => (direction === "asc" ? value >= start : value <= start));
    const startFrom = { kind: "integer", value: start } as const;
    expect(rowsOf(await scroll({ key: "n", direction, startFrom }, 777))).toEqual(rest.slice(0, 777));
    const half = { kind: "float", value: 31_006.5 } as const;
    const filter = must({ kind: "match_bool", key: "even", value: true });
    const evens = pairs.filter(
      ([id, value]) => Number(id) % 2 === 0 && (direction === "asc" ? value > 31_006n : value <= 31_006n),
    );
    expect(rowsOf(await scroll({ key: "n", direction, startFrom: half }, 777, filter))).toEqual(evens.slice(0, 777));
  });

  test.each(["asc", "desc"] as const)("orders doubles, and starts from beyond all integers, %s", async (direction) => {
    const pairs = sorted(
      all.map((n): Pair => [BigInt(n), valuesOf(n).f]),
      direction,
    );
    expect(rowsOf(await scroll({ key: "f", direction }, count + 1))).toEqual(pairs);
    for (const value of [1e19, -1e19]) {
      const inside = direction === "asc" ? value < 0 : value > 0;
      expect((await scroll({ key: "n", direction, startFrom: { kind: "float", value } }, 3)).length).toBe(
        inside ? 3 : 0,
      );
    }
  });

  test("equal values come by id, whatever their number", async () => {
    const up = await scroll({ key: "same", direction: "asc" }, 20);
    expect(rowsOf(up)).toEqual(all.slice(0, 20).map((n) => [BigInt(n), n < 5 ? BigInt(n) : 9n]));
    const down = await scroll({ key: "same", direction: "desc" }, 20);
    expect(rowsOf(down)).toEqual(
      all
        .slice(-20)
        .reverse()
        .map((n) => [BigInt(n), 9n]),
    );
    // Through a filter whose payloads must be judged: nothing indexes the path.
    const judged = await scroll(
      { key: "same", direction: "desc" },
      4,
      must({ kind: "range", key: "n[0]", bounds: { lt: 10 } }),
    );
    expect(judged.length).toBe(4);
  });

  test("a query orders what its prefetches found, with an offset", async () => {
    const stage = { prefetch: [], using: "", params: {}, limit: 10 } as const;
    const request: QueryRequest = {
      ...stage,
      prefetch: [
        { ...stage, limit: 50 },
        { ...stage, limit: 3, filter: must({ kind: "has_id", ids: [59_999n, 7n] }) },
      ],
      query: { kind: "order_by", orderBy: { key: "f", direction: "desc" } },
      offset: 1,
      payload: none,
      vectors: none,
    };
    const table = await engine.query("c", request);
    expect(rowsOf(table)).toEqual(
      all
        .slice(41, 50)
        .reverse()
        .map((n): Pair => [BigInt(n), n / 4 - 100])
        .concat([[40n, -90]]),
    );
    expect(table.score(0)).toBe(1);
  });

  test("rows as messages are those that are made of the columns", async () => {
    for (const key of ["n", "f"]) {
      const table = await scroll({ key, direction: "asc" }, 50);
      const plain: PointTable = {
        length: table.length,
        id: (row) => table.id(row),
        score: (row) => table.score(row),
        version: (row) => table.version(row),
        payload: (row) => table.payload(row),
        vectors: (row) => table.vectors(row),
        orderValue: (row) => table.orderValue?.(row),
      };
      expect(table.wire?.(3)).toBeDefined();
      expect(Buffer.from(encodeScrollResponse(table, undefined, 0))).toEqual(
        Buffer.from(encodeScrollResponse(plain, undefined, 0)),
      );
      const stage = { prefetch: [], using: "", params: {}, limit: 9, offset: 0, payload: none, vectors: none };
      const found = await engine.query("c", {
        ...stage,
        query: { kind: "order_by", orderBy: { key, direction: "desc" } },
      });
      const copied: PointTable = {
        ...plain,
        length: found.length,
        id: (row) => found.id(row),
        score: (row) => found.score(row),
      };
      const same = {
        ...copied,
        version: (row: number) => found.version(row),
        payload: () => undefined,
        vectors: () => undefined,
      };
      const rows = { ...same, orderValue: (row: number) => found.orderValue?.(row) };
      expect(Buffer.from(encodeScoredResponse(found, 0))).toEqual(Buffer.from(encodeScoredResponse(rows, 0)));
    }
  });

  test("is refused without an index of ranges", async () => {
    for (const key of ["tag", "nowhere", "lookup"]) {
      const refused = await failure(scroll({ key, direction: "asc" }, 1));
      expect([refused.kind, refused.message]).toEqual([
        "bad_input",
        expect.stringContaining(
          `Wrong input: No range index for \`order_by\` key: \`${key}\`. Please create one to use \`order_by\`.`,
        ),
      ]);
    }
    expect((await scroll({ key: "range", direction: "asc" }, 1)).length).toBe(0);
  });
});

describe("facets", () => {
  const hits = ({ length, wire }: FacetCounts) => {
    const read = fromBinary(FacetResponseSchema, wire).hits.map((hit) => [hit.value?.variant.value, hit.count]);
    expect(read).toHaveLength(length);
    return read;
  };
  const facet = (key: string, limit: number, filter?: Filter) =>
    engine.facet("c", { key, limit, exact: true, ...(filter && { filter }) });

  function counted(
    of: (n: number) => (string | bigint | boolean)[],
    keep: (n: number) => boolean,
    limit: number,
  ): [unknown, bigint][] {
    const counts = new Map<string | bigint | boolean, number>();
    for (const n of all.filter(keep))
      for (const value of new Set(of(n))) counts.set(value, (counts.get(value) ?? 0) + 1);
    return [...counts]
      .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
      .slice(0, limit)
      .map(([value, points]) => [value, BigInt(points)]);
  }

  test("keywords, integers and booleans, most points first", async () => {
    expect(hits(await facet("tag", 5_000))).toEqual(
      counted(
        (n) => [valuesOf(n).tag],
        () => true,
        5_000,
      ),
    );
    expect(hits(await facet("same", 10))).toEqual(
      counted(
        (n) => [BigInt(valuesOf(n).same)],
        () => true,
        10,
      ),
    );
    expect(hits(await facet("even", 10))).toEqual([
      [false, BigInt(count / 2)],
      [true, BigInt(count / 2)],
    ]);
  });

  test.each([
    ["many points", (n: number) => n >= 30_000],
    ["few points", (n: number) => n >= count - few],
  ])("under a filter that leaves %s", async (_, keep) => {
    const first = all.find(keep) ?? 0;
    const filter = must({ kind: "range", key: "f", bounds: { gte: valuesOf(first).f } });
    expect(hits(await facet("tag", 9, filter))).toEqual(counted((n) => [valuesOf(n).tag], keep, 9));
    expect(hits(await facet("n", 9, filter))).toEqual(counted((n) => valuesOf(n).n.map(BigInt), keep, 9));
    expect(hits(await facet("even", 9, filter))).toEqual(counted((n) => [valuesOf(n).even], keep, 9));
  });

  test("are refused without an index of values", async () => {
    for (const key of ["f", "nowhere", "range"]) {
      const refused = await failure(facet(key, 1));
      expect([refused.kind, refused.message]).toEqual([
        "bad_input",
        expect.stringContaining(
          `Wrong input: No appropriate index for faceting: \`${key}\`. Please create one to facet on this field.`,
        ),
      ]);
    }
    expect(hits(await facet("lookup", 1))).toEqual([]);
  });
});
