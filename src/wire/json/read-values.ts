/** Ids, payload values and vectors of REST bodies. */
import { create } from "@bufbuild/protobuf";
import { ListValueSchema, StructSchema, type Value, ValueSchema } from "../../../gen/qdrant/json_with_int_pb.js";
import {
  DenseVectorSchema,
  DocumentSchema,
  ImageSchema,
  InferenceObjectSchema,
  MultiDenseVectorSchema,
  SparseVectorSchema,
  type Vector,
  VectorExampleSchema,
  VectorInputSchema,
  VectorSchema,
  VectorsSchema,
} from "../../../gen/qdrant/points_pb.js";
import { type PointId as PointIdMessage, PointIdSchema } from "../../../gen/qdrant/qdrant_common_pb.js";
import { limits, maxU64, type PointId } from "../../core/index.ts";
import { readUuid, toPointIdMessage } from "../point-id.ts";
import {
  formatError,
  isList,
  isObject,
  type Json,
  kindOf,
  member,
  toFloats,
  toInteger,
  toList,
  toObject,
  toText,
  WholeDouble,
} from "./parse.ts";
import { addReader, has, noVariant, readMessage } from "./read.ts";

export function readId(json: Json, at: string): PointId {
  if (typeof json === "string") return readUuid(json, at);
  if (typeof json === "bigint" || (typeof json === "number" && Number.isInteger(json))) {
    return toInteger(json, 0n, maxU64, "u64", at);
  }
  throw formatError(
    `value ${kindOf(json)} is not a valid point ID, valid values are either an unsigned integer or a UUID`,
    at,
  );
}

addReader(PointIdSchema, (json, at): PointIdMessage => toPointIdMessage(readId(json, at)));

const maxI64 = (1n << 63n) - 1n;

/** A whole number is an integer where 64 bits hold it, and a double otherwise. */
export function wholeNumber(value: number | bigint): bigint | number {
  const whole = BigInt(value);
  return whole <= maxI64 && whole >= -maxI64 - 1n ? whole : Number(value);
}

export function readValue(json: Json, at: string, depth: number): Value {
  if (depth > limits.payloadDepthMax) throw formatError("recursion limit exceeded", at.slice(0, 64));
  return create(ValueSchema, { kind: valueKind(json, at, depth) });
}

function valueKind(json: Json, at: string, depth: number): Value["kind"] {
  if (json === null) return { case: "nullValue", value: 0 };
  if (typeof json === "string") return { case: "stringValue", value: toText(json, at) };
  if (typeof json === "boolean") return { case: "boolValue", value: json };
  if (typeof json === "number" && !Number.isInteger(json)) {
    if (!Number.isFinite(json)) throw formatError("number out of range", at);
    return { case: "doubleValue", value: json };
  }
  if (typeof json === "number" || typeof json === "bigint") {
    const value = wholeNumber(json);
    return typeof value === "bigint" ? { case: "integerValue", value } : { case: "doubleValue", value };
  }
  if (json instanceof WholeDouble) return { case: "doubleValue", value: json.value };
  if (isList(json)) {
    const values = json.map((item, i) => readValue(item, `${at}[${i}]`, depth + 1));
    return { case: "listValue", value: create(ListValueSchema, { values }) };
  }
  const fields: Record<string, Value> = {};
  for (const [key, item] of Object.entries(json)) {
    const value = readValue(item, `${at}.${key.slice(0, 64)}`, depth + 1);
    Object.defineProperty(fields, toText(key, at), { value, enumerable: true, configurable: true, writable: true });
  }
  return { case: "structValue", value: create(StructSchema, { fields }) };
}

addReader(ValueSchema, (json, at) => readValue(json, at, 1));

addReader(DenseVectorSchema, (json, at) => create(DenseVectorSchema, { data: toNumbers(json, at) }));

addReader(MultiDenseVectorSchema, (json, at) =>
  create(MultiDenseVectorSchema, {
    vectors: toList(json, at).map((row, i) => create(DenseVectorSchema, { data: toNumbers(row, `${at}[${i}]`) })),
  }),
);

function toNumbers(json: Json, at: string): number[] {
  return Array.from(toFloats(json, at));
}

/** What stands for a vector, as the cases that Vector and VectorInput share. */
function vectorVariant(json: Json, at: string, depth: number): Vector["vector"] {
  if (isList(json)) {
    return isList(json[0])
      ? { case: "multiDense", value: readMessage(MultiDenseVectorSchema, json, at, depth) as never }
      : { case: "dense", value: readMessage(DenseVectorSchema, json, at, depth) as never };
  }
  if (has(json, "indices")) {
    return { case: "sparse", value: readMessage(SparseVectorSchema, json, at, depth) as never };
  }
  if (has(json, "text")) return { case: "document", value: readMessage(DocumentSchema, json, at, depth) as never };
  if (has(json, "image")) return { case: "image", value: readMessage(ImageSchema, json, at, depth) as never };
  if (has(json, "object"))
    return { case: "object", value: readMessage(InferenceObjectSchema, json, at, depth) as never };
  throw noVariant("Vector", at);
}

function isId(json: Json): boolean {
  return (
    typeof json === "string" || typeof json === "number" || typeof json === "bigint" || json instanceof WholeDouble
  );
}

addReader(VectorSchema, (json, at, depth) => create(VectorSchema, { vector: vectorVariant(json, at, depth) }));

/** A query's input: what a vector may be, or the id of a point that has it. */
addReader(VectorInputSchema, (json, at, depth) => {
  if (isId(json)) {
    return create(VectorInputSchema, { variant: { case: "id", value: toPointIdMessage(readId(json, at)) } });
  }
  const vector = vectorVariant(json, at, depth);
  return create(VectorInputSchema, { variant: vector as never });
});

/** An example of the older calls. */
addReader(VectorExampleSchema, (json, at, depth) => {
  if (isId(json)) {
    return create(VectorExampleSchema, { example: { case: "id", value: toPointIdMessage(readId(json, at)) } });
  }
  return create(VectorExampleSchema, {
    example: { case: "vector", value: readMessage(VectorSchema, json, at, depth) as never },
  });
});

/** True for the forms of one unnamed vector; other objects hold vectors by name. */
export function isUnnamed(json: Json): boolean {
  if (!isObject(json)) return true;
  if (isList(member(json, "indices")) && isList(member(json, "values"))) return true;
  const inferred = member(json, "text") ?? member(json, "image") ?? member(json, "object");
  return typeof member(json, "model") === "string" && inferred !== undefined;
}

addReader(VectorsSchema, (json, at, depth) => {
  if (isUnnamed(json)) {
    const value = readMessage(VectorSchema, json, at, depth) as never;
    return create(VectorsSchema, { vectorsOptions: { case: "vector", value } });
  }
  const vectors: Record<string, Vector> = {};
  for (const [name, item] of Object.entries(toObject(json, "vectors", at))) {
    const value = readMessage(VectorSchema, item, `${at}.${name.slice(0, 64)}`, depth + 1);
    Object.defineProperty(vectors, toText(name, at), { value, enumerable: true, configurable: true, writable: true });
  }
  return create(VectorsSchema, { vectorsOptions: { case: "vectors", value: { vectors } as never } });
});
