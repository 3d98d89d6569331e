/** Indexes of S5 sessions: searched exactly and by their graph, encrypted on disk, opened again by their owner alone, attached to Qdrant's calls. */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { PointId } from "../../src/core/index.ts";
import { DomainError } from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine, SealedIndexes } from "../../src/engine/embedded/index.ts";
import { AttachmentTable, attachedEngine } from "../../src/engine/index.ts";
import { type RecordBatch, type SessionIndex, toPointId } from "../../src/s5/index.ts";
import { decodePayload, encodePayload } from "../../src/wire/payload.ts";
import { configOf, failure, must, query, temporaryFolder } from "./support.ts";

const dimensions = 256;
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function start() {
  const folder = temporaryFolder();
  closers.push(() => folder.remove());
  return open(folder.path);
}

function open(path: string) {
  const embedded: EmbeddedEngine = openEmbeddedEngine({ dataDir: path });
  closers.push(() => embedded.close());
  const attachments = new AttachmentTable();
  const engine = attachedEngine(embedded, attachments);
  const files = join(path, "s5");
  const indexes = new SealedIndexes({
    folder: files,
    attachments,
    collectionExists: (name) => engine.collectionExists(name),
  });
  return { engine, indexes, files, path };
}

const marker = "a sentence that must never lie on the disk as it is";

function vectorOf(seed: number): number[] {
  return Array.from({ length: dimensions }, (_, i) => Math.sin(seed * 37.7 + i * (1 + (seed % 13))));
}

/** Records of a chunk; the seed of a record decides its vector. */
function batchOf(
  chunkId: number,
  ids: readonly string[],
  metadata = (id: string): object => ({ text: marker, of: id }),
) {
  const vectors = new Float32Array(ids.length * dimensions);
  const parts = ids.map((id, row) => {
    vectors.set(vectorOf(Number(id.replaceAll(/\D/g, "").slice(-6)) + 1), row * dimensions);
    return encodePayload(metadata(id) as never);
  });
  const metadataOffsets = new Uint32Array(ids.length + 1);
  for (const [row, part] of parts.entries()) metadataOffsets[row + 1] = (metadataOffsets[row] as number) + part.length;
  const pointIds: PointId[] = ids.map(toPointId);
  return {
    chunkId,
    dimensions,
    ids,
    pointIds,
    vectors,
    metadata: Buffer.concat(parts),
    metadataOffsets,
  } satisfies RecordBatch;
}

const names = (prefix: string, from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `${prefix}${from + i}`);
const seek = (index: SessionIndex, seed: number, change = {}) =>
  index.search({ vector: Float32Array.from(vectorOf(seed)), k: 1, ...change });

function bytesUnder(folder: string): Buffer {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Buffer.concat(files.map((file) => readFileSync(join(file.parentPath, file.name))));
}

test("hits bear the ids and metadata of the database, whatever their form", async () => {
  const { indexes } = start();
  const index = await indexes.create({ dimensions });
  closers.push(() => index.close());
  const ids = ["7", "0x8", "550e8400-e29b-41d4-a716-446655440009", "550E8400-E29B-41D4-A716-446655440010"];
  await index.add(batchOf(0, ids));
  await index.add(batchOf(1, ["own-11"], () => ({ _id: "theirs", n: 1n })));
  expect(index.rows).toBe(5);
  for (const id of ids) {
    const [hit] = await seek(index, Number(id.replaceAll(/\D/g, "").slice(-6)) + 1);
    expect(hit?.id).toBe(id);
    expect(hit?.score).toBeCloseTo(1, 5);
    expect(decodePayload(hit?.metadata as Uint8Array)).toEqual({ text: marker, of: id });
  }
  const [own] = await seek(index, 12);
  expect(own?.id).toBe("own-11");
  expect(decodePayload(own?.metadata as Uint8Array)).toEqual({ _id: "theirs", n: 1n });
  const filter = must({ kind: "match_keyword", key: "of", value: "7" });
  expect((await seek(index, 9, { filter, k: 10 })).map(({ id }) => id)).toEqual(["7"]);
  expect(await seek(index, 8, { threshold: 0.999, k: 10 })).toHaveLength(1);
});

