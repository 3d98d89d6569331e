/** sealpoint.v1.S5: loads encrypted databases into sessions or collections, and searches sessions. */
import {
  type Access,
  badInput,
  type Cancellation,
  DomainError,
  type EncodedPayload,
  fullAccess,
  requireCollection,
  requireManage,
  sealingDefault,
} from "../core/index.ts";
import { type Engine, guardEngine, type PointInput, type SealedEngine } from "../engine/index.ts";
import type {
  CollectionSink,
  LoadEvent,
  LoadRequest,
  LoadSink,
  LoadTarget,
  RecordBatch,
  S5Backend,
  SessionQuery,
  UploadVector,
} from "../s5/index.ts";
import { parsePublicKey } from "../seal/index.ts";
import { checkNewName } from "./names.ts";

export type S5LoadEvent = LoadEvent;
export type S5LoadRequest = Omit<LoadRequest, "access" | "target"> & { readonly target: LoadTarget | undefined };

export interface S5ServiceOptions {
  readonly backend: S5Backend;
  /** Sessions belong to no collection, so only a caller with access to all may use them; absent: full access. */
  readonly access?: Access;
}

const writePoints = 1_024;

type Events = AsyncGenerator<LoadEvent, void, undefined>;

export class S5Service {
  readonly #backend: S5Backend;
  readonly #access: Access;

  constructor({ backend, access = fullAccess }: S5ServiceOptions) {
    this.#backend = backend;
    this.#access = access;
  }

  async *load({ target: given, ...request }: S5LoadRequest, signal: AbortSignal): Events {
    try {
      const target = this.#target(given, "prw");
      const { publicKey, attachAs } = request;
      if (target.kind === "collection") {
        checkNewName(target.name, "collection_name");
        for (const field of ["attachAs", "persist", "revalidate"] as const) {
          if (request[field] !== undefined && request[field] !== false) {
            const name = field.replace(/[A-Z]/, (one) => `_${one.toLowerCase()}`);
            throw badInput(`${name}: has a meaning only with session_id`, name);
          }
        }
      }
      if (attachAs !== undefined) checkNewName(attachAs, "attach_as");
      // Before anything is downloaded or made.
      if (publicKey !== undefined) parsePublicKey(publicKey);
      yield* this.#backend.load({ ...request, target, access: this.#access }, signal);
    } finally {
      request.sessionKey.fill(0);
    }
  }

  async *watch(target: LoadTarget | undefined, signal: AbortSignal): Events {
    yield* this.#backend.watch(this.#target(target, "r"), signal);
  }

  async *refresh(sessionId: string, signal: AbortSignal): Events {
    requireManage(this.#access);
    yield* this.#backend.refresh(sessionId, signal);
  }

  async status(target: LoadTarget | undefined): ReturnType<S5Backend["status"]> {
    return this.#backend.status(this.#target(target, "r"));
  }

  async search(sessionId: string, query: SessionQuery, cancellation?: Cancellation): ReturnType<S5Backend["search"]> {
    requireManage(this.#access);
    return this.#backend.search(sessionId, query, cancellation);
  }

  async upload(sessionId: string, vectors: readonly UploadVector[], replace: boolean): Promise<number> {
    requireManage(this.#access);
    return this.#backend.upload(sessionId, vectors, replace);
  }

  async list(): ReturnType<S5Backend["list"]> {
    requireManage(this.#access);
    return this.#backend.list();
  }

  async cancel(target: LoadTarget | undefined): Promise<boolean> {
    return this.#backend.cancel(this.#target(target, "prw"));
  }

  async close(sessionId: string): Promise<boolean> {
    requireManage(this.#access);
    return this.#backend.close(sessionId);
  }

  async health(): ReturnType<S5Backend["health"]> {
    requireManage(this.#access);
    return this.#backend.health();
  }

  /** Sessions are for those who may manage everything, a collection for those who may do this with it. */
  #target(target: LoadTarget | undefined, needed: "r" | "prw"): LoadTarget {
    if (target === undefined) throw badInput("session_id or collection_name is needed", "target");
    if (target.kind === "session") requireManage(this.#access);
    else requireCollection(this.#access, target.name, needed);
    return target;
  }
}

/** Loads into collections, each as its caller may write there. */
export function collectionSinks(engine: SealedEngine): CollectionSink {
  return (name, publicKey, access) =>
    collectionSink(access === fullAccess ? engine : guardEngine(engine, access), name, publicKey);
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
