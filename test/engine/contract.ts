/** What every engine must do. An engine's test file calls this with a way to open it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sealingOff } from "../../src/core/index.ts";
import type { Engine } from "../../src/engine/index.ts";
import { all, configOf, failure, idsOf, must, none, payloadOf, point, query, wait } from "./support.ts";

export function engineContract(name: string, open: () => Promise<Engine>): void {
  describe(`${name}: the engine's contract`, () => {
    let engine: Engine;
    let collections = 0;

    beforeAll(async () => {
      engine = await open();
    });
    afterAll(() => engine.close());

    async function collection(...args: Parameters<typeof configOf>): Promise<string> {
      const made = `contract-${++collections}`;
      await engine.createCollection(made, configOf(...args), sealingOff);
      return made;
    }

    describe("collections", () => {
      test("are made, listed, told and deleted", async () => {
        const made = await collection({ "": [4, "cosine"] });
        expect(await engine.listCollections()).toContain(made);
        expect(await engine.collectionExists(made)).toBe(true);
        const info = await engine.collectionInfo(made);
        expect(info).toMatchObject({ name: made, status: "green", pointsCount: 0, sealedPointsCount: 0 });
        expect(info.config.vectors[""]).toEqual({ size: 4, distance: "cosine" });
        expect(info.sealingId).toMatch(/^[0-9a-f]{32}$/);
        expect(info.acceptedSealingIds).toEqual([info.sealingId]);
        expect(await engine.deleteCollection(made)).toBe(true);
        expect(await engine.deleteCollection(made)).toBe(false);
        expect(await engine.collectionExists(made)).toBe(false);
      });

      test("are refused twice, with Qdrant's words", async () => {
        const made = await collection({ "": [4, "dot"] });
        const error = await failure(engine.createCollection(made, configOf({ "": [4, "dot"] }), sealingOff));
        expect(error.kind).toBe("already_exists");
        expect(error.message).toBe(`Wrong input: Collection \`${made}\` already exists!`);
      });

      test("that are unknown are not found by any call", async () => {
        const calls: (() => Promise<unknown>)[] = [
          () => engine.collectionInfo("nobody"),
          () => engine.write("nobody", { kind: "upsert", points: [point(1, [1])] }, wait),
          () => engine.search("nobody", query([1])),
          () => engine.count("nobody", undefined, true),
          () => engine.get("nobody", [1n], none, none),
          () => engine.scroll("nobody", { limit: 1, payload: none, vectors: none }),
        ];
        for (const call of calls) {
          const error = await failure(call());
          expect(error.kind).toBe("not_found");
          expect(error.message).toBe("Not found: Collection `nobody` doesn't exist!");
        }
      });

      test("take changes of their configuration, each under a new epoch", async () => {
        const made = await collection({ "": [4, "dot"] });
        const before = await engine.collectionInfo(made);
        await engine.updateCollection(made, { hnsw: { m: 8 }, indexingThreshold: 5_000 });
        const after = await engine.collectionInfo(made);
        expect(after.config.hnsw).toEqual({ ...before.config.hnsw, m: 8 });
        expect(after.config.indexingThreshold).toBe(5_000);
        expect(after.epoch).toBeGreaterThan(before.epoch);
      });

      test("answer to aliases, which change all or none", async () => {
        const first = await collection({ "": [1, "dot"] });
        const second = await collection({ "": [1, "dot"] });
        await engine.updateAliases([{ kind: "create", alias: "current", collection: first }]);
        expect((await engine.collectionInfo("current")).name).toBe(first);
        await engine.updateAliases([
          { kind: "delete", alias: "current" },
          { kind: "create", alias: "current", collection: second },
        ]);
        expect((await engine.collectionInfo("current")).name).toBe(second);
        const error = await failure(
          engine.updateAliases([
            { kind: "rename", from: "current", to: "moved" },
            { kind: "create", alias: "other", collection: "nobody" },
          ]),
        );
        expect(error.kind).toBe("not_found");
        expect(await engine.listAliases(second)).toEqual([["current", second]]);
        await engine.updateAliases([{ kind: "rename", from: "current", to: "moved" }]);
        expect(await engine.listAliases(second)).toEqual([["moved", second]]);
        await engine.deleteCollection(second);
        expect(await engine.collectionExists("moved")).toBe(false);
      });
    });

    describe("points", () => {
      test("keep payload, vector and version", async () => {
        const made = await collection({ "": [2, "dot"] });
        const uuid = "550e8400-e29b-41d4-a716-446655440000";
        const first = await engine.write(
          made,
          { kind: "upsert", points: [point(7, [1, 2], { a: 1n, b: 1.5, c: ["x", null, true] }), point(uuid, [3, 4])] },
          wait,
        );
        const table = await engine.get(made, [7n, uuid, 9n], all, all);
        expect(idsOf(table)).toEqual([7n, uuid]);
        expect(payloadOf(table, 0)).toEqual({ a: 1, b: 1.5, c: ["x", null, true] });
        expect(table.vectors(0)).toEqual([["", Float32Array.from([1, 2])]]);
        expect(table.version(0)).toBe(first.operationId);
        const second = await engine.write(made, { kind: "upsert", points: [point(7, [5, 6], { z: 0n })] }, wait);
        expect(second.operationId).toBe(first.operationId + 1n);
        const again = await engine.get(made, [7n], all, all);
        expect(payloadOf(again)).toEqual({ z: 0 });
        expect(again.vectors(0)).toEqual([["", Float32Array.from([5, 6])]]);
        expect(await engine.count(made, undefined, true)).toBe(2);
      });

      test("of one batch with the same id: the last wins", async () => {
        const made = await collection({ "": [1, "dot"] });
        await engine.write(
          made,
          { kind: "upsert", points: [point(1, [1], { n: 1n }), point(1, [2], { n: 2n })] },
          wait,
        );
        const table = await engine.get(made, [1n], all, all);
        expect(payloadOf(table)).toEqual({ n: 2 });
        expect(table.vectors(0)).toEqual([["", Float32Array.from([2])]]);
      });

      test.each([
        ["a wrong dimension", { "": [1, 2, 3] }, /Vector dimension error: expected dim: 2, got 3/],
        ["an unknown vector name", { other: [1, 2] }, /Not existing vector name error: other/],
        ["NaN", { "": [1, Number.NaN] }, /not finite/],
        ["infinity", { "": [Number.POSITIVE_INFINITY, 1] }, /not finite/],
        ["an empty vector", { "": [] }, /Vector dimension error/],
      ])("with %s are refused, and nothing of the batch is stored", async (_, vector, words) => {
        const made = await collection({ "": [2, "euclid"] });
        const error = await failure(
          engine.write(made, { kind: "upsert", points: [point(1, [1, 2]), point(2, vector)] }, wait),
        );
        expect(error.kind).toBe("bad_input");
        expect(error.message).toMatch(words);
        expect(error.details.field).toMatch(/^points\[1\]\.vectors/);
        expect(await engine.count(made, undefined, true)).toBe(0);
      });

      test("are deleted by id and by filter", async () => {
        const made = await collection({ "": [1, "dot"] });
        const points = Array.from({ length: 10 }, (_, n) => point(n, [n], { n: BigInt(n) }));
        await engine.write(made, { kind: "upsert", points }, wait);
        await engine.write(made, { kind: "delete", selector: { kind: "ids", ids: [1n, 2n, 99n] } }, wait);
        const filter = must({ kind: "range", key: "n", bounds: { gte: 7 } });
        await engine.write(made, { kind: "delete", selector: { kind: "filter", filter } }, wait);
        const { points: left } = await engine.scroll(made, { limit: 100, payload: none, vectors: none });
        expect(idsOf(left)).toEqual([0n, 3n, 4n, 5n, 6n]);
        expect(idsOf(await engine.search(made, query([1])))).toEqual([6n, 5n, 4n, 3n, 0n]);
      });

      test("take vectors by name, one by one", async () => {
        const made = await collection({ a: [2, "dot"], b: [1, "euclid"] });
        await engine.write(
          made,
          { kind: "upsert", points: [point(1, { a: [1, 0], b: [5] }), point(2, { a: [0, 1] })] },
          wait,
        );
        expect(idsOf(await engine.search(made, query([5], { using: "b" })))).toEqual([1n]);
        await engine.write(
          made,
          { kind: "update_vectors", points: [{ id: 2n, vectors: [["b", Float32Array.from([6])]] }] },
          wait,
        );
        const found = await engine.search(made, query([6], { using: "b" }));
        expect(idsOf(found)).toEqual([2n, 1n]);
        expect(found.score(1)).toBeCloseTo(1, 6);
        await engine.write(made, { kind: "delete_vectors", selector: { kind: "ids", ids: [1n] }, names: ["b"] }, wait);
        expect(idsOf(await engine.search(made, query([6], { using: "b" })))).toEqual([2n]);
        expect((await engine.get(made, [1n], none, all)).vectors(0)).toEqual([["a", Float32Array.from([1, 0])]]);
        expect((await engine.get(made, [2n], none, { kind: "names", names: ["b"] })).vectors(0)?.length).toBe(1);
        const missing = await failure(
          engine.write(made, { kind: "update_vectors", points: [{ id: 9n, vectors: [] }] }, wait),
        );
        expect(missing.message).toBe("Not found: No point with id 9 found");
        const unnamed = await failure(engine.search(made, query([1])));
        expect(unnamed.message).toBe(
          "Wrong input: Collection requires specified vector name in the request, available names: a, b",
        );
      });

      test("take changes of their payload", async () => {
        const made = await collection({ "": [1, "dot"] });
        await engine.write(
          made,
          { kind: "upsert", points: [point(1, [1], { a: 1n, deep: { x: 1n } }), point(2, [2])] },
          wait,
        );
        const ids = { kind: "ids", ids: [1n] } as const;
        const payload = point(0, [], { b: "two" }).payload;
        await engine.write(made, { kind: "set_payload", selector: ids, payload }, wait);
        expect(payloadOf(await engine.get(made, [1n], all, none))).toEqual({ a: 1, b: "two", deep: { x: 1 } });
        await engine.write(made, { kind: "set_payload", selector: ids, payload, key: "deep" }, wait);
        expect(payloadOf(await engine.get(made, [1n], all, none))).toEqual({
          a: 1,
          b: "two",
          deep: { x: 1, b: "two" },
        });
        await engine.write(made, { kind: "delete_payload", selector: ids, keys: ["a", "deep.x"] }, wait);
        expect(payloadOf(await engine.get(made, [1n], all, none))).toEqual({ b: "two", deep: { b: "two" } });
        const filter = must({ kind: "is_empty", key: "b" });
        await engine.write(made, { kind: "overwrite_payload", selector: { kind: "filter", filter }, payload }, wait);
        expect(payloadOf(await engine.get(made, [2n], all, none))).toEqual({ b: "two" });
        await engine.write(made, { kind: "clear_payload", selector: ids }, wait);
        expect(payloadOf(await engine.get(made, [1n], all, none))).toEqual({});
        const error = await failure(
          engine.write(made, { kind: "set_payload", selector: { kind: "ids", ids: [8n, 1n, 7n] }, payload }, wait),
        );
        expect(error).toMatchObject({ kind: "not_found", message: "Not found: No point with id 8 found" });
        // The points that are there are written.
        expect(payloadOf(await engine.get(made, [1n], all, none))).toEqual({ b: "two" });
      });

      test("show the chosen part of their payload", async () => {
        const made = await collection({ "": [1, "dot"] });
        await engine.write(made, { kind: "upsert", points: [point(1, [1], { a: 1n, b: { c: 2n, d: 3n } })] }, wait);
        const included = await engine.get(made, [1n], { kind: "include", keys: ["b.c"] }, none);
        expect(payloadOf(included)).toEqual({ b: { c: 2 } });
        const excluded = await engine.get(made, [1n], { kind: "exclude", keys: ["b.c"] }, none);
        expect(payloadOf(excluded)).toEqual({ a: 1, b: { d: 3 } });
      });
    });

    describe("searches", () => {
      test.each([
        ["cosine", [1, 1], [1, 1 / Math.SQRT2]],
        ["dot", [1, 1], [3, 2]],
        ["euclid", [1, 1], [1, Math.SQRT2]],
        ["manhattan", [1, 1], [1, 2]],
      ] as const)("score %s exactly", async (distance, vector, scores) => {
        const made = await collection({ "": [2, distance] });
        const points =
          distance === "cosine"
            ? [point(1, [2, 2]), point(2, [3, 0])]
            : distance === "dot"
              ? [point(1, [2, 1]), point(2, [0, 2])]
              : [point(1, [1, 2]), point(2, [2, 2])];
        await engine.write(made, { kind: "upsert", points }, wait);
        const found = await engine.search(made, query([...vector]));
        expect(idsOf(found)).toEqual([1n, 2n]);
        expect(found.score(0)).toBeCloseTo(scores[0], 5);
        expect(found.score(1)).toBeCloseTo(scores[1], 5);
      });

      test("honour limit, offset, threshold, filter and query by id", async () => {
        const made = await collection({ "": [1, "dot"] });
        const points = Array.from({ length: 20 }, (_, n) => point(n, [n], { even: n % 2 === 0 }));
        await engine.write(made, { kind: "upsert", points }, wait);
        expect(idsOf(await engine.search(made, query([1], { limit: 3 })))).toEqual([19n, 18n, 17n]);
        expect(idsOf(await engine.search(made, query([1], { limit: 2, offset: 3 })))).toEqual([16n, 15n]);
        expect(idsOf(await engine.search(made, query([1], { scoreThreshold: 17 })))).toEqual([19n, 18n, 17n]);
        const filter = must({ kind: "match_bool", key: "even", value: true });
        expect(idsOf(await engine.search(made, query([1], { limit: 2, filter })))).toEqual([18n, 16n]);
        expect(idsOf(await engine.search(made, query({ pointId: 19n }, { limit: 2 })))).toEqual([18n, 17n]);
        expect((await failure(engine.search(made, query({ pointId: 77n })))).message).toBe(
          "Not found: No point with id 77 found",
        );
        const wrong = await failure(engine.search(made, query([1, 2])));
        expect(wrong.message).toBe("Wrong input: Vector dimension error: expected dim: 1, got 2");
        const tables = await engine.searchBatch(made, [query([1], { limit: 1 }), query([-1], { limit: 1 })]);
        expect(tables.map(idsOf)).toEqual([[19n], [0n]]);
      });

      test("order equal scores by id", async () => {
        const made = await collection({ "": [1, "dot"] });
        const points = [5, 3, 9, 1].map((id) => point(id, [1]));
        await engine.write(made, { kind: "upsert", points }, wait);
        expect(idsOf(await engine.search(made, query([1])))).toEqual([1n, 3n, 5n, 9n]);
      });
    });

    describe("payload indexes", () => {
      test("change no answer, before and after writes", async () => {
        const made = await collection({ "": [1, "dot"] });
        const points = Array.from({ length: 300 }, (_, n) =>
          point(n, [n], {
            word: `w${n % 7}`,
            n: BigInt(n),
            at: `2024-01-${String((n % 28) + 1).padStart(2, "0")}T00:00:00Z`,
          }),
        );
        await engine.write(made, { kind: "upsert", points }, wait);
        const filters = [
          must({ kind: "match_keyword", key: "word", value: "w3" }),
          must(
            { kind: "range", key: "n", bounds: { gt: 10, lte: 100 } },
            { kind: "match_any_keywords", key: "word", values: ["w1", "w2"] },
          ),
          { must: [], should: [], mustNot: [{ kind: "match_except_keywords", key: "word", values: ["w1"] }] as const },
          must({ kind: "datetime_range", key: "at", bounds: { gte: 1704844800000000n } }),
        ];
        const counts = () => Promise.all(filters.map((filter) => engine.count(made, filter, true)));
        const before = await counts();
        expect(before[0]).toBe(43);
        await engine.createFieldIndex(made, "word", "keyword", "");
        await engine.createFieldIndex(made, "n", "integer", "");
        await engine.createFieldIndex(made, "at", "datetime", "");
        expect(await counts()).toEqual(before);
        expect(
          (await engine.collectionInfo(made)).fieldIndexes.map((index) => [index.key, index.type, index.points]).sort(),
        ).toEqual([
          ["at", "datetime", 300],
          ["n", "integer", 300],
          ["word", "keyword", 300],
        ]);
        await engine.write(made, { kind: "delete", selector: { kind: "filter", filter: filters[0] as never } }, wait);
        await engine.write(made, { kind: "upsert", points: [point(1000, [1], { word: "w3", n: 50n })] }, wait);
        const after = await counts();
        expect(after[0]).toBe(1);
        await engine.deleteFieldIndex(made, "word");
        await engine.deleteFieldIndex(made, "n");
        await engine.deleteFieldIndex(made, "at");
        expect(await counts()).toEqual(after);
      });
    });

    describe("scrolls", () => {
      test("go through the ids in order, page by page", async () => {
        const made = await collection({ "": [1, "dot"] });
        const uuids = ["00000000-0000-0000-0000-000000000002", "00000000-0000-0000-0000-000000000001"];
        await engine.write(
          made,
          { kind: "upsert", points: [point(300, [1]), point(2, [1]), ...uuids.map((id) => point(id, [1]))] },
          wait,
        );
        const first = await engine.scroll(made, { limit: 3, payload: none, vectors: none });
        expect(idsOf(first.points)).toEqual([2n, 300n, uuids[1]]);
        expect(first.nextOffset).toBe(uuids[0]);
        const second = await engine.scroll(made, {
          limit: 3,
          offset: first.nextOffset as string,
          payload: none,
          vectors: none,
        });
        expect(idsOf(second.points)).toEqual([uuids[0]]);
        expect(second.nextOffset).toBeUndefined();
      });

      test("by cursor see one moment, whatever is written meanwhile", async () => {
        const made = await collection({ "": [1, "dot"] });
        const points = Array.from({ length: 50 }, (_, n) => point(n, [n], { n: BigInt(n) }));
        await engine.write(made, { kind: "upsert", points }, wait);
        const cursor = await engine.openScroll(made, {
          payload: all,
          vectors: all,
          filter: must({ kind: "range", key: "n", bounds: { lt: 40 } }),
        });
        const seen: unknown[] = [idsOf(await cursor.next(10)).length];
        await engine.write(made, { kind: "upsert", points: points.map((p) => point(p.id, [0], { n: 99n })) }, wait);
        await engine.write(made, { kind: "delete", selector: { kind: "ids", ids: [12n] } }, wait);
        for (;;) {
          const page = await cursor.next(7);
          if (page.length === 0) break;
          for (let row = 0; row < page.length; row++) {
            const id = page.id(row);
            expect(payloadOf(page, row)).toEqual({ n: Number(id) });
            expect(page.vectors(row)).toEqual([["", Float32Array.of(Number(id))]]);
            seen.push(id);
          }
        }
        await cursor.close();
        expect(seen).toEqual([10, ...Array.from({ length: 30 }, (_, n) => BigInt(n + 10))]);
      });
    });

    describe("streams", () => {
      test("apply each sequence once, and a repeated one undoes nothing", async () => {
        const made = await collection({ "": [1, "dot"] });
        const chunk = (sequence: bigint, value: number) =>
          engine.write(
            made,
            { kind: "upsert", points: [point(1, [value])] },
            { wait: true, stream: { id: "s", sequence } },
          );
        expect((await chunk(1n, 1)).applied).toBe(true);
        expect((await chunk(2n, 2)).applied).toBe(true);
        await engine.write(made, { kind: "upsert", points: [point(1, [9])] }, wait);
        expect((await chunk(2n, 2)).applied).toBe(false);
        expect((await engine.get(made, [1n], none, all)).vectors(0)).toEqual([["", Float32Array.of(9)]]);
        expect((await failure(chunk(5n, 5))).kind).toBe("aborted");
        expect(await engine.streamPosition(made, "s")).toBe(2n);
        expect(await engine.streamPosition(made, "other")).toBe(0n);
      });
    });

    describe("policies", () => {
      test("a write admitted under an older epoch is refused", async () => {
        const made = await collection({ "": [1, "dot"] });
        const { epoch } = await engine.collectionInfo(made);
        await engine.setSealingPolicy(made, { ...sealingOff, clearFields: ["a"] });
        const write = engine.write(
          made,
          { kind: "upsert", points: [point(1, [1])] },
          { wait: true, admittedEpoch: epoch },
        );
        expect((await failure(write)).kind).toBe("aborted");
        expect(await engine.count(made, undefined, true)).toBe(0);
      });

      test("plain points are counted", async () => {
        const made = await collection({ "": [1, "dot"] });
        await engine.setSealingPolicy(made, { ...sealingOff, clearFields: ["a"] });
        await engine.write(
          made,
          { kind: "upsert", points: [point(1, [1], { a: 1n }), point(2, [1], { b: 1n }), point(3, [1])] },
          wait,
        );
        expect(await engine.countPlain(made)).toEqual({ plain: 1, total: 3 });
      });
    });
  });
}
