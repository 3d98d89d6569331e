/** Native calls in flight that somebody may give up. */
import { type Cancellation, limits } from "../core/index.ts";

/** A ticket is a place, and above it how often the place was given. */
const placeBits = 16;
const placesMax = 1 << placeBits;

/**
 * Names calls by tickets, and cancels those whose callers have gone. It looks through them now and then, since a listener for each call would
 * cost more than most reads take.
 *
 * Places in an array and not a Map: a Map that entries come to and go from makes itself anew all the time, and the old tables, once one of them
 * is old to V8, keep each other and with them the calls alive through scavenges, until a full collection.
 */
export class TicketBook {
  readonly #held: (Cancellation | undefined)[] = [];
  readonly #tickets: number[] = [];
  readonly #free: number[] = [];
  readonly #cancel: (ticket: number) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(cancel: (ticket: number) => void) {
    this.#cancel = cancel;
  }

  /** Until release(). 0, which is no ticket, where more than 65,535 calls are in flight: nobody gives that one up. */
  take(cancellation: Cancellation): number {
    const place = this.#free.pop() ?? this.#held.length;
    if (place >= placesMax - 1) return 0;
    const before = (this.#tickets[place] ?? 0) >>> placeBits;
    // Places count from 1 in a ticket, so that none is 0.
    const ticket = (((before + 1) << placeBits) | (place + 1)) >>> 0;
    this.#tickets[place] = ticket;
    this.#held[place] = cancellation;
    this.#timer ??= setInterval(() => this.#look(), limits.cancellationLookMs).unref();
    return ticket;
  }

  release(ticket: number): void {
    const place = (ticket & (placesMax - 1)) - 1;
    if (this.#tickets[place] !== ticket || this.#held[place] === undefined) return;
    this.#held[place] = undefined;
    this.#free.push(place);
  }

  #look(): void {
    let some = false;
    for (let place = 0; place < this.#held.length; place++) {
      const cancellation = this.#held[place];
      if (cancellation === undefined) continue;
      some = true;
      const ticket = this.#tickets[place] as number;
      // Its place stays taken until the call ends: native code may still name it.
      if (cancellation.aborted) this.#cancel(ticket);
    }
    if (some) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
