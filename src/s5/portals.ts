/**
 * Downloads from S5 portals: they are asked in turn, failures that may pass are tried again after a growing, jittered pause, and a body is never
 * read beyond its cap. A portal is not trusted: what it sends is judged by `accept`, which the loader gives.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { badInput, limits } from "../core/index.ts";
import { getFrom, type PortalResponse } from "./http-get.ts";
import { giveBack } from "./memory.ts";

export const downloadFailures = ["not_found", "too_large", "timeout", "failed"] as const;
export type DownloadFailure = (typeof downloadFailures)[number];

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
  /** Of each portal. */
  readonly timeoutMs?: number | undefined;
  readonly attempts?: number | undefined;
  readonly backoffMs?: number | undefined;
  /** 0 to 1; injected by tests. */
  readonly random?: (() => number) | undefined;
}

type Attempt =
  | { readonly body: Uint8Array }
  | {
      readonly body?: undefined;
      readonly failure: DownloadError;
      readonly retry: boolean;
      readonly retryAfterMs?: number;
    };

/** Seconds or a date, RFC 9110 section 10.2.3; in milliseconds from now. */
function readRetryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  const ms = /^[0-9]{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  if (Number.isNaN(ms)) return undefined;
  // A portal may ask for patience but not stop the load: the pause stays below a file's own timeout.
  return Math.min(Math.max(ms, 0), limits.s5FileTimeoutMs);
}

async function readBody(response: PortalResponse, bytesMax: number): Promise<Uint8Array> {
  const { "content-length": size, "content-encoding": encoding = "identity" } = response.headers;
  if (encoding !== "identity") throw new DownloadError("failed", "the portal encoded the file, unasked");
  const declared = Number(size ?? Number.NaN);
  if (declared > bytesMax) throw new DownloadError("too_large", `the file has more than ${bytesMax} bytes`);
  const exact = Number.isSafeInteger(declared) && declared >= 0;
  let target = new Uint8Array(exact ? declared : Math.min(bytesMax, 64 * 1024));
  let length = 0;
  for await (const part of response as AsyncIterable<Uint8Array>) {
    if (length + part.length > bytesMax)
      throw new DownloadError("too_large", `the file has more than ${bytesMax} bytes`);
    if (length + part.length > target.length) {
      const grown = new Uint8Array(Math.min(bytesMax, Math.max(target.length * 2, length + part.length)));
      grown.set(target.subarray(0, length));
      target = grown;
    }
    target.set(part, length);
    length += part.length;
    giveBack(part);
  }
  if (exact && length !== declared) throw new DownloadError("failed", "the answer was cut short");
  return length === target.length ? target : target.slice(0, length);
}

async function attempt(url: string, options: DownloadOptions): Promise<Attempt> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? limits.s5FileTimeoutMs);
  let response: PortalResponse | undefined;
  try {
    response = await getFrom(url, AbortSignal.any([options.signal, timeout]));
    const { statusCode: status = 0, headers } = response;
    if (status === 200) return { body: await readBody(response, options.bytesMax) };
    const retryAfterMs = readRetryAfter(headers["retry-after"]);
    const failure = status === 404 || status === 410 ? "not_found" : "failed";
    return {
      failure: new DownloadError(failure, `the portal answered with status ${status}`),
      retry: status === 408 || status === 425 || status === 429 || status >= 500,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
  } catch (error) {
    options.signal.throwIfAborted();
    // Once is enough of a portal that hangs: the others may have the file.
    if (timeout.aborted)
      return { failure: new DownloadError("timeout", "the portal did not answer in time", error), retry: false };
    if (error instanceof DownloadError) return { failure: error, retry: error.failure === "failed" };
    return { failure: new DownloadError("failed", "the portal cannot be reached", error), retry: true };
  } finally {
    // An unread body would hold its connection.
    if (response?.readableEnded === false) response.destroy();
  }
}

