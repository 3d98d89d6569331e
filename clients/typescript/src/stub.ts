/** Typed grpc-js stubs straight from protobuf-es service descriptors. */
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { CallOptions, Client, ClientDuplexStream, ClientReadableStream } from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";

export interface StubOptions extends CallOptions {
  readonly metadata?: Metadata;
  readonly signal?: AbortSignal;
}

type StubMethod<Method> = Method extends { methodKind: "unary"; input: infer Input; output: infer Output }
  ? Input extends DescMethod["input"]
    ? Output extends DescMethod["output"]
      ? (request: MessageInitShape<Input>, options?: StubOptions) => Promise<MessageShape<Output>>
      : never
    : never
  : Method extends { methodKind: "server_streaming"; input: infer Input; output: infer Output }
    ? Input extends DescMethod["input"]
      ? Output extends DescMethod["output"]
        ? (request: MessageInitShape<Input>, options?: StubOptions) => ClientReadableStream<MessageShape<Output>>
        : never
      : never
    : Method extends { methodKind: "bidi_streaming"; input: infer Input; output: infer Output }
      ? Input extends DescMethod["input"]
        ? Output extends DescMethod["output"]
          ? (options?: StubOptions) => ClientDuplexStream<MessageShape<Input>, MessageShape<Output>>
          : never
        : never
      : never;

export type Stub<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: StubMethod<Service["method"][Name]>;
};

export function createStub<Service extends DescService>(client: Client, service: Service): Stub<Service> {
  const stub: { [name: string]: unknown } = {};
  for (const method of service.methods) stub[method.localName] = stubMethod(client, service, method);
  return stub as Stub<Service>;
}

function stubMethod(client: Client, service: DescService, method: DescMethod): unknown {
  const path = `/${service.typeName}/${method.name}`;
  const serialize = (message: MessageShape<typeof method.input>) => Buffer.from(toBinary(method.input, message));
  const deserialize = (bytes: Buffer) => fromBinary(method.output, bytes);
  const init = (request: object) => create(method.input, request as never);
  switch (method.methodKind) {
    case "unary":
      return (request: object, { metadata = new Metadata(), signal, ...options }: StubOptions = {}) =>
        new Promise((resolve, reject) => {
          signal?.throwIfAborted();
          const call = client.makeUnaryRequest(
            path,
            serialize,
            deserialize,
            init(request),
            metadata,
            options,
            (error, answer) => {
              signal?.removeEventListener("abort", abort);
              if (error) reject(error);
              else resolve(answer);
            },
          );
          const abort = () => call.cancel();
          signal?.addEventListener("abort", abort);
        });
    case "server_streaming":
      return (request: object, { metadata = new Metadata(), signal, ...options }: StubOptions = {}) => {
        const call = client.makeServerStreamRequest(path, serialize, deserialize, init(request), metadata, options);
        signal?.addEventListener("abort", () => call.cancel(), { once: true });
        return call;
      };
    case "bidi_streaming":
      return ({ metadata = new Metadata(), signal, ...options }: StubOptions = {}) => {
        const call = client.makeBidiStreamRequest(path, serialize, deserialize, metadata, options);
        signal?.addEventListener("abort", () => call.cancel(), { once: true });
        return call;
      };
    default:
      return undefined;
  }
}
