/** What the environment says about S5, under the names that S5's other tools use. */
import { badInput, DomainError, limits } from "../core/index.ts";

export interface S5Config {
  /** S5_PORTAL_URL: tried in turn. */
  readonly portalUrls: readonly string[];
  /** S5_MAX_PARALLEL_CHUNKS */
  readonly parallelChunks: number;
  /** S5_DOWNLOAD_TIMEOUT_SECONDS, of one file from one portal. */
  readonly fileTimeoutMs: number;
  /** S5_LOADING_TIMEOUT_MINUTES */
  readonly loadTimeoutMs: number;
  /** VECTOR_INDEX_CACHE_SIZE: databases; 0: none is kept once its sessions are closed. */
  readonly cacheSize: number;
  /** VECTOR_INDEX_CACHE_TTL_HOURS */
  readonly cacheTtlMs: number;
  /** VECTOR_CACHE_MAX_MEMORY_MB: of all databases and uploads. */
  readonly cacheBytesMax: number;
  /** S5_RATE_LIMIT_REQUESTS: loads of one user in a window. */
  readonly rateRequests: number;
  /** S5_RATE_LIMIT_WINDOW_SECONDS */
  readonly rateWindowMs: number;
  /** VECTOR_MEMORY_LIMIT_MB: of one database. */
  readonly databaseBytesMax: number;
}

export const defaultPortalUrl = "http://127.0.0.1:5522";

/** One URL or several with commas between. Throws bad_input that names `field`. */
export function parsePortalUrls(text: string | undefined, field = "S5_PORTAL_URL"): string[] {
  const urls = (text ?? "").split(",").filter((part) => part.trim() !== "");
  if (urls.length === 0) return [defaultPortalUrl];
  if (urls.length > limits.s5PortalsMax) throw badInput(`more than ${limits.s5PortalsMax} URLs`, field);
  return urls.map((part) => {
    const url = URL.canParse(part.trim()) ? new URL(part.trim()) : undefined;
    if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
      throw badInput("expected http or https URLs, separated by commas", field);
    }
    // Credentials would come back in messages and logs.
    if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
      throw badInput("a portal URL has no user, query or fragment", field);
    }
    return url.href.replace(/\/+$/, "");
  });
}

/** Name of the variable, default, least and most that it may say, and what one of it is in the unit of S5Config. */
const numbers = {
  parallelChunks: ["S5_MAX_PARALLEL_CHUNKS", 10, 1, limits.s5ParallelMax, 1],
  fileTimeoutMs: ["S5_DOWNLOAD_TIMEOUT_SECONDS", limits.s5FileTimeoutMs / 1_000, 1, 3_600, 1_000],
  loadTimeoutMs: ["S5_LOADING_TIMEOUT_MINUTES", limits.s5LoadTimeoutMs / 60_000, 1, 1_440, 60_000],
  cacheSize: ["VECTOR_INDEX_CACHE_SIZE", 10, 0, limits.s5DatabasesMax, 1],
  cacheTtlMs: ["VECTOR_INDEX_CACHE_TTL_HOURS", 24, 1, 24 * 365, 3_600_000],
  cacheBytesMax: ["VECTOR_CACHE_MAX_MEMORY_MB", 1_000, 1, 1_048_576, 1024 ** 2],
  rateRequests: ["S5_RATE_LIMIT_REQUESTS", 100, 1, 10_000, 1],
  rateWindowMs: ["S5_RATE_LIMIT_WINDOW_SECONDS", 60, 1, 86_400, 1_000],
  databaseBytesMax: ["VECTOR_MEMORY_LIMIT_MB", 500, 1, 1_048_576, 1024 ** 2],
} as const satisfies Readonly<
  Record<Exclude<keyof S5Config, "portalUrls">, readonly [string, number, number, number, number]>
>;

/** Checked as a whole; `fail` makes the error that names the variable at fault. */
export function readS5Config(text: (name: string) => string | undefined, fail: (message: string) => Error): S5Config {
  const read = (key: keyof typeof numbers): number => {
    const [name, usual, least, most, unit] = numbers[key];
    const value = text(name);
    if (value === undefined) return usual * unit;
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= least && number <= most)) {
      throw fail(`${name}: ${JSON.stringify(value)} is not a whole number from ${least} to ${most}`);
    }
    return number * unit;
  };
  let portalUrls: readonly string[];
  try {
    portalUrls = parsePortalUrls(text("S5_PORTAL_URL"));
  } catch (error) {
    // Without the value: it may hold a password.
    if (error instanceof DomainError) throw fail(`S5_PORTAL_URL: ${error.message}`);
    throw error;
  }
  const keys = Object.keys(numbers) as (keyof typeof numbers)[];
  return { portalUrls, ...(Object.fromEntries(keys.map((key) => [key, read(key)])) as Omit<S5Config, "portalUrls">) };
}

export const s5ConfigDefault: S5Config = readS5Config(
  () => undefined,
  (message) => new Error(message),
);

/** For the log: of a portal its host alone, since a path may hold a token. */
export function describeS5Config({ portalUrls, ...rest }: S5Config): Readonly<Record<string, unknown>> {
  return { portals: portalUrls.map((url) => new URL(url).origin), ...rest };
}
