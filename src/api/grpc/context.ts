/** One call's state: what the handler sees of it (CallContext), its end, its log line and its measure. */
import { threadId } from "node:worker_threads";
import { Metadata, status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { DomainError } from "../../core/index.ts";
import type { CallContext } from "./call.ts";
import { answersCompressed, type BaseCall, baseCall } from "./compression.ts";
import { toDomainError } from "./errors.ts";
import type { AnyCall } from "./streams.ts";

export interface CallObserver {
  onCallStart(method: string): void;
  /** `collection`: the one that the request names. */
  onCallEnd(method: string, code: status, seconds: number, collection?: string): void;
}

/** What all calls of a server share. */
export interface CallEnvironment {
  readonly log: Logger;
  readonly observer: CallObserver;
  /** Fires when the shutdown begins. */
  readonly draining: AbortSignal;
  /** Fires when the shutdown has run out of patience. */
  readonly forced: AbortSignal;
}

/** Distinct between runs of the server and between its threads, so that an id found in a client's log names one call. */
const runPrefix = Math.floor(Date.now() / 1000).toString(36) + (threadId === 0 ? "" : `.${threadId}`);
let callCount = 0;

export class CallState implements CallContext {
  readonly requestId: string;
  readonly method: string;
  readonly base: BaseCall | undefined;
  /** That the request names, for the figures. */
  collection: string | undefined;
  readonly #call: AnyCall;
  readonly #environment: CallEnvironment;
  readonly #startedMs = performance.now();
  #headers: Metadata | undefined;
  #headersSent = false;
  #trailers: Metadata | undefined;
  #ended = false;
  #cancelled: DomainError | undefined;
  #controller: AbortController | undefined;
  #log: Logger | undefined;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #cancelWaiters: Set<(error: DomainError) => void> | undefined;

  constructor(method: string, call: AnyCall, environment: CallEnvironment) {
    callCount += 1;
    this.requestId = `${runPrefix}-${callCount.toString(36)}`;
    this.method = method;
    this.#call = call;
    this.#environment = environment;
    this.base = baseCall(call);
    environment.observer.onCallStart(method);
  }

  get peer(): string {
    return this.#call.getPeer();
  }

  get deadlineMs(): number {
    return Number(this.#call.getDeadline());
  }

  get draining(): AbortSignal {
    return this.#environment.draining;
  }

  get log(): Logger {
    this.#log ??= this.#environment.log.child({ requestId: this.requestId, method: this.method });
    return this.#log;
  }

  get aborted(): boolean {
    return this.#cancelled !== undefined;
  }

  throwIfAborted(): void {
    if (this.#cancelled !== undefined) throw this.#cancelled;
  }

  /** Made on demand: most calls end without anyone asking. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled !== undefined) this.#controller.abort(this.#cancelled);
      else this.#watchDeadline();
    }
    return this.#controller.signal;
  }

  metadata(name: string): string | undefined {
    const value = this.#call.metadata.get(name)[0];
    return typeof value === "string" ? value : undefined;
  }

  setResponseMetadata(name: string, value: string): void {
    this.#headers ??= new Metadata();
    this.#headers.set(name, value);
  }

  setTrailingMetadata(name: string, value: string): void {
    this.#trailers ??= new Metadata();
    this.#trailers.set(name, value);
  }

  leaveOutCollection(): void {
    this.collection = undefined;
  }

  /** What the handler set; most set nothing. */
  get trailers(): Metadata | undefined {
    return this.#trailers;
  }

  get cancelledBy(): DomainError | undefined {
    return this.#cancelled;
  }

  /** Sends the response headers when there is something to say; grpc-js sends plain ones by itself. */
  sendHeaders(): void {
    if (this.#headersSent || this.#cancelled !== undefined) return;
    this.#headersSent = true;
    if (answersCompressed(this.base)) this.setResponseMetadata("grpc-encoding", "gzip");
    if (this.#headers !== undefined) this.#call.sendMetadata(this.#headers);
  }

  /** The transport reports that the call is over: client gone, deadline passed, or simply closed after its end. */
  cancel(reason?: DomainError): void {
    if (this.#ended || this.#cancelled !== undefined) return;
    const late = Date.now() >= this.deadlineMs;
    this.#cancelled =
      reason ??
      (late
        ? new DomainError("timeout", "the call's deadline has passed")
        : new DomainError("cancelled", "the client cancelled the call or went away"));
    this.#controller?.abort(this.#cancelled);
    for (const reject of this.#cancelWaiters ?? []) reject(this.#cancelled);
    this.#cancelWaiters = undefined;
  }

  /** The promise's outcome, or the cancellation's error as soon as the call is cancelled. */
  orCancelled<T>(promise: Promise<T>): Promise<T> {
    if (this.#cancelled !== undefined) {
      promise.then(undefined, () => undefined);
      return Promise.reject(this.#cancelled);
    }
    this.#watchDeadline();
    this.#cancelWaiters ??= new Set();
    const waiters = this.#cancelWaiters;
    return new Promise<T>((resolve, reject) => {
      waiters.add(reject);
      promise.then(resolve, reject).finally(() => waiters.delete(reject));
    });
  }

  failure(thrown: unknown): DomainError {
    // An AbortError that our own signal caused is the cancellation, not a fault.
    if (this.#cancelled !== undefined && !(thrown instanceof DomainError)) return this.#cancelled;
    return toDomainError(thrown, this.requestId, () => this.log);
  }

  /** Notes the end; false when it had ended before. */
  end(code: status): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    if (this.#deadlineTimer !== undefined) clearTimeout(this.#deadlineTimer);
    this.#environment.forced.removeEventListener("abort", this.#onForced);
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const outcome = this.#cancelled?.kind === "timeout" ? status.DEADLINE_EXCEEDED : code;
    this.#environment.observer.onCallEnd(this.method, outcome, seconds, this.collection);
    if (this.#environment.log.isLevelEnabled("debug")) {
      this.log.debug({ code: status[outcome], ms: Math.round(seconds * 1e5) / 100, peer: this.peer }, "call");
    }
    return true;
  }

  readonly #onForced = (): void => this.cancel(new DomainError("unavailable", "the server is shutting down"));

  /**
   * grpc-js answers DEADLINE_EXCEEDED by itself but tells the handler only when the transport is flushed, which a stalled
   * reader puts off for ever; so whoever waits gets a timer of its own.
   */
  #watchDeadline(): void {
    if (this.#deadlineTimer !== undefined || this.#ended) return;
    this.#environment.forced.addEventListener("abort", this.#onForced);
    const deadline = this.deadlineMs;
    if (!Number.isFinite(deadline)) return;
    const waitMs = Math.min(Math.max(deadline - Date.now(), 0), 2 ** 31 - 1);
    this.#deadlineTimer = setTimeout(
      () => this.cancel(new DomainError("timeout", "the call's deadline has passed")),
      waitMs,
    );
    this.#deadlineTimer.unref();
  }
}
