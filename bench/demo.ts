/**
 * `make demo`: the main job end to end. Documents stream in over gRPC, each payload sealed for its owner before it leaves this
 * process; the server indexes what it cannot read; searches find it, and only the owner's key opens the answers.
 *   node bench/demo.ts [--server HOST:PORT] [--data DIR] [--seal-at client|server] [--keep]
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";
import { CollectionStatus, Distance } from "../clients/typescript/gen/qdrant/collections_pb.js";
import { SealingMode } from "../clients/typescript/gen/sealpoint/policy/v1/policy_pb.js";
import {
  connect,
  generateKey,
  type Hit,
  OpenError,
  open,
  type Payload,
  type Point,
  payloadFromMessage,
  type SealpointClient,
  toBase64Url,
} from "../clients/typescript/src/index.ts";
import { BenchServer, root } from "./server.ts";

const { values: flags } = parseArgs({
  options: {
    server: { type: "string" },
    data: { type: "string" },
    "seal-at": { type: "string", default: "client" },
    keep: { type: "boolean", default: false },
  },
});

const dimensions = 384;
const chunkPoints = 500;
const clearFields = ["lexname", "n_words"];
const collection = `demo-${process.pid}`;
const fullData = resolve(root, "../shared/data/wordnet");
const data = resolve(
  flags.data ?? (existsSync(join(fullData, "vectors.f16")) ? fullData : join(root, "test/data/wordnet-2000")),
);

interface Document {
  readonly id: number;
  readonly word: string;
  readonly pos: string;
  readonly lexname: string;
  readonly gloss: string;
  readonly n_words: number;
}

function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

function readRows(file: string): (row: number) => Float32Array {
  const bytes = readFileSync(join(data, file));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (row) =>
    Float32Array.from({ length: dimensions }, (_, d) => view.getFloat16((row * dimensions + d) * 2, true));
}

function readLines<T>(text: string): T[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

const isTerminal = process.stderr.isTTY === true;
let lastTenth = -1;

/** A bar on a terminal; a line for each tenth elsewhere, so that a log stays readable. */
function showProgress(done: number, total: number, startedMs: number): void {
  const share = total === 0 ? 1 : done / total;
  const perSecond = Math.round(done / Math.max(0.001, (performance.now() - startedMs) / 1000));
  const text = `${done.toLocaleString("en-US")} of ${total.toLocaleString("en-US")} documents, ${perSecond.toLocaleString("en-US")}/s`;
  if (isTerminal) {
    const width = 40;
    const filled = Math.round(share * width);
    process.stderr.write(
      `\r  [${"#".repeat(filled)}${".".repeat(width - filled)}] ${Math.floor(share * 100)} %  ${text}   `,
    );
    if (done === total) process.stderr.write("\n");
    return;
  }
  const tenth = Math.floor(share * 10);
  if (tenth === lastTenth) return;
  lastTenth = tenth;
  process.stderr.write(`  [${"#".repeat(tenth)}${".".repeat(10 - tenth)}] ${text}\n`);
}

async function* makeChunks(documents: readonly Document[]): AsyncGenerator<Point[]> {
  const vector = readRows("vectors.f16");
  for (let first = 0; first < documents.length; first += chunkPoints) {
    yield documents
      .slice(first, first + chunkPoints)
      .map(({ id, ...payload }) => ({ id, vector: vector(id), payload }));
  }
}

async function waitGreen(client: SealpointClient): Promise<number> {
  const started = performance.now();
  while (true) {
    const { result } = await client.collections.get({ collectionName: collection });
    if (result?.status === CollectionStatus.Green) return (performance.now() - started) / 1000;
    if (result?.status === CollectionStatus.Red) throw new Error("the collection is red");
    await sleep(250);
  }
}

function printHits(hits: readonly Hit[]): void {
  for (const { score, payload } of hits) {
    say(
      `    ${score.toFixed(4)}  ${String(payload.word).padEnd(18)} ${String(payload.lexname).padEnd(16)} ${payload.gloss}`,
    );
  }
}

/** As JSON, with long texts cut: ciphertext tells a reader nothing. */
function printPayload(payload: Payload): void {
  const text = JSON.stringify(
    payload,
    (_, value) => {
      if (typeof value === "bigint") return Number(value);
      return typeof value === "string" && value.length > 72 ? `${value.slice(0, 69)}...` : value;
    },
    2,
  );
  say(text.replace(/^/gm, "    "));
}

