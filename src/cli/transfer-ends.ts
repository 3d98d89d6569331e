/** The two ends of a transfer: a collection of a server, or a file of lines. Pages are bounded, so memory is too. */
import { createReadStream, existsSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createInterface } from "node:readline";
import {
  clientCalls,
  creationOf,
  headerLine,
  idText,
  indexesOf,
  pointLine,
  readHeader,
  readPointLine,
  type TransferInfo,
  type TransferPoint,
  type TransferPointId,
  toUpsertPoint,
} from "../wire/index.ts";
import { isTooLarge, type Peer } from "./peer.ts";

/** Characters of one line: a payload at its limit, and a vector. */
const lineLengthMax = 64 * 1024 * 1024;

export interface Page {
  readonly points: readonly TransferPoint[];
  /** Where the next page begins; undefined at the end. */
  readonly next: string | undefined;
}

export interface Source {
  readonly collection: string;
  readonly count: number;
  readonly creation: ReturnType<typeof creationOf>;
  readonly indexes: ReturnType<typeof indexesOf>;
  pages(from: string | undefined, size: number): AsyncGenerator<Page>;
}

export async function serverSource(peer: Peer, collection: string): Promise<Source & { readonly info: TransferInfo }> {
  const { result: info } = await peer.ask(clientCalls.collectionInfo, { collectionName: collection });
  if (info === undefined) throw new Error(`${peer.address}: no answer about ${collection}`);
  const { result } = await peer.ask(clientCalls.count, { collectionName: collection, exact: true });
  return {
    info,
    collection,
    count: Number(result?.count ?? 0n),
    creation: creationOf(collection, info),
    indexes: indexesOf(collection, info.payloadSchema),
    async *pages(from, size) {
      let limit = size;
      for (let offset = from; ; ) {
        let answer: Awaited<ReturnType<typeof scroll>>;
        const scroll = () =>
          peer.ask(clientCalls.scroll, {
            collectionName: collection,
            limit,
            offset: offset === undefined ? undefined : readId(offset),
            withPayload: { selectorOptions: { case: "enable", value: true } },
            withVectors: { selectorOptions: { case: "enable", value: true } },
          });
        try {
          answer = await scroll();
        } catch (error) {
          // Large points: fewer at a time.
          if (!isTooLarge(error) || limit === 1) throw error;
          limit = Math.ceil(limit / 2);
          continue;
        }
        offset = answer.nextPageOffset === undefined ? undefined : idText(answer.nextPageOffset);
        yield { points: answer.result.map(toUpsertPoint), next: offset };
        if (offset === undefined) return;
      }
    },
  };
}

function readId(text: string): { pointIdOptions: TransferPointId["pointIdOptions"] } {
  const value = text.startsWith('"') ? (JSON.parse(text) as string) : undefined;
  return {
    pointIdOptions: value === undefined ? { case: "num", value: BigInt(text) } : { case: "uuid", value },
  };
}

/** Cursors of a file are numbers of lines that are done, the header's not counted. */
export async function fileSource(path: string): Promise<Source> {
  const lines = (): AsyncIterable<string> =>
    createInterface({ input: createReadStream(path, { highWaterMark: 1 << 20 }), crlfDelay: Number.POSITIVE_INFINITY });
  let first = "";
  for await (const line of lines()) {
    first = line;
    break;
  }
  const header = readHeader(first);
  return {
    collection: header.collection,
    count: header.points,
    creation: header.creation as Source["creation"],
    indexes: header.indexes as Source["indexes"],
    async *pages(from, size) {
      const skip = Number(from ?? 0);
      let done = -1;
      let points: TransferPoint[] = [];
      for await (const line of lines()) {
        done += 1;
        if (done === 0 || done <= skip || line === "") continue;
        if (line.length > lineLengthMax) throw new Error(`${path}: line ${done + 1} is too long`);
        try {
          points.push(readPointLine(line));
        } catch (error) {
          throw new Error(`${path}: line ${done + 1}: ${error instanceof Error ? error.message : error}`);
        }
        if (points.length < size) continue;
        yield { points, next: String(done) };
        points = [];
      }
      yield { points, next: undefined };
    },
  };
}

export interface Sink {
  /** Stores the points durably; where the next ones go. */
  write(points: readonly TransferPoint[]): Promise<number>;
  finish(): Promise<void>;
  close(): Promise<void>;
}

export function serverSink(peer: Peer, collectionName: string, publicKey: string | undefined): Sink {
  const send = async (points: readonly TransferPoint[]): Promise<void> => {
    try {
      await peer.ask(clientCalls.upsert, { collectionName, wait: true, points: [...points], publicKey });
    } catch (error) {
      if (!isTooLarge(error) || points.length < 2) throw error;
      await send(points.slice(0, points.length >> 1));
      await send(points.slice(points.length >> 1));
    }
  };
  return {
    async write(points) {
      if (points.length > 0) await send(points);
      return 0;
    },
    finish: async () => {},
    close: async () => {},
  };
}

/** `position`: how many bytes of the file are done; what lies behind them is written again. */
export async function fileSink(path: string, source: Source & { info: TransferInfo }, position: number): Promise<Sink> {
  const resumes = position > 0 && existsSync(path) && statSync(path).size >= position;
  if (position > 0 && !resumes) throw new Error(`${path}: is shorter than the state file says`);
  const file: FileHandle = await open(path, resumes ? "r+" : "wx", 0o600);
  let at = position;
  const append = async (text: string): Promise<void> => {
    const bytes = Buffer.from(text);
    for (let from = 0; from < bytes.length; ) {
      from += (await file.write(bytes, from, bytes.length - from, at + from)).bytesWritten;
    }
    at += bytes.length;
  };
  if (resumes) await file.truncate(position);
  else await append(`${headerLine(source.collection, source.info)}\n`);
  return {
    async write(points) {
      await append(points.map((point) => `${pointLine(point)}\n`).join(""));
      await file.datasync();
      return at;
    },
    finish: () => file.sync(),
    close: () => file.close(),
  };
}
