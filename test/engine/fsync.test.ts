/** What each fsync policy does: how often the log is synced, and that everything is there after an orderly close. */
import { describe, expect, test } from "vitest";
import { sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { configOf, point, temporaryFolder } from "./support.ts";

const writes = 40;

async function syncsOf(policy: "always" | "interval" | "never", intervalMs: number, wait: boolean): Promise<number> {
  const folder = temporaryFolder();
  try {
    let engine = openEmbeddedEngine({ dataDir: folder.path, fsync: { policy, intervalMs } });
    await engine.createCollection("c", configOf({ "": [4, "dot"] }), sealingOff);
    const before = (await engine.stats()).syncs;
    const begunMs = performance.now();
    for (let id = 0; id < writes || (policy === "interval" && performance.now() - begunMs < 10 * intervalMs); id++) {
      await engine.write("c", { kind: "upsert", points: [point(id % writes, [1, 2, 3, id % writes])] }, { wait });
    }
    if (!wait) await expect.poll(async () => (await engine.stats()).syncs).toBeGreaterThan(before);
    const after = (await engine.stats()).syncs;
    await engine.close();
    engine = openEmbeddedEngine({ dataDir: folder.path });
    expect(await engine.count("c", undefined, true)).toBe(writes);
    await engine.close();
    return after - before;
  } finally {
    folder.remove();
  }
}

describe("fsync policies", () => {
  test("always: each write that is waited for has a sync of its own or shares one", async () => {
    expect(await syncsOf("always", 1_000, true)).toBe(writes);
  });

  test("always, not waited for: the log is synced all the same, and the writes do not wait for it", async () => {
    expect(await syncsOf("always", 1_000, false)).toBeLessThanOrEqual(writes);
  });

  test("interval: one sync in each interval while writes come", async () => {
    const syncs = await syncsOf("interval", 100, true);
    expect(syncs).toBeGreaterThanOrEqual(1);
    expect(syncs).toBeLessThanOrEqual(16);
  });

  test("never: none", async () => {
    expect(await syncsOf("never", 1_000, true)).toBe(0);
  });
});