async function runDemo(address: string): Promise<void> {
  const documents = readLines<Document>(gunzipSync(readFileSync(join(data, "payloads.jsonl.gz"))).toString("utf8"));
  const queries = readLines<Document>(readFileSync(join(data, "queries.jsonl"), "utf8"));
  const queryVector = readRows("queries.f16");
  if (data !== fullData) say(`Not the full data set: the demo uses the ${documents.length} documents of ${data}.`);

  const key = generateKey();
  const recipient = toBase64Url(key.publicKey.spki);
  say(
    `\n1. The owner's key pair is made here; the server only ever sees the public half.\n   ${recipient.slice(0, 60)}...`,
  );

  await using plain = connect(address);
  await plain.collections.create({
    collectionName: collection,
    vectorsConfig: { config: { case: "params", value: { size: BigInt(dimensions), distance: Distance.Cosine } } },
    sealing: { mode: SealingMode.REQUIRED, recipients: [recipient], clearFields },
  });
  const sealingId = (await plain.getPolicy(collection))?.sealingId;
  if (sealingId === undefined) throw new Error("the collection has no sealing id");
  say(`\n2. Collection ${collection}: sealing is required; only ${clearFields.join(" and ")} stay readable.`);

  const atClient = flags["seal-at"] !== "server";
  const pin = { publicKey: recipient, sealingId, clearFields };
  await using owner = connect(address, { sealing: { collections: { [collection]: pin }, privateKey: key } });
  say(
    `\n3. ${documents.length.toLocaleString("en-US")} documents over sealpoint.v1.Ingest/BulkUpsert, sealed per batch ${atClient ? "in this client" : "in the server"}.`,
  );
  const started = performance.now();
  let stored = 0;
  showProgress(0, documents.length, started);
  const writer = atClient ? owner : plain;
  const streamOptions = { streamId: collection, publicKey: atClient ? undefined : recipient };
  for await (const ack of writer.bulkUpsert(collection, makeChunks(documents), streamOptions)) {
    const refused = ack.refused[0];
    if (refused !== undefined) throw new Error(`${ack.refused.length} points refused, the first: ${refused.message}`);
    stored += ack.pointsApplied;
    showProgress(stored, documents.length, started);
  }
  const { plain: readable, total } = await plain.sealing.countPlain({ collectionName: collection });
  say(`   stored and durable; ${readable} of ${total} points hold anything readable beyond the clear fields.`);
  const seconds = await waitGreen(plain);
  say(`   indexed ${seconds.toFixed(1)} s later.`);

  say("\n4. Searches; the answers come sealed and are opened here with the owner's key.");
  for (const row of [0, 1, 2]) {
    say(`\n   ${queries[row]?.word}: ${queries[row]?.gloss}`);
    printHits(await owner.query(collection, { vector: queryVector(row), limit: 3, hnswEf: 128 }));
  }
  const lexname = "noun.artifact";
  say(`\n   The second again, only ${lexname} with at most 10 words (filters work on clear fields):`);
  const must = [
    { key: "lexname", match: { matchValue: { case: "keyword" as const, value: lexname } } },
    { key: "n_words", range: { lte: 10 } },
  ].map((value) => ({ conditionOneOf: { case: "field" as const, value } }));
  printHits(await owner.query(collection, { vector: queryVector(1), limit: 3, hnswEf: 128, filter: { must } }));

  const id = 0n;
  const found = await plain.points.get({
    collectionName: collection,
    ids: [{ pointIdOptions: { case: "num", value: id } }],
    withPayload: { selectorOptions: { case: "enable", value: true } },
  });
  const sealed = payloadFromMessage(found.result[0]?.payload ?? {});
  say(`\n5. Point ${id} as stored, which is all that the server, its disk and its backups have:`);
  printPayload(sealed);
  say("\n   The same, opened by its owner:");
  printPayload(open(sealed, { id, privateKey: key, acceptedSealingIds: [sealingId] }));
  try {
    open(sealed, { id, privateKey: generateKey() });
    throw new Error("another key opened the payload");
  } catch (error) {
    if (!(error instanceof OpenError)) throw error;
    say(`\n   And with anybody else's key: ${error.message}`);
  }
  if (flags.keep) say(`\nThe collection ${collection} stays.`);
  else await plain.deleteCollection(collection);
}

const server = flags.server === undefined ? await BenchServer.create() : undefined;
try {
  const address = flags.server ?? `127.0.0.1:${server?.grpcPort}`;
  say(`Sealpoint on ${address}${server === undefined ? "" : ", started for this demo in a temporary folder"}`);
  await runDemo(address);
} finally {
  await server?.remove();
}
