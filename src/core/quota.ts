/** Qdrant's resource quotas: how full the process's memory and the data folder's disk may be before writes that need more are refused. */
export interface QuotaConfig {
  /** Nothing holds unless this is true. */
  readonly enabled: boolean;
  /** 1 to 100, of the memory that the process may have. */
  readonly maxResidentMemoryPercent?: number;
  /** 1 to 100, of the file system that holds the data folder. */
  readonly maxDiskUsagePercent?: number;
  /** 0 to 100: how far below its limit a resource has to fall before writes are taken again; `quotaMarginPercentDefault` when absent. */
  readonly releaseMarginPercent?: number;
}

export const quotaMarginPercentDefault = 5;

export type QuotaResource = "memory" | "disk";

/** In whole percent, rounded down; undefined where the system does not tell. */
export type QuotaUsage = Readonly<Record<QuotaResource, number | undefined>>;

type QuotaLimit = Exclude<keyof QuotaConfig, "enabled">;

/** The limits by their names in Qdrant's JSON, each with the least that it may be. */
const limitNames: readonly (readonly [json: string, name: QuotaLimit, least: number])[] = [
  ["max_resident_memory_percent", "maxResidentMemoryPercent", 1],
  ["max_disk_usage_percent", "maxDiskUsagePercent", 1],
  ["release_margin_percent", "releaseMarginPercent", 0],
];

/** As Qdrant shows it: without the limits that are not set. */
export function quotaToJson(config: QuotaConfig): Record<string, boolean | number> {
  const json: Record<string, boolean | number> = { enabled: config.enabled };
  for (const [name, key] of limitNames) {
    const percent = config[key];
    if (percent !== undefined) json[name] = percent;
  }
  return json;
}

export interface QuotaFault {
  /** The member at fault; "" for the whole. */
  readonly field: string;
  readonly text: string;
  /** The form is right and the value is out of its range. */
  readonly outOfRange: boolean;
}

/** Reads Qdrant's JSON; `fault` makes the error that is thrown. */
export function quotaFromJson(json: unknown, fault: (fault: QuotaFault) => Error): QuotaConfig {
  const wrong = (field: string, text: string, outOfRange = false): Error => fault({ field, text, outOfRange });
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw wrong("", "expected an object");
  const given = json as Readonly<Record<string, unknown>>;
  const stranger = Object.keys(given).find((key) => key !== "enabled" && !limitNames.some(([name]) => name === key));
  if (stranger !== undefined) {
    const known = ["enabled", ...limitNames.map(([name]) => name)].map((name) => `\`${name}\``).join(", ");
    throw wrong("", `unknown field \`${stranger}\`, expected one of ${known}`);
  }
  const { enabled = false } = given;
  if (typeof enabled !== "boolean") throw wrong("enabled", "expected a boolean");
  const config: { enabled: boolean } & Partial<Record<QuotaLimit, number>> = { enabled };
  for (const [name, key, least] of limitNames) {
    const percent = given[name] ?? undefined;
    if (percent === undefined) continue;
    if (typeof percent !== "number" || !Number.isInteger(percent) || percent < 0 || percent > 255) {
      throw wrong(name, "expected a whole number from 0 to 255");
    }
    if (percent < least || percent > 100) {
      throw wrong(name, `value ${percent} invalid, must be from ${least} to 100`, true);
    }
    config[key] = percent;
  }
  return config;
}
