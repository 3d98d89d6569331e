/**
 * Decrypts one file, parses it and turns a chunk into columns. Plaintext lives here only, is
 * overwritten where JavaScript lets it be (the text that JSON.parse reads is a string and waits for the collector), and
 * nothing of it or of the key stands in a message.
 */
import { limits } from "../core/index.ts";
import { nativeOpenS5File, nativeTakeS5Vectors } from "../native/index.ts";
import { matchesContentId } from "./cid.ts";
import { LoadError } from "./errors.ts";
import { giveBack } from "./memory.ts";
import { encodeMetadata, isRecordId, recordIdLengthMax } from "./metadata.ts";
import type { OpenAnswer, OpenChunkTask, OpenRequest, OpenTask, RecordBatch } from "./opener-protocol.ts";
import { toPointId } from "./record-ids.ts";

const nonceLength = 12;
const tagLength = 16;

/** NIST SP 800-38D: 12-byte nonce, then ciphertext and 16-byte tag, no additional data. In place: the answer lies in the file's own memory. */
function decrypt(task: OpenTask, keyBytes: SharedArrayBuffer): Buffer {
  const { encrypted } = task;
  const isOpen = task.kind === "chunk" && task.opened !== undefined;
  // A wrong key and a changed file read the same.
  if (!isOpen && !nativeOpenS5File(encrypted, new Uint8Array(keyBytes))) {
    throw new LoadError("DECRYPTION_FAILED", "cannot open the file");
  }
  const { buffer, byteOffset, length } = encrypted;
  return Buffer.from(buffer, byteOffset + nonceLength, length - nonceLength - tagLength);
}

