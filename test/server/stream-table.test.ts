/** The table that takes the place of Node's Map of an HTTP/2 session's streams: it answers as a Map does, and Node works with it. */
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { replaceStreamTable, StreamTable } from "../../src/api/grpc/stream-table.ts";
import { makeRandom, seed } from "../wire/fuzz-support.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

test("it answers as a Map does, whatever comes and goes", () => {
  console.log(`seed ${seed}`);
  const random = makeRandom(seed);
  const table = new StreamTable<string>();
  const map = new Map<number, string>();
  for (let step = 0; step < 5_000; step++) {
    const id = 1 + 2 * Math.floor(random() * 40);
    if (random() < 0.5) {
      table.set(id, `${step}`);
      map.set(id, `${step}`);
    } else {
      expect(table.delete(id), `seed ${seed}`).toBe(map.delete(id));
    }
    expect(table.size).toBe(map.size);
    expect(table.get(id)).toBe(map.get(id));
    expect(table.has(id)).toBe(map.has(id));
  }
  const sorted = [...map].sort(([a], [b]) => a - b);
  expect([...table]).toEqual(sorted);
  const seen: [number, string][] = [];
  table.forEach((stream, id) => {
    // What is deleted meanwhile is passed by.
    if (seen.length === 0) for (const [next] of sorted.slice(1, 3)) table.delete(next);
    seen.push([id, stream]);
  });
  expect(seen).toEqual([sorted[0], ...sorted.slice(3)]);
  table.clear();
  expect([...table.keys()]).toEqual([]);
  expect(table.size).toBe(0);
});

interface Served {
  readonly client: http2.ClientHttp2Session;
  readonly session: http2.ServerHttp2Session;
  readonly table: StreamTable<unknown>;
}

async function serve(onStream: (stream: http2.ServerHttp2Stream) => void): Promise<Served> {
  const server = http2.createServer();
  const begun = once(server, "session");
  let replaced: boolean | undefined;
  server.on("session", (session) => {
    replaced = replaceStreamTable(session);
  });
  server.on("stream", onStream);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  client.on("error", () => undefined);
  closing.push(() => {
    client.destroy();
    server.close();
  });
  const [session] = (await begun) as [http2.ServerHttp2Session];
  // This Node has what is looked for; another one serves without it.
  expect(replaced).toBe(true);
  const state = Object.getOwnPropertySymbols(session).find(({ description }) => description === "state") as symbol;
  const { streams } = (session as unknown as Record<symbol, { streams: StreamTable<unknown> }>)[state] as {
    streams: StreamTable<unknown>;
  };
  expect(streams).toBeInstanceOf(StreamTable);
  return { client, session, table: streams };
}

async function ask(client: http2.ClientHttp2Session): Promise<string> {
  const stream = client.request({ ":path": "/", ":method": "POST" });
  stream.end("x");
  let text = "";
  for await (const chunk of stream) text += chunk;
  return text;
}

test("Node enters a session's streams in it, and removes them", async () => {
  const { client, session, table } = await serve((stream) => {
    stream.on("data", () => undefined);
    stream.on("end", () => stream.end("answer"));
  });
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(client)));
  expect(new Set(answers)).toEqual(new Set(["answer"]));
  await expect.poll(() => table.size).toBe(0);
  // With no stream left the session ends as soon as it is told to.
  const closed = once(session, "close");
  session.close();
  await closed;
});

test("a session that is destroyed closes the streams in it", async () => {
  const open: http2.ServerHttp2Stream[] = [];
  const { client, session, table } = await serve((stream) => {
    stream.on("error", () => undefined);
    open.push(stream);
  });
  for (let i = 0; i < 5; i++) {
    const stream = client.request({ ":path": "/", ":method": "POST" });
    stream.on("error", () => undefined);
  }
  await expect.poll(() => table.size).toBe(5);
  session.destroy();
  await expect.poll(() => open.every((stream) => stream.destroyed)).toBe(true);
});

test("what is not a new session is left alone", async () => {
  expect(replaceStreamTable({} as http2.Http2Session)).toBe(false);
  const { session } = await serve(() => undefined);
  expect(replaceStreamTable(session)).toBe(false);
});
