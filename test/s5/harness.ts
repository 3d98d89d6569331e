/** Runs loads against real portals, and against ones that a test scripts. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect } from "vitest";
import {
  type LoadEvent,
  type LoadOptions,
  type LoadSink,
  loadDatabase,
  type Portal,
  type RecordBatch,
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

export async function load(
  database: TestDatabase,
  options: Partial<LoadOptions> = {},
): Promise<{ events: LoadEvent[]; sink: CollectingSink }> {
  const sink = new CollectingSink();
  const portalUrls = options.portalUrls ?? [(await serve(database.dir)).url];
  const events: LoadEvent[] = [];
  for await (const event of loadDatabase({
    portalUrls,
    manifestPath: database.manifestPath,
    userAddress: owner,
    sessionKey: database.key,
    sink,
    backoffMs: 5,
    ...options,
  })) {
    events.push(event);
  }
  return { events, sink };
}

export async function loadingError(database: TestDatabase, options: Partial<LoadOptions> = {}) {
  const { events, sink } = await load(database, options);
  const last = events.at(-1);
  if (last?.kind !== "loading_error") throw new Error(`expected an error and got ${JSON.stringify(last)}`);
  expect(sink.calls.at(-1)).toBe("abort");
  expect(sink.calls.filter((call) => call === "abort")).toHaveLength(1);
  return { ...last, sink, events };
}

/** A portal whose answers the test scripts by path. */
export async function scripted(
  handler: (
    path: string,
    attempt: number,
  ) => { status: number; body?: Buffer; headers?: Record<string, string>; cut?: boolean; delayMs?: number },
) {
  const attempts = new Map<string, number>();
  const server: Server = createServer(async (request, response) => {
    const path = request.url ?? "";
    const attempt = (attempts.get(path) ?? 0) + 1;
    attempts.set(path, attempt);
    const { status, body, headers, cut, delayMs } = handler(path, attempt);
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
