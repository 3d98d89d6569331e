/**
 * Session indexes: databases in memory, searched exactly, never on disk. A session is named by its caller and is gone after
 * Close, after a day without a search, or with the process; its vectors and metadata are overwritten then.
 */
import { badInput, DomainError, limits } from "../core/index.ts";
import type { LoadSink, SinkStart } from "./loader.ts";
import { estimateBytes } from "./manifest.ts";
import type { RecordBatch } from "./opener-protocol.ts";

export interface RowHit {
  /** Rows count up from 0 in the order of add. */
  readonly row: number;
  readonly score: number;
}

/** A store of vectors in memory, searched by cosine, exactly and off the event loop: the native one, made by the engine. */
export interface RowIndex {
  /** `vectors` holds whole rows. */
  add(vectors: Float32Array): Promise<unknown>;
  /** Best first, at most k, no score below `threshold`. */
  search(vector: Float32Array, k: number, threshold?: number): Promise<RowHit[]>;
  /** Overwrites and forgets the vectors. */
  close(): Promise<void>;
}

export type CreateRows = (dimensions: number) => Promise<RowIndex>;

export interface SessionHit {
  readonly id: string;
  readonly score: number;
  /** JSON of the metadata. */
  readonly metadata: string;
}

interface Session {
  state: "loading" | "ready";
  readonly bytes: number;
  readonly dimensions: number;
  readonly count: number;
  readonly index: RowIndex;
  readonly ids: string[];
  /** Where each row's metadata lies: a batch, and its place in it. */
  readonly batches: { readonly firstRow: number; readonly metadata: Uint8Array; readonly offsets: Uint32Array }[];
  idleTimer: NodeJS.Timeout | undefined;
}

/** A name that a load has taken and not yet filled. */
interface Reservation {
  readonly state: "reserved";
}

const sessionIdForm = /^[\x21-\x7e]{1,64}$/;
const hitsMax = 10_000;

export interface S5SessionsOptions {
  readonly createIndex: CreateRows;
  readonly idleMs?: number;
  readonly bytesMax?: number;
  readonly sessionsMax?: number;
}

/** The sessions of the process; those of another thread are asked for over a port (remote-sessions.ts). */
export interface Sessions {
  /** A sink that loads into a new session. The name is taken at once, and free again when the load fails. */
  open(sessionId: string): LoadSink | Promise<LoadSink>;
  search(sessionId: string, vector: Float32Array, k: number, threshold?: number): Promise<SessionHit[]>;
  /** False when there was none. */
  close(sessionId: string): boolean | Promise<boolean>;
}

export class S5Sessions implements Sessions {
  private readonly sessions = new Map<string, Session | Reservation>();
  private readonly createIndex: CreateRows;
  private readonly idleMs: number;
  private readonly bytesMax: number;
  private readonly sessionsMax: number;
  private bytes = 0;

  constructor(options: S5SessionsOptions) {
    this.createIndex = options.createIndex;
    this.idleMs = options.idleMs ?? limits.s5SessionIdleMs;
    this.bytesMax = options.bytesMax ?? limits.s5SessionsBytesMax;
    this.sessionsMax = options.sessionsMax ?? limits.s5SessionsMax;
  }

  open(sessionId: string): LoadSink {
    if (!sessionIdForm.test(sessionId)) throw badInput("expected 1 to 64 printable characters", "session_id");
    if (this.sessions.has(sessionId))
      throw new DomainError("already_exists", `Session \`${sessionId}\` already exists!`);
    if (this.sessions.size >= this.sessionsMax) {
      throw new DomainError("exhausted", `more than ${this.sessionsMax} sessions`);
    }
    const reservation: Reservation = { state: "reserved" };
    this.sessions.set(sessionId, reservation);
    let session: Session | undefined;
    // A session closed during its load stays closed, even if its name was taken again since.
    const current = (): Session => {
      if (session === undefined || this.sessions.get(sessionId) !== session) {
        throw closedDuringLoad();
      }
      return session;
    };
    return {
      metadataForm: "json",
      begin: async (start) => {
        if (this.sessions.get(sessionId) !== reservation) throw closedDuringLoad();
        session = await this.createSession(start);
        if (this.sessions.get(sessionId) === reservation) this.sessions.set(sessionId, session);
        else {
          this.wipe(session);
          throw closedDuringLoad();
        }
      },
      add: async (batch) => {
        const target = current();
        await target.index.add(batch.vectors);
        batch.vectors.fill(0);
        current();
        addRecords(target, batch);
      },
      finish: () => {
        const target = current();
        target.state = "ready";
        this.touch(sessionId, target);
      },
      abort: () => {
        const found = this.sessions.get(sessionId);
        if (found !== undefined && (found === reservation || found === session)) this.close(sessionId);
      },
    };
  }

