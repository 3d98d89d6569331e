/**
 * The file that makes an encrypted folder one that can be opened again: `{name}.index`, 12 bytes of magic, the folder's name (32 hexadecimal
 * digits), a nonce of 12 bytes, and under AES-256-GCM with a key derived from the owner's: u32 length of a JSON head, the head, the note, and
 * the packed ids of each chunk. The magic and the folder are its additional data.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { open, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { limits } from "../../core/index.ts";

const magic = Buffer.from("SEALS5IDX002", "latin1");
const folderDigits = 32;
const nonceBytes = 12;
const tagBytes = 16;
const suffix = ".index";

export interface SavedIndex {
  /** Name of the folder with its files. */
  readonly folder: string;
  /** Of the files. */
  readonly key: Uint8Array;
  readonly dimensions: number;
  readonly rows: number;
  /** The store's last write when it was saved: an older or newer state of the folder is not what this names. */
  readonly sequence: number;
  readonly note: Uint8Array;
  /** Ids of each chunk's rows, packed. */
  readonly chunks: ReadonlyMap<number, Uint8Array>;
}

interface Head {
  readonly key: string;
  readonly dimensions: number;
  readonly rows: number;
  readonly sequence: number;
  readonly noteBytes: number;
  readonly chunks: readonly (readonly [chunk: number, bytes: number])[];
}

const keyOf = (key: Uint8Array): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", key, new Uint8Array(), "sealpoint s5 index v1", 32));

function pathOf(root: string, name: string): string {
  if (!/^[0-9a-zA-Z_-]{1,128}$/.test(name)) throw new Error("the name of a saved index is letters and digits");
  return join(root, name + suffix);
}

