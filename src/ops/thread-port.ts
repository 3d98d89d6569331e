/** Questions and answers between two threads of the process, over the port that joins them. */
import type { MessagePort, Worker } from "node:worker_threads";
import { DomainError, type ErrorDetails, type ErrorKind } from "../core/index.ts";

interface Question {
  readonly ask: string;
  /** Absent when no answer is awaited. */
  readonly number?: number;
  readonly argument: unknown;
}

interface Failure {
  /** Absent for an error that is none of the domain's. */
  readonly kind?: ErrorKind;
  readonly message: string;
  readonly retryable: boolean;
  readonly details: ErrorDetails;
}

type Message = Question | { readonly number: number; readonly value?: unknown; readonly failure?: Failure };

interface Waiter {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

// biome-ignore lint/suspicious/noExplicitAny: each handler knows the argument of its own question.
type Handler = (argument: any) => unknown;

export class ThreadPort {
  readonly #port: MessagePort | Worker;
  readonly #handlers = new Map<string, Handler>();
  readonly #waiters = new Map<number, Waiter>();
  #count = 0;
  #closed = false;

  constructor(port: MessagePort | Worker) {
    this.#port = port;
    port.on("message", (message: Message) => this.#receive(message));
  }

  /** Sets who answers a question; to be called in the turn in which the port was made. */
  on(ask: string, handler: Handler): void {
    this.#handlers.set(ask, handler);
  }

  /** Asks the other thread. A DomainError comes back as one; any other error of a handler as a plain Error. */
  call<T>(ask: string, argument?: unknown, transfer: ArrayBuffer[] = []): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) {
        reject(gone());
        return;
      }
      const number = ++this.#count;
      this.#waiters.set(number, { resolve, reject });
      this.#port.postMessage({ ask, number, argument } satisfies Question, transfer);
    });
  }

  /** The same without an answer. */
  tell(ask: string, argument?: unknown): void {
    if (!this.#closed) this.#port.postMessage({ ask, argument } satisfies Question);
  }

  /** Refuses what still waits for an answer: the other thread has ended. */
  close(): void {
    this.#closed = true;
    for (const { reject } of this.#waiters.values()) reject(gone());
    this.#waiters.clear();
  }

  #receive(message: Message): void {
    if ("ask" in message) {
      void this.#answer(message);
      return;
    }
    const waiter = this.#waiters.get(message.number);
    this.#waiters.delete(message.number);
    if (message.failure === undefined) {
      waiter?.resolve(message.value as never);
      return;
    }
    const { kind, message: text, retryable, details } = message.failure;
    waiter?.reject(kind === undefined ? new Error(text) : new DomainError(kind, text, { retryable, details }));
  }

  async #answer({ ask, number, argument }: Question): Promise<void> {
    let answer: { value?: unknown; failure?: Failure };
    try {
      const handler = this.#handlers.get(ask);
      if (handler === undefined) throw new Error(`nobody answers ${ask}`);
      answer = { value: await handler(argument) };
    } catch (error) {
      answer = { failure: describe(error) };
    }
    if (number !== undefined && !this.#closed) this.#port.postMessage({ number, ...answer });
  }
}

function describe(error: unknown): Failure {
  if (error instanceof DomainError) {
    const { kind, message, retryable, details } = error;
    return { kind, message, retryable, details };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message, retryable: false, details: {} };
}

function gone(): DomainError {
  return new DomainError("unavailable", "the server is shutting down");
}
