/** Copies of collections and of the whole storage, as qdrant.Snapshots and Qdrant's REST routes offer them. */
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { badInput, DomainError, limits } from "../core/index.ts";
import type { Engine, ReceivedSnapshot, SnapshotInfo, Snapshots } from "../engine/index.ts";
import { checkNewName } from "./names.ts";

export interface RecoverOptions {
  /** SHA-256 in hexadecimal, of the whole file. */
  readonly checksum?: string;
  /** Sent as `api-key` to the server that a URL names. */
  readonly apiKey?: string;
  readonly signal?: AbortSignal;
  /** Of a shard: then a location that is no URL names one of its snapshots. */
  readonly shard?: number;
}

export class SnapshotsService {
  readonly #snapshots: Snapshots;
  readonly #recoversFromUrls: boolean;

  constructor(engine: Engine, { recoversFromUrls = true }: { readonly recoversFromUrls?: boolean } = {}) {
    this.#snapshots = engine.snapshots;
    this.#recoversFromUrls = recoversFromUrls;
  }

  /** `collection` undefined, here and below: the whole storage. `shard`: 0 is the only one. */
  async create(collection: string | undefined, base?: string, shard?: number): Promise<SnapshotInfo> {
    await this.#checkShard(collection, shard);
    return this.#snapshots.create(collection, base, shard);
  }

  async list(collection: string | undefined, shard?: number): Promise<SnapshotInfo[]> {
    await this.#checkShard(collection, shard);
    return this.#snapshots.list(collection, shard);
  }

  async delete(collection: string | undefined, snapshot: string, shard?: number): Promise<void> {
    await this.#checkShard(collection, shard);
    await this.#snapshots.delete(collection, snapshot, shard);
  }

  async download(collection: string | undefined, snapshot: string, shard?: number): ReturnType<Snapshots["open"]> {
    await this.#checkShard(collection, shard);
    return this.#snapshots.open(collection, snapshot, shard);
  }

  /** Throws not_found unless the collection is there with this shard: a shard is not restored into nothing. */
  async checkShard(collection: string, shard: number): Promise<void> {
    await this.#snapshots.list(collection);
    await this.#checkShard(collection, shard);
  }

  /** `location`: an http, https or file URL. Qdrant's priorities say which replica wins; with one node it is the snapshot. */
  async recover(collection: string, location: string, options: RecoverOptions = {}): Promise<void> {
    const url = URL.canParse(location) ? new URL(location) : undefined;
    if (url?.protocol === "file:") return this.recoverFromFile(collection, filePathOf(url), options);
    if (url?.protocol === "http:" || url?.protocol === "https:") {
      if (this.#recoversFromUrls) return this.recoverFromUrl(collection, url, options);
      throw new DomainError(
        "forbidden",
        "Forbidden: Snapshot recovery from remote URLs is disabled in the configuration",
      );
    }
    if (url === undefined && options.shard !== undefined) {
      return this.#recoverOwn(collection, location, options.shard, options.checksum);
    }
    throw badInput("Wrong input: location: must be a URL of http, https or file", "location");
  }

  async #recoverOwn(collection: string, name: string, shard: number, checksum: string | undefined): Promise<void> {
    await this.#admit(collection, checksum);
    const { path } = await this.#snapshots.open(collection, name, shard);
    await this.#snapshots.restore(collection, [path], checksum);
  }

  async recoverFromFile(collection: string, path: string, { checksum }: RecoverOptions = {}): Promise<void> {
    await this.#admit(collection, checksum);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() !== true) {
      throw badInput(`Bad request: Snapshot file ${JSON.stringify(path)} does not exist`, "location");
    }
    // Whoever may restore is not thereby one who may read the server's files.
    if (!(await this.#snapshots.holds(path))) {
      throw badInput("Bad request: Snapshot file path must be inside the snapshots directory", "location");
    }
    await this.#snapshots.restore(collection, [path], checksum);
  }

  async recoverFromUrl(collection: string, url: URL, options: RecoverOptions = {}): Promise<void> {
    await this.#admit(collection, options.checksum);
    const whole = AbortSignal.timeout(limits.snapshotTransferMs);
    const stop = new AbortController();
    const signals = [whole, stop.signal, ...(options.signal === undefined ? [] : [options.signal])];
    const idle = setTimeout(() => stop.abort(new Error("the source is silent")), limits.snapshotIdleMs);
    try {
      const answer = await fetch(url, {
        signal: AbortSignal.any(signals),
        headers: options.apiKey === undefined ? {} : { "api-key": options.apiKey },
      }).catch((error: unknown) => {
        throw cannotFetch(error);
      });
      if (!answer.ok || answer.body === null) {
        await answer.body?.cancel();
        throw badInput(`Bad request: Failed to download snapshot: status ${answer.status}`, "location");
      }
      const { body } = answer;
      async function* watched(): AsyncGenerator<Uint8Array> {
        try {
          for await (const part of body) {
            idle.refresh();
            yield part as Uint8Array;
          }
        } catch (error) {
          throw cannotFetch(error);
        }
      }
      await this.#restoreReceived(collection, watched(), options.checksum, () => clearTimeout(idle));
    } finally {
      clearTimeout(idle);
    }
  }

