/** Answers of grouped queries: { result = 1: GroupsResult { groups = 1: PointGroup { id = 1, hits = 2, lookup = 3 } }, time = 2 }. */
import type { GroupKey } from "../core/index.ts";
import { header, type Pauses, type WireTable, writeRetrievedPoint, writeScoredPoint, writeTime } from "./answers.ts";
import { BackwardWriter } from "./proto-bytes.ts";

export interface WireGroup {
  readonly key: GroupKey;
  readonly points: WireTable;
  /** At most one row. */
  readonly lookup: WireTable | undefined;
}

export async function encodeGroupsResponse(
  groups: readonly WireGroup[],
  seconds: number,
  pauses: Pauses,
): Promise<Uint8Array> {
  // A writer of its own: the shared one is somebody else's during a pause.
  const w = new BackwardWriter(1 << 16);
  writeTime(w, seconds, 0x11);
  const result = w.length;
  for (let index = groups.length - 1; index >= 0; index--) {
    const { key, points, lookup } = groups[index] as WireGroup;
    const before = w.length;
    if (lookup !== undefined && lookup.length > 0) writeRetrievedPoint(w, lookup, 0, 0x1a);
    for (let row = points.length - 1; row >= 0; row--) {
      if (pauses.due()) await pauses.yield();
      writeScoredPoint(w, points, row, 0x12);
    }
    writeKey(w, key);
    header(w, 0x0a, before);
  }
  header(w, 0x0a, result);
  return w.finish();
}

/** GroupId { unsigned_value = 1, integer_value = 2, string_value = 3 } */
function writeKey(w: BackwardWriter, key: GroupKey): void {
  const before = w.length;
  if (typeof key === "string") {
    w.text(key);
    w.byte(0x1a);
  } else {
    w.int64(key);
    w.byte(key >= 0n ? 0x08 : 0x10);
  }
  header(w, 0x0a, before);
}
