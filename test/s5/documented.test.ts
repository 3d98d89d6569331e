/** Codes, settings and metrics of S5 are what docs/s5.md says, over both doors. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { errorTable } from "../../src/api/grpc/errors.ts";
import { toFailure } from "../../src/api/rest/errors.ts";
import { addS5Metrics } from "../../src/api/rest/s5-metrics.ts";
import { createMetrics, describeS5Config, readS5Config, s5ConfigDefault } from "../../src/ops/index.ts";
import { LoadError, type LoadErrorCode, loadErrorTraits, toDomainError } from "../../src/s5/errors.ts";
import { makeHub } from "./hub-support.ts";

const text = readFileSync(join(import.meta.dirname, "../../docs/s5.md"), "utf8");
const rows = (form: RegExp): string[][] =>
  [...text.matchAll(/^\| `.*\|$/gm)]
    .map(([line]) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .filter(([first]) => form.test(first ?? ""));

describe("the table of errors", () => {
  const documented = new Map(
    rows(/^`[A-Z_]+`$/)
      .filter((row) => row.length === 7)
      .map((row) => [row[0]?.slice(1, -1), row]),
  );

  it("has every code, and no other", () => {
    expect([...documented.keys()].sort()).toEqual(Object.keys(loadErrorTraits).sort());
  });

  it.each(Object.keys(loadErrorTraits) as LoadErrorCode[])("%s is what it says", (code) => {
    const [, grpc, http, retry, security] = documented.get(code) as string[];
    const { isRetryable, isSecurity, kind } = loadErrorTraits[code];
    expect([retry === "yes", security === "yes"]).toEqual([isRetryable, isSecurity]);
    const error = toDomainError(new LoadError(code, "what happened", { retryAfterSeconds: 3 }));
    expect(status[errorTable[kind].grpc]).toBe(grpc);
    expect(error.details).toMatchObject({
      reason: code,
      metadata: { is_retryable: String(isRetryable), is_security: String(isSecurity) },
    });
    expect(toFailure(error, "r", pino({ level: "silent" }))).toEqual({
      code: Number(http),
      message: "what happened",
      retryAfterSeconds: 3,
      reason: code,
    });
  });
});

describe("the settings", () => {
  const documented = rows(/^`(?:S5|VECTOR)_[A-Z0-9_]+`$/).filter((row) => row.length === 3);
  const read = (given: Record<string, string>) =>
    readS5Config(
      (name) => given[name],
      (message) => new Error(message),
    );

  it("are read under their documented names, with the documented defaults", () => {
    expect(documented).toHaveLength(10);
    for (const [cell, usual] of documented) {
      const name = (cell as string).slice(1, -1);
      const value = (usual as string).replaceAll("`", "");
      expect(read({ [name]: value }), name).toEqual(s5ConfigDefault);
      const other = name === "S5_PORTAL_URL" ? "http://elsewhere:1" : String(Number(value) > 1 ? Number(value) - 1 : 2);
      expect(read({ [name]: other }), name).not.toEqual(s5ConfigDefault);
    }
  });

  it.each([
    ["S5_MAX_PARALLEL_CHUNKS", ["0", "21", "ten", "1.5", "-1", " 5"]],
    ["S5_DOWNLOAD_TIMEOUT_SECONDS", ["0", "3601", "30s"]],
    ["S5_LOADING_TIMEOUT_MINUTES", ["0", "1441", ""]],
    ["VECTOR_INDEX_CACHE_SIZE", ["-1", "many"]],
    ["VECTOR_INDEX_CACHE_TTL_HOURS", ["0", "1e3"]],
    ["VECTOR_CACHE_MAX_MEMORY_MB", ["0", "99999999"]],
    ["S5_RATE_LIMIT_REQUESTS", ["0", "10001"]],
    ["S5_RATE_LIMIT_WINDOW_SECONDS", ["0", "86401"]],
    ["VECTOR_MEMORY_LIMIT_MB", ["0", "NaN"]],
    [
      "S5_PORTAL_URL",
      ["ftp://portal", "nonsense", "http://user:secret@portal", "http://portal/?token=secret", "http://a,nonsense"],
    ],
  ])("%s is refused by its name when it makes no sense", (name, values) => {
    for (const value of values) {
      expect(() => read({ [name]: value }), value).toThrow(name);
      try {
        read({ [name]: value });
      } catch (error) {
        expect(String(error)).not.toContain("secret");
      }
    }
  });

  it("are logged without the paths of portals, which may hold a token", () => {
    const told = JSON.stringify(
      describeS5Config(read({ S5_PORTAL_URL: "https://portal.example/secret-token/,http://b:2" })),
    );
    expect(told).toContain("https://portal.example");
    expect(told).toContain("http://b:2");
    expect(told).not.toContain("secret");
  });
});

it("every metric that docs/s5.md names is there from the start", async () => {
  const metrics = createMetrics(String);
  addS5Metrics(metrics, makeHub({ portalUrls: ["http://127.0.0.1:1"] }));
  const shown = await metrics.registry.metrics();
  metrics.close();
  const section = text.slice(text.indexOf("## Metrics"));
  const names = [...section.matchAll(/`((?:s5|vector)_[a-z0-9_]+)(?:\{\w+\})?`/g)].map(([, name]) => name as string);
  expect(names.length).toBeGreaterThan(12);
  for (const name of names) expect(shown, name).toContain(`# TYPE ${name} `);
  expect(shown).toContain('s5_portal_up{portal="http://127.0.0.1:1"} 0');
});
