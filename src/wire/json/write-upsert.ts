/**
 * Upserts of REST as the bytes of qdrant.UpsertPoints, which then go the fast way of the other door. Written backwards, so that no
 * length is measured beforehand.
 */
import { toBinary } from "@bufbuild/protobuf";
import { ShardKeySelectorSchema, UpdateModeSchema, VectorSchema } from "../../../gen/qdrant/points_pb.js";
import { FilterSchema } from "../../../gen/qdrant/qdrant_common_pb.js";
import { limits, type PointId } from "../../core/index.ts";
import { valueTags } from "../payload-codec.ts";
import type { BackwardWriter } from "../proto-bytes.ts";
import { tooManyPoints } from "../upsert.ts";
import {
  formatError,
  isList,
  isObject,
  type Json,
  type JsonObject,
  member,
  toBoolean,
  toFloats,
  toList,
  toObject,
  toText,
  WholeDouble,
} from "./parse.ts";
import { readEnum, readMessage } from "./read.ts";
import { isUnnamed, readId, wholeNumber } from "./read-values.ts";

const tag = (field: number): number => ((field << 3) | 2) >>> 0;
const tagPublicKey = tag(50_001);
const tagFreshEphemeral = (50_002 << 3) >>> 0;
const tagDense = tag(101);
const tagMulti = tag(103);

function header(w: BackwardWriter, number: number, before: number): void {
  w.uint32(w.length - before);
  w.uint32(number);
}

function text(w: BackwardWriter, value: string, number: number): void {
  w.text(value);
  w.uint32(number);
}

/** The members of an upsert, by field numbers of the message that holds them (a request, or an operation of a batch). */
export interface UpsertNumbers {
  readonly points: number;
  readonly shards: number;
  readonly updateFilter: number;
  readonly updateMode: number;
}

/** `{points: [...]}` or `{batch: {...}}` with what stands beside it. */
export function writeUpsert(w: BackwardWriter, body: Json, at: string, numbers: UpsertNumbers): void {
  const object = toObject(body, "PointInsertOperations", at);
  const under = at === "" ? "" : `${at}.`;
  const fresh = member(object, "fresh_ephemeral");
  if (fresh !== undefined && toBoolean(fresh, `${under}fresh_ephemeral`)) {
    w.byte(1);
    w.uint32(tagFreshEphemeral);
  }
  const key = member(object, "public_key");
  if (key !== undefined) text(w, toText(key, `${under}public_key`), tagPublicKey);
  const mode = member(object, "update_mode");
  if (mode !== undefined) {
    w.uint32(readEnum(UpdateModeSchema, mode, `${under}update_mode`));
    w.uint32(numbers.updateMode << 3);
  }
  const filter = member(object, "update_filter");
  if (filter !== undefined) {
    const before = w.length;
    w.raw(toBinary(FilterSchema, readMessage(FilterSchema, filter, `${under}update_filter`) as never));
    header(w, tag(numbers.updateFilter), before);
  }
  const shards = member(object, "shard_key");
  if (shards !== undefined) {
    const before = w.length;
    w.raw(toBinary(ShardKeySelectorSchema, readMessage(ShardKeySelectorSchema, shards, `${under}shard_key`) as never));
    header(w, tag(numbers.shards), before);
  }
  const batch = member(object, "batch");
  const points = batch === undefined ? member(object, "points") : undefined;
  if (points === undefined && batch === undefined) {
    throw formatError("data did not match any variant of untagged enum PointInsertOperations", at);
  }
  if (batch !== undefined) writeBatch(w, batch, `${under}batch`, tag(numbers.points));
  else writePoints(w, toList(points as Json, `${under}points`), `${under}points`, tag(numbers.points));
}

function writePoints(w: BackwardWriter, points: readonly Json[], at: string, number: number): void {
  if (points.length > limits.pointsPerRequestMax) throw tooManyPoints();
  for (let i = points.length - 1; i >= 0; i--) {
    const place = `${at}[${i}]`;
    const point = toObject(points[i] as Json, "struct PointStruct", place);
    const vector = member(point, "vector") ?? member(point, "vectors");
    if (vector === undefined) throw formatError("missing field `vector`", place);
    writePoint(w, point.id ?? null, vector, member(point, "payload"), member(point, "public_key"), place, number);
  }
}

/** Columns: ids, vectors as a list or as lists by name, payloads. */
function writeBatch(w: BackwardWriter, json: Json, at: string, number: number): void {
  const batch = toObject(json, "struct Batch", at);
  const ids = toList(batch.ids ?? null, `${at}.ids`);
  if (ids.length > limits.pointsPerRequestMax) throw tooManyPoints();
  const check = (list: readonly Json[], name: string): readonly Json[] => {
    if (list.length === ids.length) return list;
    throw formatError(`number of ${name} and ids are not equal (${list.length} != ${ids.length})`, at);
  };
  const vectors = batch.vectors ?? null;
  const named = isObject(vectors)
    ? Object.entries(vectors).map(([name, list]) => [name, check(toList(list, `${at}.vectors`), "vectors")] as const)
    : undefined;
  const plain = named === undefined ? check(toList(vectors, `${at}.vectors`), "vectors") : [];
  const given = member(batch, "payloads");
  const payloads = given === undefined ? undefined : check(toList(given, `${at}.payloads`), "payloads");
  for (let i = ids.length - 1; i >= 0; i--) {
    const vector =
      named === undefined
        ? (plain[i] as Json)
        : Object.fromEntries(named.map(([name, list]) => [name, list[i] as Json]));
    writePoint(w, ids[i] as Json, vector, payloads?.[i] ?? undefined, undefined, `${at}[${i}]`, number);
  }
}

