/**
 * The sessions of the process and the loads under way. A session is a name that its caller chose, over a database that others may have
 * open too (databases.ts) or over vectors of its own that were uploaded (uploads.ts). It goes with Close, when it was not used for a
 * while, when its load fails or is cancelled, and with the process.
 */
import { setImmediate as turn } from "node:timers/promises";
import { badInput, type Cancellation, DomainError, limits } from "../core/index.ts";
import type { S5Config } from "../ops/index.ts";
import { payloadText } from "../wire/index.ts";
import { checkAddress } from "./address.ts";
import type {
  CollectionSink,
  LoadRequest,
  LoadStatus,
  LoadTarget,
  PortalHealth,
  S5Backend,
  SearchAnswer,
  SessionHit,
  SessionInfo,
  SessionQuery,
  UploadVector,
} from "./backend.ts";
import { CollectionLoads } from "./collection-loads.ts";
import { Databases, type DatabasesOptions } from "./databases.ts";
import { badField, LoadError, toDomainError } from "./errors.ts";
import { S5Figures } from "./figures.ts";
import { PortalProbe } from "./health.ts";
import { checkParallel } from "./loader.ts";
import { checkOwner, type DatabaseLocation, parseManifestPath } from "./manifest.ts";
import { Outcomes } from "./outcomes.ts";
import { type LoadEvent, toErrorEvent } from "./progress.ts";
import { RateLimit } from "./rate-limit.ts";
import { LoadedSession, type Session, statusOf } from "./session.ts";
import type { IndexHit, SessionIndexes } from "./session-index.ts";
import { UploadedSession } from "./uploads.ts";

export interface S5HubOptions {
  readonly config: S5Config;
  readonly indexes: SessionIndexes;
  /** Without it loads go into sessions only. */
  readonly collections?: CollectionSink;
  /** Injected by tests. */
  readonly databases?: Pick<DatabasesOptions, "opener" | "backoffMs" | "nowMs" | "wallMs">;
}

const sessionIdForm = /^[\x21-\x7e]{1,64}$/;
const hitsMax = 10_000;
/** Hits whose metadata becomes JSON in one turn of the loop. */
const hitsOfTurn = 256;
const sweepMsMax = 60_000;
const sweepMsMin = 20;

export class S5Hub implements S5Backend {
  readonly figures = new S5Figures();
  readonly #options: S5HubOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #databases: Databases;
  readonly #collections: CollectionLoads;
  readonly #outcomes = new Outcomes();
  readonly #rate: RateLimit;
  readonly #probe: PortalProbe;
  readonly #sweeper: NodeJS.Timeout;
  #watchers = 0;

