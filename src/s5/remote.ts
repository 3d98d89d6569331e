/**
 * S5 for threads that serve without sessions of their own: one thread keeps sessions, databases and loads, the others ask it. Keys lie in
 * memory that both share, so that one wipe is enough; of a stream of events the asking thread takes what there is, and asks again.
 */
import { type Cancellation, DomainError, limits } from "../core/index.ts";
import type { ThreadPort } from "../ops/index.ts";
import type { LoadRequest, LoadTarget, S5Backend, SessionQuery, UploadVector } from "./backend.ts";
import type { LoadEvent } from "./progress.ts";

type Open =
  | { readonly kind: "load"; readonly request: Omit<LoadRequest, "sessionKey">; readonly key: SharedArrayBuffer }
  | { readonly kind: "watch"; readonly target: LoadTarget }
  | { readonly kind: "refresh"; readonly sessionId: string };

interface Part {
  readonly events: readonly LoadEvent[];
  readonly done: boolean;
}

/** Events of one stream on its way to another thread. */
class Outlet {
  readonly #events: LoadEvent[] = [];
  readonly abort = new AbortController();
  #done = false;
  #failure: unknown;
  #wake: () => void = () => undefined;

  constructor(open: (signal: AbortSignal) => AsyncGenerator<LoadEvent>) {
    void this.#pump(open(this.abort.signal));
  }

