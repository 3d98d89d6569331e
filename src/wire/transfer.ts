/** What `sealpoint import` and `export` say to a server, Qdrant's or ours, and points as lines of JSON that lose nothing. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CollectionInfo,
  CreateCollectionSchema,
  type PayloadSchemaInfo,
} from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import type { Value } from "../../gen/qdrant/json_with_int_pb.js";
import {
  CreateFieldIndexCollectionSchema,
  type PointStruct,
  PointStructSchema,
  type RetrievedPoint,
  type Vector,
  VectorsOutputSchema,
  VectorsSchema,
} from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import type { PointId } from "../../gen/qdrant/qdrant_common_pb.js";
import { badInput } from "../core/index.ts";

interface Method<I extends DescMessage, O extends DescMessage> {
  readonly name: string;
  readonly parent: { readonly typeName: string };
  readonly input: I;
  readonly output: O;
}

export interface ClientCall<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly path: string;
  encode(request: MessageInitShape<I>): Buffer;
  decode(answer: Uint8Array): MessageShape<O>;
}

function call<I extends DescMessage, O extends DescMessage>(method: Method<I, O>): ClientCall<I, O> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    encode: (request) => Buffer.from(toBinary(method.input, create(method.input, request))),
    decode: (answer) => fromBinary(method.output, answer),
  };
}

export const clientCalls = {
  collectionExists: call(Collections.method.collectionExists),
  collectionInfo: call(Collections.method.get),
  createCollection: call(Collections.method.create),
  deleteCollection: call(Collections.method.delete),
  createFieldIndex: call(Points.method.createFieldIndex),
  scroll: call(Points.method.scroll),
  get: call(Points.method.get),
  upsert: call(Points.method.upsert),
  count: call(Points.method.count),
  query: call(Points.method.query),
} as const;

export type TransferInfo = CollectionInfo;
export type TransferPoint = PointStruct;
export type TransferPointId = PointId;

/** A stored point as one that can be upserted: the two forms of vectors have the same field numbers. */
export function toUpsertPoint({ id, payload, vectors }: RetrievedPoint): TransferPoint {
  return create(PointStructSchema, {
    id,
    payload,
    ...(vectors === undefined ? {} : { vectors: fromBinary(VectorsSchema, toBinary(VectorsOutputSchema, vectors)) }),
  });
}

/** What makes a collection of the same shape. Shards and replicas are the target's own matter. */
export function creationOf(
  collectionName: string,
  info: TransferInfo,
): MessageInitShape<typeof CreateCollectionSchema> {
  const { config } = info;
  const params = config?.params;
  return {
    collectionName,
    hnswConfig: config?.hnswConfig,
    optimizersConfig: config?.optimizerConfig,
    quantizationConfig: config?.quantizationConfig,
    strictModeConfig: config?.strictModeConfig,
    metadata: config?.metadata,
    vectorsConfig: params?.vectorsConfig,
    sparseVectorsConfig: params?.sparseVectorsConfig,
    onDiskPayload: params?.onDiskPayload,
  };
}

/** Requests for the payload indexes of a collection. */
export function indexesOf(
  collectionName: string,
  schema: { readonly [field: string]: PayloadSchemaInfo },
): MessageInitShape<typeof CreateFieldIndexCollectionSchema>[] {
  return Object.entries(schema)
    .filter(([, { dataType }]) => dataType !== 0)
    .map(([fieldName, { dataType, params }]) => ({
      collectionName,
      wait: true,
      fieldName,
      // FieldType begins with keyword, PayloadSchemaType with unknown.
      fieldType: (dataType - 1) as 0,
      fieldIndexParams: params,
    }));
}

const creationText = (message: MessageInitShape<typeof CreateCollectionSchema>): string =>
  Buffer.from(toBinary(CreateCollectionSchema, create(CreateCollectionSchema, message))).toString("base64");

const format = "sealpoint-points-1";

/** The first line of a file of points. */
export function headerLine(collection: string, info: TransferInfo): string {
  return JSON.stringify({
    format,
    collection,
    points: Number(info.pointsCount ?? 0n),
    config: creationText(creationOf(collection, info)),
    indexes: indexesOf(collection, info.payloadSchema).map((index) =>
      Buffer.from(toBinary(CreateFieldIndexCollectionSchema, create(CreateFieldIndexCollectionSchema, index))).toString(
        "base64",
      ),
    ),
  });
}

