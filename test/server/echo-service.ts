/** A service with all four call kinds, and a bare client for it: what the adaptor's tests talk to. */
import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { Client, type ClientOptions, credentials, type Metadata, type ServiceError } from "@grpc/grpc-js";
import { pino } from "pino";
import type { AnyHandler, ServiceBinding } from "../../src/api/grpc/index.ts";
import { type GrpcServer, type GrpcServerOptions, startGrpcServer } from "../../src/api/grpc/index.ts";

const method = (name: string, clientStreaming: boolean, serverStreaming: boolean) => ({
  name,
  inputType: ".test.Echo",
  outputType: ".test.Echo",
  clientStreaming,
  serverStreaming,
});

const file = create(FileDescriptorProtoSchema, {
  name: "test/echo.proto",
  package: "test",
  syntax: "proto3",
  messageType: [
    {
      name: "Echo",
      field: [
        { name: "text", number: 1, type: Type.STRING, label: Label.OPTIONAL, jsonName: "text" },
        { name: "number", number: 2, type: Type.INT32, label: Label.OPTIONAL, jsonName: "number" },
        { name: "blob", number: 3, type: Type.BYTES, label: Label.OPTIONAL, jsonName: "blob" },
      ],
    },
  ],
  service: [
    {
      name: "EchoService",
      method: [
        method("One", false, false),
        method("Down", false, true),
        method("Up", true, false),
        method("Both", true, true),
      ],
    },
  ],
});

export const echoService = createFileRegistry(file, () => undefined).getService("test.EchoService") as DescService;

export interface Echo extends Message {
  text: string;
  number: number;
  blob: Uint8Array;
}

export type EchoTable = Record<"one" | "down" | "up" | "both", AnyHandler>;

export function echoBinding(table: Partial<EchoTable>): ServiceBinding {
  const later: AnyHandler = { kind: "unimplemented", reason: "is not part of this test" };
  return { service: echoService, table: { one: later, down: later, up: later, both: later, ...table } };
}

export const silentLog = pino({ level: "silent" });

export function startEcho(table: Partial<EchoTable>, options: Partial<GrpcServerOptions> = {}): Promise<GrpcServer> {
  return startGrpcServer({ host: "127.0.0.1", port: 0, services: [echoBinding(table)], log: silentLog, ...options });
}

export function connect(port: number, options: ClientOptions = {}, creds = credentials.createInsecure()): Client {
  return new Client(`127.0.0.1:${port}`, creds, { "grpc.max_receive_message_length": -1, ...options });
}

const identity = (bytes: Buffer): Buffer => bytes;

export function callUnary(
  client: Client,
  path: string,
  bytes: Uint8Array,
  metadata?: Metadata,
  options: { deadline?: number } = {},
): Promise<{ bytes: Buffer; headers: Metadata }> {
  return new Promise((resolve, reject) => {
    let headers: Metadata | undefined;
    const callback = (error: ServiceError | null, value?: Buffer) =>
      error === null ? resolve({ bytes: value as Buffer, headers: headers as Metadata }) : reject(error);
    const call =
      metadata === undefined
        ? client.makeUnaryRequest(path, identity, identity, Buffer.from(bytes), options, callback)
        : client.makeUnaryRequest(path, identity, identity, Buffer.from(bytes), metadata, options, callback);
    call.on("metadata", (received) => {
      headers = received;
    });
  });
}

export const openDown = (client: Client, path: string, bytes: Uint8Array, options = {}) =>
  client.makeServerStreamRequest(path, identity, identity, Buffer.from(bytes), options);

export const openBoth = (client: Client, path: string, options = {}) =>
  client.makeBidiStreamRequest(path, identity, identity, options);

export async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  try {
    await promise;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error("expected the call to fail");
}

const schema = echoService.methods[0]?.input as DescMessage;
export const encode = (message: Partial<Echo>): Uint8Array => toBinary(schema, create(schema, message as never));
export const decode = (bytes: Uint8Array): Echo => fromBinary(schema, bytes) as Echo;

export const paths = {
  one: "/test.EchoService/One",
  down: "/test.EchoService/Down",
  up: "/test.EchoService/Up",
  both: "/test.EchoService/Both",
};

/** A stream's answers and its status. */
export async function collect(stream: ReturnType<typeof openDown> | ReturnType<typeof openBoth>) {
  const messages: Echo[] = [];
  const outcome = await new Promise<{ code: number; details: string }>((resolve) => {
    stream.on("data", (bytes: Buffer) => messages.push(decode(bytes)));
    stream.on("error", () => undefined);
    stream.on("status", resolve);
  });
  return { messages, outcome };
}
