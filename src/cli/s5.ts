/** `sealpoint s5`: loads S5 databases into a server's sessions and collections, over its HTTP port, and asks about them. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { readKey } from "./s5-key.ts";
import { addS5PushCommand } from "./s5-push.ts";

interface Connection {
  readonly url: string;
  readonly apiKey?: string;
}

interface LoadOptions extends Connection {
  readonly user?: string;
  readonly keyFile?: string;
  readonly session?: string;
  readonly collection?: string;
  readonly detach?: boolean;
  readonly strictAddress?: boolean;
  readonly revalidate?: boolean;
  readonly notBefore?: string;
  readonly parallel?: string;
  readonly attachAs?: string;
  readonly persist?: boolean;
  readonly json?: boolean;
}

interface Sent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const barWidth = 30;

export function addS5Command(program: Command): void {
  const s5 = program.command("s5").description("encrypted databases from S5: load, watch and search them in a server");
  const add = (name: string, description: string): Command =>
    s5
      .command(name)
      .description(description)
      .option("--url <url>", "HTTP URL of the server", process.env.SEALPOINT_URL ?? "http://127.0.0.1:6333")
      .option("--api-key <key>", "its API key (better: SEALPOINT_API_KEY)");

  add("load", "load a database into a session or a collection, and show the progress")
    .argument("<manifest path>", "home/vector-databases/{user}/{database}/manifest.json")
    .option("--user <address>", "the owner's address (default: the one in the path)")
    .option("--key-file <file>", "the key: 32 bytes, or hex or base64 of them (default: S5_SESSION_KEY)")
    .option("--session <id>", "into a session of this name")
    .option("--collection <name>", "into a collection of this name")
    .option("--detach", "the load goes on when this command ends")
    .option("--strict-address", "refuse a mixed-case address with a wrong EIP-55 checksum")
    .option("--revalidate", "ask the portal whether what is cached has changed")
    .option("--not-before <ms>", "refuse a state older than this `updated` of the manifest, in milliseconds since 1970")
    .option("--parallel <chunks>", "chunks downloaded at a time, 1 to 20")
    .option("--attach-as <collection>", "let Qdrant's clients search the session as a read-only collection")
    .option("--persist", "keep the session's index on the server's disk, encrypted")
    .option("--json", "one event a line, as JSON")
    .action(async (path: string, options: LoadOptions) => {
      if ((options.session === undefined) === (options.collection === undefined)) {
        throw new Error("one of --session and --collection is needed");
      }
      const order = {
        manifest_path: path,
        user_address: options.user ?? path.split("/")[2] ?? "",
        session_key: readKey(options.keyFile).toString("hex"),
        ...targetOf(options),
        detach: options.detach,
        strict_address: options.strictAddress,
        revalidate: options.revalidate,
        attach_as: options.attachAs,
        persist: options.persist,
        ...(options.notBefore === undefined ? {} : { not_before: readNumber("--not-before", options.notBefore) }),
        ...(options.parallel === undefined ? {} : { parallel_chunks: readNumber("--parallel", options.parallel) }),
      };
      await showEvents(options, "load", order, options.json === true);
    });
  for (const [name, description] of [
    ["watch", "show the progress of a load that is under way"],
    ["refresh", "bring a session up to date: what has changed is downloaded"],
  ] as const) {
    addTarget(add(name, description), name === "watch")
      .option("--json", "one event a line, as JSON")
      .action((options: LoadOptions) => showEvents(options, name, targetOf(options), options.json === true));
  }
  addS5PushCommand(s5);
  addTarget(add("status", "how far a load is"), true).action((options: LoadOptions) =>
    print(options, "POST", "status", targetOf(options)),
  );
  addTarget(add("cancel", "end a load"), true).action((options: LoadOptions) =>
    print(options, "POST", "cancel", targetOf(options)),
  );
  addTarget(add("close", "forget a session"), false).action((options: LoadOptions) =>
    print(options, "POST", "close", targetOf(options)),
  );
  add("list", "sessions, and loads under way").action((options: Connection) => print(options, "GET", "list"));
  add("health", "whether the server reaches its portals").action((options: Connection) =>
    print(options, "GET", "health"),
  );
  add("search", "search a session with the vector from standard input, a JSON list of numbers")
    .requiredOption("--session <id>", "the session")
    .option("-k <count>", "hits", "10")
    .option("--threshold <score>", "no hit below it")
    .option("--filter <json>", "a filter of Qdrant's REST API, over the metadata")
    .option("--partial", "search what is there while it loads")
    .option("--exact", "compare all vectors")
    .action(async (options: SearchOptions) => {
      const { session, k, threshold, filter, partial, exact } = options;
      await print(options, "POST", "search", {
        session_id: session,
        vector: readJson("the vector on standard input", readFileSync(0, "utf8")),
        k: readNumber("-k", k),
        ...(threshold === undefined ? {} : { threshold: readNumber("--threshold", threshold) }),
        ...(filter === undefined ? {} : { filter: readJson("--filter", filter) }),
        allow_partial: partial,
        exact,
      });
    });
}

/** Throws what the command line shows. */
function readNumber(name: string, text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new Error(`${name}: expected a number and not ${JSON.stringify(text)}`);
  return value;
}

function readJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Error(`${name}: expected JSON`);
  }
}

interface SearchOptions extends Connection {
  readonly session: string;
  readonly k: string;
  readonly threshold?: string;
  readonly filter?: string;
  readonly partial?: boolean;
  readonly exact?: boolean;
}

function addTarget(command: Command, withCollection: boolean): Command {
  command.option("--session <id>", "the session");
  return withCollection ? command.option("--collection <name>", "the collection that is loaded into") : command;
}

function targetOf({ session, collection }: Pick<LoadOptions, "session" | "collection">): Record<string, unknown> {
  return { session_id: session, collection_name: collection };
}

async function ask({ url, apiKey }: Connection, method: string, path: string, body?: unknown): Promise<Response> {
  const key = apiKey ?? process.env.SEALPOINT_API_KEY;
  const response = await fetch(`${url.replace(/\/+$/, "")}/sealpoint/v1/s5/${path}`, {
    method,
    headers: { "content-type": "application/json", ...(key === undefined ? {} : { "api-key": key }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (response.ok) return response;
  const reason = response.headers.get("x-sealpoint-reason");
  const text = await response.text();
  let message = text.slice(0, 500);
  try {
    message = (JSON.parse(text) as { status: { error: string } }).status.error;
  } catch {
    // Not one of this server's errors: shown as it is.
  }
  throw new Error(reason === null ? message : `${reason}: ${message}`);
}

async function print(connection: Connection, method: string, path: string, body?: unknown): Promise<void> {
  const { result } = (await (await ask(connection, method, path, body)).json()) as { readonly result: unknown };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
}

/** Throws what the stream ends with. */
async function showEvents(connection: Connection, path: string, body: unknown, asJson: boolean): Promise<void> {
  const response = await ask(connection, "POST", path, body);
  for await (const { event, data } of readEvents(response)) {
    if (asJson) process.stdout.write(`${JSON.stringify({ [event]: data })}\n`);
    else showEvent(event, data);
    if (event === "loading_error" || event === "error")
      throw new Error(`${String(data.code ?? "error")}: ${String(data.message)}`);
  }
}

async function* readEvents(response: Response): AsyncGenerator<Sent, void, undefined> {
  const decoder = new TextDecoder();
  let waiting = "";
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    waiting += decoder.decode(part, { stream: true });
    for (let end = waiting.indexOf("\n\n"); end >= 0; end = waiting.indexOf("\n\n")) {
      const block = waiting.slice(0, end);
      waiting = waiting.slice(end + 2);
      const event = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (event !== undefined && data !== undefined) yield { event, data: JSON.parse(data) as Sent["data"] };
    }
  }
}

/** A bar where somebody looks at it, a line an event where a file does. */
function showEvent(event: string, data: Sent["data"]): void {
  const { isTTY } = process.stdout;
  const end = isTTY ? "\r\x1b[2K" : "";
  switch (event) {
    case "manifest_downloaded":
      process.stdout.write(
        `${String(data.name)}: ${String(data.vectors)} vectors of ${String(data.dimensions)} dimensions in ${String(data.chunks)} chunks\n`,
      );
      break;
    case "chunk_downloaded": {
      const percent = Number(data.percent);
      const done = Math.round((percent / 100) * barWidth);
      const bar = `[${"#".repeat(done)}${".".repeat(barWidth - done)}] ${percent.toFixed(0).padStart(3)} %`;
      process.stdout.write(isTTY ? `${end}${bar}` : `${bar}  chunk ${String(data.chunk_id)}\n`);
      break;
    }
    case "index_building":
      process.stdout.write(`${end}building the index\n`);
      break;
    case "loading_complete":
      process.stdout.write(
        `${String(data.vector_count)} vectors in ${String(data.load_time_ms)} ms${data.from_cache === true ? ", from the cache" : ""}\n`,
      );
      break;
    case "index_ready":
      process.stdout.write(`index ready after ${String(data.build_time_ms)} ms\n`);
      break;
    default:
      process.stdout.write(end);
  }
}