export function readHeader(line: string): {
  readonly collection: string;
  readonly points: number;
  readonly creation: MessageInitShape<typeof CreateCollectionSchema>;
  readonly indexes: readonly MessageInitShape<typeof CreateFieldIndexCollectionSchema>[];
} {
  const header = JSON.parse(line) as Record<string, unknown>;
  if (header.format !== format) throw badInput(`the first line is not a header of the format ${format}`, "header");
  const bytes = (text: unknown) => Buffer.from(String(text), "base64");
  return {
    collection: String(header.collection),
    points: Number(header.points),
    creation: fromBinary(CreateCollectionSchema, bytes(header.config)),
    indexes: (header.indexes as unknown[]).map((each) => fromBinary(CreateFieldIndexCollectionSchema, bytes(each))),
  };
}

export function idText(id: TransferPointId | undefined): string {
  const options = id?.pointIdOptions;
  return options?.case === "num" ? String(options.value) : JSON.stringify(options?.value ?? "");
}

/** One point as Qdrant's REST API writes it, integers and doubles apart. Keys are sorted, so equal points are equal texts. */
export function pointLine(point: TransferPoint): string {
  return `{"id":${idText(point.id)},"vector":${vectorsJson(point)},"payload":${payloadJson(point)}}`;
}

export function payloadJson({ payload }: TransferPoint): string {
  return objectJson(payload);
}

function objectJson(fields: { readonly [key: string]: Value }): string {
  const keys = Object.keys(fields).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${valueJson(fields[key] as Value)}`).join(",")}}`;
}

function valueJson({ kind }: Value): string {
  switch (kind.case) {
    case "boolValue":
      return String(kind.value);
    case "integerValue":
      return String(kind.value);
    case "doubleValue":
      return doubleJson(kind.value);
    case "stringValue":
      return JSON.stringify(kind.value);
    case "structValue":
      return objectJson(kind.value.fields);
    case "listValue":
      return `[${kind.value.values.map(valueJson).join(",")}]`;
    default:
      return "null";
  }
}

function doubleJson(value: number): string {
  if (!Number.isFinite(value)) throw badInput(`payload: ${value} cannot be written as JSON`, "payload");
  if (Object.is(value, -0)) return "-0.0";
  const text = JSON.stringify(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

function vectorsJson({ vectors }: TransferPoint): string {
  const options = vectors?.vectorsOptions;
  if (options?.case === "vector") return vectorJson(options.value);
  const named = options?.case === "vectors" ? options.value.vectors : {};
  const names = Object.keys(named).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${vectorJson(named[name] as Vector)}`).join(",")}}`;
}

function vectorJson({ vector, data, indices, vectorsCount }: Vector): string {
  if (vector.case === "dense") return JSON.stringify(vector.value.data);
  if (vector.case === "sparse") return JSON.stringify({ indices: vector.value.indices, values: vector.value.values });
  if (vector.case === "multiDense") return JSON.stringify(vector.value.vectors.map((row) => row.data));
  // The older flat form.
  if (indices !== undefined) return JSON.stringify({ indices: indices.data, values: data });
  const rows = vectorsCount ?? 1;
  if (rows <= 1) return JSON.stringify(data);
  const size = data.length / rows;
  return JSON.stringify(Array.from({ length: rows }, (_, row) => data.slice(row * size, (row + 1) * size)));
}

class Whole {
  readonly value: bigint;
  constructor(value: bigint) {
    this.value = value;
  }
}

const wholeMin = -(2n ** 63n);
const wholeMax = 2n ** 63n - 1n;

/** Throws bad_input. */
export function readPointLine(line: string): TransferPoint {
  let given: unknown;
  try {
    // What is written without a fraction is an integer, of any size; JSON.parse alone would make all of them doubles.
    given = JSON.parse(line, (_key, value: unknown, { source }: { source?: string } = {}) =>
      typeof value === "number" && source !== undefined && /^-?\d+$/.test(source) ? new Whole(BigInt(source)) : value,
    );
  } catch {
    throw badInput("a line is not JSON", "line");
  }
  const { id, vector, payload } = (given ?? {}) as { id?: unknown; vector?: unknown; payload?: unknown };
  const pointId =
    id instanceof Whole
      ? { case: "num" as const, value: id.value }
      : typeof id === "string"
        ? { case: "uuid" as const, value: id }
        : undefined;
  if (pointId === undefined) throw badInput("a point has no id", "id");
  return create(PointStructSchema, {
    id: { pointIdOptions: pointId },
    payload: fieldsOf(payload ?? {}),
    ...(vector === undefined || vector === null ? {} : { vectors: readVectors(vector) }),
  });
}

type ValueInit = NonNullable<NonNullable<MessageInitShape<typeof PointStructSchema>["payload"]>[string]>;

function fieldsOf(object: unknown): { [key: string]: ValueInit } {
  if (typeof object !== "object" || object === null || Array.isArray(object))
    throw badInput("a payload is not an object", "payload");
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, toValue(value)]));
}

