/** A whole gRPC server over the embedded engine, and a client that speaks generated messages. */
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { pino } from "pino";
import { createServiceTables } from "../../src/api/grpc/handlers/index.ts";
import { startGrpcServer } from "../../src/api/grpc/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { createSharedChanges, type SealedEngine, sealEngine, strictEngine } from "../../src/engine/index.ts";
import type { Inference } from "../../src/inference/index.ts";
import { StreamRegistry } from "../../src/services/index.ts";
import { temporaryFolder } from "../engine/support.ts";

type Method<I extends DescMessage, O extends DescMessage> = DescMethod & { input: I; output: O };

const identity = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

export interface Bidi<I extends DescMessage, O extends DescMessage> {
  send(message: MessageInitShape<I>): void;
  end(): void;
  cancel(): void;
  /** The next answer; throws the stream's error, undefined at its end. */
  next(): Promise<MessageShape<O> | undefined>;
}

interface Options {
  readonly inference?: Inference;
  /** A cluster of one, with shard keys. */
  readonly cluster?: boolean;
  /** What callers get in place of the engine. */
  readonly wrap?: (engine: SealedEngine) => SealedEngine;
}

export async function startTestServer({ inference, cluster = false, wrap = (engine) => engine }: Options = {}) {
  const folder = temporaryFolder();
  const changes = createSharedChanges();
  const below = sealEngine(openEmbeddedEngine({ dataDir: folder.path }), changes);
  const engine = wrap(strictEngine(below, changes, cluster));
  const server = await startGrpcServer({
    host: "127.0.0.1",
    port: 0,
    services: createServiceTables({
      engine,
      streams: new StreamRegistry(),
      inference,
      cluster: cluster ? { changes, below } : undefined,
    }),
    log: pino({ level: "silent" }),
  });
  const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
  const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`;

  function reader<O extends DescMessage>(
    schema: O,
    call: ClientReadableStream<Buffer>,
  ): () => Promise<MessageShape<O> | undefined> {
    const iterator = call[Symbol.asyncIterator]();
    return async () => {
      const { done, value } = (await iterator.next()) as IteratorResult<Buffer>;
      return done === true ? undefined : fromBinary(schema, value);
    };
  }

  return {
    engine,
    /** Counts changes of collections, after which all threads read policies and rules anew. */
    changes: new Int32Array(changes),
    dataDir: folder.path,
    call<I extends DescMessage, O extends DescMessage>(
      method: Method<I, O>,
      request: MessageInitShape<I>,
      headers: Record<string, string> = {},
    ): Promise<MessageShape<O> & { headers: Metadata }> {
      const metadata = new Metadata();
      for (const [key, value] of Object.entries(headers)) metadata.set(key, value);
      return new Promise((resolve, reject) => {
        let received = new Metadata();
        client
          .makeUnaryRequest(
            pathOf(method),
            identity,
            identity,
            Buffer.from(toBinary(method.input, create(method.input, request))),
            metadata,
            (error: ServiceError | null, bytes?: Buffer) => {
              if (error !== null) reject(error);
              else resolve(Object.assign(fromBinary(method.output, bytes as Buffer), { headers: received }));
            },
          )
          .on("metadata", (found) => {
            received = found;
          });
      });
    },
    callBytes(method: DescMethod, bytes: Uint8Array): Promise<Buffer> {
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(pathOf(method), identity, identity, Buffer.from(bytes), (error, answer) =>
          error === null ? resolve(answer as Buffer) : reject(error),
        );
      });
    },
    bidi<I extends DescMessage, O extends DescMessage>(method: Method<I, O>): Bidi<I, O> {
      const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(pathOf(method), identity, identity);
      return {
        send: (message) => void call.write(Buffer.from(toBinary(method.input, create(method.input, message)))),
        end: () => void call.end(),
        cancel: () => call.cancel(),
        next: reader(method.output, call),
      };
    },
    download<I extends DescMessage, O extends DescMessage>(method: Method<I, O>, request: MessageInitShape<I>) {
      const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
      return reader(method.output, client.makeServerStreamRequest(pathOf(method), identity, identity, bytes));
    },
    /** Sends all messages, then waits for the answer. */
    upload<I extends DescMessage, O extends DescMessage>(
      method: Method<I, O>,
      messages: Iterable<MessageInitShape<I>>,
    ): Promise<MessageShape<O>> {
      return new Promise((resolve, reject) => {
        const call = client.makeClientStreamRequest(pathOf(method), identity, identity, (error, bytes) =>
          error === null ? resolve(fromBinary(method.output, bytes as Buffer)) : reject(error),
        );
        for (const message of messages) call.write(Buffer.from(toBinary(method.input, create(method.input, message))));
        call.end();
      });
    },
    async close() {
      client.close();
      await server.drain();
      await engine.close();
      folder.remove();
    },
  };
}

export type TestServer = Awaited<ReturnType<typeof startTestServer>>;
