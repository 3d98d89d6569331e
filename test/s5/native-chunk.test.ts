/** A chunk is opened and read natively; the usual reader, JSON.parse and all, says what is right, and gets what is not of the usual form. */
import { createCipheriv, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { makeContentId } from "../../src/s5/cid.ts";
import { openChunkNatively } from "../../src/s5/native-chunk.ts";
import { openFile } from "../../src/s5/open-file.ts";
import { Opener } from "../../src/s5/opener.ts";
import type { MetadataForm, OpenChunkTask, Opened, RecordBatch } from "../../src/s5/opener-protocol.ts";
import { decodePayload } from "../../src/wire/index.ts";

const dimensions = 2;
const key = new SharedArrayBuffer(32);
new Uint8Array(key).set(randomBytes(32));

function seal(text: string | Buffer): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", new Uint8Array(key), nonce);
  const parts = [nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()];
  return Uint8Array.from(Buffer.concat(parts));
}

const taskOf = (text: string | Buffer, rows: number, form: MetadataForm = "metadata"): OpenChunkTask => ({
  kind: "chunk",
  encrypted: seal(text),
  chunkId: 3,
  dimensions,
  vectorCount: rows,
  metadataForm: form,
});

const usually = (task: OpenChunkTask): Opened => openFile({ number: 0, key, task }).answer;

function batchOf(opened: object | undefined): RecordBatch {
  if (opened === undefined || !("batch" in opened)) throw new Error(`no batch: ${JSON.stringify(opened)}`);
  return opened.batch as RecordBatch;
}

/** The key order of an object is not part of what it is. */
function readable({ metadata, metadataOffsets, ...rest }: RecordBatch): object {
  const payloads = rest.ids.map((_, row) =>
    decodePayload(metadata.subarray(metadataOffsets[row], metadataOffsets[row + 1])),
  );
  return { ...rest, payloads };
}

const chunk = (records: readonly object[]): string => JSON.stringify({ chunkId: 3, vectors: records });
const record = (metadata: string, id = '"a"'): string =>
  `{"chunkId":3,"vectors":[{"id":${id},"vector":[1,2],"metadata":${metadata}}]}`;

let seed = 7;
function below(max: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return (seed >>> 8) % max;
}
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;

const texts = ["", "a", "ä€😀", 'quo"te', "back\\slash", "line\nbreak\t\u0001", "/", "\u2028", "x".repeat(200), "_id"];
const numbers = [0, -0, 1, -1, 127, 128, 1.5, -2.25, 1e21, 5e-324, 2 ** 53, 2 ** 53 - 1, -(2 ** 53) + 1, 1e300, 0.1];
const keys = ["a", "b", "", "ä", "nested", "__proto__", "constructor", "0x", "-1", "key with space"];

function value(depth: number): unknown {
  const kind = below(depth > 4 ? 4 : 6);
  if (kind === 0) return pick(texts);
  if (kind === 1) return pick(numbers);
  if (kind === 2) return pick([true, false, null]);
  if (kind === 3) return below(1_000_000) / 7;
  if (kind === 4) return Array.from({ length: below(5) }, () => value(depth + 1));
  return object(depth + 1);
}

function object(depth: number): Record<string, unknown> {
  const made: Record<string, unknown> = Object.create(null);
  for (let left = below(depth === 1 ? 25 : 5); left > 0; left--)
    made[`${pick(keys)}${pick(["", "x", "y", "zz"])}`] = value(depth);
  return made;
}

const ids = (row: number): string =>
  pick([
    String(row),
    `18446744073709551${600 + row}`,
    `00${row}`,
    `word-${row}`,
    `Ünïcode 😀 ${row}`,
    `7c1e6f0a-3f0b-4d51-9d3c-5a5b8f6e${String(row).padStart(4, "0")}`,
    `7C1E6F0A-3f0b-4d51-9d3c-5A5B8F6E${String(row).padStart(4, "0")}`,
    `7c1e6f0a3f0b4d519d3c5a5b8f6e${String(row).padStart(4, "0")}`,
  ]);

