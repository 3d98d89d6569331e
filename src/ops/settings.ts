/**
 * Where settings come from, strongest first: SEALPOINT_ variables, sealpoint.yaml, QDRANT__ variables, Qdrant's own configuration
 * files. All of them become SEALPOINT_ settings, which `readConfig` checks; messages name what the operator wrote.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ConfigError, type ConfigOverrides, readConfig, type ServerConfig } from "./config.ts";
import { translateQdrant } from "./qdrant-settings.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Settings {
  readonly config: ServerConfig;
  /** Files that were read, in the order of their strength. */
  readonly files: readonly string[];
  /** Qdrant's settings that are understood and change nothing here, as they were written. */
  readonly ignored: readonly string[];
}

export interface Setting {
  readonly value: string;
  /** What the operator wrote, such as `service.grpc_port in config/config.yaml`. */
  readonly origin: string;
}

/** What a file of Qdrant's has at its top, and one of ours has not. */
const qdrantSections = ["service", "storage", "cluster", "telemetry_disabled", "logger"] as const;
const fileBytesMax = 1024 * 1024;
/** Loaded where there is a file: most servers have none, and the parser is a quarter of a megabyte that stays in memory. */
const loadYaml = (): typeof import("yaml") => createRequire(import.meta.url)("yaml");
const ownPrefix = "SEALPOINT_";
const qdrantPrefix = "QDRANT__";
/** Variables of ours without the prefix: the names that S5's tools use. */
const bareNames = /^(?:S5|VECTOR)_/;

/**
 * Reads everything and checks it as a whole. Throws ConfigError.
 * `configPath` (or SEALPOINT_CONFIG) names a file that must exist; a file with Qdrant's sections is read as Qdrant's.
 */
export function readSettings(
  environment: Environment,
  overrides: ConfigOverrides & { readonly config?: string } = {},
): Settings {
  const own = new Map<string, Setting>();
  const qdrants = new Map<string, Setting>();
  const files: string[] = [];
  // The first one that says something wins, so the stronger source is read first.
  const add = (to: Map<string, Setting>, name: string, value: string, origin: string): void => {
    if (!to.has(name)) to.set(name, { value, origin });
  };

  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || value.trim() === "") continue;
    if (name.startsWith(ownPrefix) || bareNames.test(name)) add(own, name, value, name);
    else if (name.toUpperCase().startsWith(qdrantPrefix)) {
      add(qdrants, name.slice(qdrantPrefix.length).toLowerCase().split("__").join("."), value, name);
    }
  }
  const { config: named = environment.SEALPOINT_CONFIG, ...rest } = overrides;
  for (const path of named === undefined ? usualFiles(environment) : [named]) {
    if (!existsSync(path)) {
      if (named === undefined) continue;
      throw new ConfigError(`SEALPOINT_CONFIG: no file ${path}`);
    }
    const content = readYaml(path);
    files.push(path);
    const isQdrants = qdrantSections.some((section) => section in content);
    for (const [key, value] of flatten(content)) {
      const origin = `${key} in ${path}`;
      if (isQdrants) add(qdrants, key, value, origin);
      else add(own, ownName(key, origin), value, origin);
    }
  }
  const { settings, ignored, unknown, needsAuthority } = translateQdrant(qdrants);
  if (unknown !== undefined) throw new ConfigError(`${unknown}: is neither one of Qdrant's settings nor one of ours`);
  for (const [name, { value, origin }] of settings) add(own, name, value, origin);
  if (needsAuthority !== undefined && !own.has("SEALPOINT_TLS_CA")) {
    throw new ConfigError(`${needsAuthority}: needs tls.ca_cert (SEALPOINT_TLS_CA), or every certificate would do`);
  }
  return { config: readChecked(own, rest), files, ignored };
}

/**
 * A configuration file of Qdrant's as a sealpoint.yaml, with a comment for each setting that changes nothing here. Keys stay in it, so the
 * text is for a file that only its owner reads. Throws ConfigError.
 */
