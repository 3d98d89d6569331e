/** Native calls in flight that somebody may give up. */
import { type Cancellation, limits } from "../core/index.ts";

/**
 * Names calls by tickets, and cancels those whose callers have gone. It looks through them now and then, since a listener for each call would
 * cost more than most reads take.
 */
export class TicketBook {
  readonly #held = new Map<number, Cancellation>();
  readonly #cancel: (ticket: number) => void;
  #last = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(cancel: (ticket: number) => void) {
    this.#cancel = cancel;
  }

  /** Until release(). Never 0, which is no ticket. */
  take(cancellation: Cancellation): number {
    this.#last = this.#last >= 0xffff_ffff ? 1 : this.#last + 1;
    this.#held.set(this.#last, cancellation);
    this.#timer ??= setInterval(() => this.#look(), limits.cancellationLookMs).unref();
    return this.#last;
  }

  release(ticket: number): void {
    this.#held.delete(ticket);
  }

  #look(): void {
    if (this.#held.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    for (const [ticket, cancellation] of this.#held) {
      if (!cancellation.aborted) continue;
      this.#held.delete(ticket);
      this.#cancel(ticket);
    }
  }
}
