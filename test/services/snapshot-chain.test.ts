/** Incremental snapshots and snapshots over gRPC streams: a chain restores exactly what a whole snapshot of the same moment restores. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Snapshots, type SnapshotsRestoreRequestSchema } from "../../gen/sealpoint/v1/snapshots_pb.js";
import { type PointId, sealingDefault } from "../../src/core/index.ts";
import type { SealedEngine } from "../../src/engine/index.ts";
import { SnapshotsService } from "../../src/services/index.ts";
import { configOf, failure, must, payloadOf, point, temporaryFolder } from "../engine/support.ts";
import { startTestServer, type TestServer } from "./server.ts";

const all = { kind: "all" } as const;
const wait = { wait: true } as const;
let server: TestServer;
let engine: SealedEngine;

beforeAll(async () => {
  server = await startTestServer();
  engine = server.engine;
});
afterAll(() => server.close());

/** mulberry32 */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

async function contentOf(name: string): Promise<unknown[]> {
  const rows: unknown[] = [];
  let offset: PointId | undefined;
  do {
    const page = await engine.scroll(name, { limit: 500, payload: all, vectors: all, ...(offset && { offset }) });
    for (let row = 0; row < page.points.length; row++) {
      rows.push([page.points.id(row), payloadOf(page.points, row), page.points.vectors(row)]);
    }
    offset = page.nextOffset;
  } while (offset !== undefined);
  return rows;
}

async function changeAtRandom(name: string, random: (below: number) => number): Promise<void> {
  const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
  const some = (): PointId[] =>
    Array.from({ length: 1 + random(12) }, () => (random(3) === 0 ? uuid(random(60)) : BigInt(random(120))));
  const vector = () => Array.from({ length: 3 }, () => random(100));
  switch (random(6)) {
    case 0:
    case 1: {
      const points = some().map((id) =>
        point(
          id,
          random(4) === 0 ? { a: vector() } : { a: vector(), b: vector() },
          random(4) === 0 ? {} : { n: random(9) },
        ),
      );
      await engine.write(name, { kind: "upsert", points }, wait);
      break;
    }
    case 2:
      await engine.write(name, { kind: "delete", selector: { kind: "ids", ids: some() } }, wait);
      break;
    case 3: {
      const filter = must({ kind: "match_integer", key: "n", value: BigInt(random(9)) });
      await engine.write(name, { kind: "clear_payload", selector: { kind: "filter", filter } }, wait);
      break;
    }
    case 4: {
      const { payload } = point(0, [], { extra: random(50) });
      await engine.write(name, { kind: "set_payload", selector: { kind: "filter", filter: must() }, payload }, wait);
      break;
    }
    default: {
      const filter = must({ kind: "match_integer", key: "n", value: BigInt(random(9)) });
      await engine.write(name, { kind: "delete_vectors", selector: { kind: "filter", filter }, names: ["b"] }, wait);
    }
  }
}

test("a chain of incremental snapshots holds what a whole one of the same moment holds, whatever came between", async () => {
  const seed = Number(process.env.SEALPOINT_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`seed ${seed}`);
  const random = randomFrom(seed);
  await engine.createCollection("chain", configOf({ a: [3, "euclid"], b: [3, "dot"] }), sealingDefault);
  const names: string[] = [];
  for (let link = 0; link < 5; link++) {
    const changes = link === 2 ? 0 : 1 + random(25);
    for (let i = 0; i < changes; i++) await changeAtRandom("chain", random);
    names.push((await engine.snapshots.create("chain", names.at(-1))).name);
    const expected = await contentOf("chain");
    const folder = join(server.dataDir, "snapshots/chain");
    // The last is named alone: what it is based on lies beside it.
    await engine.snapshots.restore(`copy-${link}`, [join(folder, names.at(-1) as string)]);
    expect(await contentOf(`copy-${link}`)).toEqual(expected);
    await engine.snapshots.restore(
      "given",
      names.map((name) => join(folder, name)),
    );
    expect(await contentOf("given")).toEqual(expected);
  }
  const listed = (await server.call(Snapshots.method.list, { collectionName: "chain" })).snapshots;
  expect(listed.slice(1).map(({ baseChecksum }) => baseChecksum)).toEqual(
    listed.slice(0, -1).map(({ checksum }) => checksum),
  );
  expect(listed[0]?.baseChecksum).toBeUndefined();
});

test("an incremental snapshot of a few changes is small", async () => {
  await engine.createCollection("large", configOf({ "": [64, "euclid"] }), sealingDefault);
  const vector = Array.from({ length: 64 }, (_, i) => i);
  const points = Array.from({ length: 2_000 }, (_, id) => point(id, vector, { text: "x".repeat(100) }));
  await engine.write("large", { kind: "upsert", points }, wait);
  const whole = await engine.snapshots.create("large");
  await engine.write("large", { kind: "upsert", points: points.slice(0, 20) }, wait);
  const part = await engine.snapshots.create("large", whole.name);
  expect(part.base).toBe(whole.checksum);
  expect(part.bytes).toBeLessThan(whole.bytes / 8);
  // What another is based on stays.
  expect(await failure(engine.snapshots.delete("large", whole.name))).toMatchObject({ kind: "precondition" });
  await engine.snapshots.delete("large", part.name);
  await engine.snapshots.delete("large", whole.name);
});

