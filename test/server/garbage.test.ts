/** Full collections are begun after so many calls, beside the program. */
import { constants, PerformanceObserver } from "node:perf_hooks";
import { expect, test } from "vitest";
import { beginCollectionsWith, limits, noteCall } from "../../src/core/index.ts";
import { simdLevel } from "../../src/native/index.ts";

test("every so many calls ask for a collection", () => {
  let begun = 0;
  beginCollectionsWith(() => begun++);
  for (let call = 0; call < limits.callsUncollectedMax * 3; call++) noteCall();
  expect(begun).toBe(3);
});

test("the addon begins one, and what nobody holds any more is freed", async () => {
  // Loads the addon, which then serves noteCall.
  simdLevel();
  const kinds: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) kinds.push((entry as unknown as { detail: { kind: number } }).detail.kind);
  });
  observer.observe({ entryTypes: ["gc"] });
  let freed = false;
  const registry = new FinalizationRegistry(() => {
    freed = true;
  });
  const drop = () => registry.register({ large: new Array(1000).fill(0) }, undefined);
  drop();
  for (let call = 0; call < limits.callsUncollectedMax; call++) noteCall();
  for (let waited = 0; waited < 500 && !freed; waited++) await new Promise((resolve) => setTimeout(resolve, 10));
  observer.disconnect();
  expect(freed).toBe(true);
  expect(kinds).toContain(constants.NODE_PERFORMANCE_GC_MAJOR);
  expect(process.memoryUsage().external).toBeLessThan(64 * 1024 * 1024);
});
