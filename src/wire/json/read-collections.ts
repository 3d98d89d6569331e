/** Configurations and payload indexes of REST bodies. */
import { create, type DescMessage } from "@bufbuild/protobuf";
import {
  BinaryQuantizationQueryEncoding_SettingSchema,
  BinaryQuantizationQueryEncodingSchema,
  CreateShardKeySchema,
  DeleteShardKeySchema,
  KeywordPrefixParamsSchema,
  MaxOptimizationThreadsSchema,
  type PayloadIndexParams,
  PayloadIndexParamsSchema,
  QuantizationConfigDiffSchema,
  ReplicatePointsSchema,
  SparseVectorConfigSchema,
  StemmingAlgorithmSchema,
  StopwordsSetSchema,
  StrictModeMultivectorConfigSchema,
  StrictModeSparseConfigSchema,
  VectorParamsDiffMapSchema,
  VectorParamsDiffSchema,
  VectorParamsMapSchema,
  VectorParamsSchema,
  VectorsConfigDiffSchema,
  VectorsConfigSchema,
} from "../../../gen/qdrant/collections_pb.js";
import { FieldTypeSchema } from "../../../gen/qdrant/points_pb.js";
import { formatError, isObject, type Json, member, toBoolean, toInteger, toObject, toText } from "./parse.ts";
import { addReader, noVariant, readEnum, readFields, readMessage } from "./read.ts";

/** Messages that only wrap a map, which JSON has without them. */
for (const [desc, field] of [
  [SparseVectorConfigSchema, "map"],
  [VectorParamsMapSchema, "map"],
  [VectorParamsDiffMapSchema, "map"],
  [StrictModeMultivectorConfigSchema, "multivector_config"],
  [StrictModeSparseConfigSchema, "sparse_config"],
] as const) {
  addReader(desc as DescMessage, (json, at, depth) =>
    readFields(desc, { [field]: toObject(json, "a map", at) }, at, depth),
  );
}

addReader(VectorsConfigSchema, (json, at, depth) => {
  // One vector's configuration has a size; a vector called `size` has an object there.
  const one =
    isObject(json) &&
    Object.keys(json).length > 0 &&
    !isObject(member(json, "size")) &&
    ["size", "distance"].some((key) => typeof json[key] !== "object" && member(json, key) !== undefined);
  return one
    ? create(VectorsConfigSchema, {
        config: { case: "params", value: readMessage(VectorParamsSchema, json, at, depth) as never },
      })
    : create(VectorsConfigSchema, {
        config: { case: "paramsMap", value: readMessage(VectorParamsMapSchema, json, at, depth) as never },
      });
});

const diffKeys = new Set(["hnsw_config", "quantization_config", "on_disk", "memory"]);

/** By name, as every client sends it; what has a configuration's own keys is the unnamed vector's. */
addReader(VectorsConfigDiffSchema, (json, at, depth) => {
  const object = toObject(json, "a map", at);
  const keys = Object.keys(object);
  return keys.length > 0 && keys.every((key) => diffKeys.has(key))
    ? create(VectorsConfigDiffSchema, {
        config: { case: "params", value: readMessage(VectorParamsDiffSchema, json, at, depth) as never },
      })
    : create(VectorsConfigDiffSchema, {
        config: { case: "paramsMap", value: readMessage(VectorParamsDiffMapSchema, json, at, depth) as never },
      });
});

addReader(QuantizationConfigDiffSchema, (json, at, depth) =>
  json === "Disabled"
    ? create(QuantizationConfigDiffSchema, { quantization: { case: "disabled", value: {} as never } })
    : readFields(QuantizationConfigDiffSchema, json, at, depth),
);

addReader(MaxOptimizationThreadsSchema, (json, at) =>
  json === "auto"
    ? create(MaxOptimizationThreadsSchema, { variant: { case: "setting", value: 0 } })
    : create(MaxOptimizationThreadsSchema, {
        variant: { case: "value", value: toInteger(json, 0n, (1n << 64n) - 1n, "usize", at) },
      }),
);

addReader(BinaryQuantizationQueryEncodingSchema, (json, at) =>
  create(BinaryQuantizationQueryEncodingSchema, {
    variant: { case: "setting", value: readEnum(BinaryQuantizationQueryEncoding_SettingSchema, json, at) },
  }),
);

addReader(KeywordPrefixParamsSchema, () => create(KeywordPrefixParamsSchema));

addReader(StopwordsSetSchema, (json, at, depth) =>
  typeof json === "string"
    ? create(StopwordsSetSchema, { languages: [toText(json, at)] })
    : readFields(StopwordsSetSchema, json, at, depth),
);

addReader(StemmingAlgorithmSchema, (json, at) => {
  const object = toObject(json, "a stemmer", at);
  const type = member(object, "type");
  if (type === "none")
    return create(StemmingAlgorithmSchema, { stemmingParams: { case: "disabled", value: {} as never } });
  if (type !== "snowball") throw noVariant("StemmingAlgorithm", at);
  const language = toText(member(object, "language") ?? null, `${at}.language`);
  return create(StemmingAlgorithmSchema, { stemmingParams: { case: "snowball", value: { language } as never } });
});

/** A field's schema: the type's name, or its parameters with the type among them. */
export function readFieldSchema(
  json: Json | undefined,
  at: string,
): { readonly fieldType: number; readonly params: PayloadIndexParams | undefined } {
  if (json === undefined) throw formatError("missing field `field_schema`", "");
  if (typeof json === "string") return { fieldType: readEnum(FieldTypeSchema, json, at), params: undefined };
  const object = toObject(json, "a field schema", at);
  const type = toText(member(object, "type") ?? null, `${at}.type`);
  const fieldType = readEnum(FieldTypeSchema, type, `${at}.type`);
  const given: Record<string, Json> = { ...object };
  // A flag in JSON, a message that is there or not in protobuf.
  const prefix = member(object, "prefix");
  if (prefix !== undefined) given.prefix = toBoolean(prefix, `${at}.prefix`) ? {} : null;
  if (type === "text") given.tokenizer ??= "word";
  const params = readFields(PayloadIndexParamsSchema, { [`${type}_index_params`]: given }, at, 1);
  return { fieldType, params: params as unknown as PayloadIndexParams };
}

/** What a cluster of one node can do to its shards; other operations arrive without their matter, and are refused. */
const shardOperations = [
  ["create_sharding_key", "createShardKey", CreateShardKeySchema],
  ["drop_sharding_key", "deleteShardKey", DeleteShardKeySchema],
  ["replicate_points", "replicatePoints", ReplicatePointsSchema],
] as const;

/** The operation as protobuf's oneof has it. */
export function readShardOperation(json: Json): { readonly case: string | undefined; readonly value?: unknown } {
  const object = toObject(json, "ClusterOperations", "");
  for (const [name, field, inner] of shardOperations) {
    const value = member(object, name);
    if (value !== undefined) return { case: field, value: readMessage(inner, value, name) };
  }
  return { case: undefined };
}
