/** What the service asks of S5, on whichever thread it runs: S5Hub answers, and RemoteS5 on the threads that have none. */
import type { Access, Cancellation, Filter } from "../core/index.ts";
import type { LoadSink } from "./loader.ts";
import type { LoadEvent } from "./progress.ts";

export type LoadTarget =
  | { readonly kind: "session"; readonly sessionId: string }
  | { readonly kind: "collection"; readonly name: string };

export interface LoadRequest {
  readonly target: LoadTarget;
  /** `home/vector-databases/{user}/{database}/manifest.json` */
  readonly manifestPath: string;
  readonly userAddress: string;
  /** 32 bytes. Wiped once the load has taken it over. */
  readonly sessionKey: Uint8Array;
  /** The load goes on when its caller leaves. */
  readonly detach?: boolean;
  /** A mixed-case address must have a right EIP-55 checksum. */
  readonly strictAddress?: boolean;
  readonly parallelChunks?: number | undefined;
  /** Asks the portals whether a database that is cached has changed. */
  readonly revalidate?: boolean;
  readonly attachAs?: string | undefined;
  readonly persist?: boolean;
  /** The least `updated` of the manifest, milliseconds since 1970; 0: any. */
  readonly notBefore?: number;
  /** Recipient of what a collection stores. */
  readonly publicKey?: string | undefined;
  /** Of the caller; decides which collections a load may write to. */
  readonly access: Access;
}

/** Where a load into a collection goes, as its caller may write there. */
export type CollectionSink = (name: string, publicKey: string | undefined, access: Access) => LoadSink;

export interface SessionQuery {
  readonly vector: Float32Array;
  readonly k: number;
  readonly threshold?: number | undefined;
  readonly filter?: Filter | undefined;
  /** Searches what is there of a session that is still loading. */
  readonly allowPartial?: boolean;
  readonly exact?: boolean;
  readonly ef?: number | undefined;
}

export interface SessionHit {
  readonly id: string;
  readonly score: number;
  /** JSON of the metadata. */
  readonly metadata: string;
}

export interface SearchAnswer {
  readonly hits: readonly SessionHit[];
  readonly partial: boolean;
  /** 0 to 100. */
  readonly percent: number;
}

export interface UploadVector {
  readonly id: string;
  readonly vector: Float32Array;
  /** JSON of an object; empty: none. */
  readonly metadata: string;
}

export type LoadStatus =
  | { readonly kind: "not_started" }
  | {
      readonly kind: "loading";
      readonly percent: number;
      readonly vectorsLoaded: number;
      /** By the manifest; 0 before it is there. */
      readonly vectorCount: number;
    }
  | {
      readonly kind: "loaded";
      readonly vectorCount: number;
      readonly loadTimeMs: number;
      readonly indexReady: boolean;
      readonly memoryBytes: number;
    }
  | {
      readonly kind: "error";
      /** Such as DECRYPTION_FAILED. */
      readonly code: string;
      readonly message: string;
      readonly isRetryable: boolean;
      readonly isSecurity: boolean;
    };

export interface SessionInfo {
  readonly sessionId: string;
  readonly source: "load" | "upload";
  readonly manifestPath: string;
  readonly status: LoadStatus;
  readonly dimensions: number;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly lastUsedAtMs: number;
  readonly attachedAs?: string | undefined;
}

export interface CollectionLoadInfo {
  readonly name: string;
  readonly manifestPath: string;
  readonly status: LoadStatus;
}

export interface PortalHealth {
  /** Without a path: it may hold a token. */
  readonly portal: string;
  readonly reachable: boolean;
  readonly latencyMs: number;
  readonly checkedAtMs: number;
}

export interface S5Backend {
  /** Leaving the iteration, or `signal`, cancels the load unless it is detached. Ends with the load's failure, as a DomainError. */
  load(request: LoadRequest, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined>;
  /** What there was and what comes; leaving it changes nothing. */
  watch(target: LoadTarget, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined>;
  refresh(sessionId: string, signal?: AbortSignal): AsyncGenerator<LoadEvent, void, undefined>;
  status(target: LoadTarget): Promise<LoadStatus>;
  search(sessionId: string, query: SessionQuery, cancellation?: Cancellation): Promise<SearchAnswer>;
  /** Gives the session's number of vectors. */
  upload(sessionId: string, vectors: readonly UploadVector[], replace: boolean): Promise<number>;
  list(): Promise<{ readonly sessions: readonly SessionInfo[]; readonly collections: readonly CollectionLoadInfo[] }>;
  /** False when no load of it was under way. */
  cancel(target: LoadTarget): Promise<boolean>;
  /** False when there was no such session. */
  close(sessionId: string): Promise<boolean>;
  health(): Promise<readonly PortalHealth[]>;
}
