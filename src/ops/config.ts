/**
 * The server's configuration: from the environment and the command line, checked as a whole before anything opens.
 * Messages name the variable at fault. Keys never appear in them.
 */
import { existsSync } from "node:fs";
import { isIP } from "node:net";
import { totalmem } from "node:os";
import { join, resolve } from "node:path";
import { type CollectionDefaults, limits, type QuotaConfig } from "../core/index.ts";
import { readCollectionDefaults } from "./collection-defaults.ts";
import { type InferenceConfig, readInferenceConfig } from "./inference-config.ts";
import { type OnnxConfig, readOnnxConfig } from "./onnx-config.ts";
import { readS5Config, type S5Config } from "./s5-config.ts";
import type { TlsFiles } from "./tls.ts";

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** When the store's log is synced; docs/operations.md says what each may lose. */
const fsyncPolicies = ["always", "interval", "never"] as const;

export interface ServerConfig {
  readonly dataDir: string;
  readonly snapshotsDir: string;
  readonly host: string;
  readonly grpcPort: number;
  readonly httpPort: number;
  /** Any of these admits a caller to everything and signs tokens; all empty means that no key is asked for. */
  readonly apiKeys: readonly string[];
  /** Any of these admits a caller to reading. */
  readonly readOnlyKeys: readonly string[];
  /** Tokens signed with one of apiKeys are taken (Qdrant's service.jwt_rbac). */
  readonly jwtRbac: boolean;
  readonly tls?: TlsFiles;
  readonly insecure: boolean;
  readonly logLevel: LogLevel;
  /** Threads that serve gRPC; 1: the main thread itself. */
  readonly rpcThreads: number;
  /** Any web page may call the HTTP port. */
  readonly cors: boolean;
  /** False: Qdrant's API alone, without sealpoint.v1 and without keys in requests. */
  readonly extensions: boolean;
  /** A cluster of this one node: collections may be divided by shard keys. */
  readonly cluster: boolean;
  /** MiB for the indexes that the engine makes for itself; 0: none. */
  readonly temporaryIndexMiB: number;
  readonly fsync: { readonly policy: (typeof fsyncPolicies)[number]; readonly intervalMs: number };
  /** MiB of anonymous memory above which the server takes no more writes; 0: no limit. */
  readonly memoryLimitMegabytes: number;
  /** The same for each collection. */
  readonly collectionMemoryLimitMegabytes: number;
  readonly s5: S5Config;
  /** MiB that writes leave free on the disk; the engine decides when absent. */
  readonly diskReserveMegabytes?: number;
  readonly collectionDefaults: CollectionDefaults;
  /** Until others are set by a call. */
  readonly quota: QuotaConfig;
  /** Absent: as many as the engine can have. */
  readonly collectionsMax?: number | undefined;
  /** Threads that serve reads and writes natively, and those that build graphs; 0: one per core. */
  readonly readThreads: number;
  readonly buildThreads: number;
  /** Of reads that name no timeout of their own; 0: none. */
  readonly searchTimeoutSeconds: number;
  /** A search that takes longer shows the fields without an index that it filters by in /issues. */
  readonly slowQuerySeconds: number;
  /** Of the names of all metrics. */
  readonly metricsPrefix: string;
  /** Whether snapshots are fetched from URLs. */
  readonly recoversFromUrls: boolean;
  /** Absent: the built-in models only. */
  readonly inference?: InferenceConfig | undefined;
  /** Models on this machine. */
  readonly onnx?: OnnxConfig | undefined;
}

/** What the command line may say; it wins over the environment. */
export interface ConfigOverrides {
  readonly dataDir?: string;
  readonly host?: string;
  readonly grpcPort?: string;
  readonly httpPort?: string;
  readonly insecure?: boolean;
  readonly logLevel?: string;
}