  async #pump(events: AsyncGenerator<LoadEvent>): Promise<void> {
    try {
      for await (const event of events) {
        this.#events.push(event);
        this.#wake();
      }
    } catch (error) {
      this.#failure = error;
    }
    this.#done = true;
    this.#wake();
  }

  async take(): Promise<Part> {
    if (this.#events.length === 0 && !this.#done) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const events = this.#events.splice(0);
    if (events.length === 0 && this.#failure !== undefined) throw this.#failure;
    return { events, done: this.#done && this.#failure === undefined };
  }
}

/** Answers another thread's RemoteS5; `port` is the one to that thread. */
export function serveS5(port: ThreadPort, backend: S5Backend): void {
  const outlets = new Map<number, Outlet>();
  let count = 0;
  port.on("s5.open", (open: Open) => {
    const number = ++count;
    const outlet = new Outlet((signal) => {
      if (open.kind === "watch") return backend.watch(open.target, signal);
      if (open.kind === "refresh") return backend.refresh(open.sessionId, signal);
      return backend.load({ ...open.request, sessionKey: new Uint8Array(open.key) }, signal);
    });
    outlets.set(number, outlet);
    return number;
  });
  port.on("s5.take", async (number: number) => (await outlets.get(number)?.take()) ?? { events: [], done: true });
  port.on("s5.leave", (number: number) => {
    outlets.get(number)?.abort.abort();
    outlets.delete(number);
  });
  port.on("s5.status", (target: LoadTarget) => backend.status(target));
  port.on("s5.search", ({ sessionId, query, gone }: Search) => backend.search(sessionId, query, cancellationOf(gone)));
  type Upload = { readonly sessionId: string; readonly vectors: readonly UploadVector[]; readonly replace: boolean };
  port.on("s5.upload", ({ sessionId, vectors, replace }: Upload) => backend.upload(sessionId, vectors, replace));
  port.on("s5.list", () => backend.list());
  port.on("s5.cancel", (target: LoadTarget) => backend.cancel(target));
  port.on("s5.close", (sessionId: string) => backend.close(sessionId));
  port.on("s5.health", () => backend.health());
}

interface Search {
  readonly sessionId: string;
  readonly query: SessionQuery;
  /** Not 0 once nobody waits for it any more. */
  readonly gone?: SharedArrayBuffer;
}

function cancellationOf(gone: SharedArrayBuffer | undefined): Cancellation | undefined {
  if (gone === undefined) return undefined;
  const flag = new Int32Array(gone);
  return {
    get aborted() {
      return Atomics.load(flag, 0) !== 0;
    },
    throwIfAborted() {
      if (this.aborted) throw new DomainError("cancelled", "the call was cancelled");
    },
  };
}

interface Watched {
  readonly cancellation: Cancellation;
  readonly gone: SharedArrayBuffer;
  place: number;
}

/** Looks now and then whose caller has gone, for all searches at once: a call of a door is asked and does not tell. */
class Callers {
  /** Each at its place: an array, for the reason that native/tickets.ts has. */
  readonly #all: Watched[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** Until leave(). */
  watch(cancellation: Cancellation): Watched {
    const gone = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const one = { cancellation, gone, place: this.#all.length };
    this.#all.push(one);
    this.#timer ??= setInterval(() => this.#look(), limits.cancellationLookMs).unref();
    return one;
  }

  leave(one: Watched): void {
    const last = this.#all.pop() as Watched;
    if (last === one) return;
    last.place = one.place;
    this.#all[one.place] = last;
  }

  #look(): void {
    for (const { cancellation, gone } of this.#all) {
      if (cancellation.aborted) Atomics.store(new Int32Array(gone), 0, 1);
    }
    if (this.#all.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

export class RemoteS5 implements S5Backend {
  readonly #port: ThreadPort;
  readonly #callers = new Callers();

  constructor(port: ThreadPort) {
    this.#port = port;
  }

  async *load(request: LoadRequest, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined> {
    const { sessionKey, ...rest } = request;
    // A key of another length is refused where it arrives, with what else is wrong.
    const key = new SharedArrayBuffer(Math.min(sessionKey.length, limits.s5SessionKeyBytesMax));
    new Uint8Array(key).set(sessionKey.subarray(0, key.byteLength));
    sessionKey.fill(0);
    try {
      yield* this.#stream({ kind: "load", request: rest, key }, signal);
    } finally {
      // Taken over by now, or never.
      new Uint8Array(key).fill(0);
    }
  }

  watch(target: LoadTarget, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined> {
    return this.#stream({ kind: "watch", target }, signal);
  }

  refresh(sessionId: string, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined> {
    return this.#stream({ kind: "refresh", sessionId }, signal);
  }

  status(target: LoadTarget): ReturnType<S5Backend["status"]> {
    return this.#port.call("s5.status", target);
  }

  async search(sessionId: string, query: SessionQuery, cancellation?: Cancellation): ReturnType<S5Backend["search"]> {
    if (cancellation === undefined) return this.#port.call("s5.search", { sessionId, query } satisfies Search);
    const caller = this.#callers.watch(cancellation);
    try {
      const { gone } = caller;
      return await this.#port.call("s5.search", { sessionId, query, gone } satisfies Search);
    } finally {
      this.#callers.leave(caller);
    }
  }

  upload(sessionId: string, vectors: readonly UploadVector[], replace: boolean): Promise<number> {
    return this.#port.call("s5.upload", { sessionId, vectors, replace });
  }

  list(): ReturnType<S5Backend["list"]> {
    return this.#port.call("s5.list");
  }

  cancel(target: LoadTarget): Promise<boolean> {
    return this.#port.call("s5.cancel", target);
  }

  close(sessionId: string): Promise<boolean> {
    return this.#port.call("s5.close", sessionId);
  }

  health(): ReturnType<S5Backend["health"]> {
    return this.#port.call("s5.health");
  }

  async *#stream(open: Open, signal: AbortSignal | undefined): AsyncGenerator<LoadEvent, void, undefined> {
    const number = await this.#port.call<number>("s5.open", open);
    // At once, though the next part has not come: it then comes with the reason.
    const leave = (): void => this.#port.tell("s5.leave", number);
    if (signal?.aborted === true) leave();
    signal?.addEventListener("abort", leave, { once: true });
    try {
      for (let done = false; !done; ) {
        const part = await this.#port.call<Part>("s5.take", number);
        yield* part.events;
        done = part.done;
      }
    } finally {
      signal?.removeEventListener("abort", leave);
      leave();
    }
  }
}
