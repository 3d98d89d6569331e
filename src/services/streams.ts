/**
 * Who holds which ingest stream in this process, and how many streams are open. One registry serves the whole process; a thread that is
 * not its own asks over its port (serveStreams, RemoteStreams).
 */
import { DomainError, limits } from "../core/index.ts";
import type { ThreadPort } from "../ops/index.ts";

export interface StreamHolder {
  /** Ends the holder and resolves when nothing of it is in flight any more. */
  end(reason: DomainError): Promise<void>;
}

export interface Streams {
  /** Counts one more stream; the result ends the count. Throws exhausted. */
  enter(): (() => void) | Promise<() => void>;
  /** Takes a stream over: whoever held it is ended first, so that two never write under one id. The result lets it go. */
  take(key: string, holder: StreamHolder): Promise<() => void>;
}

export class StreamRegistry implements Streams {
  readonly #holders = new Map<string, StreamHolder>();
  #open = 0;

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

  async take(key: string, holder: StreamHolder): Promise<() => void> {
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

/** Answers another thread's RemoteStreams; `port` is the one to that thread. */
export function serveStreams(port: ThreadPort, streams: Streams): void {
  const releases = new Map<number, () => void>();
  let count = 0;
  const keep = (release: () => void): number => {
    releases.set(++count, release);
    return count;
  };
  port.on("streams.enter", async () => keep(await streams.enter()));
  port.on("streams.take", async ({ key, holder }: { key: string; holder: number }) => {
    const end = (reason: DomainError) => port.call<void>("streams.end", { holder, reason: reason.message });
    return keep(await streams.take(key, { end }));
  });
  port.on("streams.release", (number: number) => {
    releases.get(number)?.();
    releases.delete(number);
  });
}

/** The registry of another thread. */
export class RemoteStreams implements Streams {
  readonly #port: ThreadPort;
  readonly #holders = new Map<number, StreamHolder>();
  #count = 0;

  constructor(port: ThreadPort) {
    this.#port = port;
    port.on("streams.end", async ({ holder, reason }: { holder: number; reason: string }) => {
      await this.#holders.get(holder)?.end(new DomainError("aborted", reason, { retryable: false }));
    });
  }

  async enter(): Promise<() => void> {
    const number = await this.#port.call<number>("streams.enter");
    return () => this.#port.tell("streams.release", number);
  }

  async take(key: string, holder: StreamHolder): Promise<() => void> {
    // Known before it is granted, so that whoever takes it over at once finds it.
    const own = ++this.#count;
    this.#holders.set(own, holder);
    try {
      const number = await this.#port.call<number>("streams.take", { key, holder: own });
      return () => {
        this.#holders.delete(own);
        this.#port.tell("streams.release", number);
      };
    } catch (error) {
      this.#holders.delete(own);
      throw error;
    }
  }
}
