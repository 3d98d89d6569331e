/** A graph that is being built of a collection which a restore replaces is of no use to anybody: it must hold up neither the new one nor the end. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { configOf, point, temporaryFolder, wait } from "./support.ts";

const folder = temporaryFolder();
afterAll(() => folder.remove());

const dimensions = 512;
const count = 24_000;
const endMsMax = 3_000;

test("a restore ends the build of what it replaces", { timeout: 120_000 }, async () => {
  const engine = openEmbeddedEngine({ dataDir: folder.path });
  // Slow to build on purpose: some ten seconds and more.
  const hnsw = { m: 48, efConstruct: 800, fullScanThreshold: 10 };
  const config = configOf({ "": [dimensions, "cosine"] }, { hnsw, indexingThreshold: 1_000_000_000 });
  await engine.createCollection("large", config, sealingOff);
  await engine.createCollection("small", config, sealingOff);
  await engine.write("small", { kind: "upsert", points: [point(1, Array(dimensions).fill(1))] }, wait);
  const { name } = await engine.snapshots.create("small");
  for (let first = 0; first < count; first += 1_000) {
    const points = Array.from({ length: 1_000 }, (_, n) =>
      point(
        first + n,
        Array.from({ length: dimensions }, (_, i) => Math.sin((first + n + 1) * (i + 1) * 1.7)),
      ),
    );
    await engine.write("large", { kind: "upsert", points }, wait);
  }
  await engine.updateCollection("large", { indexingThreshold: 10 });
  await expect.poll(async () => (await engine.collectionInfo("large")).status).toBe("yellow");
  // It waits for more points before it begins.
  await sleep(1_500);
  await engine.snapshots.restore("large", [join(folder.path, "snapshots/small", name)]);
  expect(await engine.count("large", undefined, true)).toBe(1);
  const begun = performance.now();
  await engine.close();
  expect(performance.now() - begun).toBeLessThan(endMsMax);
});
