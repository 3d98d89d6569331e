/** docs/compatibility.md says what a running server answers. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { rows } from "../../scripts/compatibility/rows.ts";

const root = join(import.meta.dirname, "../..");

describe("docs/compatibility.md", () => {
  test("rows that are stated name tests that exist", () => {
    const shownBy = rows.flatMap((row) =>
      row.probes.flatMap((probe) => (probe.kind === "stated" && probe.shownBy !== undefined ? [probe.shownBy] : [])),
    );
    expect(shownBy.length).toBeGreaterThan(0);
    for (const path of shownBy) expect(existsSync(join(root, path)), path).toBe(true);
  });

  test.skipIf(!existsSync(join(root, "build/Release/sealpoint.node")))("is current", async () => {
    const { makeCompatibilityPage } = await import("../../scripts/compatibility/run.ts");
    const written = readFileSync(join(root, "docs/compatibility.md"), "utf8");
    // Otherwise: node scripts/compatibility/write.ts
    expect(await makeCompatibilityPage()).toBe(written);
  });
});
