/** Decodes and encodes through the generated code, for everything that is not hot. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { limits } from "../core/index.ts";
import { decoding, joinPieces } from "./reader.ts";

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
  return fromBinary(schema, joinPieces(pieces), { recursionLimit, readUnknownFields: false });
}

export function encodeMessage<S extends DescMessage>(schema: S, message: MessageInitShape<S>): Uint8Array {
  return toBinary(schema, create(schema, message));
}
