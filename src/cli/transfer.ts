/** `sealpoint import` and `sealpoint export`: copies a collection, page by page, and goes on where it was stopped. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { parsePublicKey } from "../seal/index.ts";
import { clientCalls } from "../wire/index.ts";
import { Peer } from "./peer.ts";
import { fileSink, fileSource, type Sink, type Source, serverSink, serverSource } from "./transfer-ends.ts";
import { verifyTransfer } from "./transfer-verify.ts";

interface TransferOptions {
  readonly from: string;
  readonly to: string;
  readonly collection?: string;
  readonly as?: string;
  readonly batch: string;
  readonly state?: string;
  readonly sealTo?: string;
  readonly append?: boolean;
  readonly dryRun?: boolean;
  readonly keep?: boolean;
  readonly verify?: boolean;
}

interface State {
  readonly from: string;
  readonly to: string;
  readonly collection: string;
  /** As it was given: what is left must not be stored readable. */
  readonly sealTo?: string;
  readonly made: boolean;
  readonly done: number;
  /** Of the source's next page. */
  readonly next?: string;
  /** Bytes of the target file. */
  readonly position: number;
}

const batchMax = 10_000;
const isUrl = (text: string): boolean => /^https?:\/\//.test(text);

export function addTransferCommands(program: Command): void {
  const ends = {
    import: "copy a collection from a server or a file into a server",
    export: "copy a collection from a server into a file or a server",
  };
  for (const [name, description] of Object.entries(ends)) {
    const local = "http://127.0.0.1:6334";
    const command = program.command(name).description(description);
    if (name === "import") {
      command
        .requiredOption("--from <url|file>", "gRPC URL of the source (http://host:6334), Qdrant's or ours, or a .jsonl")
        .option("--to <url>", "gRPC URL of the target", local);
    } else {
      command
        .option("--from <url>", "gRPC URL of the source, Qdrant's or ours", local)
        .requiredOption("--to <file|url>", "a .jsonl file that does not exist yet, or the gRPC URL of the target");
    }
    command
      .option("--collection <name>", "collection of the source (a file names its own)")
      .option("--as <name>", "name at the target (default: the same)")
      .option("--batch <points>", "points of one page", "256")
      .option("--state <file>", "where the progress is kept (default: {target collection or file}.transfer.json)")
      .option("--seal-to <key.pem>", "public key to which the target, a Sealpoint server, seals every payload")
      .option("--append", "into a collection that exists already")
      .option("--dry-run", "say what would be done, and do nothing")
      .option("--keep", "leave what was copied when the transfer fails")
      .option("--verify", "compare source and target afterwards: counts, every payload and vector, sampled searches")
      .addHelpText(
        "after",
        `
A transfer that was stopped goes on when it is started again with the same options. One that fails removes the collection that
it made, unless --keep is given. API keys: SEALPOINT_SOURCE_API_KEY, SEALPOINT_TARGET_API_KEY.

Exit codes: 0 done, 1 failed, 2 done but the verification found differences, 130 stopped by a signal.`,
      )
      .action(async (options: TransferOptions) => {
        process.exitCode = await transfer(options);
      });
  }
}

async function transfer(options: TransferOptions): Promise<number> {
  const batch = Number(options.batch);
  if (!Number.isInteger(batch) || batch < 1 || batch > batchMax) throw new Error(`--batch: must be 1 to ${batchMax}`);
  const peers: Peer[] = [];
  const connect = (url: string, key: string): Peer => {
    const peer = new Peer(url, process.env[key]);
    peers.push(peer);
    return peer;
  };
  try {
    let source: Awaited<ReturnType<typeof serverSource>> | Source;
    if (isUrl(options.from)) {
      if (options.collection === undefined) throw new Error("--collection: which one?");
      source = await serverSource(connect(options.from, "SEALPOINT_SOURCE_API_KEY"), options.collection);
    } else {
      source = await fileSource(options.from);
    }
    const target = options.as ?? source.collection;
    if (isUrl(options.to)) {
      return await intoServer(options, source, connect(options.to, "SEALPOINT_TARGET_API_KEY"), target, batch);
    }
    if (!("info" in source)) throw new Error("--to: from a file to a file there is nothing to do");
    if (options.sealTo !== undefined) throw new Error("--seal-to: needs a Sealpoint server as the target");
    if (options.verify === true) throw new Error("--verify: import the file with --verify instead");
    return await intoFile(options, source, batch);
  } finally {
    for (const peer of peers) peer.close();
  }
}

