/** The server as its users start it: a process of its own, an empty folder, free ports; and a client that speaks generated messages. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
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
  type CallOptions,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";

export const root = join(import.meta.dirname, "../..");
export const launcher = join(root, "bin/sealpoint.mjs");
export const addonBuilt = existsSync(join(root, "build/Release/sealpoint.node"));

export type Method<I extends DescMessage, O extends DescMessage> = DescMethod & { input: I; output: O };

const identity = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`;

/** A port that was free a moment ago: a server that is killed and started again keeps its own. */
async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** test/threads runs these tests again with several threads; each client then spreads its calls over as many connections as likely reach all. */
const rpcThreads = (): number => Number(process.env.SEALPOINT_TEST_RPC_THREADS ?? 1);
const connections = (): number => (rpcThreads() > 1 ? rpcThreads() * 3 : 1);

export interface ServerOptions {
  readonly logLevel?: string;
  readonly env?: Record<string, string>;
  /** A folder in one that the server's end removes; a temporary one unless given. */
  readonly dataDir?: string;
  /** The command's file, of another package than this checkout. */
  readonly launcher?: string;
}

export class ServerProcess {
  readonly dataDir: string;
  readonly grpcPort: number;
  readonly httpPort: number;
  readonly options: ServerOptions;
  /** All that it ever printed, over restarts too. */
  log = "";
  private child: ChildProcess | undefined;

  private constructor(dataDir: string, grpcPort: number, httpPort: number, options: ServerOptions) {
    this.dataDir = dataDir;
    this.grpcPort = grpcPort;
    this.httpPort = httpPort;
    this.options = options;
  }

