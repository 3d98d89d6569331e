/** Settings from files and from Qdrant's names: strength, translation, what is ignored, and messages that name what was written. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ConfigError, convertQdrantConfig, readSettings } from "../../src/ops/index.ts";

const home = process.cwd();
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sealpoint-settings-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => process.chdir(mkdtempSync(join(folder, "one-"))));
afterEach(() => process.chdir(home));

function write(path: string, content: string): string {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
  return path;
}

function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error("it was accepted");
}

/** The groups of the file that Qdrant 1.19 ships, its values changed. */
const qdrantFile = `
log_level: WARN
storage:
  storage_path: ./kept
  snapshots_path: ./snapshots
  on_disk_payload: true
  wal: { wal_capacity_mb: 32 }
  hnsw_index: { m: 16 }
service:
  host: 127.0.0.1
  http_port: 7333
  grpc_port: 7334
  enable_cors: true
  enable_snapshot_url_recovery: false
  metrics_prefix: qdrant_
  hide_jwt_dashboard: true
  enable_tls: false
  api_key: a-key-from-the-file
  jwt_rbac: true
cluster: { enabled: false }
telemetry_disabled: false
tls: { cert: ./tls/cert.pem, key: ./tls/key.pem, cert_ttl: 3600 }
`;

describe("settings", () => {
  test("nothing said: the defaults, no file, nothing ignored", () => {
    const { config, files, ignored } = readSettings({});
    expect(config).toMatchObject({ grpcPort: 6334, httpPort: 6333, host: "127.0.0.1", recoversFromUrls: true });
    expect({ files, ignored }).toEqual({ files: [], ignored: [] });
  });

  test("Qdrant's file is read, and what changes nothing is told", () => {
    write("config/config.yaml", qdrantFile);
    const { config, files, ignored } = readSettings({});
    expect(config).toMatchObject({
      grpcPort: 7334,
      httpPort: 7333,
      logLevel: "warn",
      apiKeys: ["a-key-from-the-file"],
      jwtRbac: true,
      recoversFromUrls: false,
      metricsPrefix: "qdrant_",
    });
    expect(config.tls).toBeUndefined();
    expect(config.dataDir.endsWith("/kept")).toBe(true);
    expect(files).toEqual(["config/config.yaml"]);
    expect(config.collectionDefaults).toEqual({
      on_disk_payload: true,
      "wal_config.wal_capacity_mb": 32,
      "hnsw_config.m": 16,
    });
    expect(ignored).not.toContain("storage.wal.wal_capacity_mb in config/config.yaml");
    expect(ignored).toContain("tls.cert in config/config.yaml");
    expect(ignored).toContain("service.hide_jwt_dashboard in config/config.yaml");
    expect(refusal(() => readSettings({ QDRANT__SERVICE__METRICS_PREFIX: "a-b" }))).toContain("METRICS_PREFIX");
    expect(ignored.join()).not.toContain("a-key");
  });

  test("TLS as Qdrant has it: files, reloading, and client certificates where they are verified", () => {
    for (const name of ["cert", "key", "ca"]) write(`tls/${name}.pem`, "");
    const tls = "tls: { cert: tls/cert.pem, key: tls/key.pem, ca_cert: tls/ca.pem, cert_ttl: 9000000 }\n";
    write("config/config.yaml", `service: { enable_tls: true }\n${tls}`);
    const plain = readSettings({});
    expect(plain.config.tls).toEqual({
      certPath: "tls/cert.pem",
      keyPath: "tls/key.pem",
      caPath: undefined,
      reloadSeconds: 2_000_000,
    });
    expect(plain.ignored).toEqual(["tls.ca_cert in config/config.yaml"]);
    const verify = { QDRANT__SERVICE__VERIFY_HTTPS_CLIENT_CERTIFICATE: "true" };
    expect(readSettings(verify)).toMatchObject({ config: { tls: { caPath: "tls/ca.pem" } }, ignored: [] });
    write("config/config.yaml", "service: { enable_tls: true }\ntls: { cert: tls/cert.pem, key: tls/key.pem }\n");
    expect(refusal(() => readSettings(verify))).toContain("VERIFY_HTTPS_CLIENT_CERTIFICATE: needs tls.ca_cert");
    expect(readSettings({ ...verify, SEALPOINT_TLS_CA: "tls/ca.pem" }).config.tls?.caPath).toBe("tls/ca.pem");
    const seconds = { SEALPOINT_TLS_RELOAD_SECONDS: "often" };
    expect(refusal(() => readSettings(seconds))).toContain("SEALPOINT_TLS_RELOAD_SECONDS");
  });

  test("strength: command line, our variables, our file, Qdrant's variables, Qdrant's files", () => {
    write("config/config.yaml", "service: { grpc_port: 1001, http_port: 1002, host: 127.0.0.9 }\nlog_level: ERROR\n");
    write("config/local.yaml", "service: { http_port: 1003 }\n");
    write("sealpoint.yaml", "log_level: debug\ngrpc_port: 1004\n");
    const environment = { QDRANT__SERVICE__GRPC_PORT: "1005", QDRANT__SERVICE__HTTP_PORT: "1006" };
    expect(readSettings(environment).config).toMatchObject({
      grpcPort: 1004,
      httpPort: 1006,
      host: "127.0.0.9",
      logLevel: "debug",
    });
    expect(readSettings({ ...environment, SEALPOINT_GRPC_PORT: "1007" }).config.grpcPort).toBe(1007);
    expect(readSettings({ SEALPOINT_GRPC_PORT: "1007" }, { grpcPort: "1008" }).config.grpcPort).toBe(1008);
    expect(readSettings({}).config.httpPort).toBe(1003);
  });

  test("a named file is read alone, and has to be there", () => {
    write("sealpoint.yaml", "grpc_port: 1004\n");
    const path = write("other.yaml", "http_port: 1010\ntls: {}\ns5_portal_url: http://127.0.0.1:1\n");
    const { config, files } = readSettings({ SEALPOINT_CONFIG: path });
    expect(config).toMatchObject({ grpcPort: 6334, httpPort: 1010, s5: { portalUrls: ["http://127.0.0.1:1"] } });
    expect(files).toEqual([path]);
    expect(refusal(() => readSettings({}, { config: "none.yaml" }))).toContain("none.yaml");
  });

  test.each([
    ["sealpoint.yaml", "grpc_prot: 1\n", "grpc_prot in sealpoint.yaml"],
    ["sealpoint.yaml", "grpc_port: none\n", "grpc_port in sealpoint.yaml"],
    ["sealpoint.yaml", "- a\n", "sealpoint.yaml"],
    ["sealpoint.yaml", "a: [\n", "line"],
    ["config/config.yaml", "service: { grpc_port: 70000 }\n", "service.grpc_port in config/config.yaml"],
    ["config/config.yaml", "service: { frobnicate: 1 }\n", "service.frobnicate in config/config.yaml"],
    ["config/config.yaml", "storage: { hnsw_index: { ef_construct: 3 } }\n", "storage.hnsw_index.ef_construct in"],
    [
      "config/config.yaml",
      "storage: { optimizers: { deleted_threshold: 2 } }\n",
      "deleted_threshold in config/config.yaml",
    ],
    [
      "config/config.yaml",
      "storage: { collection: { replication_factor: 0 } }\n",
      "storage.collection.replication_factor",
    ],
    [
      "config/config.yaml",
      "storage: { collection: { quantization: { product: { memory: cold } } } }\n",
      "COMPRESSION: missing",
    ],
    [
      "config/config.yaml",
      "storage: { performance: { max_search_threads: 1e9 } }\n",
      "storage.performance.max_search_threads",
    ],
    ["sealpoint.yaml", "collection_defaults: { hnsw_config: { m: many } }\n", "collection_defaults.hnsw_config.m in"],
    ["sealpoint.yaml", "collection_defaults: { hnsw_config: { mm: 1 } }\n", "collection_defaults.hnsw_config.mm in"],
  ])("refuses %s with %j, naming it", (path, content, name) => {
    write(path, content);
    expect(refusal(() => readSettings({}))).toContain(name);
  });

  test("a cluster of one, by Qdrant's name and by ours", () => {
    expect(readSettings({}).config.cluster).toBe(false);
    const { config, ignored } = readSettings({ QDRANT__CLUSTER__ENABLED: "true", QDRANT__CLUSTER__P2P__PORT: "6335" });
    expect([config.cluster, ignored]).toEqual([true, ["QDRANT__CLUSTER__P2P__PORT"]]);
    expect(readSettings({ SEALPOINT_CLUSTER: "1" }).config.cluster).toBe(true);
  });

  test("quotas, by Qdrant's names and by ours", () => {
    const qdrants = {
      QDRANT__STORAGE__QUOTAS__ENABLED: "true",
      QDRANT__STORAGE__QUOTAS__MAX_DISK_USAGE_PERCENT: "90",
      QDRANT__STORAGE__QUOTAS__RELEASE_MARGIN_PERCENT: "0",
    };
    expect(readSettings({}).config.quota).toEqual({ enabled: false });
    const { config, ignored } = readSettings({ ...qdrants, SEALPOINT_QUOTA_MEMORY_PERCENT: "80" });
    expect(config.quota).toEqual({
      enabled: true,
      maxResidentMemoryPercent: 80,
      maxDiskUsagePercent: 90,
      releaseMarginPercent: 0,
    });
    expect(ignored).toEqual([]);
    expect(refusal(() => readSettings({ SEALPOINT_QUOTA_DISK_PERCENT: "0" }))).toContain(
      "SEALPOINT_QUOTA_DISK_PERCENT",
    );
  });

  test("defaults of new collections, in Qdrant's words and in ours", () => {
    const qdrants = {
      QDRANT__STORAGE__HNSW_INDEX__FULL_SCAN_THRESHOLD_KB: "500",
      QDRANT__STORAGE__COLLECTION__QUANTIZATION__BINARY__QUERY_ENCODING: "scalar8bits",
      QDRANT__STORAGE__COLLECTION__VECTORS__ON_DISK: "True",
      QDRANT__STORAGE__PERFORMANCE__OPTIMIZER_CPU_BUDGET: "-1000",
      QDRANT__STORAGE__PERFORMANCE__SEARCH_TIMEOUT_SEC: "30",
    };
    write("sealpoint.yaml", "collection_defaults: { hnsw_config: { full_scan_threshold: 700, memory: cold } }\n");
    const { config, ignored } = readSettings(qdrants);
    expect(config).toMatchObject({ buildThreads: 1, readThreads: 0, searchTimeoutSeconds: 30 });
    expect(config.collectionDefaults).toEqual({
      "hnsw_config.full_scan_threshold": 700,
      "hnsw_config.memory": "Cold",
      "vectors.on_disk": true,
      "quantization_config.binary.query_encoding.setting": "Scalar8Bits",
    });
    expect(ignored).toEqual([]);
  });

  test("a variable of Qdrant's is named as it was written, and a key never shows", () => {
    expect(refusal(() => readSettings({ QDRANT__SERVICE__GRPC_PORT: "x" }))).toContain("QDRANT__SERVICE__GRPC_PORT");
    const message = refusal(() => readSettings({ QDRANT__SERVICE__API_KEY: "hush" }));
    expect(message).toContain("QDRANT__SERVICE__API_KEY");
    expect(message).not.toContain("hush");
  });
});

test("a configuration of Qdrant's becomes one of ours that says the same", () => {
  const key = "a-key-of-some-length";
  const theirs = `log_level: INFO
storage:
  storage_path: ./storage
  snapshots_path: ./copies
  on_disk_payload: true
  node_type: Normal
service:
  grpc_port: 7334
  http_port: 7333
  api_key: ${key}
`;
  const path = write("theirs.yaml", theirs);
  const own = convertQdrantConfig(path);
  expect(own).toContain('collection_defaults_on_disk_payload: "true"\n');
  expect(own).toContain("# without effect here: storage.node_type\n");
  const { config } = readSettings({}, { config: write("sealpoint.yaml", own) });
  expect(config).toEqual(readSettings({}, { config: path }).config);
  expect(config.snapshotsDir).toBe(join(process.cwd(), "copies"));
  expect(refusal(() => convertQdrantConfig(write("odd.yaml", "service:\n  nonsense: 1\n")))).toContain("nonsense");
});
