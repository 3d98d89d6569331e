/** From a request's body to its RPC's message: small ones at once, large ones on a thread of their own, so that they hold nobody up. */
import { isUtf8 } from "node:buffer";
import { Worker } from "node:worker_threads";
import { badInput, DomainError, type ErrorDetails, type ErrorKind, limits } from "../../core/index.ts";
import { type EncodedRequest, encodeRestRequest, type RestParams, type RestRequestName } from "../../wire/index.ts";

export interface BodyJob {
  readonly id: number;
  readonly name: RestRequestName;
  readonly params: RestParams;
  readonly body: ArrayBuffer;
}

export type BodyAnswer =
  | ({ readonly id: number } & EncodedRequest)
  | {
      readonly id: number;
      readonly failure: { readonly kind: ErrorKind; readonly message: string; readonly details: ErrorDetails };
    };

interface Waiting {
  readonly bytes: number;
  readonly resolve: (encoded: EncodedRequest) => void;
  readonly reject: (error: unknown) => void;
}

export class Bodies {
  #worker: Worker | undefined;
  #count = 0;
  #bytes = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** Throws bad_input. `body`: undefined for a request that has none. */
  encode(
    name: RestRequestName,
    params: RestParams,
    body: Buffer | undefined,
  ): EncodedRequest | Promise<EncodedRequest> {
    if (body === undefined) return encodeRestRequest(name, params, undefined);
    if (!isUtf8(body)) throw badInput("Format error in JSON body: invalid unicode code point", "body");
    if (body.length <= limits.restBodyBytesInline) return encodeRestRequest(name, params, body.toString("utf8"));
    if (this.#bytes + body.length > limits.restBodyBytesWaitingMax) {
      throw new DomainError("rate_limited", "too many large bodies wait to be read", {
        details: { retryAfterSeconds: 1 },
      });
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      this.#waiting.set(id, { bytes: body.length, resolve, reject });
      this.#bytes += body.length;
      // A copy: the body may share its memory with other requests.
      const own = new Uint8Array(body).buffer;
      this.#thread().postMessage({ id, name, params, body: own } satisfies BodyJob, [own]);
    });
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
    const worker = new Worker(new URL(`./body-worker${extension}`, import.meta.url), {
      name: "sealpoint-rest-bodies",
      // The process's own flags (a test runner's loaders) are not for this thread.
      execArgv: [],
      env: {},
    });
    worker.unref();
    worker.on("message", (answer: BodyAnswer) => this.#settle(answer));
    worker.on("error", (error) => this.#fail(worker, error));
    worker.on("exit", () => this.#fail(worker, new DomainError("unavailable", "the server is shutting down")));
    this.#worker = worker;
    return worker;
  }

  #settle(answer: BodyAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.id);
    this.#bytes -= waiting.bytes;
    if (!("failure" in answer)) {
      waiting.resolve(answer);
      return;
    }
    const { kind, message, details } = answer.failure;
    // What a foreign throw said is for the log only.
    waiting.reject(kind === "internal" ? new Error(message) : new DomainError(kind, message, { details }));
  }

  /** What the thread held is answered; the next large body starts another one. */
  #fail(worker: Worker, error: unknown): void {
    if (this.#worker === worker) this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#bytes = 0;
  }
}
