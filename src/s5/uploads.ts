/** Sessions whose vectors are uploaded instead of loaded: an index of their own, that nobody shares. */
import { setImmediate as turn } from "node:timers/promises";
import { badInput, DomainError, limits, type PointId } from "../core/index.ts";
import type { UploadVector } from "./backend.ts";
import { badField, LoadError } from "./errors.ts";
import { estimateBytes } from "./manifest.ts";
import { encodeMetadata, isRecordId, recordIdLengthMax } from "./metadata.ts";
import type { RecordBatch } from "./opener-protocol.ts";
import { Progress } from "./progress.ts";
import { toPointId } from "./record-ids.ts";
import type { Session } from "./session.ts";
import type { SessionIndex, SessionIndexes } from "./session-index.ts";

export interface UploadedSessionOptions {
  readonly sessionId: string;
  readonly indexes: SessionIndexes;
  /** Makes room for so many bytes more, or throws LoadError. */
  readonly admit: (bytes: number) => void;
  readonly bytesMax: number;
}

/** What JavaScript may do of an upload before others get their turn. */
const sliceMs = 4;

export class UploadedSession implements Session {
  readonly progress = new Progress();
  readonly isReady = true;
  readonly percent = 100;
  readonly loadTimeMs = 0;
  readonly createdAtMs = Date.now();
  lastUsedAtMs = Date.now();
  index: SessionIndex | undefined;
  readonly #options: UploadedSessionOptions;
  #ids = new Set<string>();
  #chunks: number[] = [];
  #nextChunk = 0;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #building: Promise<void> | undefined;
  readonly #abort = new AbortController();

  constructor(options: UploadedSessionOptions) {
    this.#options = options;
    this.progress.end();
  }

  get isEmpty(): boolean {
    return this.index === undefined && this.#waiting === 0;
  }

  get vectorCount(): number {
    return this.index?.rows ?? 0;
  }

  touch(): void {
    this.lastUsedAtMs = Date.now();
  }

  /** One after the other; each wholly or not at all. Gives the number of vectors. */
  upload(vectors: readonly UploadVector[], replace: boolean): Promise<number> {
    this.#waiting++;
    const done = this.#last.then(() => this.#upload(vectors, replace)).finally(() => this.#waiting--);
    this.#last = done.catch(() => undefined);
    return done;
  }

  close(): void {
    this.#abort.abort();
    this.#ids.clear();
    const { index } = this;
    this.index = undefined;
    index?.close().catch(() => undefined);
  }

  async #upload(vectors: readonly UploadVector[], replace: boolean): Promise<number> {
    const first = vectors[0];
    if (first === undefined) throw badField("vectors", "expected at least one vector");
    if (vectors.length > limits.s5UploadVectorsMax) {
      throw badField("vectors", `more than ${limits.s5UploadVectorsMax} vectors in one request`);
    }
    const before = this.index;
    const dimensions = replace || before === undefined ? first.vector.length : before.dimensions;
    if (dimensions < 1 || dimensions > limits.vectorDimensionsMax) {
      throw badField("vectors[0].vector", `expected 1 to ${limits.vectorDimensionsMax} components`);
    }
    const total = vectors.length + (replace ? 0 : (before?.rows ?? 0));
    const needed = estimateBytes(total, dimensions);
    if (needed > this.#options.bytesMax) {
      throw new LoadError(
        "MEMORY_LIMIT_EXCEEDED",
        `the session needs more than the ${this.#options.bytesMax} bytes allowed`,
      );
    }
    const ids = new Set(replace ? [] : this.#ids);
    const batch = await toBatch(vectors, dimensions, ids, this.#nextChunk++);
    this.#options.admit(estimateBytes(vectors.length, dimensions));
    this.#checkOpen();
    if (before === undefined || before.dimensions !== dimensions) {
      const index = await this.#options.indexes.create({ dimensions, rows: total });
      await index.add(batch);
      if (this.#abort.signal.aborted) await index.close();
      this.#checkOpen();
      this.index = index;
      await before?.close();
    } else if (replace) {
      await before.stage(batch);
      await before.publish(this.#chunks);
    } else {
      await before.add(batch);
    }
    this.#checkOpen();
    this.#ids = ids;
    this.#chunks = replace ? [batch.chunkId] : [...this.#chunks, batch.chunkId];
    this.#build();
    return this.vectorCount;
  }

  /** Beside searches, which are exact until it is done; once for all uploads that came meanwhile. */
  #build(): void {
    const { index } = this;
    if (index === undefined || this.#building !== undefined) return;
    const rows = index.rows;
    this.#building = index
      .buildGraph(this.#abort.signal)
      // Without a graph it is searched exactly.
      .catch(() => undefined)
      .finally(() => {
        this.#building = undefined;
        if (this.index !== undefined && !this.#abort.signal.aborted && this.index.rows !== rows) this.#build();
      });
  }

  #checkOpen(): void {
    if (this.#abort.signal.aborted) throw new DomainError("cancelled", "the session was closed");
  }
}

/** Checks the vectors and brings them into columns; `ids` are those that there are, and get the new ones. */
async function toBatch(
  uploaded: readonly UploadVector[],
  dimensions: number,
  ids: Set<string>,
  chunkId: number,
): Promise<RecordBatch> {
  const vectors = new Float32Array(uploaded.length * dimensions);
  const pointIds: PointId[] = [];
  const pieces: Uint8Array[] = [];
  const metadataOffsets = new Uint32Array(uploaded.length + 1);
  let begun = performance.now();
  for (const [i, { id, vector, metadata }] of uploaded.entries()) {
    const name = `vectors[${i}]`;
    if (!isRecordId(id)) throw badField(`${name}.id`, `expected a text of 1 to ${recordIdLengthMax} characters`);
    const pointId = toPointId(id);
    if (ids.has(String(pointId))) throw badField(`${name}.id`, "the session has it already");
    ids.add(String(pointId));
    if (vector.length !== dimensions) {
      throw badInput(`Vector dimension error: expected dim: ${dimensions}, got ${vector.length}`, `${name}.vector`);
    }
    if (vector.some((component) => !Number.isFinite(component))) {
      throw badField(`${name}.vector`, "every component must be finite");
    }
    vectors.set(vector, i * dimensions);
    pointIds.push(pointId);
    const piece = readMetadata(metadata, id, `${name}.metadata`);
    pieces.push(piece);
    metadataOffsets[i + 1] = (metadataOffsets[i] as number) + piece.length;
    if (performance.now() - begun > sliceMs) {
      await turn();
      begun = performance.now();
    }
  }
  const metadata = Buffer.concat(pieces);
  return { chunkId, dimensions, ids: uploaded.map(({ id }) => id), pointIds, vectors, metadata, metadataOffsets };
}

function readMetadata(text: string, id: string, field: string): Uint8Array {
  let json: unknown;
  try {
    json = text === "" ? {} : JSON.parse(text);
  } catch {
    throw badField(field, "expected the JSON of an object");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw badField(field, "expected the JSON of an object");
  try {
    return encodeMetadata(json, id, false, field);
  } catch (error) {
    throw error instanceof LoadError ? badField(field, error.message) : error;
  }
}
