/** Resource quotas in JSON, as Qdrant's /quotas, /telemetry and /metrics have them. */
import { isUtf8 } from "node:buffer";
import { badInput, type QuotaConfig, quotaFromJson, quotaToJson } from "../../core/index.ts";
import type { Quota } from "../../engine/index.ts";
import type { Metrics } from "../../ops/index.ts";

/** Of a single node, which has no peers to show. */
export function quotaStatus(quota: Quota): object {
  const { memory, disk } = quota.usage();
  return {
    config: quotaToJson(quota.config),
    usage: {
      ...(memory === undefined ? {} : { resident_memory_percent: memory }),
      ...(disk === undefined ? {} : { disk_usage_percent: disk }),
    },
  };
}

export function quotaTelemetry(quota: Quota): object {
  const [memory, disk] = [quota.exceeded("memory"), quota.exceeded("disk")];
  return {
    config: quotaToJson(quota.config),
    exceeded: {
      ...(memory === undefined ? {} : { resident_memory: memory }),
      ...(disk === undefined ? {} : { disk_usage: disk }),
    },
  };
}

const format = "Format error in JSON body: ";

export function readQuota(body: Buffer | undefined): QuotaConfig {
  if (body === undefined || !isUtf8(body)) throw badInput(`${format}expected an object`, "body");
  let json: unknown;
  try {
    json = JSON.parse(body.toString("utf8"));
  } catch {
    throw badInput(`${format}not JSON`, "body");
  }
  return quotaFromJson(json, ({ field, text, outOfRange }) => {
    if (outOfRange) return badInput(`Validation error in body: [${field}: ${text}]`, field);
    return badInput(`${format}${field === "" ? "" : `${field}: `}${text}`, field === "" ? "body" : field);
  });
}

/** Without a line for what has no limit, since it could never trip. */
export function addQuotaMetric(metrics: Metrics, quota: Quota): void {
  metrics.addGauges("quota_exceeded", "Whether writes are refused until a resource is less used.", async () =>
    (["memory", "disk"] as const).flatMap((resource) => {
      const exceeded = quota.exceeded(resource);
      return exceeded === undefined ? [] : [{ labels: { resource }, value: exceeded ? 1 : 0 }];
    }),
  );
}
