/**
 * Sealing and opening of gRPC messages by their shape (protobuf-es's, with `$typeName` or as plain init objects), not by class:
 * so stubs generated from Qdrant's own protos, or by another package, work as ours do.
 */

import { equalBytes, fromBase64Url } from "./seal/bytes.ts";
import { SealError } from "./seal/errors.ts";
import { type Payload, type PayloadValue, type PointId, payloadDepthMax, sealedKey } from "./seal/payload.ts";
import { Opener, type OpenerOptions, Sealer, type SealerOptions } from "./seal/seal.ts";

type Shape = { readonly [key: string]: unknown };

// ---- qdrant.Value

export function valueFromMessage(message: unknown, depth = 1): PayloadValue {
  const kind = (message as { kind?: { case?: string; value?: unknown } } | undefined)?.kind;
  switch (kind?.case) {
    case undefined:
    case "nullValue":
      return null;
    case "doubleValue":
      return Number(kind.value);
    case "integerValue":
      return BigInt(kind.value as bigint);
    case "stringValue":
    case "boolValue":
      return kind.value as string | boolean;
    case "structValue":
    case "listValue":
      break;
    default:
      throw new SealError("a payload value is of an unknown kind");
  }
  if (depth > payloadDepthMax) throw new SealError(`payload: nested deeper than ${payloadDepthMax} levels`);
  if (kind.case === "listValue") {
    return ((kind.value as { values?: unknown[] }).values ?? []).map((item) => valueFromMessage(item, depth + 1));
  }
  return payloadFromMessage((kind.value as { fields?: Shape }).fields ?? {}, depth + 1);
}

export function payloadFromMessage(fields: Shape, depth = 1): Payload {
  const payload: { [key: string]: PayloadValue } = Object.create(null);
  for (const key of Object.keys(fields)) payload[key] = valueFromMessage(fields[key], depth);
  return payload;
}

export function valueToMessage(value: PayloadValue): Shape {
  const wrap = (kind: string, inner: unknown) => ({ $typeName: "qdrant.Value", kind: { case: kind, value: inner } });
  switch (typeof value) {
    case "boolean":
      return wrap("boolValue", value);
    case "string":
      return wrap("stringValue", value);
    case "bigint":
      return wrap("integerValue", value);
    case "number":
      return wrap("doubleValue", value);
    default:
      break;
  }
  if (value === null) return wrap("nullValue", 0);
  if (Array.isArray(value)) {
    return wrap("listValue", { $typeName: "qdrant.ListValue", values: value.map(valueToMessage) });
  }
  return wrap("structValue", { $typeName: "qdrant.Struct", fields: payloadToMessage(value as Payload) });
}

export function payloadToMessage(payload: Payload): { [key: string]: Shape } {
  return Object.fromEntries(Object.entries(payload).map(([key, value]) => [key, valueToMessage(value)]));
}

/** qdrant.PointId as bigint or UUID text; undefined when there is none. */
export function idFromMessage(message: unknown): PointId | undefined {
  const id = (message as { pointIdOptions?: { case?: string; value?: unknown } } | undefined)?.pointIdOptions;
  if (id?.case === "num") return BigInt(id.value as bigint);
  return id?.case === "uuid" ? String(id.value) : undefined;
}

export function idToMessage(id: PointId | number): Shape & { $typeName: "qdrant.PointId" } {
  const pointIdOptions = typeof id === "string" ? { case: "uuid", value: id } : { case: "num", value: BigInt(id) };
  return { $typeName: "qdrant.PointId", pointIdOptions };
}

// ---- what a program pins

export type CollectionPin = SealerOptions & {
  /** Sealing ids accepted when opening, besides `sealingId`: of collections that were copied into this one. */
  readonly acceptedSealingIds?: Iterable<Uint8Array | string>;
};

