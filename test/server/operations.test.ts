import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Client, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { type GrpcServer, rawBidi, rawServerStream, rawUnary, unary } from "../../src/api/grpc/index.ts";
import { startRestServer } from "../../src/api/rest/index.ts";
import { badInput } from "../../src/core/index.ts";
import { createAuthenticator, createMetrics } from "../../src/ops/index.ts";
import { callUnary, connect, failure, openBoth, openDown, silentLog, startEcho } from "./echo-service.ts";

const run = promisify(execFile);
const grpcurl = join(import.meta.dirname, "../../.tools/bin/grpcurl");
const one = "/test.EchoService/One";
const both = "/test.EchoService/Both";
const watch = "/grpc.health.v1.Health/Watch";

let server: GrpcServer | undefined;
const clients: Client[] = [];

function client(): Client {
  const made = connect(server?.port as number);
  clients.push(made);
  return made;
}

afterEach(() => {
  for (const made of clients.splice(0)) made.close();
  server?.forceClose();
  server = undefined;
});

const echo = rawUnary(async (request) => request);

describe.skipIf(!existsSync(grpcurl))("reflection through grpcurl", () => {
  const ask = async (...args: string[]) => (await run(grpcurl, ["-plaintext", ...args])).stdout;

  test("lists, describes and calls without .proto files", async () => {
    server = await startEcho({ one: echo });
    const address = `127.0.0.1:${server.port}`;
    expect((await ask(address, "list")).split("\n").filter(Boolean)).toEqual([
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "test.EchoService",
    ]);
    expect(await ask(address, "describe", "test.EchoService.One")).toContain(
      "rpc One ( .test.Echo ) returns ( .test.Echo )",
    );
    expect(await ask(address, "describe", "test.Echo")).toContain("bytes blob = 3;");
    expect(JSON.parse(await ask("-d", '{"text":"hello"}', address, "test.EchoService/One"))).toEqual({ text: "hello" });
  });

  test("shows which field was at fault", async () => {
    server = await startEcho({
      one: unary(async () => {
        throw badInput("too long", "points[3].id");
      }),
    });
    const failed = await run(grpcurl, ["-plaintext", `127.0.0.1:${server.port}`, "test.EchoService/One"]).catch(
      (e) => e,
    );
    expect(failed.stderr).toContain("google.rpc.ErrorInfo");
    expect(failed.stderr).toContain('"field": "points[3].id"');
  });

  test("says what it does not know", async () => {
    server = await startEcho({});
    const error = await run(grpcurl, ["-plaintext", `127.0.0.1:${server.port}`, "describe", "test.Nothing"]).catch(
      (e) => e,
    );
    expect(`${error.stdout}${error.stderr}`).toContain("not found");
  });
});

describe("health", () => {
  const statuses = (stream: ReturnType<typeof openDown>): number[] => {
    const seen: number[] = [];
    stream.on("data", (bytes: Buffer) => seen.push(bytes[1] ?? 0));
    stream.on("error", () => undefined);
    return seen;
  };

  test("Check knows the server and its services, Watch follows changes and waits for unknown ones", async () => {
    server = await startEcho({});
    const call = client();
    const service = (name: string) => Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]);
    const check = "/grpc.health.v1.Health/Check";
    expect((await callUnary(call, check, Buffer.alloc(0))).bytes).toEqual(Buffer.from([8, 1]));
    expect((await callUnary(call, check, service("test.EchoService"))).bytes).toEqual(Buffer.from([8, 1]));
    expect((await failure(callUnary(call, check, service("nobody")))).code).toBe(status.NOT_FOUND);
    const known = statuses(openDown(call, watch, service("test.EchoService")));
    const unknown = statuses(openDown(call, watch, service("later")));
    await expect.poll(() => [known, unknown]).toEqual([[1], [3]]);
    server.health.set("test.EchoService", 2);
    server.health.set("later", 1);
    await expect
      .poll(() => [known, unknown])
      .toEqual([
        [1, 2],
        [3, 1],
      ]);
  });

  test("a watcher that goes away is forgotten", async () => {
    const metrics = createMetrics(String);
    server = await startEcho({}, { metrics });
    const stream = openDown(client(), watch, Buffer.alloc(0));
    const seen = statuses(stream);
    await expect.poll(() => seen).toEqual([1]);
    expect(await metrics.registry.metrics()).toContain(`requests_in_flight{method="${watch}"} 1`);
    stream.cancel();
    await expect.poll(() => metrics.registry.metrics()).toContain(`requests_in_flight{method="${watch}"} 0`);
    metrics.close();
  });
});

