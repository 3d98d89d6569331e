/**
 * Puts a call's messages together from the frames they come in, instead of grpc-js 1.14's own decoder (the version is pinned, test/server
 * holds this up). That one joins a message's frames in memory of its own: for large ones V8 then runs a full collection for every few of
 * them, and one of 60 MB is copied in one go. Here frames are copied as they come, and memories of large messages are used again.
 */
import type { ServerInterceptingCall, ServerInterceptor } from "@grpc/grpc-js";
import { limits, noteCall, noteReceived } from "../../core/index.ts";

/** gRPC over HTTP/2, Length-Prefixed-Message: compressed flag, length. */
const headerBytes = 5;
/** What of a message has to be there before memory for all of it is taken: a length alone is only claimed. */
const unseenBytesMax = 1024 * 1024;

const spares: Buffer[] = [];
/** Memories that were taken here and not given back. */
const taken = new WeakSet<ArrayBufferLike>();

function takeMemory(bytes: number): Buffer {
  if (bytes < limits.spareRequestBytesMin) return Buffer.allocUnsafe(bytes);
  const at = spares.findIndex((spare) => spare.length >= bytes);
  if (at >= 0) {
    const spare = spares.splice(at, 1)[0] as Buffer;
    taken.add(spare.buffer);
    return spare;
  }
  // A little more, so that it serves the next one too, which is rarely of just the same size.
  const size =
    bytes > limits.spareRequestBytesMax ? bytes : Math.min(bytes + (bytes >>> 2), limits.spareRequestBytesMax);
  const fresh = Buffer.allocUnsafeSlow(size);
  taken.add(fresh.buffer);
  return fresh;
}

/** What is wiped in one turn of the event loop: about a millisecond. */
const wipedBytesMax = 8 * 1024 * 1024;

function wipe(bytes: Uint8Array, from: number, done: () => void): void {
  const end = Math.min(from + wipedBytesMax, bytes.length);
  bytes.fill(0, from, end);
  if (end === bytes.length) done();
  else setImmediate(wipe, bytes, end, done);
}

/**
 * Lets the memory of a request that was received here be used again; nothing may read the request's bytes any more. What may have been sealed is wiped
 * first (`sealed`), so that no plaintext lies around. Of a second call for the same bytes nothing comes.
 */
export function releaseRequest(bytes: Uint8Array, sealed = false): void {
  const { buffer } = bytes;
  const isOurs = taken.delete(buffer);
  if (!isOurs && bytes.length >= limits.spareRequestBytesMin) return;
  const giveBack = (): void => {
    if (!isOurs || buffer.byteLength > limits.spareRequestBytesMax) return;
    if (spares.length < limits.spareRequestsMax) spares.push(Buffer.from(buffer as ArrayBuffer));
  };
  if (sealed) wipe(bytes, 0, giveBack);
  else giveBack();
}

/** The part of grpc-js's StreamDecoder that its calls use. */
export class MessageAssembler {
  readonly #messageBytesMax: number;
  readonly #header = Buffer.alloc(headerBytes);
  #headerRead = 0;
  #message: Buffer = this.#header;
  /** Header included. */
  #size = 0;
  #read = 0;

  /** -1: no bound. */
  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Takes a frame; gives the messages, each behind its header, that it completes. */
  write(data: Buffer): Buffer[] {
    noteReceived(data.length);
    const messages: Buffer[] = [];
    let at = 0;
    while (at < data.length) {
      if (this.#headerRead < headerBytes) {
        const count = Math.min(headerBytes - this.#headerRead, data.length - at);
        data.copy(this.#header, this.#headerRead, at, at + count);
        this.#headerRead += count;
        at += count;
        if (this.#headerRead < headerBytes) break;
        this.#begin();
      }
      const count = Math.min(this.#size - this.#read, data.length - at);
      this.#makeRoom(this.#read + count);
      data.copy(this.#message, this.#read, at, at + count);
      this.#read += count;
      at += count;
      if (this.#read === this.#size) {
        messages.push(this.#message.subarray(0, this.#size));
        this.#message = this.#header;
        this.#headerRead = 0;
      }
    }
    return messages;
  }

  #begin(): void {
    const length = this.#header.readUInt32BE(1);
    if (this.#messageBytesMax !== -1 && length > this.#messageBytesMax) {
      // The text is grpc-js's.
      throw new Error(`Received message larger than max (${length} vs ${this.#messageBytesMax})`);
    }
    this.#size = headerBytes + length;
    this.#message = takeMemory(Math.min(this.#size, unseenBytesMax));
    this.#header.copy(this.#message);
    this.#read = headerBytes;
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#message.length) return;
    const whole = takeMemory(this.#size);
    this.#message.copy(whole, 0, 0, this.#read);
    // Whether it is to be sealed nobody knows yet.
    releaseRequest(this.#message, true);
    this.#message = whole;
  }
}

interface CallInternals {
  decoder?: unknown;
  readonly maxReceiveMessageSize?: unknown;
}

/** Has to come first, where it sees grpc-js's own call. Where that has no decoder (another version) everything stays as it is. */
export const receiveInterceptor: ServerInterceptor = (_method, call) => {
  noteCall();
  const internals = call as ServerInterceptingCall & CallInternals;
  if (internals.decoder !== undefined && typeof internals.maxReceiveMessageSize === "number") {
    internals.decoder = new MessageAssembler(internals.maxReceiveMessageSize);
  }
  return internals;
};
