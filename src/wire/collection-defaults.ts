/** What the server's configuration says of new collections, filled in where the request that makes one does not say. */
import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import {
  type CreateCollection,
  CreateCollectionSchema,
  type VectorParams,
  VectorParamsSchema,
} from "../../gen/qdrant/collections_pb.js";
import type { CollectionDefaults } from "../core/index.ts";

/** Of each pair either says where something lies: a default for one is none where the request names the other. */
const placements = new Set(["onDisk", "memory", "alwaysRam"]);

/** Dotted paths as nested objects. */
function nested(defaults: CollectionDefaults): JsonObject {
  const root: JsonObject = {};
  for (const [path, value] of Object.entries(defaults)) {
    const names = path.split(".");
    const last = names.pop() as string;
    let at = root;
    for (const name of names) {
      at[name] ??= {};
      at = at[name] as JsonObject;
    }
    at[last] = value;
  }
  return root;
}

/** Of messages; what is a oneof is taken whole. */
function fill<T extends object>(given: T, defaults: T): T {
  const places = Object.keys(given).some((key) => placements.has(key) && given[key as keyof T] !== undefined);
  for (const [key, value] of Object.entries(defaults)) {
    if (key.startsWith("$") || value === undefined || (places && placements.has(key))) continue;
    if (given[key as keyof T] === undefined) Object.assign(given, { [key]: value });
  }
  return given;
}

/** Fills the defaults into a request. Checks nothing: what cannot be a default was refused at the start. */
export function defaultsFiller(defaults: CollectionDefaults): (message: CreateCollection) => CreateCollection {
  const { vectors, ...rest } = nested(defaults) as { vectors?: JsonValue } & JsonObject;
  const ofVectors = vectors === undefined ? undefined : fromJson(VectorParamsSchema, vectors);
  return (message) => {
    const missing = fromJson(CreateCollectionSchema, rest);
    for (const group of ["hnswConfig", "optimizersConfig", "walConfig", "strictModeConfig"] as const) {
      const [given, known] = [message[group], missing[group]];
      if (given !== undefined && known !== undefined) fill<object>(given, known);
    }
    // Either says where payloads lie.
    if (message.onDiskPayload !== undefined || message.payload !== undefined) {
      missing.onDiskPayload = undefined;
      missing.payload = undefined;
    }
    fill<object>(message, missing);
    if (ofVectors !== undefined) {
      for (const params of denseVectors(message)) fill(params, ofVectors);
    }
    return message;
  };
}

function denseVectors(message: CreateCollection): readonly VectorParams[] {
  const config = message.vectorsConfig?.config;
  if (config?.case === "params") return [config.value];
  return config?.case === "paramsMap" ? Object.values(config.value.map) : [];
}
