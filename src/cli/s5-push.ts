/** `sealpoint s5 push`: writes a collection out as an encrypted S5 database, chunk by chunk, the manifest last. */
import { createCipheriv, randomBytes } from "node:crypto";
import type { Command } from "commander";
import { sealedKey } from "../core/index.ts";
import type { DatabaseManifest } from "../s5/index.ts";
import { denseOf, idText, payloadJson, type TransferPoint } from "../wire/index.ts";
import { Peer } from "./peer.ts";
import { readKey } from "./s5-key.ts";
import { fileSource, type Source, serverSource } from "./transfer-ends.ts";

interface PushOptions {
  readonly from: string;
  readonly collection?: string;
  readonly vector: string;
  readonly user: string;
  readonly database?: string;
  readonly description?: string;
  readonly keyFile?: string;
  readonly portal: string;
  readonly chunk: string;
}

const pagePoints = 256;
const chunkPointsMax = 20_000;
const attemptsMax = 5;
const putTimeoutMs = 60_000;
/** Digits that tell every float32 from its neighbours (IEEE 754-2019, section 5.12.2). */
const floatDigits = 9;

export function addS5PushCommand(s5: Command): void {
  s5.command("push")
    .description("write a collection out as an encrypted S5 database")
    .option("--from <url|file>", "gRPC URL of the server, Qdrant's or ours, or a .jsonl", "http://127.0.0.1:6334")
    .option("--collection <name>", "the collection (a file names its own)")
    .option("--vector <name>", "the vector of that name", "")
    .requiredOption("--user <address>", "the owner's address: the folder, and the manifest's owner")
    .option("--database <name>", "name of the database (default: the collection's)")
    .option("--description <text>", "what the manifest says of it")
    .option("--key-file <file>", "the key: 32 bytes, or hex or base64 of them (default: S5_SESSION_KEY)")
    .option("--portal <url>", "where to write it", process.env.S5_PORTAL_URL ?? "http://127.0.0.1:5522")
    .option("--chunk <points>", `vectors of one chunk, at most ${chunkPointsMax}`, "2500")
    .addHelpText(
      "after",
      `
Chunks are written first and the manifest last, so a reader sees the old database or the new one. A point's id becomes the vector's id, or what
its payload has under _id. The payload becomes the metadata; numbers of a whole value become integers there. Sealed points are refused.
The source's API key: SEALPOINT_SOURCE_API_KEY.`,
    )
    .action(async (options: PushOptions) => {
      const peer = /^https?:\/\//.test(options.from)
        ? new Peer(options.from, process.env.SEALPOINT_SOURCE_API_KEY)
        : undefined;
      try {
        if (peer !== undefined && options.collection === undefined) throw new Error("--collection is needed");
        const source =
          peer === undefined ? await fileSource(options.from) : await serverSource(peer, options.collection as string);
        const { vectors, chunks, path } = await push(source, options);
        process.stdout.write(`pushed ${vectors} vectors in ${chunks} chunks: ${path}\n`);
      } finally {
        peer?.close();
      }
    });
}

interface Record {
  readonly dimensions: number;
  readonly text: string;
  readonly folderPath: unknown;
}

