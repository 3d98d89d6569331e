/**
 * What a handler of the gRPC door sees: its kinds, the context of a call, and the table that a service must fill.
 * A table is typed by the service's descriptor, so an RPC without a handler does not compile.
 */
import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import { badInput, type Cancellation, limits } from "../../core/index.ts";

/** One call in flight; itself whether anybody waits for its answer, without the cost of a signal. */
export interface CallContext extends Cancellation {
  /** Unique in this process's life; a client sees it in errors, the log carries it. */
  readonly requestId: string;
  /** Full path, such as `/qdrant.Points/Upsert`. */
  readonly method: string;
  readonly peer: string;
  /** Milliseconds since 1970; Infinity when the client set none. */
  readonly deadlineMs: number;
  /** Fires when the client cancels or vanishes, the deadline passes, or a shutdown runs out of patience. */
  readonly signal: AbortSignal;
  /** Of a write whose caller asks to wait no longer for it; the write goes on. */
  readonly waitSeconds?: number | undefined;
  /** Fires when the server begins to shut down: an endless stream should end itself. */
  readonly draining: AbortSignal;
  /** Carries the request id. */
  readonly log: Logger;
  /** First value of a request header, by its lower-case name. Binary headers (`-bin`) are not shown. */
  metadata(name: string): string | undefined;
  /** Response header; has no effect once the first message is out. */
  setResponseMetadata(name: string, value: string): void;
  setTrailingMetadata(name: string, value: string): void;
  /** Nobody looked whether the collection that the request names is there: it is left out of the figures by collection. */
  leaveOutCollection(): void;
}

export interface UnaryHandler<I, O> {
  readonly kind: "unary";
  readonly handle: (request: I, call: CallContext) => Promise<O>;
}
export interface ServerStreamHandler<I, O> {
  readonly kind: "server_streaming";
  readonly handle: (request: I, call: CallContext) => AsyncIterable<O>;
}
export interface ClientStreamHandler<I, O> {
  readonly kind: "client_streaming";
  readonly handle: (requests: AsyncIterable<I>, call: CallContext) => Promise<O>;
}
export interface BidiStreamHandler<I, O> {
  readonly kind: "bidi_streaming";
  readonly handle: (requests: AsyncIterable<I>, call: CallContext) => AsyncIterable<O>;
}
/** The raw kinds see the messages' bytes: for hot messages, which `wire` reads and writes itself.
 * Their function has another name than the typed kinds' one, or type inference would mix the two. */
export interface RawUnaryHandler {
  readonly kind: "raw_unary";
  readonly handleBytes: (request: Uint8Array, call: CallContext) => Promise<Uint8Array>;
}
export interface RawServerStreamHandler {
  readonly kind: "raw_server_streaming";
  readonly handleBytes: (request: Uint8Array, call: CallContext) => AsyncIterable<Uint8Array>;
}
export interface RawClientStreamHandler {
  readonly kind: "raw_client_streaming";
  readonly handleBytes: (requests: AsyncIterable<Uint8Array>, call: CallContext) => Promise<Uint8Array>;
}
export interface RawBidiStreamHandler {
  readonly kind: "raw_bidi_streaming";
  readonly handleBytes: (requests: AsyncIterable<Uint8Array>, call: CallContext) => AsyncIterable<Uint8Array>;
}
export interface UnimplementedHandler {
  readonly kind: "unimplemented";
  readonly reason: string;
}

export function unary<I, O>(handle: (request: I, call: CallContext) => Promise<O>): UnaryHandler<I, O> {
  return {
    kind: "unary",
    handle: async (request, call) => {
      checkCollectionName(request);
      return handle(request, call);
    },
  };
}

