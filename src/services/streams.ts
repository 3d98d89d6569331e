/** Who holds which ingest stream in this process, and how many streams are open. */
import { DomainError, limits } from "../core/index.ts";

interface Holder {
  /** Ends the holder and resolves when nothing of it is in flight any more. */
  end(reason: DomainError): Promise<void>;
}

export class StreamRegistry {
  readonly #holders = new Map<string, Holder>();
  #open = 0;

  /** Counts one more stream; the result ends the count. */
  enter(): () => void {
    if (this.#open >= limits.streamsMax) {
      throw new DomainError("exhausted", `more than ${limits.streamsMax} streams are open`, {
        details: { retryAfterSeconds: 1 },
      });
    }
    this.#open++;
    let left = false;
    return () => {
      if (!left) this.#open--;
      left = true;
    };
  }

  get openCount(): number {
    return this.#open;
  }

  /** Takes a stream over: whoever held it is ended first, so that two never write under one id. */
  async take(key: string, holder: Holder): Promise<() => void> {
    for (;;) {
      const present = this.#holders.get(key);
      if (present === undefined) break;
      await present.end(new DomainError("aborted", "another connection took this stream over", { retryable: false }));
      if (this.#holders.get(key) === present) this.#holders.delete(key);
    }
    this.#holders.set(key, holder);
    return () => {
      if (this.#holders.get(key) === holder) this.#holders.delete(key);
    };
  }
}
