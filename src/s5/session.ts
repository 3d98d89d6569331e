/** What the hub keeps of a session, and what it tells of one. */
import type { LoadStatus } from "./backend.ts";
import type { Database } from "./database.ts";
import { type LoadEvent, Progress } from "./progress.ts";
import type { SessionIndex } from "./session-index.ts";

export interface Session {
  readonly progress: Progress;
  /** Searches are answered over all that there will be. */
  readonly isReady: boolean;
  /** 0 to 100. */
  readonly percent: number;
  readonly vectorCount: number;
  readonly loadTimeMs: number;
  readonly index: SessionIndex | undefined;
  readonly attachedAs?: string | undefined;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly lastUsedAtMs: number;
  touch(): void;
  close(reason?: unknown): void;
}

/** Of a session, or of a load into a collection. */
export function statusOf(
  load: Pick<Session, "isReady" | "percent" | "vectorCount" | "loadTimeMs" | "index">,
): LoadStatus {
  const { isReady, percent, vectorCount, loadTimeMs, index } = load;
  if (!isReady) return { kind: "loading", percent, vectorsLoaded: index?.rows ?? 0, vectorCount };
  const memoryBytes = index?.bytes ?? 0;
  return {
    kind: "loaded",
    vectorCount: index?.rows ?? vectorCount,
    loadTimeMs,
    indexReady: index?.graphReady ?? true,
    memoryBytes,
  };
}

export interface LoadedSessionOptions {
  readonly manifestPath: string;
  readonly userAddress: string;
  readonly database: Database;
  readonly attachAs: string | undefined;
  readonly release: () => void;
}

type Complete = Extract<LoadEvent, { kind: "loading_complete" }>;

/** One whose vectors come from S5. */
export class LoadedSession implements Session {
  readonly progress = new Progress();
  readonly manifestPath: string;
  readonly userAddress: string;
  readonly database: Database;
  readonly createdAtMs = Date.now();
  lastUsedAtMs = Date.now();
  attachedAs: string | undefined;
  isReady = false;
  loadTimeMs = 0;
  readonly #attachAs: string | undefined;
  readonly #release: () => void;
  #closed = false;

  constructor({ manifestPath, userAddress, database, attachAs, release }: LoadedSessionOptions) {
    this.manifestPath = manifestPath;
    this.userAddress = userAddress;
    this.database = database;
    this.#attachAs = attachAs;
    this.#release = release;
  }

  get index(): SessionIndex | undefined {
    return this.database.index;
  }

  get vectorCount(): number {
    return this.database.manifest?.vectorCount ?? this.database.expected;
  }

  get percent(): number {
    if (this.isReady) return 100;
    const { expected } = this.database;
    return expected === 0 ? 0 : Math.min(100, ((this.index?.rows ?? 0) / expected) * 100);
  }

  touch(): void {
    this.lastUsedAtMs = Date.now();
    this.database.touch();
  }

  /** Attached before its caller is told that it is there. */
  async complete({ loadTimeMs }: Complete): Promise<void> {
    const { index } = this;
    if (this.#attachAs !== undefined && index !== undefined) {
      await index.attach(this.#attachAs);
      if (this.#closed) await index.detach(this.#attachAs);
      else this.attachedAs = this.#attachAs;
    }
    this.loadTimeMs = loadTimeMs;
    this.isReady = !this.#closed;
    this.touch();
  }

  close(reason?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.isReady = false;
    if (reason !== undefined) this.progress.fail(reason);
    else this.progress.end();
    const { index, attachedAs } = this;
    // It fails only when the index is closed, and then it is detached.
    if (attachedAs !== undefined) index?.detach(attachedAs).catch(() => undefined);
    this.#release();
  }
}
