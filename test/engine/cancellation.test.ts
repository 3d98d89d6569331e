/** Reads that nobody waits for any more end soon and free their thread. Which loops look is check/cancellation_check.cc's matter. */
import { expect, test } from "vitest";
import { type Cancellation, sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { sealEngine } from "../../src/engine/index.ts";
import { all, configOf, failure, none, point, query, temporaryFolder, wait } from "./support.ts";

const dimensions = 64;
const rows = 16;
const points = 2_000;
const asked = 8_192;

function values(count: number): Float32Array {
  return Float32Array.from({ length: count * dimensions }, (_, i) => Math.fround(Math.sin(i)));
}

async function timed<T>(run: Promise<T>): Promise<{ readonly ms: number; readonly outcome: T | Error }> {
  const begunMs = performance.now();
  const outcome = await run.catch((error: Error) => error);
  return { ms: performance.now() - begunMs, outcome };
}

test("an exact search over multivectors stops, and the only thread is free again", async () => {
  const folder = temporaryFolder();
  const engine = sealEngine(openEmbeddedEngine({ dataDir: folder.path, readThreads: 1 }));
  const vectors = { "": { size: dimensions, distance: "dot" as const, multivector: true } };
  await engine.createCollection("multi", configOf({}, { vectors }), sealingOff);
  const of = { rows, dimensions, values: values(rows) };
  for (let from = 0; from < points; from += 500) {
    const some = Array.from({ length: 500 }, (_, i) => ({ ...point(from + i, []), vectors: [["", of] as const] }));
    await engine.write("multi", { kind: "upsert", points: some }, wait);
  }
  const slow = {
    prefetch: [],
    query: { kind: "nearest" as const, vector: { rows: asked, dimensions, values: values(asked) } },
    using: "",
    params: { exact: true },
    limit: 3,
    offset: 0,
    payload: none,
    vectors: none,
  };
  const whole = await timed(engine.query("multi", slow));
  expect(whole.outcome).toHaveLength(3);

  const controller = new AbortController();
  const running = timed(engine.query("multi", slow, controller.signal));
  // It waits behind the other, and is given up before it begins.
  const queued = timed(engine.query("multi", slow, controller.signal));
  const behind = timed(engine.count("multi", undefined, true));
  setTimeout(() => controller.abort(), 30);
  const [stopped, neverBegun, counted] = await Promise.all([running, queued, behind]);
  expect(stopped.outcome).toMatchObject({ kind: "cancelled" });
  expect(neverBegun.outcome).toMatchObject({ kind: "cancelled" });
  expect(counted.outcome).toBe(points);
  expect(whole.ms).toBeGreaterThan(200);
  expect(Math.max(stopped.ms, neverBegun.ms, counted.ms)).toBeLessThan(whole.ms / 2);

  // Asked for again it is answered in full.
  expect(await engine.query("multi", slow)).toHaveLength(3);
  await engine.close();
  folder.remove();
}, 120_000);

test("whoever has gone before a read begins gets none", async () => {
  const folder = temporaryFolder();
  const engine = sealEngine(openEmbeddedEngine({ dataDir: folder.path }));
  await engine.createCollection("plain", configOf({ "": [2, "dot"] }), sealingOff);
  await engine.write("plain", { kind: "upsert", points: [point(1, [1, 1])] }, wait);
  const gone: Cancellation = {
    aborted: true,
    throwIfAborted() {
      throw new Error("gone");
    },
  };
  const page = { limit: 1, payload: all, vectors: none };
  for (const read of [
    () => engine.get("plain", [1n], all, none, gone),
    () => engine.search("plain", query([1, 1]), gone),
    () => engine.count("plain", undefined, true, { signal: gone }),
    () => engine.scroll("plain", page, gone),
    () => engine.facet("plain", { key: "a", limit: 1, exact: true }, gone),
  ]) {
    await expect(read()).rejects.toThrow("gone");
  }
  // A write goes on once it is handed over, and its own check comes first.
  const late = { signal: AbortSignal.abort(new Error("gone")), wait: true };
  await expect(engine.write("plain", { kind: "upsert", points: [point(2, [1, 1])] }, late)).rejects.toThrow("gone");
  expect(await engine.count("plain", undefined, true)).toBe(1);
  expect((await failure(engine.count("none", undefined, true))).kind).toBe("not_found");
  await engine.close();
  folder.remove();
});
