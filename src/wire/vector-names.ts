/** Vector names that are added to and deleted from a collection: CreateVectorName and DeleteVectorName to core types. */
import { create, fromJson, type JsonObject, toJson } from "@bufbuild/protobuf";
import {
  CreateCollectionSchema,
  Modifier,
  SparseVectorParamsSchema,
  VectorParamsSchema,
} from "../../gen/qdrant/collections_pb.js";
import type { CreateVectorNameRequest, DeleteVectorNameRequest } from "../../gen/qdrant/points_pb.js";
import { badInput, limits, type SparseVectorParams, type VectorParams } from "../core/index.ts";
import { mapVectorParams, vectorsByName } from "./collections.ts";
import { checkOrdering } from "./ordering.ts";
import { validationError } from "./quantization.ts";

/** The same shape as the engine's VectorDefinition. */
export type WireVectorDefinition =
  | { readonly kind: "dense"; readonly params: VectorParams }
  | { readonly kind: "sparse"; readonly params: SparseVectorParams };

export interface VectorNameRequest {
  readonly collection: string;
  readonly wait: boolean;
  readonly name: string;
  /** The collection's new echo, from its present one. */
  readonly echo: (present: string) => string;
}

// Qdrant's list: names of vectors are folders there.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const forbidden = /[<>:"/\\|?*\u0000-\u001f\u007f]/u;

/** Of a name that is made. */
function faultOfName(name: string): string | undefined {
  if (Buffer.byteLength(name) > limits.vectorNameLengthMax) {
    return `vector name must be at most ${limits.vectorNameLengthMax} bytes long`;
  }
  const found = forbidden.exec(name)?.[0];
  return found === undefined ? undefined : `vector name cannot contain ${JSON.stringify(found)} char`;
}

/** The names of a new collection: Qdrant checks them apart from the request's form, in other words than the name of a vector that is added. */
export function checkNewNames(dense: readonly string[], sparse: readonly string[]): void {
  for (const [kind, names, map] of [
    ["dense", dense, "vectors_config.params_map"],
    ["sparse", sparse, "sparse_vectors_config.map"],
  ] as const) {
    for (const name of names) {
      const fault = faultOfName(name);
      if (fault === undefined) continue;
      throw badInput(
        `Wrong input: Invalid ${kind} vector name \`${name.slice(0, 256)}\`: ${fault}`,
        `${map}.${name.slice(0, 64)}`,
      );
    }
  }
  if (sparse.includes("")) {
    throw badInput("Wrong input: Sparse vector name cannot be empty", "sparse_vectors_config.map");
  }
  const twice = dense.find((name) => sparse.includes(name));
  if (twice !== undefined) {
    throw badInput(
      `Wrong input: Dense and sparse vector names must be unique - duplicate found with '${twice}'`,
      `sparse_vectors_config.map.${twice}`,
    );
  }
}

export function mapCreateVectorName(
  message: CreateVectorNameRequest,
): VectorNameRequest & { readonly definition: WireVectorDefinition } {
  checkOrdering(message.ordering);
  const { collectionName: collection, vectorName: name, vectorConfig } = message;
  const fault = faultOfName(name);
  if (fault !== undefined) throw validationError("vector_name", fault);
  const head = { collection, wait: message.wait ?? false, name };
  if (vectorConfig.case === "denseConfig") {
    const { size, distance, multivectorConfig, datatype } = vectorConfig.value;
    const params = create(VectorParamsSchema, { size, distance, multivectorConfig, datatype });
    const shown = toJson(VectorParamsSchema, params) as JsonObject;
    return {
      ...head,
      definition: { kind: "dense", params: mapVectorParams(params, "dense_config") },
      echo: (present) => editEcho(present, (echo) => setVector(echo, name, shown)),
    };
  }
  if (vectorConfig.case === "sparseConfig") {
    const { modifier, datatype } = vectorConfig.value;
    const params = create(SparseVectorParamsSchema, {
      modifier,
      index: datatype === undefined ? undefined : { datatype },
    });
    const shown = toJson(SparseVectorParamsSchema, params) as JsonObject;
    return {
      ...head,
      definition: { kind: "sparse", params: { modifier: modifier === Modifier.Idf ? "idf" : "none" } },
      echo: (present) =>
        editEcho(present, (echo) => ({ ...echo, sparseVectorsConfig: { map: { ...sparseOf(echo), [name]: shown } } })),
    };
  }
  throw badInput("Wrong input: vector_config: missing", "vector_config");
}

export function mapDeleteVectorName(message: DeleteVectorNameRequest): VectorNameRequest {
  checkOrdering(message.ordering);
  const { collectionName: collection, vectorName: name } = message;
  return {
    collection,
    wait: message.wait ?? false,
    name,
    echo: (present) =>
      editEcho(present, (echo) => {
        const { [name]: gone, ...sparse } = sparseOf(echo);
        // After the last one an empty map stays, as in Qdrant.
        const kept: JsonObject = gone === undefined ? { ...echo } : { ...echo, sparseVectorsConfig: { map: sparse } };
        const { [name]: removed, ...dense } = vectorsByName(echo.vectorsConfig);
        if (removed !== undefined) kept.vectorsConfig = { paramsMap: { map: dense } };
        return kept;
      }),
  };
}

/** A second name makes a map of what was one unnamed vector. */
function setVector(echo: JsonObject, name: string, params: JsonObject): JsonObject {
  return { ...echo, vectorsConfig: { paramsMap: { map: { ...vectorsByName(echo.vectorsConfig), [name]: params } } } };
}

function sparseOf(echo: JsonObject): JsonObject {
  const config = echo.sparseVectorsConfig as { map?: JsonObject } | undefined;
  return config?.map ?? {};
}

function editEcho(present: string, edit: (echo: JsonObject) => JsonObject): string {
  const edited = edit(JSON.parse(present === "" ? "{}" : present) as JsonObject);
  // What cannot be read again would take the collection's whole description with it.
  fromJson(CreateCollectionSchema, edited, { ignoreUnknownFields: true });
  return JSON.stringify(edited);
}
