/** The rows that the addon writes as messages against the ones that TypeScript writes from the columns. SEED replays a run. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PointId, sealingOff } from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import type { PointTable } from "../../src/engine/index.ts";
import {
  encodeGetResponse,
  encodeScoredBatchResponse,
  encodeScoredResponse,
  encodeScrollPage,
  encodeScrollResponse,
} from "../../src/wire/index.ts";
import { buildSealed } from "../../src/wire/sealed-payload.ts";
import { seed } from "../wire/fuzz-support.ts";
import { configOf, payloadOf, point, query, temporaryFolder, wait } from "./support.ts";

const all = { kind: "all" } as const;
const none = { kind: "none" } as const;
const folder = temporaryFolder();
let engine: EmbeddedEngine;
beforeAll(async () => {
  engine = openEmbeddedEngine({ dataDir: folder.path });
});
afterAll(async () => {
  await engine.close();
  folder.remove();
});

/** The same rows, without their wire form. */
function columns(table: PointTable): PointTable {
  return {
    length: table.length,
    id: (row) => table.id(row),
    score: (row) => table.score(row),
    version: (row) => table.version(row),
    payload: (row) => table.payload(row),
    vectors: (row) => table.vectors(row),
  };
}

function expectSame(ready: Uint8Array, made: Uint8Array): void {
  expect(Buffer.from(ready).equals(Buffer.from(made))).toBe(true);
}

const id: fc.Arbitrary<PointId> = fc.oneof(
  fc.bigInt({ min: 0n, max: 300n }),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.uuid(),
);
const points = fc.uniqueArray(
  fc.record({
    id,
    value: fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 }),
    payload: fc.dictionary(fc.string({ maxLength: 8 }), fc.string({ maxLength: 200 }), { maxKeys: 4 }),
  }),
  { selector: (each) => each.id, maxLength: 40 },
);

describe("rows as messages", () => {
  test("are the bytes that the columns give", async () => {
    let run = 0;
    const property = fc.asyncProperty(points, fc.double({ noNaN: true, min: 0, max: 9 }), async (given, seconds) => {
      const name = `c${run++}`;
      await engine.createCollection(name, configOf({ "": [1, "dot"] }), sealingOff);
      const written = given.map((each) => point(each.id, [each.value], each.payload));
      await engine.write(name, { kind: "upsert", points: written }, wait);
      // The second round answers from the cache.
      for (let round = 0; round < 2; round++) {
        for (const payload of [all, none, { kind: "exclude", keys: ["a"] } as const]) {
          const found = await engine.search(name, query([-2], { limit: 100, payload }));
          expect(found.length).toBe(given.length);
          expect(found.wire?.(1)).toBeDefined();
          expectSame(encodeScoredResponse(found, seconds), encodeScoredResponse(columns(found), seconds));
          expectSame(
            encodeScoredBatchResponse([found, found], seconds),
            encodeScoredBatchResponse([columns(found), columns(found)], seconds),
          );
          const gotten = await engine.get(
            name,
            written.map((each) => each.id),
            payload,
            none,
          );
          expect(gotten.wire?.(2)).toBeDefined();
          expectSame(encodeGetResponse(gotten, seconds), encodeGetResponse(columns(gotten), seconds));
          const page = await engine.scroll(name, { limit: 5, payload, vectors: none });
          expect(page.points.wire?.(3)).toBeDefined();
          expectSame(
            encodeScrollResponse(page.points, page.nextOffset, seconds),
            encodeScrollResponse(columns(page.points), page.nextOffset, seconds),
          );
          const cursor = await engine.openScroll(name, { payload, vectors: none });
          const next = await cursor.next(7);
          expect(next.wire?.(2)).toBeDefined();
          expectSame(encodeScrollPage(next), encodeScrollPage(columns(next)));
          await cursor.close();
        }
      }
      await engine.deleteCollection(name);
    });
    await fc.assert(property, { seed, numRuns: 25 });
  });

  test("are not given where something must be changed: vectors, or a sealed payload", async () => {
    await engine.createCollection("mixed", configOf({ "": [1, "dot"] }), sealingOff);
    await engine.write("mixed", { kind: "upsert", points: [point(1, [1], { a: "b" }), point(2, [2], {})] }, wait);
    const both = { limit: 10, payload: all, vectors: all } as const;
    expect((await engine.search("mixed", query([1], both))).wire?.(1)).toBeUndefined();
    expect((await engine.search("mixed", query([1], { payload: all }))).wire?.(1)).toBeDefined();
    const payload = buildSealed([new Uint8Array(40)], new Uint8Array(0));
    await engine.write("mixed", { kind: "upsert", points: [{ ...point(3, [3]), payload }] }, wait);
    const found = await engine.search("mixed", query([1], { payload: all }));
    expect(found.length).toBe(3);
    expect(found.wire?.(1)).toBeUndefined();
    expect((await engine.search("mixed", query([1], { payload: all, offset: 1 }))).wire?.(1)).toBeDefined();
  });

  test("a payload that was changed is never answered from the cache", async () => {
    await engine.createCollection("changing", configOf({ "": [1, "dot"] }), sealingOff);
    for (let turn = 0; turn < 50; turn++) {
      const ids = [BigInt(turn % 3)];
      if (turn % 7 === 6) await engine.write("changing", { kind: "delete", selector: { kind: "ids", ids } }, wait);
      await engine.write("changing", { kind: "upsert", points: [point(turn % 3, [1], { turn: `${turn}` })] }, wait);
      const found = await engine.search("changing", query([1], { payload: all }));
      const row = Array.from({ length: found.length }, (_, n) => n).find((n) => found.id(n) === ids[0]) ?? -1;
      expect(payloadOf(found, row)).toEqual({ turn: `${turn}` });
      expect(payloadOf(await engine.get("changing", ids, all, none))).toEqual({ turn: `${turn}` });
    }
  });
});