export function convertQdrantConfig(path: string): string {
  if (!existsSync(path)) throw new ConfigError(`${path}: no such file`);
  const given = new Map<string, Setting>();
  for (const [key, value] of flatten(readYaml(path))) given.set(key, { value, origin: key });
  const { settings, ignored, unknown } = translateQdrant(given);
  if (unknown !== undefined) throw new ConfigError(`${unknown} in ${path}: is not one of Qdrant's settings`);
  const own = [...settings].map(([name, { value }]): [string, string] => [
    name.startsWith(ownPrefix) ? name.slice(ownPrefix.length).toLowerCase() : name.toLowerCase(),
    value,
  ]);
  const notes = ignored.map((key) => `# without effect here: ${key}\n`).join("");
  return `${own.length === 0 ? "" : loadYaml().stringify(Object.fromEntries(own))}${notes}`;
}

/** Qdrant's own order, weakest last, behind ours. */
function usualFiles(environment: Environment): string[] {
  const mode = environment.RUN_MODE?.trim() || "development";
  if (!/^[\w-]+$/.test(mode)) throw new ConfigError("RUN_MODE: must be letters, digits, - and _");
  return ["sealpoint.yaml", "config/local.yaml", `config/${mode}.yaml`, "config/config.yaml"];
}

function readYaml(path: string): Record<string, unknown> {
  const bytes = readFileSync(path);
  if (bytes.length > fileBytesMax) throw new ConfigError(`${path}: has more than ${fileBytesMax} bytes`);
  const { parse, YAMLParseError } = loadYaml();
  try {
    const content: unknown = parse(bytes.toString("utf8"));
    if (content === null || content === undefined) return {};
    if (typeof content === "object" && !Array.isArray(content)) return content as Record<string, unknown>;
  } catch (error) {
    // The position only: the line itself may hold a key.
    const at = error instanceof YAMLParseError ? error.linePos?.[0] : undefined;
    throw new ConfigError(
      `${path}: is not valid YAML${at === undefined ? "" : ` at line ${at.line}, column ${at.col}`}`,
    );
  }
  throw new ConfigError(`${path}: must be a map of settings`);
}

/** Nested maps as dotted keys; null says nothing. */
function flatten(content: Readonly<Record<string, unknown>>, prefix = ""): [string, string][] {
  return Object.entries(content).flatMap(([name, value]): [string, string][] => {
    const key = prefix + name;
    if (value === null || value === undefined) return [];
    if (Array.isArray(value)) return [[key, value.map(String).join(",")]];
    if (typeof value === "object") return flatten(value as Record<string, unknown>, `${key}.`);
    return [[key, String(value)]];
  });
}

/** `grpc_port` and `tls.cert` are SEALPOINT_GRPC_PORT and SEALPOINT_TLS_CERT; `s5_portal_url` keeps its own name. */
function ownName(key: string, origin: string): string {
  const name = key.replaceAll(".", "_").toUpperCase();
  const full = bareNames.test(name) ? name : ownPrefix + name;
  if (!knownNames.has(full)) throw new ConfigError(`${origin}: is not a setting`);
  return full;
}

function readChecked(settings: ReadonlyMap<string, Setting>, overrides: ConfigOverrides): ServerConfig {
  const environment = Object.fromEntries([...settings].map(([name, { value }]) => [name, value]));
  try {
    return readConfig(environment, overrides);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    // Names what the operator wrote instead of what it became.
    const message = error.message.replace(
      /\b(?:SEALPOINT|S5|VECTOR)_[A-Z0-9_]+/g,
      (name) => settings.get(name)?.origin ?? name,
    );
    throw new ConfigError(message);
  }
}

/** Every setting that a file may hold: what `readConfig` asks for. */
const knownNames: ReadonlySet<string> = (() => {
  const names = new Set<string>();
  readConfig(
    new Proxy<Record<string, undefined>>({}, { get: (_, name) => void (typeof name === "string" && names.add(name)) }),
  );
  return names;
})();
