/**
 * The writes beside the hot upsert: each message of points.proto that changes points, and UpdateBatch, which holds any of
 * them. Payload entries are taken out of the bytes as they stand; the rest goes through the generated code.
 */
import {
  ClearPayloadPointsSchema,
  DeletePayloadPointsSchema,
  DeletePointsSchema,
  DeletePointVectorsSchema,
  type PointsSelector,
  PointsSelectorSchema,
  PointsUpdateOperation_ClearPayloadSchema,
  PointsUpdateOperation_DeletePayloadSchema,
  PointsUpdateOperation_DeletePointsSchema,
  PointsUpdateOperation_DeleteVectorsSchema,
  PointsUpdateOperation_OverwritePayloadSchema,
  PointsUpdateOperation_PointStructListSchema,
  PointsUpdateOperation_SetPayloadSchema,
  PointsUpdateOperation_UpdateVectorsSchema,
  PointsUpdateOperationSchema,
  type PointVectors,
  SetPayloadPointsSchema,
  UpdatePointVectorsSchema,
  type VectorsSelector,
  WriteOrderingSchema,
} from "../../gen/qdrant/points_pb.js";
import type { Filter as FilterMessage } from "../../gen/qdrant/qdrant_common_pb.js";
import { badInput, type EncodedPayload, limits, type PointId, type ShardSelection } from "../core/index.ts";
import { decodeMessage } from "./messages.ts";
import { checkOrdering } from "./ordering.ts";
import { mapPointId, requirePointId } from "./point-id.ts";
import { validationError } from "./quantization.ts";
import { decoding, joinPieces, MessageReader } from "./reader.ts";
import { mapPointsSelector, type WirePointsSelector } from "./selectors.ts";
import { shardSelectionReader } from "./shards.ts";
import { mapWriteCondition, PointReader, tooManyPoints, type WireCondition, type WirePoint } from "./upsert.ts";
import { type GivenVectors, mapVectors } from "./vectors.ts";

interface WireSealing {
  readonly publicKey?: string | undefined;
  readonly freshEphemeral?: boolean | undefined;
}

/** The same shape as the engine's WriteOperation. `shards`: of an operation in a batch. */
export type WireOperation = PlainOperation & { readonly shards?: ShardSelection };

type PlainOperation =
  | ({
      readonly kind: "upsert";
      readonly points: readonly WirePoint[];
      readonly condition?: WireCondition | undefined;
    } & WireSealing)
  | { readonly kind: "delete"; readonly selector: WirePointsSelector }
  | {
      readonly kind: "update_vectors";
      readonly points: readonly { id: PointId; vectors: GivenVectors }[];
      readonly condition?: WireCondition | undefined;
    }
  | { readonly kind: "delete_vectors"; readonly selector: WirePointsSelector; readonly names: readonly string[] }
  | ({
      readonly kind: "set_payload";
      readonly selector: WirePointsSelector;
      readonly payload: EncodedPayload;
      readonly key?: string;
    } & WireSealing)
  | ({
      readonly kind: "overwrite_payload";
      readonly selector: WirePointsSelector;
      readonly payload: EncodedPayload;
    } & WireSealing)
  | { readonly kind: "delete_payload"; readonly selector: WirePointsSelector; readonly keys: readonly string[] }
  | { readonly kind: "clear_payload"; readonly selector: WirePointsSelector };

export interface WriteRequest {
  readonly collection: string;
  readonly wait: boolean;
  readonly operation: WireOperation;
}

export interface WriteBatchRequest {
  readonly collection: string;
  readonly wait: boolean;
  readonly operations: readonly WireOperation[];
}

/** Splits the map entries of `field` from the rest of a message; the entries come back in stored form. */
function splitEntries(bytes: Uint8Array, field: number): { payload: EncodedPayload; rest: Uint8Array } {
  const entryTag = (field << 3) | 2;
  const r = new MessageReader(bytes);
  const entries: Uint8Array[] = [];
  const rest: Uint8Array[] = [];
  const storedTag = Uint8Array.of(0x12);
  while (r.pos < r.end) {
    const at = r.pos;
    const tag = r.tag();
    if (tag === entryTag) {
      const lengthAt = r.pos;
      r.slice();
      entries.push(storedTag, r.bytes.subarray(lengthAt, r.pos));
    } else {
      r.skip(tag);
      rest.push(r.bytes.subarray(at, r.pos));
    }
  }
  return { payload: new Uint8Array(Buffer.concat(entries)), rest: new Uint8Array(Buffer.concat(rest)) };
}

export function decodeDeletePoints(bytes: Uint8Array): WriteRequest {
  const message = decodeMessage(DeletePointsSchema, bytes);
  checkOrdering(message.ordering);
  return {
    collection: message.collectionName,
    wait: message.wait ?? false,
    operation: { kind: "delete", selector: mapPointsSelector(message.points, "points") },
  };
}