test("bases that do not fit are refused, and nothing is restored", async () => {
  const other = (await engine.snapshots.create("given")).name;
  const folder = join(server.dataDir, "snapshots/chain");
  const [first, second, third] = (await engine.snapshots.list("chain")).map(({ name }) => join(folder, name));
  expect(await failure(engine.snapshots.create("chain", other))).toMatchObject({ kind: "not_found" });
  expect(await failure(engine.snapshots.create(undefined, other))).toMatchObject({ kind: "bad_input" });
  const elsewhere = temporaryFolder();
  const away = join(elsewhere.path, "second.snapshot");
  const bytes = readFileSync(second as string);
  writeFileSync(away, bytes);
  // Neither beside it nor among those of the collection that it is restored as.
  expect((await failure(engine.snapshots.restore("nowhere", [away]))).message).toContain("is needed too");
  expect(await failure(engine.snapshots.restore("nowhere", [first, third] as string[]))).toMatchObject({
    kind: "bad_input",
  });
  expect(await failure(engine.snapshots.restore("nowhere", [first, first] as string[]))).toMatchObject({
    kind: "bad_input",
  });
  for (const at of [3, 20, 85, 130, bytes.length - 5]) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ 4;
    writeFileSync(away, damaged);
    await failure(engine.snapshots.restore("nowhere", [first as string, away]));
  }
  expect(await engine.collectionExists("nowhere")).toBe(false);
  elsewhere.remove();
});

async function download(request: MessageInitShape<typeof Snapshots.method.download.input>) {
  const next = server.download(Snapshots.method.download, request);
  const head = await next();
  if (head?.part.case !== "snapshot") throw new Error("the description comes first");
  const pieces: Uint8Array[] = [];
  for (let message = await next(); message !== undefined; message = await next()) {
    if (message.part.case !== "piece") throw new Error("pieces follow");
    pieces.push(message.part.value);
  }
  return { snapshot: head.part.value, bytes: Buffer.concat(pieces) };
}

test("a snapshot that is made for a stream goes with it, also when nobody reads on", async () => {
  const before = await engine.snapshots.list("chain");
  const abandoned = new SnapshotsService(engine).downloadNew("chain");
  await abandoned.next();
  expect((await engine.snapshots.list("chain")).length).toBe(before.length + 1);
  await abandoned.return(undefined);
  expect(await engine.snapshots.list("chain")).toEqual(before);
  const offset = server.download(Snapshots.method.download, { collectionName: "chain", snapshotName: "", offset: 5n });
  expect((await offset().catch((error: unknown) => error)) as { code?: number }).toMatchObject({ code: 3 });
  expect(await engine.snapshots.list("chain")).toEqual(before);
});

test("snapshots stream out and in over gRPC, the chain in one call", async () => {
  const before = (await engine.snapshots.list("chain")).map(({ name }) => name);
  const base = before.at(-1) as string;
  const stored = await download({ collectionName: "chain", snapshotName: before[0] as string });
  expect(createHash("sha256").update(stored.bytes).digest("hex")).toBe(stored.snapshot.checksum);
  const rest = await download({ collectionName: "chain", snapshotName: before[0] as string, offset: 100n });
  expect(rest.bytes.toString("hex")).toBe(stored.bytes.subarray(100).toString("hex"));

  await engine.write("chain", { kind: "upsert", points: [point(7_000, { a: [1, 2, 3] }, { new: true })] }, wait);
  const fresh = await download({ collectionName: "chain", snapshotName: "", base });
  // Made for the stream, and gone with it.
  expect((await engine.snapshots.list("chain")).map(({ name }) => name)).toEqual(before);

  type Message = MessageInitShape<typeof SnapshotsRestoreRequestSchema>;
  const files = [
    ...(await Promise.all(before.map((snapshotName) => download({ collectionName: "chain", snapshotName })))),
    fresh,
  ];
  const messages: Message[] = [
    { part: { case: "start", value: { collectionName: "streamed", checksum: fresh.snapshot.checksum } } },
  ];
  for (const [i, { bytes }] of files.entries()) {
    if (i > 0) messages.push({ part: { case: "nextFile", value: {} } });
    for (let at = 0; at < bytes.length; at += 700)
      messages.push({ part: { case: "piece", value: bytes.subarray(at, at + 700) } });
  }
  expect((await server.upload(Snapshots.method.restore, messages)).collectionName).toBe("streamed");
  expect(await contentOf("streamed")).toEqual(await contentOf("chain"));

  const refused = async (sent: Message[]) => (await server.upload(Snapshots.method.restore, sent).catch((e) => e)).code;
  expect(await refused([])).toBe(3);
  expect(await refused([{ part: { case: "piece", value: Buffer.from("x") } }])).toBe(3);
  expect(await refused([messages[0] as Message, ...messages.slice(2)])).not.toBe(undefined);
  const cut = messages.slice(0, -1);
  expect(await refused(cut)).toBe(15);
  expect(await contentOf("streamed")).toEqual(await contentOf("chain"));
});
