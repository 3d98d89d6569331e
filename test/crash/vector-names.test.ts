/** kill -9 while vector names come and go: what was acknowledged holds, and no vector of a deleted name comes back. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { checkData } from "../../src/native/data-check.ts";
import { all, configOf, must, none, point, temporaryFolder, wait } from "../engine/support.ts";

const kills = 6;

/** The last step that was acknowledged, as "round what". */
function runAndKill(dataDir: string, first: number, afterMs: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const writer = fileURLToPath(new URL("./vector-names-writer.ts", import.meta.url));
    const child = spawn(process.execPath, [writer, dataDir, String(first)], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let errors = "";
    let armed = false;
    child.stdout.on("data", (chunk) => {
      out += chunk;
      if (armed || !out.startsWith("ready\n")) return;
      armed = true;
      setTimeout(() => child.kill("SIGKILL"), afterMs);
    });
    child.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    child.on("close", (code) => {
      if (code !== null) reject(new Error(`the writer ended by itself with ${code}: ${errors}`));
      const lines = out.slice(0, out.lastIndexOf("\n")).split("\n");
      resolve(lines.filter((line) => /^\d+ /.test(line)).at(-1));
    });
  });
}

test("vector names over kill -9", { timeout: 120_000 }, async () => {
  const folder = temporaryFolder();
  let engine = openEmbeddedEngine({ dataDir: folder.path });
  await engine.createCollection("names", configOf({ a: [1, "dot"] }), sealingOff);
  const points = Array.from({ length: 50 }, (_, n) => point(n, { a: [n] }));
  await engine.write("names", { kind: "upsert", points }, wait);
  await engine.close();
  let round = 0;
  let steps = 0;
  for (let kill = 0; kill < kills; kill++) {
    const last = await runAndKill(folder.path, round, 20 + Math.random() * 300);
    expect((await checkData(folder.path, false)).findings).toEqual([]);
    engine = openEmbeddedEngine({ dataDir: folder.path });
    const [at, what] = last?.split(" ") ?? [String(round - 1), "deleted"];
    const { vectors } = (await engine.collectionInfo("names")).config;
    const present = Object.hasOwn(vectors, "v");
    // The step behind the last acknowledged one may have come to the log too.
    const inFlight = what === "deleted" ? Number(at) + 1 : Number(at);
    if (what === "made") expect(present).toBe(true);
    if (present) expect(vectors.v?.size).toBe(1 + (inFlight % 3));
    const withVector = await engine.count("names", must({ kind: "has_vector", name: "v" }), true);
    if (what === "made" || what === "deleted") expect([0, 50]).toContain(withVector);
    else expect(withVector).toBe(present ? 50 : 0);
    const table = await engine.get("names", [0n, 49n], none, all);
    expect(table.length).toBe(2);
    for (let row = 0; row < 2; row++) {
      const found = table.vectors(row)?.find(([name]) => name === "v")?.[1];
      if (withVector === 0) expect(found).toBeUndefined();
      else expect(found).toEqual(new Float32Array(1 + (inFlight % 3)).fill(inFlight));
    }
    if (present) await engine.deleteVectorName("names", "v", (echo) => echo);
    await engine.close();
    steps += inFlight - round;
    round = inFlight + 1;
  }
  expect(steps).toBeGreaterThan(kills);
  folder.remove();
});
