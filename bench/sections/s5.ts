/** S5: databases of 1,000 to 100,000 vectors from a portal on loopback into sessions, searched over gRPC; cold, cached, from the disk and with a slow portal. */
import { createCipheriv, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { blake3 } from "@noble/hashes/blake3.js";
import { connect } from "../../clients/typescript/src/index.ts";
import type { Bench, SectionResult } from "../bench.ts";
import { type Bar, table } from "../report.ts";
import type { BenchServer } from "../server.ts";

export const name = "s5";
export const title = "S5: encrypted databases from a portal on loopback";

const owner = "0xAbC0000000000000000000000000000000000001";
const dimensions = 384;
const chunkVectors = 1_000;
const delayMs = 200;

interface Source {
  readonly vector: (row: number) => number[];
  readonly query: (row: number) => number[];
  readonly payloads: readonly Record<string, unknown>[];
}

function halfToNumber(half: number): number {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return (half & 0x8000) === 0 ? size : -size;
}

function readSource(data: string): Source {
  const rows = (file: string) => {
    const bytes = readFileSync(join(data, file));
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    return (row: number) =>
      Array.from(halves.subarray(row * dimensions, (row + 1) * dimensions), (half) =>
        Number(halfToNumber(half).toFixed(6)),
      );
  };
  const text = gunzipSync(readFileSync(join(data, "payloads.jsonl.gz"))).toString("utf8");
  const payloads = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { vector: rows("vectors.f16"), query: rows("queries.f16"), payloads };
}

function base32(bytes: Uint8Array): string {
  let bits = 0;
  let value = 0;
  let text = "";
  const take = () => "abcdefghijklmnopqrstuvwxyz234567"[(value >> (bits - 5)) & 31];
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xffff;
    for (bits += 8; bits >= 5; bits -= 5) text += take();
  }
  if (bits > 0) {
    value <<= 5 - bits;
    bits = 5;
    text += take();
  }
  return text;
}

function seal(key: Uint8Array, text: string): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  return Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

/** In docs/s5.md's form, as the data set's README has it. */
function makeDatabase(dir: string, source: Source, count: number, key: Uint8Array, perChunk = chunkVectors): string {
  const folder = `home/vector-databases/${owner}/w${count}-${perChunk}`;
  mkdirSync(join(dir, folder), { recursive: true });
  const chunks: object[] = [];
  for (let first = 0; first < count; first += perChunk) {
    const chunkId = chunks.length;
    const vectors = source.payloads.slice(first, Math.min(first + perChunk, count)).map(({ id, ...metadata }, i) => ({
      id: String(id),
      vector: source.vector(first + i),
      metadata,
    }));
    const file = seal(key, JSON.stringify({ chunkId, vectors }));
    writeFileSync(join(dir, folder, `chunk-${chunkId}.json`), file);
    const size: number[] = [];
    for (let left = file.length; left > 0; left = Math.floor(left / 256)) size.push(left % 256);
    const cid = `b${base32(Buffer.concat([Buffer.from([0x5b, 0x82, 0x1e]), blake3(file), Buffer.from(size)]))}`;
    chunks.push({ chunkId, cid, vectorCount: vectors.length, sizeBytes: file.length, updatedAt: 1 });
  }
  const manifest = {
    name: `w${count}`,
    owner,
    dimensions,
    vectorCount: count,
    chunks,
    chunkCount: chunks.length,
    deleted: false,
  };
  writeFileSync(join(dir, folder, "manifest.json"), seal(key, JSON.stringify(manifest)));
  return `${folder}/manifest.json`;
}

