/**
 * One logical ingest stream over as many connections as it takes: what is not yet durable is kept and sent again after a cut,
 * and the server acknowledges repeated chunks unapplied. Nothing is lost, doubled or undone.
 */
import { create, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type ClientDuplexStream, type ServiceError, status } from "@grpc/grpc-js";
import type { PointStructSchema } from "../gen/qdrant/points_pb.js";
import {
  type BulkUpsertAck,
  BulkUpsertRequestSchema,
  type BulkUpsertResponseSchema,
} from "../gen/sealpoint/v1/ingest_pb.js";

type Request = MessageShape<typeof BulkUpsertRequestSchema>;
type Response = MessageShape<typeof BulkUpsertResponseSchema>;
export type PointInit = MessageInitShape<typeof PointStructSchema>;

export interface BulkUpsertOptions {
  /** 1 to 64 characters; the same id continues where an earlier run stopped. */
  readonly streamId: string;
  readonly publicKey?: string;
  readonly freshEphemeral?: boolean;
  /** Connections tried in a row without any acknowledgement before the error is given up to the caller. */
  readonly attemptsMax?: number;
  readonly signal?: AbortSignal;
}

interface Chunk {
  readonly sequence: bigint;
  readonly message: Request;
  readonly bytes: number;
}

const chunksUnackedMax = 64;
const bytesUnackedMax = 16 * 1024 * 1024;
const retryable: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.INTERNAL,
  status.UNKNOWN,
  status.DEADLINE_EXCEEDED,
]);

/**
 * Sends `chunks` (numbered from 1 in their order) and yields acknowledgements. To continue an earlier run give the same
 * stream id and the same chunks from the start: those that the server has are passed over.
 */
export async function* bulkUpsert(
  connect: () => ClientDuplexStream<Request, Response>,
  collectionName: string,
  chunks: Iterable<readonly PointInit[]> | AsyncIterable<readonly PointInit[]>,
  options: BulkUpsertOptions,
): AsyncGenerator<BulkUpsertAck> {
  const source = new ChunkSource(chunks);
  const attemptsMax = options.attemptsMax ?? 8;
  let failures = 0;
  try {
    while (true) {
      options.signal?.throwIfAborted();
      try {
        for await (const ack of oneConnection(connect(), collectionName, source, options)) {
          failures = 0;
          yield ack;
        }
        if (source.finished) return;
        throw Object.assign(new Error("the stream ended early"), { code: status.UNAVAILABLE });
      } catch (error) {
        const code = (error as Partial<ServiceError>).code;
        if (source.failed || code === undefined || !retryable.has(code) || ++failures >= attemptsMax) throw error;
        await new Promise((resolve) =>
          setTimeout(resolve, Math.min(2_000, 50 * 2 ** failures) * (0.5 + Math.random() / 2)),
        );
      }
    }
  } finally {
    await source.close();
  }
}

async function* oneConnection(
  call: ClientDuplexStream<Request, Response>,
  collectionName: string,
  source: ChunkSource,
  options: BulkUpsertOptions,
): AsyncGenerator<BulkUpsertAck> {
  const abort = () => call.cancel();
  options.signal?.addEventListener("abort", abort, { once: true });
  let sending: Promise<void> | undefined;
  let sendFailure: unknown;
  try {
    const { streamId, publicKey, freshEphemeral = false } = options;
    const start = { collectionName, streamId, publicKey, freshEphemeral };
    call.write(create(BulkUpsertRequestSchema, { message: { case: "start", value: start } }));
    for await (const response of call as AsyncIterable<Response>) {
      if (response.message.case === "started") {
        source.rewind(response.message.value.lastAppliedSequence);
        sending = sendAll(call, source).catch((error: unknown) => {
          sendFailure = error;
          call.cancel();
        });
      } else if (response.message.case === "ack") {
        const ack = response.message.value;
        source.acknowledge(ack.sequence, ack.durableSequence);
        yield ack;
      }
    }
  } catch (error) {
    throw sendFailure ?? error;
  } finally {
    options.signal?.removeEventListener("abort", abort);
    source.interrupt();
    call.cancel();
    await sending;
  }
  if (sendFailure !== undefined) throw sendFailure;
}

async function sendAll(call: ClientDuplexStream<Request, Response>, source: ChunkSource): Promise<void> {
  for (let chunk = await source.next(); chunk !== undefined; chunk = await source.next()) {
    if (call.destroyed) return;
    if (!call.write(chunk.message)) await drained(call, source);
  }
  // Interrupted streams are not ended: their connection is gone already.
  if (source.allSent) call.end();
}

