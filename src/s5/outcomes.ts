/** How loads ended that left nothing else behind: told to who asks within a while, then forgotten. */
import { DomainError, limits } from "../core/index.ts";
import type { LoadStatus, LoadTarget } from "./backend.ts";
import { LoadError, toDomainError } from "./errors.ts";
import { type LoadEvent, toErrorEvent } from "./progress.ts";

export interface Outcome {
  readonly status: LoadStatus;
  /** What a watcher who comes too late is told. */
  events(): AsyncGenerator<LoadEvent, void, undefined>;
}

interface Kept {
  readonly outcome: Outcome;
  readonly atMs: number;
}

const nameOf = (target: LoadTarget): string =>
  target.kind === "session" ? `s ${target.sessionId}` : `c ${target.name}`;

function ofFailure(thrown: unknown): Outcome {
  const error = thrown instanceof LoadError ? toDomainError(thrown) : thrown;
  const known = error instanceof DomainError;
  const { reason, metadata } = known ? error.details : {};
  const code = reason ?? (known ? error.kind.toUpperCase() : "INTERNAL");
  // A foreign error's text may say what it should not.
  const message = known ? error.message : "internal error";
  const isRetryable = known && error.retryable;
  const isSecurity = metadata?.is_security === "true";
  return {
    status: { kind: "error", code, message, isRetryable, isSecurity },
    async *events() {
      const cause = known ? error.cause : undefined;
      if (cause instanceof LoadError) yield toErrorEvent(cause);
      throw error;
    },
  };
}

export class Outcomes {
  /** In the order of their times. */
  readonly #kept = new Map<string, Kept>();

  note(target: LoadTarget, failure: unknown): void {
    this.#keep(target, ofFailure(failure));
  }

  complete(target: LoadTarget, status: LoadStatus, last: LoadEvent): void {
    this.#keep(target, {
      status,
      async *events() {
        yield last;
      },
    });
  }

  forget(target: LoadTarget): void {
    this.#kept.delete(nameOf(target));
  }

  get(target: LoadTarget): Outcome | undefined {
    this.sweep();
    return this.#kept.get(nameOf(target))?.outcome;
  }

  sweep(): void {
    for (const [name, { atMs }] of this.#kept) {
      if (performance.now() - atMs < limits.s5OutcomeMs && this.#kept.size <= limits.s5OutcomesMax) return;
      this.#kept.delete(name);
    }
  }

  #keep(target: LoadTarget, outcome: Outcome): void {
    this.forget(target);
    this.#kept.set(nameOf(target), { outcome, atMs: performance.now() });
    this.sweep();
  }
}