export function decodeUpdatePointVectors(bytes: Uint8Array): WriteRequest {
  const message = decodeMessage(UpdatePointVectorsSchema, bytes);
  checkOrdering(message.ordering);
  return {
    collection: message.collectionName,
    wait: message.wait ?? false,
    operation: toUpdateVectors(message, ""),
  };
}

function toUpdateVectors(
  message: { readonly points: readonly PointVectors[]; readonly updateFilter?: FilterMessage | undefined },
  prefix: string,
): WireOperation {
  const { points } = message;
  const field = `${prefix}points`;
  if (points.length > limits.pointsPerRequestMax) throw tooManyPoints();
  return {
    kind: "update_vectors",
    points: points.map((point, index) => {
      const name = `${field}[${index}]`;
      const id = requirePointId(mapPointId(point.id, `${name}.id`), `${name}.id`);
      const vectors = mapVectors(point.vectors, `${name}.vectors`);
      if (vectors.length === 0) throw badInput(`${name}.vectors: missing`, `${name}.vectors`);
      return { id, vectors };
    }),
    condition: mapWriteCondition(message.updateFilter, undefined, prefix),
  };
}

export function decodeDeletePointVectors(bytes: Uint8Array): WriteRequest {
  const message = decodeMessage(DeletePointVectorsSchema, bytes);
  checkOrdering(message.ordering);
  return {
    collection: message.collectionName,
    wait: message.wait ?? false,
    operation: toDeleteVectors(message.pointsSelector, message.vectors, ""),
  };
}

function toDeleteVectors(
  selector: PointsSelector | undefined,
  vectors: VectorsSelector | undefined,
  prefix: string,
): WireOperation {
  const names = vectors?.names ?? [];
  if (names.length === 0) throw validationError(`${prefix}vector_names`, "must specify vector names to delete");
  return { kind: "delete_vectors", selector: mapPointsSelector(selector, `${prefix}points_selector`), names };
}

/** SetPayload and OverwritePayload share one message. */
export function decodeSetPayloadPoints(bytes: Uint8Array, overwrite: boolean): WriteRequest {
  return decoding("qdrant.SetPayloadPoints", () => {
    const { payload, rest } = splitEntries(bytes, 3);
    const message = decodeMessage(SetPayloadPointsSchema, rest);
    checkOrdering(message.ordering);
    return {
      collection: message.collectionName,
      wait: message.wait ?? false,
      operation: toSetPayload(message, payload, overwrite, ""),
    };
  });
}

interface SetPayloadFields extends WireSealing {
  readonly pointsSelector?: PointsSelector | undefined;
  readonly key?: string | undefined;
}

function toSetPayload(
  message: SetPayloadFields,
  payload: EncodedPayload,
  overwrite: boolean,
  prefix: string,
): WireOperation {
  const selector = mapPointsSelector(message.pointsSelector, `${prefix}points_selector`);
  const { publicKey, freshEphemeral, key } = message;
  if (!overwrite) return { kind: "set_payload", selector, payload, key, publicKey, freshEphemeral };
  // An overwrite knows no key: the payload becomes all there is, as in Qdrant.
  return { kind: "overwrite_payload", selector, payload, publicKey, freshEphemeral };
}

export function decodeDeletePayloadPoints(bytes: Uint8Array): WriteRequest {
  const message = decodeMessage(DeletePayloadPointsSchema, bytes);
  checkOrdering(message.ordering);
  return {
    collection: message.collectionName,
    wait: message.wait ?? false,
    operation: toDeletePayload(message, ""),
  };
}

function toDeletePayload(
  message: { readonly keys: readonly string[]; readonly pointsSelector?: PointsSelector | undefined },
  prefix: string,
): WireOperation {
  const selector = mapPointsSelector(message.pointsSelector, `${prefix}points_selector`);
  return { kind: "delete_payload", selector, keys: message.keys };
}

export function decodeClearPayloadPoints(bytes: Uint8Array): WriteRequest {
  const message = decodeMessage(ClearPayloadPointsSchema, bytes);
  checkOrdering(message.ordering);
  return {
    collection: message.collectionName,
    wait: message.wait ?? false,
    operation: { kind: "clear_payload", selector: mapPointsSelector(message.points, "points") },
  };
}

const batchName = "qdrant.UpdateBatchPoints";

