/** A load's events: kept from the first to the last, so that whoever comes late is told everything, and told to any number of watchers. */
import type { LoadErrorCode } from "./errors.ts";
import { LoadError, loadErrorTraits, toDomainError } from "./errors.ts";

export type LoadEvent =
  | {
      readonly kind: "manifest_downloaded";
      readonly name: string;
      readonly chunks: number;
      readonly vectors: number;
      readonly dimensions: number;
      readonly sizeBytes: number;
      /** The manifest's; 0 when it does not say. */
      readonly updated: number;
    }
  | {
      readonly kind: "chunk_downloaded";
      readonly chunkId: number;
      readonly total: number;
      readonly percent: number;
      readonly vectorsLoaded: number;
    }
  | { readonly kind: "index_building" }
  | {
      readonly kind: "loading_complete";
      readonly vectorCount: number;
      readonly loadTimeMs: number;
      readonly fromCache: boolean;
      readonly chunksDownloaded: number;
    }
  | { readonly kind: "index_ready"; readonly buildTimeMs: number }
  | {
      readonly kind: "loading_error";
      readonly code: LoadErrorCode;
      readonly message: string;
      readonly isRetryable: boolean;
      readonly isSecurity: boolean;
    };

export function toErrorEvent(error: LoadError): LoadEvent {
  const { isRetryable, isSecurity } = loadErrorTraits[error.code];
  return { kind: "loading_error", code: error.code, message: error.message, isRetryable, isSecurity };
}

/** There is at most one event for each chunk, so a load's log needs no bound of its own. */
export class Progress {
  readonly #events: LoadEvent[] = [];
  readonly #watchers = new Set<() => void>();
  #ended = false;
  #failure: unknown;

  get ended(): boolean {
    return this.#ended;
  }

  push(event: LoadEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  /** Nothing comes after it. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** A LoadError becomes the last event, and the DomainError that every watcher's iteration ends with. */
  fail(error: unknown): void {
    if (this.#ended) return;
    if (error instanceof LoadError) this.#events.push(toErrorEvent(error));
    this.#failure = error instanceof LoadError ? toDomainError(error) : error;
    this.end();
  }

  /** What there was and what comes. Throws the load's failure after its last event, or the signal's reason. */
  async *watch(signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined> {
    let wake: () => void = () => undefined;
    const onWake = (): void => wake();
    this.#watchers.add(onWake);
    signal?.addEventListener("abort", onWake);
    try {
      for (let next = 0; ; ) {
        signal?.throwIfAborted();
        const event = this.#events[next];
        if (event !== undefined) {
          next++;
          yield event;
        } else if (this.#ended) {
          if (this.#failure !== undefined) throw this.#failure;
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#watchers.delete(onWake);
      signal?.removeEventListener("abort", onWake);
    }
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
