/** The unary calls of the service tables without grpc-js: what the REST door calls, so that both doors run the same handlers. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { badInput, DomainError } from "../../core/index.ts";
import type { CallContext, ServerStreamHandler, ServiceBinding, UnaryHandler } from "./call.ts";

export type DirectCall = (request: Uint8Array, call: CallContext) => Promise<Uint8Array>;

/** By path, such as `/qdrant.Points/Query`. Streams are left out. */
export function directCalls(tables: readonly ServiceBinding[]): ReadonlyMap<string, DirectCall> {
  const calls = new Map<string, DirectCall>();
  for (const { service, table } of tables) {
    for (const { input, output, name, localName } of service.methods) {
      const handler = table[localName];
      const path = `/${service.typeName}/${name}`;
      if (handler?.kind === "raw_unary") calls.set(path, handler.handleBytes);
      else if (handler?.kind === "unary") {
        const { handle } = handler as UnaryHandler<unknown, never>;
        calls.set(path, async (bytes, call) => {
          const answer = await handle(
            decode(() => fromBinary(input, bytes), input.typeName),
            call,
          );
          return toBinary(output, create(output, answer));
        });
      } else if (handler?.kind === "unimplemented") {
        const { reason } = handler;
        calls.set(path, async () => {
          throw new DomainError("unimplemented", `${service.typeName}/${name} ${reason}`, {
            details: { reason: "Unimplemented" },
          });
        });
      }
    }
  }
  return calls;
}

export type DirectStream = (request: Uint8Array, call: CallContext) => AsyncIterable<Uint8Array>;

/** The same of the calls that answer one request with a stream. */
export function directStreams(tables: readonly ServiceBinding[]): ReadonlyMap<string, DirectStream> {
  const streams = new Map<string, DirectStream>();
  for (const { service, table } of tables) {
    for (const { input, output, name, localName } of service.methods) {
      const handler = table[localName];
      if (handler?.kind !== "server_streaming") continue;
      const { handle } = handler as ServerStreamHandler<unknown, never>;
      streams.set(`/${service.typeName}/${name}`, async function* (bytes, call) {
        const request = decode(() => fromBinary(input, bytes), input.typeName);
        for await (const answer of handle(request, call)) yield toBinary(output, create(output, answer));
      });
    }
  }
  return streams;
}

function decode<T>(read: () => T, name: string): T {
  try {
    return read();
  } catch (error) {
    throw badInput(`malformed ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
