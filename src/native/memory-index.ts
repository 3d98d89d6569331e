/** Vectors of a session that never reach the disk: cosine, scanned exactly by native threads. */
import { type NativeEngine, operations } from "./addon.ts";
import { NativeReader, NativeWriter } from "./bytes.ts";

export interface MemoryHit {
  /** Row, in the order of adding. */
  readonly row: number;
  readonly score: number;
}

export class MemoryIndex {
  private readonly engine: NativeEngine;
  private readonly number: bigint;
  readonly dimensions: number;

  private constructor(engine: NativeEngine, number: bigint, dimensions: number) {
    this.engine = engine;
    this.number = number;
    this.dimensions = dimensions;
  }

  static async create(engine: NativeEngine, dimensions: number): Promise<MemoryIndex> {
    const answer = await engine.call(operations.memoryCreate, new NativeWriter().u32(dimensions).done());
    return new MemoryIndex(engine, new NativeReader(answer).u64(), dimensions);
  }

  /** `vectors` holds whole rows. Returns the rows held after it. */
  async add(vectors: Float32Array): Promise<number> {
    const message = new NativeWriter(16 + vectors.byteLength)
      .u64(this.number)
      .u32(vectors.length / this.dimensions)
      .u32(0)
      .rawFloats(vectors);
    return new NativeReader(await this.engine.call(operations.memoryAdd, message.done())).size();
  }

  async search(vector: Float32Array, k: number, threshold?: number): Promise<MemoryHit[]> {
    const message = new NativeWriter(64 + vector.byteLength)
      .u64(this.number)
      .u32(k)
      .u8(threshold === undefined ? 0 : 1)
      .f32(threshold ?? 0)
      .floats(vector);
    const reader = new NativeReader(await this.engine.call(operations.memorySearch, message.done()));
    const hits: MemoryHit[] = [];
    for (let left = reader.u32(); left > 0; left--) hits.push({ row: reader.u32(), score: reader.f32() });
    return hits;
  }

  /** Wipes the rows and frees them. */
  async close(): Promise<void> {
    await this.engine.call(operations.memoryClose, new NativeWriter(8).u64(this.number).done());
  }
}
