/**
 * Indexes of S5 sessions: each an engine of its own, whose files (rows, metadata, codes and graph) are encrypted from the first byte under a
 * random key that lies in memory. Saving an index puts that key, under the owner's, into a file beside them; what is not saved goes with its
 * session. Rows and metadata are decrypted block by block when a search asks for them.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type CollectionConfig, DomainError, limits, sealingOff } from "../../core/index.ts";
import { NativeEngine } from "../../native/index.ts";
import type { IndexNote, SessionIndex, SessionIndexes } from "../../s5/index.ts";
import { EmbeddedEngine } from "./embedded-engine.ts";
import {
  LastStates,
  OpenFolders,
  readSaved,
  removeSaved,
  removeUnsaved,
  type SavedIndex,
  savedFolder,
  touchSaved,
  unusedSaved,
} from "./saved-index.ts";
import { collection, flush, SealedIndex, type SealedIndexesOptions, type Shared } from "./sealed-index.ts";

export type { SealedIndexesOptions } from "./sealed-index.ts";

/** How another thread of the process reaches what is attached. */
export interface EmbeddedAttachment {
  readonly name: string;
  readonly collection: string;
  /** Number of the native engine. */
  readonly handle: number;
}

interface Opened {
  readonly native: NativeEngine;
  readonly engine: EmbeddedEngine;
}

export class SealedIndexes implements SessionIndexes {
  readonly #options: SealedIndexesOptions;
  readonly #states = new LastStates();
  readonly #folders: OpenFolders;
  readonly #shared: Shared;
  /** What a stop left behind is gone. */
  readonly #swept: Promise<void>;

  constructor(options: SealedIndexesOptions) {
    this.#options = options;
    this.#folders = new OpenFolders(options.folder);
    this.#shared = { options, states: this.#states, folders: this.#folders, trim: () => this.#trim() };
    this.#swept = removeUnsaved(options.folder).catch(() => undefined);
  }

  async create({ dimensions }: { readonly dimensions: number }): Promise<SessionIndex> {
    const saved: SavedIndex = {
      folder: randomBytes(16).toString("hex"),
      key: randomBytes(32),
      dimensions,
      rows: 0,
      sequence: 0,
      note: new Uint8Array(),
      chunks: new Map(),
    };
    const { native, engine } = await this.#open(saved, true);
    try {
      await engine.createCollection(collection, configOf(dimensions), sealingOff);
      this.#folders.add(saved.folder);
      return new SealedIndex(this.#shared, native, engine, saved, undefined);
    } catch (error) {
      await engine.close();
      await this.#folders.leave(saved.folder, undefined);
      throw error;
    }
  }

  async open(
    name: string,
    key: Uint8Array,
  ): Promise<{ readonly index: SessionIndex; readonly note: IndexNote } | undefined> {
    const before = await savedFolder(this.#options.folder, name);
    // Whoever has it open has another state of the database, or closes it: the one is let alone, the other waited for.
    if (before === undefined || !(await this.#folders.isFree(before))) return undefined;
    const saved = await readSaved(this.#options.folder, name, key);
    if (saved === undefined || !this.#folders.add(saved.folder)) return undefined;
    try {
      return await this.#openSaved(name, saved);
    } catch (error) {
      const isForLater = error instanceof DomainError && error.kind === "exhausted";
      // Damaged, or not the last state: it can be loaded again.
      if (!isForLater) await this.#unname(name, saved.folder);
      await this.#folders.closing(saved.folder, this.#folders.leave(saved.folder, name));
      if (isForLater) throw error;
      return undefined;
    }
  }

  async #openSaved(
    name: string,
    saved: SavedIndex & { readonly mark: string },
  ): Promise<{ readonly index: SessionIndex; readonly note: IndexNote }> {
    if (!this.#states.isLast(name, saved.mark)) {
      throw new DomainError("data_loss", "a saved index is of an earlier time than the last that was saved");
    }
    const opened = await this.#open(saved, false);
    try {
      const { pointsCount, config } = await opened.engine.collectionInfo(collection);
      if (pointsCount !== saved.rows || config.vectors[""]?.size !== saved.dimensions) {
        throw new DomainError("data_loss", "rows of a saved index are missing");
      }
      const { leftOut } = await opened.engine.stats();
      if (leftOut.length > 0 || (await flush(opened.native)) !== saved.sequence) {
        throw new DomainError("data_loss", "the files of a saved index are not what was saved");
      }
      const index = new SealedIndex(this.#shared, opened.native, opened.engine, saved, name);
      await index.look();
      this.#states.note(name, saved.mark);
      await touchSaved(this.#options.folder, name);
      return { index, note: saved.note };
    } catch (error) {
      await opened.engine.close();
      throw error;
    }
  }

  /** Lets go of what was not used for the longest time, where more is saved than may be. Whoever has one open keeps it. */
  async #trim(): Promise<void> {
    for (const name of await unusedSaved(this.#options.folder, this.#options.savedMax ?? limits.s5SavedMax)) {
      const folder = await savedFolder(this.#options.folder, name);
      if (folder !== undefined && !this.#folders.has(folder)) await this.remove(name);
    }
  }

  async remove(name: string): Promise<boolean> {
    const folder = await this.#unname(name);
    if (folder !== undefined) await this.#folders.remove(folder);
    return folder !== undefined;
  }

  /** What it named; undefined, and nothing changed, when that is not `only`. */
  #unname(name: string, only?: string): Promise<string | undefined> {
    return this.#folders.inTurn(async () => {
      const folder = await savedFolder(this.#options.folder, name);
      if (only !== undefined && folder !== only) return undefined;
      await removeSaved(this.#options.folder, name);
      this.#states.note(name, undefined);
      return folder;
    });
  }

  /** `lazy`: nothing is there before it is saved, so nothing is synced before. */
  async #open({ folder, key }: SavedIndex, lazy: boolean): Promise<Opened> {
    await this.#swept;
    const path = join(this.#options.folder, folder);
    await mkdir(path, { recursive: true, mode: 0o700 });
    const { memoryLimitMegabytes } = this.#options;
    const native = await NativeEngine.openSealed(path, key, { memoryLimitMegabytes, lazy });
    return { native, engine: EmbeddedEngine.over(native, path) };
  }
}

function configOf(dimensions: number): CollectionConfig {
  return {
    vectors: { "": { size: dimensions, distance: "cosine" } },
    hnsw: { m: 16, efConstruct: 128, fullScanThreshold: 10_000 },
    indexingThreshold: 10_000,
    onDiskPayload: true,
    echo: "",
  };
}
