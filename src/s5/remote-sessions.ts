/**
 * Sessions that live on another thread. A load runs where its call came in, so its key stays there; the opened vectors and metadata are
 * transferred, not copied, and are from then on the other thread's alone.
 */
import type { ThreadPort } from "../ops/index.ts";
import type { LoadSink, SinkStart } from "./loader.ts";
import type { RecordBatch } from "./opener-protocol.ts";
import type { SessionHit, Sessions } from "./sessions.ts";

interface SearchArgument {
  readonly sessionId: string;
  readonly vector: Float32Array;
  readonly k: number;
  readonly threshold: number | undefined;
}

/** Answers another thread's RemoteSessions; `port` is the one to that thread. */
export function serveSessions(port: ThreadPort, sessions: Sessions): void {
  const sinks = new Map<number, LoadSink>();
  let count = 0;
  port.on("s5.open", async (sessionId: string) => {
    const sink = await sessions.open(sessionId);
    sinks.set(++count, sink);
    return { number: count, metadataForm: sink.metadataForm };
  });
  port.on("s5.begin", ({ number, start }: { number: number; start: SinkStart }) => sinks.get(number)?.begin(start));
  port.on("s5.add", ({ number, batch }: { number: number; batch: RecordBatch }) => sinks.get(number)?.add(batch));
  port.on("s5.finish", (number: number) => sinks.get(number)?.finish());
  port.on("s5.end", async ({ number, failed }: { number: number; failed: boolean }) => {
    if (failed) await sinks.get(number)?.abort();
    sinks.delete(number);
  });
  port.on("s5.search", ({ sessionId, vector, k, threshold }: SearchArgument) =>
    sessions.search(sessionId, vector, k, threshold),
  );
  port.on("s5.close", (sessionId: string) => sessions.close(sessionId));
}

export class RemoteSessions implements Sessions {
  readonly #port: ThreadPort;

  constructor(port: ThreadPort) {
    this.#port = port;
  }

  async open(sessionId: string): Promise<LoadSink> {
    const port = this.#port;
    type Opened = { readonly number: number; readonly metadataForm: LoadSink["metadataForm"] };
    const { number, metadataForm } = await port.call<Opened>("s5.open", sessionId);
    return {
      metadataForm,
      begin: (start) => port.call("s5.begin", { number, start }),
      add: (batch) => port.call("s5.add", { number, batch }, buffersOf(batch)),
      async finish() {
        await port.call("s5.finish", number);
        await port.call("s5.end", { number, failed: false });
      },
      abort: () => port.call("s5.end", { number, failed: true }),
    };
  }

  search(sessionId: string, vector: Float32Array, k: number, threshold?: number): Promise<SessionHit[]> {
    return this.#port.call("s5.search", { sessionId, vector, k, threshold });
  }

  close(sessionId: string): Promise<boolean> {
    return this.#port.call("s5.close", sessionId);
  }
}

function buffersOf({ vectors, metadata, metadataOffsets }: RecordBatch): ArrayBuffer[] {
  const buffers = new Set([vectors, metadata, metadataOffsets].map((view) => view.buffer));
  return [...buffers].filter((buffer) => buffer instanceof ArrayBuffer);
}