  /** For uploads: the bytes of a snapshot file in the order in which they arrive. */
  async recoverFromBytes(
    collection: string,
    parts: AsyncIterable<Uint8Array>,
    { checksum }: RecoverOptions = {},
  ): Promise<void> {
    await this.#admit(collection, checksum);
    await this.#restoreReceived(collection, parts, checksum);
  }

  /**
   * The present state as a stream: its description, then its bytes, of a snapshot that is made for this and deleted at the end, however the
   * stream ends. `base` as for create().
   */
  async *downloadNew(collection: string | undefined, base?: string): AsyncGenerator<SnapshotInfo | Uint8Array> {
    const info = await this.#snapshots.create(collection, base);
    try {
      yield info;
      const { read } = await this.#snapshots.open(collection, info.name);
      yield* read(0);
    } finally {
      await this.#snapshots.delete(collection, info.name);
    }
  }

  /** Files of a snapshot and of the incremental ones on top of it, the oldest first; each is read to its end before the next. */
  async recoverFromFiles(
    collection: string,
    files: AsyncIterable<AsyncIterable<Uint8Array>>,
    { checksum }: RecoverOptions = {},
  ): Promise<void> {
    await this.#admit(collection, checksum);
    const received: ReceivedSnapshot[] = [];
    try {
      for await (const parts of files) {
        if (received.length >= limits.snapshotFilesPerRestoreMax) {
          throw badInput(`next_file: more than ${limits.snapshotFilesPerRestoreMax} files`, "next_file");
        }
        received.push(await this.#snapshots.receive(parts));
      }
      if (received.length === 0) throw badInput("start: must come first", "start");
      await this.#snapshots.restore(
        collection,
        received.map(({ path }) => path),
        checksum,
      );
    } finally {
      for (const file of received) await file.discard();
    }
  }

  /**
   * Files that lie here, the oldest first. Without `collection` all collections and aliases of one snapshot of the whole storage;
   * collections that it has not stay. The names of what was restored.
   */
  async recoverStored(
    collection: string | undefined,
    paths: readonly string[],
    { checksum }: RecoverOptions = {},
  ): Promise<string[]> {
    if (collection !== undefined) checkTarget(collection, checksum);
    else checkSum(checksum);
    if (collection === undefined && paths.length > 1) {
      throw badInput("Wrong input: several snapshots are restored as one collection: name it", "collection_name");
    }
    return this.#snapshots.restore(collection, paths, checksum);
  }

  async #admit(collection: string, checksum: string | undefined): Promise<void> {
    await this.#snapshots.admitRestore();
    checkTarget(collection, checksum);
  }

  async #checkShard(collection: string | undefined, shard: number | undefined): Promise<void> {
    if (shard === undefined || shard === 0) return;
    // Says first whether there is such a collection.
    await this.#snapshots.list(collection);
    throw new DomainError("not_found", `Not found: Shard ${shard} not found`, { details: { field: "shard_id" } });
  }

  async #restoreReceived(
    collection: string,
    parts: AsyncIterable<Uint8Array>,
    checksum: string | undefined,
    arrived: () => void = () => {},
  ): Promise<void> {
    const received = await this.#snapshots.receive(parts);
    arrived();
    try {
      await this.#snapshots.restore(collection, [received.path], checksum);
    } finally {
      await received.discard();
    }
  }
}

/** The texts, here and of the file, are Qdrant's. */
function filePathOf(url: URL): string {
  const isLocal = url.hostname === "" || url.hostname === "localhost";
  if (!isLocal || /%2f/i.test(url.pathname)) {
    const text = "Bad request: Invalid snapshot URI, file path must be absolute or on localhost";
    throw badInput(text, "location");
  }
  return fileURLToPath(new URL(`file://${url.pathname}`));
}

function checkTarget(collection: string, checksum: string | undefined): void {
  checkNewName(collection, "collection_name");
  checkSum(checksum);
}

function checkSum(checksum: string | undefined): void {
  if (checksum !== undefined && !/^[0-9a-f]{64}$/i.test(checksum)) {
    throw badInput("Wrong input: checksum: must be a SHA-256 of 64 hexadecimal digits", "checksum");
  }
}

function cannotFetch(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  const why = error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : "";
  return new DomainError("unavailable", `Failed to download snapshot: ${why}`, { details: { field: "location" } });
}
