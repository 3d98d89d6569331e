/**
 * Downloads from S5 portals: each attempt asks the next portal, failures that may pass are tried again after a growing,
 * jittered pause, and a body is never read beyond its cap. A portal is not trusted: what it sends is checked by AES-GCM.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { badInput, limits } from "../core/index.ts";

export const defaultPortalUrl = "http://127.0.0.1:5522";

export type DownloadFailure = "not_found" | "too_large" | "timeout" | "failed";

export class DownloadError extends Error {
  readonly failure: DownloadFailure;

  constructor(failure: DownloadFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "DownloadError";
    this.failure = failure;
  }
}

export interface DownloadOptions {
  readonly signal: AbortSignal;
  readonly bytesMax: number;
  readonly timeoutMs?: number;
  readonly attempts?: number;
  readonly backoffMs?: number;
  /** 0 to 1; injected by tests. */
  readonly random?: () => number;
}

/** One URL or several with commas between. Throws bad_input that names `field`. */
export function parsePortalUrls(text: string | undefined, field = "S5_PORTAL_URL"): string[] {
  const urls = (text ?? "").split(",").filter((part) => part.trim() !== "");
  if (urls.length === 0) return [defaultPortalUrl];
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

interface Attempt {
  readonly body?: Uint8Array;
  readonly failure?: DownloadError;
  readonly retry: boolean;
  readonly retryAfterMs?: number;
}

function readRetryAfter(value: string | null): number | undefined {
  if (value === null || !/^[0-9]{1,5}$/.test(value)) return undefined;
  // A portal may ask for patience but not stop the load: the pause stays below a file's own timeout.
  return Math.min(Number(value) * 1000, limits.s5FileTimeoutMs);
}

async function readBody(response: Response, bytesMax: number): Promise<Uint8Array> {
  const declared = Number(response.headers.get("content-length") ?? Number.NaN);
  if (declared > bytesMax) throw new DownloadError("too_large", `the file has more than ${bytesMax} bytes`);
  if (response.body === null) return new Uint8Array(0);
  const exact = Number.isSafeInteger(declared) && declared >= 0;
  let target = new Uint8Array(exact ? declared : Math.min(bytesMax, 64 * 1024));
  let length = 0;
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    if (length + part.length > bytesMax)
      throw new DownloadError("too_large", `the file has more than ${bytesMax} bytes`);
    if (length + part.length > target.length) {
      const grown = new Uint8Array(Math.min(bytesMax, Math.max(target.length * 2, length + part.length)));
      grown.set(target.subarray(0, length));
      target = grown;
    }
    target.set(part, length);
    length += part.length;
  }
  if (exact && length !== declared) throw new DownloadError("failed", "the answer was cut short");
  return length === target.length ? target : target.slice(0, length);
}

async function attempt(url: string, options: DownloadOptions): Promise<Attempt> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? limits.s5FileTimeoutMs);
  let response: Response | undefined;
  try {
    response = await fetch(url, {
      signal: AbortSignal.any([options.signal, timeout]),
      // A redirect could lead into the host's own network.
      redirect: "manual",
      // Files are ciphertext: compression gains nothing and would hide their size from the cap.
      headers: { "accept-encoding": "identity" },
    });
    if (response.status === 200) return { body: await readBody(response, options.bytesMax), retry: false };
    const { status } = response;
    const retryAfterMs = readRetryAfter(response.headers.get("retry-after"));
    const failure = status === 404 || status === 410 ? "not_found" : "failed";
    return {
      failure: new DownloadError(failure, `the portal answered with status ${status}`),
      retry: status === 408 || status === 429 || status >= 500,
      retryAfterMs,
    };
  } catch (error) {
    options.signal.throwIfAborted();
    if (timeout.aborted)
      return { failure: new DownloadError("timeout", "the portal did not answer in time", error), retry: true };
    if (error instanceof DownloadError) return { failure: error, retry: error.failure === "failed" };
    return { failure: new DownloadError("failed", "the portal cannot be reached", error), retry: true };
  } finally {
    // An unread body would hold its connection.
    if (response?.body !== null && response?.bodyUsed === false) await response.body?.cancel().catch(() => undefined);
  }
}

export interface Portals {
  /** Throws DownloadError, or the signal's reason. `path` is one that manifest.ts has built. */
  download(path: string, options: DownloadOptions): Promise<Uint8Array>;
}

export function createPortals(urls: readonly string[]): Portals {
  if (urls.length === 0) throw badInput("at least one portal is needed", "portal_urls");
  return {
    async download(path, options) {
      const attempts = options.attempts ?? limits.s5AttemptsMax;
      const backoffMs = options.backoffMs ?? 200;
      const random = options.random ?? Math.random;
      const usable = [...urls];
      let last: DownloadError | undefined;
      for (let turn = 0; turn < attempts; turn++) {
        const url = usable[turn % usable.length] as string;
        const result = await attempt(`${url}/s5/fs/${path}`, options);
        if (result.body !== undefined) return result.body;
        // What passes later says more than a portal that simply has no such file.
        if (last === undefined || last.failure === "not_found") last = result.failure;
        if (!result.retry) {
          usable.splice(usable.indexOf(url), 1);
          if (usable.length === 0) break;
          continue;
        }
        if (turn + 1 < attempts) {
          const pause = result.retryAfterMs ?? backoffMs * 2 ** turn * (0.5 + random() / 2);
          await sleep(pause, undefined, { signal: options.signal });
        }
      }
      throw last ?? new DownloadError("failed", "no portal answered");
    },
  };
}
