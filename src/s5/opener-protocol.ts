/** Messages between the opener pool and its worker threads. Big buffers are transferred, never copied. */
import type { PointId } from "../core/index.ts";
import type { LoadErrorCode } from "./errors.ts";

/** Entries as the store keeps a payload: of a collection's points ("payload", with `_id` where the point's id is another), or the metadata alone. */
export type MetadataForm = "payload" | "metadata";

export interface OpenManifestTask {
  readonly kind: "manifest";
  readonly encrypted: Uint8Array;
}

export interface OpenChunkTask {
  readonly kind: "chunk";
  readonly encrypted: Uint8Array;
  readonly chunkId: number;
  readonly dimensions: number;
  readonly vectorCount: number;
  readonly metadataForm: MetadataForm;
  /** Of the encrypted file; one that is no S5 id of a blob is passed over. */
  readonly cid?: string | undefined;
  /** It lies there decrypted, because a native thread opened it and left it to be read here: between its nonce and its tag. */
  readonly opened?: { readonly misnamed: boolean };
}

export type OpenTask = OpenManifestTask | OpenChunkTask;

/** The key lies in shared memory, so that one wipe by its owner reaches every thread. */
export interface OpenRequest {
  readonly number: number;
  readonly key: SharedArrayBuffer;
  readonly task: OpenTask;
}

/** The vectors of one chunk, by column. */
export interface RecordBatch {
  readonly chunkId: number;
  readonly dimensions: number;
  /** As the database names them. */
  readonly ids: readonly string[];
  /** The same as point ids (record-ids.ts has the rule). */
  readonly pointIds: readonly PointId[];
  /** Row-major, one allocation. */
  readonly vectors: Float32Array;
  /** All records' metadata, one after the other, in the form that the sink asked for. */
  readonly metadata: Uint8Array;
  /** Record i's metadata is [offsets[i], offsets[i + 1]). */
  readonly metadataOffsets: Uint32Array;
}

export type Opened =
  | { readonly manifest: unknown }
  | { readonly batch: RecordBatch }
  /** `misnamed`: it is not the file that its content id names, so another portal may have the right one. */
  | { readonly code: LoadErrorCode; readonly message: string; readonly misnamed?: boolean };

export type OpenAnswer = Opened & { readonly number: number };
