/**
 * A server with four RPC threads: what one thread acknowledged every other one sees, a policy holds on all of them at once, and what the
 * process has only once (sessions, streams, metrics, its end) is one. SEALPOINT_THREADS_SEED repeats a run.
 */

import { spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { SealingMode } from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { Ingest, ScrollRequestSchema } from "../../gen/sealpoint/v1/ingest_pb.js";
import { Sealing } from "../../gen/sealpoint/v1/sealing_pb.js";
import { byIds, dense, enable, integer, keyword, makeCollection, num, text } from "../e2e/messages.ts";
import { addonBuilt, type Call, connectTo, failure, root, ServerProcess } from "../e2e/server-process.ts";
import { temporaryFolder } from "../engine/support.ts";
import { clientPerThread, env, threads } from "./support.ts";

const { upsert, get, count, scroll, setPayload } = Points.method;

const seed = Number(process.env.SEALPOINT_THREADS_SEED ?? randomInt(2 ** 31));
let state = seed;
/** A whole number below `end`. */
function random(end: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * end);
}

describe.skipIf(!addonBuilt)("four RPC threads", () => {
  let server: ServerProcess;
  let clients: Call[];

  beforeAll(async () => {
    console.info(`seed ${seed}`);
    server = await ServerProcess.start({ logLevel: "debug", env });
    clients = [...(await clientPerThread(server)).values()];
  });
  afterAll(async () => {
    for (const client of clients ?? []) client.close();
    await server?.stop();
  });

  const point = (id: number, version: number) => ({
    id: num(id),
    vectors: dense(id, version),
    payload: { version: integer(version), secret: text("plain") },
  });

  test("what a write acknowledged every later read on any thread sees", async () => {
    const collectionName = await makeCollection(clients[0] as Call);
    const ids = 8;
    // What was acknowledged, and what was begun: a read must lie between the first when it began and the second when it ended.
    const acknowledged = new Array<number>(ids).fill(0);
    const begun = new Array<number>(ids).fill(0);
    let writing = true;
    let reads = 0;

    async function write(id: number): Promise<void> {
      for (let version = 1; version <= 60; version++) {
        const client = clients[random(threads)] as Call;
        begun[id] = version;
        if (version === 1 || random(2) === 0) {
          await client.call(upsert, { collectionName, wait: true, points: [point(id, version)] });
        } else {
          const payload = { version: integer(version) };
          await client.call(setPayload, { collectionName, wait: true, pointsSelector: byIds(id), payload });
        }
        acknowledged[id] = version;
      }
    }
    async function read(client: Call): Promise<void> {
      while (writing) {
        const id = random(ids);
        const least = acknowledged[id] as number;
        const whole = random(3) === 0;
        const found = whole
          ? await client.call(scroll, { collectionName, limit: ids, withPayload: enable })
          : await client.call(get, { collectionName, ids: [num(id)], withPayload: enable });
        const one = found.result.find((each) => each.id?.pointIdOptions.value === BigInt(id));
        const version = Number(one?.payload.version?.kind.value ?? 0);
        expect(version).toBeGreaterThanOrEqual(least);
        expect(version).toBeLessThanOrEqual(begun[id] as number);
        reads++;
      }
    }
    const readers = clients.flatMap((client) => [read(client), read(client)]);
    // Each id has one writer, which goes through any thread, so that its versions have an order.
    await Promise.all(Array.from({ length: ids }, (_, id) => write(id)));
    writing = false;
    await Promise.all(readers);
    expect(reads).toBeGreaterThan(50);
  });

  test("no plaintext is acknowledged once a thread has set the policy", async () => {
    for (let round = 0; round < 5; round++) {
      const collectionName = await makeCollection(clients[0] as Call);
      let changed = false;
      let stop = false;
      let [before, refused, late] = [0, 0, 0];
      const write = async (client: Call, lane: number): Promise<void> => {
        for (let n = 0; !stop; n++) {
          const afterChange = changed;
          try {
            await client.call(upsert, { collectionName, wait: true, points: [point(lane * 100_000 + n, n)] });
            if (afterChange) late++;
            else before++;
          } catch {
            refused++;
          }
        }
      };
      const writers = clients.flatMap((client, i) => [write(client, 2 * i), write(client, 2 * i + 1)]);
      while (before < 30) await sleep(random(5));
      const setter = clients[random(threads)] as Call;
      const policy = { mode: SealingMode.REQUIRED };
      await setter.call(Sealing.method.setPolicy, { collectionName, policy } as never);
      changed = true;
      const { result } = await (clients[random(threads)] as Call).call(count, { collectionName, exact: true });
      while (refused < 40) await sleep(5);
      stop = true;
      await Promise.all(writers);
      expect(late).toBe(0);
      // And what was counted right after the change is all there ever is.
      const last = await setter.call(count, { collectionName, exact: true });
      expect(last.result?.count).toBe(result?.count);
    }
  });

  test("no thread judges a filter by a policy that another one changed", async () => {
    const filter = { must: [keyword("secret", "plain")] };
    for (let round = 0; round < 20; round++) {
      const collectionName = await makeCollection(clients[0] as Call);
      await clients[0]?.call(upsert, { collectionName, wait: true, points: [point(1, 1)] });
      const ask = (client: Call) => client.call(count, { collectionName, filter, exact: true });
      for (const client of clients) expect((await ask(client)).result?.count).toBe(1n);
      const setter = clients[random(threads)] as Call;
      await setter.call(Sealing.method.setPolicy, { collectionName, policy: { mode: SealingMode.REQUIRED } } as never);
      const failures = await Promise.all(clients.map((client) => failure(ask(client))));
      expect(failures.map(({ info }) => info)).toEqual(
        clients.map(() => expect.stringMatching(/FieldIsSealed|secret/)),
      );
    }
  });

  test("a newer connection on another thread ends the stream of the older one", async () => {
    const collectionName = await makeCollection(clients[0] as Call);
    const start = { message: { case: "start" as const, value: { collectionName, streamId: "s" } } };
    const chunk = (sequence: number) => ({
      message: { case: "chunk" as const, value: { sequence: BigInt(sequence), points: [point(sequence, sequence)] } },
    });
    let older = clients[0]?.bidi(Ingest.method.bulkUpsert);
    older?.send(start);
    await older?.next();
    for (let sequence = 1; sequence <= 12; sequence++) {
      older?.send(chunk(sequence));
      expect((await older?.next())?.message).toMatchObject({ case: "ack", value: { sequence: BigInt(sequence) } });
      const newer = clients[sequence % threads]?.bidi(Ingest.method.bulkUpsert);
      newer?.send(start);
      expect((await newer?.next())?.message).toMatchObject({ value: { lastAppliedSequence: BigInt(sequence) } });
      const ended = await failure(older?.next() as Promise<unknown>);
      expect(ended).toMatchObject({ code: status.ABORTED, details: expect.stringContaining("took this stream over") });
      older = newer;
    }
    older?.end();
    expect(await older?.next()).toBeUndefined();
    const { result } = await (clients[3] as Call).call(count, { collectionName, exact: true });
    expect(result?.count).toBe(12n);
  });

  test("metrics add up all threads; ids of requests name one call", async () => {
    const read = async () => (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
    const figure = (body: string, name: string) => Number(body.split(`${name} `)[1]?.split("\n")[0] ?? 0);
    const calls = 'sealpoint_grpc_requests_total{method="/qdrant.Points/Count",code="NOT_FOUND"}';
    const durations = 'sealpoint_grpc_request_duration_seconds_count{method="/qdrant.Points/Count"}';
    const before = await read();
    for (const client of clients) await failure(client.call(count, { collectionName: "nowhere" }));
    const after = await read();
    expect(figure(after, calls) - figure(before, calls)).toBe(threads);
    expect(figure(after, durations) - figure(before, durations)).toBe(threads);
    for (const thread of ["main", "rpc-1", "rpc-4"]) {
      expect(after).toContain(`sealpoint_event_loop_delay_max_seconds{thread="${thread}"}`);
    }
    const ids = [...server.log.matchAll(/"requestId":"([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe.skipIf(!addonBuilt)("the end of a server with four RPC threads", () => {
  test("a signal drains every thread, and nothing acknowledged is lost", async () => {
    const server = await ServerProcess.start({ logLevel: "debug", env });
    const clients = [...(await clientPerThread(server)).values()];
    const collectionName = await makeCollection(clients[0] as Call);
    const acknowledged: number[] = [];
    const codes = new Set<number>();
    const write = async (client: Call, lane: number): Promise<void> => {
      for (let n = 1; ; n++) {
        const id = lane * 10_000 + n;
        const call = client.call(upsert, {
          collectionName,
          wait: true,
          points: [{ id: num(id), vectors: dense(1, 2) }],
        });
        const code = await call.then(
          () => status.OK,
          (error: { code: number }) => error.code,
        );
        if (code !== status.OK) {
          codes.add(code);
          return;
        }
        acknowledged.push(id);
      }
    };
    const streams = clients.map((client, i) => {
      const stream = client.bidi(Ingest.method.bulkUpsert);
      stream.send({ message: { case: "start", value: { collectionName, streamId: `s${i}` } } });
      return stream;
    });
    for (const stream of streams) expect((await stream.next())?.message.case).toBe("started");
    const writers = clients.map(write);
    while (acknowledged.length < 40) await sleep(5);
    const killed = server.kill("SIGTERM");
    const ends = await Promise.all(streams.map((stream) => failure(stream.next())));
    expect(ends.map(({ code }) => code)).toEqual(streams.map(() => status.UNAVAILABLE));
    await Promise.all(writers);
    await killed;
    expect([...codes]).toEqual([status.UNAVAILABLE]);
    expect(server.log).toContain('"cut":false');
    for (const client of clients) client.close();

    await server.restart();
    const client = connectTo(server.address);
    const found = await client.call(get, { collectionName, ids: acknowledged.map((id) => num(id)) });
    expect(found.result).toHaveLength(acknowledged.length);
    client.close();
    await server.stop();
  });

  test("a second signal cuts what will not end", async () => {
    const server = await ServerProcess.start({ logLevel: "debug", env });
    const clients = [...(await clientPerThread(server)).values()];
    const collectionName = await makeCollection(clients[0] as Call);
    // Random, or it would be packed into what a client takes in without reading; and much, for it takes in some megabytes.
    for (let first = 0; first < 8_000; first += 2_000) {
      const points = Array.from({ length: 2_000 }, (_, i) => ({
        id: num(first + i),
        vectors: dense(1, 2),
        payload: { words: text(randomBytes(8_000).toString("hex")) },
      }));
      await clients[0]?.call(upsert, { collectionName, wait: true, points });
    }
    // Answers that nobody reads keep their calls open.
    const unread = clients.map((client) => client.bidi(Ingest.method.bulkUpsert));
    const downloads = clients.map((client) =>
      client.raw.makeServerStreamRequest(
        "/sealpoint.v1.Ingest/Scroll",
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.from(
          toBinary(
            ScrollRequestSchema,
            create(ScrollRequestSchema, { collectionName, withPayload: enable, pageSize: 16 }),
          ),
        ),
      ),
    );
    for (const download of downloads) download.on("error", () => undefined).pause();
    for (const stream of unread) stream.next().catch(() => undefined);
    await expect.poll(() => metricOf(server, "Ingest/Scroll")).toBe(threads);
    const killed = server.kill("SIGTERM");
    const startedMs = performance.now();
    await sleep(1_000);
    expect(server.log).not.toContain('"stopped"');
    await server.kill("SIGTERM");
    await killed;
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    expect(server.log).toContain("second signal");
    expect(server.log).toContain('"msg":"stopped"');
    for (const client of clients) client.close();
    await server.stop();
  });

  test.each([
    ["throws", "post.call(worker, 5)"],
    ["ends", "worker.terminate()"],
  ])("a thread that %s takes the whole process with it, code 70", async (_, deed) => {
    const folder = temporaryFolder();
    const script = `
      import { Worker } from "node:worker_threads";
      import { readConfig } from ${JSON.stringify(join(root, "src/ops/index.ts"))};
      import { runServer } from ${JSON.stringify(join(root, "src/main.ts"))};
      const post = Worker.prototype.postMessage;
      let worker;
      Worker.prototype.postMessage = function (...args) { worker = this; return post.apply(this, args); };
      process.stdin.once("data", () => ${deed});
      await runServer({ config: readConfig(process.env), files: [], ignored: [] });`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      env: {
        ...process.env,
        ...env,
        SEALPOINT_DATA_DIR: folder.path,
        SEALPOINT_GRPC_PORT: "0",
        SEALPOINT_HTTP_PORT: "0",
      },
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (part) => {
        said += String(part);
      });
    }
    const closed = once(child, "close");
    await expect.poll(() => said, { timeout: 25_000 }).toContain('"serving"');
    child.stdin.write("now");
    const [code] = await closed;
    expect([code, said]).toEqual([70, expect.stringContaining("uncaught exception")]);
    folder.remove();
  });
});

async function metricOf(server: ServerProcess, method: string): Promise<number> {
  const body = await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
  const name = `sealpoint_grpc_requests_in_flight{method="/sealpoint.v1.${method}"} `;
  return Number(body.split(name)[1]?.split("\n")[0] ?? 0);
}
