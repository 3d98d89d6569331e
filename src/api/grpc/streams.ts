/** The two halves of a streaming call as the handler knows them: an async iterable in, awaited writes out. */
import type { ServerDuplexStream, ServerReadableStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { type Box, compressBox } from "./compression.ts";
import type { CallState } from "./context.ts";

export type AnyStream = ServerWritableStream<Box, Box> | ServerDuplexStream<Box, Box>;
export type AnyCall = ServerUnaryCall<Box, Box> | ServerReadableStream<Box, Box> | AnyStream;

/** Bytes of answers that may wait for the transport before the handler is held: two HTTP/2 windows' worth. */
const unsentBytesMax = 256 * 1024;

/**
 * Requests, one by one, as the handler pulls them. Not the stream's own iterator: that one destroys the whole call when
 * the handler stops reading, answers included.
 */
export class RequestReader implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  /** True when a shutdown ended the requests before the client did. */
  cutByDrain = false;
  #ended = false;
  readonly #call: ServerReadableStream<Box, Box> | ServerDuplexStream<Box, Box>;
  readonly #state: CallState;
  readonly #decode: (bytes: Uint8Array) => unknown;
  #wake: () => void = () => undefined;

  constructor(
    call: ServerReadableStream<Box, Box> | ServerDuplexStream<Box, Box>,
    state: CallState,
    decode: (bytes: Uint8Array) => unknown,
  ) {
    this.#call = call;
    this.#state = state;
    this.#decode = decode;
    call.on("readable", () => this.#wake());
    // A reset stream ends its requests before anything says that it was reset (Node's client even half-closes first), so
    // the end is believed one turn later.
    call.on("end", () => setImmediate(() => this.#endRequests()));
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return this;
  }

  async next(): Promise<IteratorResult<unknown>> {
    for (;;) {
      if (this.#state.cancelledBy !== undefined) throw this.#state.cancelledBy;
      const box = this.#call.read() as Box | null;
      if (box !== null) return { done: false, value: this.#decode(box.bytes) };
      if (this.#ended || this.cutByDrain) return { done: true, value: undefined };
      await this.#readable();
    }
  }

  async return(): Promise<IteratorResult<unknown>> {
    return { done: true, value: undefined };
  }

  #endRequests(): void {
    if (isReset(this.#state)) this.#state.cancel();
    this.#ended = true;
    this.#wake();
  }

  async #readable(): Promise<void> {
    const { draining } = this.#state;
    if (draining.aborted) {
      this.cutByDrain = true;
      return;
    }
    const onDrain = () => {
      this.cutByDrain = !this.#ended;
      this.#wake();
    };
    draining.addEventListener("abort", onDrain);
    try {
      await this.#state.orCancelled(
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      );
    } finally {
      draining.removeEventListener("abort", onDrain);
    }
  }
}

function isReset(state: CallState): boolean {
  const stream = state.base?.stream;
  return stream !== undefined && (stream.closed || stream.destroyed);
}

export class ResponseWriter {
  readonly #call: AnyStream;
  readonly #state: CallState;
  #unsentBytes = 0;
  #wake: () => void = () => undefined;

  constructor(call: AnyStream, state: CallState) {
    this.#call = call;
    this.#state = state;
    call.on("drain", () => this.#wake());
  }

  /** Resolves when the next message may be made. */
  async write(bytes: Uint8Array): Promise<void> {
    const box = await compressBox(this.#state.base, bytes);
    if (this.#state.cancelledBy !== undefined) throw this.#state.cancelledBy;
    this.#state.sendHeaders();
    const size = box.bytes.byteLength;
    this.#unsentBytes += size;
    this.#call.write(box, () => {
      this.#unsentBytes -= size;
      this.#wake();
    });
    while (this.#unsentBytes > unsentBytesMax || this.#call.writableNeedDrain) {
      await this.#state.orCancelled(
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      );
    }
  }
}
