/** Reads the addon's answer in place; src/native/addon/engine/point_table.h fixes the layout. */
import {
  type EncodedPayload,
  type OrderValue,
  type PointId,
  uuidFromBytes,
  type VectorValue,
} from "../../core/index.ts";
import type { PointTable, PointVectors } from "../engine.ts";

const headerSize = 16;
const rowSize = 48;
const hasPayloads = 1;
const hasVectors = 2;
const hasIntegerOrders = 4;
const hasDoubleOrders = 8;
const wireFormShift = 8;
const sparseFlag = 2 ** 31;
const multiFlag = 2 ** 30;

const decoder = new TextDecoder();

export class NativePointTable implements PointTable {
  readonly length: number;
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly flags: number;

  constructor(buffer: ArrayBuffer, offset = 0) {
    this.view = new DataView(buffer, offset);
    this.bytes = new Uint8Array(buffer, offset);
    this.length = this.view.getUint32(0, true);
    this.flags = this.view.getUint32(4, true);
  }

  wire(form: number): Uint8Array | undefined {
    if (this.flags >>> wireFormShift !== form) return undefined;
    const start = this.view.getUint32(8, true);
    return this.bytes.subarray(start, start + this.view.getUint32(12, true));
  }

  private at(row: number): number {
    return headerSize + row * rowSize;
  }

  id(row: number): PointId {
    const at = this.at(row);
    if (this.view.getUint8(at) === 1) return uuidFromBytes(this.bytes, at + 8);
    return this.view.getBigUint64(at + 8, true);
  }

  score(row: number): number {
    return this.view.getFloat32(this.at(row) + 4, true);
  }

  version(row: number): bigint {
    return this.view.getBigUint64(this.at(row) + 24, true);
  }

  payload(row: number): EncodedPayload | undefined {
    if ((this.flags & hasPayloads) === 0) return undefined;
    const at = this.at(row);
    const start = this.view.getUint32(at + 32, true);
    return this.bytes.subarray(start, start + this.view.getUint32(at + 36, true));
  }

  orderValue(row: number): OrderValue | undefined {
    if ((this.flags & (hasIntegerOrders | hasDoubleOrders)) === 0) return undefined;
    const at = this.at(this.length) + row * 8;
    return (this.flags & hasIntegerOrders) !== 0 ? this.view.getBigInt64(at, true) : this.view.getFloat64(at, true);
  }

  vectors(row: number): PointVectors | undefined {
    if ((this.flags & hasVectors) === 0) return undefined;
    const at = this.at(row);
    const vectors: [string, VectorValue][] = [];
    if (this.view.getUint32(at + 44, true) === 0) return vectors;
    let place = this.view.getUint32(at + 40, true);
    const count = this.view.getUint32(place, true);
    place += 4;
    for (let i = 0; i < count; i++) {
      const nameSize = this.view.getUint32(place, true);
      const words = this.view.getUint32(place + 4, true);
      const sparse = words >= sparseFlag;
      const multi = !sparse && words >= multiFlag;
      const dimensions = words - (sparse ? sparseFlag : multi ? multiFlag : 0);
      place += 8;
      const name = decoder.decode(this.bytes.subarray(place, place + nameSize));
      place += (nameSize + 3) & ~3;
      const from = this.view.byteOffset + place;
      if (sparse) {
        const values = this.view.getUint32(place, true);
        vectors.push([
          name,
          {
            indices: new Uint32Array(this.view.buffer, from + 4, values),
            values: new Float32Array(this.view.buffer, from + 4 + values * 4, values),
          },
        ]);
      } else if (multi) {
        const rows = this.view.getUint32(place, true);
        const values = new Float32Array(this.view.buffer, from + 4, dimensions - 1);
        vectors.push([name, { rows, dimensions: values.length / rows, values }]);
      } else {
        vectors.push([name, new Float32Array(this.view.buffer, from, dimensions)]);
      }
      place += dimensions * 4;
    }
    return vectors;
  }
}