/** Qdrant's validator asks for a name before anything is looked for. */
function checkCollectionName(request: unknown): void {
  const { $typeName, collectionName } = request as { readonly $typeName?: string; readonly collectionName?: unknown };
  if (typeof collectionName !== "string" || $typeName?.startsWith("qdrant.") !== true) return;
  const end = limits.collectionNameLengthMax;
  if (collectionName !== "" && collectionName.length <= end) return;
  const text = `value ${JSON.stringify(collectionName.slice(0, end))} invalid, must be from 1 to ${end} characters`;
  throw badInput(`Validation error in body: [collection_name: ${text}]`, "collection_name");
}

export function serverStream<I, O>(
  handle: (request: I, call: CallContext) => AsyncIterable<O>,
): ServerStreamHandler<I, O> {
  return { kind: "server_streaming", handle };
}

export function clientStream<I, O>(
  handle: (requests: AsyncIterable<I>, call: CallContext) => Promise<O>,
): ClientStreamHandler<I, O> {
  return { kind: "client_streaming", handle };
}

export function bidiStream<I, O>(
  handle: (requests: AsyncIterable<I>, call: CallContext) => AsyncIterable<O>,
): BidiStreamHandler<I, O> {
  return { kind: "bidi_streaming", handle };
}

export function rawUnary(handleBytes: RawUnaryHandler["handleBytes"]): RawUnaryHandler {
  return { kind: "raw_unary", handleBytes };
}

export function rawServerStream(handleBytes: RawServerStreamHandler["handleBytes"]): RawServerStreamHandler {
  return { kind: "raw_server_streaming", handleBytes };
}

export function rawClientStream(handleBytes: RawClientStreamHandler["handleBytes"]): RawClientStreamHandler {
  return { kind: "raw_client_streaming", handleBytes };
}

export function rawBidi(handleBytes: RawBidiStreamHandler["handleBytes"]): RawBidiStreamHandler {
  return { kind: "raw_bidi_streaming", handleBytes };
}

/** Answers UNIMPLEMENTED as `<method> <reason>`; write the reason as "arrives with ...". */
export function unimplemented(reason: string): UnimplementedHandler {
  return { kind: "unimplemented", reason };
}

type KindHandlers<I extends DescMessage, O extends DescMessage> = {
  unary: UnaryHandler<MessageShape<I>, MessageInitShape<O>> | RawUnaryHandler;
  server_streaming: ServerStreamHandler<MessageShape<I>, MessageInitShape<O>> | RawServerStreamHandler;
  client_streaming: ClientStreamHandler<MessageShape<I>, MessageInitShape<O>> | RawClientStreamHandler;
  bidi_streaming: BidiStreamHandler<MessageShape<I>, MessageInitShape<O>> | RawBidiStreamHandler;
};

/** Only what type inference reads from a descriptor, so that generated and built descriptors both fit. */
type MethodShape = Pick<DescMethod, "input" | "output" | "methodKind">;

export type MethodHandler<M extends MethodShape> =
  | KindHandlers<M["input"], M["output"]>[M["methodKind"]]
  | UnimplementedHandler;

/** Every RPC of the service, by its camel-case name. */
export type ServiceTable<S extends { readonly method: Record<string, MethodShape> }> = {
  readonly [K in keyof S["method"]]: MethodHandler<S["method"][K]>;
};

/** A service and its table, their types already matched by `bindService`. */
export interface ServiceBinding {
  readonly service: DescService;
  readonly table: Readonly<Record<string, AnyHandler>>;
}

export type AnyHandler =
  | UnaryHandler<never, unknown>
  | ServerStreamHandler<never, unknown>
  | ClientStreamHandler<never, unknown>
  | BidiStreamHandler<never, unknown>
  | RawUnaryHandler
  | RawServerStreamHandler
  | RawClientStreamHandler
  | RawBidiStreamHandler
  | UnimplementedHandler;

/** Joins a descriptor with its table; the one place where the table's types are forgotten. */
export function bindService<S extends { readonly method: Record<string, MethodShape> }>(
  service: S,
  table: ServiceTable<S>,
): ServiceBinding {
  return { service: service as unknown as DescService, table: table as unknown as Record<string, AnyHandler> };
}
