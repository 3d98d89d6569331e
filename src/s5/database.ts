/** A database that is here, for all sessions that have its key. */
import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import { DomainError } from "../core/index.ts";
import { manifestEvent } from "./loader.ts";
import { type ChunkEntry, type DatabaseLocation, estimateBytes, type Manifest } from "./manifest.ts";
import { type LoadEvent, Progress } from "./progress.ts";
import type { SessionIndex } from "./session-index.ts";

export interface OpenRequest {
  readonly location: DatabaseLocation;
  readonly userAddress: string;
  readonly key: Uint8Array;
  readonly parallel?: number | undefined;
  /** Asks the portals whether a database that is here has changed. */
  readonly revalidate: boolean;
  readonly persist: boolean;
  /** The least `updated` of its manifest; 0: any. */
  readonly notBefore: number;
}

const keyLength = 32;
/** So that what is compared of a key cannot be computed elsewhere. */
const checkSalt = randomBytes(32);

export const checkOf = (folder: string, key: Uint8Array): Buffer =>
  createHmac("sha256", checkSalt).update(key).update(folder, "utf8").digest();

export const derive = (key: Uint8Array, use: string, folder: string): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", key, "sealpoint s5 index v1", `${use} ${folder}`, keyLength));

export class Database {
  readonly location: DatabaseLocation;
  readonly key = new SharedArrayBuffer(keyLength);
  readonly check: Buffer;
  readonly abort = new AbortController();
  /** Of the load, up to its graph. */
  readonly progress = new Progress();
  index: SessionIndex | undefined;
  manifest: Manifest | undefined;
  state: "loading" | "loaded" | "closed" = "loading";
  loadTimeMs = 0;
  loadedAtMs = 0;
  /** When a portal's manifest was this one, milliseconds since 1970. */
  checkedAtMs = 0;
  lastUsedMs = 0;
  /** Vectors by the manifest, as soon as that is there. */
  expected = 0;
  /** Sessions that have it open; such a database is not evicted. */
  users = 0;
  persist: boolean;
  /** Nobody new gets it. */
  isStale = false;
  refreshing: Progress | undefined;

  constructor({ location, key, persist }: OpenRequest) {
    this.location = location;
    new Uint8Array(this.key).set(key);
    this.check = checkOf(location.folder, key);
    this.persist = persist;
  }

  touch(nowMs = performance.now()): void {
    this.lastUsedMs = nowMs;
  }

  get chunks(): ReadonlyMap<number, ChunkEntry> {
    return new Map(this.manifest?.chunks.map((chunk) => [chunk.chunkId, chunk]));
  }

  get bytes(): number {
    const { state, expected, index } = this;
    if (index === undefined) return 0;
    return state === "loaded" ? index.bytes : estimateBytes(expected, index.dimensions);
  }

  /** What a load would say that finds everything here. */
  async *recall(begunMs: number): AsyncGenerator<LoadEvent, void, undefined> {
    const { manifest, index } = this;
    if (manifest === undefined || index === undefined) throw new DomainError("not_found", "the database was closed");
    const { vectorCount } = manifest;
    yield manifestEvent(manifest);
    const loadTimeMs = Math.round(performance.now() - begunMs);
    yield { kind: "loading_complete", vectorCount, loadTimeMs, fromCache: true, chunksDownloaded: 0 };
    // The graph may still be under way.
    for await (const event of this.progress.watch()) if (event.kind === "index_ready") yield event;
  }
}
