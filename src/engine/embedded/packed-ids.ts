/** Many point ids in little memory: a tag and 8 or 16 bytes each. */
import { type PointId, uuidBytes, uuidFromBytes } from "../../core/index.ts";

const numberSize = 9;
const uuidSize = 17;

export function packIds(ids: readonly PointId[]): Uint8Array {
  const size = ids.reduce((sum, id) => sum + (typeof id === "bigint" ? numberSize : uuidSize), 0);
  const packed = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (const id of ids) {
    if (typeof id === "bigint") {
      packed[at] = 0;
      packed.writeBigUInt64LE(id, at + 1);
      at += numberSize;
    } else {
      packed[at] = 1;
      packed.set(uuidBytes(id), at + 1);
      at += uuidSize;
    }
  }
  return packed;
}

export function* unpackIds(packed: Uint8Array): Generator<PointId> {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] === 0) {
      yield bytes.readBigUInt64LE(at + 1);
      at += numberSize;
    } else {
      yield uuidFromBytes(bytes.subarray(at + 1, at + uuidSize));
      at += uuidSize;
    }
  }
}
