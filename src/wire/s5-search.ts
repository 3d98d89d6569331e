/** sealpoint.v1.SearchRequest and SearchResponse of S5 sessions: a hot read. */
import { badInput, type Filter, limits } from "../core/index.ts";
import { type Pauses, writeFloat } from "./answers.ts";
import { decodeFilter } from "./filter.ts";
import { BackwardWriter } from "./proto-bytes.ts";
import { decoding, fieldMask, Malformed, MessageReader } from "./reader.ts";
import { append } from "./upsert.ts";

export interface S5SearchRequest {
  readonly sessionId: string;
  readonly vector: Float32Array;
  readonly k: number;
  readonly threshold: number | undefined;
  readonly filter: Filter | undefined;
  readonly allowPartial: boolean;
  readonly exact: boolean;
  readonly ef: number | undefined;
}

export interface S5SearchAnswer {
  readonly hits: readonly { readonly id: string; readonly score: number; readonly metadata: string }[];
  readonly partial: boolean;
  readonly percent: number;
}

const mask = fieldMask(1, 2, 3, 4, 5, 6, 7, 8);

/** Up to so many are read one by one, which is quicker than a view of them. */
const floatsOneByOne = 16;

/** A vector that may come in any number of pieces: the room for it doubles, so that small pieces are not copied once for each that follows. */
class Floats {
  #values = new Float32Array(0);
  #count = 0;

  /** The next `count` floats of the message. */
  read(r: MessageReader, count: number): void {
    const start = this.#count;
    const end = start + count;
    // Before anything is held of it, whatever session it is for.
    if (end > limits.vectorDimensionsMax) {
      throw badInput(`vector: more than ${limits.vectorDimensionsMax} dimensions`, "vector");
    }
    if (end > this.#values.length) {
      const grown = new Float32Array(Math.max(end, Math.min(2 * start, limits.vectorDimensionsMax)));
      grown.set(this.#values.subarray(0, start));
      this.#values = grown;
    }
    if (count <= floatsOneByOne) {
      for (let at = start; at < end; at++) this.#values[at] = r.float();
    } else {
      new Uint8Array(this.#values.buffer, 4 * start, 4 * count).set(r.bytes.subarray(r.pos, r.pos + 4 * count));
      r.pos += 4 * count;
    }
    this.#count = end;
  }

  all(): Float32Array<ArrayBuffer> {
    return this.#count === this.#values.length ? this.#values : this.#values.slice(0, this.#count);
  }
}

export function decodeS5Search(bytes: Uint8Array): S5SearchRequest {
  return decoding("sealpoint.v1.SearchRequest", () => read(bytes));
}

function read(bytes: Uint8Array): S5SearchRequest {
  const r = new MessageReader(bytes);
  let sessionId = "";
  const vector = new Floats();
  let k = 0;
  let threshold: number | undefined;
  let filter: Uint8Array[] | undefined;
  let allowPartial = false;
  let exact = false;
  let ef: number | undefined;
  while (r.pos < r.end) {
    const tag = r.tag();
    switch (tag) {
      case 0x0a:
        sessionId = r.string();
        break;
      case 0x12: {
        const length = r.length();
        if ((length & 3) !== 0) throw new Malformed("a packed float list is not a multiple of four bytes");
        vector.read(r, length >>> 2);
        break;
      }
      case 0x15:
        vector.read(r, 1);
        break;
      case 0x18:
        k = r.varint32();
        break;
      case 0x25:
        threshold = r.float();
        break;
      case 0x2a:
        filter = append(filter, r.slice());
        break;
      case 0x30:
        allowPartial = r.bool();
        break;
      case 0x38:
        exact = r.bool();
        break;
      case 0x40:
        ef = r.varint32();
        break;
      default:
        r.skipUnknown(tag, mask);
    }
  }
  return { sessionId, vector: vector.all(), k, threshold, filter: decodeFilter(filter), allowPartial, exact, ef };
}

const writer = new BackwardWriter(1 << 14);
/** Hits that are written at once. */
const hitsOfSlice = 128;

/** Repeated fields may be written in pieces, so the loop gets its turn in between. */
export async function encodeS5SearchResponse(answer: S5SearchAnswer, pauses: Pauses): Promise<Uint8Array> {
  const { hits } = answer;
  const parts: Uint8Array[] = [];
  for (let first = 0; first < hits.length; first += hitsOfSlice) {
    if (first > 0 && pauses.due()) await pauses.yield();
    writer.reset();
    if (first + hitsOfSlice >= hits.length) writeRest(answer);
    for (let row = Math.min(first + hitsOfSlice, hits.length) - 1; row >= first; row--) {
      writeHit(hits[row] as S5SearchAnswer["hits"][number]);
    }
    parts.push(writer.finish());
  }
  if (parts.length === 1) return parts[0] as Uint8Array;
  if (parts.length > 1) return new Uint8Array(Buffer.concat(parts));
  writer.reset();
  writeRest(answer);
  return writer.finish();
}

function writeRest({ partial, percent }: S5SearchAnswer): void {
  if (percent !== 0) {
    writeFloat(writer, percent);
    writer.byte(0x1d);
  }
  if (!partial) return;
  writer.byte(1);
  writer.byte(0x10);
}

function writeHit({ id, score, metadata }: S5SearchAnswer["hits"][number]): void {
  const before = writer.length;
  if (metadata !== "") {
    writer.text(metadata);
    writer.byte(0x1a);
  }
  // Zero is what proto3 leaves out.
  if (!Object.is(score, 0)) {
    writeFloat(writer, score);
    writer.byte(0x15);
  }
  if (id !== "") {
    writer.text(id);
    writer.byte(0x0a);
  }
  writer.uint32(writer.length - before);
  writer.byte(0x0a);
}
