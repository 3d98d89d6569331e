/**
 * Upserts whose points stay the bytes that they came in, for the addon to read. Only the message around the points is read
 * here; whatever is unusual or wrong in it is left to the reader of whole messages, so errors have one source.
 */
import { WriteOrderingSchema } from "../../gen/qdrant/points_pb.js";
import { type EncodedPoints, limits } from "../core/index.ts";
import { decodePieces } from "./messages.ts";
import { checkOrdering } from "./ordering.ts";
import { MessageReader } from "./reader.ts";
import { tagFreshEphemeral, tagPublicKey } from "./upsert.ts";

export interface EncodedUpsertRequest {
  readonly collection: string;
  readonly wait: boolean;
  readonly points: EncodedPoints;
  readonly publicKey: string | undefined;
  readonly freshEphemeral: boolean;
}

export interface EncodedChunk {
  readonly sequence: bigint;
  readonly points: EncodedPoints;
}

/** qdrant.UpsertPoints; undefined when it has to be read whole: with a filter, a mode, shards, or a fault. */
export function skimUpsertPoints(bytes: Uint8Array): EncodedUpsertRequest | undefined {
  return unlessMalformed(() => {
    const r = new MessageReader(bytes);
    let collection = "";
    let wait = false;
    let count = 0;
    let publicKey: string | undefined;
    let freshEphemeral = false;
    while (r.pos < r.end) {
      switch (r.tag()) {
        case 0x1a:
          if (++count > limits.pointsPerRequestMax) return undefined;
          skipBody(r);
          break;
        case 0x0a:
          collection = r.string();
          break;
        case 0x10:
          wait = r.bool();
          break;
        case 0x22:
          checkOrdering(decodePieces(WriteOrderingSchema, [r.slice()]));
          break;
        case 0x38:
          r.u64();
          break;
        case tagPublicKey:
          publicKey = r.string();
          break;
        case tagFreshEphemeral:
          freshEphemeral = r.bool();
          break;
        default:
          return undefined;
      }
    }
    if (count === 0) return undefined;
    return { collection, wait, points: { bytes: r.bytes, field: 3, count }, publicKey, freshEphemeral };
  });
}

/** sealpoint.v1.BulkUpsertRequest with one chunk; undefined when it has to be read whole. */
export function skimBulkChunk(bytes: Uint8Array): EncodedChunk | undefined {
  return unlessMalformed(() => {
    const message = new MessageReader(bytes);
    if (bytes.length === 0 || message.tag() !== 0x12) return undefined;
    const body = message.slice();
    if (message.pos !== message.end) return undefined;
    const r = new MessageReader(body);
    let sequence = 0n;
    let count = 0;
    while (r.pos < r.end) {
      const tag = r.tag();
      if (tag === 0x12) {
        if (++count > limits.streamChunkPointsMax) return undefined;
        skipBody(r);
      } else if (tag === 0x08) {
        sequence = r.u64();
      } else {
        return undefined;
      }
    }
    return count === 0 ? undefined : { sequence, points: { bytes: body, field: 2, count } };
  });
}

function skipBody(r: MessageReader): void {
  const length = r.length();
  r.pos += length;
}

function unlessMalformed<T>(skim: () => T | undefined): T | undefined {
  try {
    return skim();
  } catch {
    return undefined;
  }
}