/** The configuration cannot be used; shown to the operator as it is. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const apiKeyLengthMin = 8;

export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  overrides: ConfigOverrides = {},
): ServerConfig {
  const text = (name: string): string | undefined => {
    const value = environment[name]?.trim();
    return value === "" ? undefined : value;
  };
  const host = overrides.host ?? text("SEALPOINT_HOST") ?? "127.0.0.1";
  const keys = (...names: readonly string[]): string[] =>
    names.flatMap((name) => {
      const key = text(name);
      return key === undefined ? [] : [checkKey(name, key)];
    });
  const apiKeys = keys("SEALPOINT_API_KEY", "SEALPOINT_ALT_API_KEY");
  const readOnlyKeys = keys("SEALPOINT_READ_ONLY_API_KEY");
  const jwtRbac = parseFlag("SEALPOINT_JWT_RBAC", text("SEALPOINT_JWT_RBAC"));
  if (apiKeys.length === 0 && (jwtRbac || readOnlyKeys.length > 0)) {
    const name = jwtRbac ? "SEALPOINT_JWT_RBAC" : "SEALPOINT_READ_ONLY_API_KEY";
    throw new ConfigError(`${name}: needs SEALPOINT_API_KEY as well, or nobody could manage anything`);
  }
  const dataDir = resolve(overrides.dataDir ?? text("SEALPOINT_DATA_DIR") ?? "./data");
  const config: ServerConfig = {
    dataDir,
    snapshotsDir: resolve(text("SEALPOINT_SNAPSHOTS_DIR") ?? join(dataDir, "snapshots")),
    host,
    grpcPort: parsePort("SEALPOINT_GRPC_PORT", overrides.grpcPort ?? text("SEALPOINT_GRPC_PORT") ?? "6334"),
    httpPort: parsePort("SEALPOINT_HTTP_PORT", overrides.httpPort ?? text("SEALPOINT_HTTP_PORT") ?? "6333"),
    apiKeys,
    readOnlyKeys,
    jwtRbac,
    tls: parseTls(text),
    insecure: overrides.insecure === true || parseFlag("SEALPOINT_INSECURE", text("SEALPOINT_INSECURE")),
    logLevel: parseLogLevel(overrides.logLevel ?? text("SEALPOINT_LOG_LEVEL") ?? "info"),
    s5: readS5Config(text, (message) => new ConfigError(message)),
    inference: readInferenceConfig(text, (message) => {
      throw new ConfigError(message);
    }),
    onnx: readOnnxConfig(text, (message) => {
      throw new ConfigError(message);
    }),
    rpcThreads: parseRpcThreads(text("SEALPOINT_RPC_THREADS") ?? "1"),
    extensions: parseFlag("SEALPOINT_EXTENSIONS", text("SEALPOINT_EXTENSIONS") ?? "1"),
    cluster: parseFlag("SEALPOINT_CLUSTER", text("SEALPOINT_CLUSTER")),
    cors: parseFlag("SEALPOINT_CORS", text("SEALPOINT_CORS") ?? "1"),
    metricsPrefix: parseMetricsPrefix(text("SEALPOINT_METRICS_PREFIX") ?? ""),
    recoversFromUrls: parseFlag("SEALPOINT_SNAPSHOT_URL_RECOVERY", text("SEALPOINT_SNAPSHOT_URL_RECOVERY") ?? "1"),
    fsync: parseFsync(text("SEALPOINT_FSYNC"), text("SEALPOINT_FSYNC_INTERVAL_MS")),
    memoryLimitMegabytes:
      parseMegabytes("SEALPOINT_MEMORY_LIMIT_MB", text("SEALPOINT_MEMORY_LIMIT_MB")) ?? defaultMemoryLimit(),
    collectionMemoryLimitMegabytes:
      parseMegabytes("SEALPOINT_COLLECTION_MEMORY_LIMIT_MB", text("SEALPOINT_COLLECTION_MEMORY_LIMIT_MB")) ?? 0,
    diskReserveMegabytes: parseMegabytes("SEALPOINT_DISK_RESERVE_MB", text("SEALPOINT_DISK_RESERVE_MB")),
    temporaryIndexMiB: parseTemporaryIndexMiB(text("SEALPOINT_TEMPORARY_INDEX_MIB")),
    collectionDefaults: readCollectionDefaults(text, (message) => {
      throw new ConfigError(message);
    }),
    quota: readQuota(text),
    collectionsMax: parseCount(text, "SEALPOINT_COLLECTIONS_MAX", 0, limits.collectionsMax),
    readThreads: parseCount(text, "SEALPOINT_READ_THREADS", 0, limits.nativeThreadsMax) ?? 0,
    buildThreads: parseCount(text, "SEALPOINT_BUILD_THREADS", 0, limits.nativeThreadsMax) ?? 0,
    slowQuerySeconds: parseSeconds("SEALPOINT_SLOW_QUERY_SECONDS", text("SEALPOINT_SLOW_QUERY_SECONDS")) ?? 1.2,
    searchTimeoutSeconds: parseCount(text, "SEALPOINT_SEARCH_TIMEOUT_SECONDS", 0, limits.timeoutSecondsMax) ?? 0,
  };
  if (config.grpcPort !== 0 && config.grpcPort === config.httpPort) {
    throw new ConfigError(`SEALPOINT_HTTP_PORT: ${config.httpPort} is taken by SEALPOINT_GRPC_PORT`);
  }
  refuseOpenDoor(config);
  return config;
}

function checkKey(name: string, key: string): string {
  if (key.length < apiKeyLengthMin) throw new ConfigError(`${name}: must have at least ${apiKeyLengthMin} characters`);
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new ConfigError(`${name}: must be printable ASCII without spaces, since it travels in a header`);
  }
  return key;
}

/** Everybody on the network could read and write: asked for in so many words or not at all. */
function refuseOpenDoor(config: ServerConfig): void {
  if (isLoopback(config.host) || config.insecure) return;
  const missing: string[] = [];
  if (config.apiKeys.length === 0) missing.push("SEALPOINT_API_KEY");
  if (config.tls === undefined) missing.push("SEALPOINT_TLS_CERT and SEALPOINT_TLS_KEY");
  if (missing.length === 0) return;
  throw new ConfigError(
    `SEALPOINT_HOST: ${config.host} is reachable from other machines; set ${missing.join(", ")} as well, ` +
      "or pass --insecure (SEALPOINT_INSECURE=1) to do without",
  );
}

