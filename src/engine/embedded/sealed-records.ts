/** Records of an S5 database as points, and points as its hits. */
import type { EncodedPayload, PointId } from "../../core/index.ts";
import { type IndexHit, originalIdKey, toPointId } from "../../s5/index.ts";
import { TimeSlices } from "../../seal/index.ts";
import { decodePayload, encodePayload, omitEntries, payloadKeys, pickEntries } from "../../wire/index.ts";
import type { PointInput, PointTable } from "../engine.ts";

/** Where the metadata has an `_id` of its own, the record's id is kept under this key. */
const secondIdKey = "__id";
const idKeys: ReadonlySet<string> = new Set([originalIdKey, secondIdKey]);

/** The metadata with the record's own id where the point's does not read as it. */
export function withId(metadata: EncodedPayload, pointId: PointId, id: string): EncodedPayload {
  if (String(pointId) === id) return metadata;
  const key = payloadKeys(metadata).includes(originalIdKey) ? secondIdKey : originalIdKey;
  return Buffer.concat([omitEntries(metadata, new Set([key])), encodePayload({ [key]: id })]);
}

export async function toHits(found: PointTable): Promise<IndexHit[]> {
  const slices = new TimeSlices();
  const hits: IndexHit[] = [];
  for (let row = 0; row < found.length; row++) {
    if (slices.due()) await slices.yield();
    hits.push(toHit(found, row));
  }
  return hits;
}

function toHit(found: PointTable, row: number): IndexHit {
  const pointId = found.id(row);
  const payload = found.payload(row) ?? new Uint8Array();
  const own = pickEntries(payload, idKeys);
  // As of nearly all whose id is a number or a UUID.
  if (own.length === 0)
    return { id: String(pointId), score: found.score(row), metadata: Uint8Array.prototype.slice.call(payload) };
  const kept = decodePayload(own);
  for (const key of [secondIdKey, originalIdKey]) {
    const id = kept[key];
    if (typeof id !== "string" || id === String(pointId) || toPointId(id) !== pointId) continue;
    return { id, score: found.score(row), metadata: omitEntries(payload, new Set([key])) };
  }
  return { id: String(pointId), score: found.score(row), metadata: Uint8Array.prototype.slice.call(payload) };
}

export function wipe(points: readonly PointInput[]): void {
  for (const { payload, vectors } of points) {
    payload.fill(0);
    for (const [, vector] of vectors) if (vector instanceof Float32Array) vector.fill(0);
  }
}
