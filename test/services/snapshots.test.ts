/** Snapshots over the gRPC door and the service behind uploads and URLs: made while writes go on, restored whole or not at all. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Snapshots } from "../../gen/qdrant/snapshots_service_pb.js";
import type { EncodedPayload, SealingPolicy } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { guardEngine, type SealedEngine, sealEngine } from "../../src/engine/index.ts";
import { generateKeyPair, openPayload, parsePrivateKey } from "../../src/seal/index.ts";
import { SnapshotsService } from "../../src/services/index.ts";
import { launcher } from "../e2e/server-process.ts";
import { configOf, idsOf, payloadOf, point, query, temporaryFolder } from "../engine/support.ts";
import { startTestServer, type TestServer } from "./server.ts";

const plain: SealingPolicy = {
  mode: "optional",
  recipients: [],
  algorithm: "HPKE-P256-SHA256-A256GCM",
  clearFields: [],
  padding: true,
};
const all = { kind: "all" } as const;
const wait = { wait: true } as const;
let server: TestServer;
let engine: SealedEngine;
let service: SnapshotsService;

beforeAll(async () => {
  server = await startTestServer();
  engine = server.engine;
  service = new SnapshotsService(engine);
});
afterAll(() => server.close());

async function fill(name: string, count: number): Promise<void> {
  await engine.createCollection(name, configOf({ "": [4, "euclid"] }), plain);
  await engine.write(name, { kind: "upsert", points: points(1, count) }, wait);
  await engine.createFieldIndex(name, "group", "keyword", "");
}

function points(from: number, count: number, round = 0) {
  return Array.from({ length: count }, (_, i) => {
    const id = from + i;
    return point(id, [id, round, 0, 1], { group: id % 2 === 0 ? "even" : "odd", round });
  });
}

async function bytesOf(name: string | undefined, snapshot: string): Promise<Buffer> {
  const { read } = await service.download(name, snapshot);
  const parts: Uint8Array[] = [];
  for await (const part of read(0)) parts.push(part);
  return Buffer.concat(parts);
}

async function* stream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1_000) yield bytes.subarray(at, at + 1_000);
}

test("a snapshot is made, listed, told as Qdrant tells it, downloaded in parts and deleted", async () => {
  await fill("plain", 100);
  const made = (await server.call(Snapshots.method.create, { collectionName: "plain" })).snapshotDescription;
  expect(made?.name).toMatch(/^plain-\d+-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d\.snapshot$/);
  expect(Math.abs(Number(made?.creationTime?.seconds) - Date.now() / 1_000)).toBeLessThan(60);
  const bytes = await bytesOf("plain", made?.name as string);
  expect(Number(made?.size)).toBe(bytes.length);
  expect(made?.checksum).toBe(createHash("sha256").update(bytes).digest("hex"));
  const { read } = await service.download("plain", made?.name as string);
  const rest: Uint8Array[] = [];
  for await (const part of read(10)) rest.push(part);
  expect(Buffer.concat(rest).equals(bytes.subarray(10))).toBe(true);

  const again = (await server.call(Snapshots.method.create, { collectionName: "plain" })).snapshotDescription;
  const listed = await server.call(Snapshots.method.list, { collectionName: "plain" });
  expect(listed.snapshotDescriptions.map(({ name }) => name).sort()).toEqual([made?.name, again?.name].sort());
  await server.call(Snapshots.method.delete, { collectionName: "plain", snapshotName: made?.name });
  const left = await server.call(Snapshots.method.list, { collectionName: "plain" });
  expect(left.snapshotDescriptions.map(({ name }) => name)).toEqual([again?.name]);
});

test("what is not there, and every way out of the folder, is not found", async () => {
  const { call } = server;
  const code = (promise: Promise<unknown>) =>
    promise.then(
      () => 0,
      (error: { code: number }) => error.code,
    );
  expect(await code(call(Snapshots.method.create, { collectionName: "none" }))).toBe(5);
  expect(await code(call(Snapshots.method.list, { collectionName: "none" }))).toBe(5);
  for (const snapshotName of ["x.snapshot", "../plain/x.snapshot", "..", "", "../../synced", "plain"]) {
    expect(await code(call(Snapshots.method.delete, { collectionName: "plain", snapshotName })), snapshotName).toBe(5);
    expect(await code(call(Snapshots.method.deleteFull, { snapshotName })), snapshotName).toBe(5);
  }
});

test("a restore brings the points, payloads, indexes and policy of that moment, under the same name or another", async () => {
  await fill("moment", 200);
  await engine.updateAliases([{ kind: "create", alias: "moment-alias", collection: "moment" }]);
  const { name, checksum } = await service.create("moment-alias");
  await engine.write("moment", { kind: "delete", selector: { kind: "ids", ids: [1n, 2n] } }, wait);
  await engine.write("moment", { kind: "upsert", points: points(150, 100, 7) }, wait);
  const file = pathToFileURL(await pathOf("moment", name)).href;

  await service.recover("moment-copy", file, { checksum });
  for (const target of ["moment-copy", "moment"]) {
    if (target === "moment") await service.recover("moment-alias", file, { checksum: checksum?.toUpperCase() });
    expect(await engine.count(target, undefined, true)).toBe(200);
    const got = await engine.get(target, [1n, 160n], all, all);
    expect(got.length).toBe(2);
    expect(payloadOf(got, 1)).toEqual({ group: "even", round: 0 });
    expect(got.vectors(1)).toEqual([["", Float32Array.of(160, 0, 0, 1)]]);
    expect(idsOf(await engine.search(target, query([1, 0, 0, 1], { limit: 1 })))).toEqual([1n]);
    const info = await engine.collectionInfo(target);
    expect(info.fieldIndexes.map((index) => [index.key, index.points])).toEqual([["group", 200]]);
    // It takes writes, and its versions go on from where they were.
    const { operationId } = await engine.write(target, { kind: "upsert", points: points(1_000, 1) }, wait);
    expect(Number(operationId)).toBeGreaterThan(1);
  }
  expect(await engine.listAliases("moment")).toEqual([["moment-alias", "moment"]]);
});

async function pathOf(name: string, snapshot: string): Promise<string> {
  const found = readdirSync(server.dataDir, { recursive: true }).find((path) => String(path).endsWith(snapshot));
  return join(server.dataDir, String(found ?? name));
}

test("a damaged, cut or foreign file, and a wrong checksum, are refused and change nothing", async () => {
  await fill("sound", 300);
  const { name } = await service.create("sound");
  const bytes = await bytesOf("sound", name);
  await engine.write("sound", { kind: "upsert", points: points(301, 1) }, wait);
  const refused = async (damaged: Uint8Array, what: string, checksum?: string): Promise<void> => {
    for (const target of ["sound", "never-made"]) {
      await expect(service.recoverFromBytes(target, stream(damaged), { checksum }), what).rejects.toThrow(
        /damaged|not a snapshot|mismatch|version/,
      );
    }
    expect(await engine.count("sound", undefined, true), what).toBe(301);
    expect(await engine.collectionExists("never-made"), what).toBe(false);
  };
  for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 40)) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ 0x40;
    await refused(damaged, `byte ${at} of ${bytes.length}`);
  }
  await refused(bytes.subarray(0, bytes.length - 1), "cut at the end");
  await refused(bytes.subarray(0, bytes.length >> 1), "cut in the middle");
  await refused(Buffer.concat([bytes, Buffer.from("x")]), "longer");
  await refused(Buffer.from("ustar"), "foreign");
  await refused(bytes, "another checksum", "0".repeat(64));
  expect(readdirSync(join(server.dataDir, "snapshots")).filter((path) => path.endsWith(".received"))).toEqual([]);
  expect(existsSync(join(server.dataDir, "restore"))).toBe(false);
  await expect(service.recoverFromBytes("sound", stream(bytes), { checksum: "abc" })).rejects.toThrow("checksum");
  await expect(service.recoverFromBytes("../x", stream(bytes))).rejects.toThrow("collection name");
});

test("sealed payloads stay sealed and open with their key after a restore, under another name too", async () => {
  const keys = generateKeyPair();
  await engine.createCollection("secrets", configOf({ "": [4, "euclid"] }), plain);
  const sealed = { kind: "upsert", points: points(1, 5), publicKey: keys.publicKeyPem } as const;
  await engine.write("secrets", sealed, wait);
  const { name } = await service.create("secrets");
  expect((await bytesOf("secrets", name)).includes("even")).toBe(false);
  await service.recoverFromBytes("secrets-2", stream(await bytesOf("secrets", name)));
  const [from, to] = [await engine.collectionInfo("secrets"), await engine.collectionInfo("secrets-2")];
  expect(to.sealingId).not.toBe(from.sealingId);
  expect(to.acceptedSealingIds).toEqual([to.sealingId, from.sealingId]);
  expect(to.sealedPointsCount).toBe(5);
  const got = await engine.get("secrets-2", [2n], all, { kind: "none" });
  const opened = openPayload({
    payload: got.payload(0) as EncodedPayload,
    id: 2n,
    privateKey: parsePrivateKey(keys.privateKeyPem, "key"),
  });
  expect(opened).toEqual({ group: "even", round: 0 });
  // What is read there may be written back there, as an envelope of the old binding.
  const back = { kind: "upsert", points: [{ ...points(2, 1)[0], payload: got.payload(0) }] } as never;
  await engine.write("secrets-2", back, wait);
});

test("a snapshot under constant writes is one moment: each write is in it wholly, and none before a missing one", async () => {
  await engine.createCollection("busy", configOf({ "": [4, "euclid"] }), plain);
  let round = 0;
  let stop = false;
  const writer = (async () => {
    while (!stop) await engine.write("busy", { kind: "upsert", points: points(1, 200, ++round) }, wait);
  })();
  for (let i = 0; i < 5; i++) {
    const before = round;
    const { name } = await service.create("busy");
    await service.recoverFromBytes("busy-copy", stream(await bytesOf("busy", name)));
    const rounds = new Set<unknown>();
    const { points: page } = await engine.scroll("busy-copy", { limit: 1_000, payload: all, vectors: all });
    for (let row = 0; row < page.length; row++) {
      rounds.add(payloadOf(page, row).round);
      rounds.add((page.vectors(row)?.[0]?.[1] as Float32Array | undefined)?.[1]);
    }
    expect(rounds.size).toBeLessThanOrEqual(1);
    if (before > 1) expect(Number([...rounds][0])).toBeGreaterThanOrEqual(before - 1);
  }
  stop = true;
  await writer;
});

test("a snapshot of the whole storage brings all collections and aliases back, also into an empty server", async () => {
  await fill("one", 10);
  await engine.updateAliases([{ kind: "create", alias: "uno", collection: "one" }]);
  const made = (await server.call(Snapshots.method.createFull, {})).snapshotDescription;
  expect(made?.name).toMatch(/^full-snapshot-[\d-]+\.snapshot$/);
  const bytes = await bytesOf(undefined, made?.name as string);
  const listed = await server.call(Snapshots.method.listFull, {});
  expect(listed.snapshotDescriptions.map(({ name }) => name)).toEqual([made?.name]);
  await server.call(Snapshots.method.deleteFull, { snapshotName: made?.name });

  const folder = temporaryFolder();
  let empty = sealEngine(openEmbeddedEngine({ dataDir: join(folder.path, "data") }));
  const path = join(folder.path, "data", "snapshots", "whole");
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  await expect(new SnapshotsService(empty).recoverFromFile("one", path)).rejects.toThrow("whole storage");
  const names = await new SnapshotsService(empty).recoverStored(undefined, [path], { checksum: made?.checksum });
  expect(names.sort()).toEqual((await engine.listCollections()).sort());
  await empty.close();
  // All of it is in the store.
  empty = sealEngine(openEmbeddedEngine({ dataDir: join(folder.path, "data") }));
  expect((await empty.listCollections()).sort()).toEqual(names);
  expect(await empty.count("uno", undefined, true)).toBe(10);
  for (const name of names) {
    expect(await empty.count(name, undefined, true)).toBe(await engine.count(name, undefined, true));
  }
  await empty.close();
  // The command does the same to a stopped server's data.
  const command = (...more: string[]) =>
    promisify(execFile)(process.execPath, [
      launcher,
      "restore",
      path,
      "--data-dir",
      join(folder.path, "by-command"),
      ...more,
    ]);
  expect((await command()).stdout).toBe(`restored ${names.join(", ")}\n`);
  await expect(command("--collection", "x")).rejects.toThrow("whole storage");
  await expect(command("--checksum", "0".repeat(64))).rejects.toThrow("checksum mismatch");
  folder.remove();
});

test("a URL is fetched, and what it does not give is said", async () => {
  await fill("web", 20);
  const { name } = await service.create("web");
  const bytes = await bytesOf("web", name);
  const web = createServer((request, response) => {
    if (request.url === "/sound" && request.headers["api-key"] === "a-key-of-theirs") response.end(bytes);
    else if (request.url === "/cut")
      response
        .writeHead(200, { "content-length": bytes.length })
        .write(bytes.subarray(0, 99), () => response.destroy());
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  await service.recover("from-web", `${base}/sound`, { apiKey: "a-key-of-theirs" });
  expect(await engine.count("from-web", undefined, true)).toBe(20);
  await expect(service.recover("from-web-2", `${base}/sound`)).rejects.toThrow("status 404");
  await expect(service.recover("from-web-2", `${base}/cut`)).rejects.toThrow("Failed to download");
  await expect(service.recover("from-web-2", "http://127.0.0.1:1/x")).rejects.toThrow("Failed to download");
  await expect(service.recover("from-web-2", "ftp://x/y")).rejects.toThrow("location");
  await expect(service.recover("from-web-2", "file:///none/at/all")).rejects.toThrow("does not exist");
  // A server may be told to fetch none; files it takes all the same.
  const closed = new SnapshotsService(engine, { recoversFromUrls: false });
  for (const url of [`${base}/sound`, "https://example.invalid/s.snapshot"]) {
    await expect(closed.recover("from-web-2", url, { apiKey: "a-key-of-theirs" })).rejects.toMatchObject({
      kind: "forbidden",
      message: "Forbidden: Snapshot recovery from remote URLs is disabled in the configuration",
    });
  }
  await expect(closed.recover("from-web-2", "file:///none/at/all")).rejects.toThrow("does not exist");
  expect(await engine.collectionExists("from-web-2")).toBe(false);
  web.close();
});

test("who may only read cannot copy, and only a manager restores", async () => {
  await fill("guarded", 5);
  const { name } = await service.create("guarded");
  const path = await pathOf("guarded", name);
  const as = (access: Parameters<typeof guardEngine>[1]) => new SnapshotsService(guardEngine(engine, access));
  const reader = as({ kind: "global", mode: "read" });
  const writer = as({ kind: "collections", rules: new Map([["guarded", "rw"]]) });
  expect((await reader.list("guarded")).length).toBe(1);
  await expect(reader.create("guarded")).rejects.toThrow("Forbidden");
  await expect(reader.delete("guarded", name)).rejects.toThrow("Forbidden");
  await expect(writer.create(undefined)).rejects.toThrow("Forbidden");
  await expect(writer.list(undefined)).rejects.toThrow("Forbidden");
  await expect(writer.list("plain")).rejects.toThrow("Forbidden");
  await expect(writer.recoverFromFile("guarded", path)).rejects.toThrow("Forbidden");
  await expect(writer.recoverFromBytes("guarded", stream(readFileSync(path)))).rejects.toThrow("Forbidden");
  await writer.create("guarded");
  await as({ kind: "global", mode: "manage" }).recoverFromFile("guarded", path);
});
