/** The manifest of an encrypted vector database: where it lies, what it may say, and what is refused before a download. */
import { limits } from "../core/index.ts";
import { LoadError } from "./errors.ts";

export interface DatabaseLocation {
  readonly user: string;
  readonly database: string;
  /** Folder of the manifest and its chunks, without a slash at its end. */
  readonly folder: string;
}

export interface ChunkEntry {
  readonly chunkId: number;
  readonly vectorCount: number;
  /** Of the encrypted file. */
  readonly sizeBytes: number;
  readonly cid?: string;
  readonly updatedAt?: number;
}

export interface Manifest {
  readonly name: string;
  readonly owner: string;
  readonly dimensions: number;
  readonly vectorCount: number;
  readonly chunks: readonly ChunkEntry[];
  /** Of all chunks, encrypted. */
  readonly sizeBytes: number;
  /** Milliseconds since 1970; 0 when it does not say. */
  readonly updated: number;
}

/** All that a manifest file holds. Times are milliseconds since 1970, sizes are of the encrypted files. */
export interface DatabaseManifest {
  readonly name: string;
  readonly owner: string;
  readonly description: string;
  readonly dimensions: number;
  readonly vectorCount: number;
  readonly storageSizeBytes: number;
  readonly created: number;
  readonly lastAccessed: number;
  readonly updated: number;
  readonly chunks: readonly Required<ChunkEntry>[];
  readonly chunkCount: number;
  readonly folderPaths: readonly string[];
  readonly deleted: boolean;
}

/** A segment that means the same on every file system and in every URL: no separators, no escapes, no hidden names. */
const segmentForm = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$/;

/** Throws OWNER_MISMATCH unless the path is in the user's own folder. */
export function checkOwner(location: DatabaseLocation, userAddress: string): void {
  if (location.user.toLowerCase() !== userAddress.toLowerCase()) {
    throw new LoadError("OWNER_MISMATCH", "the database belongs to another address");
  }
}

/** A chunk that has not changed since `before`: the same id, and neither cid nor time of its last change differ. */
export function isUnchanged(chunk: ChunkEntry, before: ChunkEntry | undefined): boolean {
  if (before === undefined || (chunk.cid === undefined && chunk.updatedAt === undefined)) return false;
  return chunk.cid === before.cid && chunk.updatedAt === before.updatedAt && chunk.vectorCount === before.vectorCount;
}

/** Accepts exactly `home/vector-databases/{user}/{database}/manifest.json`. */
export function parseManifestPath(path: string): DatabaseLocation {
  const parts = path.split("/");
  const [home, root, user, database, file] = parts;
  const known = parts.length === 5 && home === "home" && root === "vector-databases" && file === "manifest.json";
  if (
    !known ||
    user === undefined ||
    database === undefined ||
    !segmentForm.test(user) ||
    !segmentForm.test(database)
  ) {
    throw new LoadError("INVALID_PATH", "expected home/vector-databases/{user}/{database}/manifest.json");
  }
  return { user, database, folder: `home/vector-databases/${user}/${database}` };
}

export function chunkPath(location: DatabaseLocation, chunkId: number): string {
  return `${location.folder}/chunk-${chunkId}.json`;
}

function readCount(value: unknown, name: string, max: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new LoadError("MANIFEST_PARSE_ERROR", `manifest: ${name} must be an integer from 0 to ${max}`);
  }
  return value;
}

