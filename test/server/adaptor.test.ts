import { connect as connectHttp2 } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, type ClientDuplexStream, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import {
  bidiStream,
  clientStream,
  type GrpcServer,
  rawBidi,
  rawServerStream,
  rawUnary,
  serverStream,
  unary,
  unimplemented,
} from "../../src/api/grpc/index.ts";
import { badInput, DomainError } from "../../src/core/index.ts";
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

describe("call kinds over a socket", () => {
  test("unary, typed and raw", async () => {
    const client = await start({
      one: unary(async (request: Echo) => ({ text: request.text.toUpperCase(), number: request.number + 1 })),
    });
    const { bytes } = await callUnary(client, paths.one, encode({ text: "abc", number: 4 }));
    expect(decode(bytes)).toMatchObject({ text: "ABC", number: 5 });
    server?.forceClose();
    const raw = await start({ one: rawUnary(async (request) => Buffer.concat([request, encode({ number: 9 })])) });
    expect(decode((await callUnary(raw, paths.one, encode({ text: "x" }))).bytes)).toMatchObject({
      text: "x",
      number: 9,
    });
    // An empty message is no message to grpc-js unless it is boxed.
    expect(decode((await callUnary(raw, paths.one, new Uint8Array())).bytes)).toMatchObject({ number: 9 });
  });

  test("server stream, typed and raw", async () => {
    const down = serverStream(async function* (request: Echo) {
      for (let i = 0; i < request.number; i++) yield { number: i };
    });
    const client = await start({ down: down });
    const { messages, outcome } = await collect(openDown(client, paths.down, encode({ number: 100 })));
    expect(outcome.code).toBe(status.OK);
    expect(messages.map((message) => message.number)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    server?.forceClose();
    const raw = await start({
      down: rawServerStream(async function* (request) {
        yield request;
        yield request;
      }),
    });
    expect((await collect(openDown(raw, paths.down, encode({ text: "t" })))).messages).toHaveLength(2);
  });

  test("client stream", async () => {
    const up = clientStream(async (requests: AsyncIterable<Echo>) => {
      let number = 0;
      for await (const request of requests) number += request.number;
      return { number };
    });
    const client = await start({ up: up });
    const sum = await new Promise<Buffer>((resolve, reject) => {
      const identity = (bytes: Buffer) => bytes;
      const call = client.makeClientStreamRequest(paths.up, identity, identity, (error, value) =>
        error === null ? resolve(value as Buffer) : reject(error),
      );
      for (let i = 1; i <= 200; i++) call.write(Buffer.from(encode({ number: i })));
      call.end();
    });
    expect(decode(sum).number).toBe(20_100);
  });

  test("bidirectional: answers come before the requests end, and a handler may stop reading early", async () => {
    const both = bidiStream(async function* (requests: AsyncIterable<Echo>) {
      for await (const request of requests) {
        yield { number: request.number * 2 };
        if (request.number === 3) break;
      }
      yield { text: "enough" };
    });
    const client = await start({ both: both });
    const call = openBoth(client, paths.both);
    const answers = collect(call);
    for (const number of [1, 2, 3]) {
      call.write(Buffer.from(encode({ number })));
      await sleep(5);
    }
    const { messages, outcome } = await answers;
    expect(outcome.code).toBe(status.OK);
    expect(messages.map((message) => message.text || message.number)).toEqual([2, 4, 6, "enough"]);
  });

  test("raw bidirectional", async () => {
    const client = await start({
      both: rawBidi(async function* (requests) {
        for await (const request of requests) yield request;
      }),
    });
    const call = openBoth(client, paths.both);
    const answers = collect(call);
    for (let number = 0; number < 50; number++) call.write(Buffer.from(encode({ number })));
    call.end();
    const { messages } = await answers;
    expect(messages.map((message) => message.number)).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test("an unimplemented method says its name and what brings it", async () => {
    const client = await start({
      one: unimplemented("arrives with the second issue"),
      down: unimplemented("arrives later"),
    });
    const error = await failure(callUnary(client, paths.one, encode({})));
    expect(error.code).toBe(status.UNIMPLEMENTED);
    expect(error.details).toBe("test.EchoService/One arrives with the second issue");
    expect((await collect(openDown(client, paths.down, encode({})))).outcome).toMatchObject({
      code: status.UNIMPLEMENTED,
      details: "test.EchoService/Down arrives later",
    });
  });
});

describe("errors", () => {
  test("a domain error carries its status, field, reason and retry-after", async () => {
    const client = await start({
      one: unary(async () => {
        throw new DomainError("rate_limited", "slow down", {
          details: { reason: "TooFast", field: "points[3]", retryAfterSeconds: 1.2 },
        });
      }),
    });
    const error = await failure(callUnary(client, paths.one, encode({})));
    expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(error.metadata.get("retry-after")).toEqual(["2"]);
    const details = (error.metadata.get("grpc-status-details-bin")[0] as Buffer).toString("latin1");
    for (const part of ["google.rpc.ErrorInfo", "TooFast", "sealpoint.dev", "field", "points[3]"])
      expect(details).toContain(part);
  });

  test("a foreign throw is hidden behind a request id, from unary and from streams", async () => {
    const lines: string[] = [];
    const { pino } = await import("pino");
    const log = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
    const broken = () => {
      throw new TypeError("secret internals");
    };
    const client = await start(
      {
        one: unary(async () => broken()),
        down: serverStream(async function* () {
          yield { number: 1 };
          broken();
        }),
      },
      { log },
    );
    const error = await failure(callUnary(client, paths.one, encode({})));
    expect(error.code).toBe(status.INTERNAL);
    expect(error.details).toMatch(/^internal error \(request \S+\)$/);
    const id = /request (\S+)\)/.exec(error.details)?.[1] as string;
    expect(lines.some((line) => line.includes(id) && line.includes("secret internals"))).toBe(true);
    const { messages, outcome } = await collect(openDown(client, paths.down, encode({})));
    expect(messages).toHaveLength(1);
    expect(outcome).toMatchObject({ code: status.INTERNAL });
    expect(outcome.details).not.toContain("secret");
  });

  test("malformed protobuf is the caller's fault and names the message", async () => {
    const client = await start({
      one: unary(async () => ({})),
      both: bidiStream(async function* (requests) {
        for await (const r of requests) yield r as Echo;
      }),
    });
    for (const bytes of [Buffer.from([0xff]), Buffer.from([0x0a, 0x7f, 0x01]), Buffer.from([0x0a, 0x02, 0xc3, 0x28])]) {
      const error = await failure(callUnary(client, paths.one, bytes));
      expect(error.code).toBe(status.INVALID_ARGUMENT);
      expect(error.details).toContain("malformed test.Echo");
    }
    const call = openBoth(client, paths.both);
    const answers = collect(call);
    call.write(Buffer.from([0xff]));
    expect((await answers).outcome).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test("texts that break an HTTP/2 header do not break the server", async () => {
    const client = await start({
      one: unary(async ({ number }: Echo) => {
        throw badInput(number === 1 ? "lone \ud800 surrogate" : `"é".repeat ${"é".repeat(200_000)}`, "text\u0000");
      }),
    });
    expect((await failure(callUnary(client, paths.one, encode({ number: 1 })))).code).toBe(status.INVALID_ARGUMENT);
    expect((await failure(callUnary(client, paths.one, encode({ number: 2 })))).code).toBe(status.INVALID_ARGUMENT);
  });
});

describe("back-pressure, cancellation, deadlines", () => {
  test("a slow reader holds the handler", async () => {
    let made = 0;
    let cleaned = false;
    await start({
      down: rawServerStream(async function* () {
        try {
          for (;;) {
            made += 1;
            yield encode({ blob: Buffer.alloc(64 * 1024) });
          }
        } finally {
          cleaned = true;
        }
      }),
    });
    // A bare HTTP/2 client that never reads.
    const session = connectHttp2(`http://127.0.0.1:${server?.port}`);
    const stream = session.request({
      ":method": "POST",
      ":path": paths.down,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => undefined);
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    let before = -1;
    while (made !== before) {
      before = made;
      await sleep(300);
    }
    // Windows, the transport's buffers and ours: a few megabytes, not all of memory.
    expect(before).toBeLessThan(200);
    stream.close(8);
    await expect.poll(() => cleaned).toBe(true);
    session.destroy();
  });

  test("a slow handler holds the writer", async () => {
    let seen = 0;
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const client = await start({
      both: rawBidi(async function* (requests) {
        for await (const _ of requests) {
          seen += 1;
          if (seen === 2) await held;
        }
        yield encode({ number: seen });
      }),
    });
    const call = openBoth(client, paths.both) as ClientDuplexStream<Buffer, Buffer>;
    const answers = collect(call);
    const message = Buffer.from(encode({ blob: Buffer.alloc(1024 * 1024) }));
    let handed = 0;
    for (let i = 0; i < 40; i++) call.write(message, () => handed++);
    call.end();
    await expect.poll(() => seen).toBe(2);
    await sleep(500);
    expect(seen).toBe(2);
    expect(handed).toBeLessThan(20);
    release();
    const { messages } = await answers;
    expect(messages[0]?.number).toBe(40);
  });

  test("cancelling reaches the signal, the request iterator and the handler's finally", async () => {
    const seen: string[] = [];
    const client = await start({
      both: rawBidi(async function* (requests, call) {
        call.signal.addEventListener("abort", () => seen.push("signal"));
        try {
          for await (const request of requests) yield request;
        } catch (error) {
          seen.push((error as DomainError).kind);
          throw error;
        } finally {
          seen.push("finally");
        }
      }),
      one: unary(async (_request: unknown, call) => {
        seen.push("entered");
        await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
        seen.push("unary");
        return {};
      }),
    });
    const call = openBoth(client, paths.both);
    call.on("error", () => undefined);
    call.write(Buffer.from(encode({ number: 1 })));
    await new Promise((resolve) => call.once("data", resolve));
    call.cancel();
    await expect.poll(() => [...seen].sort()).toEqual(["cancelled", "finally", "signal"]);
    const identity = (bytes: Buffer) => bytes;
    const one = client.makeUnaryRequest(paths.one, identity, identity, Buffer.alloc(0), () => undefined);
    await expect.poll(() => seen).toContain("entered");
    one.cancel();
    await expect.poll(() => seen).toContain("unary");
  });

  test("deadlines end unary calls and stalled streams, and say so to the handler", async () => {
    const kinds: string[] = [];
    const client = await start({
      one: unary(async (_request: unknown, call) => {
        await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
        kinds.push((call.signal.reason as DomainError).kind);
        return {};
      }),
      down: rawServerStream(async function* (_request, call) {
        try {
          for (;;) yield encode({ blob: Buffer.alloc(64 * 1024) });
        } finally {
          kinds.push(`${(call.signal.reason as DomainError).kind} stream`);
        }
      }),
    });
    const error = await failure(callUnary(client, paths.one, encode({}), undefined, { deadline: Date.now() + 100 }));
    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
    // The client gives up at the same moment: whichever the server sees first.
    await expect.poll(() => kinds.length).toBe(1);
    expect(["timeout", "cancelled"]).toContain(kinds[0]);
    // A bare HTTP/2 client that never reads nor cancels: only the server can end this one.
    const session = connectHttp2(`http://127.0.0.1:${server?.port}`);
    const stream = session.request({
      ":method": "POST",
      ":path": paths.down,
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-timeout": "200m",
    });
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    stream.on("error", () => undefined);
    await expect.poll(() => kinds[1], { timeout: 5000 }).toBe("timeout stream");
    session.destroy();
  });

  test("a vanished peer frees its stream", async () => {
    let cleaned = false;
    await start({
      both: rawBidi(async function* (requests) {
        try {
          for await (const request of requests) yield request;
        } finally {
          cleaned = true;
        }
      }),
    });
    const session = connectHttp2(`http://127.0.0.1:${server?.port}`);
    session.on("error", () => undefined);
    const stream = session.request({
      ":method": "POST",
      ":path": paths.both,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => undefined);
    stream.write(Buffer.from([0, 0, 0, 0, 2, 0x10, 1]));
    await new Promise((resolve) => stream.once("data", resolve));
    session.socket.destroy();
    await expect.poll(() => cleaned).toBe(true);
  });
});
