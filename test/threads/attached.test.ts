/** An S5 database that is attached as a collection, on a server with four RPC threads: every thread reads it, and none does once it is gone. */
import { cpSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { S5 } from "../../gen/sealpoint/v1/s5_pb.js";
import { dense, enable, integer, num } from "../e2e/messages.ts";
import { addonBuilt, type Call, failure, ServerProcess } from "../e2e/server-process.ts";
import { makeDatabase, makeRecords, owner } from "../s5/database.ts";
import { clientPerThread, env } from "./support.ts";

const dimensions = 8;
const collectionName = "words";

describe.skipIf(!addonBuilt)("an attached database and four RPC threads", () => {
  const database = makeDatabase({ chunks: [0, 20, 40].map((first) => makeRecords(20, dimensions, first)) });
  /** Held answers of the portal. */
  let held: (() => void)[] | undefined;
  let portal: Server;
  let server: ServerProcess;
  let clients: Call[];

  beforeAll(async () => {
    portal = createServer(async (request, response) => {
      const path = (request.url ?? "").replace("/s5/fs/", "");
      if (held !== undefined && path.includes("chunk")) await new Promise<void>((resolve) => held?.push(resolve));
      response.end(readFileSync(join(database.dir, path)));
    });
    await new Promise<void>((done) => portal.listen(0, "127.0.0.1", done));
    const url = `http://127.0.0.1:${(portal.address() as AddressInfo).port}`;
    server = await ServerProcess.start({ logLevel: "debug", env: { ...env, S5_PORTAL_URL: url } });
    clients = [...(await clientPerThread(server)).values()];
  });
  afterAll(async () => {
    for (const client of clients ?? []) client.close();
    await server?.stop();
    portal?.closeAllConnections();
    portal?.close();
  });

  const request = (sessionId: string, rest: object = {}) => ({
    target: { case: "sessionId" as const, value: sessionId },
    manifestPath: database.manifestPath,
    userAddress: owner,
    sessionKey: Buffer.from(database.key),
    attachAs: collectionName,
    ...rest,
  });
  async function load(client: Call, sessionId: string, rest: object = {}): Promise<void> {
    const told = client.download(S5.method.load, request(sessionId, rest));
    for (let next = await told.next(); next !== undefined; next = await told.next());
  }
  const on = (thread: number): Call => clients[thread % clients.length] as Call;
  const filter = {
    must: [{ conditionOneOf: { case: "field" as const, value: { key: "n", range: { gte: 30, lt: 33 } } } }],
  };
  const search = async (client: Call): Promise<number[]> => {
    const vector = makeRecords(1, dimensions, 31)[0]?.vector as number[];
    const { result } = await client.call(Points.method.search, {
      collectionName,
      vector,
      limit: 10n,
      filter,
      withPayload: enable,
    });
    return result.map(({ id }) => Number(id?.pointIdOptions.value)).sort();
  };
  const exists = async (client: Call): Promise<boolean> =>
    (await client.call(Collections.method.collectionExists, { collectionName })).result?.exists === true;

  test("every thread reads it as soon as its load has told so", async () => {
    for (let turn = 0; turn < clients.length; turn++) {
      const name = `one-${turn}`;
      for (const client of clients) expect(await exists(client)).toBe(false);
      await load(on(turn), name);
      await Promise.all(clients.map(async (client) => expect(await search(client)).toEqual([30, 31, 32])));
      for (const client of clients) {
        expect(await exists(client)).toBe(true);
        const { collections } = await client.call(Collections.method.list, {});
        expect(collections.map((one) => one.name)).toEqual([collectionName]);
        const upsert = client.call(Points.method.upsert, {
          collectionName,
          points: [{ id: num(1), vectors: dense(1, 1) }],
        });
        expect((await failure(upsert)).code).toBe(status.FAILED_PRECONDITION);
      }
      expect((await on(turn + 1).call(S5.method.close, { sessionId: name })).closed).toBe(true);
    }
  });

  test("no thread reads it once its session is closed, though its index is still in the cache", async () => {
    await load(on(0), "first");
    for (const client of clients) expect(await search(client)).toEqual([30, 31, 32]);
    await load(on(1), "second", { attachAs: undefined });
    await on(2).call(S5.method.close, { sessionId: "first" });
    for (const client of clients) {
      expect((await failure(search(client))).code).toBe(status.NOT_FOUND);
      expect(await exists(client)).toBe(false);
      expect((await client.call(Collections.method.list, {})).collections).toEqual([]);
      expect(
        (await client.call(S5.method.status, { target: { case: "sessionId", value: "second" } })).status.case,
      ).toBe("loaded");
    }
    // Its name is free for a collection, which every thread may write to.
    const params = { case: "params" as const, value: { size: 2n, distance: Distance.Dot } };
    await on(3).call(Collections.method.create, { collectionName, vectorsConfig: { config: params } });
    for (const [thread, client] of clients.entries()) {
      await client.call(Points.method.upsert, {
        collectionName,
        wait: true,
        points: [{ id: num(thread), vectors: dense(thread, 1), payload: { n: integer(thread) } }],
      });
    }
    for (const client of clients) {
      expect((await client.call(Points.method.count, { collectionName, exact: true })).result?.count).toBe(4n);
    }
    expect((await failure(load(on(0), "third"))).code).toBe(status.ALREADY_EXISTS);
    await on(1).call(Collections.method.delete, { collectionName });
    await on(2).call(S5.method.close, { sessionId: "second" });
  });

  test("searches on all threads beside loads and closes are answered wholly, or not found", {
    timeout: 60_000,
  }, async () => {
    let stopped = false;
    let answered = 0;
    const readers = clients.map(async (client) => {
      while (!stopped) {
        try {
          expect(await search(client)).toEqual([30, 31, 32]);
          answered++;
        } catch (error) {
          if (!(error instanceof Error && "code" in error)) throw error;
          expect([status.NOT_FOUND, status.UNAVAILABLE], String(error)).toContain(error.code);
        }
      }
    });
    try {
      for (let turn = 0; turn < 12; turn++) {
        await load(on(turn), "again");
        await search(on(turn + 1));
        await on(turn + 2).call(S5.method.close, { sessionId: "again" });
        await expect(failure(search(on(turn + 3)))).resolves.toMatchObject({ code: status.NOT_FOUND });
      }
    } finally {
      stopped = true;
      await Promise.all(readers);
    }
    expect(answered).toBeGreaterThan(12);
  });

  test("a load is watched, refused and cancelled from other threads than its own", async () => {
    // Another key is another database to the cache, so it is downloaded.
    const other = makeDatabase({ chunks: [makeRecords(5, dimensions)] });
    cpSync(other.folder, database.folder.replace(/small$/, "other"), { recursive: true });
    const rest = {
      manifestPath: database.manifestPath.replace("/small/", "/other/"),
      sessionKey: Buffer.from(other.key),
      detach: true,
    };
    held = [];
    const loading = failure(load(on(0), "held", rest));
    const target = { case: "sessionId" as const, value: "held" };
    await expect.poll(() => held?.length).toBe(1);
    for (const client of clients) {
      expect((await client.call(S5.method.status, { target })).status.case).toBe("loading");
      expect(await exists(client)).toBe(false);
      const refused = await failure(client.call(S5.method.search, { sessionId: "held", vector: [1], k: 1 }));
      expect(refused.code).toBe(status.FAILED_PRECONDITION);
    }
    const watching = clients.map((client) =>
      failure(
        (async () => {
          const told = client.download(S5.method.watch, { target });
          for (let next = await told.next(); next !== undefined; next = await told.next());
        })(),
      ),
    );
    await sleep(50);
    const begun = performance.now();
    expect((await on(2).call(S5.method.cancel, { target })).cancelled).toBe(true);
    for (const { code } of await Promise.all([loading, ...watching])) expect(code).toBe(status.CANCELLED);
    expect(performance.now() - begun).toBeLessThan(2_000);
    for (const free of held) free();
    held = undefined;
    for (const client of clients) {
      expect((await client.call(S5.method.status, { target })).status).toMatchObject({
        case: "error",
        value: { code: "CANCELLED" },
      });
      expect(await exists(client)).toBe(false);
    }
  });
});
