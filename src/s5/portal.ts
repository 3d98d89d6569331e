/**
 * A small portal for development: serves a folder under the portal API (GET, PUT, DELETE). Only what S5 itself names is served: paths
 * under `home` and `archive`, no hidden files, nothing outside of the folder even through a link.
 */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { badInput, limits } from "../core/index.ts";

export interface PortalOptions {
  readonly dir: string;
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port?: number;
  /** PUT and DELETE are refused. */
  readonly readOnly?: boolean;
}

export interface Portal {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

const prefix = "/s5/fs";
const roots: ReadonlySet<string> = new Set(["home", "archive"]);
/** Control characters and the backslash, in no path that S5 makes. */
const refusedForm = /[\p{Cc}\\]/u;

/** The segments of a request's path, or undefined when it is not one that S5 knows. */
function readSegments(url: string): string[] | undefined {
  const path = url.split(/[?#]/, 1)[0] as string;
  if (path !== prefix && !path.startsWith(`${prefix}/`)) return undefined;
  const rest = path.slice(prefix.length).replace(/^\//, "").replace(/\/$/, "");
  if (rest === "") return [];
  const segments: string[] = [];
  for (const part of rest.split("/")) {
    let segment: string;
    try {
      segment = decodeURIComponent(part);
    } catch {
      return undefined;
    }
    // A decoded slash would add a level that the split has not seen.
    if (segment === "" || segment.startsWith(".") || segment.includes("/") || refusedForm.test(segment))
      return undefined;
    segments.push(segment);
  }
  return roots.has(segments[0] as string) ? segments : undefined;
}

function sendJson(response: ServerResponse, status: number, body: unknown, isHead: boolean): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(isHead ? undefined : text);
}

async function sendFolder(
  response: ServerResponse,
  folder: string,
  segments: readonly string[],
  isHead: boolean,
): Promise<void> {
  const entries = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory() || entry.isFile())
    .filter((entry) => !entry.name.startsWith(".") && (segments.length > 0 || roots.has(entry.name)))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const listed = await Promise.all(
    entries.map(async (entry) => {
      if (entry.isDirectory()) return { name: entry.name, type: "directory" };
      const found = await stat(join(folder, entry.name));
      return { name: entry.name, type: "file", size: found.size, modified: Math.round(found.mtimeMs) };
    }),
  );
  sendJson(response, 200, { path: segments.join("/"), entries: listed }, isHead);
}

async function sendPath(
  response: ServerResponse,
  root: string,
  segments: readonly string[],
  isHead: boolean,
): Promise<void> {
  const path = await realpath(join(root, ...segments));
  if (!isWithin(root, path)) return sendJson(response, 404, { error: "not found" }, isHead);
  // O_NOFOLLOW: what realpath has judged must not become a link before it is opened. O_NONBLOCK: a pipe must not hold the open.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (found.isDirectory()) return await sendFolder(response, path, segments, isHead);
    if (!found.isFile()) return sendJson(response, 404, { error: "not found" }, isHead);
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": found.size });
    if (isHead || found.size === 0) {
      response.end();
      return;
    }
    // A file that grows meanwhile is cut at the length that was promised.
    await pipeline(file.createReadStream({ end: found.size - 1, autoClose: false }), response);
  } finally {
    await file.close();
  }
}

const isWithin = (root: string, path: string): boolean =>
  path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);

/** The folder of a file, made level by level; undefined where a link or a file is in the way. */
async function makeFolder(root: string, segments: readonly string[]): Promise<string | undefined> {
  let folder = root;
  for (const segment of segments) {
    folder = join(folder, segment);
    await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    if (!(await lstat(folder)).isDirectory()) return undefined;
  }
  return isWithin(root, await realpath(folder)) ? folder : undefined;
}

/** A file is whole or as it was: a body that breaks off leaves nothing. */
async function takeFile(
  root: string,
  segments: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const name = segments.at(-1);
  const folder = segments.length < 2 ? undefined : await makeFolder(root, segments.slice(0, -1));
  if (name === undefined || folder === undefined) return sendJson(response, 404, { error: "not found" }, false);
  const path = join(folder, name);
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined && !found.isFile()) return sendJson(response, 409, { error: "not a file" }, false);
  const partial = join(folder, `.${randomUUID()}.partial`);
  const file = await open(partial, "wx", 0o600);
  let size = 0;
  try {
    for await (const part of request as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > putBytesMax) return sendJson(response, 413, { error: "too large" }, false);
      await file.writeFile(part);
    }
    await file.close();
    await rename(partial, path);
    sendJson(response, found === undefined ? 201 : 200, { path: segments.join("/"), size }, false);
  } finally {
    await file.close().catch(() => undefined);
    await rm(partial, { force: true });
  }
}

async function removeFile(root: string, segments: readonly string[], response: ServerResponse): Promise<void> {
  const path = await realpath(join(root, ...segments));
  const isOwn = segments.length > 1 && isWithin(root, path) && path === join(root, ...segments);
  if (!isOwn || !(await lstat(path)).isFile()) return sendJson(response, 404, { error: "not found" }, false);
  await rm(path);
  sendJson(response, 200, { path: segments.join("/") }, false);
}

/** A chunk, its nonce and its tag. */
const putBytesMax = limits.s5ChunkBytesMax + 64;

async function answer(
  root: string,
  readOnly: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const isHead = request.method === "HEAD";
  const writes = !readOnly && (request.method === "PUT" || request.method === "DELETE");
  if (!isHead && request.method !== "GET" && !writes) {
    response.setHeader("allow", readOnly ? "GET, HEAD" : "GET, HEAD, PUT, DELETE");
    return sendJson(response, 405, { error: readOnly ? "read-only" : "unknown method" }, false);
  }
  if (request.url === "/health") return sendJson(response, 200, { status: "healthy" }, isHead);
  const segments = readSegments(request.url ?? "");
  if (segments === undefined) return sendJson(response, 404, { error: "not found" }, isHead);
  try {
    if (request.method === "PUT") await takeFile(root, segments, request, response);
    else if (request.method === "DELETE") await removeFile(root, segments, response);
    else await sendPath(response, root, segments, isHead);
  } catch (error) {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const missing = ["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EACCES", "ENXIO"].includes(code);
    const what = writes ? "cannot write" : "cannot read";
    sendJson(response, missing ? 404 : 500, { error: missing ? "not found" : what }, isHead);
  }
}

/** Listens until closed. Throws bad_input when `dir` is not a folder. */
export async function startPortal({
  dir,
  host = "127.0.0.1",
  port = 5522,
  readOnly = false,
}: PortalOptions): Promise<Portal> {
  const root = await realpath(dir).catch(() => undefined);
  if (root === undefined || !(await stat(root)).isDirectory()) throw badInput("not a folder", "dir");
  // An import of this module anywhere loads the whole of undici, which takes a tenth of a server's start.
  const { createServer } = await import("node:http");
  const server: Server = createServer((request, response) => {
    void answer(root, readOnly, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    port: bound,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
