/** Opening, for the command line and tests: the server itself never holds a private key. */
import { createDecipheriv, createSecretKey } from "node:crypto";
import {
  badInput,
  DomainError,
  type EncodedPayload,
  type PayloadObject,
  type PayloadValue,
  type PointId,
  parseUuid,
  sealedKey,
} from "../core/index.ts";
import { decodePayload, encodePayload, omitEntries, readEnvelopes, splitEnvelope } from "../wire/index.ts";
import { decodeSealedMap } from "./cbor-decode.ts";
import { type ExporterContext, setupRecipient } from "./hpke.ts";
import type { PrivateKey } from "./keys.ts";
import { hpkeInfo, sealAad } from "./seal.ts";

/** One text for a wrong key, a wrong place and tampering. */
export function openFailed(): DomainError {
  return new DomainError("open_failed", "cannot open the seal");
}

/** Contexts by key and ephemeral key: points of one batch share theirs. Small, so that no old secret stays for long. */
const contexts = new WeakMap<PrivateKey, Map<string, ExporterContext>>();
const contextsMax = 64;

function contextOf(key: PrivateKey, enc: Uint8Array): ExporterContext {
  let known = contexts.get(key);
  if (known === undefined) {
    known = new Map();
    contexts.set(key, known);
  }
  const name = Buffer.from(enc.buffer, enc.byteOffset, enc.length).toString("latin1");
  let context = known.get(name);
  if (context === undefined) {
    context = setupRecipient(key.keyObject, key.publicKey.point, enc, hpkeInfo);
    known.set(name, context);
    if (known.size > contextsMax) known.delete(known.keys().next().value as string);
  }
  return context;
}

export interface OpenOptions {
  /** Sealing ids to accept, hex; any when absent. Give them when you know the collection: they tell a moved envelope. */
  readonly acceptedSealingIds?: Iterable<string>;
}

/** What was sealed in one binary envelope, padding included: CBOR, as docs/sealing-format-v1.md has it. Throws on anything that is wrong. */
export function openPlaintext(key: PrivateKey, id: PointId, envelope: Uint8Array): Buffer {
  const parts = splitEnvelope(envelope);
  const aad = sealAad(parts.sealingId, id);
  const secret = createSecretKey(contextOf(key, parts.enc).export(aad, 32));
  const decipher = createDecipheriv("aes-256-gcm", secret, parts.nonce, { authTagLength: 16 });
  decipher.setAAD(aad);
  decipher.setAuthTag(parts.tag);
  return Buffer.concat([decipher.update(parts.ciphertext), decipher.final()]);
}

/** Opens one binary envelope. */
export function openEnvelope(
  key: PrivateKey,
  id: PointId,
  envelope: Uint8Array,
  options: OpenOptions = {},
): PayloadObject {
  try {
    const parts = splitEnvelope(envelope);
    if (options.acceptedSealingIds !== undefined) {
      const hex = Buffer.from(parts.sealingId).toString("hex");
      if (![...options.acceptedSealingIds].includes(hex)) throw openFailed();
    }
    if (!Buffer.from(parts.kid).equals(key.publicKey.kid)) throw openFailed();
    return decodeSealedMap(openPlaintext(key, id, envelope));
  } catch {
    throw openFailed();
  }
}

export interface OpenRequest extends OpenOptions {
  readonly privateKey: PrivateKey;
  readonly id: PointId;
  /** Envelopes in stored or JSON form, or none: then the payload is decoded as it is. */
  readonly payload: EncodedPayload;
}

/** Opened maps merged in order over the clear fields, later winning for each key. */
export function openPayload(request: OpenRequest): PayloadObject {
  let envelopes: Uint8Array[] | undefined;
  try {
    envelopes = readEnvelopes(request.payload);
  } catch {
    throw openFailed();
  }
  if (envelopes === undefined) return decodePayload(request.payload);
  const merged: { [key: string]: PayloadValue } = Object.create(null);
  Object.assign(merged, decodePayload(omitEntries(request.payload, new Set([sealedKey]))));
  for (const envelope of envelopes)
    Object.assign(merged, openEnvelope(request.privateKey, request.id, envelope, request));
  return merged;
}

// ---- JSON as grpcurl and REST print it

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * Gives back any JSON (one point, a whole answer) with every sealed payload opened in the style it came in: protobuf's JSON
 * of qdrant.Value, as grpcurl prints it, or the plain JSON of REST. Objects with `id` and a payload that holds `$sealpoint`
 * are points; everything else is left alone. Throws open_failed when a seal does not open.
 */