export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const bare = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (isIP(bare) === 4) return bare.startsWith("127.");
  return bare === "::1" || bare === "0:0:0:0:0:0:0:1";
}

function parsePort(name: string, value: string): number {
  const port = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (!(port <= 65_535)) throw new ConfigError(`${name}: ${JSON.stringify(value)} is not a port (0 to 65535)`);
  return port;
}

function parseFlag(name: string, value: string | undefined): boolean {
  if (value === undefined || value === "0" || value === "false") return false;
  if (value === "1" || value === "true") return true;
  throw new ConfigError(`${name}: ${JSON.stringify(value)} is neither 1 nor 0`);
}

function parseMetricsPrefix(value: string): string {
  if (/^(?:[A-Za-z_][A-Za-z0-9_]{0,63})?$/.test(value)) return value;
  throw new ConfigError(
    `SEALPOINT_METRICS_PREFIX: ${JSON.stringify(value)} is no start of a metric's name (letters, digits and _)`,
  );
}

function parseLogLevel(value: string): LogLevel {
  const level = logLevels.find((one) => one === value.toLowerCase());
  if (level === undefined) {
    throw new ConfigError(`SEALPOINT_LOG_LEVEL: ${JSON.stringify(value)} is none of ${logLevels.join(", ")}`);
  }
  return level;
}

function parseTemporaryIndexMiB(value: string | undefined): number {
  if (value === undefined) return limits.temporaryIndexMiBDefault;
  const mib = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (!(mib <= limits.temporaryIndexMiBMax)) {
    throw new ConfigError(
      `SEALPOINT_TEMPORARY_INDEX_MIB: ${JSON.stringify(value)} is not a number of MiB (0 to ${limits.temporaryIndexMiBMax})`,
    );
  }
  return mib;
}

function parseFsync(policy = "always", interval: string | undefined): ServerConfig["fsync"] {
  const known = fsyncPolicies.find((one) => one === policy.toLowerCase());
  if (known === undefined) {
    throw new ConfigError(`SEALPOINT_FSYNC: ${JSON.stringify(policy)} is none of ${fsyncPolicies.join(", ")}`);
  }
  if (interval !== undefined && known !== "interval") {
    throw new ConfigError(`SEALPOINT_FSYNC_INTERVAL_MS: has a meaning only with SEALPOINT_FSYNC=interval`);
  }
  const intervalMs = interval === undefined ? limits.fsyncIntervalMsDefault : Number(interval);
  if (!/^\d{1,6}$/.test(interval ?? "1") || intervalMs < 1 || intervalMs > limits.fsyncIntervalMsMax) {
    throw new ConfigError(
      `SEALPOINT_FSYNC_INTERVAL_MS: ${JSON.stringify(interval)} is not a number of milliseconds (1 to ${limits.fsyncIntervalMsMax})`,
    );
  }
  return { policy: known, intervalMs };
}

