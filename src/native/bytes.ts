/** The writer of the messages that cross to the addon; core/bytes.h is the reader. Little endian. */
import { limits, type PointId, uuidBytes } from "../core/index.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Memories of large messages, used again: a new one for each would be zeroed first and then left to the collector, which
 * runs a full collection for every few of them.
 */
const spare: Uint8Array[] = [];

/** node/addon.cc has the same number. */
const sharedBytes = 16 * 1024;
let sharedWriter: NativeWriter | undefined;

export class NativeWriter {
  private bytes: Uint8Array;
  private view: DataView;
  private at = 0;

  constructor(capacity: number | Uint8Array = 256) {
    this.bytes = typeof capacity === "number" ? new Uint8Array(capacity) : capacity;
    this.view = new DataView(this.bytes.buffer);
  }

  /** A writer over a memory that was released before, when one is large enough. Call release() when the message is done with. */
  static reusing(capacity: number): NativeWriter {
    const place = spare.findIndex((bytes) => bytes.length >= capacity);
    const [bytes] = place < 0 ? [] : spare.splice(place, 1);
    return new NativeWriter(bytes ?? Math.max(capacity, limits.spareMessageBytesMin));
  }

  /**
   * The one writer of small messages, empty. Its message must be handed to the addon before anything else is written: up to its capacity
   * the addon copies it there and then (kCopyMax), and a message that outgrew it has left its memory behind.
   */
  static shared(): NativeWriter {
    if (sharedWriter === undefined || sharedWriter.bytes.length > sharedBytes) {
      sharedWriter = new NativeWriter(sharedBytes);
    }
    sharedWriter.at = 0;
    return sharedWriter;
  }

  /** Gives the memory back. Neither the writer nor what done() gave may be used after it. */
  release(): void {
    const { length } = this.bytes;
    const worthKeeping = length >= limits.spareMessageBytesMin && length <= limits.spareMessageBytesMax;
    if (worthKeeping && spare.length < limits.spareMessagesMax) spare.push(this.bytes);
    this.bytes = new Uint8Array(0);
  }

  private room(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.at + size));
    grown.set(this.bytes.subarray(0, this.at));
    // What is left behind may be a plaintext on its way to be sealed.
    this.bytes.fill(0);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  u8(value: number): this {
    this.room(1);
    this.view.setUint8(this.at, value);
    this.at += 1;
    return this;
  }

  u32(value: number): this {
    this.room(4);
    this.view.setUint32(this.at, value, true);
    this.at += 4;
    return this;
  }

  u64(value: bigint): this {
    this.room(8);
    this.view.setBigUint64(this.at, value, true);
    this.at += 8;
    return this;
  }

  f32(value: number): this {
    this.room(4);
    this.view.setFloat32(this.at, value, true);
    this.at += 4;
    return this;
  }

  f64(value: number): this {
    this.room(8);
    this.view.setFloat64(this.at, value, true);
    this.at += 8;
    return this;
  }

  /** u32 length and the bytes. */
  blob(value: Uint8Array): this {
    this.room(4 + value.length);
    this.view.setUint32(this.at, value.length, true);
    this.bytes.set(value, this.at + 4);
    this.at += 4 + value.length;
    return this;
  }

  text(value: string): this {
    // Three bytes a UTF-16 unit is the most that UTF-8 takes.
    this.room(4 + value.length * 3);
    const { written } = encoder.encodeInto(value, this.bytes.subarray(this.at + 4));
    this.view.setUint32(this.at, written, true);
    this.at += 4 + written;
    return this;
  }

  texts(values: readonly string[]): this {
    this.u32(values.length);
    for (const value of values) this.text(value);
    return this;
  }

  id(id: PointId): this {
    if (typeof id === "bigint") return this.u8(0).u64(id);
    this.u8(1);
    const bytes = uuidBytes(id);
    this.room(16);
    this.bytes.set(bytes, this.at);
    this.at += 16;
    return this;
  }

  /** u32 dimensions and the f32 values. */
  floats(values: Float32Array): this {
    const size = values.length * 4;
    this.room(4 + size);
    this.view.setUint32(this.at, values.length, true);
    this.bytes.set(new Uint8Array(values.buffer, values.byteOffset, size), this.at + 4);
    this.at += 4 + size;
    return this;
  }

  /** The values alone. */
  rawFloats(values: Float32Array): this {
    const size = values.length * 4;
    this.room(size);
    this.bytes.set(new Uint8Array(values.buffer, values.byteOffset, size), this.at);
    this.at += size;
    return this;
  }

  raw(value: Uint8Array): this {
    this.room(value.length);
    this.bytes.set(value, this.at);
    this.at += value.length;
    return this;
  }

  get size(): number {
    return this.at;
  }

  done(): Uint8Array {
    return this.bytes.subarray(0, this.at);
  }

  /** Zeros what was written; the writer and what done() gave must not be used after it. */
  wipe(): void {
    this.bytes.fill(0, 0, this.at);
  }
}

export class NativeReader {
  private readonly view: DataView;
  private at: number;

  constructor(buffer: ArrayBuffer, offset = 0) {
    this.view = new DataView(buffer);
    this.at = offset;
  }

  get offset(): number {
    return this.at;
  }

  u8(): number {
    return this.view.getUint8(this.at++);
  }

  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  u64(): bigint {
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }

  /** A count that fits a JavaScript number. */
  size(): number {
    return Number(this.u64());
  }

  f32(): number {
    this.at += 4;
    return this.view.getFloat32(this.at - 4, true);
  }

  f64(): number {
    this.at += 8;
    return this.view.getFloat64(this.at - 8, true);
  }

  blob(): Uint8Array {
    const size = this.u32();
    const bytes = new Uint8Array(this.view.buffer, this.at, size);
    this.at += size;
    return bytes;
  }

  text(): string {
    return decoder.decode(this.blob());
  }

  skip(size: number): void {
    this.at += size;
  }
}
