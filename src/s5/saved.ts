/** What is kept beside an index on disk, encrypted with it: of the manifest what a later load needs. Fields are only added. */
import type { ChunkEntry, Manifest } from "./manifest.ts";
import type { IndexNote } from "./session-index.ts";

const version = 1;

export function toNote(manifest: Manifest): IndexNote {
  return Buffer.from(JSON.stringify({ version, manifest }), "utf8");
}

/** Undefined for a note of another version: the index is then loaded anew. What `save` wrote is authentic, so its form is not judged again. */
export function fromNote(note: IndexNote): Manifest | undefined {
  try {
    const read = JSON.parse(Buffer.from(note).toString("utf8")) as { version?: unknown; manifest?: Manifest };
    return read.version === version && Array.isArray(read.manifest?.chunks as readonly ChunkEntry[])
      ? read.manifest
      : undefined;
  } catch {
    return undefined;
  }
}
