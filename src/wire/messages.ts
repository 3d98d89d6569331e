/** Decodes and encodes through the generated code, for everything that is not hot. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  mergeFromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import { limits } from "../core/index.ts";
import { decoding } from "./reader.ts";

// A level of a payload is two messages (Value and its list or struct entry); the rest is the message around it.
const recursionLimit = 2 * limits.payloadDepthMax + 32;

export function decodeMessage<S extends DescMessage>(schema: S, bytes: Uint8Array, name?: string): MessageShape<S> {
  return decoding(name ?? schema.typeName, () =>
    fromBinary(schema, bytes, { recursionLimit, readUnknownFields: false }),
  );
}

/** Decodes one submessage from its pieces; undefined when there were none. */
export function decodePieces<S extends DescMessage>(
  schema: S,
  pieces: readonly Uint8Array[] | undefined,
): MessageShape<S> | undefined {
  if (pieces === undefined) return undefined;
  const message = create(schema);
  // Each piece has to be well-formed by itself; merging is what a field that came in pieces means.
  for (const piece of pieces) mergeFromBinary(schema, message, piece, { recursionLimit, readUnknownFields: false });
  return message;
}

export function encodeMessage<S extends DescMessage>(schema: S, message: MessageInitShape<S>): Uint8Array {
  return toBinary(schema, create(schema, message));
}