test("a search ends when nobody waits for it", async () => {
  const { indexes } = start();
  const index = await indexes.create({ dimensions });
  closers.push(() => index.close());
  await index.add(batchOf(0, names("v-", 0, 50)));
  const vector = new Float32Array(dimensions).fill(1);
  const abort = new AbortController();
  expect(await index.search({ vector, k: 10 }, abort.signal)).toHaveLength(10);
  abort.abort(new DomainError("cancelled", "gone"));
  await expect(index.search({ vector, k: 10 }, abort.signal)).rejects.toMatchObject({ kind: "cancelled" });
});

test("nothing of it lies readable on the disk, with and without a graph, and what is not saved goes", async () => {
  const { indexes, files } = start();
  const index = await indexes.create({ dimensions });
  for (let chunk = 0; chunk < 4; chunk++) await index.add(batchOf(chunk, names("v-", chunk * 3_000, 3_000)));
  expect(index.graphReady).toBe(false);
  await index.buildGraph();
  expect(index.graphReady).toBe(true);
  const found = await seek(index, 11_322, { k: 3 });
  expect(found[0]?.id).toBe("v-11321");
  await index.save("kept", randomBytes(32), Buffer.from(marker));
  const bytes = bytesUnder(files);
  expect(bytes.length).toBeGreaterThan(12_000 * dimensions * 4);
  expect(bytes.includes(marker.slice(2, 20))).toBe(false);
  // A normalised vector as it would stand in a segment or in the store.
  const vector = Float32Array.from(vectorOf(11_322));
  const length = Math.hypot(...vector);
  const stored = Buffer.from(Float32Array.from(vector, (value) => value / length).buffer);
  expect(bytes.includes(stored.subarray(0, 16))).toBe(false);
  await index.close();
  expect(readdirSync(files)).toHaveLength(2);

  const other = await indexes.create({ dimensions });
  await other.add(batchOf(0, names("v-", 0, 10)));
  await other.close();
  expect(readdirSync(files)).toHaveLength(2);
  expect((await failure(seek(other, 1))).kind).toBe("not_found");
}, 60_000);

test("a saved index opens again under its key alone, with its graph, and not when it is damaged", async () => {
  const { indexes, files, path } = start();
  const key = randomBytes(32);
  const index = await indexes.create({ dimensions });
  await index.add(batchOf(3, names("v-", 0, 11_000)));
  await index.buildGraph();
  await index.save("kept", key, Buffer.from("note"));
  await index.close();
  for (const close of closers.splice(1)) await close();

  const again = open(path);
  // What another stop left behind goes, what is saved stays.
  expect(await again.indexes.open("kept", randomBytes(32))).toBeUndefined();
  expect(await again.indexes.open("other", key)).toBeUndefined();
  const opened = await again.indexes.open("kept", key);
  expect(Buffer.from(opened?.note as Uint8Array).toString()).toBe("note");
  expect(opened?.index.graphReady).toBe(true);
  expect(opened?.index.rows).toBe(11_000);
  expect((await seek(opened?.index as SessionIndex, 777))[0]?.id).toBe("v-776");
  // Its chunks are known too.
  await opened?.index.stage(batchOf(4, ["fresh-1"]));
  await opened?.index.publish([3]);
  expect(opened?.index.rows).toBe(1);
  // It changed since it was saved, so nothing old comes back.
  await opened?.index.close();
  expect(await again.indexes.open("kept", key)).toBeUndefined();
  expect(readdirSync(files)).toEqual([]);

  const third = await again.indexes.create({ dimensions });
  await third.add(batchOf(0, names("v-", 0, 100)));
  await third.save("kept", key, new Uint8Array());
  await third.close();
  const pointer = readdirSync(files).find((name) => name.endsWith(".index")) as string;
  const folder = readdirSync(files).find((name) => !name.endsWith(".index")) as string;
  const store = join(files, folder, "store");
  for (const name of readdirSync(store).filter((each) => each.endsWith(".sst"))) {
    const bytes = readFileSync(join(store, name));
    bytes.fill(7, bytes.length >> 1, (bytes.length >> 1) + 30);
    writeFileSync(join(store, name), bytes);
  }
  expect(statSync(join(files, pointer)).mode & 0o77).toBe(0);
  expect(await again.indexes.open("kept", key)).toBeUndefined();
  expect(existsSync(join(files, pointer))).toBe(false);
}, 60_000);

