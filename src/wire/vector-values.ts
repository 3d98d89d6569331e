/** Vectors of every kind: dense, sparse, multivectors, and what a model makes one of. */
import type { Value } from "../../gen/qdrant/json_with_int_pb.js";
import type { Document, Image, InferenceObject, Vector } from "../../gen/qdrant/points_pb.js";
import {
  badInput,
  DomainError,
  type InferenceInput,
  limits,
  type MultiVector,
  type PayloadObject,
  type PayloadValue,
  type SparseVector,
  type VectorValue,
} from "../core/index.ts";

/** A vector of a request, the deprecated flat form included; inference inputs are the caller's. */
export function mapVectorValue(message: Vector, field: string): VectorValue | { readonly inference: InferenceInput } {
  const one = message.vector;
  switch (one.case) {
    case "dense":
      return Float32Array.from(one.value.data);
    case "sparse":
      return mapSparse(one.value.indices, one.value.values, field);
    case "multiDense":
      return mapMulti(
        one.value.vectors.map(({ data }) => data),
        field,
      );
    case "document":
    case "image":
    case "object":
      return { inference: mapInference(one, field) };
    default:
      return mapFlat(message, field);
  }
}

/** `data` with `indices` is sparse, with `vectors_count` a multivector, alone dense. */
export function mapFlat({ data, indices, vectorsCount }: Vector, field: string): VectorValue {
  if (indices !== undefined) return mapSparse(indices.data, data, field);
  if (vectorsCount === undefined) return Float32Array.from(data);
  // The texts are Qdrant's validator's.
  if (vectorsCount === 0) throw multiError("Validation error: vectors count must be greater than 0 [{}]", field);
  if (data.length % vectorsCount !== 0) {
    throw multiError("Validation error: invalid dense vector length for vectors count [{}]", field);
  }
  const dimensions = data.length / vectorsCount;
  checkRows(vectorsCount, dimensions, field);
  return { rows: vectorsCount, dimensions, values: Float32Array.from(data) };
}

/** Sorted by index. Throws bad_input for unequal lengths, repeated indices and values that are not finite, as Qdrant does. */
export function mapSparse(indices: readonly number[], values: readonly number[], field: string): SparseVector {
  if (indices.length !== values.length) {
    throw sparseError("must be the same length as indices", `${field}.values`);
  }
  if (indices.length > limits.sparseValuesMax) {
    throw badInput(`${field}: more than ${limits.sparseValuesMax} values in a sparse vector`, field);
  }
  let ascending = true;
  for (let i = 1; i < indices.length && ascending; i++) ascending = (indices[i - 1] as number) < (indices[i] as number);
  const order = ascending
    ? undefined
    : Uint32Array.from(indices.keys()).sort((a, b) => (indices[a] as number) - (indices[b] as number));
  const sorted = order === undefined ? Uint32Array.from(indices) : order.map((at) => indices[at] as number);
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i] === sorted[i - 1]) throw sparseError("must be unique", `${field}.indices`);
  }
  const floats = Float32Array.from(order === undefined ? values : Array.from(order, (at) => values[at] as number));
  if (!floats.every(Number.isFinite)) throw badInput(`${field}: a value is not finite`, `${field}.values`);
  return { indices: sorted, values: floats };
}

/** How Qdrant's gRPC begins what is wrong with the sparse vector of an older search. */
export const sparseSearchRefused = "Sparse indices does not match sparse vector conditions: ";

/** Of an older search, whose vector holds the values. */
export function mapSearchedSparse(indices: readonly number[], values: readonly number[]): SparseVector {
  try {
    return mapSparse(indices, values, "vector");
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    throw badInput(`${sparseSearchRefused}${error.message}`, "vector");
  }
}

/** The checks and their texts are Qdrant's. */
export function mapMulti(rows: readonly (readonly number[])[], field: string): MultiVector {
  if (rows.length === 0) throw multiError("multi vector must not be empty", field);
  if (rows.some((row) => row.length === 0)) throw multiError("all vectors must be non-empty", field);
  const dimensions = (rows[0] as readonly number[]).length;
  checkSize(
    rows.length,
    rows.reduce((sum, row) => sum + row.length, 0),
    field,
  );
  const values = new Float32Array(rows.length * dimensions);
  for (const [i, row] of rows.entries()) {
    if (row.length !== dimensions) {
      const text = `all vectors must have the same dimension, found vector with dimension ${row.length}`;
      throw multiError(text, field);
    }
    values.set(row, i * dimensions);
  }
  return { rows: rows.length, dimensions, values };
}

/** The form is that of an error of Qdrant's validator that has a code and no parameters. */
function sparseError(text: string, field: string): Error {
  return badInput(`Validation error in body: [${field}: Validation error: ${text} [{}]]`, field);
}

function multiError(text: string, field: string): Error {
  return badInput(`Validation error in body: [${field}.data: ${text}]`, field);
}

function checkRows(rows: number, dimensions: number, field: string): void {
  if (dimensions === 0) throw multiError("all vectors must be non-empty", field);
  checkSize(rows, rows * dimensions, field);
}

function checkSize(rows: number, values: number, field: string): void {
  const { multiVectorRowsMax, multiVectorValuesEnd } = limits;
  if (values >= multiVectorValuesEnd) {
    throw multiError(`Total size of all vectors (${values}) must be less than ${multiVectorValuesEnd}`, field);
  }
  if (rows > multiVectorRowsMax) throw multiError(`more than ${multiVectorRowsMax} vectors`, field);
}

type InferenceMessage =
  | { readonly case: "document"; readonly value: Document }
  | { readonly case: "image"; readonly value: Image }
  | { readonly case: "object"; readonly value: InferenceObject };

export function mapInference(message: InferenceMessage, field: string): InferenceInput {
  const { model, options } = message.value;
  if (model === "") throw badInput(`${field}.model: empty`, `${field}.model`);
  const given = Object.entries(options).map(([key, value]) => [key, mapValue(value, `${field}.options.${key}`, 1)]);
  const rest = { model, options: Object.fromEntries(given) as PayloadObject };
  switch (message.case) {
    case "document":
      return { kind: "document", value: message.value.text, ...rest };
    case "image":
      return { kind: "image", value: mapValue(message.value.image, `${field}.image`, 1), ...rest };
    case "object":
      return { kind: "object", value: mapValue(message.value.object, `${field}.object`, 1), ...rest };
  }
}

/** qdrant.Value; an absent one is null. */
export function mapValue(message: Value | undefined, field: string, depth: number): PayloadValue {
  if (depth > limits.payloadDepthMax)
    throw badInput(`${field}: nested deeper than ${limits.payloadDepthMax} levels`, field);
  const one = message?.kind;
  switch (one?.case) {
    case "boolValue":
    case "stringValue":
    case "doubleValue":
    case "integerValue":
      return one.value;
    case "listValue":
      return one.value.values.map((value) => mapValue(value, field, depth + 1));
    case "structValue":
      return Object.fromEntries(
        Object.entries(one.value.fields).map(([key, value]) => [key, mapValue(value, field, depth + 1)]),
      );
    default:
      return null;
  }
}
