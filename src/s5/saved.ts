/** What is kept beside an index on disk, encrypted with it: of the manifest what a later load needs. Fields are only added. */
import type { ChunkEntry, Manifest } from "./manifest.ts";
import type { IndexNote } from "./session-index.ts";

const version = 1;

export interface Saved {
  readonly manifest: Manifest;
  /** When a portal's manifest was this one, milliseconds since 1970; 0: not known. */
  readonly checkedAtMs: number;
}

export function toNote({ manifest, checkedAtMs }: Saved): IndexNote {
  return Buffer.from(JSON.stringify({ version, manifest, checkedAtMs }), "utf8");
}

/** Undefined for a note of another version: the index is then loaded anew. What `save` wrote is authentic, so its form is not judged again. */
export function fromNote(note: IndexNote): Saved | undefined {
  try {
    const read = JSON.parse(Buffer.from(note).toString("utf8")) as { version?: unknown } & Partial<Saved>;
    const { manifest, checkedAtMs = 0 } = read;
    if (read.version !== version || !Array.isArray(manifest?.chunks as readonly ChunkEntry[] | undefined))
      return undefined;
    // Earlier ones lack what was added.
    return { manifest: { ...(manifest as Manifest), updated: manifest?.updated ?? 0 }, checkedAtMs };
  } catch {
    return undefined;
  }
}
