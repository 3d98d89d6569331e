/** Requests of each user within a sliding window. Exact: the times of the last requests are kept, and no timer runs. */
import { limits } from "../core/index.ts";
import { LoadError } from "./errors.ts";

export class RateLimit {
  readonly #requests: number;
  readonly #windowMs: number;
  readonly #nowMs: () => number;
  /** In the order of the last request, so that who waited longest is forgotten first. */
  readonly #users = new Map<string, number[]>();

  constructor(requests: number, windowMs: number, nowMs: () => number = () => performance.now()) {
    this.#requests = requests;
    this.#windowMs = windowMs;
    this.#nowMs = nowMs;
  }

  /** Counts a request. Throws RATE_LIMIT_EXCEEDED, which is not counted, with the time after which the next one is admitted. */
  admit(user: string): void {
    const now = this.#nowMs();
    const name = user.toLowerCase();
    const times = (this.#users.get(name) ?? []).filter((time) => now - time < this.#windowMs);
    this.#users.delete(name);
    this.#users.set(name, times);
    if (times.length >= this.#requests) {
      const retryAfterSeconds = Math.max(1, Math.ceil(((times[0] as number) + this.#windowMs - now) / 1_000));
      const text = `more than ${this.#requests} loads in ${this.#windowMs / 1_000} s: try again in ${retryAfterSeconds} s`;
      throw new LoadError("RATE_LIMIT_EXCEEDED", text, { retryAfterSeconds });
    }
    times.push(now);
    for (const [oldest, seen] of this.#users) {
      const isOver = this.#users.size > limits.s5RateUsersMax;
      const isPast = now - (seen.at(-1) ?? Number.NEGATIVE_INFINITY) >= this.#windowMs;
      if (!isOver && !isPast) break;
      this.#users.delete(oldest);
    }
  }
}
