/** What an answer carries (WithPayloadSelector, WithVectorsSelector) and which points a write picks (PointsSelector). */
import type {
  PointsSelector as PointsSelectorMessage,
  WithPayloadSelector,
  WithVectorsSelector,
} from "../../gen/qdrant/points_pb.js";
import { WithPayloadSelectorSchema, WithVectorsSelectorSchema } from "../../gen/qdrant/points_pb.js";
import {
  badInput,
  type Filter,
  limits,
  type PayloadSelector,
  type PointId,
  type QuantizationSearch,
  type VectorsSelector,
} from "../core/index.ts";
import { mapFilter } from "./filter.ts";
import { decodePieces } from "./messages.ts";
import { mapPointIds } from "./point-id.ts";
import { MessageReader } from "./reader.ts";

const all = { kind: "all" } as const;
const none = { kind: "none" } as const;

export function mapPayloadSelector(selector: WithPayloadSelector | undefined, absent: boolean): PayloadSelector {
  const one = selector?.selectorOptions;
  switch (one?.case) {
    case "enable":
      return one.value ? all : none;
    case "include":
      return { kind: "include", keys: one.value.fields };
    case "exclude":
      return { kind: "exclude", keys: one.value.fields };
    default:
      return absent ? all : none;
  }
}

export function mapVectorsSelector(selector: WithVectorsSelector | undefined): VectorsSelector {
  const one = selector?.selectorOptions;
  switch (one?.case) {
    case "enable":
      return one.value ? all : none;
    case "include":
      return { kind: "names", names: one.value.names };
    default:
      return none;
  }
}

/** `{ enable: bool }` in its usual two bytes; undefined for every other form. */
function readEnable(pieces: readonly Uint8Array[]): boolean | undefined {
  const [piece] = pieces;
  if (pieces.length !== 1 || piece === undefined || piece.length !== 2 || piece[0] !== 0x08) return undefined;
  return piece[1] === 1 ? true : piece[1] === 0 ? false : undefined;
}

export function decodePayloadSelector(pieces: readonly Uint8Array[] | undefined, absent: boolean): PayloadSelector {
  if (pieces === undefined) return absent ? all : none;
  const enable = readEnable(pieces);
  if (enable !== undefined) return enable ? all : none;
  return mapPayloadSelector(decodePieces(WithPayloadSelectorSchema, pieces), absent);
}

export function decodeVectorsSelector(pieces: readonly Uint8Array[] | undefined): VectorsSelector {
  if (pieces === undefined) return none;
  const enable = readEnable(pieces);
  if (enable !== undefined) return enable ? all : none;
  return mapVectorsSelector(decodePieces(WithVectorsSelectorSchema, pieces));
}

/** The same shape as the engine's PointsSelector. */
export type WirePointsSelector =
  | { readonly kind: "ids"; readonly ids: readonly PointId[] }
  | { readonly kind: "filter"; readonly filter: Filter };

export function mapPointsSelector(selector: PointsSelectorMessage | undefined, field: string): WirePointsSelector {
  const one = selector?.pointsSelectorOneOf;
  switch (one?.case) {
    case "points":
      if (one.value.ids.length > limits.idsPerRequestMax) {
        throw badInput(`${field}: more than ${limits.idsPerRequestMax} ids`, field);
      }
      return { kind: "ids", ids: mapPointIds(one.value.ids, `${field}.ids`) };
    case "filter":
      return { kind: "filter", filter: mapFilter(one.value, `${field}.filter`) as Filter };
    default:
      // The text is Qdrant's.
      throw badInput("PointsSelector is missing", field);
  }
}

export interface WireSearchParams {
  readonly hnswEf: number | undefined;
  readonly exact: boolean | undefined;
  readonly indexedOnly: boolean | undefined;
  readonly quantization?: QuantizationSearch;
}

export const noParams: WireSearchParams = { hnswEf: undefined, exact: undefined, indexedOnly: undefined };

/** A count that came as uint64; what is beyond a double's integers is as good as the largest. */
export function toCount(value: bigint): number {
  return value > 0xffff_ffff_ffffn ? 0xffff_ffff_ffff : Number(value);
}

/** Reads the three parameters that a plain search has; undefined when there are others, for the generated code. */
export function readPlainParams(bytes: Uint8Array): WireSearchParams | undefined {
  const r = new MessageReader(bytes);
  let hnswEf: number | undefined;
  let exact: boolean | undefined;
  let indexedOnly: boolean | undefined;
  while (r.pos < r.end) {
    const tag = r.tag();
    if (tag === 0x08) hnswEf = toCount(r.u64());
    else if (tag === 0x10) exact = r.bool();
    else if (tag === 0x20) indexedOnly = r.bool();
    else return undefined;
  }
  return { hnswEf, exact, indexedOnly };
}
