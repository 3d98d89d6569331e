import { connect as connectHttp2 } from "node:http2";
import { gzipSync } from "node:zlib";
import { type Client, Metadata, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { type GrpcServer, rawBidi, rawUnary, serverStream } from "../../src/api/grpc/index.ts";
import { createAuthenticator } from "../../src/ops/index.ts";
import {
  callUnary,
  collect,
  connect,
  decode,
  type Echo,
  type EchoTable,
  encode,
  failure,
  openBoth,
  openDown,
  paths,
  startEcho,
} from "./echo-service.ts";

let server: GrpcServer | undefined;
const clients: Client[] = [];

async function start(table: Partial<EchoTable>, options = {}, clientOptions = {}): Promise<Client> {
  server = await startEcho(table, options);
  const client = connect(server.port, clientOptions);
  clients.push(client);
  return client;
}

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  server?.forceClose();
  server = undefined;
});

const limits = { messageBytesMax: 64 * 1024 * 1024, drainSecondsMax: 20 };

describe("large, compressed and unauthenticated messages", () => {
  test("a message over the limit is refused and the server goes on", async () => {
    const client = await start(
      { one: rawUnary(async (request) => encode({ number: request.byteLength })) },
      { limits },
    );
    const error = await failure(callUnary(client, paths.one, Buffer.alloc(100 * 1024 * 1024)));
    expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(decode((await callUnary(client, paths.one, encode({ text: "still here" }))).bytes).number).toBeGreaterThan(
      0,
    );
  });

  test("a message of 40 MB passes both ways", async () => {
    const client = await start({ one: rawUnary(async (request) => request) }, { limits });
    const blob = Buffer.alloc(40 * 1024 * 1024, 7);
    expect(decode((await callUnary(client, paths.one, encode({ blob }))).bytes).blob.byteLength).toBe(blob.byteLength);
  });

  test("gzip both ways: what came compressed is answered compressed", async () => {
    const client = await start(
      {
        one: rawUnary(async (request) => request),
        down: serverStream(async function* (request: Echo) {
          yield { text: "small" };
          yield request;
        }),
      },
      {},
      { "grpc.default_compression_algorithm": 2 },
    );
    const text = "compress me ".repeat(10_000);
    const { bytes, headers } = await callUnary(client, paths.one, encode({ text }));
    expect(decode(bytes).text).toBe(text);
    // grpc-js takes grpc-encoding out of what the client's application sees, so the wire itself is looked at below.
    expect(headers).toBeDefined();
    const { messages } = await collect(openDown(client, paths.down, encode({ text })));
    expect(messages.map((message) => message.text)).toEqual(["small", text]);

    const wire = await rawCall(server?.port as number, paths.one, gzipSync(encode({ text })), true);
    expect(wire.headers["grpc-encoding"]).toBe("gzip");
    expect(wire.body[0]).toBe(1);
    expect(wire.body.byteLength).toBeLessThan(10_000);
    const plain = await rawCall(server?.port as number, paths.one, Buffer.from(encode({ text })), false);
    expect(plain.headers["grpc-encoding"]).toBe("identity");
    expect(plain.body[0]).toBe(0);
  });

  test("a gzip bomb is refused", async () => {
    const client = await start(
      { one: rawUnary(async (request) => request) },
      { limits: { ...limits, messageBytesMax: 1024 * 1024 } },
    );
    const wire = await rawCall(server?.port as number, paths.one, gzipSync(Buffer.alloc(64 * 1024 * 1024)), true);
    expect(wire.trailers["grpc-status"] ?? wire.headers["grpc-status"]).toBe(String(status.RESOURCE_EXHAUSTED));
    expect((await callUnary(client, paths.one, encode({ text: "a" }))).bytes.byteLength).toBeGreaterThan(0);
  });

  test("API keys: either header, constant answers, health stays open", async () => {
    const key = "correct-horse-battery";
    const client = await start(
      { one: rawUnary(async (request) => request), both: rawBidi((requests) => requests) },
      { authenticator: createAuthenticator({ apiKeys: [key] }) },
    );
    const withHeader = (name: string, value: string) => {
      const metadata = new Metadata();
      metadata.set(name, value);
      return metadata;
    };
    expect((await failure(callUnary(client, paths.one, encode({})))).code).toBe(status.UNAUTHENTICATED);
    const wrong = await failure(callUnary(client, paths.one, encode({}), withHeader("api-key", "wrong")));
    expect(wrong.code).toBe(status.UNAUTHENTICATED);
    expect(wrong.details).not.toContain(key);
    expect(
      (await failure(callUnary(client, paths.one, encode({}), withHeader("authorization", `Basic ${key}`)))).code,
    ).toBe(status.UNAUTHENTICATED);
    await callUnary(client, paths.one, encode({}), withHeader("api-key", key));
    await callUnary(client, paths.one, encode({}), withHeader("authorization", `Bearer ${key}`));
    await callUnary(client, "/grpc.health.v1.Health/Check", new Uint8Array());
    expect((await collect(openBoth(client, paths.both))).outcome.code).toBe(status.UNAUTHENTICATED);
    const reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    expect((await collect(openBoth(client, reflection))).outcome.code).toBe(status.UNAUTHENTICATED);
  });
});

/** One unary call on bare HTTP/2, to see what is on the wire. */
async function rawCall(port: number, path: string, message: Buffer, compressed: boolean) {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...(compressed ? { "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" } : {}),
    });
    const prefix = Buffer.alloc(5);
    prefix.writeUInt8(compressed ? 1 : 0, 0);
    prefix.writeUInt32BE(message.byteLength, 1);
    stream.end(Buffer.concat([prefix, message]));
    const parts: Buffer[] = [];
    let headers: Record<string, unknown> = {};
    let trailers: Record<string, unknown> = {};
    stream.on("response", (received) => {
      headers = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("data", (part: Buffer) => parts.push(part));
    await new Promise((resolve, reject) => {
      stream.on("close", resolve);
      stream.on("error", reject);
    });
    return { headers, trailers, body: Buffer.concat(parts) };
  } finally {
    session.destroy();
  }
}
