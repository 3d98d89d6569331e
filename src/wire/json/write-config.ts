/** Collections' configurations as Qdrant's JSON, by the descriptors of their messages. */
import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import * as c from "../../../gen/qdrant/collections_pb.js";
import { type Value, ValueSchema } from "../../../gen/qdrant/json_with_int_pb.js";
import { doubleText, floatText } from "../number-text.ts";
import { enumName, jsonName } from "./read.ts";
import { stringText } from "./write-values.ts";

/** A text that is JSON already. */
export class Raw {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Out =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Raw
  | readonly Out[]
  | { readonly [key: string]: Out };

/** JSON with exact integers; members that are undefined are left out. Numbers are counts: floats come as Raw. */
export function textOf(out: Out): string {
  if (out === null || out === undefined) return "null";
  if (typeof out === "string") return stringText(out);
  if (typeof out !== "object") return String(out);
  if (out instanceof Raw) return out.text;
  if (Array.isArray(out)) return `[${out.map(textOf).join(",")}]`;
  const members = Object.entries(out).filter(([, value]) => value !== undefined);
  return `{${members.map(([key, value]) => `${stringText(key)}:${textOf(value as Out)}`).join(",")}}`;
}

type AnyMessage = Message & Record<string, unknown>;

function valueOut(value: Value): Out {
  const { kind } = value;
  switch (kind.case) {
    case "doubleValue":
      return new Raw(doubleText(kind.value));
    case "integerValue":
    case "stringValue":
    case "boolValue":
      return kind.value;
    case "listValue":
      return kind.value.values.map(valueOut);
    case "structValue":
      return mapOut(kind.value.fields, valueOut);
    default:
      return null;
  }
}

function mapOut<T>(map: Readonly<Record<string, T>>, write: (value: T) => Out): { readonly [key: string]: Out } {
  const out: Record<string, Out> = {};
  for (const [key, value] of Object.entries(map)) {
    Object.defineProperty(out, key, { value: write(value), enumerable: true });
  }
  return out;
}

type Write = (message: AnyMessage) => Out;

const oneofValue =
  (name: string): Write =>
  (message) => {
    const { value } = message[name] as { value?: Out };
    return value;
  };

/** Messages whose JSON is another than their fields: the counterparts of the readers. */
const specials: Readonly<Record<string, Write>> = {
  [ValueSchema.typeName]: (message) => valueOut(message as unknown as Value),
  [c.VectorsConfigSchema.typeName]: (message) => {
    const { config } = message as unknown as c.VectorsConfig;
    if (config.case === undefined) return {};
    return config.case === "params"
      ? out(c.VectorParamsSchema, config.value)
      : mapOut(config.value.map, (params) => out(c.VectorParamsSchema, params));
  },
  [c.SparseVectorConfigSchema.typeName]: (message) =>
    mapOut((message as unknown as c.SparseVectorConfig).map, (params) => out(c.SparseVectorParamsSchema, params)),
  [c.StrictModeSparseConfigSchema.typeName]: (message) =>
    mapOut((message as unknown as c.StrictModeSparseConfig).sparseConfig, (one) => out(c.StrictModeSparseSchema, one)),
  [c.StrictModeMultivectorConfigSchema.typeName]: (message) =>
    mapOut((message as unknown as c.StrictModeMultivectorConfig).multivectorConfig, (one) =>
      out(c.StrictModeMultivectorSchema, one),
    ),
  [c.MaxOptimizationThreadsSchema.typeName]: (message) => {
    const { variant } = message as unknown as c.MaxOptimizationThreads;
    return variant.case === "value" ? variant.value : null;
  },
  [c.BinaryQuantizationQueryEncodingSchema.typeName]: (message) => {
    const { variant } = message as unknown as c.BinaryQuantizationQueryEncoding;
    return variant.case === undefined ? null : enumName(c.BinaryQuantizationQueryEncoding_SettingSchema, variant.value);
  },
  [c.KeywordPrefixParamsSchema.typeName]: () => true,
  [c.StemmingAlgorithmSchema.typeName]: (message) => {
    const { stemmingParams: one } = message as unknown as c.StemmingAlgorithm;
    return one.case === "snowball" ? { type: "snowball", language: one.value.language } : { type: "none" };
  },
  [c.ShardKeySchema.typeName]: oneofValue("key"),
};

function fieldOut(field: DescField, value: unknown): Out {
  switch (field.fieldKind) {
    case "enum":
      return enumName(field.enum, value as number);
    case "message":
      return out(field.message, value as Message);
    case "list":
      return (value as readonly unknown[]).map((item) =>
        field.listKind === "message"
          ? out(field.message, item as Message)
          : field.listKind === "enum"
            ? enumName(field.enum, item as number)
            : scalarOut(field.scalar, item),
      );
    case "map":
      return mapOut(value as Record<string, unknown>, (item) =>
        field.mapKind === "message" ? out(field.message, item as Message) : (item as Out),
      );
    case "scalar":
      return scalarOut(field.scalar, value);
  }
}

/** 1: double, 2: float. */
function scalarOut(type: number, value: unknown): Out {
  if (type === 1) return new Raw(doubleText(value as number));
  if (type === 2) return new Raw(floatText(value as number));
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return value as Out;
}

/** A message as JSON: what is not set is left out. */
function out(desc: DescMessage, message: Message): Out {
  const special = specials[desc.typeName];
  if (special !== undefined) return special(message as AnyMessage);
  const object: Record<string, Out> = {};
  for (const field of desc.fields) {
    const name = jsonName(field, false);
    if (name === null) continue;
    let value: unknown = (message as AnyMessage)[field.localName];
    if (field.oneof !== undefined) {
      const one = (message as AnyMessage)[field.oneof.localName] as { case?: string; value?: unknown };
      value = one.case === field.localName ? one.value : undefined;
    }
    if (value !== undefined) object[name] = fieldOut(field, value);
  }
  return object;
}

/** A part of the configuration, with null where Qdrant shows one. */
function withNulls(config: Out, names: readonly string[]): Out {
  const object: Record<string, Out> = { ...(config as Record<string, Out>) };
  for (const name of names) object[name] ??= null;
  return object;
}

function schemaOut(info: c.PayloadSchemaInfo): Out {
  const type = enumName(c.PayloadSchemaTypeSchema, info.dataType);
  const { params } = info;
  const chosen = params?.indexParams;
  const field = c.PayloadIndexParamsSchema.fields.find((one) => one.localName === chosen?.case);
  const inner =
    chosen?.value === undefined || field?.fieldKind !== "message"
      ? undefined
      : { type, ...(out(field.message, chosen.value) as Record<string, Out>) };
  if (inner !== undefined && chosen?.case === "textIndexParams") {
    const { stopwords } = chosen.value;
    const [only] = stopwords?.languages ?? [];
    // Of one language Qdrant keeps the short form, in which most callers give it.
    if (stopwords?.languages.length === 1 && stopwords.custom.length === 0 && only !== undefined) {
      return { data_type: type, params: { ...inner, stopwords: only }, points: info.points ?? 0n };
    }
  }
  return { data_type: type, ...(inner === undefined ? {} : { params: inner }), points: info.points ?? 0n };
}

export function collectionInfoText(info: c.CollectionInfo): string {
  const { config } = info;
  const params =
    config?.params === undefined ? {} : (out(c.CollectionParamsSchema, config.params) as Record<string, Out>);
  const optimizer =
    config?.optimizerConfig === undefined ? {} : out(c.OptimizersConfigDiffSchema, config.optimizerConfig);
  const error = info.optimizerStatus?.ok === false ? info.optimizerStatus.error : undefined;
  const metadata = config?.metadata ?? {};
  return textOf({
    status: enumName(c.CollectionStatusSchema, info.status),
    optimizer_status: error === undefined ? "ok" : { error },
    ...(info.warnings.length === 0 ? {} : { warnings: info.warnings.map(({ message }) => ({ message })) }),
    indexed_vectors_count: info.indexedVectorsCount,
    points_count: info.pointsCount,
    segments_count: info.segmentsCount,
    config: {
      params: { ...params, vectors: params.vectors ?? {} },
      hnsw_config: config?.hnswConfig === undefined ? {} : out(c.HnswConfigDiffSchema, config.hnswConfig),
      optimizer_config: withNulls(optimizer, ["max_segment_size", "memmap_threshold", "max_optimization_threads"]),
      wal_config: config?.walConfig === undefined ? {} : out(c.WalConfigDiffSchema, config.walConfig),
      quantization_config:
        config?.quantizationConfig === undefined ? null : out(c.QuantizationConfigSchema, config.quantizationConfig),
      ...(config?.strictModeConfig === undefined
        ? {}
        : { strict_mode_config: out(c.StrictModeConfigSchema, config.strictModeConfig) }),
      ...(Object.keys(metadata).length === 0 ? {} : { metadata: mapOut(metadata, valueOut) }),
    },
    payload_schema: mapOut(info.payloadSchema, schemaOut),
    update_queue: { length: info.updateQueue?.length ?? 0n },
    ...(info.sealing === undefined ? {} : { sealing: sealingOut(info.sealing) }),
  });
}

function sealingOut(state: NonNullable<c.CollectionInfo["sealing"]>): Out {
  const field = c.CollectionInfoSchema.fields.find(({ localName }) => localName === "sealing");
  return field?.fieldKind === "message" ? out(field.message, state) : null;
}
