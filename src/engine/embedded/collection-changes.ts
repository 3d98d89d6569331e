/** What a collection's configuration becomes when it is updated, or a vector name is added or deleted. */
import { badInput, type CollectionConfig, DomainError, limits, type StrictMode } from "../../core/index.ts";
import type { CollectionChange, VectorDefinition } from "../engine.ts";
import { changeVectors } from "./vector-changes.ts";

export function withChange(config: CollectionConfig, change: CollectionChange): CollectionConfig {
  return {
    ...config,
    ...changeVectors(config, change),
    hnsw: { ...config.hnsw, ...change.hnsw },
    ...("quantization" in change ? { quantization: change.quantization } : {}),
    indexingThreshold: change.indexingThreshold ?? config.indexingThreshold,
    ...(change.optimizers === undefined ? {} : { optimizers: { ...config.optimizers, ...change.optimizers } }),
    ...(change.strictMode === undefined ? {} : { strictMode: withStrictMode(config.strictMode, change.strictMode) }),
    echo: change.echo ?? config.echo,
  };
}

function withStrictMode(present: StrictMode | undefined, change: StrictMode): StrictMode {
  const byName = <T>(a: Readonly<Record<string, T>> | undefined, b: Readonly<Record<string, T>> | undefined) =>
    a === undefined && b === undefined ? {} : { ...a, ...b };
  const { multivectorMaxVectors, sparseMaxLength, ...rest } = change;
  return {
    ...present,
    ...rest,
    multivectorMaxVectors: byName(present?.multivectorMaxVectors, multivectorMaxVectors),
    sparseMaxLength: byName(present?.sparseMaxLength, sparseMaxLength),
  };
}

/** Undefined when the name is there with just this definition. The texts are Qdrant's. */
export function withVectorName(
  config: CollectionConfig,
  name: string,
  definition: VectorDefinition,
): CollectionConfig | undefined {
  const dense = own(config.vectors, name);
  const sparse = own(config.sparseVectors ?? {}, name);
  const exists = (what: string): DomainError => badInput(`Wrong input: ${what}`, "vector_name");
  if (definition.kind === "dense") {
    if (sparse !== undefined) throw exists(`Vector \`${name}\` already exists as a sparse vector`);
    if (dense !== undefined) {
      if (sameSpace(dense, definition.params)) return undefined;
      throw exists(`Vector \`${name}\` already exists with a different configuration`);
    }
  } else {
    if (dense !== undefined) throw exists(`Vector \`${name}\` already exists as a dense vector`);
    if (sparse !== undefined) {
      if (sparse.modifier === definition.params.modifier) return undefined;
      throw exists(`Sparse vector \`${name}\` already exists with a different configuration`);
    }
  }
  if (Object.keys(config.vectors).length + Object.keys(config.sparseVectors ?? {}).length >= limits.vectorNamesMax) {
    throw new DomainError("exhausted", `vector_name: no more than ${limits.vectorNamesMax} vectors`, {
      details: { field: "vector_name" },
    });
  }
  return definition.kind === "dense"
    ? { ...config, vectors: withOwn(config.vectors, name, definition.params) }
    : { ...config, sparseVectors: withOwn(config.sparseVectors ?? {}, name, definition.params) };
}

/** Undefined when there is no such name. */
export function withoutVectorName(config: CollectionConfig, name: string): CollectionConfig | undefined {
  if (own(config.vectors, name) !== undefined) {
    const { [name]: _gone, ...vectors } = config.vectors;
    return { ...config, vectors };
  }
  if (own(config.sparseVectors ?? {}, name) === undefined) return undefined;
  const { [name]: _gone, ...sparseVectors } = config.sparseVectors ?? {};
  return { ...config, sparseVectors };
}

/** What an update may change since (graphs, codes, placement) does not make it another vector. */
function sameSpace(one: object, other: object): boolean {
  const space = (params: object): string => {
    const { hnsw: _h, onDisk: _o, quantization: _q, memory: _m, ...rest } = params as Record<string, unknown>;
    return JSON.stringify(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return space(one) === space(other);
}

function own<T>(map: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined;
}

/** Also for names such as `__proto__`. */
function withOwn<T>(map: Readonly<Record<string, T>>, name: string, value: T): Record<string, T> {
  return Object.defineProperty({ ...map }, name, { value, enumerable: true });
}
