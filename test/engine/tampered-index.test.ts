/**
 * Somebody changes the files of a saved index. Whatever they do, it opens for nobody, or a search fails, or it answers what is right; and it
 * never answers anything else.
 */
import { randomBytes } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { SealedIndexes } from "../../src/engine/embedded/index.ts";
import { AttachmentTable } from "../../src/engine/index.ts";
import { type RecordBatch, type SessionIndex, toPointId } from "../../src/s5/index.ts";
import { decodePayload, encodePayload } from "../../src/wire/payload.ts";
import { temporaryFolder } from "./support.ts";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const key = randomBytes(32);
const name = "kept";
const head = 32;
const sealedBlock = 1_024 + 28;

function start() {
  const temporary = temporaryFolder();
  closers.push(() => temporary.remove());
  const files = join(temporary.path, "s5");
  const indexes = () =>
    new SealedIndexes({ folder: files, attachments: new AttachmentTable(), collectionExists: async () => false });
  return { files, pristine: join(temporary.path, "pristine"), indexes };
}

function batchOf(chunkId: number, first: number, count: number, dimensions: number, word = "word"): RecordBatch {
  const vectors = new Float32Array(count * dimensions);
  for (let i = 0; i < vectors.length; i++) {
    const row = first + Math.floor(i / dimensions);
    vectors[i] = Math.sin((row + 1) * 37.7 + (i % dimensions) * (1 + (row % 13)));
  }
  const ids = Array.from({ length: count }, (_, i) => String(first + i));
  const parts = ids.map((id) => encodePayload({ word: `${word} ${id}` }));
  const metadataOffsets = Uint32Array.from([
    0,
    ...parts.map((_, i) => parts.slice(0, i + 1).reduce((a, b) => a + b.length, 0)),
  ]);
  return {
    chunkId,
    dimensions,
    ids,
    pointIds: ids.map(toPointId),
    vectors,
    metadata: Buffer.concat(parts),
    metadataOffsets,
  };
}

type Answers = readonly (readonly { id: string; score: number; word: unknown }[])[];

async function answers(index: SessionIndex, exact: boolean, k: number): Promise<Answers> {
  const all = [];
  for (const seed of [3, 17, 60]) {
    const vector = Float32Array.from(batchOf(0, seed, 1, index.dimensions).vectors);
    const hits = await index.search({ vector, k, exact });
    all.push(hits.map(({ id, score, metadata }) => ({ id, score, word: decodePayload(metadata).word })));
  }
  return all;
}

/** What came of a change: the index opened for nobody, a search failed, or all was as it should be. `indexes` know of no earlier state, as after a start. */
async function outcome(indexes: SealedIndexes, right: Answers, exact: boolean, what: string) {
  const opened = await indexes.open(name, key);
  if (opened === undefined) return "refused";
  const { index } = opened;
  const given = await answers(index, exact, right[0]?.length ?? 0).catch((error: unknown) => error);
  await index.close();
  if (given instanceof Error) {
    expect((given as { kind?: string }).kind, `${what}: ${given.message}`).toBe("data_loss");
    return "failed";
  }
  expect(given, what).toEqual(right);
  return "right";
}

const filesUnder = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

function restore({ files, pristine }: { files: string; pristine: string }): void {
  rmSync(files, { recursive: true, force: true });
  cpSync(pristine, files, { recursive: true });
}

test("any byte of any file", { timeout: 300_000 }, async () => {
  const place = start();
  const indexes = place.indexes();
  const index = await indexes.create({ dimensions: 8 });
  for (let chunk = 0; chunk < 3; chunk++) await index.add(batchOf(chunk, chunk * 30, 30, 8));
  const right = await answers(index, true, 90);
  await index.save(name, key, Buffer.from("note"));
  await index.close();
  cpSync(place.files, place.pristine, { recursive: true });
  // A state that is opened again and again stays what was saved.
  for (let i = 0; i < 3; i++) expect(await outcome(place.indexes(), right, true, "untouched")).toBe("right");

  const told: Record<string, number> = {};
  const sealed: string[] = [];
  for (const file of filesUnder(place.pristine)) {
    const size = readFileSync(join(place.pristine, file)).length;
    // Room that is kept free for a full disk.
    if (size === 0 || file.endsWith("ballast")) continue;
    const step = Math.max(1, Math.floor(size / 14));
    const places = new Set([0, 9, head, head + 13, size - 1]);
    for (let at = step >> 1; at < size; at += step) places.add(at);
    for (const at of [...places].filter((one) => one < size)) {
      restore(place);
      const bytes = readFileSync(join(place.files, file));
      bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
      writeFileSync(join(place.files, file), bytes);
      const what = await outcome(place.indexes(), right, true, `${file} at ${at} of ${size}`);
      told[what] = (told[what] ?? 0) + 1;
      if (/\.(sst|blob|index)$|MANIFEST/.test(file)) {
        sealed.push(`${file} ${at}: ${what}`);
        expect(what, `${file} at ${at} of ${size}`).not.toBe("right");
      }
    }
    // Cut short, by a byte and by whole blocks.
    for (const length of [size - 1, head, size - sealedBlock].filter((one) => one >= 0)) {
      restore(place);
      truncateSync(join(place.files, file), length);
      await outcome(place.indexes(), right, true, `${file} cut to ${length} of ${size}`);
    }
  }
  expect(sealed.length).toBeGreaterThan(60);
  expect(told.refused).toBeGreaterThan(40);
});