function drained(call: ClientDuplexStream<Request, Response>, source: ChunkSource): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off("drain", done);
      call.off("close", done);
      call.off("error", done);
      resolve();
    };
    call.once("drain", done);
    call.once("close", done);
    call.once("error", done);
    source.onInterrupt(done);
  });
}

/** Numbers chunks, keeps those not yet durable and pauses while too much is unacknowledged. */
class ChunkSource {
  failed = false;
  private readonly iterator: AsyncIterator<readonly PointInit[]> | Iterator<readonly PointInit[]>;
  private kept: Chunk[] = [];
  /** Place in `kept` of the chunk to send next. */
  private place = 0;
  private sequence = 0n;
  private exhausted = false;
  private acknowledged = 0n;
  private bytesUnacked = 0;
  private wake: (() => void) | undefined;
  private interrupted = false;
  private generation = 0;
  private readonly listeners = new Set<() => void>();

  constructor(chunks: Iterable<readonly PointInit[]> | AsyncIterable<readonly PointInit[]>) {
    this.iterator =
      Symbol.asyncIterator in chunks
        ? chunks[Symbol.asyncIterator]()
        : (chunks as Iterable<readonly PointInit[]>)[Symbol.iterator]();
  }

  get allSent(): boolean {
    return this.exhausted && this.place === this.kept.length && !this.interrupted;
  }

  /** All given chunks are acknowledged. */
  get finished(): boolean {
    return this.exhausted && this.acknowledged >= this.sequence;
  }

  /** A new connection: goes on after the last chunk that the server has. */
  rewind(lastApplied: bigint): void {
    this.interrupted = false;
    this.generation++;
    this.acknowledged = lastApplied;
    this.kept = this.kept.filter((chunk) => chunk.sequence > lastApplied);
    this.place = 0;
    this.bytesUnacked = 0;
  }

  acknowledge(sequence: bigint, durable: bigint): void {
    for (const chunk of this.kept.slice(0, this.place)) {
      if (chunk.sequence > this.acknowledged && chunk.sequence <= sequence) this.bytesUnacked -= chunk.bytes;
    }
    if (sequence > this.acknowledged) this.acknowledged = sequence;
    const gone = this.kept.findIndex((chunk) => chunk.sequence > durable);
    const count = Math.min(gone < 0 ? this.kept.length : gone, this.place);
    this.kept.splice(0, count);
    this.place -= count;
    this.wake?.();
  }

  interrupt(): void {
    this.interrupted = true;
    this.wake?.();
    for (const listener of this.listeners) listener();
    this.listeners.clear();
  }

  onInterrupt(listener: () => void): void {
    this.listeners.add(listener);
  }

  /** The next chunk to send, once there is room; undefined at the end or when the connection is gone. */
  async next(): Promise<Chunk | undefined> {
    const generation = this.generation;
    while (!this.interrupted && this.isFull()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
    while (this.place >= this.kept.length && !this.exhausted && !this.interrupted) await this.pull();
    if (this.interrupted || generation !== this.generation) return undefined;
    const chunk = this.kept[this.place];
    if (chunk === undefined) return undefined;
    this.place++;
    this.bytesUnacked += chunk.bytes;
    return chunk;
  }

  private isFull(): boolean {
    if (this.place === 0) return false;
    const unacked = this.kept.slice(0, this.place).filter((chunk) => chunk.sequence > this.acknowledged).length;
    return unacked >= chunksUnackedMax || this.bytesUnacked >= bytesUnackedMax;
  }

  private async pull(): Promise<void> {
    let step: IteratorResult<readonly PointInit[]>;
    try {
      step = await this.iterator.next();
    } catch (error) {
      this.failed = true;
      throw error;
    }
    if (step.done) {
      this.exhausted = true;
      return;
    }
    this.sequence++;
    // Chunks of an earlier run are counted and passed over.
    if (this.sequence <= this.acknowledged) return;
    const chunk = { sequence: this.sequence, points: step.value as PointInit[] };
    const message = create(BulkUpsertRequestSchema, { message: { case: "chunk", value: chunk } });
    this.kept.push({ sequence: this.sequence, message, bytes: toBinary(BulkUpsertRequestSchema, message).length });
  }

  async close(): Promise<void> {
    if (!this.exhausted) await this.iterator.return?.();
  }
}