describe("a chunk that is read natively", () => {
  it.each(["metadata", "payload"] as const)("has the ids, vectors and %s that the usual reader finds", async (form) => {
    for (let round = 0; round < 60; round++) {
      const records = Array.from({ length: below(20) }, (_, row) => ({
        id: ids(row),
        vector: [row / 3, -row],
        ...(below(5) === 0 ? {} : { metadata: below(10) === 0 ? null : object(1) }),
        ...(below(5) === 0 ? { other: value(1) } : {}),
      }));
      const text =
        below(2) === 0 ? chunk(records) : JSON.stringify({ v: value(1), vectors: records, chunkId: 3 }, null, 1);
      const task = taskOf(text, records.length, form);
      const again = { ...task, encrypted: Uint8Array.from(task.encrypted) };
      const read = batchOf(await openChunkNatively(task, key));
      expect(task.encrypted.length, "the file is given back").toBe(0);
      expect(readable(read), text).toEqual(readable(batchOf(usually(again))));
    }
  });

  it("has escapes resolved, surrogates included", async () => {
    const text = record(
      String.raw`{"t":"\u00e4\ud83d\ude00\u0000\"\\\/\b\f\n\r\té","l":[1.0,1e2,-0.0]}`,
      String.raw`"\u0061\u00df"`,
    );
    const read = batchOf(await openChunkNatively(taskOf(text, 1), key));
    expect(read.ids).toEqual(["aß"]);
    expect(readable(read)).toEqual(readable(batchOf(usually(taskOf(text, 1)))));
    expect(decodePayload(read.metadata)).toEqual({ t: 'ä😀\u0000"\\/\b\f\n\r\té', l: [1n, 100n, -0] });
  });

  it("keeps a record's id under _id once, where a collection's point has another", async () => {
    for (const metadata of ['{"_id":"word","b":1}', '{"b":1}', "null"]) {
      const text = record(metadata, '"word"');
      const read = readable(batchOf(await openChunkNatively(taskOf(text, 1, "payload"), key)));
      expect(read).toEqual(readable(batchOf(usually(taskOf(text, 1, "payload")))));
      expect(read).toMatchObject({ payloads: [{ _id: "word" }] });
    }
  });
});

/** Each is left, decrypted, to the usual reader, which takes it or names what is wrong. */
const unusual: readonly { what: string; text: string | Buffer; rows?: number }[] = (
  [
    ["a key twice", record('{"a":1,"a":2}')],
    ["a key twice among many", record(`{${Array.from({ length: 40 }, (_, i) => `"k${i % 39}":1`).join(",")}}`)],
    ["a key with an escape", record('{"\\u0061":1}')],
    ["a lone surrogate", record('{"a":"\\ud800"}')],
    ["half a pair", record('{"a":"\\ud800\\u0061"}')],
    ["the second half alone", record('{"a":"\\udc00"}')],
    ["a control character", record('{"a":"\u0001"}')],
    [
      "bytes that are no UTF-8",
      Buffer.concat([
        Buffer.from('{"chunkId":3,"vectors":[{"id":"a","vector":[1,2],"metadata":{"a":"'),
        Buffer.of(0xc3, 0x28),
        Buffer.from('"}}]}'),
      ]),
    ],
    ["the reserved key", record('{"$sealpoint":1}')],
    ["metadata that is a list", record("[1]")],
    ["metadata that is a text", record('"x"')],
    ["an id that is a number", record("{}", "7")],
    ["an empty id", record("{}", '""')],
    ["an id that is too long", record("{}", JSON.stringify("x".repeat(1_025)))],
    ["no id", '{"chunkId":3,"vectors":[{"vector":[1,2],"metadata":{}}]}'],
    ["no chunkId", '{"vectors":[{"id":"a","vector":[1,2]}]}'],
    ["another chunkId", '{"chunkId":4,"vectors":[{"id":"a","vector":[1,2]}]}'],
    ["a chunkId that is a text", '{"chunkId":"3","vectors":[{"id":"a","vector":[1,2]}]}'],
    ["more records", chunk([1, 2].map((id) => ({ id: `${id}`, vector: [1, 2] })))],
    ["fewer records", chunk([]), 1],
    ["what comes after the end", `${record("{}")}x`],
    ["a text cut short", record('{"a":[1,2').slice(0, -4)],
    ["a comma too many", record('{"a":[1,],"b":2}')],
    ["a word that is none", record('{"a":nul}')],
    ["deep nesting", record(`{"a":${"[".repeat(100)}${"]".repeat(100)}}`)],
    ["nesting beyond the limit", record(`{"a":${"[".repeat(500)}${"]".repeat(500)}}`)],
    ["a number beyond doubles", record('{"a":1e999}')],
    ["an unusual member beside metadata", '{"chunkId":3,"vectors":[{"id":"a","vector":[1,2],"x":{"a":1,"a":2}}]}'],
  ] as (readonly [what: string, text: string | Buffer, rows?: number])[]
).map(([what, text, rows]) => ({ what, text, ...(rows === undefined ? {} : { rows }) }));

