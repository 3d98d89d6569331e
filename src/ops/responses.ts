/** What the REST door answered, by route and status: Qdrant's rest_responses_* in /metrics, and the requests of /telemetry. */
import { ByCollection } from "./by-collection.ts";
import { Durations, durationBuckets } from "./figures.ts";

export interface ResponseFigures {
  readonly method: string;
  /** The route's template, as Qdrant writes it: `/collections/{collection_name}/points`. */
  readonly endpoint: string;
  readonly status: number;
  readonly durations: Durations;
  secondsMin: number;
  secondsMax: number;
  /** Milliseconds since 1970. */
  lastMs: number;
}

/** By route and status, which are few, so they need no bound. */
type Figures = Map<string, ResponseFigures>;

function note(figures: Figures, method: string, endpoint: string, status: number, seconds: number): void {
  const key = `${method} ${endpoint} ${status}`;
  let found = figures.get(key);
  if (found === undefined) {
    const durations = new Durations(durationBuckets);
    found = { method, endpoint, status, durations, secondsMin: seconds, secondsMax: seconds, lastMs: 0 };
    figures.set(key, found);
  }
  found.durations.observe(seconds);
  found.secondsMin = Math.min(found.secondsMin, seconds);
  found.secondsMax = Math.max(found.secondsMax, seconds);
  found.lastMs = Date.now();
}

/** One thread's. */
export class ResponseBook {
  readonly #figures: Figures = new Map();
  readonly #byCollection = new ByCollection<Figures>(() => new Map());

  /** `collection`: the one that the path names; `found`: it was there. */
  observe(
    method: string,
    endpoint: string,
    status: number,
    seconds: number,
    collection?: string,
    found: boolean = false,
  ): void {
    note(this.#figures, method, endpoint, status, seconds);
    if (collection === undefined) return;
    const own = this.#byCollection.of(collection, found);
    if (own !== undefined) note(own, method, endpoint, status, seconds);
  }

  all(): ResponseFigures[] {
    return [...this.#figures.values()];
  }

  byCollection(): [collection: string, figures: ResponseFigures[]][] {
    return Array.from(this.#byCollection.all(), ([collection, figures]) => [collection, [...figures.values()]]);
  }
}
