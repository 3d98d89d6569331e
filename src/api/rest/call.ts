/** One REST request in flight, as the handlers that it shares with gRPC see it. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { type Access, type Cancellation, DomainError } from "../../core/index.ts";

/** The gRPC door's CallContext, by its structure. */
export interface RestCallContext extends Cancellation {
  readonly requestId: string;
  readonly method: string;
  readonly peer: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly draining: AbortSignal;
  readonly log: Logger;
  metadata(name: string): string | undefined;
  setResponseMetadata(name: string, value: string): void;
  setTrailingMetadata(name: string, value: string): void;
  leaveOutCollection(): void;
}

export type RestCalls = ReadonlyMap<string, (request: Uint8Array, call: RestCallContext) => Promise<Uint8Array>>;

/** Calls whose answer is a stream. */
export type RestStreams = ReadonlyMap<
  string,
  (request: Uint8Array, call: RestCallContext) => AsyncIterable<Uint8Array>
>;

/** The calls as one caller may make them. */
export type CallsFor = (access: Access) => RestCalls;
export type StreamsFor = (access: Access) => RestStreams;

const runPrefix = `r${Math.floor(Date.now() / 1000).toString(36)}`;
let count = 0;

export function nextRequestId(): string {
  count += 1;
  return `${runPrefix}-${count.toString(36)}`;
}

/** Requests whose collection is left out of the figures by collection. */
const leftOut = new WeakSet<FastifyRequest>();

export function leavesOutCollection(request: FastifyRequest): boolean {
  return leftOut.has(request);
}

export class RestCall implements RestCallContext {
  readonly requestId: string;
  readonly method: string;
  readonly deadlineMs = Number.POSITIVE_INFINITY;
  readonly draining: AbortSignal;
  readonly #request: FastifyRequest;
  readonly #reply: FastifyReply;
  readonly #log: Logger;
  #controller: AbortController | undefined;

  constructor(method: string, request: FastifyRequest, reply: FastifyReply, log: Logger, draining: AbortSignal) {
    this.requestId = request.id;
    this.method = method;
    this.draining = draining;
    this.#request = request;
    this.#reply = reply;
    this.#log = log;
  }

  get peer(): string {
    return this.#request.ip;
  }

  get log(): Logger {
    return this.#log.child({ requestId: this.requestId, method: this.method });
  }

  get aborted(): boolean {
    const { raw } = this.#reply;
    return raw.destroyed && !raw.writableFinished;
  }

  throwIfAborted(): void {
    if (this.aborted) throw new DomainError("cancelled", "the client went away");
  }

  /** Made on demand: most calls end without anyone asking. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      const gone = new DomainError("cancelled", "the client went away");
      const { raw } = this.#reply;
      if (raw.destroyed) controller.abort(gone);
      else raw.once("close", () => (raw.writableFinished ? undefined : controller.abort(gone)));
    }
    return this.#controller.signal;
  }

  metadata(name: string): string | undefined {
    const value = this.#request.headers[name];
    return typeof value === "string" ? value : undefined;
  }

  setResponseMetadata(name: string, value: string): void {
    this.#reply.header(name, value);
  }

  leaveOutCollection(): void {
    leftOut.add(this.#request);
  }

  /** HTTP/1 has trailers that nobody reads. */
  setTrailingMetadata(name: string, value: string): void {
    this.#reply.header(name, value);
  }
}
