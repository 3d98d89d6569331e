/**
 * Snapshots as files: `{folder}/{collection}/{name}` and, of the whole storage, `{folder}/{name}`, each with its SHA-256 in a file beside
 * it, as Qdrant lays them out. The addon writes and restores them; docs/snapshots.md has the format.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { DomainError, limits } from "../../core/index.ts";
import { type NativeEngine, NativeReader, NativeWriter, operations } from "../../native/index.ts";
import type { ReceivedSnapshot, SnapshotInfo, Snapshots } from "../engine.ts";

const suffix = ".snapshot";
/** A file name has at most 255 bytes; time, peer and what stands behind them take the rest. */
const namePrefixBytesMax = 160;

export class EmbeddedSnapshots implements Snapshots {
  readonly #native: NativeEngine;
  readonly #folder: string;
  /** Follows an alias; throws not_found. */
  readonly #realName: (collection: string) => Promise<string>;
  /** Qdrant's names hold the number of the node that made them. */
  readonly #peer: bigint;

  constructor(native: NativeEngine, folder: string, realName: (collection: string) => Promise<string>) {
    this.#native = native;
    this.#folder = folder;
    this.#realName = realName;
    this.#peer = createHash("sha256").update(`${hostname()}\0${folder}`).digest().readBigUInt64LE() >> 11n;
  }

  async create(collection: string | undefined): Promise<SnapshotInfo> {
    const real = collection === undefined ? undefined : await this.#realName(collection);
    const folder = this.#folderOf(real);
    if ((await snapshotFiles(folder)).length >= limits.snapshotsMax) {
      throw new DomainError("exhausted", `no more than ${limits.snapshotsMax} snapshots: delete old ones first`);
    }
    await removeLeftovers(folder);
    const time = new Date().toISOString().slice(0, 19).replaceAll(/[:T]/g, "-");
    const stem = real === undefined ? `full-snapshot-${time}` : `${shortened(real)}-${this.#peer}-${time}`;
    for (let copy = 1; ; copy++) {
      const name = `${stem}${copy === 1 ? "" : `-${copy}`}${suffix}`;
      const path = join(folder, name);
      if (await exists(path)) continue;
      const message = new NativeWriter().text(real ?? "").text(path);
      try {
        await this.#native.call(operations.createSnapshot, message.done());
      } catch (error) {
        // Another call of this second took the name.
        if (error instanceof DomainError && error.kind === "already_exists") continue;
        throw error;
      }
      return describe(folder, name);
    }
  }

  async list(collection: string | undefined): Promise<SnapshotInfo[]> {
    const folder = this.#folderOf(collection === undefined ? undefined : await this.#realName(collection));
    const infos: SnapshotInfo[] = [];
    for (const name of await snapshotFiles(folder)) {
      try {
        infos.push(await describe(folder, name));
      } catch (error) {
        // Deleted meanwhile.
        if (!isMissing(error)) throw error;
      }
    }
    return infos.sort((a, b) => a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1));
  }

  async delete(collection: string | undefined, snapshot: string): Promise<void> {
    const path = await this.#existing(collection, snapshot);
    await rm(path).catch((error: unknown) => {
      throw isMissing(error) ? noSnapshot(snapshot) : error;
    });
    await rm(`${path}.checksum`, { force: true });
  }

  async open(collection: string | undefined, snapshot: string): ReturnType<Snapshots["open"]> {
    const path = await this.#existing(collection, snapshot);
    const info = await describe(this.#folderOf(collection && (await this.#realName(collection))), snapshot);
    return {
      info,
      async *read(from) {
        const file = await open(path).catch((error: unknown) => {
          throw isMissing(error) ? noSnapshot(snapshot) : error;
        });
        try {
          for (let at = from; ; ) {
            const { bytesRead, buffer } = await file.read(
              Buffer.allocUnsafeSlow(limits.snapshotPieceBytes),
              0,
              limits.snapshotPieceBytes,
              at,
            );
            if (bytesRead === 0) return;
            at += bytesRead;
            yield buffer.subarray(0, bytesRead);
          }
        } finally {
          await file.close();
        }
      },
    };
  }

  async receive(parts: AsyncIterable<Uint8Array>): Promise<ReceivedSnapshot> {
    const path = join(this.#folder, `${randomUUID()}.received`);
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const discard = (): Promise<void> => rm(path, { force: true });
    const file = await open(path, "wx", 0o600);
    try {
      let bytes = 0;
      for await (const part of parts) {
        bytes += part.length;
        if (bytes > limits.snapshotBytesMax) {
          throw new DomainError("exhausted", `a snapshot has no more than ${limits.snapshotBytesMax} bytes`);
        }
        for (let at = 0; at < part.length; ) at += (await file.write(part, at)).bytesWritten;
      }
    } catch (error) {
      await file.close();
      await discard();
      const full = error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
      throw full ? new DomainError("exhausted", "the disk is full: the snapshot was not taken") : error;
    }
    await file.close();
    return { path, discard };
  }

  async restore(collection: string | undefined, path: string, sha256?: string): Promise<string[]> {
    const message = new NativeWriter()
      .text(path)
      .text(collection ?? "")
      .text(sha256?.toLowerCase() ?? "");
    const reader = new NativeReader(await this.#native.call(operations.restoreSnapshot, message.done()));
    return Array.from({ length: reader.u32() }, () => reader.text());
  }

  #folderOf(realName: string | undefined): string {
    return realName === undefined ? this.#folder : join(this.#folder, realName);
  }

  /** Names are those that the listing gives, so nothing outside the folder can be named. */
  async #existing(collection: string | undefined, snapshot: string): Promise<string> {
    const folder = this.#folderOf(collection === undefined ? undefined : await this.#realName(collection));
    if (!(await snapshotFiles(folder)).includes(snapshot)) throw noSnapshot(snapshot);
    return join(folder, snapshot);
  }
}

async function snapshotFiles(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile() && entry.name.endsWith(suffix)).map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** What a stop in the middle left; what is still being written is younger. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!/\.(?:partial|received)$/.test(name)) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > limits.snapshotTransferMs) await rm(path, { force: true });
  }
}

async function describe(folder: string, name: string): Promise<SnapshotInfo> {
  const path = join(folder, name);
  const { size, mtimeMs } = await stat(path);
  const checksum = await readFile(`${path}.checksum`, "utf8").catch(() => undefined);
  return {
    name,
    createdMs: Math.floor(mtimeMs),
    bytes: size,
    ...(checksum === undefined ? {} : { checksum: checksum.trim() }),
  };
}

function shortened(name: string): string {
  let short = name;
  while (Buffer.byteLength(short) > namePrefixBytesMax) short = short.slice(0, -1);
  return short;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function noSnapshot(name: string): DomainError {
  return new DomainError("not_found", `Not found: Snapshot ${name} not found`, { details: { field: "snapshot_name" } });
}