describe("what is not of the usual form", () => {
  it.each(unusual)("$what is left to the usual reader", async ({ text, rows = 1 }) => {
    const task = taskOf(text, rows);
    const right = usually({ ...task, encrypted: Uint8Array.from(task.encrypted) });
    const left = await openChunkNatively(task, key);
    expect(left).toEqual({ unusual: { misnamed: false } });
    const read = usually({ ...task, opened: { misnamed: false } });
    if ("batch" in right) expect(readable(batchOf(read))).toEqual(readable(right.batch));
    else expect(read).toEqual(right);
  });

  it("goes through a thread, whatever it is, with the same answer", async () => {
    const opener = new Opener(2);
    try {
      const answers = await Promise.all([
        opener.open(taskOf(record('{"a":1,"a":2}'), 1), key),
        opener.open(taskOf(record('{"a":1}'), 1), key),
        opener.open(taskOf(record("[1]"), 1), key),
        opener.open(taskOf(record('{"b":1}'), 1), key),
      ]);
      expect(
        answers.map((answer) => ("batch" in answer ? decodePayload(answer.batch.metadata) : answer)),
      ).toMatchObject([
        { a: 2n },
        { a: 1n },
        { code: "MANIFEST_PARSE_ERROR", message: "chunk 3, vector 0: metadata must be an object" },
        { b: 1n },
      ]);
    } finally {
      await opener.close();
    }
  });

  it("a file that is not the one that its content id names is told apart from one that does not open", async () => {
    const task = taskOf(record("{}"), 1);
    const cid = makeContentId(task.encrypted);
    const other = makeContentId(Uint8Array.from([...task.encrypted].reverse()));
    const longer = makeContentId(Uint8Array.from([...task.encrypted, 0]));
    const open = (change: Partial<OpenChunkTask>) =>
      openChunkNatively({ ...task, encrypted: Uint8Array.from(task.encrypted), ...change }, key);
    expect(await open({ cid })).toMatchObject({ batch: { ids: ["a"] } });
    expect(await open({ cid: "no content id" })).toMatchObject({ batch: { ids: ["a"] } });
    for (const wrong of [other, longer])
      expect(await open({ cid: wrong })).toMatchObject({ code: "CHUNK_DOWNLOAD_FAILED", misnamed: true });
    const flipped = Uint8Array.from(task.encrypted);
    flipped[20] = (flipped[20] as number) ^ 1;
    expect(await open({ encrypted: Uint8Array.from(flipped) })).toMatchObject({
      code: "DECRYPTION_FAILED",
      misnamed: false,
    });
    expect(await open({ encrypted: Uint8Array.from(flipped), cid })).toMatchObject({
      code: "DECRYPTION_FAILED",
      misnamed: true,
    });
    expect(await open({ vectorCount: 2, cid: other })).toEqual({ unusual: { misnamed: true } });
  });

  it("a file too small for its numbers is not even opened here", async () => {
    const task = { ...taskOf(record("{}"), 1), vectorCount: 4_000_000_000 };
    expect(await openChunkNatively(task, key)).toBeUndefined();
    expect(usually(task)).toMatchObject({ code: "VECTOR_COUNT_MISMATCH" });
  });
});
