/**
 * A small portal for development: serves a folder under the portal API, read-only. Only what S5 itself names is served: paths
 * under `home` and `archive`, no hidden files, nothing outside of the folder even through a link.
 */
import { constants } from "node:fs";
import { open, readdir, realpath, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { badInput } from "../core/index.ts";

export interface PortalOptions {
  readonly dir: string;
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port?: number;
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
  if (path !== root && !path.startsWith(root.endsWith(sep) ? root : root + sep))
    return sendJson(response, 404, { error: "not found" }, isHead);
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

async function answer(root: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const isHead = request.method === "HEAD";
  if (!isHead && request.method !== "GET") {
    response.setHeader("allow", "GET, HEAD");
    return sendJson(response, 405, { error: "read-only" }, false);
  }
  if (request.url === "/health") return sendJson(response, 200, { status: "healthy" }, isHead);
  const segments = readSegments(request.url ?? "");
  if (segments === undefined) return sendJson(response, 404, { error: "not found" }, isHead);
  try {
    await sendPath(response, root, segments, isHead);
  } catch (error) {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const missing = ["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EACCES", "ENXIO"].includes(code);
    sendJson(response, missing ? 404 : 500, { error: missing ? "not found" : "cannot read" }, isHead);
  }
}

/** Listens until closed. Throws bad_input when `dir` is not a folder. */
export async function startPortal({ dir, host = "127.0.0.1", port = 5522 }: PortalOptions): Promise<Portal> {
  const root = await realpath(dir).catch(() => undefined);
  if (root === undefined || !(await stat(root)).isDirectory()) throw badInput("not a folder", "dir");
  const server: Server = createServer((request, response) => {
    void answer(root, request, response).catch(() => response.destroy());
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