/** Durable when it is done; a stop before leaves what was there. Gives the state's mark, as readSaved does. */
export async function writeSaved(root: string, name: string, key: Uint8Array, saved: SavedIndex): Promise<string> {
  const chunks = [...saved.chunks];
  const head: Head = {
    key: Buffer.from(saved.key).toString("hex"),
    dimensions: saved.dimensions,
    rows: saved.rows,
    sequence: saved.sequence,
    noteBytes: saved.note.length,
    chunks: chunks.map(([chunk, ids]) => [chunk, ids.length]),
  };
  const text = Buffer.from(JSON.stringify(head), "utf8");
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const start = Buffer.concat([magic, Buffer.from(saved.folder, "latin1")]);
  const nonce = randomBytes(nonceBytes);
  const wrapping = keyOf(key);
  const cipher = createCipheriv("aes-256-gcm", wrapping, nonce).setAAD(start);
  const parts = [start, nonce];
  for (const part of [length, text, saved.note, ...chunks.map(([, ids]) => ids)]) parts.push(cipher.update(part));
  parts.push(cipher.final());
  const tag = cipher.getAuthTag();
  parts.push(tag);
  wrapping.fill(0);
  text.fill(0);
  const path = pathOf(root, name);
  const file = await open(`${path}.partial`, "w", 0o600);
  try {
    for (const part of parts) await file.writeFile(part);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.partial`, path);
  const folder = await open(dirname(path), "r");
  await folder.sync().finally(() => folder.close());
  return tag.toString("hex");
}

/** Undefined when there is none, or none that opens under this key. */
export async function readSaved(
  root: string,
  name: string,
  key: Uint8Array,
): Promise<(SavedIndex & { readonly mark: string }) | undefined> {
  const bytes = await readFile(pathOf(root, name)).catch(() => undefined);
  const start = magic.length + folderDigits;
  if (bytes === undefined || bytes.length < start + nonceBytes + tagBytes) return undefined;
  if (!bytes.subarray(0, magic.length).equals(magic)) return undefined;
  const wrapping = keyOf(key);
  let opened: Buffer;
  try {
    const decipher = createDecipheriv("aes-256-gcm", wrapping, bytes.subarray(start, start + nonceBytes));
    decipher.setAAD(bytes.subarray(0, start)).setAuthTag(bytes.subarray(-tagBytes));
    opened = Buffer.concat([decipher.update(bytes.subarray(start + nonceBytes, -tagBytes)), decipher.final()]);
  } catch {
    return undefined;
  } finally {
    wrapping.fill(0);
  }
  const textEnd = 4 + opened.readUInt32LE(0);
  // What opens under the key was written by writeSaved.
  const head = JSON.parse(opened.toString("utf8", 4, textEnd)) as Head;
  opened.fill(0, 4, textEnd);
  const chunks = new Map<number, Uint8Array>();
  let at = textEnd + head.noteBytes;
  for (const [chunk, size] of head.chunks) {
    chunks.set(chunk, Uint8Array.prototype.slice.call(opened, at, at + size));
    at += size;
  }
  return {
    folder: bytes.toString("latin1", magic.length, start),
    key: Buffer.from(head.key, "hex"),
    dimensions: head.dimensions,
    rows: head.rows,
    sequence: head.sequence,
    note: Uint8Array.prototype.slice.call(opened, textEnd, textEnd + head.noteBytes),
    chunks,
    mark: bytes.toString("hex", bytes.length - tagBytes),
  };
}

/**
 * Which state of each index this process saved, opened or removed last. Another one that bears its name was brought back by somebody. Of names that this process
 * has not met it knows nothing.
 */
export class LastStates {
  readonly #marks = new Map<string, string | undefined>();

  /** `mark` undefined: none is left. */
  note(name: string, mark: string | undefined): void {
    this.#marks.delete(name);
    this.#marks.set(name, mark);
    if (this.#marks.size <= limits.s5SavedStatesMax) return;
    for (const oldest of this.#marks.keys()) {
      this.#marks.delete(oldest);
      return;
    }
  }

  isLast(name: string, mark: string): boolean {
    return !this.#marks.has(name) || this.#marks.get(name) === mark;
  }
}

/**
 * Folders that this process has open: a second engine over one would be refused, and be taken for damage. None of them is removed under its engine: who closes it does that, where no `.index`
 * names it any more.
 */
export class OpenFolders {
  readonly #root: string;
  readonly #ends = new Map<string, Promise<void> | undefined>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(root: string) {
    this.#root = root;
  }

  /** What reads an `.index` file and changes it, one after the other. */
  inTurn<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#last.then(run);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Removes a folder that nothing names any more; where somebody has it open, that one does when it leaves. */
  async remove(folder: string): Promise<void> {
    // Held meanwhile, so that nobody opens what is half gone.
    if (this.add(folder)) await this.leave(folder, undefined);
  }

  /** Of who has it open and has closed its engine: it stays where `name` names it, and goes where not. */
  async leave(folder: string, name: string | undefined): Promise<void> {
    const stays = await this.inTurn(async () => {
      if (name === undefined || (await savedFolder(this.#root, name)) !== folder) return false;
      // In the same turn: who names another from here on finds it free, and removes it.
      this.free(folder);
      return true;
    });
    if (stays) return;
    await rm(join(this.#root, folder), { recursive: true, force: true }).finally(() => this.free(folder));
  }

  /** False when somebody has it open already. */
  add(folder: string): boolean {
    if (this.#ends.has(folder)) return false;
    this.#ends.set(folder, undefined);
    return true;
  }

  has(folder: string): boolean {
    return this.#ends.has(folder);
  }

  free(folder: string): void {
    this.#ends.delete(folder);
  }

  /** It is open until `end`, which leaves it. */
  async closing(folder: string, end: Promise<void>): Promise<void> {
    this.#ends.set(folder, end);
    await end.finally(() => {
      // By now it may be another's.
      if (this.#ends.get(folder) === end) this.free(folder);
    });
  }

  /** False while somebody has it open; one that is being closed is waited for. */
  async isFree(folder: string): Promise<boolean> {
    while (this.#ends.has(folder)) {
      const end = this.#ends.get(folder);
      if (end === undefined) return false;
      await end.catch(() => undefined);
    }
    return true;
  }
}

/** The folder that is saved under a name, whoever may open it. */
export async function savedFolder(root: string, name: string): Promise<string | undefined> {
  const bytes = await readFile(pathOf(root, name)).catch(() => undefined);
  if (bytes === undefined || !bytes.subarray(0, magic.length).equals(magic)) return undefined;
  const folder = bytes.toString("latin1", magic.length, magic.length + folderDigits);
  // Nothing vouches for it here, and folders that are replaced are removed: none but ours.
  return /^[0-9a-f]+$/.test(folder) && folder.length === folderDigits ? folder : undefined;
}

export async function removeSaved(root: string, name: string): Promise<void> {
  await rm(pathOf(root, name), { force: true });
}

/** It was used just now, among all that are saved. */
export async function touchSaved(root: string, name: string): Promise<void> {
  const now = new Date();
  // A disk that is read only keeps its times.
  await utimes(pathOf(root, name), now, now).catch(() => undefined);
}

/** Names beyond the `keep` that were saved or opened last, the longest unused first. */
export async function unusedSaved(root: string, keep: number): Promise<string[]> {
  const names = (await readdir(root)).filter((entry) => entry.endsWith(suffix));
  if (names.length <= keep) return [];
  const used = await Promise.all(
    names.map(async (entry) => ({ entry, ms: (await stat(join(root, entry)).catch(() => undefined))?.mtimeMs ?? 0 })),
  );
  used.sort((a, b) => a.ms - b.ms);
  return used.slice(0, used.length - keep).map(({ entry }) => entry.slice(0, -suffix.length));
}

/** Folders that nothing saved names, halves of files, and what another version saved. */
export async function removeUnsaved(root: string): Promise<void> {
  const entries = await readdir(root).catch(() => []);
  const kept = new Set<string>();
  for (const entry of entries) {
    const folder = entry.endsWith(suffix) ? await savedFolder(root, entry.slice(0, -suffix.length)) : undefined;
    if (folder !== undefined) kept.add(entry).add(folder);
  }
  for (const entry of entries) {
    if (kept.has(entry)) continue;
    await rm(join(root, entry), { recursive: true, force: true });
  }
}
