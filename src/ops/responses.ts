/** What the REST door answered, by route and status: Qdrant's rest_responses_* in /metrics, and the requests of /telemetry. */
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

/** One thread's. Routes and statuses are few, so it needs no bound. */
export class ResponseBook {
  readonly #figures = new Map<string, ResponseFigures>();

  observe(method: string, endpoint: string, status: number, seconds: number): void {
    const key = `${method} ${endpoint} ${status}`;
    let found = this.#figures.get(key);
    if (found === undefined) {
      const durations = new Durations(durationBuckets);
      found = { method, endpoint, status, durations, secondsMin: seconds, secondsMax: seconds, lastMs: 0 };
      this.#figures.set(key, found);
    }
    found.durations.observe(seconds);
    found.secondsMin = Math.min(found.secondsMin, seconds);
    found.secondsMax = Math.max(found.secondsMax, seconds);
    found.lastMs = Date.now();
  }

  all(): ResponseFigures[] {
    return [...this.#figures.values()];
  }
}
