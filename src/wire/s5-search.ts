/** sealpoint.v1.SearchRequest and SearchResponse of S5 sessions: a hot read. */
import type { Filter } from "../core/index.ts";
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

export function decodeS5Search(bytes: Uint8Array): S5SearchRequest {
  return decoding("sealpoint.v1.SearchRequest", () => read(bytes));
}

function read(bytes: Uint8Array): S5SearchRequest {
  const r = new MessageReader(bytes);
  let sessionId = "";
  let vector = new Float32Array(0);
  let k = 0;
  let threshold: number | undefined;
  let filter: Uint8Array[] | undefined;
  let allowPartial = false;
  let exact = false;
  let ef: number | undefined;
  const add = (more: Float32Array<ArrayBuffer>): void => {
    if (vector.length === 0) {
      vector = more;
      return;
    }
    const both = new Float32Array(vector.length + more.length);
    both.set(vector);
    both.set(more, vector.length);
    vector = both;
  };
  // Floats one by one: an old form.
  const loose: number[] = [];
  const addLoose = (): void => {
    if (loose.length > 0) add(Float32Array.from(loose.splice(0)));
  };
  while (r.pos < r.end) {
    const tag = r.tag();
    switch (tag) {
      case 0x0a:
        sessionId = r.string();
        break;
      case 0x12: {
        const length = r.length();
        if ((length & 3) !== 0) throw new Malformed("a packed float list is not a multiple of four bytes");
        addLoose();
        const more = new Float32Array(length >>> 2);
        new Uint8Array(more.buffer).set(r.bytes.subarray(r.pos, r.pos + length));
        add(more);
        r.pos += length;
        break;
      }
      case 0x15:
        loose.push(r.float());
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
  addLoose();
  return { sessionId, vector, k, threshold, filter: decodeFilter(filter), allowPartial, exact, ef };
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
