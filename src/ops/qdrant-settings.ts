/** Qdrant 1.19's settings (its config/config.yaml, QDRANT__ variables with `__` for the dots): what they are called here, and which change nothing. */
import { availableParallelism } from "node:os";
import { limits } from "../core/index.ts";
import { qdrantDefaultKeys } from "./collection-defaults.ts";
import type { Setting } from "./settings.ts";

interface Translation {
  readonly name: string;
  readonly translate: (value: string) => string;
}

const same = (name: string): Translation => ({ name, translate: (value) => value });
const flag = (name: string): Translation => ({
  name,
  translate: (value) => (/^(?:true|1|yes|on)$/i.test(value) ? "1" : /^(?:false|0|no|off)$/i.test(value) ? "0" : value),
});

const qdrantKeys: ReadonlyMap<string, Translation> = new Map<string, Translation>([
  ["log_level", { name: "SEALPOINT_LOG_LEVEL", translate: logLevel }],
  ["logger.log_level", { name: "SEALPOINT_LOG_LEVEL", translate: logLevel }],
  ["storage.storage_path", same("SEALPOINT_DATA_DIR")],
  ["storage.snapshots_path", same("SEALPOINT_SNAPSHOTS_DIR")],
  ["storage.max_collections", same("SEALPOINT_COLLECTIONS_MAX")],
  ["storage.performance.max_search_threads", same("SEALPOINT_READ_THREADS")],
  ["storage.performance.optimizer_cpu_budget", { name: "SEALPOINT_BUILD_THREADS", translate: threads }],
  ["storage.performance.search_timeout_sec", same("SEALPOINT_SEARCH_TIMEOUT_SECONDS")],
  ["storage.quotas.enabled", flag("SEALPOINT_QUOTAS")],
  ["storage.quotas.max_resident_memory_percent", same("SEALPOINT_QUOTA_MEMORY_PERCENT")],
  ["storage.quotas.max_disk_usage_percent", same("SEALPOINT_QUOTA_DISK_PERCENT")],
  ["storage.quotas.release_margin_percent", same("SEALPOINT_QUOTA_RELEASE_MARGIN_PERCENT")],
  ["cluster.enabled", flag("SEALPOINT_CLUSTER")],
  ["service.slow_query_secs", same("SEALPOINT_SLOW_QUERY_SECONDS")],
  ["service.host", same("SEALPOINT_HOST")],
  ["service.http_port", same("SEALPOINT_HTTP_PORT")],
  ["service.grpc_port", same("SEALPOINT_GRPC_PORT")],
  ["service.api_key", same("SEALPOINT_API_KEY")],
  ["service.alt_api_key", same("SEALPOINT_ALT_API_KEY")],
  ["service.read_only_api_key", same("SEALPOINT_READ_ONLY_API_KEY")],
  ["service.enable_cors", flag("SEALPOINT_CORS")],
  ["service.metrics_prefix", same("SEALPOINT_METRICS_PREFIX")],
  ["service.enable_snapshot_url_recovery", flag("SEALPOINT_SNAPSHOT_URL_RECOVERY")],
  ["service.jwt_rbac", flag("SEALPOINT_JWT_RBAC")],
  ["inference.address", same("SEALPOINT_INFERENCE_QDRANT_URL")],
  ["inference.token", same("SEALPOINT_INFERENCE_API_KEY")],
  ["inference.timeout", { name: "SEALPOINT_INFERENCE_TIMEOUT_MS", translate: seconds }],
  ["tls.cert", same("SEALPOINT_TLS_CERT")],
  ["tls.key", same("SEALPOINT_TLS_KEY")],
  ["tls.ca_cert", same("SEALPOINT_TLS_CA")],
  ["tls.cert_ttl", { name: "SEALPOINT_TLS_RELOAD_SECONDS", translate: secondsAtMost }],
  ...[...qdrantDefaultKeys].map(([key, name]): [string, Translation] => [key, same(name)]),
]);

/** Rust's filters such as `info,actix=warn` say the level first. */
function logLevel(value: string): string {
  const [level = value] = value.split(",");
  return level.trim().toLowerCase();
}

function seconds(value: string): string {
  return /^\d{1,6}$/.test(value) ? String(Number(value) * 1_000) : value;
}

/** A number below 0 is how many of the machine's are left alone. */
function threads(value: string): string {
  return /^-\d{1,4}$/.test(value) ? String(Math.max(1, availableParallelism() + Number(value))) : value;
}

/** Longer than our longest is as good as that. */
function secondsAtMost(value: string): string {
  return /^\d+$/.test(value) ? String(Math.min(Number(value), limits.tlsReloadSecondsMax)) : value;
}

/** What says whether other settings count. */
const switches: ReadonlySet<string> = new Set(["service.enable_tls", "service.verify_https_client_certificate"]);

/** Groups and keys that Qdrant knows and that change nothing here: one node, another storage engine, no web server of actix. */
const ignoredKeys: readonly RegExp[] = [
  /^(?:telemetry_disabled|per_collection_metrics_enabled)$/,
  /^debugger$/,
  /^logger\./,
  /^storage\.(?:temp_path|snapshots_config|wal|node_type|performance|optimizers|optimizers_overwrite|hnsw_index|hnsw_global_config|collection|shard_transfer_method|update_concurrency|update_queue_size|handle_collection_load_errors|recovery_mode|async_scorer|skip_file_download|quantization|mmap_advice)\b/,
  /^service\.(?:max_request_size_mb|max_workers|enable_static_content|static_content_dir|enable_tls|verify_https_client_certificate|grpc_timeout_ms|hardware_reporting|metrics_port|slow_search_threshold_ms|audit|audit_log|enable_dashboard|hide_jwt_dashboard)\b/,
  /^cluster\b/,
  /^inference\b/,
  /^audit\b/,
  /^gpu\b/,
  /^feature_flags\b/,
];

/**
 * From Qdrant's dotted keys to SEALPOINT_ names. `ignored`: what is known and changes nothing here; `unknown`: the origin of
 * a key that Qdrant has not either.
 */
export function translateQdrant(given: ReadonlyMap<string, Setting>): {
  readonly settings: ReadonlyMap<string, Setting>;
  readonly ignored: readonly string[];
  readonly unknown: string | undefined;
  /** What asks for client certificates, which need an authority. */
  readonly needsAuthority: string | undefined;
} {
  const settings = new Map<string, Setting>();
  const ignored: string[] = [];
  // Qdrant's file names a certificate even where it is not to be used.
  const isOn = (key: string): boolean => /^(?:true|1)$/i.test(given.get(key)?.value ?? "");
  const usesTls = isOn("service.enable_tls");
  const asksForCertificates = isOn("service.verify_https_client_certificate");
  const takes = (key: string): boolean =>
    !key.startsWith("tls.") || (usesTls && (key !== "tls.ca_cert" || asksForCertificates));
  for (const [key, { value, origin }] of given) {
    const known = qdrantKeys.get(key);
    if (known !== undefined && takes(key)) {
      settings.set(known.name, { value: known.translate(value), origin });
    } else if (known !== undefined || ignoredKeys.some((pattern) => pattern.test(key))) {
      if (!switches.has(key)) ignored.push(origin);
    } else {
      return { settings, ignored, unknown: origin, needsAuthority: undefined };
    }
  }
  const verifies = usesTls && asksForCertificates ? given.get("service.verify_https_client_certificate") : undefined;
  return { settings, ignored, unknown: undefined, needsAuthority: verifies?.origin };
}