function readChunks(value: unknown): ChunkEntry[] {
  if (!Array.isArray(value)) throw new LoadError("MANIFEST_PARSE_ERROR", "manifest: chunks must be a list");
  if (value.length > limits.s5ChunksMax) {
    throw new LoadError("MEMORY_LIMIT_EXCEEDED", `manifest: more than ${limits.s5ChunksMax} chunks`);
  }
  const seen = new Set<number>();
  return value.map((entry: unknown, index) => {
    if (typeof entry !== "object" || entry === null) {
      throw new LoadError("MANIFEST_PARSE_ERROR", `manifest: chunks[${index}] must be an object`);
    }
    const fields = entry as Record<string, unknown>;
    const name = `chunks[${index}]`;
    const chunkId = readCount(fields.chunkId, `${name}.chunkId`, 0xffff_ffff);
    if (seen.has(chunkId)) throw new LoadError("MANIFEST_PARSE_ERROR", `manifest: ${name}.chunkId occurs twice`);
    seen.add(chunkId);
    const sizeBytes = readCount(fields.sizeBytes, `${name}.sizeBytes`, Number.MAX_SAFE_INTEGER);
    if (sizeBytes > limits.s5ChunkBytesMax) {
      throw new LoadError("MEMORY_LIMIT_EXCEEDED", `manifest: ${name} is over ${limits.s5ChunkBytesMax} bytes`);
    }
    return {
      chunkId,
      vectorCount: readCount(fields.vectorCount, `${name}.vectorCount`, 0xffff_ffff),
      sizeBytes,
      cid: typeof fields.cid === "string" ? fields.cid : undefined,
      updatedAt: typeof fields.updatedAt === "number" ? fields.updatedAt : undefined,
    };
  });
}

/** Bytes that a loaded database takes: its floats, and about a kilobyte of id and metadata for each vector. */
export function estimateBytes(vectorCount: number, dimensions: number): number {
  return vectorCount * (dimensions * 4 + 1024);
}

/** When the owner changed the database last; 0 where a manifest does not say. */
export function updatedOf(json: unknown): number {
  const { updated } = (typeof json === "object" && json !== null ? json : {}) as { updated?: unknown };
  return typeof updated === "number" && Number.isSafeInteger(updated) && updated > 0 ? updated : 0;
}

/** Judges a decrypted and parsed manifest. `userAddress` is the caller's own. */
export function readManifest(json: unknown, userAddress: string, memoryBytesMax: number): Manifest {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new LoadError("MANIFEST_PARSE_ERROR", "manifest: must be an object");
  }
  const fields = json as Record<string, unknown>;
  // The owner comes first: somebody else's manifest tells the caller nothing more.
  if (typeof fields.owner !== "string") throw new LoadError("MANIFEST_PARSE_ERROR", "manifest: owner must be a string");
  if (fields.owner.toLowerCase() !== userAddress.toLowerCase()) {
    throw new LoadError("OWNER_MISMATCH", "the database belongs to another address");
  }
  if (fields.deleted !== undefined && fields.deleted !== false) {
    throw new LoadError("MANIFEST_NOT_FOUND", "the database is deleted");
  }
  if (typeof fields.name !== "string") throw new LoadError("MANIFEST_PARSE_ERROR", "manifest: name must be a string");
  const dimensions = readCount(fields.dimensions, "dimensions", Number.MAX_SAFE_INTEGER);
  if (dimensions < 1 || dimensions > limits.vectorDimensionsMax) {
    throw new LoadError("DIMENSION_MISMATCH", `manifest: dimensions must be 1 to ${limits.vectorDimensionsMax}`);
  }
  const vectorCount = readCount(fields.vectorCount, "vectorCount", Number.MAX_SAFE_INTEGER);
  const chunks = readChunks(fields.chunks);
  if (fields.chunkCount !== undefined && fields.chunkCount !== chunks.length) {
    throw new LoadError("MANIFEST_PARSE_ERROR", "manifest: chunkCount differs from the number of chunks");
  }
  const sum = chunks.reduce((total, chunk) => total + chunk.vectorCount, 0);
  if (sum !== vectorCount) {
    throw new LoadError(
      "VECTOR_COUNT_MISMATCH",
      `manifest: the chunks hold ${sum} vectors and vectorCount is ${vectorCount}`,
    );
  }
  if (estimateBytes(vectorCount, dimensions) > memoryBytesMax) {
    throw new LoadError("MEMORY_LIMIT_EXCEEDED", `the database needs more than the ${memoryBytesMax} bytes allowed`);
  }
  const sizeBytes = chunks.reduce((total, chunk) => total + chunk.sizeBytes, 0);
  const updated = updatedOf(fields);
  return { name: fields.name, owner: fields.owner, dimensions, vectorCount, chunks, sizeBytes, updated };
}