/** PointStruct { id = 1, payload = 3, vectors = 4, public_key = 50001 } */
function writePoint(
  w: BackwardWriter,
  id: Json,
  vector: Json,
  payload: Json | undefined,
  publicKey: Json | undefined,
  at: string,
  number: number,
): void {
  const before = w.length;
  if (publicKey !== undefined) text(w, toText(publicKey, `${at}.public_key`), tagPublicKey);
  const vectors = w.length;
  if (isUnnamed(vector)) {
    writeVector(w, vector, `${at}.vector`, 0x0a);
  } else {
    const map = w.length;
    const entries = Object.entries(vector as JsonObject);
    for (let i = entries.length - 1; i >= 0; i--) {
      const [name, one] = entries[i] as [string, Json];
      const entry = w.length;
      writeVector(w, one, `${at}.vector.${name.slice(0, 64)}`, 0x12);
      text(w, toText(name, `${at}.vector`), 0x0a);
      header(w, 0x0a, entry);
    }
    header(w, 0x12, map);
  }
  header(w, 0x22, vectors);
  if (payload !== undefined) writeEntries(w, toObject(payload, "a map", `${at}.payload`), 0x1a, `${at}.payload`, 1);
  writeId(w, readId(id, `${at}.id`));
  header(w, number, before);
}

function writeId(w: BackwardWriter, id: PointId): void {
  const before = w.length;
  if (typeof id === "bigint") {
    w.int64(id);
    w.byte(0x08);
  } else text(w, id, 0x12);
  header(w, 0x0a, before);
}

/** Lists of numbers by hand; what else a vector may be, by the generated code. */
function writeVector(w: BackwardWriter, json: Json, at: string, number: number): void {
  const before = w.length;
  if (isList(json) && !isList(json[0])) writeDense(w, json, at);
  else if (isList(json)) writeMulti(w, json, at);
  else w.raw(toBinary(VectorSchema, readMessage(VectorSchema, json, at) as never));
  header(w, number, before);
}

/** Vector { dense = 101: DenseVector { data = 1 } } */
function writeDense(w: BackwardWriter, json: readonly Json[], at: string): void {
  const before = w.length;
  writeFloats(w, toFloats(json, at), 0x0a);
  header(w, tagDense, before);
}

/** Vector { multi_dense = 103: MultiDenseVector { vectors = 1: DenseVector { data = 1 } } } */
function writeMulti(w: BackwardWriter, json: readonly Json[], at: string): void {
  const before = w.length;
  for (let i = json.length - 1; i >= 0; i--) {
    const row = w.length;
    writeFloats(w, toFloats(json[i] as Json, `${at}[${i}]`), 0x0a);
    header(w, 0x0a, row);
  }
  header(w, tagMulti, before);
}

export function writeFloats(w: BackwardWriter, floats: Float32Array, number: number): void {
  if (floats.length === 0) return;
  w.raw(new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength));
  w.uint32(floats.byteLength);
  w.byte(number);
}

/** Map entries of qdrant.Value under `number`. */
export function writeEntries(w: BackwardWriter, object: JsonObject, number: number, at: string, depth: number): void {
  const keys = Object.keys(object);
  for (let i = keys.length - 1; i >= 0; i--) {
    const key = keys[i] as string;
    const before = w.length;
    const value = w.length;
    writeValue(w, object[key] as Json, at, depth);
    header(w, 0x12, value);
    text(w, toText(key, at), 0x0a);
    header(w, number, before);
  }
}

function writeValue(w: BackwardWriter, json: Json, at: string, depth: number): void {
  switch (typeof json) {
    case "string":
      text(w, toText(json, at), valueTags.string);
      return;
    case "number":
    case "bigint": {
      const number = typeof json === "bigint" || Number.isInteger(json) ? wholeNumber(json) : json;
      if (typeof number === "bigint") {
        w.int64(number);
        w.byte(valueTags.integer);
      } else {
        if (!Number.isFinite(number)) throw formatError("number out of range", at);
        w.double(number);
        w.byte(valueTags.double);
      }
      return;
    }
    case "boolean":
      w.byte(json ? 1 : 0);
      w.byte(valueTags.bool);
      return;
  }
  if (json === null) {
    w.byte(0);
    w.byte(valueTags.null);
    return;
  }
  if (json instanceof WholeDouble) {
    w.double(json.value);
    w.byte(valueTags.double);
    return;
  }
  if (depth >= limits.payloadDepthMax) throw formatError("recursion limit exceeded", at.slice(0, 64));
  const before = w.length;
  if (isList(json)) {
    for (let i = json.length - 1; i >= 0; i--) {
      const item = w.length;
      writeValue(w, json[i] as Json, at, depth + 1);
      header(w, 0x0a, item);
    }
    header(w, valueTags.list, before);
    return;
  }
  writeEntries(w, json as JsonObject, 0x0a, at, depth + 1);
  header(w, valueTags.struct, before);
}
