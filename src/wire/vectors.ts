/**
 * Dense vectors: qdrant.Vector, DenseVector, Vectors and NamedVectors. The usual shapes are read here, floats copied
 * out (they stand unaligned on the wire); whatever else the encoding allows goes to the generated code.
 */

import type { DenseVector, Vector, VectorInput, Vectors } from "../../gen/qdrant/points_pb.js";
import { VectorsSchema } from "../../gen/qdrant/points_pb.js";
import {
  badInput,
  DomainError,
  type InferenceInput,
  limits,
  type MultiVector,
  type VectorValue,
} from "../core/index.ts";
import { decodePieces } from "./messages.ts";
import { ByteArena } from "./proto-bytes.ts";
import { Malformed, type MessageReader } from "./reader.ts";
import { mapFlat, mapInference, mapMulti, mapSparse } from "./vector-values.ts";

/** The unnamed vector's name is "". */
export type NamedVectors = readonly (readonly [name: string, vector: VectorValue])[];

/** Vectors of a write: a model may have to make some of them. */
export type GivenVectors = readonly (readonly [
  name: string,
  vector: NamedVectors[number][1] | { readonly inference: InferenceInput },
])[];

const arenaFloatsMax = 1 << 16;

/** One memory for the vectors of one request: an allocation of its own for each would cost more than reading it. */
export class FloatArena {
  readonly #arena = new ByteArena();
  #left: number;

  /** `bytesMax` bounds what the request can hold in floats. */
  constructor(bytesMax: number) {
    this.#left = bytesMax >>> 2;
  }

  /** Copies little-endian floats from the wire. */
  copy(bytes: Uint8Array, at: number, count: number): Float32Array {
    const into = this.#arena.take(count * 4, this.#left * 4, arenaFloatsMax * 4);
    this.#left -= count;
    into.set(bytes.subarray(at, at + count * 4));
    return new Float32Array(into.buffer, into.byteOffset, count);
  }

  /** Vectors that were read are empty from then on. */
  release(): void {
    this.#arena.release();
  }
}

const tagFlatData = 0x0a;
const tagDense = (101 << 3) | 2;
const tagMulti = (103 << 3) | 2;
const tagDenseData = 0x0a;
const tagMultiRow = 0x0a;

/** The body of one packed float list. */
function readPacked(r: MessageReader, arena: FloatArena): Float32Array {
  const length = r.length();
  if ((length & 3) !== 0) throw new Malformed("a packed float list is not a multiple of four bytes");
  const at = r.pos;
  r.pos = at + length;
  return arena.copy(r.bytes, at, length >>> 2);
}

/** From the length of a qdrant.DenseVector on; undefined when it is not one packed list. */
export function readDense(r: MessageReader, arena: FloatArena): Float32Array | undefined {
  const outer = r.enter();
  let vector: Float32Array | undefined;
  if (r.pos < r.end && r.tag() === tagDenseData) {
    vector = readPacked(r, arena);
    if (r.pos !== r.end) vector = undefined;
  }
  r.leave(outer);
  return vector;
}

/** Places of equal packed lists in a qdrant.MultiDenseVector, of which the reader stands behind the length; undefined when it is of another shape. */
function findRows(r: MessageReader): { readonly rows: number[]; readonly size: number } | undefined {
  const rows: number[] = [];
  let size = 0;
  while (r.pos < r.end) {
    if (r.tag() !== tagMultiRow) return undefined;
    const outer = r.enter();
    if (r.pos >= r.end || r.tag() !== tagDenseData) return undefined;
    const length = r.length();
    if (rows.length === 0) size = length;
    if (length !== size || length === 0 || (length & 3) !== 0 || r.pos + length !== r.end) return undefined;
    rows.push(r.pos);
    r.pos = r.end;
    r.leave(outer);
  }
  return rows.length === 0 ? undefined : { rows, size };
}

/** From the length of a qdrant.MultiDenseVector on; undefined when it is not of equal packed lists, or too many of them. */
export function readMulti(r: MessageReader): MultiVector | undefined {
  const outer = r.enter();
  const found = findRows(r);
  if (found === undefined) return undefined;
  r.leave(outer);
  const { rows, size } = found;
  if (rows.length > limits.multiVectorRowsMax || rows.length * (size >>> 2) >= limits.multiVectorValuesEnd)
    return undefined;
  const bytes = new Uint8Array(rows.length * size);
  for (const [row, at] of rows.entries()) bytes.set(r.bytes.subarray(at, at + size), row * size);
  return { rows: rows.length, dimensions: size >>> 2, values: new Float32Array(bytes.buffer) };
}

