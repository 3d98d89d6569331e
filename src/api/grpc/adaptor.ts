/**
 * From a protobuf-es service descriptor and its table to what grpc-js serves, for all four call kinds.
 *
 * grpc-js keeps a decoded request alive until a full garbage collection, so its deserializer only boxes the bytes and the
 * messages are decoded here. Streams have back-pressure both ways: at most one message is read ahead of the handler, and
 * a handler waits while more than `unsentBytesMax` of its answers are not yet handed to the transport.
 */
import { create, type DescMethod, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type MethodDefinition,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { badInput, DomainError, limits } from "../../core/index.ts";
import type { AnyHandler, CallContext, ServiceBinding } from "./call.ts";
import { type Box, compressBox, limitReadAhead } from "./compression.ts";
import { type CallEnvironment, CallState } from "./context.ts";
import { toServiceError } from "./errors.ts";
import { type AnyStream, RequestReader, ResponseWriter } from "./streams.ts";

export interface AdaptedService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export function adaptService(binding: ServiceBinding, environment: CallEnvironment): AdaptedService {
  const definition: Record<string, MethodDefinition<Box, Box>> = {};
  const implementation: Record<string, UntypedHandleCall> = {};
  for (const method of binding.service.methods) {
    const handler = binding.table[method.localName];
    if (handler === undefined) throw new Error(`${methodPath(method)} has no handler`);
    definition[method.localName] = {
      path: methodPath(method),
      requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: (box: Box) => asBuffer(box.bytes),
      requestDeserialize: (bytes: Buffer): Box => ({ bytes, compressed: false }),
      responseSerialize: (box: Box) => asBuffer(box.bytes),
      responseDeserialize: (bytes: Buffer): Box => ({ bytes, compressed: false }),
      originalName: method.name,
    };
    implementation[method.localName] = adaptMethod(method, handler, environment) as UntypedHandleCall;
  }
  return { definition: definition as ServiceDefinition, implementation };
}

export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

export function serviceMethods(service: DescService): string[] {
  return service.methods.map(methodPath);
}

type Decode = (bytes: Uint8Array) => unknown;
type Encode = (message: unknown) => Uint8Array;

function adaptMethod(method: DescMethod, handler: AnyHandler, environment: CallEnvironment): unknown {
  const path = methodPath(method);
  const decode: Decode = (bytes) => decodeMessage(method, bytes);
  const encode: Encode = (message) => toBinary(method.output, create(method.output, message as never));
  const raw: Decode & Encode = (bytes: unknown) => bytes as Uint8Array;
  switch (handler.kind) {
    case "unary":
      return adaptUnary(path, handler.handle as UnaryFunction, decode, encode, environment);
    case "raw_unary":
      return adaptUnary(path, handler.handleBytes as UnaryFunction, raw, raw, environment);
    case "server_streaming":
      return adaptServerStream(path, handler.handle as ServerStreamFunction, decode, encode, environment);
    case "raw_server_streaming":
      return adaptServerStream(path, handler.handleBytes as ServerStreamFunction, raw, raw, environment);
    case "client_streaming":
      return adaptClientStream(path, handler.handle as ClientStreamFunction, decode, encode, environment);
    case "raw_client_streaming":
      return adaptClientStream(path, handler.handleBytes as ClientStreamFunction, raw, raw, environment);
    case "bidi_streaming":
      return adaptBidiStream(path, handler.handle as BidiStreamFunction, decode, encode, environment);
    case "raw_bidi_streaming":
      return adaptBidiStream(path, handler.handleBytes as BidiStreamFunction, raw, raw, environment);
    case "unimplemented":
      return adaptUnimplemented(method, handler.reason, environment);
  }
}

type UnaryFunction = (request: unknown, call: CallContext) => Promise<unknown>;
type ServerStreamFunction = (request: unknown, call: CallContext) => AsyncIterable<unknown>;
type ClientStreamFunction = (requests: AsyncIterable<unknown>, call: CallContext) => Promise<unknown>;
type BidiStreamFunction = (requests: AsyncIterable<unknown>, call: CallContext) => AsyncIterable<unknown>;

function decodeMessage(method: DescMethod, bytes: Uint8Array): unknown {
  try {
    return fromBinary(method.input, bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw badInput(`malformed ${method.input.typeName}: ${reason}`);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Qdrant's requests about points have the collection's name in their first field, which clients write first. */
const nameTag = 0x0a;

function collectionIn(bytes: Uint8Array): string | undefined {
  if (bytes[0] !== nameTag) return undefined;
  const first = bytes[1] ?? 0;
  // A varint of one byte or two: no name is longer than that.
  const isShort = first < 0x80;
  const length = isShort ? first : (first & 0x7f) | ((bytes[2] ?? 0) << 7);
  const from = isShort ? 2 : 3;
  return length > 4 * limits.collectionNameLengthMax
    ? undefined
    : asBuffer(bytes).toString("utf8", from, from + length);
}

function adaptUnary(path: string, handle: UnaryFunction, decode: Decode, encode: Encode, environment: CallEnvironment) {
  const named = path.startsWith("/qdrant.Points/");
  return (call: ServerUnaryCall<Box, Box>, respond: sendUnaryData<Box>): void => {
    const state = new CallState(path, call, environment);
    call.on("cancelled", () => state.cancel());
    if (named) state.collection = collectionIn(call.request.bytes);
    void answerOnce(state, respond, encode, () => handle(decode(call.request.bytes), state));
  };
}

function adaptClientStream(
  path: string,
  handle: ClientStreamFunction,
  decode: Decode,
  encode: Encode,
  environment: CallEnvironment,
) {
  return (call: ServerReadableStream<Box, Box>, respond: sendUnaryData<Box>): void => {
    limitReadAhead(call);
    const state = new CallState(path, call, environment);
    call.on("cancelled", () => state.cancel());
    const reader = new RequestReader(call, state, decode);
    void answerOnce(state, respond, encode, async () => {
      const response = await handle(reader, state);
      if (reader.cutByDrain) throw shuttingDown();
      return response;
    });
  };
}

async function answerOnce(
  state: CallState,
  respond: sendUnaryData<Box>,
  encode: Encode,
  run: () => Promise<unknown>,
): Promise<void> {
  try {
    const bytes = encode(await run());
    const box = await compressBox(state.base, bytes);
    state.sendHeaders();
    if (state.end(status.OK)) respond(null, box, state.trailers);
  } catch (thrown) {
    const error = state.failure(thrown);
    const failure = toServiceError(error, state.requestId, state.trailers);
    if (state.end(failure.code)) respond(failure);
  }
}

function adaptServerStream(
  path: string,
  handle: ServerStreamFunction,
  decode: Decode,
  encode: Encode,
  environment: CallEnvironment,
) {
  return (call: ServerWritableStream<Box, Box>): void => {
    const state = new CallState(path, call, environment);
    call.on("cancelled", () => state.cancel());
    void answerMany(call, state, encode, () => handle(decode(call.request.bytes), state));
  };
}

function adaptBidiStream(
  path: string,
  handle: BidiStreamFunction,
  decode: Decode,
  encode: Encode,
  environment: CallEnvironment,
) {
  return (call: ServerDuplexStream<Box, Box>): void => {
    limitReadAhead(call);
    const state = new CallState(path, call, environment);
    call.on("cancelled", () => state.cancel());
    const reader = new RequestReader(call, state, decode);
    void answerMany(
      call,
      state,
      encode,
      () => handle(reader, state),
      () => {
        if (reader.cutByDrain) throw shuttingDown();
      },
    );
  };
}

/** Pulls the handler's answers and writes them; whatever happens, the handler's iterator is returned, so its `finally` runs. */
async function answerMany(
  call: AnyStream,
  state: CallState,
  encode: Encode,
  open: () => AsyncIterable<unknown>,
  check?: () => void,
): Promise<void> {
  const writer = new ResponseWriter(call, state);
  try {
    const iterator = open()[Symbol.asyncIterator]();
    try {
      for (;;) {
        const step = await state.orCancelled(iterator.next());
        if (step.done === true) break;
        await writer.write(encode(step.value));
      }
    } catch (thrown) {
      // Not awaited: a generator that waits for something of its own answers only when that ends; its signal has fired.
      void iterator.return?.().then(undefined, () => undefined);
      throw thrown;
    }
    check?.();
    state.sendHeaders();
    if (state.end(status.OK)) call.end(state.trailers);
  } catch (thrown) {
    const failure = toServiceError(state.failure(thrown), state.requestId, state.trailers);
    if (state.end(failure.code)) call.emit("error", failure);
  }
}

function shuttingDown(): DomainError {
  return new DomainError(
    "unavailable",
    "the server is shutting down; what was acknowledged is kept, send the rest again",
  );
}

function adaptUnimplemented(method: DescMethod, reason: string, environment: CallEnvironment) {
  const path = methodPath(method);
  const failure = () =>
    new DomainError("unimplemented", `${method.parent.typeName}/${method.name} ${reason}`, {
      details: { reason: "Unimplemented" },
    });
  return (call: AnyStream, respond?: sendUnaryData<Box>): void => {
    const state = new CallState(path, call, environment);
    const error = toServiceError(failure(), state.requestId, state.trailers);
    state.end(error.code);
    if (respond !== undefined) respond(error);
    else call.emit("error", error);
  };
}
