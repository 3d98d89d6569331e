/** optimizers_config to core types, with Qdrant's bounds. */
import { MaxOptimizationThreads_Setting, type OptimizersConfigDiff } from "../../gen/qdrant/collections_pb.js";
import type { OptimizersConfig } from "../core/index.ts";
import { rangeError, validationError } from "./quantization.ts";
import { toCount } from "./selectors.ts";

/** Checks a count of Qdrant's options. */
export function checkRange(
  value: bigint | undefined,
  min: number,
  max: number | undefined,
  field: string,
): number | undefined {
  if (value === undefined) return undefined;
  if (value < BigInt(min) || (max !== undefined && value > BigInt(max))) {
    const range = max === undefined ? `${min} or larger` : `from ${min} to ${max}`;
    throw validationError(field, `value ${value} invalid, must be ${range}`);
  }
  return toCount(value);
}

const vacuumMin = 100;

/** Of what is not mapped here, memmap_threshold and flush_interval_sec have no meaning: see docs/limits.md. */
export function mapOptimizers(
  diff: OptimizersConfigDiff | undefined,
  field: string,
): { readonly optimizers?: OptimizersConfig } {
  if (diff === undefined) return {};
  const { deletedThreshold, preventUnoptimized } = diff;
  if (deletedThreshold !== undefined && !(deletedThreshold >= 0 && deletedThreshold <= 1)) {
    throw rangeError(`${field}.deleted_threshold`, deletedThreshold, "from 0.0 to 1.0");
  }
  const vacuumMinVectorNumber = checkRange(
    diff.vacuumMinVectorNumber,
    vacuumMin,
    undefined,
    `${field}.vacuum_min_vector_number`,
  );
  const { variant } = diff.maxOptimizationThreads ?? {};
  return {
    optimizers: {
      ...(deletedThreshold === undefined ? {} : { deletedThreshold }),
      ...(vacuumMinVectorNumber === undefined ? {} : { vacuumMinVectorNumber }),
      ...(diff.defaultSegmentNumber === undefined ? {} : { defaultSegmentNumber: toCount(diff.defaultSegmentNumber) }),
      ...(diff.maxSegmentSize === undefined ? {} : { maxSegmentSize: toCount(diff.maxSegmentSize) }),
      ...(variant?.case === undefined ? {} : { maxOptimizationThreads: threadsOf(variant) }),
      ...(preventUnoptimized === undefined ? {} : { preventUnoptimized }),
    },
  };
}

/** Undefined as a value is Auto. */
function threadsOf(
  variant: Exclude<NonNullable<OptimizersConfigDiff["maxOptimizationThreads"]>["variant"], { case: undefined }>,
): number | undefined {
  if (variant.case === "value") return toCount(variant.value);
  return variant.value === MaxOptimizationThreads_Setting.Auto ? undefined : 0;
}
