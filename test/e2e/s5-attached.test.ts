/**
 * A session's encrypted index as Qdrant's clients see it: attached as a collection, read by the official Python client over both doors, kept on disk
 * over a restart without its portal, and refused for whoever tampered with it.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { S5 } from "../../gen/sealpoint/v1/s5_pb.js";
import { type Portal, startPortal } from "../../src/s5/index.ts";
import { makeDatabase, makeRecords, owner } from "../s5/database.ts";

import { addonBuilt, type Call, connectTo, failure, root, ServerProcess } from "./server-process.ts";

const python = join(root, ".venv/bin/python");
const dimensions = 8;

describe.skipIf(!addonBuilt)("an attached database", () => {
  const database = makeDatabase({ chunks: [0, 20, 40].map((first) => makeRecords(20, dimensions, first)) });
  let portal: Portal;
  let server: ServerProcess;
  let client: Call;

  beforeAll(async () => {
    portal = await startPortal({ dir: database.dir, port: 0 });
    server = await ServerProcess.start({ env: { S5_PORTAL_URL: portal.url } });
    client = connectTo(server.address);
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
    await portal?.close();
  });

  /** The kinds of the load's events, and the last but one, which tells where it came from. */
  async function load(sessionId: string, rest: { attachAs?: string; persist?: boolean } = {}) {
    const told = client.download(S5.method.load, {
      target: { case: "sessionId", value: sessionId },
      manifestPath: database.manifestPath,
      userAddress: owner,
      sessionKey: Buffer.from(database.key),
      ...rest,
    });
    const events = [];
    for (let next = await told.next(); next !== undefined; next = await told.next()) events.push(next.event);
    return events;
  }

  async function asked(name: string): Promise<void> {
    if (!existsSync(python)) return;
    const records = join(database.dir, "records.json");
    writeFileSync(records, JSON.stringify(database.records.flat()));
    const script = join(root, "test/compat/attached.py");
    for (const door of [[], ["--rest"]]) {
      const args = [script, server.address, String(server.httpPort), name, records, ...door];
      const { stdout } = await promisify(execFile)(python, args, { timeout: 100_000 });
      expect(stdout).toContain("attached done");
    }
  }

  test("is read by Qdrant's Python client over both doors, and changed by nobody", { timeout: 240_000 }, async () => {
    const events = await load("first", { attachAs: "words", persist: true });
    expect(events.at(-1)?.case).toBe("indexReady");
    await asked("words");
    // The session's own search judges the same filters.
    const vector = database.records[1]?.[2]?.vector as number[];
    const filter = {
      must: [{ conditionOneOf: { case: "field" as const, value: { key: "n", range: { gte: 30, lt: 33 } } } }],
    };
    const { hits } = await client.call(S5.method.search, { sessionId: "first", vector, k: 10, filter });
    expect(hits.map(({ id }) => Number(id)).sort()).toEqual([30, 31, 32]);
    for (const { id, metadata } of hits) {
      expect(JSON.parse(metadata)).toEqual({ ...(makeRecords(1, dimensions, Number(id))[0]?.metadata as object) });
    }
    const taken = await failure(
      (async () => {
        await load("second", { attachAs: "words" });
      })(),
    );
    expect(taken.code).toBe(status.ALREADY_EXISTS);
    await client.call(S5.method.close, { sessionId: "first" });
    const gone = await failure(client.call(S5.method.search, { sessionId: "first", vector, k: 1 }));
    expect(gone.code).toBe(status.NOT_FOUND);
  });

  test("comes back from the disk without its portal, and reads the same", { timeout: 240_000 }, async () => {
    await server.kill("SIGTERM");
    await portal.close();
    await server.restart();
    client.close();
    client = connectTo(server.address);
    const events = await load("again", { attachAs: "words" });
    expect(events.map((event) => event.case)).toEqual(["manifestDownloaded", "loadingComplete", "indexReady"]);
    expect(events[1]).toMatchObject({ value: { vectorCount: 60n, fromCache: true, chunksDownloaded: 0 } });
    await asked("words");
  });

  test("opens for nobody once a byte on the disk was changed", { timeout: 120_000 }, async () => {
    await server.kill("SIGTERM");
    const folder = join(server.dataDir, "s5");
    const store = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".sst"));
    expect(store.length).toBeGreaterThan(0);
    for (const name of store) {
      const bytes = readFileSync(join(folder, name));
      const at = bytes.length >> 1;
      bytes[at] = (bytes[at] as number) ^ 1;
      writeFileSync(join(folder, name), bytes);
    }
    await server.restart();
    client.close();
    client = connectTo(server.address);
    // It would be loaded anew, were its portal there.
    const refused = await failure(load("tampered", { attachAs: "words" }));
    expect(refused.code).toBe(status.UNAVAILABLE);
    const told = await client.call(S5.method.status, { target: { case: "sessionId", value: "tampered" } });
    expect(told.status).toMatchObject({ case: "error", value: { code: "MANIFEST_DOWNLOAD_FAILED" } });
    expect(readdirSync(folder)).toEqual([]);
  });
});
