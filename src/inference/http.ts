/** Requests to a provider: bounded in time, size and number, tried again when the failure may pass. Nothing of a body reaches an error. */
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError, limits } from "../core/index.ts";

export interface HttpOptions {
  readonly url: string;
  readonly timeoutMs: number;
  readonly parallel: number;
  readonly retries: number;
}

/** Waits for a place among so many. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  async enter(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

interface Failure {
  readonly error: DomainError;
  readonly passes: boolean;
  readonly waitMs?: number | undefined;
}

export class ProviderHttp {
  readonly #options: HttpOptions;
  readonly #gate: Gate;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#gate = new Gate(options.parallel);
  }

  /** The answer's JSON. `key`: a bearer token; `ownKey`: the caller's, so that a refusal is the caller's fault. */
  async post(
    body: unknown,
    key: string | undefined,
    ownKey: boolean,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const text = JSON.stringify(body);
    for (let attempt = 0; ; attempt++) {
      await this.#gate.enter();
      let outcome: { readonly json: unknown } | Failure;
      try {
        signal?.throwIfAborted();
        outcome = await this.#try(text, key, ownKey, signal);
      } finally {
        this.#gate.leave();
      }
      if ("json" in outcome) return outcome.json;
      if (!outcome.passes || attempt >= this.#options.retries) throw outcome.error;
      const backoffMs = limits.inferenceBackoffMs * 2 ** attempt * (0.5 + Math.random());
      await sleep(Math.min(outcome.waitMs ?? backoffMs, this.#options.timeoutMs), undefined, { signal });
    }
  }

  async #try(
    text: string,
    key: string | undefined,
    ownKey: boolean,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly json: unknown } | Failure> {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs);
    try {
      const response = await fetch(this.#options.url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        },
        body: text,
        // A key must not follow to another host.
        redirect: "error",
        signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      });
      if (response.status !== 200) {
        await response.body?.cancel();
        return refusal(response, ownKey);
      }
      return { json: JSON.parse(await readBounded(response)) };
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof DomainError) throw error;
      if (timeout.aborted) {
        const what = `the inference provider did not answer within ${this.#options.timeoutMs} ms`;
        return { error: new DomainError("timeout", what), passes: true };
      }
      const what =
        error instanceof SyntaxError
          ? "the inference provider's answer is no JSON"
          : "the inference provider cannot be reached";
      return { error: new DomainError("unavailable", what), passes: !(error instanceof SyntaxError) };
    }
  }
}

async function readBounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > limits.inferenceAnswerBytesMax) {
      throw new DomainError(
        "unavailable",
        `the inference provider's answer exceeds ${limits.inferenceAnswerBytesMax} bytes`,
      );
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function refusal({ status, headers }: Response, ownKey: boolean): Failure {
  const unavailable = (what: string) => new DomainError("unavailable", `${what} (${status})`);
  if (status === 401 || status === 403) {
    // The first text is Qdrant's.
    if (!ownKey) return { error: unavailable("Authentication failed for inference service"), passes: false };
    return {
      error: new DomainError("bad_input", `the inference provider refused the request's own key (${status})`),
      passes: false,
    };
  }
  const passes = status === 408 || status === 429 || status >= 500;
  if (!passes && status >= 400) {
    return { error: new DomainError("bad_input", `Inference can't process request (${status})`), passes };
  }
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  const error =
    status === 429
      ? new DomainError("rate_limited", "the inference provider is asked too often", {
          details: { retryAfterSeconds: Number.isFinite(seconds) ? seconds : 1 },
        })
      : unavailable("Inference service error");
  return { error, passes, waitMs: Number.isFinite(seconds) ? seconds * 1_000 : undefined };
}