function parseRpcThreads(value: string): number {
  const threads = /^\d{1,4}$/.test(value) ? Number(value) : 0;
  if (threads < 1 || threads > limits.rpcThreadsMax) {
    throw new ConfigError(
      `SEALPOINT_RPC_THREADS: ${JSON.stringify(value)} is not a number of threads (1 to ${limits.rpcThreadsMax})`,
    );
  }
  return threads;
}

/** Three quarters of what the machine or the control group allows: the rest is for the page cache, which holds graphs and codes. */
function defaultMemoryLimit(): number {
  const constrained = process.constrainedMemory();
  const bytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.floor((bytes * 0.75) / 1024 ** 2);
}

function parseCount(
  text: (name: string) => string | undefined,
  name: string,
  least: number,
  most: number,
): number | undefined {
  const value = text(name);
  if (value === undefined) return undefined;
  const count = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (count >= least && count <= most) return count;
  throw new ConfigError(`${name}: ${JSON.stringify(value)} is not a whole number from ${least} to ${most}`);
}

function parseSeconds(name: string, value: string | undefined): number | undefined {
  if (value === undefined || /^\d{1,6}(?:\.\d{1,9})?$/.test(value))
    return value === undefined ? undefined : Number(value);
  throw new ConfigError(`${name}: ${JSON.stringify(value)} is no number of seconds`);
}

function readQuota(text: (name: string) => string | undefined): QuotaConfig {
  const percent = (name: string, least: number) => parseCount(text, `SEALPOINT_QUOTA_${name}_PERCENT`, least, 100);
  const [memory, disk, margin] = [percent("MEMORY", 1), percent("DISK", 1), percent("RELEASE_MARGIN", 0)];
  return {
    enabled: parseFlag("SEALPOINT_QUOTAS", text("SEALPOINT_QUOTAS")),
    ...(memory === undefined ? {} : { maxResidentMemoryPercent: memory }),
    ...(disk === undefined ? {} : { maxDiskUsagePercent: disk }),
    ...(margin === undefined ? {} : { releaseMarginPercent: margin }),
  };
}

function parseMegabytes(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const megabytes = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isFinite(megabytes)) {
    throw new ConfigError(`${name}: ${JSON.stringify(value)} is not a number of MiB (0: no limit)`);
  }
  return megabytes;
}

function parseTls(text: (name: string) => string | undefined): TlsFiles | undefined {
  const [certPath, keyPath, caPath, seconds] = (["CERT", "KEY", "CA", "RELOAD_SECONDS"] as const).map((name) =>
    text(`SEALPOINT_TLS_${name}`),
  );
  if (certPath === undefined && keyPath === undefined) {
    if (caPath !== undefined) throw new ConfigError("SEALPOINT_TLS_CA: has a meaning only with SEALPOINT_TLS_CERT");
    parseReload(seconds);
    return undefined;
  }
  if (certPath === undefined) throw new ConfigError("SEALPOINT_TLS_CERT: missing, though SEALPOINT_TLS_KEY is set");
  if (keyPath === undefined) throw new ConfigError("SEALPOINT_TLS_KEY: missing, though SEALPOINT_TLS_CERT is set");
  if (!existsSync(certPath)) throw new ConfigError(`SEALPOINT_TLS_CERT: no file ${certPath}`);
  if (!existsSync(keyPath)) throw new ConfigError(`SEALPOINT_TLS_KEY: no file ${keyPath}`);
  if (caPath !== undefined && !existsSync(caPath)) throw new ConfigError(`SEALPOINT_TLS_CA: no file ${caPath}`);
  return { certPath, keyPath, caPath, reloadSeconds: parseReload(seconds) };
}

function parseReload(value: string | undefined): number {
  if (value === undefined) return limits.tlsReloadSecondsDefault;
  const seconds = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (!(seconds <= limits.tlsReloadSecondsMax)) {
    throw new ConfigError(
      `SEALPOINT_TLS_RELOAD_SECONDS: ${JSON.stringify(value)} is not a number of seconds (0 to ${limits.tlsReloadSecondsMax}; 0: never)`,
    );
  }
  return seconds;
}