export function decodeUpdateBatchPoints(bytes: Uint8Array): WriteBatchRequest {
  return decoding(batchName, () => {
    const r = new MessageReader(bytes);
    const operations: WireOperation[] = [];
    let collection = "";
    let wait = false;
    while (r.pos < r.end) {
      const tag = r.tag();
      switch (tag) {
        case 0x0a:
          collection = r.string();
          break;
        case 0x10:
          wait = r.bool();
          break;
        case 0x1a:
          operations.push(readOperation(r.slice(), `operations[${operations.length}]`));
          break;
        case 0x22:
          checkOrdering(decodeMessage(WriteOrderingSchema, r.slice(), batchName));
          break;
        case 0x28:
          r.u64();
          break;
        default:
          r.skipUnknown(tag, 0b111110);
      }
    }
    return { collection, wait, operations };
  });
}

/** qdrant.PointsUpdateOperation: a oneof of ten messages, whose pieces are merged. */
function readOperation(bytes: Uint8Array, field: string): WireOperation {
  const r = new MessageReader(bytes);
  let which = 0;
  let pieces: Uint8Array[] = [];
  while (r.pos < r.end) {
    const tag = r.tag();
    if ((tag & 7) === 2 && tag >>> 3 <= 10) {
      if (which !== tag >>> 3) pieces = [];
      which = tag >>> 3;
      pieces.push(r.slice());
    } else {
      r.skipUnknown(tag, 0b111_1111_1110);
    }
  }
  // The text is Qdrant's.
  if (which === 0) throw badInput("Operation is missing", field);
  const body = joinPieces(pieces);
  const shards = selectionReaders.get(which)?.(body);
  const operation = toOperation(which, body, field);
  return shards === undefined ? operation : { ...operation, shards };
}

/** By the number of the operation's field. */
const selectionReaders = new Map(
  PointsUpdateOperationSchema.fields.map(({ number, message }) => [number, message && shardSelectionReader(message)]),
);

function toOperation(which: number, body: Uint8Array, field: string): WireOperation {
  const prefix = `${field}.`;
  switch (which) {
    case 1:
      return readPointList(body, `${prefix}upsert`);
    case 2: {
      const message = decodeMessage(PointsSelectorSchema, body, batchName);
      return { kind: "delete", selector: mapPointsSelector(message, `${prefix}delete_deprecated`) };
    }
    case 3:
    case 4: {
      const { payload, rest } = splitEntries(body, 1);
      const message =
        which === 3
          ? decodeMessage(PointsUpdateOperation_SetPayloadSchema, rest, batchName)
          : decodeMessage(PointsUpdateOperation_OverwritePayloadSchema, rest, batchName);
      return toSetPayload(message, payload, which === 4, `${prefix}${which === 3 ? "set" : "overwrite"}_payload.`);
    }
    case 5: {
      const message = decodeMessage(PointsUpdateOperation_DeletePayloadSchema, body, batchName);
      return toDeletePayload(message, `${prefix}delete_payload.`);
    }
    case 6: {
      const message = decodeMessage(PointsSelectorSchema, body, batchName);
      return { kind: "clear_payload", selector: mapPointsSelector(message, `${prefix}clear_payload_deprecated`) };
    }
    case 7: {
      const message = decodeMessage(PointsUpdateOperation_UpdateVectorsSchema, body, batchName);
      return toUpdateVectors(message, `${prefix}update_vectors.`);
    }
    case 8: {
      const message = decodeMessage(PointsUpdateOperation_DeleteVectorsSchema, body, batchName);
      return toDeleteVectors(message.pointsSelector, message.vectors, `${prefix}delete_vectors.`);
    }
    case 9: {
      const message = decodeMessage(PointsUpdateOperation_DeletePointsSchema, body, batchName);
      return { kind: "delete", selector: mapPointsSelector(message.points, `${prefix}delete_points.points`) };
    }
    default: {
      const message = decodeMessage(PointsUpdateOperation_ClearPayloadSchema, body, batchName);
      return { kind: "clear_payload", selector: mapPointsSelector(message.points, `${prefix}clear_payload.points`) };
    }
  }
}

/** PointsUpdateOperation.PointStructList: the points by the hot reader, the rest by the generated code. */
function readPointList(body: Uint8Array, field: string): WireOperation {
  const r = new MessageReader(body);
  const reader = new PointReader(body.length, `${field}.points`);
  const points: WirePoint[] = [];
  const rest: Uint8Array[] = [];
  while (r.pos < r.end) {
    const at = r.pos;
    const tag = r.tag();
    if (tag === 0x0a) {
      if (points.length >= limits.pointsPerRequestMax) throw tooManyPoints();
      points.push(reader.read(r, points.length) as WirePoint);
    } else {
      r.skip(tag);
      rest.push(r.bytes.subarray(at, r.pos));
    }
  }
  const others = decodeMessage(
    PointsUpdateOperation_PointStructListSchema,
    new Uint8Array(Buffer.concat(rest)),
    batchName,
  );
  const condition = mapWriteCondition(others.updateFilter, others.updateMode, `${field}.`);
  return { kind: "upsert", points, condition, publicKey: others.publicKey, freshEphemeral: others.freshEphemeral };
}
