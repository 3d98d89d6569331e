/** Re-encodes protobuf messages in every form that the encoding allows, and makes random ones. */

import type { DescField, DescMessage } from "@bufbuild/protobuf";
import fc from "fast-check";
import type { QuantizationSearchParams, Vector } from "../../gen/qdrant/points_pb.js";
import type { PointId as PointIdMessage } from "../../gen/qdrant/qdrant_common_pb.js";
import { badInput, type MultiVector } from "../../src/core/index.ts";

/** mulberry32: small, seeded, good enough to pick among forms. */
export function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff);

function varint(value: number, pad = 0): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  // Longer than needed is still valid.
  for (let i = 0; i < pad && bytes.length < 4; i++) {
    bytes[bytes.length - 1] = (bytes.at(-1) as number) | 128;
    bytes.push(0);
  }
  return bytes;
}

interface Piece {
  readonly number: number;
  readonly wireType: number;
  readonly body: Uint8Array;
}

function split(bytes: Uint8Array): Piece[] {
  const pieces: Piece[] = [];
  let pos = 0;
  const read = () => {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = bytes[pos++] as number;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  };
  while (pos < bytes.length) {
    const tag = read();
    const wireType = tag & 7;
    const start = pos;
    if (wireType === 0) read();
    else if (wireType === 1) pos += 8;
    else if (wireType === 5) pos += 4;
    else {
      const length = read();
      const at = pos;
      pos += length;
      pieces.push({ number: tag >>> 3, wireType, body: bytes.subarray(at, pos) });
      continue;
    }
    pieces.push({ number: tag >>> 3, wireType, body: bytes.subarray(start, pos) });
  }
  return pieces;
}

function join(pieces: readonly Piece[], random: () => number): Uint8Array {
  const out: number[] = [];
  for (const { number, wireType, body } of pieces) {
    out.push(...varint(number * 8 + wireType, random() < 0.02 ? 1 : 0));
    if (wireType === 2) out.push(...varint(body.length, random() < 0.02 ? 1 : 0));
    for (const byte of body) out.push(byte);
  }
  return Uint8Array.from(out);
}

const unknownNumbers = [77, 1_000, 49_999, 60_000];

function unknownPiece(random: () => number): Piece {
  const number = unknownNumbers[Math.floor(random() * unknownNumbers.length)] as number;
  const kind = Math.floor(random() * 5);
  if (kind === 0) return { number, wireType: 0, body: Uint8Array.from([0xff, 0x01]) };
  if (kind === 1) return { number, wireType: 1, body: new Uint8Array(8).fill(7) };
  if (kind === 2) return { number, wireType: 5, body: new Uint8Array(4).fill(9) };
  if (kind === 3) return { number, wireType: 2, body: Uint8Array.from([1, 2, 3]) };
  // A group with a varint and a group of its own inside.
  const end = varint(number * 8 + 4);
  return { number, wireType: 3, body: Uint8Array.from([0x08, 0x05, 0x13, 0x08, 0x01, 0x14, ...end]) };
}

/** The same message in another encoding. */
export function reencode(desc: DescMessage, bytes: Uint8Array, random: () => number): Uint8Array {
  return join(reencodePieces(desc, bytes, random), random);
}

function reencodePieces(desc: DescMessage, bytes: Uint8Array, random: () => number): Piece[] {
  const fields = new Map<number, DescField>(desc.fields.map((field) => [field.number, field]));
  const pieces: Piece[] = [];
  for (const piece of split(bytes)) {
    const field = fields.get(piece.number);
    if (piece.wireType !== 2 || field === undefined) {
      pieces.push(piece);
      continue;
    }
    if (
      field.fieldKind === "list" &&
      field.listKind === "scalar" &&
      piece.body.length % 4 === 0 &&
      field.scalar === 2
    ) {
      pieces.push(...reencodeFloats(piece, random));
      continue;
    }
    const message =
      field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message")
        ? field.message
        : undefined;
    if (message === undefined) {
      if (field.fieldKind === "map" && field.mapKind === "message") {
        pieces.push({ ...piece, body: reencodeEntry(field.message, piece.body, random) });
      } else {
        pieces.push(piece);
      }
      continue;
    }
    const inner = reencodePieces(message, piece.body, random);
    if (field.fieldKind === "message" && inner.length > 0 && random() < 0.15) {
      const at = Math.floor(random() * (inner.length + 1));
      pieces.push({ ...piece, body: join(inner.slice(0, at), random) });
      pieces.push({ ...piece, body: join(inner.slice(at), random) });
    } else {
      pieces.push({ ...piece, body: join(inner, random) });
    }
  }
  return shuffle(pieces, random);
}

function reencodeEntry(desc: DescMessage, bytes: Uint8Array, random: () => number): Uint8Array {
  // Payload values have a reader, and tests, of their own (wire/payload.ts).
  const plain = desc.typeName === "qdrant.Value";
  const pieces = split(bytes).map((piece) =>
    piece.number === 2 && !plain ? { ...piece, body: reencode(desc, piece.body, random) } : piece,
  );
  return join(random() < 0.2 ? pieces.reverse() : pieces, random);
}

function reencodeFloats(piece: Piece, random: () => number): Piece[] {
  const { number, body } = piece;
  const form = random();
  if (form < 0.6) return [piece];
  const cut = Math.floor((random() * body.length) / 4) * 4;
  if (form < 0.8) {
    return [
      { ...piece, body: body.subarray(0, cut) },
      { ...piece, body: body.subarray(cut) },
    ];
  }
  const single: Piece[] = [];
  for (let at = cut; at < body.length; at += 4) single.push({ number, wireType: 5, body: body.subarray(at, at + 4) });
  return [{ ...piece, body: body.subarray(0, cut) }, ...single];
}

