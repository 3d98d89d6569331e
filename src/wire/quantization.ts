/** Datatypes, quantization and memory placement, with Qdrant's checks. */
import {
  BinaryQuantizationEncoding,
  CompressionRatio,
  Datatype as DatatypeEnum,
  Memory,
  type QuantizationConfig,
  type QuantizationConfigDiff,
  QuantizationType,
  BinaryQuantizationQueryEncoding_Setting as QueryEncoding,
  TurboQuantBitSize,
} from "../../gen/qdrant/collections_pb.js";
import type { QuantizationSearchParams } from "../../gen/qdrant/points_pb.js";
import {
  badInput,
  type Datatype,
  type MemoryPlacement,
  type Quantization,
  type QuantizationSearch,
} from "../core/index.ts";
import { doubleText } from "./number-text.ts";

/** Qdrant's form of a failed check. */
export function validationError(field: string, text: string): Error {
  return badInput(`Validation error in body: [${field}: ${text}]`, field);
}

/** Of a number that is out of its range; Qdrant's validator keeps it as a double, also where its field is a float32: of 1.1 it says 1.100000023841858. */
export function rangeError(field: string, value: number, range: string): Error {
  return validationError(field, `value ${doubleText(value)} invalid, must be ${range}`);
}

/** Of a text that may not be empty. */
export function emptyError(field: string): Error {
  return validationError(field, 'value "" invalid, must be at least 1 characters');
}

export function mapDatatype(datatype: DatatypeEnum | undefined, field: string): Datatype | undefined {
  switch (datatype) {
    case undefined:
    case DatatypeEnum.Default:
    case DatatypeEnum.Float32:
      return undefined;
    case DatatypeEnum.Float16:
      return "float16";
    case DatatypeEnum.Uint8:
      return "uint8";
    case DatatypeEnum.Turbo4:
      // Shown as it was asked for; stored with more bits than its four, so that values and scores are nearer to those given.
      return "float16";
    default:
      throw badInput(`Wrong input: ${field}: unknown datatype ${datatype}`, field);
  }
}

/** `memory` stands above the older switches, of which one means disk and the other memory. */
export function mapMemory(
  memory: Memory | undefined,
  older: { readonly onDisk?: boolean | undefined; readonly alwaysRam?: boolean | undefined },
  field: string,
): MemoryPlacement | undefined {
  switch (memory) {
    case Memory.Cold:
      return "cold";
    case Memory.Cached:
      return "cached";
    case Memory.Pinned:
      return "pinned";
    case undefined:
      if (older.onDisk !== undefined) return older.onDisk ? "cold" : "pinned";
      return older.alwaysRam === true ? "pinned" : undefined;
    default:
      throw badInput(`Wrong input: ${field}: unknown memory placement ${memory}`, field);
  }
}

const encodings = {
  [BinaryQuantizationEncoding.OneBit]: "one_bit",
  [BinaryQuantizationEncoding.TwoBits]: "two_bits",
  [BinaryQuantizationEncoding.OneAndHalfBits]: "one_and_half_bits",
} as const;

/** The default is the most exact one: it costs little more than the others. */
const queryBits = {
  [QueryEncoding.Default]: 8,
  [QueryEncoding.Binary]: 1,
  [QueryEncoding.Scalar4Bits]: 4,
  [QueryEncoding.Scalar8Bits]: 8,
} as const;

const valuesPerByte = {
  [CompressionRatio.x4]: 1,
  [CompressionRatio.x8]: 2,
  [CompressionRatio.x16]: 4,
  [CompressionRatio.x32]: 8,
  [CompressionRatio.x64]: 16,
} as const;

const withMemory = (memory: MemoryPlacement | undefined) => (memory === undefined ? {} : { memory });

/** Undefined for a diff that disables it. */
export function mapQuantization(
  message: QuantizationConfig | QuantizationConfigDiff,
  field: string,
): Quantization | undefined {
  const { quantization } = message;
  switch (quantization.case) {
    case "scalar": {
      const { type, quantile, alwaysRam, memory } = quantization.value;
      if (type !== QuantizationType.Int8) {
        throw badInput(`Wrong input: ${field}.scalar.type: unknown quantization type`, `${field}.scalar.type`);
      }
      if (quantile !== undefined && !(quantile >= 0.5 && quantile <= 1)) {
        throw rangeError(`${field}.scalar.quantile`, quantile, "from 0.5 to 1.0");
      }
      return {
        kind: "scalar",
        ...(quantile === undefined ? {} : { quantile }),
        ...withMemory(mapMemory(memory, { alwaysRam }, `${field}.scalar.memory`)),
      };
    }
    case "product": {
      const { compression, alwaysRam, memory } = quantization.value;
      const values = valuesPerByte[compression];
      if (values === undefined) {
        throw badInput(
          `Wrong input: ${field}.product.compression: unknown compression ratio ${compression}`,
          `${field}.product.compression`,
        );
      }
      return {
        kind: "product",
        valuesPerByte: values,
        ...withMemory(mapMemory(memory, { alwaysRam }, `${field}.product.memory`)),
      };
    }
    case "binary": {
      const { alwaysRam, encoding, queryEncoding, memory } = quantization.value;
      const bits = encodings[encoding ?? BinaryQuantizationEncoding.OneBit];
      if (bits === undefined) {
        throw badInput(
          `Wrong input: ${field}.binary.encoding: unknown binary quantization encoding ${encoding}`,
          `${field}.binary.encoding`,
        );
      }
      const setting = queryEncoding?.variant.case === "setting" ? queryEncoding.variant.value : QueryEncoding.Default;
      const query = queryBits[setting];
      if (query === undefined) {
        throw badInput(
          `Wrong input: ${field}.binary.query_encoding: unknown binary quantization query encoding ${setting}`,
          `${field}.binary.query_encoding`,
        );
      }
      return {
        kind: "binary",
        encoding: bits,
        queryBits: query,
        ...withMemory(mapMemory(memory, { alwaysRam }, `${field}.binary.memory`)),
      };
    }
    case "turboquant": {
      const { alwaysRam, bits, memory } = quantization.value;
      if (bits !== undefined && TurboQuantBitSize[bits] === undefined) {
        throw badInput(`Wrong input: ${field}.turboquant.bits: unknown bit size ${bits}`, `${field}.turboquant.bits`);
      }
      // Shown as it was asked for; its codes are those of scalar quantization, of which four bits a value are kept in memory.
      return { kind: "scalar", ...withMemory(mapMemory(memory, { alwaysRam }, `${field}.turboquant.memory`)) };
    }
    case "disabled":
      return undefined;
    default:
      throw badInput(`Wrong input: ${field}: the quantization is missing`, field);
  }
}

export function mapQuantizationSearch(message: QuantizationSearchParams): QuantizationSearch {
  const { ignore, rescore, oversampling } = message;
  if (oversampling !== undefined && !(oversampling >= 1 && Number.isFinite(oversampling))) {
    throw rangeError("params.quantization.oversampling", oversampling, "1.0 or larger");
  }
  return {
    ...(ignore === undefined ? {} : { ignore }),
    ...(rescore === undefined ? {} : { rescore }),
    ...(oversampling === undefined ? {} : { oversampling }),
  };
}
