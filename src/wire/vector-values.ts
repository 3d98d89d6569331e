/** Vectors of every kind: dense, sparse, multivectors, and what a model makes one of. */
import type { Value } from "../../gen/qdrant/json_with_int_pb.js";
import type { Document, Image, InferenceObject, Vector } from "../../gen/qdrant/points_pb.js";
import {
  badInput,
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
function mapFlat({ data, indices, vectorsCount }: Vector, field: string): VectorValue {
  if (indices !== undefined) return mapSparse(indices.data, data, field);
  if (vectorsCount === undefined || vectorsCount <= 1) return Float32Array.from(data);
  if (data.length % vectorsCount !== 0) {
    throw badInput(`${field}: ${data.length} values cannot be ${vectorsCount} vectors`, `${field}.vectors_count`);
  }
  const dimensions = data.length / vectorsCount;
  checkRows(vectorsCount, field);
  return { rows: vectorsCount, dimensions, values: Float32Array.from(data) };
}

/** Sorted by index. Throws bad_input for unequal lengths, repeated indices and values that are not finite, as Qdrant does. */
export function mapSparse(indices: readonly number[], values: readonly number[], field: string): SparseVector {
  if (indices.length !== values.length) {
    throw badInput(
      `${field}: must be the same length as indices (${values.length} values, ${indices.length} indices)`,
      field,
    );
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
    if (sorted[i] === sorted[i - 1]) throw badInput(`${field}.indices: must be unique`, `${field}.indices`);
  }
  const floats = Float32Array.from(order === undefined ? values : Array.from(order, (at) => values[at] as number));
  if (!floats.every(Number.isFinite)) throw badInput(`${field}: a value is not finite`, `${field}.values`);
  return { indices: sorted, values: floats };
}

export function mapMulti(rows: readonly (readonly number[])[], field: string): MultiVector {
  const dimensions = rows[0]?.length ?? 0;
  checkRows(rows.length, field);
  if (dimensions === 0)
    throw badInput(`${field}: a multivector needs at least one vector with at least one value`, field);
  const values = new Float32Array(rows.length * dimensions);
  for (const [i, row] of rows.entries()) {
    if (row.length !== dimensions) {
      throw badInput(`${field}: all vectors of a multivector must have the same dimension`, `${field}[${i}]`);
    }
    values.set(row, i * dimensions);
  }
  return { rows: rows.length, dimensions, values };
}

function checkRows(rows: number, field: string): void {
  if (rows > limits.multiVectorRowsMax) {
    throw badInput(`${field}: more than ${limits.multiVectorRowsMax} vectors in a multivector`, field);
  }
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