describe("shutdown", () => {
  test("calls in flight finish, streams end with UNAVAILABLE after what was sent is answered, new calls are refused", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const handled: number[] = [];
    server = await startEcho({
      one: unary(async () => {
        await held;
        return { text: "finished" };
      }),
      both: rawBidi(async function* (requests) {
        for await (const request of requests) {
          handled.push(request[1] ?? 0);
          yield request;
        }
      }),
    });
    const call = client();
    const slow = callUnary(call, one, Buffer.alloc(0));
    const stream = openBoth(call, both);
    const answers: Buffer[] = [];
    stream.on("data", (bytes: Buffer) => answers.push(bytes));
    stream.on("error", () => undefined);
    const ended = new Promise<number>((resolve) => stream.on("status", ({ code }) => resolve(code)));
    stream.write(Buffer.from([0x10, 1]));
    await expect.poll(() => answers.length).toBe(1);
    const watched = openDown(call, watch, Buffer.alloc(0));
    const seen: number[] = [];
    watched.on("data", (bytes: Buffer) => seen.push(bytes[1] ?? 0));
    watched.on("error", () => undefined);
    await expect.poll(() => seen).toEqual([1]);

    const drained = server.drain();
    expect(await ended).toBe(status.UNAVAILABLE);
    expect(handled).toEqual([1]);
    await expect.poll(() => seen).toEqual([1, 2]);
    const refused = connect(server.port);
    clients.push(refused);
    expect(
      (await failure(callUnary(refused, one, Buffer.alloc(0), undefined, { deadline: Date.now() + 2000 }))).code,
    ).not.toBe(status.OK);
    release();
    expect((await slow).bytes.toString()).toContain("finished");
    expect(await drained).toBe(true);
  });

  test("what does not end in time is cut, and its handler is told", async () => {
    let reason: unknown;
    let entered = false;
    server = await startEcho(
      {
        one: unary(async (_request, call) => {
          entered = true;
          await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
          reason = call.signal.reason;
          throw call.signal.reason;
        }),
        down: rawServerStream(async function* () {
          for (;;) {
            yield Buffer.from([0x10, 1]);
            await sleep(5);
          }
        }),
      },
      { limits: { messageBytesMax: 1024, drainSecondsMax: 0.3 } },
    );
    const call = client();
    const cut = failure(callUnary(call, one, Buffer.alloc(0)));
    const stream = openDown(call, "/test.EchoService/Down", Buffer.alloc(0));
    const flowing = new Promise((resolve) => stream.on("data", resolve));
    const streamCut = new Promise<number>((resolve) =>
      stream.on("error", (error) => resolve((error as never as { code: number }).code)),
    );
    await flowing;
    await expect.poll(() => entered).toBe(true);
    const begun = performance.now();
    expect(await server.drain()).toBe(false);
    expect(performance.now() - begun).toBeLessThan(2000);
    expect((await cut).code).toBe(status.UNAVAILABLE);
    expect(await streamCut).toBe(status.UNAVAILABLE);
    expect(reason).toMatchObject({ kind: "unavailable" });
  });
});

test("a prefix starts the names of all metrics", async () => {
  const metrics = createMetrics(String, undefined, "qdrant_");
  metrics.addGauges("sealpoint_test_gauge", "A figure\nof the test.", async () => [
    { labels: { name: "one\ntwo" }, value: 42 },
  ]);
  const text = await metrics.registry.metrics();
  expect(text).toContain("# TYPE qdrant_sealpoint_test_gauge gauge\nqdrant_sealpoint_test_gauge{");
  expect(text).toContain("# TYPE qdrant_process_cpu_user_seconds_total counter\n");
  for (const line of text.split("\n").filter((each) => each !== "")) {
    expect(line).toMatch(/^(?:# (?:HELP|TYPE) )?qdrant_/);
    expect(line).not.toContain("qdrant_qdrant_");
  }
  metrics.close();
});

describe("the HTTP port", () => {
  test("identity, health, readiness, metrics with a key, 404 in JSON", async () => {
    const metrics = createMetrics((code) => status[code] ?? String(code));
    let ready = false;
    const rest = await startRestServer({
      host: "127.0.0.1",
      port: 0,
      authenticator: createAuthenticator({ apiKeys: ["a-long-enough-key"] }),
      log: silentLog,
      ready: () => ready,
      metrics: metrics.registry,
    });
    const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${rest.port}${path}`, init);
    try {
      expect(await (await get("/")).json()).toMatchObject({
        title: "qdrant - vector search engine",
        version: "1.19.0",
      });
      expect((await get("/healthz")).status).toBe(200);
      expect((await get("/livez")).status).toBe(200);
      expect((await get("/readyz")).status).toBe(503);
      ready = true;
      expect((await get("/readyz?verbose")).status).toBe(200);
      metrics.onCallStart("/a.B/C");
      metrics.onCallEnd("/a.B/C", status.NOT_FOUND, 0.02);
      metrics.addGauge("sealpoint_test_gauge", "A figure of the test.", () => 42);
      expect((await get("/metrics")).status).toBe(401);
      const text = await (await get("/metrics", { headers: { authorization: "Bearer a-long-enough-key" } })).text();
      expect(text).toContain('sealpoint_grpc_requests_total{method="/a.B/C",code="NOT_FOUND"} 1');
      expect(text).toContain('sealpoint_grpc_request_duration_seconds_bucket{le="0.01",method="/a.B/C"} 0');
      expect(text).toContain('sealpoint_grpc_request_duration_seconds_bucket{le="0.025",method="/a.B/C"} 1');
      expect(text).toContain('sealpoint_grpc_request_duration_seconds_sum{method="/a.B/C"} 0.02');
      expect(text).toContain("sealpoint_test_gauge 42");
      expect(text).toMatch(/sealpoint_event_loop_delay_max_seconds \d/);
      const missing = await get("/nowhere", { headers: { "api-key": "a-long-enough-key" } });
      expect(missing.status).toBe(404);
      expect(await missing.text()).toContain("Not found");
      expect((await get("/healthz", { method: "POST" })).status).toBe(405);
    } finally {
      await rest.close();
      metrics.close();
    }
  });
});
