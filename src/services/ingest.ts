/**
 * sealpoint.v1.Ingest. BulkUpsert: chunks of one stream reach the engine in their order, some at a time (they share one sync
 * of the log, and while one commits the next is sealed), and are acknowledged in it. A point that is refused does not keep its chunk from being
 * stored; the stream's position commits with the chunk, so a repeated chunk changes nothing.
 */

import type { PayloadSelector, PointId, VectorsSelector } from "../core/index.ts";
import { badInput, type CollectionConfig, DomainError, type Filter, limits } from "../core/index.ts";
import {
  type EncodedUpsert,
  type Engine,
  type PointInput,
  type PointTable,
  sealedSkippedOf,
  type WriteTurn,
} from "../engine/index.ts";
import { Inference } from "../inference/index.ts";
import { faultyPoint, findFaults } from "./faults.ts";
import { type GivenPoint, makeVectors, needsModel } from "./inferred.ts";
import type { Streams } from "./streams.ts";

export interface BulkStart {
  readonly kind: "start";
  readonly collection: string;
  readonly streamId: string;
  readonly publicKey: string | undefined;
  readonly freshEphemeral: boolean;
}

export interface RefusedPoint {
  /** Place in the chunk. */
  readonly index: number;
  readonly id: PointId | undefined;
  readonly error: DomainError;
}

export interface BulkChunk {
  readonly kind: "chunk";
  readonly sequence: bigint;
  readonly points: readonly GivenPoint[];
  /** Places in the chunk of `points`; absent when all were read. */
  readonly places: readonly number[] | undefined;
  /** Points that could not be read. */
  readonly refused: readonly RefusedPoint[];
  /** Gives the memory of the points back, once nobody needs them. */
  release(sealed?: boolean): void;
}

/** A chunk whose points are read only when they have to be. */
export interface EncodedBulkChunk {
  readonly kind: "encoded_chunk";
  readonly sequence: bigint;
  readonly points: EncodedUpsert;
  read(): Promise<BulkChunk>;
  /** Called once nobody needs the points' bytes any more, nor what read() gave, whether they were stored or not. `sealed`: they may have been. */
  release(sealed: boolean): void;
}

export interface BulkMessage {
  /** Undefined for a message that holds none of them. */
  readonly request: BulkStart | BulkChunk | EncodedBulkChunk | undefined;
  /** What it held on the wire. */
  readonly bytes: number;
}

export type BulkAnswer =
  | { readonly kind: "started"; readonly lastApplied: bigint }
  | {
      readonly kind: "ack";
      readonly sequence: bigint;
      readonly applied: boolean;
      readonly pointsApplied: number;
      readonly refused: readonly RefusedPoint[];
    };

type Ack = Extract<BulkAnswer, { kind: "ack" }>;

export interface ScrollStreamRequest {
  readonly collection: string;
  readonly filter: Filter | undefined;
  readonly after: PointId | undefined;
  readonly payload: PayloadSelector;
  readonly vectors: VectorsSelector;
  /** 0: the default. */
  readonly pageSize: number;
  readonly limit: number | undefined;
}

const pageSizeDefault = 256;
/** Points that the engine may refuse one by one before the chunk is given up: each costs another try. */
const engineRefusalsMax = 64;
const streamIdForm = /^[\x20-\x7e]+$/;

export class IngestService {
  readonly #engine: Engine;
  readonly #streams: Streams;
  readonly #inference: Inference;

  /** `streams`: who holds which stream, shared by all services of a process. */
  constructor(engine: Engine, streams: Streams, inference = new Inference()) {
    this.#engine = engine;
    this.#streams = streams;
    this.#inference = inference;
  }