test("of saved indexes those that were not used for the longest time go, and none that is open", async () => {
  const { files } = start();
  const attachments = new AttachmentTable();
  const few = new SealedIndexes({ folder: files, attachments, savedMax: 2, collectionExists: async () => false });
  const key = randomBytes(32);
  const save = async (name: string) => {
    const index = await few.create({ dimensions });
    closers.push(() => index.close());
    await index.add(batchOf(0, names("v-", 0, 5)));
    await index.save(name, key, new Uint8Array());
    // Times of files have a grain.
    await new Promise((go) => setTimeout(go, 15));
    return index;
  };
  const saved = () =>
    readdirSync(files)
      .filter((name) => name.endsWith(".index"))
      .map((name) => name.slice(0, -6))
      .sort();
  for (const name of ["a", "b"]) await (await save(name)).close();
  // Opened again, it is the last that was used.
  await (await few.open("a", key))?.index.close();
  await (await save("c")).close();
  expect(saved()).toEqual(["a", "c"]);
  expect(await few.open("b", key)).toBeUndefined();
  expect(readdirSync(files)).toHaveLength(4);
  const open = await few.open("a", key);
  await new Promise((go) => setTimeout(go, 15));
  await (await save("d")).close();
  const last = await save("e");
  // `a` is the longest unused of three and stays, because it is open.
  expect(saved()).toEqual(["a", "d", "e"]);
  expect((await seek(open?.index as SessionIndex, 3))[0]?.id).toBe("v-2");
  expect(last.rows).toBe(5);
  await open?.index.close();
});

test("of two indexes of one name the last that was saved stays, and neither loses its files under its searches", async () => {
  const { indexes, files } = start();
  const key = randomBytes(32);
  const make = async (prefix: string, count: number) => {
    const index = await indexes.create({ dimensions });
    closers.push(() => index.close());
    await index.add(batchOf(0, names(prefix, 0, count)));
    await index.save("kept", key, new Uint8Array());
    return index;
  };
  const folders = () => readdirSync(files).filter((name) => !name.endsWith(".index"));
  const first = await make("a-", 100);
  const [own] = folders() as [string];
  const second = await make("b-", 50);
  expect(folders()).toHaveLength(2);
  expect(existsSync(join(files, own, "store"))).toBe(true);
  // It still writes and flushes there; what the other saved is not its own to take away.
  await first.stage(batchOf(1, names("c-", 200, 30)));
  await first.publish([]);
  await first.buildGraph();
  expect((await seek(first, 230))[0]?.id).toBe("c-229");
  expect(readdirSync(files).filter((name) => name.endsWith(".index"))).toEqual(["kept.index"]);
  await first.close();
  expect(folders()).toHaveLength(1);
  expect(folders()).not.toContain(own);
  await second.close();
  const opened = await indexes.open("kept", key);
  expect(opened?.index.rows).toBe(50);
  // Nor does a name that is removed take the folder of who has it open.
  expect(await indexes.remove("kept")).toBe(true);
  expect(folders()).toHaveLength(1);
  expect((await seek(opened?.index as SessionIndex, 8))[0]?.id).toBe("b-7");
  await opened?.index.close();
  expect(readdirSync(files)).toEqual([]);
  expect(await indexes.remove("kept")).toBe(false);
});

