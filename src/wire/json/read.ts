/**
 * From JSON to the protobuf messages of the same names, by their descriptors: Qdrant's REST bodies differ from its messages in names and
 * in unions without a tag, which `specials` holds. So one set of maps and checks (wire's) stands under both doors.
 */
import { create, type DescEnum, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import {
  formatError,
  isObject,
  type Json,
  kindOf,
  member,
  toBoolean,
  toInteger,
  toList,
  toNumber,
  toObject,
  toText,
} from "./parse.ts";

export type AnyMessage = Message & Record<string, unknown>;
export type Reader = (json: Json, at: string, depth: number) => AnyMessage;

/** Levels of JSON, as serde_json has it. */
const depthMax = 128;

/** Messages whose JSON is another than their fields. Filled by the files that know them, before the first request. */
const specials = new Map<string, Reader>();

export function addReader<S extends DescMessage>(
  desc: S,
  read: (json: Json, at: string, depth: number) => Message,
): void {
  specials.set(desc.typeName, read as Reader);
}

/** Names in JSON of fields that have another one there; null: not in JSON. */
const names: Readonly<Record<string, Readonly<Record<string, string | null>>>> = {
  "qdrant.LookupLocation": { collection_name: "collection", vector_name: "vector", shard_key_selector: "shard_key" },
  "qdrant.CreateCollection": { vectors_config: "vectors", sparse_vectors_config: "sparse_vectors" },
  "qdrant.UpdateCollection": { vectors_config: "vectors", sparse_vectors_config: "sparse_vectors" },
  "qdrant.CollectionParams": { vectors_config: "vectors", sparse_vectors_config: "sparse_vectors" },
  "qdrant.QuantizationConfig": { turboquant: "turbo" },
  "qdrant.QuantizationConfigDiff": { turboquant: "turbo" },
  "qdrant.PointVectors": { vectors: "vector" },
  "qdrant.DeletePointVectors": { vectors: "vector" },
  "qdrant.PointsUpdateOperation.DeleteVectors": { vectors: "vector" },
  "qdrant.CreateVectorNameRequest": { dense_config: "dense", sparse_config: "sparse" },
  "qdrant.OptimizersConfigDiff": { deprecated_max_optimization_threads: null },
};

/** Names of every request's fields that have another one in JSON. */
const requestNames: Readonly<Record<string, string | null>> = {
  collection_name: null,
  wait: null,
  ordering: null,
  read_consistency: null,
  timeout: null,
  vector_name: null,
  shard_key_selector: "shard_key",
  with_vectors: "with_vector",
};

/** Other names that Qdrant's JSON takes. */
const aliases: Readonly<Record<string, string>> = {
  with_vector: "with_vectors",
  with_vectors: "with_vector",
  quantization_config: "quantization",
  limit: "top",
  vector: "vectors",
};

/** Singular fields that JSON may leave out though protobuf has no presence for them. */
const optional = new Set(["qdrant.TextIndexParams.tokenizer"]);

export function jsonName(field: DescField, request: boolean): string | null {
  const own = names[field.parent.typeName]?.[field.name];
  if (own !== undefined) return own;
  if (request || field.name === "shard_key_selector") {
    const named = requestNames[field.name];
    if (named !== undefined) return named;
  }
  return field.name;
}

export function isRequired(field: DescField): boolean {
  if (field.fieldKind !== "scalar" && field.fieldKind !== "enum") return false;
  if (field.oneof !== undefined || field.presence !== 2) return false;
  return !field.parent.typeName.startsWith("sealpoint.") && !optional.has(`${field.parent.typeName}.${field.name}`);
}

export function readMessage(desc: DescMessage, json: Json, at: string, depth = 1): AnyMessage {
  if (depth > depthMax) throw formatError("recursion limit exceeded", at.slice(0, 64));
  const special = specials.get(desc.typeName);
  return special === undefined ? readFields(desc, json, at, depth) : special(json, at, depth);
}

export interface FieldsOptions {
  /** The message is a request's own: its path and query hold some of its fields. */
  readonly request?: boolean;
  /** Fields that the caller reads. */
  readonly except?: ReadonlySet<string>;
}

const noOptions: FieldsOptions = {};

/** Field by field, whatever the specials say. */
export function readFields(
  desc: DescMessage,
  json: Json,
  at: string,
  depth: number,
  { request = false, except }: FieldsOptions = noOptions,
): AnyMessage {
  const object = toObject(json, `struct ${desc.name}`, at);
  const message = create(desc) as AnyMessage;
  for (const field of desc.fields) {
    if (except?.has(field.name) === true) continue;
    const name = jsonName(field, request);
    if (name === null) continue;
    const alias = aliases[name];
    const value = member(object, name) ?? (alias === undefined ? undefined : member(object, alias));
    if (value === undefined) {
      if (isRequired(field)) throw formatError(`missing field \`${name}\``, at);
      continue;
    }
    setField(message, field, readField(field, value, at === "" ? name : `${at}.${name}`, depth + 1));
  }
  return message;
}

export function setField(message: AnyMessage, field: DescField, value: unknown): void {
  if (field.oneof === undefined) message[field.localName] = value;
  else message[field.oneof.localName] = { case: field.localName, value };
}

function readField(field: DescField, json: Json, at: string, depth: number): unknown {
  switch (field.fieldKind) {
    case "scalar":
      return readScalar(field.scalar, json, at);
    case "enum":
      return readEnum(field.enum, json, at);
    case "message":
      return readMessage(field.message, json, at, depth);
    case "list":
      // One prefetch may stand without its list.
      return toList(field.name === "prefetch" && isObject(json) ? [json] : json, at).map((item, i) => {
        const place = `${at}[${i}]`;
        if (field.listKind === "message") return readMessage(field.message, item, place, depth);
        return field.listKind === "enum" ? readEnum(field.enum, item, place) : readScalar(field.scalar, item, place);
      });
    case "map": {
      const map: Record<string, unknown> = {};
      for (const [key, item] of Object.entries(toObject(json, "a map", at))) {
        const place = `${at}.${key.slice(0, 64)}`;
        const value =
          field.mapKind === "message"
            ? readMessage(field.message, item, place, depth)
            : field.mapKind === "enum"
              ? readEnum(field.enum, item, place)
              : readScalar(field.scalar, item, place);
        // A key named __proto__ is a key like any other.
        Object.defineProperty(map, toText(key, place), { value, enumerable: true, configurable: true, writable: true });
      }
      return map;
    }
  }
}

const u32 = (1n << 32n) - 1n;
const u64 = (1n << 64n) - 1n;
const i64 = 1n << 63n;

function readScalar(type: ScalarType, json: Json, at: string): unknown {
  switch (type) {
    case ScalarType.STRING:
      return toText(json, at);
    case ScalarType.BOOL:
      return toBoolean(json, at);
    case ScalarType.FLOAT:
      return Math.fround(toNumber(json, at));
    case ScalarType.DOUBLE:
      return toNumber(json, at);
    case ScalarType.UINT32:
      return Number(toInteger(json, 0n, u32, "u32", at));
    case ScalarType.UINT64:
      return toInteger(json, 0n, u64, "usize", at);
    case ScalarType.INT64:
      return toInteger(json, -i64, i64 - 1n, "i64", at);
    default:
      throw formatError(`invalid type: ${kindOf(json)}`, at);
  }
}

/** Enums whose values JSON writes as they are. */
const verbatim = new Set(["qdrant.Distance", "qdrant.ReplicaState"]);
const byName = new WeakMap<DescEnum, ReadonlyMap<string, number>>();

/** A value's name in JSON: `max_sim` for MaxSim, `scalar4bits` for Scalar4Bits, `required` for SEALING_MODE_REQUIRED. */
export function enumName(desc: DescEnum, number: number): string {
  const name = desc.value[number]?.localName ?? String(number);
  if (verbatim.has(desc.typeName)) return name;
  if (desc.typeName === "qdrant.FieldType") return name.replace("FieldType", "").toLowerCase();
  return name.replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
}

export function enumNames(desc: DescEnum): ReadonlyMap<string, number> {
  const known = byName.get(desc);
  if (known !== undefined) return known;
  const made = new Map<string, number>();
  for (const { number, name } of desc.values) if (!name.includes("Unknown")) made.set(enumName(desc, number), number);
  byName.set(desc, made);
  return made;
}

export function readEnum(desc: DescEnum, json: Json, at: string): number {
  const found = enumNames(desc);
  const number = found.get(toText(json, at));
  if (number === undefined) {
    throw formatError(
      `unknown variant, expected one of ${[...found.keys()].map((name) => `\`${name}\``).join(", ")}`,
      at,
    );
  }
  return number;
}

export function noVariant(what: string, at: string): Error {
  return formatError(`data did not match any variant of untagged enum ${what}`, at);
}

/** A member of what may be no object at all. */
export function part(json: Json, key: string): Json | undefined {
  return isObject(json) ? member(json, key) : undefined;
}

export function has(json: Json, key: string): boolean {
  return part(json, key) !== undefined;
}