function recordOf(point: TransferPoint, vector: string): Record {
  const id = idText(point.id);
  const { [sealedKey]: sealed, _id: original, ...payload } = point.payload;
  if (sealed !== undefined) throw new Error(`point ${id} is sealed: push what its owner can read`);
  const dense = denseOf(point);
  if (dense === undefined || dense.using !== vector) {
    throw new Error(`point ${id} has no dense vector ${vector === "" ? "without a name" : `\`${vector}\``}`);
  }
  const { kind: given } = original ?? { kind: { case: undefined } };
  const name = given.case === "stringValue" ? given.value : id.replaceAll('"', "");
  const values = dense.data.map((value) => Number(value.toPrecision(floatDigits)));
  const metadata = payloadJson({ ...point, payload });
  const folder = payload.folderPath?.kind;
  return {
    dimensions: dense.data.length,
    text: `{"id":${JSON.stringify(name)},"vector":${JSON.stringify(values)},"metadata":${metadata}}`,
    folderPath: folder?.case === "stringValue" ? folder.value : undefined,
  };
}

async function push(
  source: Source,
  options: PushOptions,
): Promise<{ readonly vectors: number; readonly chunks: number; readonly path: string }> {
  const { makeContentId, parseManifestPath } = await import("../s5/index.ts");
  const chunkPoints = Number(options.chunk);
  if (!Number.isInteger(chunkPoints) || chunkPoints < 1 || chunkPoints > chunkPointsMax) {
    throw new Error(`--chunk: must be 1 to ${chunkPointsMax}`);
  }
  const database = options.database ?? source.collection;
  const path = `home/vector-databases/${options.user}/${database}/manifest.json`;
  const { folder } = parseManifestPath(path);
  const key = readKey(options.keyFile);
  const before = await chunksOf(options.portal, folder);
  const folderPaths = new Set<string>();
  const chunks: DatabaseManifest["chunks"][number][] = [];
  let dimensions: number | undefined;
  let vectors = 0;
  let records: string[] = [];
  const finishChunk = async (): Promise<void> => {
    const chunkId = chunks.length;
    const file = encrypt(key, `{"chunkId":${chunkId},"vectors":[${records.join(",")}]}`);
    await put(options.portal, `${folder}/chunk-${chunkId}.json`, file);
    const cid = makeContentId(file);
    chunks.push({ chunkId, cid, vectorCount: records.length, sizeBytes: file.length, updatedAt: Date.now() });
    vectors += records.length;
    records = [];
    process.stderr.write(`\r${vectors} of ${source.count} vectors, ${chunks.length} chunks`);
  };
  try {
    for await (const { points } of source.pages(undefined, pagePoints)) {
      for (const point of points) {
        const record = recordOf(point, options.vector);
        dimensions ??= record.dimensions;
        if (record.dimensions !== dimensions) throw new Error(`point ${idText(point.id)} has other dimensions`);
        if (typeof record.folderPath === "string") folderPaths.add(record.folderPath);
        records.push(record.text);
        if (records.length === chunkPoints) await finishChunk();
      }
    }
    if (records.length > 0) await finishChunk();
    if (dimensions === undefined) throw new Error("the collection has no points");
    const now = Date.now();
    const manifest: DatabaseManifest = {
      name: database,
      owner: options.user,
      description: options.description ?? "",
      dimensions,
      vectorCount: vectors,
      storageSizeBytes: chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      created: now,
      lastAccessed: now,
      updated: now,
      chunks,
      chunkCount: chunks.length,
      folderPaths: [...folderPaths].sort(),
      deleted: false,
    };
    await put(options.portal, path, encrypt(key, JSON.stringify(manifest)));
    // Chunks of a longer database that was here before.
    for (const name of before) {
      if (Number(/^chunk-(\d+)\.json$/.exec(name)?.[1] ?? -1) >= chunks.length) {
        await send(options.portal, "DELETE", `${folder}/${name}`);
      }
    }
    return { vectors, chunks: chunks.length, path };
  } finally {
    key.fill(0);
    process.stderr.write("\n");
  }
}

/** 12 bytes of nonce, the ciphertext, 16 bytes of tag: as every file of an S5 database. */
function encrypt(key: Uint8Array, text: string): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  return Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

async function send(portal: string, method: string, path: string, body?: Buffer): Promise<Response> {
  const url = `${portal.replace(/\/+$/, "")}/s5/fs/${path.split("/").map(encodeURIComponent).join("/")}`;
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await fetch(url, {
        method,
        signal: AbortSignal.timeout(putTimeoutMs),
        ...(body === undefined ? {} : { body: new Uint8Array(body) }),
      });
      if (answer.ok || (answer.status === 404 && method !== "PUT")) return answer;
      await answer.body?.cancel();
      if (answer.status !== 429 && answer.status < 500) throw new Error(`${method} ${path}: status ${answer.status}`);
      if (attempt === attemptsMax) throw new Error(`${method} ${path}: status ${answer.status}`);
    } catch (error) {
      if (attempt === attemptsMax || (error instanceof Error && / status 4\d\d$/.test(error.message))) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt * (0.5 + Math.random())));
  }
}

async function put(portal: string, path: string, body: Buffer): Promise<void> {
  await (await send(portal, "PUT", path, body)).body?.cancel();
}

async function chunksOf(portal: string, folder: string): Promise<string[]> {
  const answer = await send(portal, "GET", folder);
  if (!answer.ok) return [];
  const { entries = [] } = (await answer.json().catch(() => ({}))) as {
    entries?: readonly { readonly name: string }[];
  };
  return entries.map(({ name }) => name);
}
