/** sealpoint.v1.Ingest. */
import { Ingest, ScrollRequestSchema } from "../../../../gen/sealpoint/v1/ingest_pb.js";
import { limits } from "../../../core/index.ts";
import { TimeSlices } from "../../../seal/index.ts";
import type { BulkAnswer, BulkChunk, BulkMessage, IngestService, RefusedPoint } from "../../../services/index.ts";
import {
  decodeBulkUpsertRequestInSlices,
  decodeMessage,
  encodeBulkAck,
  encodeBulkStarted,
  encodeScrollPage,
  mapScrollStreamRequest,
  skimBulkChunk,
  type WirePointStatus,
} from "../../../wire/index.ts";
import { bindService, type CallContext, rawBidi, rawServerStream, type ServiceBinding } from "../call.ts";
import { errorTable } from "../errors.ts";
import { releaseRequest } from "../receive.ts";
import { publicKeyOf, tellSkipped } from "./common.ts";

const readWhole = (bytes: Uint8Array) => decodeBulkUpsertRequestInSlices(bytes, new TimeSlices());

async function readRequest(bytes: Uint8Array, call: CallContext): Promise<BulkMessage["request"]> {
  const chunk = skimBulkChunk(bytes);
  if (chunk !== undefined) {
    return {
      kind: "encoded_chunk",
      ...chunk,
      read: async () => (await readWhole(bytes)) as BulkChunk,
      release: (sealed) => releaseRequest(bytes, sealed),
    };
  }
  const request = await readWhole(bytes);
  if (request?.kind === "start") return { ...request, publicKey: publicKeyOf(call, request.publicKey) };
  if (request === undefined) return undefined;
  const release = (): void => {
    request.release();
    releaseRequest(bytes, true);
  };
  return { ...(request as BulkChunk), release };
}

async function* readMessages(requests: AsyncIterable<Uint8Array>, call: CallContext): AsyncGenerator<BulkMessage> {
  for await (const bytes of requests) {
    yield { request: await readRequest(bytes, call), bytes: bytes.length };
  }
}

function toStatus({ index, id, error }: RefusedPoint): WirePointStatus {
  return { index, id, code: errorTable[error.kind].grpc, message: error.message };
}

function encodeAnswer(answer: BulkAnswer): Uint8Array {
  if (answer.kind === "started") {
    return encodeBulkStarted(answer.lastApplied, limits.streamChunkPointsMax, limits.streamBytesInFlightMax);
  }
  // Chunks are written with wait and acknowledged in order, so each acknowledged one is durable.
  return encodeBulkAck({ ...answer, durableSequence: answer.sequence, refused: answer.refused.map(toStatus) });
}

export function bindIngest(ingest: IngestService): ServiceBinding {
  return bindService(Ingest, {
    bulkUpsert: rawBidi(async function* (requests, call) {
      for await (const answer of ingest.bulkUpsert(readMessages(requests, call), call.signal))
        yield encodeAnswer(answer);
    }),
    scroll: rawServerStream(async function* (bytes, call) {
      const request = mapScrollStreamRequest(decodeMessage(ScrollRequestSchema, bytes));
      const pages = ingest.scroll(request, call.signal, (skipped) => tellSkipped(call, skipped));
      for await (const page of pages) yield await encodeScrollPage(page, new TimeSlices());
    }),
  });
}