export function openJson(value: unknown, key: PrivateKey, options: OpenOptions = {}): unknown {
  if (Array.isArray(value)) return value.map((item) => openJson(item, key, options));
  if (typeof value !== "object" || value === null) return value;
  const object = value as { [key: string]: Json };
  const payload = object.payload;
  if (typeof payload === "object" && payload !== null && !Array.isArray(payload) && Object.hasOwn(payload, sealedKey)) {
    return { ...object, payload: openJsonPayload(object, payload, key, options) };
  }
  return Object.fromEntries(Object.entries(object).map(([name, item]) => [name, openJson(item, key, options)]));
}

/** One point of `openJson`'s kind. */
export function openPointJson(point: unknown, key: PrivateKey, options: OpenOptions = {}): unknown {
  const opened = openJson(point, key, options);
  if (opened === point || typeof opened !== "object") throw badInput("this is not a point");
  return opened;
}

function openJsonPayload(
  point: { [key: string]: Json },
  payload: { [key: string]: Json },
  key: PrivateKey,
  options: OpenOptions,
): Json {
  const id = jsonId(point.id);
  const plainStyle = Array.isArray(payload[sealedKey]);
  const read = plainStyle ? fromPlainJson : fromProtoJson;
  const object = Object.fromEntries(Object.entries(payload).map(([name, item]) => [name, read(item)]));
  const opened = openPayload({ ...options, privateKey: key, id, payload: encodePayload(object) });
  const write = plainStyle ? toPlainJson : toProtoJson;
  return Object.fromEntries(Object.entries(opened).map(([name, item]) => [name, write(item)]));
}

function jsonId(id: Json | undefined): PointId {
  if (typeof id === "number" && Number.isSafeInteger(id) && id >= 0) return BigInt(id);
  if (typeof id === "string") return /^[0-9]{1,20}$/.test(id) ? BigInt(id) : parseUuid(id);
  if (typeof id === "object" && id !== null && !Array.isArray(id)) {
    if (typeof id.uuid === "string") return parseUuid(id.uuid);
    const number = id.num;
    if (typeof number === "string" && /^[0-9]{1,20}$/.test(number)) return BigInt(number);
    if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return BigInt(number);
  }
  throw badInput("the point's id cannot be read", "id");
}

function fromProtoJson(value: Json): PayloadValue {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw badInput("not the JSON of a qdrant.Value");
  const entries = Object.entries(value);
  const [kind, inner] = entries[0] ?? ["nullValue", null];
  switch (kind) {
    case "nullValue":
      return null;
    case "boolValue":
      return inner === true;
    case "stringValue":
      return String(inner);
    case "integerValue":
      return BigInt(inner as string | number);
    case "doubleValue":
      return Number(inner);
    case "listValue":
      return (((inner as { values?: Json[] } | null)?.values ?? []) as Json[]).map(fromProtoJson);
    case "structValue": {
      const fields = ((inner as { fields?: { [key: string]: Json } } | null)?.fields ?? {}) as { [key: string]: Json };
      return Object.fromEntries(Object.entries(fields).map(([name, item]) => [name, fromProtoJson(item)]));
    }
    default:
      throw badInput("not the JSON of a qdrant.Value");
  }
}

function toProtoJson(value: PayloadValue): Json {
  if (value === null) return { nullValue: null };
  switch (typeof value) {
    case "boolean":
      return { boolValue: value };
    case "string":
      return { stringValue: value };
    case "bigint":
      return { integerValue: value.toString() };
    case "number":
      // JSON has no NaN, no infinities and no -0: protobuf writes them as text.
      if (Object.is(value, -0)) return { doubleValue: "-0" };
      return { doubleValue: Number.isFinite(value) ? value : String(value) };
    default:
      break;
  }
  if (Array.isArray(value)) return { listValue: { values: value.map(toProtoJson) } };
  const fields = Object.fromEntries(Object.entries(value).map(([name, item]) => [name, toProtoJson(item)]));
  return { structValue: { fields } };
}

function fromPlainJson(value: Json): PayloadValue {
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(fromPlainJson);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, fromPlainJson(item)]));
}

/** JSON has one kind of number: integers beyond 2^53 become strings rather than wrong. */
function toPlainJson(value: PayloadValue): Json {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(toPlainJson);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, toPlainJson(item)]));
}