/** From the length of a qdrant.Vector on; undefined when it is neither one `dense` or `multi_dense` nor one packed flat `data`. */
function readVector(r: MessageReader, arena: FloatArena): Float32Array | MultiVector | undefined {
  const outer = r.enter();
  let vector: Float32Array | MultiVector | undefined;
  if (r.pos < r.end) {
    const tag = r.tag();
    if (tag === tagDense) vector = readDense(r, arena);
    else if (tag === tagMulti) vector = readMulti(r);
    else if (tag === tagFlatData) vector = readPacked(r, arena);
    if (r.pos !== r.end) vector = undefined;
  }
  r.leave(outer);
  return vector;
}

/** From the length of a qdrant.Vectors on; undefined when the generated code has to read it. */
export function readVectors(r: MessageReader, arena: FloatArena): NamedVectors | undefined {
  const outer = r.enter();
  const vectors = r.pos < r.end ? readVectorsBody(r, arena) : [];
  const whole = r.pos === r.end;
  r.leave(outer);
  return whole ? vectors : undefined;
}

function readVectorsBody(r: MessageReader, arena: FloatArena): NamedVectors | undefined {
  const tag = r.tag();
  if (tag === 0x0a) {
    const vector = readVector(r, arena);
    return vector === undefined ? undefined : [["", vector]];
  }
  if (tag !== 0x12) return undefined;
  const outer = r.enter();
  const named: [string, VectorValue][] = [];
  let usual = true;
  while (usual && r.pos < r.end) {
    if (r.tag() !== 0x0a) {
      usual = false;
      break;
    }
    const outerEntry = r.enter();
    let name: string | undefined;
    let vector: VectorValue | undefined;
    while (usual && r.pos < r.end) {
      const entryTag = r.tag();
      if (entryTag === 0x0a && name === undefined) {
        name = r.string();
      } else if (entryTag === 0x12 && vector === undefined) {
        vector = readVector(r, arena);
        usual = vector !== undefined;
      } else {
        usual = false;
      }
    }
    r.leave(outerEntry);
    if (name === undefined || vector === undefined || named.some(([other]) => other === name)) usual = false;
    else named.push([name, vector]);
  }
  r.leave(outer);
  return usual ? named : undefined;
}

/** Vectors in pieces or in an unusual shape, by the generated code. */
export function decodeVectors(pieces: readonly Uint8Array[], field: string): GivenVectors {
  return mapVectors(decodePieces(VectorsSchema, pieces), field);
}

export function mapVectors(vectors: Vectors | undefined, field: string): GivenVectors {
  switch (vectors?.vectorsOptions.case) {
    case "vector":
      return [["", mapVector(vectors.vectorsOptions.value, field)]];
    case "vectors":
      return Object.entries(vectors.vectorsOptions.value.vectors).map(([name, vector]) => [
        name,
        mapVector(vector, `${field}.${name}`),
      ]);
    default:
      return [];
  }
}

export function unsupported(what: string, field: string): DomainError {
  return new DomainError("unimplemented", `${field}: ${what} arrive with a later version`, { details: { field } });
}

function mapVector(vector: Vector, field: string): GivenVectors[number][1] {
  switch (vector.vector.case) {
    case "dense":
      return mapDense(vector.vector.value);
    case "sparse":
      return mapSparse(vector.vector.value.indices, vector.vector.value.values, field);
    case "multiDense":
      return mapMulti(
        vector.vector.value.vectors.map(({ data }) => data),
        field,
      );
    case "document":
    case "image":
    case "object":
      return { inference: mapInference(vector.vector, field) };
    default:
      // The deprecated flat form, which older clients still send.
      return mapFlat(vector, field);
  }
}

function mapDense(vector: DenseVector): Float32Array {
  return Float32Array.from(vector.data);
}

/** A query's dense vector; the id variant is the caller's. */
export function mapVectorInput(input: VectorInput, field: string): Float32Array {
  switch (input.variant.case) {
    case "dense":
      return mapDense(input.variant.value);
    case "sparse":
      throw unsupported("sparse vectors", field);
    case "multiDense":
      throw unsupported("multivectors", field);
    case "document":
    case "image":
    case "object":
      throw unsupported(`inference inputs (${input.variant.case})`, field);
    default:
      throw badInput("VectorInput variant is missing", field);
  }
}

/** What can be told of a vector without its collection; native code checks again. */
export function checkVectorSize(size: number, field: string): void {
  if (size === 0) throw badInput(`${field}: the vector is empty`, field);
  if (size > limits.vectorDimensionsMax) {
    throw badInput(`${field}: ${size} dimensions are more than ${limits.vectorDimensionsMax}`, field);
  }
}