  async *bulkUpsert(messages: AsyncIterable<BulkMessage>, signal: AbortSignal): AsyncGenerator<BulkAnswer> {
    const leave = await this.#streams.enter();
    const iterator = messages[Symbol.asyncIterator]();
    try {
      const first = await iterator.next();
      if (first.done === true) throw badInput("the first message of a stream must be start", "start");
      const start = first.value.request;
      if (start?.kind !== "start") throw badInput("the first message of a stream must be start", "start");
      checkStreamId(start.streamId);
      const { name, config } = await this.#engine.collectionInfo(start.collection);
      const stream = new BulkStream(this.#engine, this.#inference, name, config, start, iterator);
      const release = await this.#streams.take(`${start.streamId}\n${name}`, stream);
      try {
        // Read after whoever held the stream is done, so that nothing of it can still be applied.
        const lastApplied = await this.#engine.streamPosition(name, start.streamId);
        yield { kind: "started", lastApplied };
        yield* stream.run(lastApplied, signal);
      } finally {
        await stream.settle();
        release();
      }
    } finally {
      leave();
      void iterator.return?.()?.catch?.(() => undefined);
    }
  }

  /** `tellSkipped` hears, before the first page, how many sealed points the filter passes over. */
  async *scroll(
    request: ScrollStreamRequest,
    signal: AbortSignal,
    tellSkipped?: (sealedSkipped: number) => void,
  ): AsyncGenerator<PointTable> {
    const pageSize = request.pageSize === 0 ? pageSizeDefault : request.pageSize;
    if (pageSize > limits.scrollStreamPageMax) {
      throw badInput(
        `page_size: value ${pageSize} invalid, must be from 1 to ${limits.scrollStreamPageMax}`,
        "page_size",
      );
    }
    const leave = await this.#streams.enter();
    try {
      const { filter, after, payload, vectors } = request;
      const cursor = await this.#engine.openScroll(request.collection, {
        filter,
        payload,
        vectors,
        ...(after === undefined ? {} : { offset: after, afterOffset: true }),
      });
      try {
        tellSkipped?.(sealedSkippedOf(cursor));
        const endsAtMs = performance.now() + limits.scrollSnapshotSecondsMax * 1_000;
        let left = request.limit ?? Number.POSITIVE_INFINITY;
        while (left > 0) {
          signal.throwIfAborted();
          if (performance.now() > endsAtMs) {
            const text = `the view is older than ${limits.scrollSnapshotSecondsMax} seconds: go on with after = the last id`;
            throw new DomainError("aborted", text);
          }
          const page = await cursor.next(Math.min(pageSize, left));
          if (page.length === 0) return;
          left -= page.length;
          yield page;
        }
      } finally {
        await cursor.close();
      }
    } finally {
      leave();
    }
  }
}

function checkStreamId(id: string): void {
  if (id.length >= 1 && id.length <= limits.streamIdLengthMax && streamIdForm.test(id)) return;
  throw badInput(
    `start.stream_id: must be 1 to ${limits.streamIdLengthMax} printable ASCII characters`,
    "start.stream_id",
  );
}

interface Flight {
  readonly ack: Promise<Ack>;
  readonly bytes: number;
}

/** One connection of a stream, from its start on. */
class BulkStream {
  readonly #engine: Engine;
  readonly #inference: Inference;
  readonly #collection: string;
  readonly #config: CollectionConfig;
  readonly #start: BulkStart;
  readonly #messages: AsyncIterator<BulkMessage>;
  readonly #flights: Flight[] = [];
  #bytesInFlight = 0;
  #reading = true;
  #failure: unknown;
  #failed = false;
  #lastApplied = 0n;
  #expected: bigint | undefined;
  /** The chunks that were given to the engine last, the newest at the end; they settle without rejecting. */
  readonly #inEngine: Promise<boolean>[] = [];
  /** Resolves when the newest of them has its place in the order of writes, or is done for. */
  #placed: Promise<void> = Promise.resolve();
  #wake: (() => void) | undefined;

  constructor(
    engine: Engine,
    inference: Inference,
    collection: string,
    config: CollectionConfig,
    start: BulkStart,
    messages: AsyncIterator<BulkMessage>,
  ) {
    this.#engine = engine;
    this.#inference = inference;
    this.#collection = collection;
    this.#config = config;
    this.#start = start;
    this.#messages = messages;
  }

