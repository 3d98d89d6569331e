/**
 * What grpc-js 1.14 does not offer, done through the fields of its call objects (the version is pinned, test/server holds
 * this up): answers compressed as the request was, and a bound on messages read ahead.
 */
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const gzipAsync = promisify(gzip);

/** A message's bytes as they pass through grpc-js. */
export interface Box {
  readonly bytes: Uint8Array;
  /** The bytes are gzip. */
  readonly compressed: boolean;
}

/** The part of grpc-js's BaseServerInterceptingCall that is used here. */
export interface BaseCall {
  readonly incomingEncoding: string;
  readonly stream?: { readonly closed: boolean; readonly destroyed: boolean };
  serializeMessage(box: Box): Buffer;
}

/** Below this a gzip header costs more than it saves. */
const compressBytesMin = 1024;

export function baseCall(call: unknown): BaseCall | undefined {
  let base = (call as { call?: unknown }).call;
  while (base !== null && typeof base === "object" && "nextCall" in base) base = base.nextCall;
  if (base === null || typeof base !== "object") return undefined;
  return "incomingEncoding" in base && "serializeMessage" in base ? (base as BaseCall) : undefined;
}

export function answersCompressed(base: BaseCall | undefined): boolean {
  return base?.incomingEncoding === "gzip";
}

/** Compresses when the client's request came as gzip, as grpc-go does; off the event loop. */
export async function compressBox(base: BaseCall | undefined, bytes: Uint8Array): Promise<Box> {
  if (base === undefined || bytes.byteLength < compressBytesMin || !answersCompressed(base)) {
    return { bytes, compressed: false };
  }
  base.serializeMessage = frame;
  return { bytes: await gzipAsync(bytes), compressed: true };
}

/** gRPC over HTTP/2, Length-Prefixed-Message: compressed flag, length, message. */
function frame(box: Box): Buffer {
  const output = Buffer.allocUnsafe(box.bytes.byteLength + 5);
  output.writeUInt8(box.compressed ? 1 : 0, 0);
  output.writeUInt32BE(box.bytes.byteLength, 1);
  output.set(box.bytes, 5);
  return output;
}

/** grpc-js reads 16 messages ahead whatever their size; with chunks of many megabytes that is no back-pressure at all. */
export function limitReadAhead(stream: unknown): void {
  const state = (stream as { _readableState?: { highWaterMark: number } })._readableState;
  if (state !== undefined) state.highWaterMark = 1;
}