export interface SealingOptions {
  /**
   * Recipient and sealing id of each collection (by the name or alias that requests use), pinned here: nothing that a server
   * says can change them.
   */
  readonly collections?: { readonly [name: string]: CollectionPin };
  /** Writes of payloads to a collection without a pin are refused, unless this says "pass". */
  readonly unpinned?: "refuse" | "pass";
  /** Opens payloads sealed for this key. Payloads for others stay sealed; one for this key that does not open is an error. */
  readonly privateKey?: OpenerOptions["privateKey"];
}

/** Sealing and opening for one program; `forCall` gives what one call needs. */
export class MessageSealing {
  private readonly options: SealingOptions;
  private readonly openers = new Map<string, Opener>();

  constructor(options: SealingOptions) {
    this.options = options;
    // Keys are read now, so that a bad one is told where it was given.
    for (const pin of Object.values(options.collections ?? {})) new Sealer(pin);
    if (options.privateKey !== undefined) this.openerFor(undefined);
  }

  forCall(): CallSealing {
    return new CallSealing(this);
  }

  /** A fresh sealer (so a fresh ephemeral key) for one message; undefined when payloads pass as they are. */
  sealerFor(collection: string): Sealer | undefined {
    const pins = this.options.collections ?? {};
    const pin = Object.hasOwn(pins, collection) ? pins[collection] : undefined;
    if (pin !== undefined) return new Sealer(pin);
    if (this.options.unpinned === "pass") return undefined;
    throw new SealError(`no recipient is pinned for the collection ${JSON.stringify(collection)}`);
  }

  openerFor(collection: string | undefined): Opener | undefined {
    const { privateKey, collections } = this.options;
    if (privateKey === undefined) return undefined;
    const pin =
      collection !== undefined && Object.hasOwn(collections ?? {}, collection) ? collections?.[collection] : undefined;
    const name = pin === undefined ? "" : `pinned ${collection}`;
    let opener = this.openers.get(name);
    if (opener === undefined) {
      const acceptedSealingIds = pin === undefined ? undefined : [pin.sealingId, ...(pin.acceptedSealingIds ?? [])];
      opener = new Opener({ privateKey, acceptedSealingIds });
      this.openers.set(name, opener);
    }
    return opener;
  }
}

/** One call: remembers the collection that its request names. */
export class CallSealing {
  private readonly sealing: MessageSealing;
  private collection: string | undefined;

  constructor(sealing: MessageSealing) {
    this.sealing = sealing;
  }

  /** Gives the request with its payloads sealed; the given message is not changed. Throws SealError rather than let plaintext by. */
  request(typeName: string, message: unknown): unknown {
    const shape = message as Shape;
    if (typeof shape?.collectionName === "string") this.collection = shape.collectionName;
    switch (typeName) {
      case "qdrant.UpsertPoints":
        return { ...shape, points: this.points(shape.points) };
      case "qdrant.SetPayloadPoints":
        return this.setPayload(shape);
      case "qdrant.UpdateBatchPoints":
        return { ...shape, operations: list(shape.operations).map((operation) => this.operation(operation as Shape)) };
      case "sealpoint.v1.BulkUpsertRequest":
        return this.bulkUpsert(shape);
      default:
        return message;
    }
  }

  private sealer(): Sealer | undefined {
    return this.sealing.sealerFor(this.collection ?? "");
  }

  private points(points: unknown): unknown[] {
    const sealer = this.sealer();
    return list(points).map((each) => {
      const point = each as Shape;
      if (sealer === undefined) return point;
      const id = idFromMessage(point.id);
      if (id === undefined) throw new SealError("a point has no id to bind its seal to");
      return { ...point, payload: sealFields(sealer, id, point.payload) };
    });
  }