  static async start(options: ServerOptions = {}): Promise<ServerProcess> {
    const dataDir = options.dataDir ?? join(mkdtempSync(join(tmpdir(), "sealpoint-e2e-")), "data");
    // Asked for side by side, so that they differ.
    const [grpcPort, httpPort] = await Promise.all([freePort(), freePort()]);
    const server = new ServerProcess(dataDir, grpcPort, httpPort, options);
    await server.restart();
    return server;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  get address(): string {
    return `127.0.0.1:${this.grpcPort}`;
  }

  async restart(): Promise<void> {
    const args = ["serve", "--data-dir", this.dataDir, "--grpc-port", String(this.grpcPort)];
    args.push("--http-port", String(this.httpPort), "--log-level", this.options.logLevel ?? "info");
    const child = spawn(process.execPath, [this.options.launcher ?? launcher, ...args], {
      env: { ...process.env, SEALPOINT_RPC_THREADS: String(rpcThreads()), ...this.options.env },
    });
    this.child = child;
    const from = this.log.length;
    const collect = (part: Buffer) => {
      this.log += part.toString();
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    // A machine that does much else may take its time.
    for (let i = 0; i < 2_400; i++) {
      if (this.log.slice(from).includes(`gRPC   ${this.address}`)) return;
      if (child.exitCode !== null) break;
      await sleep(25);
    }
    throw new Error(`the server did not start: ${this.log.slice(from)}`);
  }

  /** A call over REST. Text and bytes are sent as they are, anything else as JSON; `json` is the answer's text where that is none. */
  async rest(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
    // biome-ignore lint/suspicious/noExplicitAny: answers are looked into, member by member
  ): Promise<{ code: number; text: string; json: any; headers: Headers }> {
    const sent =
      body instanceof Uint8Array ? Buffer.from(body) : typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(`http://127.0.0.1:${this.httpPort}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: sent }),
    });
    const text = await response.text();
    const json = text.startsWith("{") ? JSON.parse(text) : text;
    return { code: response.status, text, json, headers: response.headers };
  }

  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once("close", resolve));
    child.kill(signal);
    await closed;
  }

  /** Ends it in order, so that a fault at the end shows, and removes its folder. */
  async stop(): Promise<void> {
    await this.kill("SIGTERM");
    const code = this.child?.exitCode;
    rmSync(dirname(this.dataDir), { recursive: true, force: true });
    if (code !== 0 && this.child?.signalCode !== "SIGKILL")
      throw new Error(`the server ended with ${code}: ${this.log}`);
  }
}

export interface Bidi<I extends DescMessage, O extends DescMessage> {
  /** False when the transport wants the sender to wait. */
  send(message: MessageInitShape<I>): boolean;
  end(): void;
  cancel(): void;
  /** Stops reading at the transport, so that answers pile up at the server. */
  pause(): void;
  resume(): void;
  /** The next answer; throws the stream's error, undefined at its end. */
  next(): Promise<MessageShape<O> | undefined>;
}

export type Call = ReturnType<typeof connectTo>;

export function connectTo(address: string, headers: Record<string, string> = {}) {
  // A pool of its own: a killed server's connection is not shared with the next client.
  const channel = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 200,
  };
  const clients = Array.from(
    { length: connections() },
    () => new Client(address, credentials.createInsecure(), channel),
  );
  let turn = 0;
  const nextClient = (): Client => clients[turn++ % clients.length] as Client;

  function metadataOf(more: Record<string, string>): Metadata {
    const metadata = new Metadata();
    for (const [key, value] of Object.entries({ ...headers, ...more })) metadata.set(key, value);
    return metadata;
  }

  function reader<O extends DescMessage>(schema: O, call: ClientReadableStream<Buffer>) {
    // A stream that was cancelled before anybody read emits its error at once.
    call.on("error", () => undefined);
    let iterator: AsyncIterator<Buffer> | undefined;
    return async (): Promise<MessageShape<O> | undefined> => {
      iterator ??= call[Symbol.asyncIterator]();
      const { done, value } = await iterator.next();
      return done === true ? undefined : fromBinary(schema, value as Buffer);
    };
  }

  return {
    raw: clients[0] as Client,
    call<I extends DescMessage, O extends DescMessage>(
      method: Method<I, O>,
      request: MessageInitShape<I>,
      more: Record<string, string> = {},
    ): Promise<MessageShape<O>> {
      const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
      return new Promise((resolve, reject) => {
        const done = (error: ServiceError | null, answer?: Buffer) =>
          error === null ? resolve(fromBinary(method.output, answer as Buffer)) : reject(error);
        nextClient().makeUnaryRequest(pathOf(method), identity, identity, bytes, metadataOf(more), done);
      });
    },
    callBytes(method: DescMethod, bytes: Uint8Array): Promise<Buffer> {
      return new Promise((resolve, reject) => {
        nextClient().makeUnaryRequest(pathOf(method), identity, identity, Buffer.from(bytes), (error, answer) =>
          error === null ? resolve(answer as Buffer) : reject(error),
        );
      });
    },
    bidi<I extends DescMessage, O extends DescMessage>(method: Method<I, O>): Bidi<I, O> {
      const call = nextClient().makeBidiStreamRequest(pathOf(method), identity, identity, metadataOf({}));
      const next = reader(method.output, call);
      return {
        send: (message) => call.write(Buffer.from(toBinary(method.input, create(method.input, message)))),
        end: () => void call.end(),
        cancel: () => call.cancel(),
        pause: () => void call.pause(),
        resume: () => void call.resume(),
        next,
      };
    },
    download<I extends DescMessage, O extends DescMessage>(
      method: Method<I, O>,
      request: MessageInitShape<I>,
      options: CallOptions = {},
    ) {
      const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
      const call = nextClient().makeServerStreamRequest(
        pathOf(method),
        identity,
        identity,
        bytes,
        metadataOf({}),
        options,
      );
      return { next: reader(method.output, call), cancel: () => call.cancel() };
    },
    close() {
      for (const client of clients) client.close();
    },
  };
}

export interface Failure {
  readonly code: number;
  readonly details: string;
  /** `field` of the answer's google.rpc.ErrorInfo, when it has one. */
  readonly info: string;
}

export async function failure(promise: Promise<unknown>): Promise<Failure> {
  const error = await promise.then(
    () => {
      throw new Error("it was accepted");
    },
    (thrown: ServiceError) => thrown,
  );
  if (typeof error.code !== "number") throw error;
  const info = (error.metadata?.get("grpc-status-details-bin") ?? []).map((bytes) => bytes.toString("latin1")).join("");
  return { code: error.code, details: error.details, info };
}
