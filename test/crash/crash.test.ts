/** kill -9 at random moments: what was acknowledged is there, what was not is there wholly or not at all. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { sealingOff } from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { all, configOf, must, payloadOf, query, temporaryFolder } from "../engine/support.ts";
import { dimensions, type Model, operationOf, randomOf } from "./workload.ts";

const kills = Number(process.env.SEALPOINT_CRASH_KILLS ?? 20);
const seed = Number(process.env.SEALPOINT_TEST_SEED ?? Math.floor(Math.random() * 1_000_000));

/** Runs the writer until it is killed; the number of operations acknowledged, or -1 when it was not ready yet. */
function runAndKill(dataDir: string, first: number, afterMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const writer = fileURLToPath(new URL("./writer.ts", import.meta.url));
    const child = spawn(process.execPath, [writer, dataDir, String(seed), String(first)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let errors = "";
    let armed = false;
    child.stdout.on("data", (chunk) => {
      out += chunk;
      if (!armed && out.startsWith("ready\n")) {
        armed = true;
        setTimeout(() => child.kill("SIGKILL"), afterMs);
      }
    });
    child.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    child.on("close", (code) => {
      if (code !== null) reject(new Error(`the writer ended by itself with ${code}: ${errors}`));
      // The last line may be cut by the kill.
      const lines = out.slice(0, out.lastIndexOf("\n") + 1).split("\n");
      resolve(Number(lines.filter((line) => /^\d+$/.test(line)).at(-1) ?? first - 1));
    });
  });
}

async function dump(engine: EmbeddedEngine): Promise<Map<number, string>> {
  const state = new Map<number, string>();
  const cursor = await engine.openScroll("crash", { payload: all, vectors: all });
  for (;;) {
    const page = await cursor.next(500);
    if (page.length === 0) break;
    for (let row = 0; row < page.length; row++) {
      const vector = (page.vectors(row)?.[0]?.[1] ?? new Float32Array()) as Float32Array;
      state.set(Number(page.id(row)), JSON.stringify({ vector: Array.from(vector), ...payloadOf(page, row) }));
    }
  }
  await cursor.close();
  return state;
}

function dumpModel(model: Model): Map<number, string> {
  return new Map(
    [...model]
      .sort(([a], [b]) => a - b)
      .map(([id, { vector, n, tag }]) => [id, JSON.stringify({ vector, n, ...(tag === undefined ? {} : { tag }) })]),
  );
}

describe("crash", () => {
  test(`${kills} kills lose and halve nothing (seed ${seed})`, { timeout: 30_000 + kills * 4_000 }, async () => {
    console.log(`crash test: seed ${seed}, ${kills} kills (SEALPOINT_TEST_SEED, SEALPOINT_CRASH_KILLS)`);
    const folder = temporaryFolder();
    const random = randomOf(seed);
    let engine = openEmbeddedEngine({ dataDir: folder.path });
    // Small thresholds, so that graph builds and swaps happen between the kills.
    const config = configOf(
      { "": [dimensions, "dot"] },
      { indexingThreshold: 5, hnsw: { m: 8, efConstruct: 32, fullScanThreshold: 1 } },
    );
    await engine.createCollection("crash", config, sealingOff);
    await engine.createFieldIndex("crash", "n", "integer", "");
    await engine.close();
    const model: Model = new Map();
    let applied = 0;
    let killedMidway = 0;
    for (let kill = 0; kill < kills; kill++) {
      const last = await runAndKill(folder.path, applied, 20 + random() * 400);
      expect(last).toBeGreaterThanOrEqual(applied - 1);
      for (; applied <= last; applied++) operationOf(seed, applied).apply(model);
      engine = openEmbeddedEngine({ dataDir: folder.path });
      const state = await dump(engine);
      let expected = dumpModel(model);
      if (JSON.stringify([...state]) !== JSON.stringify([...expected])) {
        // The operation in flight may have been committed without its acknowledgement getting out: then wholly.
        operationOf(seed, applied++).apply(model);
        expected = dumpModel(model);
        killedMidway++;
      }
      expect([...state]).toEqual([...expected]);
      expect(await engine.count("crash", undefined, true)).toBe(model.size);
      const inRange = [...model.values()].filter(({ n }) => n >= 200 && n < 700).length;
      const filter = must({ kind: "range", key: "n", bounds: { gte: 200, lt: 700 } });
      expect(await engine.count("crash", filter, true)).toBe(inRange);
      for (const [id, { vector }] of [...model].slice(0, 20)) {
        const found = await engine.search("crash", query(vector, { limit: model.size, exact: true }));
        expect(found.length).toBe(model.size);
        const row = Array.from({ length: found.length }, (_, at) => at).find((at) => found.id(at) === BigInt(id)) ?? -1;
        const score = vector.reduce((sum, value) => sum + value * value, 0);
        expect(found.score(row)).toBeCloseTo(score, 4);
      }
      await engine.close();
    }
    console.log(`crash test: ${applied} operations, ${killedMidway} found committed but not yet acknowledged`);
    expect(applied).toBeGreaterThan(kills);
    folder.remove();
  });
});
