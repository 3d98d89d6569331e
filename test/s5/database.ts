/** Makes small encrypted databases for tests, in the format of docs and of ../shared/data/s5. */
import { createCipheriv, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { blake3 } from "@noble/hashes/blake3.js";

export const owner = "0xAbC0000000000000000000000000000000000001";

export interface TestRecord {
  id: string;
  vector: unknown;
  metadata?: unknown;
}

export function seal(key: Uint8Array, text: string): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  return Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

/** RFC 4648, lower case, without padding. */
export function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups.map((group) => "abcdefghijklmnopqrstuvwxyz234567"[Number.parseInt(group.padEnd(5, "0"), 2)]).join("");
}

/** As S5 names a file. */
export function contentIdOf(file: Uint8Array): string {
  const size: number[] = [];
  for (let left = file.length; left > 0; left = Math.floor(left / 256)) size.push(left % 256);
  return `b${base32(Buffer.concat([Buffer.from([0x5b, 0x82, 0x1e]), blake3(file), Buffer.from(size)]))}`;
}

export interface TestDatabase {
  readonly dir: string;
  readonly key: Uint8Array;
  readonly manifestPath: string;
  readonly folder: string;
  readonly records: readonly (readonly TestRecord[])[];
  chunkFile(id: number): string;
  /** Writes a file anew, sealed under the database's key. */
  write(file: string, content: unknown): void;
  /** Puts these records into a chunk, as its owner would: the manifest with its new cid and time follows. */
  replaceChunk(chunkId: number, records: readonly TestRecord[]): void;
  /** Changes the manifest. */
  remake(change: (manifest: Record<string, unknown>) => void): void;
  /** Flips one bit of a file. */
  flip(file: string): void;
}

export function makeRecords(count: number, dimensions: number, firstId = 0): TestRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    id: String(firstId + i),
    // One axis dominates, so that each record is its own nearest neighbour.
    vector: Array.from({ length: dimensions }, (_, d) => Math.sin((firstId + i + 1) * (d + 1) * 0.7)),
    metadata: { word: `word ${firstId + i}`, n: firstId + i, score: 0.5, tags: ["a", 1], nested: { deep: null } },
  }));
}

export function makeDatabase(
  options: {
    chunks?: readonly (readonly TestRecord[])[];
    dimensions?: number;
    manifest?: (manifest: Record<string, unknown>) => void;
  } = {},
): TestDatabase {
  const dimensions = options.dimensions ?? 8;
  const chunks = options.chunks ?? [
    makeRecords(20, dimensions),
    makeRecords(20, dimensions, 20),
    makeRecords(5, dimensions, 40),
  ];
  const dir = mkdtempSync(join(tmpdir(), "sealpoint-s5-"));
  const path = `home/vector-databases/${owner}/small`;
  const folder = join(dir, path);
  mkdirSync(folder, { recursive: true });
  const key = randomBytes(32);
  const write = (file: string, content: unknown): void => {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), seal(key, JSON.stringify(content)));
  };
  const entryOf = (chunkId: number, vectorCount: number, updatedAt: number) => {
    const file = readFileSync(join(folder, `chunk-${chunkId}.json`));
    return { chunkId, cid: contentIdOf(file), vectorCount, sizeBytes: file.length, updatedAt };
  };
  const entries = chunks.map((records, chunkId) => {
    write(`chunk-${chunkId}.json`, { chunkId, vectors: records });
    return entryOf(chunkId, records.length, 1);
  });
  const manifest: Record<string, unknown> = {
    name: "small",
    owner,
    description: "made by a test",
    dimensions,
    vectorCount: chunks.flat().length,
    storageSizeBytes: entries.reduce((sum, entry) => sum + entry.sizeBytes, 0),
    created: 1,
    lastAccessed: 1,
    updated: 1,
    chunks: entries,
    chunkCount: entries.length,
    folderPaths: ["/"],
    deleted: false,
  };
  options.manifest?.(manifest);
  write("manifest.json", manifest);
  const remake = (change: (manifest: Record<string, unknown>) => void): void => {
    change(manifest);
    write("manifest.json", manifest);
  };
  return {
    remake,
    replaceChunk(chunkId, records) {
      write(`chunk-${chunkId}.json`, { chunkId, vectors: records });
      const place = entries.findIndex((entry) => entry.chunkId === chunkId);
      const entry = entryOf(chunkId, records.length, (entries[place]?.updatedAt ?? 0) + 1);
      entries.splice(place < 0 ? entries.length : place, place < 0 ? 0 : 1, entry);
      const vectorCount = entries.reduce((sum, one) => sum + one.vectorCount, 0);
      remake((changed) => Object.assign(changed, { chunks: entries, chunkCount: entries.length, vectorCount }));
    },
    dir,
    key,
    manifestPath: `${path}/manifest.json`,
    folder,
    records: chunks,
    chunkFile: (id) => join(folder, `chunk-${id}.json`),
    write,
    flip(file) {
      const bytes = readFileSync(join(folder, file));
      const place = Math.floor(bytes.length / 2);
      bytes[place] = (bytes[place] as number) ^ 1;
      writeFileSync(join(folder, file), bytes);
    },
  };
}