test("files that change places, and an older state of the folder", { timeout: 120_000 }, async () => {
  const place = start();
  const indexes = place.indexes();
  const index = await indexes.create({ dimensions: 8 });
  await index.add(batchOf(0, 0, 60, 8));
  await index.save(name, key, Buffer.from("one"));
  cpSync(place.files, join(place.pristine, "older"), { recursive: true });
  await index.stage(batchOf(0, 0, 60, 8, "newer"));
  await index.publish([0]);
  await index.save(name, key, Buffer.from("two"));
  const right = await answers(index, true, 60);
  expect(right[0]?.[0]?.word).toContain("newer");
  await index.close();
  const newer = { files: place.files, pristine: join(place.pristine, "newer") };
  cpSync(place.files, newer.pristine, { recursive: true });
  expect(await outcome(place.indexes(), right, true, "untouched")).toBe("right");

  const pointer = `${name}.index`;
  const folder = readdirSync(newer.pristine).find((each) => each !== pointer) as string;
  // The older folder under the newer index file, and the other way round.
  restore(newer);
  rmSync(join(place.files, folder), { recursive: true });
  cpSync(join(place.pristine, "older", folder), join(place.files, folder), { recursive: true });
  expect(await outcome(place.indexes(), right, true, "an older folder")).toBe("refused");
  restore(newer);
  cpSync(join(place.pristine, "older", pointer), join(place.files, pointer));
  expect(await outcome(place.indexes(), right, true, "an older index file")).toBe("refused");
  // A manifest of before, whose files are brought back.
  restore(newer);
  const store = join(place.files, folder, "store");
  for (const file of readdirSync(join(place.pristine, "older", folder, "store"))) {
    cpSync(join(place.pristine, "older", folder, "store", file), join(store, file));
  }
  expect(await outcome(place.indexes(), right, true, "an older manifest")).not.toBe("right");

  // Tables and blob files in each other's places.
  for (const kind of [".sst", ".blob"]) {
    const [first, second] = readdirSync(join(newer.pristine, folder, "store")).filter((file) => file.endsWith(kind));
    if (first === undefined || second === undefined) continue;
    restore(newer);
    cpSync(join(newer.pristine, folder, "store", first), join(store, second));
    cpSync(join(newer.pristine, folder, "store", second), join(store, first));
    expect(await outcome(place.indexes(), right, true, `${kind} files in each other's places`)).not.toBe("right");
  }
});

test("the segment with its graph", { timeout: 240_000 }, async () => {
  const place = start();
  const indexes = place.indexes();
  const dimensions = 512;
  const index = await indexes.create({ dimensions });
  for (let chunk = 0; chunk < 6; chunk++) await index.add(batchOf(chunk, chunk * 1_000, 1_000, dimensions));
  await index.buildGraph();
  const right = await answers(index, false, 10);
  await index.save(name, key, new Uint8Array());
  await index.close();
  cpSync(place.files, place.pristine, { recursive: true });
  expect(await outcome(place.indexes(), right, false, "untouched")).toBe("right");
  const segment = filesUnder(place.pristine).find((file) => /segments\/.*\/[0-9a-f]{16}/.test(file)) as string;
  const pristine = readFileSync(join(place.pristine, segment));
  expect(pristine.length).toBeGreaterThan(6_000 * dimensions * 4);
  const told = new Set<string>();
  for (const share of [0, 0.000001, 0.001, 0.01, 0.05, 0.1, 0.15, 0.2, 0.21, 0.22, 0.25, 0.5, 0.9]) {
    restore(place);
    const bytes = Buffer.from(pristine);
    const at = Math.floor(share * bytes.length);
    bytes[at] = (bytes[at] as number) ^ 4;
    writeFileSync(join(place.files, segment), bytes);
    told.add(await outcome(place.indexes(), right, false, `the segment at ${at}`));
  }
  expect(told.has("refused")).toBe(true);
  // Two blocks of rows change places.
  restore(place);
  const bytes = Buffer.from(pristine);
  const last = Math.floor((bytes.length - head) / sealedBlock) - 1;
  for (let block = 0; block < 200; block++) {
    const from = head + (last - block) * sealedBlock;
    const to = head + (last - 400 + block) * sealedBlock;
    pristine.copy(bytes, from, to, to + sealedBlock);
    pristine.copy(bytes, to, from, from + sealedBlock);
  }
  writeFileSync(join(place.files, segment), bytes);
  await outcome(place.indexes(), right, false, "blocks of rows in each other's places");
});
