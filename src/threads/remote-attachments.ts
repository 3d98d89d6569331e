/** What is attached, as a thread knows it that does not keep it: it asks the main thread when a name is not found. */
import { type EmbeddedAttachment, EmbeddedEngine } from "../engine/embedded/index.ts";
import type { Attached, Attachments, AttachmentTable } from "../engine/index.ts";
import { NativeEngine } from "../native/index.ts";
import type { ThreadPort } from "../ops/index.ts";

const question = "attachments";

export class RemoteAttachments implements Attachments {
  readonly #main: ThreadPort;
  #table = new Map<string, Attached & { readonly handle: number }>();

  constructor(main: ThreadPort) {
    this.#main = main;
  }

  get names(): readonly string[] {
    return [...this.#table.keys()];
  }

  find(name: string): Attached | undefined {
    return this.#table.get(name);
  }

  async refresh(): Promise<boolean> {
    const before = this.#table;
    const now = new Map<string, Attached & { readonly handle: number }>();
    for (const { name, collection, handle } of await this.#main.call<readonly EmbeddedAttachment[]>(question)) {
      const known = before.get(name);
      // The engine is the main thread's to close.
      const engine = () => EmbeddedEngine.over(NativeEngine.ofHandle(handle), "");
      now.set(name, known?.handle === handle ? known : { handle, collection, engine: engine() });
    }
    this.#table = now;
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
