import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DomainError } from "../../src/core/index.ts";
import { ConfigError, createLog, isLoopback, readConfig } from "../../src/ops/index.ts";

const dir = mkdtempSync(join(tmpdir(), "sealpoint-config-"));
const cert = join(dir, "cert.pem");
writeFileSync(cert, "x");

describe("configuration", () => {
  test("defaults", () => {
    expect(readConfig({})).toMatchObject({
      dataDir: join(process.cwd(), "data"),
      host: "127.0.0.1",
      grpcPort: 6334,
      httpPort: 6333,
      apiKeys: [],
      readOnlyKeys: [],
      jwtRbac: false,
      tls: undefined,
      insecure: false,
      logLevel: "info",
      fsync: { policy: "always", intervalMs: 1000 },
    });
  });

  test("fsync", () => {
    const set = { SEALPOINT_FSYNC: "interval", SEALPOINT_FSYNC_INTERVAL_MS: "50" };
    expect(readConfig(set).fsync).toEqual({ policy: "interval", intervalMs: 50 });
    expect(readConfig({ SEALPOINT_FSYNC: "Never" }).fsync.policy).toBe("never");
  });

  test("the command line wins over the environment", () => {
    const config = readConfig(
      { SEALPOINT_GRPC_PORT: "1", SEALPOINT_LOG_LEVEL: "warn" },
      { grpcPort: "7000", logLevel: "debug" },
    );
    expect(config).toMatchObject({ grpcPort: 7000, logLevel: "debug" });
  });

  test.each([
    [{ SEALPOINT_GRPC_PORT: "70000" }, "SEALPOINT_GRPC_PORT"],
    [{ SEALPOINT_HTTP_PORT: "-1" }, "SEALPOINT_HTTP_PORT"],
    [{ SEALPOINT_HTTP_PORT: "1e3" }, "SEALPOINT_HTTP_PORT"],
    [{ SEALPOINT_HTTP_PORT: "6334" }, "SEALPOINT_HTTP_PORT"],
    [{ SEALPOINT_API_KEY: "short" }, "SEALPOINT_API_KEY"],
    [{ SEALPOINT_API_KEY: "with a space in it" }, "SEALPOINT_API_KEY"],
    [{ SEALPOINT_READ_ONLY_API_KEY: "something-long" }, "SEALPOINT_READ_ONLY_API_KEY"],
    [{ SEALPOINT_JWT_RBAC: "1" }, "SEALPOINT_JWT_RBAC"],
    [{ SEALPOINT_ALT_API_KEY: "short" }, "SEALPOINT_ALT_API_KEY"],
    [{ SEALPOINT_LOG_LEVEL: "loud" }, "SEALPOINT_LOG_LEVEL"],
    [{ SEALPOINT_INSECURE: "maybe" }, "SEALPOINT_INSECURE"],
    [{ SEALPOINT_RPC_THREADS: "0" }, "SEALPOINT_RPC_THREADS"],
    [{ SEALPOINT_RPC_THREADS: "65" }, "SEALPOINT_RPC_THREADS"],
    [{ SEALPOINT_RPC_THREADS: "2.5" }, "SEALPOINT_RPC_THREADS"],
    [{ SEALPOINT_FSYNC: "sometimes" }, "SEALPOINT_FSYNC"],
    [{ SEALPOINT_FSYNC_INTERVAL_MS: "5" }, "SEALPOINT_FSYNC_INTERVAL_MS"],
    [{ SEALPOINT_FSYNC: "interval", SEALPOINT_FSYNC_INTERVAL_MS: "0" }, "SEALPOINT_FSYNC_INTERVAL_MS"],
    [{ SEALPOINT_FSYNC: "interval", SEALPOINT_FSYNC_INTERVAL_MS: "1e3" }, "SEALPOINT_FSYNC_INTERVAL_MS"],
    [{ SEALPOINT_FSYNC: "interval", SEALPOINT_FSYNC_INTERVAL_MS: "600001" }, "SEALPOINT_FSYNC_INTERVAL_MS"],
    [{ SEALPOINT_MEMORY_LIMIT_MB: "1.5" }, "SEALPOINT_MEMORY_LIMIT_MB"],
    [{ SEALPOINT_DISK_RESERVE_MB: "-1" }, "SEALPOINT_DISK_RESERVE_MB"],
    [{ SEALPOINT_COLLECTION_MEMORY_LIMIT_MB: "-1" }, "SEALPOINT_COLLECTION_MEMORY_LIMIT_MB"],
    [{ SEALPOINT_TLS_CERT: cert }, "SEALPOINT_TLS_KEY"],
    [{ SEALPOINT_TLS_KEY: cert }, "SEALPOINT_TLS_CERT"],
    [{ SEALPOINT_TLS_CERT: "/none", SEALPOINT_TLS_KEY: cert }, "SEALPOINT_TLS_CERT"],
    [{ SEALPOINT_HOST: "0.0.0.0" }, "SEALPOINT_HOST"],
    [{ SEALPOINT_HOST: "::" }, "SEALPOINT_HOST"],
    [{ SEALPOINT_HOST: "example.org", SEALPOINT_API_KEY: "long enough".replace(" ", "-") }, "SEALPOINT_TLS_CERT"],
    [{ SEALPOINT_HOST: "10.0.0.1", SEALPOINT_TLS_CERT: cert, SEALPOINT_TLS_KEY: cert }, "SEALPOINT_API_KEY"],
  ])("refuses %j, naming %s", (environment, name) => {
    let error: unknown;
    try {
      readConfig(environment);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain(name);
    const secret = (environment as Record<string, string>).SEALPOINT_API_KEY;
    if (secret !== undefined) expect((error as Error).message).not.toContain(secret);
  });

  test("memory is limited to three quarters of the machine unless said otherwise", () => {
    expect(readConfig({}).memoryLimitMegabytes).toBeGreaterThan(0);
    expect(readConfig({}).memoryLimitMegabytes).toBeLessThanOrEqual((totalmem() * 0.75) / 1024 ** 2);
    expect(readConfig({ SEALPOINT_MEMORY_LIMIT_MB: "0" }).memoryLimitMegabytes).toBe(0);
    expect(readConfig({ SEALPOINT_COLLECTION_MEMORY_LIMIT_MB: "64" }).collectionMemoryLimitMegabytes).toBe(64);
  });

  test("other machines are served with key and TLS, or when asked for in so many words", () => {
    const safe = { SEALPOINT_API_KEY: "long-enough", SEALPOINT_TLS_CERT: cert, SEALPOINT_TLS_KEY: cert };
    expect(readConfig({ SEALPOINT_HOST: "0.0.0.0", ...safe }).host).toBe("0.0.0.0");
    expect(readConfig({ SEALPOINT_HOST: "0.0.0.0", SEALPOINT_INSECURE: "1" }).insecure).toBe(true);
    expect(readConfig({}, { host: "0.0.0.0", insecure: true }).insecure).toBe(true);
  });

  test("loopback", () => {
    for (const host of ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"]) expect(isLoopback(host)).toBe(true);
    for (const host of ["0.0.0.0", "::", "128.0.0.1", "127.0.0.1.example.org", "localhost.example.org", ""]) {
      expect(isLoopback(host)).toBe(false);
    }
  });
});

test("the log cuts out keys and payloads", () => {
  const lines: string[] = [];
  const log = createLog("info", { write: (line) => void lines.push(line) });
  log.info(
    { apiKey: "s3cret", request: { sessionKey: "s3cret", payload: "s3cret" }, authorization: "Bearer s3cret" },
    "x",
  );
  log.error({ err: new DomainError("internal", "shown"), headers: { "api-key": "s3cret" } }, "y");
  const text = lines.join("");
  expect(text).not.toContain("s3cret");
  expect(text).toContain("shown");
});