  private setPayload(operation: Shape): Shape {
    const sealer = this.sealer();
    if (sealer === undefined || isSealed(operation.payload)) return operation;
    if (typeof operation.key === "string" && operation.key !== "") {
      throw new SealError("a sealed payload cannot be set at a path: set the whole field");
    }
    const selector = (
      operation.pointsSelector as { pointsSelectorOneOf?: { case?: string; value?: Shape } } | undefined
    )?.pointsSelectorOneOf;
    const ids = selector?.case === "points" ? list(selector.value?.ids) : [];
    const id = ids.length === 1 ? idFromMessage(ids[0]) : undefined;
    if (id === undefined)
      throw new SealError("a seal is bound to one point: select exactly one id, and resolve filters first");
    return { ...operation, payload: sealFields(sealer, id, operation.payload) };
  }

  private operation(update: Shape): Shape {
    const operation = update.operation as { case?: string; value?: Shape } | undefined;
    const value = operation?.value ?? {};
    switch (operation?.case) {
      case "upsert":
        return { ...update, operation: { case: "upsert", value: { ...value, points: this.points(value.points) } } };
      case "setPayload":
      case "overwritePayload":
        return { ...update, operation: { case: operation.case, value: this.setPayload(value) } };
      default:
        return update;
    }
  }

  private bulkUpsert(request: Shape): Shape {
    const message = request.message as { case?: string; value?: Shape } | undefined;
    if (message?.case === "start") this.collection = String(message.value?.collectionName ?? "");
    if (message?.case !== "chunk") return request;
    return {
      ...request,
      message: { case: "chunk", value: { ...message.value, points: this.points(message.value?.points) } },
    };
  }

  /** Gives the answer with the payloads opened that are sealed for this program's key. Throws OpenError. */
  response(message: unknown): unknown {
    const opener = this.sealing.openerFor(this.collection);
    return opener === undefined ? message : openPoints(message, opener, 0);
  }
}

function list(value: unknown): unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new SealError("the request has an unknown shape: refusing to send it unsealed");
  return value;
}

function isSealed(payload: unknown): boolean {
  return typeof payload === "object" && payload !== null && Object.hasOwn(payload, sealedKey);
}

/** A payload that the program sealed itself passes as it is. */
function sealFields(sealer: Sealer, id: PointId, payload: unknown): unknown {
  if (isSealed(payload)) return payload;
  return payloadToMessage(sealer.seal(id, payloadFromMessage((payload ?? {}) as Shape)));
}

/** Levels of an answer above its points: groups of hits in batches. */
const answerDepthMax = 8;

function openPoints(value: unknown, opener: Opener, depth: number): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || depth > answerDepthMax) return value;
  if (Array.isArray(value)) return value.map((item) => openPoints(item, opener, depth + 1));
  const shape = value as Shape;
  if (isSealed(shape.payload)) return openPoint(shape, opener);
  let copy: { [key: string]: unknown } | undefined;
  for (const key of Object.keys(shape)) {
    if (key === "vectors" || key === "payload") continue;
    const opened = openPoints(shape[key], opener, depth + 1);
    if (opened === shape[key]) continue;
    copy ??= { ...shape };
    copy[key] = opened;
  }
  return copy ?? value;
}

function openPoint(point: Shape, opener: Opener): Shape {
  const id = idFromMessage(point.id);
  const fields = point.payload as Shape;
  if (id === undefined || !isForKey(fields[sealedKey], opener)) return point;
  return { ...point, payload: payloadToMessage(opener.open(id, payloadFromMessage(fields))) };
}

/** By the envelopes' kid only: whether the rest is well formed is for opening to judge, which then fails aloud. */
function isForKey(value: unknown, opener: Opener): boolean {
  const envelopes = valueFromMessage(value);
  if (!Array.isArray(envelopes) || envelopes.length === 0) return false;
  return envelopes.every((envelope) => {
    const kid = (envelope as { kid?: unknown } | null)?.kid;
    const bytes = typeof kid === "string" ? fromBase64Url(kid) : undefined;
    return bytes !== undefined && equalBytes(bytes, opener.privateKey.publicKey.kid);
  });
}
