/** S5: databases of 1,000 to 100,000 vectors from a portal on loopback into sessions, searched over gRPC's HTTP twin; cold, cached and with a slow portal. */
import { createCipheriv, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { blake3 } from "@noble/hashes/blake3.js";
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

async function post(server: BenchServer, path: string, body: object): Promise<Response> {
  return fetch(`http://127.0.0.1:${server.httpPort}/sealpoint/v1/s5/${path}`, {
    method: "POST",
    body: JSON.stringify(body),
  });
}

async function load(server: BenchServer, order: object): Promise<Loaded> {
  const begun = performance.now();
  const at: Record<string, number> = {};
  let peakMegabytes = 0;
  let watching = true;
  const watch = (async () => {
    while (watching) {
      peakMegabytes = Math.max(peakMegabytes, (await server.memory()).anonymousMegabytes);
      await sleep(50);
    }
  })();
  const response = await post(server, "load", order);
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(part, { stream: true });
    for (const [, event] of text.matchAll(/^event: (.*)$/gm))
      at[event as string] ??= (performance.now() - begun) / 1_000;
  }
  watching = false;
  await watch;
  if (at.index_ready === undefined) throw new Error(`the load failed: ${text.slice(-500)}`);
  return { at, peakMegabytes };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

interface Searched {
  readonly millis: number;
  readonly recall: number;
}

/** One after the other; the time is the server's own, as its answers tell it. */
async function search(server: BenchServer, source: Source, session: string, queries: number): Promise<Searched> {
  const times: number[] = [];
  let found = 0;
  for (let row = 0; row < queries; row++) {
    const ask = async (exact: boolean) => {
      const answer = await post(server, "search", { session_id: session, vector: source.query(row), k: 10, exact });
      const { result, time } = (await answer.json()) as { result: { hits: { id: string }[] }; time: number };
      return { ids: result.hits.map(({ id }) => id), time };
    };
    const walked = await ask(false);
    times.push(walked.time * 1_000);
    const exact = new Set((await ask(true)).ids);
    found += walked.ids.filter((id) => exact.has(id)).length / 10;
  }
  return { millis: median(times), recall: found / queries };
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
        const before = (await server.memory()).anonymousMegabytes;
        const cold = await bench.step(server, `S5: ${size} vectors`, () => load(server, order(path, "cold")));
        const hits: number[] = [];
        for (let i = 0; i < 10; i++)
          hits.push((await load(server, order(path, `hit-${i}`))).at.loading_complete as number);
        const searched = await search(server, source, "cold", Math.min(bench.queries, 100));
        const status = (await (await post(server, "status", { session_id: "cold" })).json()) as {
          result: { loaded: { memory_bytes: number } };
        };
        const indexMegabytes = status.result.loaded.memory_bytes / 1e6;
        const complete = cold.at.loading_complete as number;
        const ready = cold.at.index_ready as number;
        const peak = cold.peakMegabytes - before;
        const hitMillis = median(hits) * 1_000;
        rows.push([
          String(size),
          complete,
          ready,
          hitMillis,
          searched.millis,
          searched.recall.toFixed(4),
          indexMegabytes,
          peak,
        ]);
        max(`S5: ${size} vectors to exact answers`, complete, completeBounds.get(size) as number, "s");
        if (size === 100_000) {
          max("S5: 100,000 vectors to the graph", ready, 25, "s");
          max("S5: cache hit, call and all events", hitMillis, 5, "ms");
          max("S5: search of 100,000", searched.millis, 1, "ms");
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
        const { result } = (await (await post(server, "status", { session_id: "start" })).json()) as { result: object };
        if (!("not_started" in result)) started = performance.now() - begun;
      }
      await (await starting).text();
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
      "search ms",
      "recall@10",
      "index MB",
      "peak MB over the start",
    ];
    const text = `Chunks of 1,000 vectors with their content ids, over REST; times are the caller's, but a search's is the server's own. 100 chunks from a portal that answers after ${delayMs} ms: ${slow.seconds.toFixed(2)} s; a session is there ${slow.startMillis.toFixed(1)} ms after its call.`;
    return { body: `${table(head, rows)}\n\n${text}`, bars };
  } finally {
    portal.server.close();
    portal.server.closeAllConnections();
    rmSync(dir, { recursive: true, force: true });
  }
}
