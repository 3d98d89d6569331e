/** Protobuf's wire form (https://protobuf.dev/programming-guides/encoding), as little of it as payloads need. */

/** Malformed bytes, with the place; callers turn it into bad_input that names a field. */
export class WireFault extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.name = "WireFault";
    this.offset = offset;
  }
}

/** Reads forward within `end`. All bounds are checked: the bytes are a stranger's. */
export class ByteReader {
  readonly bytes: Uint8Array;
  pos: number;
  end: number;
  /** Where the entry or value last read begins and ends. */
  start = 0;
  stop = 0;

  constructor(bytes: Uint8Array, pos = 0, end = bytes.length) {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
  }

  /** A varint as a number: tags and lengths. More than 32 bits is malformed here. */
  uint32(): number {
    const bytes = this.bytes;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.pos >= this.end) throw new WireFault("truncated varint", this.pos);
      const byte = bytes[this.pos++] as number;
      value += shift < 28 ? (byte & 0x7f) << shift : (byte & 0x0f) * 0x10000000;
      if (byte < 0x80) return value;
    }
    throw new WireFault("length or tag is out of range", this.pos);
  }

  /** A varint as a signed 64-bit integer. */
  int64(): bigint {
    const bytes = this.bytes;
    let low = 0;
    let scale = 1;
    // 49 bits are exact in a double and cover most integers.
    for (let count = 0; count < 7; count++) {
      if (this.pos >= this.end) throw new WireFault("truncated varint", this.pos);
      const byte = bytes[this.pos++] as number;
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return BigInt(low);
      scale *= 128;
    }
    let value = BigInt(low);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      if (this.pos >= this.end) throw new WireFault("truncated varint", this.pos);
      const byte = bytes[this.pos++] as number;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw new WireFault("varint is longer than 10 bytes", this.pos);
  }

  /** A varint of up to 49 bits as a number; -1, with `pos` where it was, when it is longer. */
  smallVarint(): number {
    const bytes = this.bytes;
    let at = this.pos;
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 7; count++) {
      if (at >= this.end) throw new WireFault("truncated varint", at);
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.pos = at;
        return value;
      }
      scale *= 128;
    }
    return -1;
  }

  /** A varint as a truth value; up to 10 bytes, as protobuf allows. */
  bool(): boolean {
    return this.int64() !== 0n;
  }

  double(): number {
    if (this.pos + 8 > this.end) throw new WireFault("truncated double", this.pos);
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.pos, 8);
    this.pos += 8;
    return view.getFloat64(0, true);
  }

  /** Reads a length and leaves the range in `start` and `stop`; `pos` is after it. */
  range(): void {
    const length = this.uint32();
    if (length > this.end - this.pos) throw new WireFault("length runs past the end", this.pos);
    this.start = this.pos;
    this.stop = this.pos + length;
    this.pos = this.stop;
  }

  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.int64();
        return;
      case 1:
        this.advance(8);
        return;
      case 2:
        this.range();
        return;
      case 5:
        this.advance(4);
        return;
      default:
        throw new WireFault("groups and unknown wire types are not accepted", this.pos);
    }
  }

  private advance(count: number): void {
    if (count > this.end - this.pos) throw new WireFault("truncated field", this.pos);
    this.pos += count;
  }
}

const arenaBlockBytes = 64 * 1024;

/**
 * One memory for many results, taken in blocks: one of its own for each would cost more than making it, and V8 has to look after each. What lies in it stays until all
 * of a block is unused, or until release().
 */
export class ByteArena {
  readonly #blocks: Uint8Array<ArrayBuffer>[] = [];
  #block = new Uint8Array(0);
  #used = 0;

  /** So many bytes, not zeroed. `expected`: how many more will be asked for, with them; what a block is at most, unless one result is larger. */
  take(count: number, expected: number, blockBytesMax: number): Uint8Array<ArrayBuffer> {
    if (this.#used + count > this.#block.length) {
      const size = Math.max(count, Math.min(expected, blockBytesMax));
      this.#block = new Uint8Array(Buffer.allocUnsafeSlow(size).buffer as ArrayBuffer);
      this.#blocks.push(this.#block);
      this.#used = 0;
    }
    const at = this.#used;
    this.#used = at + count;
    return this.#block.subarray(at, this.#used);
  }

  /** Wipes what was taken and gives the memory back at once; results are empty from then on. */
  release(): void {
    for (const block of this.#blocks.splice(0)) {
      block.fill(0);
      block.buffer.transfer(0);
    }
    this.#block = new Uint8Array(0);
    this.#used = 0;
  }
}

/**
 * Writes from the end of a buffer towards its start, so that the length of a nested message is known when its header is
 * written and nothing is measured twice.
 */
export class BackwardWriter {
  buffer: Buffer;
  pos: number;

  constructor(capacity = 4096) {
    this.buffer = Buffer.allocUnsafe(capacity);
    this.pos = capacity;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.buffer.length - this.pos;
  }

  reset(): void {
    // One huge payload must not hold its memory for ever.
    if (this.buffer.length > 1 << 20) this.buffer = Buffer.allocUnsafe(1 << 16);
    this.pos = this.buffer.length;
  }

  /** A copy, in memory of its own or in `arena`'s. */
  finish(arena?: ByteArena): Uint8Array {
    // A plain array, not a Buffer: Buffer's slice() shares memory, which surprises whoever takes this for a Uint8Array.
    const out = arena?.take(this.length, arenaBlockBytes, arenaBlockBytes) ?? new Uint8Array(this.length);
    out.set(this.buffer.subarray(this.pos));
    return out;
  }

  reserve(count: number): void {
    if (this.pos >= count) return;
    const used = this.length;
    const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, used + count));
    this.buffer.copy(grown, grown.length - used, this.pos);
    this.buffer = grown;
    this.pos = grown.length - used;
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[--this.pos] = value;
  }

  /** An unsigned varint below 2^32. */
  uint32(value: number): void {
    if (value < 0x80) {
      this.byte(value);
      return;
    }
    this.reserve(5);
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) size++;
    let at = this.pos - size;
    this.pos = at;
    let rest = value;
    while (rest >= 0x80) {
      this.buffer[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.buffer[at] = rest;
  }

  int64(value: bigint): void {
    if (value >= 0n && value < 0x80000000n) {
      this.uint32(Number(value));
      return;
    }
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, value);
    while (rest >= 0x80n) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.raw(Uint8Array.from(bytes));
  }

  double(value: number): void {
    this.reserve(8);
    this.pos -= 8;
    this.buffer.writeDoubleLE(value, this.pos);
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.pos -= bytes.length;
    this.buffer.set(bytes, this.pos);
  }

  /** UTF-8 with its length before it. */
  text(value: string): void {
    const size = Buffer.byteLength(value);
    this.reserve(size + 5);
    this.pos -= size;
    this.buffer.write(value, this.pos, size, "utf8");
    this.uint32(size);
  }
}
