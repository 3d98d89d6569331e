/**
 * Snapshots as files: `{folder}/{collection}/{name}`, of a shard `{folder}/{collection}/shards/{shard}/{name}`, of the whole storage
 * `{folder}/{name}`, each with its SHA-256 in a file beside it, as Qdrant lays them out. The addon writes and restores them; docs/snapshots.md has the format.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, realpath, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join, sep } from "node:path";
import { badInput, DomainError, limits } from "../../core/index.ts";
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

  async create(collection: string | undefined, base?: string, shard?: number): Promise<SnapshotInfo> {
    const real = collection === undefined ? undefined : await this.#realName(collection);
    if (real === undefined && base !== undefined) {
      throw badInput("Wrong input: base: incremental snapshots are of one collection", "base");
    }
    const folder = this.#folderOf(real, shard);
    const basePath = base === undefined ? "" : await this.#existing(collection, base, shard);
    if ((await snapshotFiles(folder)).length >= limits.snapshotsMax) {
      throw new DomainError("exhausted", `no more than ${limits.snapshotsMax} snapshots: delete old ones first`);
    }
    await removeLeftovers(folder);
    const time = new Date().toISOString().slice(0, 19).replaceAll(/[:T]/g, "-");
    const part = shard === undefined ? String(this.#peer) : `shard-${shard}`;
    const stem = real === undefined ? `full-snapshot-${time}` : `${shortened(real)}-${part}-${time}`;
    for (let copy = 1; ; copy++) {
      const name = `${stem}${copy === 1 ? "" : `-${copy}`}${suffix}`;
      const path = join(folder, name);
      if (await exists(path)) continue;
      const message = new NativeWriter()
        .text(real ?? "")
        .text(path)
        .text(basePath);
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

  async list(collection: string | undefined, shard?: number): Promise<SnapshotInfo[]> {
    const folder = this.#folderOf(collection === undefined ? undefined : await this.#realName(collection), shard);
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

  async delete(collection: string | undefined, snapshot: string, shard?: number): Promise<void> {
    const path = await this.#existing(collection, snapshot, shard);
    await refuseBase(dirname(path), snapshot);
    await rm(path).catch((error: unknown) => {
      throw isMissing(error) ? noSnapshot(snapshot) : error;
    });
    await rm(`${path}.checksum`, { force: true });
  }

  async open(collection: string | undefined, snapshot: string, shard?: number): ReturnType<Snapshots["open"]> {
    const path = await this.#existing(collection, snapshot, shard);
    const info = await describe(dirname(path), snapshot);
    return {
      info,
      path,
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

  async admitRestore(): Promise<void> {}

  async holds(path: string): Promise<boolean> {
    const [folder, file] = await Promise.all([this.#folder, path].map((one) => realpath(one).catch(() => undefined)));
    return folder !== undefined && file?.startsWith(`${folder}${sep}`) === true;
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

  async restore(collection: string | undefined, paths: readonly string[], sha256?: string): Promise<string[]> {
    const chain = await this.#chain(collection, paths);
    const message = new NativeWriter().u32(chain.length);
    for (const path of chain) message.text(path);
    message.text(collection ?? "").text(sha256?.toLowerCase() ?? "");
    const reader = new NativeReader(await this.#native.call(operations.restoreSnapshot, message.done()));
    return Array.from({ length: reader.u32() }, () => reader.text());
  }

  /** The paths with the bases before them: those beside the first file, or among the collection's own snapshots. */
  async #chain(collection: string | undefined, paths: readonly string[]): Promise<string[]> {
    const chain = [...paths];
    const [first] = chain;
    if (collection === undefined || first === undefined) return chain;
    const folders = [dirname(first), this.#folderOf(await this.#realName(collection).catch(() => collection))];
    for (;;) {
      const base = await baseOf(chain[0] as string);
      if (base === undefined) return chain;
      if (chain.length >= limits.snapshotFilesPerRestoreMax) {
        const text = `Wrong input: more than ${limits.snapshotFilesPerRestoreMax} snapshots are based on each other`;
        throw badInput(text, "location");
      }
      const found = await fileOfChecksum(folders, base);
      if (found === undefined) {
        const text = `Wrong input: the snapshot is incremental: the one that it is based on, of SHA-256 ${base}, is needed too`;
        throw badInput(text, "location");
      }
      chain.unshift(found);
    }
  }

  #folderOf(realName: string | undefined, shard?: number): string {
    if (realName === undefined) return this.#folder;
    return shard === undefined ? join(this.#folder, realName) : join(this.#folder, realName, "shards", String(shard));
  }

  /** Names are those that the listing gives, so nothing outside the folder can be named. */
  async #existing(collection: string | undefined, snapshot: string, shard: number | undefined): Promise<string> {
    const folder = this.#folderOf(collection === undefined ? undefined : await this.#realName(collection), shard);
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

/** Where an incremental snapshot's head says what it is based on: native/addon/engine/snapshot_file.h. */
const headBytes = 16;
const shaDigits = 64;

/** SHA-256 of the snapshot that a file is based on; undefined for a whole one and for what is no snapshot. */
async function baseOf(path: string): Promise<string | undefined> {
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(headBytes + shaDigits), 0, headBytes + shaDigits, 0);
    if (bytesRead < headBytes + shaDigits || buffer.toString("latin1", 0, 8) !== "SEALSNAP") return undefined;
    if (buffer.readUInt32LE(8) !== 2) return undefined;
    const base = buffer.toString("latin1", headBytes);
    return /^[0-9a-f]{64}$/.test(base) ? base : undefined;
  } finally {
    await file.close();
  }
}

async function fileOfChecksum(folders: readonly string[], checksum: string): Promise<string | undefined> {
  for (const folder of folders) {
    for (const name of await snapshotFiles(folder)) {
      const noted = await readFile(join(folder, `${name}.checksum`), "utf8").catch(() => "");
      if (noted.trim() === checksum) return join(folder, name);
    }
  }
  return undefined;
}

/** Throws precondition when another snapshot of the folder is based on this one. */
async function refuseBase(folder: string, snapshot: string): Promise<void> {
  const { checksum } = await describe(folder, snapshot);
  for (const name of await snapshotFiles(folder)) {
    if (name === snapshot || checksum === undefined) continue;
    if ((await baseOf(join(folder, name)).catch(() => undefined)) !== checksum) continue;
    const text = `Snapshot ${snapshot} is what ${name} is based on: delete that one first`;
    throw new DomainError("precondition", text, { details: { field: "snapshot_name" } });
  }
}

async function describe(folder: string, name: string): Promise<SnapshotInfo> {
  const path = join(folder, name);
  const { size, mtimeMs } = await stat(path);
  const checksum = await readFile(`${path}.checksum`, "utf8").catch(() => undefined);
  const base = await baseOf(path);
  return {
    name,
    createdMs: Math.floor(mtimeMs),
    bytes: size,
    ...(checksum === undefined ? {} : { checksum: checksum.trim() }),
    ...(base === undefined ? {} : { base }),
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
