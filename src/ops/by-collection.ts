/** Figures by collection, of those that were used last: each becomes time series of whoever scrapes with `per_collection`. */
import { limits } from "../core/index.ts";

interface Entry<T> {
  readonly figures: T;
  lastUse: number;
}

/**
 * Entries stay where they are in the Map while they are used: taken out and put back for their order they would make it anew all the time
 * (native/tickets.ts says what that costs). So a count tells which was used last, and who is oldest is looked for only where there is no room.
 */
export class ByCollection<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #make: () => T;
  #uses = 0;
  #lastName: string | undefined;
  #last: Entry<T> | undefined;

  constructor(make: () => T) {
    this.#make = make;
  }

  /**
   * `found`: the call met this collection, so its name is taken in. Others count only for names that are known: what nobody has pushes
   * nothing out, nor what a call may name in vain and succeed.
   */
  of(collection: string, found: boolean): T | undefined {
    this.#uses += 1;
    let entry = collection === this.#lastName ? this.#last : this.#entries.get(collection);
    if (entry === undefined) {
      if (!found) return undefined;
      if (this.#entries.size >= limits.metricsCollectionsMax) this.#dropOldest();
      entry = { figures: this.#make(), lastUse: 0 };
      this.#entries.set(collection, entry);
    }
    entry.lastUse = this.#uses;
    this.#lastName = collection;
    this.#last = entry;
    return entry.figures;
  }

  #dropOldest(): void {
    let oldest: string | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const [name, { lastUse }] of this.#entries) {
      if (lastUse >= least) continue;
      least = lastUse;
      oldest = name;
    }
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  all(): ReadonlyMap<string, T> {
    return new Map(Array.from(this.#entries, ([name, { figures }]) => [name, figures]));
  }
}
