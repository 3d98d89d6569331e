/** What is attached, as a thread knows it that does not keep it: it asks the main thread when a count that they share has changed, or a name is not found. */
import { type EmbeddedAttachment, EmbeddedEngine } from "../engine/embedded/index.ts";
import type { Attached, Attachments, AttachmentTable } from "../engine/index.ts";
import { NativeEngine } from "../native/index.ts";
import type { ThreadPort } from "../ops/index.ts";

const question = "attachments";

export class RemoteAttachments implements Attachments {
  readonly #main: ThreadPort;
  #table = new Map<string, Attached & { readonly handle: number }>();

  readonly #count: Int32Array;
  #seen = 0;
  /** What is being asked, and the count before. */
  #asking: { readonly count: number; readonly done: Promise<boolean> } | undefined;

  /** `changes`: the AttachmentTable's. */
  constructor(main: ThreadPort, changes: SharedArrayBuffer) {
    this.#main = main;
    this.#count = new Int32Array(changes);
  }

  get isStale(): boolean {
    return Atomics.load(this.#count, 0) !== this.#seen;
  }

  get names(): readonly string[] {
    return [...this.#table.keys()];
  }

  find(name: string): Attached | undefined {
    return this.#table.get(name);
  }

  /** One question for all that ask while nothing changes: what had changed before it was asked is in its answer. */
  refresh(): Promise<boolean> {
    // Counted before it is asked for: a change in between makes it stale at once, never current for ever.
    const count = Atomics.load(this.#count, 0);
    if (this.#asking?.count === count) return this.#asking.done;
    const done = this.#ask(count).finally(() => {
      if (this.#asking?.done === done) this.#asking = undefined;
    });
    this.#asking = { count, done };
    return done;
  }

  async #ask(count: number): Promise<boolean> {
    const answer = await this.#main.call<readonly EmbeddedAttachment[]>(question);
    const before = this.#table;
    const now = new Map<string, Attached & { readonly handle: number }>();
    for (const { name, collection, handle } of answer) {
      const known = before.get(name);
      // The engine is the main thread's to close.
      const engine = () => EmbeddedEngine.over(NativeEngine.ofHandle(handle), "");
      now.set(name, known?.handle === handle ? known : { handle, collection, engine: engine() });
    }
    this.#table = now;
    this.#seen = count;
    return true;
  }
}

/** [main thread] Answers the others. */
export function serveAttachments(port: ThreadPort, attachments: AttachmentTable): void {
  port.on(question, () =>
    attachments.names.map((name) => {
      const { collection, handle } = attachments.find(name) as Attached & { readonly handle: number };
      return { name, collection, handle } satisfies EmbeddedAttachment;
    }),
  );
}