/** What a portal sent is not the file: other portals are asked, this one is not asked again for it. */
export class UnusableFile extends Error {
  override readonly name = "UnusableFile";
  /** What the load fails with when no other portal has a better one. */
  readonly reason: Error;

  constructor(reason: Error) {
    super(reason.message);
    this.reason = reason;
  }
}

interface Turn {
  readonly portal: Portal;
  /** Of this file. */
  failures: number;
  notBefore: number;
}

interface Portal {
  readonly url: string;
  /** Failures in a row, of all files: whoever fails is asked after the others. */
  failures: number;
}

export interface PortalFigures {
  onDownload(seconds: number): void;
  /** Each attempt that failed. */
  onError(failure: DownloadFailure): void;
}

/** The portals of one load, which remembers among them who answers. */
export class Portals {
  readonly #portals: readonly Portal[];
  readonly #figures: PortalFigures | undefined;

  constructor(urls: readonly string[], figures?: PortalFigures) {
    if (urls.length === 0) throw badInput("at least one portal is needed", "portal_urls");
    this.#portals = urls.map((url) => ({ url, failures: 0 }));
    this.#figures = figures;
  }

  /**
   * Gives what `accept` makes of the file; it may refuse one by throwing UnusableFile. `path` is one that manifest.ts has built. Throws DownloadError,
   * the reason of an UnusableFile, what else `accept` throws, or the signal's reason.
   */
  async download<T>(path: string, options: DownloadOptions, accept: (body: Uint8Array) => Promise<T>): Promise<T> {
    const backoffMs = options.backoffMs ?? limits.s5BackoffMs;
    const random = options.random ?? Math.random;
    const turns: Turn[] = this.#portals.map((portal) => ({ portal, failures: 0, notBefore: 0 }));
    const attempts = Math.max(options.attempts ?? limits.s5AttemptsMax, turns.length);
    let last: Error | undefined;
    for (let number = 0; number < attempts; number++) {
      const turn = nextTurn(turns);
      if (turn === undefined) break;
      const pause = turn.notBefore - performance.now();
      if (pause > 0) await sleep(pause, undefined, { signal: options.signal });
      const begun = performance.now();
      const result = await attempt(`${turn.portal.url}/s5/fs/${path}`, options);
      const leave = (): void => void turns.splice(turns.indexOf(turn), 1);
      if (result.body !== undefined) {
        this.#figures?.onDownload((performance.now() - begun) / 1_000);
        turn.portal.failures = 0;
        try {
          return await accept(result.body);
        } catch (error) {
          if (!(error instanceof UnusableFile)) throw error;
          turn.portal.failures++;
          leave();
          // That somebody sent a wrong file says more than that others sent none.
          last = error.reason;
        }
        continue;
      }
      const { failure } = result;
      this.#figures?.onError(failure.failure);
      // What passes later says more than a portal that simply has no such file.
      if (last === undefined || (last instanceof DownloadError && last.failure === "not_found")) last = failure;
      // To have no file is no failure of the portal's.
      if (failure.failure !== "not_found") turn.portal.failures++;
      if (!result.retry) {
        leave();
        continue;
      }
      const growing = backoffMs * 2 ** turn.failures * (0.5 + random() / 2);
      turn.notBefore = performance.now() + (result.retryAfterMs ?? growing);
      turn.failures++;
    }
    throw last ?? new DownloadError("failed", "no portal answered");
  }
}

/** Who may be asked first; of those that may be asked now, who failed least. */
function nextTurn(turns: readonly Turn[]): Turn | undefined {
  const now = performance.now();
  const order = (turn: Turn): number => Math.max(turn.notBefore, now);
  let best: Turn | undefined;
  for (const turn of turns) {
    const isBetter =
      best === undefined ||
      order(turn) < order(best) ||
      (order(turn) === order(best) &&
        turn.failures * 1_000 + turn.portal.failures < best.failures * 1_000 + best.portal.failures);
    if (isBetter) best = turn;
  }
  return best;
}