  async search(sessionId: string, vector: Float32Array, k: number, threshold?: number): Promise<SessionHit[]> {
    const session = this.sessions.get(sessionId);
    if (session === undefined) throw new DomainError("not_found", `Not found: Session \`${sessionId}\` doesn't exist!`);
    if (session.state !== "ready") {
      const percent =
        session.state === "reserved" || session.count === 0
          ? 0
          : Math.floor((session.ids.length / session.count) * 100);
      throw new DomainError("precondition", `still loading (${percent} %)`, { retryable: true });
    }
    if (vector.length !== session.dimensions) {
      throw badInput(`Vector dimension error: expected dim: ${session.dimensions}, got ${vector.length}`, "vector");
    }
    if (vector.some((component) => !Number.isFinite(component)))
      throw badInput("every component must be finite", "vector");
    if (!Number.isInteger(k) || k < 1 || k > hitsMax) throw badInput(`expected 1 to ${hitsMax}`, "k");
    if (threshold !== undefined && !Number.isFinite(threshold)) throw badInput("must be finite", "threshold");
    this.touch(sessionId, session);
    const hits = await session.index.search(vector, k, threshold);
    return hits.map(({ row, score }) => ({
      id: session.ids[row] as string,
      score,
      metadata: readMetadata(session, row),
    }));
  }

  close(sessionId: string): boolean {
    const session = this.sessions.get(sessionId);
    if (session === undefined) return false;
    this.sessions.delete(sessionId);
    if (session.state !== "reserved") this.wipe(session);
    return true;
  }

  closeAll(): void {
    for (const sessionId of [...this.sessions.keys()]) this.close(sessionId);
  }

  get size(): number {
    return this.sessions.size;
  }

  private wipe(session: Session): void {
    clearTimeout(session.idleTimer);
    this.bytes -= session.bytes;
    // It fails only when the engine is closed, and then the memory is gone already.
    session.index.close().catch(() => undefined);
    for (const batch of session.batches) batch.metadata.fill(0);
    session.batches.length = 0;
    session.ids.length = 0;
  }

  private async createSession({ dimensions, count }: SinkStart): Promise<Session> {
    const bytes = estimateBytes(count, dimensions);
    if (this.bytes + bytes > this.bytesMax)
      throw new DomainError("exhausted", "no memory is left for another S5 session");
    this.bytes += bytes;
    try {
      const index = await this.createIndex(dimensions);
      return { state: "loading", bytes, dimensions, count, index, ids: [], batches: [], idleTimer: undefined };
    } catch (error) {
      this.bytes -= bytes;
      throw error;
    }
  }

  private touch(sessionId: string, session: Session): void {
    clearTimeout(session.idleTimer);
    session.idleTimer = setTimeout(() => {
      if (this.sessions.get(sessionId) === session) this.close(sessionId);
    }, this.idleMs).unref();
  }
}

function closedDuringLoad(): DomainError {
  return new DomainError("cancelled", "the session was closed during its load");
}

function addRecords(session: Session, batch: RecordBatch): void {
  session.batches.push({ firstRow: session.ids.length, metadata: batch.metadata, offsets: batch.metadataOffsets });
  for (const id of batch.ids) session.ids.push(id);
}

function readMetadata(session: Session, row: number): string {
  let low = 0;
  let high = session.batches.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((session.batches[middle] as { firstRow: number }).firstRow <= row) low = middle;
    else high = middle - 1;
  }
  const batch = session.batches[low];
  // Closed while the search was on its way.
  if (batch === undefined) throw new DomainError("not_found", "the session was closed");
  const place = row - batch.firstRow;
  return Buffer.from(batch.metadata.buffer, batch.metadata.byteOffset, batch.metadata.length).toString(
    "utf8",
    batch.offsets[place],
    batch.offsets[place + 1],
  );
}