  async *run(lastApplied: bigint, signal: AbortSignal): AsyncGenerator<BulkAnswer> {
    this.#lastApplied = lastApplied;
    const onAbort = () => this.#fail(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    const pump = this.#pump();
    try {
      for (;;) {
        if (this.#failed && !isFault(this.#failure)) throw this.#failure;
        const flight = this.#flights[0];
        if (flight === undefined) {
          // What was accepted before a fault is acknowledged first.
          if (this.#failed) throw this.#failure;
          if (!this.#reading) break;
          await this.#change();
          continue;
        }
        const ack = await flight.ack.catch((error: unknown) => {
          throw this.#failed && !isFault(this.#failure) ? this.#failure : error;
        });
        yield ack;
        this.#flights.shift();
        this.#bytesInFlight -= flight.bytes;
        this.#notify();
      }
      await pump;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#fail(new DomainError("cancelled", "the stream has ended"));
    }
  }

  /** For who takes the stream over. */
  async end(reason: DomainError): Promise<void> {
    this.#fail(reason);
    await this.settle();
  }

  /** Resolves when nothing is in the engine any more. */
  async settle(): Promise<void> {
    this.#failed = true;
    await Promise.all(this.#inEngine);
  }

  #fail(reason: unknown): void {
    if (!this.#failed) this.#failure = reason;
    this.#failed = true;
    this.#reading = false;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
    const wakePump = this.#wakePump;
    this.#wakePump = undefined;
    wakePump?.();
  }

  #wakePump: (() => void) | undefined;

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Reads chunks while there is room; what is not read stays with the transport, which holds the sender back. */
  async #pump(): Promise<void> {
    try {
      while (!this.#failed) {
        if (
          this.#flights.length >= limits.streamChunksInFlightMax ||
          this.#bytesInFlight >= limits.streamBytesInFlightMax
        ) {
          await new Promise<void>((resolve) => {
            this.#wakePump = resolve;
          });
          continue;
        }
        const next = await this.#messages.next();
        if (this.#failed) return;
        if (next.done === true) {
          this.#reading = false;
          this.#notify();
          return;
        }
        this.#accept(next.value);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #accept({ request, bytes }: BulkMessage): void {
    if (request === undefined || request.kind === "start")
      throw badInput("after start every message must be a chunk", "chunk");
    const { sequence } = request;
    const expected = this.#expected ?? (sequence <= this.#lastApplied ? sequence : this.#lastApplied + 1n);
    if (sequence !== expected || sequence < 1n) {
      throw badInput(`chunk.sequence: expected ${expected < 1n ? 1n : expected}, got ${sequence}`, "chunk.sequence");
    }
    this.#expected = sequence + 1n;
    this.#bytesInFlight += bytes;
    const isRepeated = sequence <= this.#lastApplied;
    if (isRepeated) request.release(true);
    const ack = isRepeated ? Promise.resolve(repeated(sequence)) : this.#apply(request);
    // Its reader may come late; it must not count as unhandled until then.
    ack.catch(() => undefined);
    this.#flights.push({ ack, bytes });
    this.#notify();
  }

  #apply(chunk: BulkChunk | EncodedBulkChunk): Promise<Ack> {
    const previous = this.#inEngine.at(-1);
    const room = this.#inEngine.length < limits.streamChunksInEngineMax ? undefined : this.#inEngine.shift();
    let taken = (): void => undefined;
    const turn: WriteTurn = { comes: this.#placed, taken: () => taken() };
    this.#placed = new Promise((resolve) => {
      taken = resolve;
    });
    const ack = this.#write(chunk, turn, previous, room).finally(taken);
    this.#inEngine.push(
      ack.then(
        () => true,
        () => false,
      ),
    );
    return ack;
  }

  /** Waits for `room`; `previous` is the chunk before this one. */
  async #write(
    chunk: BulkChunk | EncodedBulkChunk,
    turn: WriteTurn,
    previous: Promise<boolean> | undefined,
    room: Promise<boolean> | undefined,
  ): Promise<Ack> {
    if (chunk.kind === "chunk") return this.#writeRead(chunk, turn, previous, room).finally(() => chunk.release());
    let sealed = true;
    try {
      const written = await this.#writeEncoded(chunk, turn, previous, room);
      if (written !== undefined) {
        sealed = written.sealed;
        return written.ack;
      }
      const read = await chunk.read();
      return await this.#writeRead(read, turn, previous, room).finally(() => read.release());
    } finally {
      chunk.release(sealed);
    }
  }

  /** Undefined when the chunk's points have to be read. */
  async #writeEncoded(
    chunk: EncodedBulkChunk,
    turn: WriteTurn,
    previous: Promise<boolean> | undefined,
    room: Promise<boolean> | undefined,
  ): Promise<{ readonly ack: Ack; readonly sealed: boolean } | undefined> {
    const { sequence } = chunk;
    const { publicKey, freshEphemeral } = this.#start;
    const points = { ...chunk.points, publicKey, freshEphemeral };
    if ((await room) === false) throw brokenOff();
    const stream = { id: this.#start.streamId, sequence };
    for (let waited = false; ; waited = true) {
      if (this.#failed && !isFault(this.#failure)) throw brokenOff();
      try {
        const result = await this.#engine.writeEncoded(this.#collection, points, { wait: true, stream, turn });
        if (result === undefined) return undefined;
        const ack: Ack = result.applied
          ? { kind: "ack", sequence, applied: true, pointsApplied: points.count, refused: [] }
          : repeated(sequence);
        return { ack, sealed: result.sealed === true };
      } catch (error) {
        if (waited || !overtook(error)) throw error;
        if ((await previous) === false) throw brokenOff();
      }
    }
  }

  async #writeRead(
    chunk: BulkChunk,
    turn: WriteTurn,
    previous: Promise<boolean> | undefined,
    room: Promise<boolean> | undefined,
  ): Promise<Ack> {
    const { sequence } = chunk;
    const refused: RefusedPoint[] = [...chunk.refused];
    let given = chunk.points;
    let places = chunk.places ?? given.map((_, place) => place);
    let admittedEpoch: number | undefined;
    if (given.some(needsModel)) {
      const { sealing, epoch } = await this.#engine.collectionInfo(this.#collection);
      admittedEpoch = epoch;
      const made = await makeVectors(this.#inference, given, sealing.mode === "required", engineRefusalsMax);
      for (const [at, error] of made.errors) {
        refused.push({ index: places[at] as number, id: (given[at] as GivenPoint).id, error });
      }
      places = places.filter((_, at) => !made.errors.has(at));
      given = made.points;
    }
    let points = given as readonly PointInput[];
    const drop = (faults: ReadonlyMap<number, DomainError>): void => {
      for (const [at, error] of faults) {
        refused.push({ index: places[at] as number, id: (points[at] as PointInput).id, error });
      }
      points = points.filter((_, at) => !faults.has(at));
      places = places.filter((_, at) => !faults.has(at));
    };
    const mismatched = findFaults(points, this.#config, places, false);
    if (mismatched.size > 0) drop(mismatched);
    if ((await room) === false) throw brokenOff();
    const { publicKey, freshEphemeral, streamId } = this.#start;
    let searched = false;
    let waited = false;
    for (let refusals = 0; ; ) {
      if (this.#failed && !isFault(this.#failure)) throw brokenOff();
      try {
        const { applied } = await this.#engine.write(
          this.#collection,
          { kind: "upsert", points, publicKey, freshEphemeral },
          { wait: true, stream: { id: streamId, sequence }, turn, admittedEpoch },
        );
        if (!applied) return repeated(sequence);
        refused.sort((a, b) => a.index - b.index);
        return { kind: "ack", sequence, applied, pointsApplied: points.length, refused };
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        if (overtook(error) && !waited) {
          waited = true;
          if ((await previous) === false) throw brokenOff();
          continue;
        }
        const faults = new Map<number, DomainError>();
        const at = faultyPoint(error);
        if (at === undefined || at >= points.length || ++refusals > engineRefusalsMax) throw error;
        if (!searched)
          for (const [place, fault] of findFaults(points, this.#config, places, true)) faults.set(place, fault);
        searched = true;
        faults.set(at, error);
        drop(faults);
      }
    }
  }
}

/** Whether the chunk came before its predecessor. */
function overtook(error: unknown): boolean {
  return error instanceof DomainError && error.kind === "aborted" && error.details.field === "chunk.sequence";
}

function repeated(sequence: bigint): Ack {
  return { kind: "ack", sequence, applied: false, pointsApplied: 0, refused: [] };
}

function brokenOff(): DomainError {
  return new DomainError("aborted", "a chunk before this one failed");
}

/** Faults of the sender, after which what it sent before is still acknowledged; the others end the stream at once. */
function isFault(error: unknown): boolean {
  return error instanceof DomainError && error.kind === "bad_input";
}
