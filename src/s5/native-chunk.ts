/** A chunk of the usual form, opened and read on a native thread: no object for each number or record, and no thread with a heap of its own. */
import { setImmediate as turn } from "node:timers/promises";
import { type PointId, uuidFromBytes } from "../core/index.ts";
import { nativeOpenS5Chunk } from "../native/index.ts";
import { parseContentId } from "./cid.ts";
import { giveBack } from "./memory.ts";
import type { OpenChunkTask, Opened, RecordBatch } from "./opener-protocol.ts";

const outcomes = { closed: 0, unusual: 1, read: 2 } as const;
const uuidBytes = 16;
/** Ids that are read in one turn of the loop: about a millisecond. */
const idsOfTurn = 2_048;
const none = new Uint8Array(0);

/** What is left for the usual reader: the file in the clear, where it lay. */
export interface Unusual {
  readonly unusual: { readonly misnamed: boolean };
}

/** Undefined where it is not even tried: the file cannot hold so many numbers. */
export async function openChunkNatively(
  task: OpenChunkTask,
  key: SharedArrayBuffer,
): Promise<Opened | Unusual | undefined> {
  const { encrypted, chunkId, dimensions, vectorCount, cid, metadataForm } = task;
  // A number takes two characters at least, its comma included.
  if (dimensions * vectorCount * 2 > encrypted.length) return undefined;
  const id = cid === undefined ? undefined : parseContentId(cid);
  const isOtherSize = id?.size !== undefined && id.size !== encrypted.length;
  const vectors = new Float32Array(dimensions * vectorCount);
  const request = {
    file: encrypted,
    key: new Uint8Array(key),
    hash: id?.hash ?? none,
    chunkId,
    dimensions,
    rows: vectorCount,
    keepIds: metadataForm === "payload",
  };
  let answer: Buffer;
  try {
    answer = Buffer.from(await nativeOpenS5Chunk(request, vectors));
  } catch (error) {
    // It may be in the clear by now, and read in part.
    vectors.fill(0);
    encrypted.fill(0);
    giveBack(encrypted);
    throw error;
  }
  const misnamed = isOtherSize || answer[1] === 1;
  // What was read of it before it turned out to be unusual.
  if (answer[0] !== outcomes.read) vectors.fill(0);
  if (answer[0] === outcomes.unusual) return { unusual: { misnamed } };
  giveBack(encrypted);
  if (answer[0] === outcomes.closed) return { code: "DECRYPTION_FAILED", message: "cannot open the file", misnamed };
  if (misnamed) {
    vectors.fill(0);
    answer.fill(0);
    return {
      code: "CHUNK_DOWNLOAD_FAILED",
      message: `chunk ${chunkId}: not the file that the manifest names`,
      misnamed,
    };
  }
  return { batch: await readColumns(answer, vectors, task) };
}

async function readColumns(answer: Buffer, vectors: Float32Array, task: OpenChunkTask): Promise<RecordBatch> {
  const { chunkId, dimensions, vectorCount: rows } = task;
  const pointIds: PointId[] = [];
  const ids: string[] = [];
  let at = 2;
  for (let row = 0; row < rows; row++) {
    if (answer[at++] === 0) {
      pointIds.push(answer.readBigUInt64LE(at));
      at += 8;
    } else {
      pointIds.push(uuidFromBytes(answer.subarray(at, at + uuidBytes)));
      at += uuidBytes;
    }
    if (row % idsOfTurn === idsOfTurn - 1) await turn();
  }
  const idEnds = at;
  const metadataEnds = at + 4 * rows;
  const text = metadataEnds + 4 * rows;
  const metadataOffsets = new Uint32Array(rows + 1);
  let start = 0;
  for (let row = 0; row < rows; row++) {
    const end = answer.readUInt32LE(idEnds + 4 * row);
    ids.push(answer.toString("utf8", text + start, text + end));
    start = end;
    metadataOffsets[row + 1] = answer.readUInt32LE(metadataEnds + 4 * row);
    if (row % idsOfTurn === idsOfTurn - 1) await turn();
  }
  const metadata = Uint8Array.prototype.slice.call(answer, text + start);
  answer.fill(0);
  return { chunkId, dimensions, ids, pointIds, vectors, metadata, metadataOffsets };
}