  constructor(options: S5HubOptions) {
    const { config } = options;
    this.#options = options;
    const otherBytes = (): number => this.#uploadBytes();
    this.#databases = new Databases({ ...options, figures: this.figures, otherBytes, ...options.databases });
    this.#collections = new CollectionLoads({
      ...options,
      ...options.databases,
      figures: this.figures,
      outcomes: this.#outcomes,
    });
    this.#rate = new RateLimit(config.rateRequests, config.rateWindowMs, options.databases?.nowMs);
    this.#probe = new PortalProbe(config.portalUrls);
    const sweepMs = Math.min(sweepMsMax, Math.max(sweepMsMin, config.cacheTtlMs / 10));
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs).unref();
  }

  get databases(): number {
    return this.#databases.size;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  get bytes(): number {
    return this.#databases.bytes + this.#uploadBytes();
  }

  async *load(request: LoadRequest, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined> {
    const { target, sessionKey, userAddress, strictAddress, parallelChunks } = request;
    let leave: (() => void) | undefined;
    try {
      if (sessionKey.length !== 32) throw badField("session_key", "expected 32 bytes");
      checkAddress(userAddress, strictAddress);
      if (parallelChunks !== undefined) checkParallel(parallelChunks);
      let events: AsyncGenerator<LoadEvent, void, undefined>;
      try {
        this.#rate.admit(userAddress);
        const location = parseManifestPath(request.manifestPath);
        checkOwner(location, userAddress);
        if (target.kind === "session") {
          const session = this.#open(target.sessionId, request, location);
          events = session.progress.watch(signal);
          leave = () => (session.isReady ? undefined : this.#end(target.sessionId, session, cancelled()));
        } else {
          const load = this.#collections.start(target.name, request, location);
          events = load.progress.watch(signal);
          leave = () => load.cancel();
        }
      } catch (error) {
        if (!(error instanceof LoadError)) throw error;
        this.figures.onFailure(error.code);
        this.#outcomes.note(target, error);
        yield toErrorEvent(error);
        throw toDomainError(error);
      }
      // It has a copy of its own by now.
      sessionKey.fill(0);
      yield* this.#watched(events);
    } finally {
      sessionKey.fill(0);
      if (request.detach !== true) leave?.();
    }
  }

  async *watch(target: LoadTarget, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined> {
    const found = target.kind === "session" ? this.#sessions.get(target.sessionId) : this.#collections.get(target.name);
    if (found !== undefined) {
      yield* this.#watched(found.progress.watch(signal));
      return;
    }
    const outcome = this.#outcomes.get(target);
    if (outcome === undefined) {
      throw target.kind === "session" ? noSession(target.sessionId) : noLoad(target.name);
    }
    yield* outcome.events();
  }

  async *refresh(sessionId: string, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined> {
    const session = this.#session(sessionId);
    if (!(session instanceof LoadedSession)) throw badField("session_id", "its vectors were uploaded");
    if (!session.isReady) throw stillLoading(session);
    try {
      this.#rate.admit(session.userAddress);
    } catch (error) {
      if (!(error instanceof LoadError)) throw error;
      this.figures.onFailure(error.code);
      yield toErrorEvent(error);
      throw toDomainError(error);
    }
    session.touch();
    yield* this.#watched(this.#databases.refresh(session.database).watch(signal));
  }

  async status(target: LoadTarget): Promise<LoadStatus> {
    const running =
      target.kind === "session" ? this.#sessions.get(target.sessionId) : this.#collections.get(target.name);
    return running === undefined ? (this.#outcomes.get(target)?.status ?? { kind: "not_started" }) : statusOf(running);
  }

  async search(sessionId: string, query: SessionQuery, cancellation?: Cancellation): Promise<SearchAnswer> {
    const { vector, k, threshold, filter, ef, exact } = query;
    const session = this.#session(sessionId);
    if (!session.isReady && query.allowPartial !== true) throw stillLoading(session);
    if (!Number.isInteger(k) || k < 1 || k > hitsMax) throw badField("k", `expected 1 to ${hitsMax}`);
    if (threshold !== undefined && !Number.isFinite(threshold)) throw badField("threshold", "must be finite");
    if (ef !== undefined && (ef < 1 || ef > limits.efMax)) throw badField("hnsw_ef", `expected 1 to ${limits.efMax}`);
    if (vector.some((component) => !Number.isFinite(component)))
      throw badField("vector", "every component must be finite");
    const { index } = session;
    session.touch();
    const partial = !session.isReady;
    const percent = partial ? Math.floor(session.percent) : 100;
    if (index === undefined) return { hits: [], partial, percent };
    if (vector.length !== index.dimensions) {
      throw badInput(`Vector dimension error: expected dim: ${index.dimensions}, got ${vector.length}`, "vector");
    }
    const hits = await index.search({ vector, k, threshold, filter, ef, exact }, cancellation);
    return { hits: await toTexts(hits), partial, percent };
  }

  async upload(sessionId: string, vectors: readonly UploadVector[], replace: boolean): Promise<number> {
    const found = this.#sessions.get(sessionId);
    if (found instanceof LoadedSession) throw badField("session_id", "its vectors come from S5: take another session");
    let session = found as UploadedSession | undefined;
    if (session === undefined) {
      this.#checkNewSession(sessionId);
      const { config, indexes } = this.#options;
      const admit = (bytes: number): void => this.#databases.admitOther(bytes);
      session = new UploadedSession({ sessionId, indexes, admit, bytesMax: config.databaseBytesMax });
      this.#sessions.set(sessionId, session);
    }
    const uploaded = session;
    uploaded.touch();
    try {
      return await uploaded.upload(vectors, replace);
    } catch (error) {
      // A name that nothing was ever put under is given back.
      if (uploaded.isEmpty && this.#sessions.get(sessionId) === uploaded) this.#end(sessionId, uploaded);
      throw error instanceof LoadError ? toDomainError(error) : error;
    }
  }

  async list(): ReturnType<S5Backend["list"]> {
    const sessions = [...this.#sessions].map(([sessionId, session]): SessionInfo => {
      const { createdAtMs, lastUsedAtMs, index, attachedAs } = session;
      const isLoad = session instanceof LoadedSession;
      return {
        sessionId,
        source: isLoad ? "load" : "upload",
        manifestPath: isLoad ? session.manifestPath : "",
        status: statusOf(session),
        dimensions: index?.dimensions ?? 0,
        createdAtMs,
        lastUsedAtMs,
        attachedAs,
      };
    });
    sessions.sort((a, b) => (a.sessionId < b.sessionId ? -1 : 1));
    return { sessions, collections: this.#collections.list() };
  }

  async cancel(target: LoadTarget): Promise<boolean> {
    if (target.kind === "collection") return this.#collections.get(target.name)?.cancel() ?? false;
    const session = this.#sessions.get(target.sessionId);
    if (session === undefined || session.isReady) return false;
    this.#end(target.sessionId, session, cancelled());
    return true;
  }

  async close(sessionId: string): Promise<boolean> {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return false;
    this.#end(sessionId, session, cancelled());
    return true;
  }

  health(): Promise<readonly PortalHealth[]> {
    return this.#probe.ask();
  }

  /** Ends every session and load, and forgets what is cached. */
  async closeAll(): Promise<void> {
    clearInterval(this.#sweeper);
    for (const [sessionId, session] of [...this.#sessions]) this.#end(sessionId, session, cancelled());
    await this.#collections.close();
    await this.#databases.close();
  }

  #session(sessionId: string): Session {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) throw noSession(sessionId);
    return session;
  }

  #checkNewSession(sessionId: string): void {
    if (!sessionIdForm.test(sessionId)) throw badField("session_id", "expected 1 to 64 printable characters");
    if (this.#sessions.has(sessionId))
      throw new DomainError("already_exists", `Session \`${sessionId}\` already exists!`);
    if (this.#sessions.size >= limits.s5SessionsMax) {
      throw new DomainError("exhausted", `more than ${limits.s5SessionsMax} sessions`);
    }
  }

  /** The session follows its database's load from here on, whether somebody watches or not. */
  #open(sessionId: string, request: LoadRequest, location: DatabaseLocation): LoadedSession {
    this.#checkNewSession(sessionId);
    const { userAddress, sessionKey: key, attachAs, manifestPath } = request;
    const { database, events } = this.#databases.open({
      location,
      userAddress,
      key,
      parallel: request.parallelChunks,
      revalidate: request.revalidate === true,
      persist: request.persist === true,
      notBefore: request.notBefore ?? 0,
    });
    const release = (): void => this.#databases.release(database);
    const session = new LoadedSession({ manifestPath, userAddress, database, attachAs, release });
    this.#sessions.set(sessionId, session);
    this.#outcomes.forget({ kind: "session", sessionId });
    void this.#follow(sessionId, session, events);
    return session;
  }

  async #follow(sessionId: string, session: LoadedSession, events: AsyncGenerator<LoadEvent>): Promise<void> {
    try {
      for await (const event of events) {
        if (session.progress.ended) return;
        if (event.kind === "loading_complete") await session.complete(event);
        session.progress.push(event);
      }
      session.progress.end();
    } catch (error) {
      // What is loaded stays, though its graph could not be built.
      if (session.isReady) session.progress.fail(error);
      else this.#end(sessionId, session, error);
    }
  }

  #end(sessionId: string, session: Session, reason?: unknown): void {
    if (this.#sessions.get(sessionId) !== session) return;
    this.#sessions.delete(sessionId);
    if (!session.isReady && reason !== undefined) this.#outcomes.note({ kind: "session", sessionId }, reason);
    session.close(reason);
  }

  #sweep(): void {
    const oldest = Date.now() - this.#options.config.cacheTtlMs;
    for (const [sessionId, session] of [...this.#sessions]) {
      if (session.isReady && session.lastUsedAtMs < oldest) this.#end(sessionId, session, cancelled());
    }
    this.#databases.sweep();
    this.#outcomes.sweep();
  }

  #uploadBytes(): number {
    let sum = 0;
    for (const session of this.#sessions.values())
      if (session instanceof UploadedSession) sum += session.index?.bytes ?? 0;
    return sum;
  }

  /** Each watcher keeps a call open. */
  async *#watched(events: AsyncGenerator<LoadEvent, void, undefined>): AsyncGenerator<LoadEvent, void, undefined> {
    if (this.#watchers >= limits.s5WatchersMax) {
      throw new DomainError("exhausted", `more than ${limits.s5WatchersMax} loads are watched`);
    }
    this.#watchers++;
    try {
      yield* events;
    } finally {
      this.#watchers--;
    }
  }
}

async function toTexts(hits: readonly IndexHit[]): Promise<SessionHit[]> {
  const texts: SessionHit[] = [];
  for (const { id, score, metadata } of hits) {
    texts.push({ id, score, metadata: payloadText(metadata) });
    if (texts.length % hitsOfTurn === 0) await turn();
  }
  return texts;
}

function cancelled(): DomainError {
  return new DomainError("cancelled", "the load was cancelled");
}

function noSession(sessionId: string): DomainError {
  return new DomainError("not_found", `Not found: Session \`${sessionId.slice(0, 64)}\` doesn't exist!`);
}

function noLoad(name: string): DomainError {
  return new DomainError("not_found", `Not found: no load into collection \`${name.slice(0, 255)}\` is known`);
}

function stillLoading(session: Session): DomainError {
  const percent = Math.floor(session.percent);
  return new DomainError("precondition", `still loading (${percent} %)`, {
    retryable: true,
    details: { reason: "STILL_LOADING", metadata: { percent: String(percent) } },
  });
}
