/** sealpoint.v1.S5: loads encrypted databases into a session index or a collection. */
import {
  type Access,
  badInput,
  DomainError,
  type EncodedPayload,
  fullAccess,
  requireManage,
  sealingDefault,
} from "../core/index.ts";
import type { Engine, PointInput } from "../engine/index.ts";
import {
  type LoadEvent,
  type LoadSink,
  loadDatabase,
  type RecordBatch,
  type SessionHit,
  type Sessions,
} from "../s5/index.ts";
import { parsePublicKey } from "../seal/index.ts";
import { checkNewName } from "./names.ts";

export type S5LoadEvent = LoadEvent;

export interface S5LoadRequest {
  readonly manifestPath: string;
  readonly userAddress: string;
  /** Wiped when the load ends. */
  readonly sessionKey: Uint8Array;
  /** Recipient of what a collection stores. */
  readonly publicKey?: string | undefined;
  readonly target:
    | { readonly kind: "session"; readonly sessionId: string }
    | { readonly kind: "collection"; readonly name: string }
    | undefined;
}

export interface S5ServiceOptions {
  readonly engine: Engine;
  readonly sessions: Sessions;
  readonly portalUrls: readonly string[];
  /** Sessions belong to no collection, so only a caller with access to all may use them; absent: full access. */
  readonly access?: Access;
}

const writePoints = 1_024;

export class S5Service {
  readonly #options: S5ServiceOptions;

  constructor(options: S5ServiceOptions) {
    this.#options = options;
  }

  async *load(request: S5LoadRequest, signal: AbortSignal): AsyncGenerator<S5LoadEvent> {
    const { sessions, engine, portalUrls } = this.#options;
    const { target, manifestPath, userAddress, sessionKey, publicKey } = request;
    try {
      if (target === undefined) throw badInput("target: session_id or collection_name is needed", "target");
      if (target.kind === "collection") checkNewName(target.name, "collection_name");
      else this.#requireSessions();
      // Before anything is downloaded or made.
      if (publicKey !== undefined) parsePublicKey(publicKey);
      const sink =
        target.kind === "session"
          ? await sessions.open(target.sessionId)
          : collectionSink(engine, target.name, publicKey);
      let complete = false;
      try {
        for await (const event of loadDatabase({ portalUrls, manifestPath, userAddress, sessionKey, sink, signal })) {
          complete ||= event.kind === "loading_complete";
          yield event;
        }
      } finally {
        // A request that was refused before its load began gives the session's name back; a second abort does nothing.
        if (!complete) await sink.abort();
      }
    } finally {
      sessionKey.fill(0);
    }
  }

  async search(
    sessionId: string,
    vector: Float32Array,
    k: number,
    threshold: number | undefined,
  ): Promise<SessionHit[]> {
    this.#requireSessions();
    return this.#options.sessions.search(sessionId, vector, k, threshold);
  }

  async close(sessionId: string): Promise<boolean> {
    this.#requireSessions();
    return this.#options.sessions.close(sessionId);
  }

  #requireSessions(): void {
    requireManage(this.#options.access ?? fullAccess);
  }
}

/** Stores what is loaded as ordinary points; a collection that it made itself goes again when the load fails. */
function collectionSink(engine: Engine, name: string, publicKey: string | undefined): LoadSink {
  let made = false;
  return {
    metadataForm: "payload",
    async begin({ dimensions }) {
      if (await engine.collectionExists(name)) {
        const { config, sealing } = await engine.collectionInfo(name);
        // Told before anything is downloaded for nothing; the engine judges each write all the same.
        if (sealing.mode === "required" && publicKey === undefined && sealing.recipients.length === 0) {
          const text = "EncryptionRequired: the collection requires sealing: give x-seal-public-key in the metadata";
          throw new DomainError("precondition", text, { details: { reason: "EncryptionRequired" } });
        }
        const size = config.vectors[""]?.size;
        if (size === undefined) throw badInput(`Collection \`${name}\` has no unnamed vector`, "collection_name");
        if (size !== dimensions) {
          const text = `Wrong input: Vector dimension error: expected dim: ${size}, got ${dimensions}`;
          throw badInput(text, "collection_name");
        }
        return;
      }
      await engine.createCollection(
        name,
        {
          vectors: { "": { size: dimensions, distance: "cosine" } },
          hnsw: { m: 16, efConstruct: 100, fullScanThreshold: 10_000 },
          indexingThreshold: 10_000,
          onDiskPayload: true,
          echo: "",
        },
        sealingDefault,
      );
      made = true;
    },
    async add(batch) {
      for (let first = 0; first < batch.pointIds.length; first += writePoints) {
        await engine.write(name, { kind: "upsert", points: toPoints(batch, first), publicKey }, { wait: true });
      }
    },
    finish: () => undefined,
    async abort() {
      if (made) await engine.deleteCollection(name);
      made = false;
    },
  };
}

function toPoints(batch: RecordBatch, first: number): PointInput[] {
  const { pointIds, vectors, dimensions, metadata, metadataOffsets } = batch;
  const end = Math.min(first + writePoints, pointIds.length);
  const points: PointInput[] = [];
  for (let row = first; row < end; row++) {
    const payload: EncodedPayload = metadata.subarray(metadataOffsets[row], metadataOffsets[row + 1]);
    points.push({
      id: pointIds[row] as PointInput["id"],
      payload,
      vectors: [["", vectors.subarray(row * dimensions, (row + 1) * dimensions)]],
    });
  }
  return points;
}