async function intoServer(options: TransferOptions, source: Source, peer: Peer, target: string, batch: number) {
  const statePath = options.state ?? `${target.replaceAll(/[^\w.-]/g, "_")}.transfer.json`;
  const publicKey = options.sealTo === undefined ? undefined : readFileSync(options.sealTo, "utf8");
  if (publicKey !== undefined) parsePublicKey(publicKey, "--seal-to");
  const state = readState(statePath, options, target);
  const { result } = await peer.ask(clientCalls.collectionExists, { collectionName: target });
  const exists = result?.exists === true;
  if (exists && state === undefined && options.append !== true) {
    throw new Error(`${peer.address}: collection ${target} exists already: give --append to write into it`);
  }
  say(`${source.count} points of ${source.collection} from ${options.from} to ${options.to} as ${target}`);
  say(`${exists ? "into the collection that exists" : "a new collection"}; ${source.indexes.length} payload indexes`);
  if (options.dryRun === true) return 0;

  const { sealTo } = options;
  const made = state?.made ?? !exists;
  const fresh: State = { from: options.from, to: options.to, collection: target, sealTo, made, done: 0, position: 0 };
  const start = exists ? (state ?? fresh) : fresh;
  // Before the collection is made: who is killed in between goes on with it.
  writeState(statePath, start);
  const undo = async (): Promise<void> => {
    if (!made || options.keep === true) return;
    await peer.ask(clientCalls.deleteCollection, { collectionName: target });
    rmSync(statePath, { force: true });
    say(`removed the collection ${target}, which this transfer had made`);
  };
  try {
    if (!exists) await peer.ask(clientCalls.createCollection, { ...source.creation, collectionName: target });
    if (publicKey !== undefined) await requireSealing(peer, target);
    const whole = await copy(source, serverSink(peer, target, publicKey), start, statePath, batch);
    if (!whole) return 130;
    for (const index of source.indexes)
      await peer.ask(clientCalls.createFieldIndex, { ...index, collectionName: target });
    rmSync(statePath, { force: true });
  } catch (error) {
    await undo().catch((failure: unknown) => say(`cannot remove ${target}: ${String(failure)}`));
    throw error;
  }
  if (options.verify !== true) return 0;
  const differences = await verifyTransfer(source, peer, target, { batch, sealed: publicKey !== undefined, say });
  return differences === 0 ? 0 : 2;
}

async function intoFile(
  options: TransferOptions,
  source: Awaited<ReturnType<typeof serverSource>>,
  batch: number,
): Promise<number> {
  const statePath = options.state ?? `${options.to}.transfer.json`;
  const state = readState(statePath, options, source.collection);
  say(`${source.count} points of ${source.collection} from ${options.from} to ${options.to}`);
  if (options.dryRun === true) return 0;
  const start: State = state ?? {
    ...{ from: options.from, to: options.to, collection: source.collection },
    ...{ made: true, done: 0, position: 0 },
  };
  // A file without a state is somebody's; one whose first page was never noted is begun anew.
  if (state !== undefined && state.position === 0) rmSync(options.to, { force: true });
  if (state === undefined && existsSync(options.to)) throw new Error(`${options.to}: exists already`);
  writeState(statePath, start);
  const sink = await fileSink(options.to, source, start.position);
  try {
    if (!(await copy(source, sink, start, statePath, batch))) return 130;
    rmSync(statePath, { force: true });
    return 0;
  } catch (error) {
    if (options.keep !== true) for (const path of [options.to, statePath]) rmSync(path, { force: true });
    throw error;
  } finally {
    await sink.close();
  }
}

/** A plain Qdrant would ignore the key and store everything readable. */
async function requireSealing(peer: Peer, collectionName: string): Promise<void> {
  const { result } = await peer.ask(clientCalls.collectionInfo, { collectionName });
  if (result?.sealing === undefined)
    throw new Error(`--seal-to: ${peer.address} does not seal: it is no Sealpoint server`);
}

/** False when a signal stopped it after a page. The next page is read while one is written. */
async function copy(source: Source, sink: Sink, start: State, statePath: string, batch: number): Promise<boolean> {
  let stopped = false;
  const stop = (): void => {
    stopped = true;
  };
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const pages = source.pages(start.next, batch);
  let { done } = start;
  const begunMs = performance.now();
  try {
    let page = await pages.next();
    while (page.done !== true) {
      const { points, next } = page.value;
      const following = pages.next();
      // A failure of the write is told first; this one is then nobody's.
      following.catch(() => {});
      const position = await sink.write(points);
      done += points.length;
      progress(done, source.count, (done - start.done) / ((performance.now() - begunMs) / 1_000));
      if (next !== undefined) writeState(statePath, { ...start, done, next, position });
      if (stopped && next !== undefined) {
        say(`\nstopped after ${done} points; the same command goes on from here`);
        return false;
      }
      page = await following;
    }
    await sink.finish();
    say(`${process.stderr.isTTY ? "\n" : ""}${done} points copied`);
    return true;
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

function readState(path: string, options: TransferOptions, collection: string): State | undefined {
  if (!existsSync(path)) return undefined;
  const state = JSON.parse(readFileSync(path, "utf8")) as State;
  const same = state.from === options.from && state.to === options.to && state.sealTo === options.sealTo;
  if (!same || state.collection !== collection) {
    throw new Error(`${path}: is the state of another transfer; remove it, or name another with --state`);
  }
  say(`going on after ${state.done} points`);
  return state;
}

function writeState(path: string, state: State): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function progress(done: number, count: number, rate: number): void {
  if (!process.stderr.isTTY) return;
  const share = count === 0 ? 1 : Math.min(1, done / count);
  const bar = "#".repeat(Math.round(share * 30)).padEnd(30, ".");
  process.stderr.write(`\r[${bar}] ${Math.floor(share * 100)} %  ${done} points, ${Math.round(rate)}/s `);
}
