/** Quotas: the limit and the margin below it, what is refused and what never is, the file, and the memory that threads share. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type QuotaConfig, type QuotaUsage, sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import {
  createSharedChanges,
  Quota,
  quotaEngine,
  type SealedEngine,
  sealEngine,
  strictEngine,
} from "../../src/engine/index.ts";
import { configOf, failure, point, temporaryFolder, wait } from "./support.ts";

const folder = temporaryFolder();
const off: QuotaConfig = { enabled: false };

describe("a quota", () => {
  let usage: QuotaUsage;
  let quota: Quota;
  const path = join(folder.path, "quota.json");
  const again = () => new Quota(folder.path, quota.shared, () => usage);
  const refusal = (one = again()): string => {
    try {
      one.check();
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };

  beforeEach(() => {
    usage = { memory: 10, disk: 20 };
    quota = new Quota(folder.path, undefined, () => usage);
  });

  test("holds nothing unless it is enabled and has a limit", async () => {
    for (const config of [off, { enabled: false, maxDiskUsagePercent: 1 }, { enabled: true }]) {
      await quota.set(config);
      expect([refusal(), quota.exceeded("disk"), quota.config]).toEqual(["", undefined, config]);
    }
  });

  test("is reached at its limit, and left below the margin", async () => {
    await quota.set({ enabled: true, maxDiskUsagePercent: 90 });
    const over = (disk: number): string => {
      usage = { memory: 10, disk };
      return refusal();
    };
    expect(over(89)).toBe("");
    expect(over(90)).toBe(
      "Disk usage is at 90% of total capacity, exceeding the configured limit of 90%. Help: Reduce disk usage (e.g. delete points or drop collections), or raise `max_disk_usage_percent` in the global quota config.",
    );
    expect(over(85)).toBe(
      "Disk usage is at 85% of total capacity. It reached the configured limit of 90% and has to fall below 85% before this node takes writes again.",
    );
    expect([over(84), over(89)]).toEqual(["", ""]);
    // Without a margin it ends just below; the margin never asks for less than 1 %.
    await quota.set({ enabled: true, maxDiskUsagePercent: 90, releaseMarginPercent: 0 });
    expect([over(95) !== "", over(89)]).toEqual([true, ""]);
    await quota.set({ enabled: true, maxDiskUsagePercent: 3, releaseMarginPercent: 50 });
    expect([over(3) !== "", over(1) !== "", over(0)]).toEqual([true, true, ""]);
  });

  test("of memory is told apart, and what the system does not tell is not judged", async () => {
    await quota.set({ enabled: true, maxResidentMemoryPercent: 10, maxDiskUsagePercent: 90 });
    expect(refusal()).toMatch(
      /^Resident memory usage is at 10% of total memory, .* raise `max_resident_memory_percent`/,
    );
    expect([again().exceeded("memory"), again().exceeded("disk")]).toEqual([true, false]);
    usage = { memory: undefined, disk: undefined };
    expect([refusal(), again().exceeded("memory"), again().exceeded("disk")]).toEqual(["", undefined, undefined]);
  });

  test("a change forgets what was reached, on all threads", async () => {
    usage = { memory: 10, disk: 90 };
    await quota.set({ enabled: true, maxDiskUsagePercent: 90 });
    const other = again();
    expect(refusal(other)).not.toBe("");
    await quota.set({ enabled: true, maxDiskUsagePercent: 91 });
    expect([refusal(other), other.config]).toEqual(["", quota.config]);
  });

  test("is read once a second", async () => {
    const measure = vi.fn(() => usage);
    const one = new Quota(folder.path, undefined, measure);
    await one.set({ enabled: true, maxDiskUsagePercent: 90, maxResidentMemoryPercent: 90 });
    for (let i = 0; i < 100; i++) one.check();
    expect(measure).toHaveBeenCalledTimes(1);
  });

  test("its file wins over the settings, and a damaged one ends the start", async () => {
    const settings: QuotaConfig = { enabled: true, maxDiskUsagePercent: 80 };
    const fresh = temporaryFolder();
    const loaded = (dataDir: string): QuotaConfig => {
      const one = new Quota(dataDir);
      one.load(settings);
      return one.config;
    };
    expect([loaded(fresh.path), existsSync(join(fresh.path, "quota.json"))]).toEqual([settings, false]);
    const set = { enabled: true, maxResidentMemoryPercent: 95, releaseMarginPercent: 0 };
    await Promise.all([quota.set(off), quota.set(set)]);
    expect(loaded(folder.path)).toEqual(set);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      enabled: true,
      max_resident_memory_percent: 95,
      release_margin_percent: 0,
    });
    for (const damaged of ["{", "[]", '{"enabled":1}', '{"max_disk_usage_percent":101}', '{"more":1}']) {
      writeFileSync(path, damaged);
      expect(() => loaded(folder.path)).toThrow(/quota\.json: no quotas/);
    }
    fresh.remove();
  });
});

describe("writes under a quota", () => {
  const data = temporaryFolder();
  const changes = createSharedChanges();
  const quota = new Quota(data.path, undefined, () => ({ memory: 1, disk: 50 }));
  const engine: SealedEngine = quotaEngine(
    strictEngine(sealEngine(openEmbeddedEngine({ dataDir: data.path }), changes), changes),
    quota,
  );
  afterAll(async () => {
    await engine.close();
    data.remove();
    folder.remove();
  });

  test("that need room are refused, and nothing else is", async () => {
    await engine.createCollection("c", configOf({ "": [2, "dot"] }), sealingOff);
    await engine.write("c", { kind: "upsert", points: [point(1, [1, 1]), point(2, [2, 2])] }, wait);
    await quota.set({ enabled: true, maxDiskUsagePercent: 50 });
    const ids = { kind: "ids", ids: [1n] } as const;
    const payload = new Uint8Array(0);
    const kept = [
      engine.write("c", { kind: "upsert", points: [point(3, [1, 1])] }, wait),
      engine.write("c", { kind: "update_vectors", points: [] }, wait),
      engine.write("c", { kind: "set_payload", selector: ids, payload }, wait),
      engine.write("c", { kind: "overwrite_payload", selector: ids, payload }, wait),
      engine.write("c", { kind: "delete_payload", selector: ids, keys: ["a"] }, wait),
      engine.write("c", { kind: "clear_payload", selector: ids }, wait),
      engine.write("c", { kind: "delete_vectors", selector: ids, names: [""] }, wait),
      engine.writeEncoded("c", { bytes: new Uint8Array(0), field: 1, count: 0 }, wait),
      engine.createFieldIndex("c", "a", "keyword", ""),
      engine.admit("c", { writes: [{ kind: "delete" }, { kind: "upsert" }] }),
    ];
    for (const one of kept) {
      expect(await failure(one)).toMatchObject({
        kind: "exhausted",
        message: expect.stringMatching(/^Disk usage is at 50%/),
      });
    }
    await engine.admit("c", { writes: [{ kind: "delete" }] });
    await engine.admit("c", { timeoutSeconds: 1 });
    await engine.write("c", { kind: "delete", selector: ids }, wait);
    expect(await engine.count("c", undefined, true)).toBe(1);
    await engine.createCollection("d", configOf({ "": [2, "dot"] }), sealingOff);
    await engine.deleteFieldIndex("c", "a");
    await quota.set({ enabled: true, maxDiskUsagePercent: 51 });
    await engine.write("c", { kind: "upsert", points: [point(3, [1, 1])] }, wait);
    expect(await engine.count("c", undefined, true)).toBe(2);
  });
});
