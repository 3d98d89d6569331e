/** What an update of a collection makes of its vectors' parameters. */
import { badInput, type CollectionConfig } from "../../core/index.ts";
import type { CollectionChange } from "../engine.ts";

/** Throws bad_input for a name that the collection has not. */
export function changeVectors(
  config: CollectionConfig,
  change: CollectionChange,
): Pick<CollectionConfig, "vectors" | "sparseVectors"> {
  const vectors = { ...config.vectors };
  for (const [name, params] of Object.entries(change.vectors ?? {})) {
    const present = vectors[name];
    if (present === undefined) throw unknownVector(name, "vectors_config");
    vectors[name] = { ...present, ...params, hnsw: { ...present.hnsw, ...params.hnsw } };
  }
  const sparseVectors = { ...config.sparseVectors };
  for (const [name, params] of Object.entries(change.sparseVectors ?? {})) {
    const present = sparseVectors[name];
    if (present === undefined) throw unknownVector(name, "sparse_vectors_config");
    sparseVectors[name] = { ...present, ...params };
  }
  return config.sparseVectors === undefined ? { vectors } : { vectors, sparseVectors };
}

function unknownVector(name: string, field: string): Error {
  return badInput(`Wrong input: Not existing vector name error: ${name}`, `${field}.${name}`);
}