test("of indexes of one name that are saved and closed at once, one is left", async () => {
  const { indexes, files } = start();
  const key = randomBytes(32);
  for (let round = 0; round < 5; round++) {
    const made = await Promise.all(Array.from({ length: 3 }, () => indexes.create({ dimensions })));
    for (const index of made) await index.add(batchOf(0, names("v-", 0, 5)));
    await Promise.all(
      made.map(async (index) => {
        await index.save("kept", key, new Uint8Array());
        const saving = index.save("kept", key, new Uint8Array()).catch(() => undefined);
        await Promise.all([saving, index.close()]);
      }),
    );
    expect(readdirSync(files)).toHaveLength(2);
    const opened = await indexes.open("kept", key);
    expect(opened?.index.rows).toBe(5);
    await opened?.index.close();
  }
});

test("a refresh is seen wholly or not at all", async () => {
  const { indexes } = start();
  const index = await indexes.create({ dimensions });
  closers.push(() => index.close());
  await index.add(batchOf(0, names("a-", 0, 50)));
  await index.add(batchOf(1, names("b-", 100, 50)));
  await index.stage(batchOf(1, names("b-", 120, 60)));
  expect(index.rows).toBe(100);
  await index.discard();
  await index.publish([]);
  expect(index.rows).toBe(100);
  await index.stage(batchOf(1, names("b-", 120, 60)));
  let stop = false;
  const counts = new Set<number>();
  const watch = (async () => {
    while (!stop) counts.add((await seek(index, 5, { k: 1_000, exact: true })).length);
  })();
  await index.publish([1]);
  stop = true;
  await watch;
  expect([...counts].every((count) => count === 100 || count === 110)).toBe(true);
  expect(index.rows).toBe(110);
  expect((await seek(index, 106, { threshold: 0.9999 })).map(({ id }) => id)).toEqual([]);
  expect((await seek(index, 171))[0]?.id).toBe("b-170");
});

test("attached, it is read like any collection and changed by nobody", async () => {
  const { indexes, engine } = start();
  const index = await indexes.create({ dimensions });
  await index.add(batchOf(0, names("v-", 0, 200)));
  await engine.createCollection(
    "taken",
    configOf({ "": [4, "dot"] }),
    (await import("../../src/core/index.ts")).sealingOff,
  );
  expect((await failure(index.attach("taken"))).kind).toBe("already_exists");
  await index.attach("words");
  expect(await engine.listCollections()).toEqual(["taken", "words"]);
  expect(await engine.collectionExists("words")).toBe(true);
  expect(await engine.collectionInfo("words")).toMatchObject({ name: "words", pointsCount: 200 });
  const filter = must({ kind: "match_keyword", key: "of", value: "v-7" });
  expect(await engine.count("words", filter, true)).toBe(1);
  const found = await engine.search("words", query(vectorOf(8), { limit: 1, payload: { kind: "all" } }));
  expect(decodePayload(found.payload(0) as Uint8Array)).toEqual({ text: marker, of: "v-7", _id: "v-7" });
  for (const refused of [
    engine.write("words", { kind: "upsert", points: [] }, { wait: true }),
    engine.deleteCollection("words"),
    engine.createFieldIndex("words", "of", "keyword", ""),
  ]) {
    expect(await failure(refused)).toMatchObject({ kind: "precondition" });
  }
  const other = configOf({ "": [4, "dot"] });
  expect((await failure(engine.createCollection("words", other, {} as never))).kind).toBe("already_exists");
  await index.close();
  expect(await engine.listCollections()).toEqual(["taken"]);
  expect((await failure(engine.count("words", undefined, true))).kind).toBe("not_found");
});
