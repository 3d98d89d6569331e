/** What is wrong with single points of a stream's chunk, so that the others can be stored. */
import { badInput, type CollectionConfig, type DomainError, type MultiVector } from "../core/index.ts";
import type { PointInput } from "../engine/index.ts";

/** The point that an error of the engine names, if refusing it helps. */
export function faultyPoint(error: DomainError): number | undefined {
  if (error.kind !== "bad_input" && error.kind !== "precondition") return undefined;
  const found = /^points\[(\d+)\]/.exec(error.details.field ?? "");
  return found === null ? undefined : Number(found[1]);
}

/** What is wrong with vectors, by point; `finite` looks at every number too. */
export function findFaults(
  points: readonly PointInput[],
  config: CollectionConfig,
  places: readonly number[],
  finite: boolean,
): Map<number, DomainError> {
  const faults = new Map<number, DomainError>();
  for (let at = 0; at < points.length; at++) {
    const { vectors } = points[at] as PointInput;
    for (const [name, vector] of vectors) {
      const text =
        vector instanceof Float32Array
          ? vectorFault(config, name, vector, finite)
          : "rows" in vector
            ? multiFault(config, name, vector, finite)
            : sparseFault(config, name);
      if (text === undefined) continue;
      const field = `points[${places[at]}].vectors${name === "" ? "" : `.${name}`}`;
      faults.set(at, badInput(`Wrong input: ${text} (${field})`, field));
      break;
    }
  }
  return faults;
}

function sparseFault(config: CollectionConfig, name: string): string | undefined {
  if (Object.hasOwn(config.sparseVectors ?? {}, name)) return undefined;
  if (!Object.hasOwn(config.vectors, name)) return `Not existing vector name error: ${name}`;
  return "Conversion between sparse and regular vectors failed";
}

function multiFault(
  config: CollectionConfig,
  name: string,
  { dimensions, values }: MultiVector,
  finite: boolean,
): string | undefined {
  const params = Object.hasOwn(config.vectors, name) ? config.vectors[name] : undefined;
  const sparse = Object.hasOwn(config.sparseVectors ?? {}, name);
  if (params === undefined && !sparse) return `Not existing vector name error: ${name}`;
  if (params?.multivector !== true) return "Conversion between multi and regular vectors failed";
  if (dimensions !== params.size) {
    return `Vector dimension error: expected dim: ${params.size}, got ${dimensions}`;
  }
  return finite && !values.every(Number.isFinite) ? "a vector holds a value that is not finite" : undefined;
}

function vectorFault(
  config: CollectionConfig,
  name: string,
  vector: Float32Array,
  finite: boolean,
): string | undefined {
  const params = Object.hasOwn(config.vectors, name) ? config.vectors[name] : undefined;
  if (params === undefined) return `Not existing vector name error: ${name}`;
  if (vector.length !== params.size) {
    return `Vector dimension error: expected dim: ${params.size}, got ${vector.length}`;
  }
  if (finite && !vector.every(Number.isFinite)) return "a vector holds a value that is not finite";
  return undefined;
}
