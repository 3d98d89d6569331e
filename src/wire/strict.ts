/** StrictModeConfig to the core's type, with Qdrant's ranges. */
import type { StrictModeConfig } from "../../gen/qdrant/collections_pb.js";
import type { StrictMode } from "../core/index.ts";
import { validationError } from "./quantization.ts";

/** Those that Qdrant wants to be 1 or more. */
const positive = new Set([
  "maxQueryLimit",
  "maxTimeout",
  "readRateLimit",
  "writeRateLimit",
  "maxPointsCount",
  "maxResidentMemoryPercent",
]);

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

export function mapStrictMode(message: StrictModeConfig | undefined, field: string): StrictMode | undefined {
  if (message === undefined) return undefined;
  const strict: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(message)) {
    if (value === undefined || name.startsWith("$") || typeof value === "object") continue;
    const known = typeof value === "bigint" ? Number(value) : value;
    const at = `${field}.${snake(name)}`;
    if (typeof known === "number" && positive.has(name) && known < 1) {
      throw validationError(at, `value ${known} invalid, must be 1 or larger`);
    }
    if (name === "maxResidentMemoryPercent" && (known as number) > 100) {
      throw validationError(at, `value ${known} invalid, must be from 1 to 100`);
    }
    strict[name] = known;
  }
  const byName = <T>(map: Readonly<Record<string, T>> | undefined, of: (value: T) => bigint | undefined, at: string) =>
    Object.fromEntries(
      Object.entries(map ?? {}).flatMap(([name, value]) => {
        const limit = of(value);
        if (limit === 0n) throw validationError(`${field}.${at}`, "value 0 invalid, must be 1 or larger");
        return limit === undefined ? [] : [[name, Number(limit)]];
      }),
    );
  const { multivectorConfig, sparseConfig } = message;
  return {
    ...(strict as StrictMode),
    ...(multivectorConfig === undefined
      ? {}
      : {
          multivectorMaxVectors: byName(
            multivectorConfig.multivectorConfig,
            (one) => one.maxVectors,
            "multivector_config.max_vectors",
          ),
        }),
    ...(sparseConfig === undefined
      ? {}
      : { sparseMaxLength: byName(sparseConfig.sparseConfig, (one) => one.maxLength, "sparse_config.max_length") }),
  };
}