function parse(text: Buffer, name: string): unknown {
  try {
    return JSON.parse(text.toString("utf8"));
  } catch {
    // A SyntaxError quotes the text, so it is not passed on.
    throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: not JSON`);
  }
}

/** The file's JSON, read by `read`, and overwritten. */
function openText<T>(
  task: OpenTask,
  key: SharedArrayBuffer,
  bytesMax: number,
  name: string,
  read: (text: Buffer) => T,
): T {
  const plain = decrypt(task, key);
  try {
    if (plain.length > bytesMax) throw new LoadError("MEMORY_LIMIT_EXCEEDED", `${name}: more than ${bytesMax} bytes`);
    return read(plain);
  } finally {
    plain.fill(0);
    // Not when the collector comes by: files of some megabytes follow one another.
    giveBack(task.encrypted);
  }
}

/**
 * The chunk's JSON. Where it is of the usual form, its vectors are read natively, without an object for each number, and stand in `vectors`; what is
 * parsed here has 0 in their places.
 */
function parseChunk(text: Buffer, task: OpenChunkTask, file: string): { json: unknown; vectors?: Float32Array } {
  const { dimensions, vectorCount } = task;
  // A number takes two characters at least, its comma included.
  if (dimensions * vectorCount * 2 <= text.length) {
    const vectors = new Float32Array(dimensions * vectorCount);
    const rest = nativeTakeS5Vectors(text, dimensions, vectorCount, vectors);
    if (rest !== undefined) {
      try {
        return { json: parse(rest, file), vectors };
      } finally {
        rest.fill(0);
      }
    }
  }
  return { json: parse(text, file) };
}

function readVector(value: unknown, target: Float32Array, offset: number, dimensions: number, name: string): void {
  if (!Array.isArray(value)) throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: vector must be a list`);
  if (value.length !== dimensions) {
    throw new LoadError("DIMENSION_MISMATCH", `${name}: vector has ${value.length} dimensions and not ${dimensions}`);
  }
  for (let d = 0; d < dimensions; d++) {
    const component: unknown = value[d];
    const rounded = typeof component === "number" ? Math.fround(component) : Number.NaN;
    // Covers what overflows float32 as well.
    if (!Number.isFinite(rounded))
      throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: vector[${d}] is not a finite number`);
    target[offset + d] = rounded;
  }
}

function openChunk(task: OpenChunkTask, key: SharedArrayBuffer): RecordBatch {
  const file = `chunk ${task.chunkId}`;
  const opened = openText(task, key, limits.s5ChunkBytesMax, file, (text) => parseChunk(text, task, file));
  const { json } = opened;
  if (typeof json !== "object" || json === null)
    throw new LoadError("MANIFEST_PARSE_ERROR", `${file}: must be an object`);
  const { chunkId, vectors: records } = json as { chunkId?: unknown; vectors?: unknown };
  // The file opens under the right key, so it is the owner's; but not the one that was asked for.
  if (chunkId !== task.chunkId) throw new LoadError("CHUNK_DOWNLOAD_FAILED", `${file}: the portal sent another chunk`);
  if (!Array.isArray(records)) throw new LoadError("MANIFEST_PARSE_ERROR", `${file}: vectors must be a list`);
  if (records.length !== task.vectorCount) {
    throw new LoadError("VECTOR_COUNT_MISMATCH", `${file}: ${records.length} vectors and not ${task.vectorCount}`);
  }
  const { dimensions } = task;
  const vectors = opened.vectors ?? new Float32Array(records.length * dimensions);
  const ids: string[] = [];
  const pieces: Uint8Array[] = [];
  const metadataOffsets = new Uint32Array(records.length + 1);
  let metadataLength = 0;
  for (let i = 0; i < records.length; i++) {
    const name = `${file}, vector ${i}`;
    const record: unknown = records[i];
    if (typeof record !== "object" || record === null)
      throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: must be an object`);
    const { id, vector, metadata } = record as { id?: unknown; vector?: unknown; metadata?: unknown };
    if (!isRecordId(id)) {
      throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: id must be a text of 1 to ${recordIdLengthMax} characters`);
    }
    if (metadata !== undefined && (typeof metadata !== "object" || Array.isArray(metadata))) {
      throw new LoadError("MANIFEST_PARSE_ERROR", `${name}: metadata must be an object`);
    }
    if (opened.vectors === undefined) readVector(vector, vectors, i * dimensions, dimensions, name);
    ids.push(id);
    const piece = encodeMetadata(
      metadata ?? {},
      id,
      task.metadataForm === "payload" && String(toPointId(id)) !== id,
      name,
    );
    pieces.push(piece);
    metadataLength += piece.length;
    if (metadataLength > limits.s5ChunkBytesMax)
      throw new LoadError("MEMORY_LIMIT_EXCEEDED", `${file}: too much metadata`);
    metadataOffsets[i + 1] = metadataLength;
    // The parsed record is the bulk of the memory: let it go as soon as it is read.
    records[i] = undefined;
  }
  const all = new Uint8Array(metadataLength);
  for (let i = 0; i < pieces.length; i++) all.set(pieces[i] as Uint8Array, metadataOffsets[i]);
  for (const piece of pieces) piece.fill(0);
  return {
    chunkId: task.chunkId,
    dimensions,
    ids,
    pointIds: ids.map(toPointId),
    vectors,
    metadata: all,
    metadataOffsets,
  };
}

function isMisnamed(task: OpenTask): boolean {
  if (task.kind !== "chunk") return false;
  return task.opened?.misnamed ?? (task.cid !== undefined && !matchesContentId(task.encrypted, task.cid));
}

/** What `transfer` names goes to another thread with the answer and not as a copy. */
export function openFile(request: OpenRequest): { answer: OpenAnswer; transfer: ArrayBuffer[] } {
  const { number, key, task } = request;
  // Before it is decrypted in its place.
  const misnamed = isMisnamed(task);
  try {
    if (task.kind === "manifest") {
      const manifest = openText(task, key, limits.s5ManifestBytesMax, "manifest", (text) => parse(text, "manifest"));
      return { answer: { number, manifest }, transfer: [] };
    }
    const batch = openChunk(task, key);
    // Last, since what else is wrong with it says more.
    if (misnamed)
      throw new LoadError("CHUNK_DOWNLOAD_FAILED", `chunk ${task.chunkId}: not the file that the manifest names`);
    const transfer = [batch.vectors.buffer, batch.metadata.buffer, batch.metadataOffsets.buffer] as ArrayBuffer[];
    return { answer: { number, batch }, transfer };
  } catch (error) {
    const known = error instanceof LoadError;
    const code = known ? error.code : "INDEX_BUILD_FAILED";
    // A foreign error's text may quote what it choked on.
    return {
      answer: { number, code, message: known ? error.message : "cannot read the file", misnamed },
      transfer: [],
    };
  }
}