function toValue(value: unknown): ValueInit {
  if (value instanceof Whole) {
    const fits = value.value >= wholeMin && value.value <= wholeMax;
    return {
      kind: fits ? { case: "integerValue", value: value.value } : { case: "doubleValue", value: Number(value.value) },
    };
  }
  if (typeof value === "number") return { kind: { case: "doubleValue", value } };
  if (typeof value === "boolean") return { kind: { case: "boolValue", value } };
  if (typeof value === "string") return { kind: { case: "stringValue", value } };
  if (Array.isArray(value)) return { kind: { case: "listValue", value: { values: value.map(toValue) } } };
  if (value === null || value === undefined) return { kind: { case: "nullValue", value: 0 } };
  return { kind: { case: "structValue", value: { fields: fieldsOf(value) } } };
}

function readVectors(vector: unknown): NonNullable<MessageInitShape<typeof PointStructSchema>["vectors"]> {
  if (
    typeof vector === "object" &&
    vector !== null &&
    !Array.isArray(vector) &&
    !("indices" in vector && "values" in vector)
  ) {
    const named = Object.entries(vector).map(([name, each]) => [name, readVector(each)]);
    return { vectorsOptions: { case: "vectors", value: { vectors: Object.fromEntries(named) } } };
  }
  return { vectorsOptions: { case: "vector", value: readVector(vector) } };
}

function numbers(list: unknown): number[] {
  if (!Array.isArray(list)) throw badInput("a vector is not a list of numbers", "vector");
  return list.map((each) => {
    if (each instanceof Whole) return Number(each.value);
    if (typeof each !== "number") throw badInput("a vector is not a list of numbers", "vector");
    return each;
  });
}

function readVector(vector: unknown) {
  if (Array.isArray(vector) && Array.isArray(vector[0])) {
    return {
      vector: { case: "multiDense" as const, value: { vectors: vector.map((row) => ({ data: numbers(row) })) } },
    };
  }
  if (Array.isArray(vector)) return { vector: { case: "dense" as const, value: { data: numbers(vector) } } };
  const { indices, values } = vector as { indices?: unknown; values?: unknown };
  return { vector: { case: "sparse" as const, value: { indices: numbers(indices), values: numbers(values) } } };
}

/** Numbers of all vectors of a point, one after the other by name; for comparisons. */
export function vectorNumbers(point: TransferPoint): number[] {
  return (vectorsJson(point).match(/-?\d[\d.eE+-]*(?=[,\]])/g) ?? []).map(Number);
}

/** A dense vector of the point with its name ("" for the unnamed one), for a search. */
export function denseOf({ vectors }: TransferPoint): { readonly using: string; readonly data: number[] } | undefined {
  const options = vectors?.vectorsOptions;
  const named: [string, Vector][] =
    options?.case === "vector"
      ? [["", options.value]]
      : options?.case === "vectors"
        ? Object.entries(options.value.vectors)
        : [];
  for (const [using, { vector, data, indices, vectorsCount }] of named) {
    if (vector.case === "dense") return { using, data: vector.value.data };
    if (vector.case === undefined && data.length > 0 && indices === undefined && vectorsCount === undefined)
      return { using, data };
  }
  return undefined;
}