/** A portal in this process; `delay()` milliseconds before each answer. */
async function startPortal(
  dir: string,
  delay: () => number,
): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer(async (request, response) => {
    if (request.url === "/health") {
      response.end("{}");
      return;
    }
    if (delay() > 0) await sleep(delay());
    response.end(readFileSync(join(dir, (request.url ?? "").replace("/s5/fs/", ""))));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

interface Loaded {
  /** Seconds from the request to the event. */
  readonly at: Readonly<Record<string, number>>;
  readonly peakMegabytes: number;
}

const agent = new Agent({ keepAlive: true });

interface Answered {
  readonly text: string;
  /** Seconds from the request to the event's arrival, or to the answer's end. */
  readonly at: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** As little of a client as can be, since its time counts too. */
function post(server: BenchServer, path: string, body: object): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const seconds = () => (performance.now() - begun) / 1_000;
    const at: Record<string, number> = {};
    const target = {
      agent,
      host: "127.0.0.1",
      port: server.httpPort,
      path: `/sealpoint/v1/s5/${path}`,
      method: "POST",
    };
    const sent = request(target, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        for (const [, event] of part.matchAll(/^event: (.*)$/gm)) at[event as string] ??= seconds();
        text += part;
      });
      response.on("end", () => resolve({ text, at, seconds: seconds() }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(JSON.stringify(body));
  });
}

async function load(server: BenchServer, order: object): Promise<Answered> {
  const loaded = await post(server, "load", order);
  if (loaded.at.index_ready === undefined) throw new Error(`the load failed: ${loaded.text.slice(-500)}`);
  return loaded;
}

/** A load, and the most memory that the server held during it. */
async function watched(server: BenchServer, order: object): Promise<Loaded> {
  let peakMegabytes = 0;
  const watch = setInterval(() => {
    peakMegabytes = Math.max(peakMegabytes, server.anonymousMegabytesNow());
  }, 50);
  try {
    const { at } = await load(server, order);
    return { at, peakMegabytes };
  } finally {
    clearInterval(watch);
  }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

interface Searched {
  /** Of the first search, and the mean of the others, by the server's own clock. */
  readonly firstMillis: number;
  readonly millis: number;
  readonly recall: number;
}

/** Over gRPC, one after the other. */
async function search(server: BenchServer, source: Source, sessionId: string, queries: number): Promise<Searched> {
  await using client = connect(`127.0.0.1:${server.grpcPort}`);
  const ask = async (row: number, exact: boolean): Promise<string[]> => {
    const { hits } = await client.s5.search({ sessionId, vector: source.query(row), k: 10, exact });
    return hits.map(({ id }) => id);
  };
  const method = "/sealpoint.v1.S5/Search";
  const walked: string[][] = [];
  const before = await server.grpcSeconds(method);
  walked.push(await ask(0, false));
  const first = await server.grpcSeconds(method);
  for (let row = 1; row < queries; row++) walked.push(await ask(row, false));
  const after = await server.grpcSeconds(method);
  let found = 0;
  for (let row = 0; row < queries; row++) {
    const exact = new Set(await ask(row, true));
    found += (walked[row] as string[]).filter((id) => exact.has(id)).length / 10;
  }
  return {
    firstMillis: (first.sum - before.sum) * 1_000,
    millis: ((after.sum - first.sum) / (after.count - first.count)) * 1_000,
    recall: found / queries,
  };
}

export async function run(bench: Bench): Promise<SectionResult> {
  const source = readSource(bench.data);
  const all = bench.documents === 0 ? source.payloads.length : Math.min(bench.documents, source.payloads.length);
  const sizes = [1_000, 10_000, 100_000].filter((size) => size <= all);
  const dir = mkdtempSync(join(process.env.SEALPOINT_BENCH_DIR ?? tmpdir(), "sealpoint-bench-s5-"));
  const key = randomBytes(32);
  let delay = 0;
  const portal = await startPortal(dir, () => delay);
  try {
    const paths = new Map(sizes.map((size) => [size, makeDatabase(dir, source, size, key)]));
    const slowPath = makeDatabase(dir, source, Math.min(1_000, all), key, 10);
    const env = { S5_PORTAL_URL: portal.url, VECTOR_MEMORY_LIMIT_MB: "1000", VECTOR_CACHE_MAX_MEMORY_MB: "2000" };
    const order = (path: string, session_id: string) => ({
      manifest_path: path,
      user_address: owner,
      session_key: key.toString("hex"),
      session_id,
    });
    const rows: (string | number)[][] = [];
    const bars: Bar[] = [];
    const max = (what: string, value: number, bound: number, unit: string): void =>
      void bars.push({ name: what, value, bound, kind: "max", unit });
    const completeBounds = new Map([
      [1_000, 0.3],
      [10_000, 1.5],
      [100_000, 10],
    ]);
    for (const size of sizes) {
      await bench.withServer(async (server) => {
        const path = paths.get(size) as string;
        const before = server.anonymousMegabytes();
        const cold = await bench.step(server, `S5: ${size} vectors`, () =>
          watched(server, { ...order(path, "cold"), persist: true }),
        );
        const hits: number[] = [];
        for (let i = 0; i < 20; i++) hits.push((await load(server, order(path, `hit-${i}`))).seconds);
        const searched = await search(server, source, "cold", Math.min(bench.queries, 100));
        const status = JSON.parse((await post(server, "status", { session_id: "cold" })).text) as {
          result: { loaded: { memory_bytes: number } };
        };
        const indexMegabytes = status.result.loaded.memory_bytes / 1e6;
        const complete = cold.at.loading_complete as number;
        const ready = cold.at.index_ready as number;
        const peak = cold.peakMegabytes - before;
        const hitMillis = median(hits) * 1_000;
        await server.stop();
        await server.start();
        // What a load of any other database does once: its modules, its first connection.
        if (size !== sizes[0]) await load(server, order(paths.get(sizes[0] as number) as string, "other"));
        const reloaded = (await load(server, order(path, "again"))).at.index_ready as number;
        const again = await search(server, source, "again", Math.min(bench.queries, 100));
        rows.push([
          String(size),
          complete,
          ready,
          hitMillis,
          reloaded,
          again.firstMillis,
          searched.millis,
          searched.recall.toFixed(4),
          indexMegabytes,
          peak,
        ]);
        max(`S5: ${size} vectors to exact answers`, complete, completeBounds.get(size) as number, "s");
        if (size === 100_000) {
          max("S5: 100,000 vectors to the graph", ready, 25, "s");
          max("S5: cache hit, call and all events", hitMillis, 5, "ms");
          max("S5: 100,000 from the disk cache", reloaded, 0.5, "s");
          max("S5: search of 100,000, in the server", searched.millis, 1, "ms");
          bars.push({ name: "S5: its recall", value: searched.recall, bound: 0.98, kind: "min", unit: "" });
          max("S5: memory of 100,000", indexMegabytes, 70, "MB");
          max("S5: peak over the start while loading", peak, 300, "MB");
        }
      }, env);
    }
    const slow = await bench.withServer(async (server) => {
      delay = delayMs;
      const loaded = await load(server, order(slowPath, "slow"));
      // The call's own answer waits for the portal: what is asked here is when the session is there.
      const begun = performance.now();
      const starting = post(server, "load", {
        ...order(paths.get(sizes[0] as number) as string, "start"),
        detach: true,
      });
      let started = Number.NaN;
      while (Number.isNaN(started)) {
        const { result } = JSON.parse((await post(server, "status", { session_id: "start" })).text) as {
          result: object;
        };
        if (!("not_started" in result)) started = performance.now() - begun;
      }
      await starting;
      delay = 0;
      return { seconds: loaded.at.loading_complete as number, startMillis: started };
    }, env);
    max("S5: 100 chunks, each answer 200 ms late", slow.seconds, 4, "s");
    max("S5: from a call to its session", slow.startMillis, 20, "ms");
    const head = [
      "vectors",
      "exact answers s",
      "graph s",
      "cache hit ms",
      "from disk s",
      "first search then ms",
      "search ms",
      "recall@10",
      "index MB",
      "peak MB over the start",
    ];
    const text = `Chunks of 1,000 vectors with their content ids, loads over REST, searches over gRPC; times are the caller's, but a search's is the server's own. 100 chunks from a portal that answers after ${delayMs} ms: ${slow.seconds.toFixed(2)} s; a session is there ${slow.startMillis.toFixed(1)} ms after its call.`;
    return { body: `${table(head, rows)}\n\n${text}`, bars };
  } finally {
    portal.server.close();
    portal.server.closeAllConnections();
    rmSync(dir, { recursive: true, force: true });
  }
}
