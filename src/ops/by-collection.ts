/** Figures by collection, of those that were used last: each becomes time series of whoever scrapes with `per_collection`. */
import { limits } from "../core/index.ts";

export class ByCollection<T> {
  readonly #found = new Map<string, T>();
  readonly #make: () => T;

  constructor(make: () => T) {
    this.#make = make;
  }

  /** A collection is taken in by a call that succeeded, so that names which nobody has push nothing out. */
  of(collection: string, succeeded: boolean): T | undefined {
    let figures = this.#found.get(collection);
    if (figures === undefined) {
      if (!succeeded) return undefined;
      figures = this.#make();
      if (this.#found.size >= limits.metricsCollectionsMax) {
        const [oldest] = this.#found.keys();
        this.#found.delete(oldest as string);
      }
    } else {
      this.#found.delete(collection);
    }
    this.#found.set(collection, figures);
    return figures;
  }

  /** The least lately used first. */
  all(): ReadonlyMap<string, T> {
    return this.#found;
  }
}
