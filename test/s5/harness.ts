/** Runs loads against real portals, and against ones that a test scripts. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect } from "vitest";
import {
  type LoadEvent,
  type LoadOptions,
  type LoadSink,
  type Portal,
  Portals,
  Progress,
  parseManifestPath,
  type RecordBatch,
  runLoad,
  startPortal,
} from "../../src/s5/index.ts";
import { owner, type TestDatabase } from "./database.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

export async function serve(dir: string): Promise<Portal> {
  const portal = await startPortal({ dir, port: 0 });
  cleanups.push(() => portal.close());
  return portal;
}

export class CollectingSink implements LoadSink {
  readonly metadataForm = "payload" as const;
  readonly batches: RecordBatch[] = [];
  readonly calls: string[] = [];

  begin(): void {
    this.calls.push("begin");
  }

  add(batch: RecordBatch): void {
    this.calls.push("add");
    this.batches.push(batch);
  }

  finish(): void {
    this.calls.push("finish");
  }

  abort(): void {
    this.calls.push("abort");
  }
}

/** One load, as a caller of `runLoad` sees it. */
export interface TestLoad extends Partial<Omit<LoadOptions, "key">> {
  readonly portalUrls?: readonly string[];
  readonly manifestPath?: string;
  readonly sessionKey?: Uint8Array;
  readonly loadTimeoutMs?: number;
}

/** Ends with the load's last event, also when that is its error; throws what is no LoadError. */
export async function load(
  database: TestDatabase,
  { portalUrls, manifestPath = database.manifestPath, sessionKey = database.key, ...options }: TestLoad = {},
): Promise<{ events: LoadEvent[]; sink: CollectingSink }> {
  const sink = new CollectingSink();
  const urls = portalUrls ?? [(await serve(database.dir)).url];
  const key = new SharedArrayBuffer(sessionKey.length);
  new Uint8Array(key).set(sessionKey);
  const progress = new Progress();
  try {
    const location = parseManifestPath(manifestPath);
    const { manifest, chunksDownloaded } = await runLoad({
      portals: new Portals(urls),
      location,
      userAddress: owner,
      key,
      sink,
      progress,
      backoffMs: 5,
      memoryBytesMax: 500 * 1024 * 1024,
      ...options,
    });
    const { vectorCount } = manifest;
    progress.push({ kind: "loading_complete", vectorCount, loadTimeMs: 1, fromCache: false, chunksDownloaded });
    progress.end();
  } catch (error) {
    progress.fail(error);
  }
  const events: LoadEvent[] = [];
  try {
    for await (const event of progress.watch()) events.push(event);
  } catch (error) {
    if (events.at(-1)?.kind !== "loading_error") throw error;
    expect(error).toMatchObject({ details: { reason: (events.at(-1) as { code: string }).code } });
  }
  return { events, sink };
}

export async function loadingError(database: TestDatabase, options: TestLoad = {}) {
  const { events, sink } = await load(database, options);
  const last = events.at(-1);
  if (last?.kind !== "loading_error") throw new Error(`expected an error and got ${JSON.stringify(last)}`);
  // Refused before it began, or undone once.
  expect(sink.calls.filter((call) => call === "abort").length).toBe(last.code === "INVALID_PATH" ? 0 : 1);
  return { ...last, sink, events };
}

/** A portal whose answers the test scripts by path. */
interface ScriptedAnswer {
  status: number;
  body?: Buffer;
  headers?: Record<string, string>;
  cut?: boolean;
  delayMs?: number;
}

export async function scripted(handler: (path: string, attempt: number) => ScriptedAnswer | Promise<ScriptedAnswer>) {
  const attempts = new Map<string, number>();
  const server: Server = createServer(async (request, response) => {
    const path = request.url ?? "";
    const attempt = (attempts.get(path) ?? 0) + 1;
    attempts.set(path, attempt);
    const { status, body, headers, cut, delayMs } = await handler(path, attempt);
    if (delayMs !== undefined) await sleep(delayMs);
    if (cut === true && body !== undefined) {
      response.writeHead(status, { "content-length": body.length });
      response.write(body.subarray(0, body.length >> 1), () => response.destroy());
      return;
    }
    response.writeHead(status, headers);
    response.end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, attempts };
}