/** Any order between different fields; within one field the order stays. */
function shuffle(pieces: Piece[], random: () => number): Piece[] {
  const mixed = [...pieces];
  if (random() < 0.5) {
    for (let i = 0; i + 1 < mixed.length; i++) {
      const a = mixed[i] as Piece;
      const b = mixed[i + 1] as Piece;
      if (a.number !== b.number && random() < 0.5) {
        mixed[i] = b;
        mixed[i + 1] = a;
      }
    }
  }
  if (random() < 0.2) mixed.splice(Math.floor(random() * (mixed.length + 1)), 0, unknownPiece(random));
  return mixed;
}

/** A few bytes changed, cut, doubled or put in. */
export function damage(bytes: Uint8Array, random: () => number): Uint8Array {
  const out = [...bytes];
  const times = 1 + Math.floor(random() * 4);
  for (let i = 0; i < times; i++) {
    const at = Math.floor(random() * (out.length + 1));
    const kind = random();
    if (kind < 0.5 && at < out.length) out[at] = Math.floor(random() * 256);
    else if (kind < 0.65) out.splice(at, 1);
    else if (kind < 0.8) out.splice(at, 0, Math.floor(random() * 256));
    else if (kind < 0.9) out.length = at;
    else out.splice(at, 0, ...out.slice(at, at + 8));
  }
  return Uint8Array.from(out);
}

export const arbitraryUuid = fc.uuid();
export const arbitraryPointId = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map((value) => ({ pointIdOptions: { case: "num" as const, value } })),
  arbitraryUuid.map((value) => ({ pointIdOptions: { case: "uuid" as const, value } })),
);
export const arbitraryText = fc.string({ unit: "grapheme", maxLength: 12 });
export const arbitraryFloats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), {
  minLength: 1,
  maxLength: 12,
});

export const { value: arbitraryValue } = fc.letrec<{ value: unknown; struct: unknown; list: unknown }>((tie) => ({
  value: fc
    .oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constant({ case: "nullValue", value: 0 }),
      fc.double({ noNaN: true }).map((value) => ({ case: "doubleValue", value })),
      fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }).map((value) => ({ case: "integerValue", value })),
      arbitraryText.map((value) => ({ case: "stringValue", value })),
      fc.boolean().map((value) => ({ case: "boolValue", value })),
      tie("struct").map((value) => ({ case: "structValue", value })),
      tie("list").map((value) => ({ case: "listValue", value })),
    )
    .map((kind) => ({ kind })),
  struct: fc.dictionary(arbitraryText, tie("value"), { maxKeys: 3 }).map((fields) => ({ fields })),
  list: fc.array(tie("value"), { maxLength: 3 }).map((values) => ({ values })),
}));

export const arbitraryPayload = fc.dictionary(arbitraryText, arbitraryValue, { maxKeys: 4 });

const dense = arbitraryFloats.map((data) => ({ vector: { case: "dense" as const, value: { data } } }));
const flat = arbitraryFloats.map((data) => ({ data }));
const multiDense = fc
  .integer({ min: 1, max: 3 })
  .chain((size) => fc.array(fc.array(fc.float(), { minLength: size, maxLength: size }), { minLength: 1, maxLength: 3 }))
  .map((rows) => ({ case: "multiDense" as const, value: { vectors: rows.map((data) => ({ data })) } }))
  .map((vector) => ({ vector }));
export const arbitraryVector = fc.oneof(dense, dense, flat, multiDense);
export const arbitraryVectors = fc.oneof(
  arbitraryVector.map((value) => ({ vectorsOptions: { case: "vector" as const, value } })),
  fc
    .dictionary(arbitraryText, arbitraryVector, { maxKeys: 3 })
    .map((vectors) => ({ vectorsOptions: { case: "vectors" as const, value: { vectors } } })),
);

/** qdrant.QuantizationSearchParams. */
export const arbitraryQuantization = fc.record({
  ignore: fc.option(fc.boolean(), { nil: undefined }),
  rescore: fc.option(fc.boolean(), { nil: undefined }),
  oversampling: fc.option(fc.double({ min: 1, max: 100, noNaN: true }), { nil: undefined }),
});

export function plainQuantization(params: QuantizationSearchParams | undefined): object {
  if (params === undefined) return {};
  const { ignore, rescore, oversampling } = params;
  if (oversampling !== undefined && !(oversampling >= 1 && oversampling < Number.POSITIVE_INFINITY))
    throw badInput("oversampling");
  return { quantization: { ignore, rescore, oversampling } };
}

export function idOf(message: PointIdMessage | undefined): bigint | string | undefined {
  const one = message?.pointIdOptions;
  return one?.case === "uuid" ? one.value.toLowerCase() : one?.value;
}

/** A vector as plain lists. */
export function plainVector({ vector, data }: Vector): unknown {
  if (vector.case !== "multiDense") return [...(vector.case === "dense" ? vector.value.data : data)];
  return vector.value.vectors.map((row) => [...row.data]);
}

export function ourVector(vector: unknown): unknown {
  const { rows, dimensions, values } = vector as MultiVector;
  if (rows === undefined) return [...(vector as Float32Array)];
  return Array.from({ length: rows }, (_, row) => [...values.subarray(row * dimensions, (row + 1) * dimensions)]);
}
