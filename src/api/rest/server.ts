/** The HTTP port: identity, health and metrics. Qdrant's REST routes come here later; until then they are 404. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { DomainError, requireGlobalRead } from "../../core/index.ts";
import { type Authenticator, apiVersion, serverTitle } from "../../ops/index.ts";

export interface RestServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly authenticator: Authenticator;
  readonly tls?: { readonly certPath: string; readonly keyPath: string };
  readonly log: Logger;
  /** True while requests are served: false before the engine is open and once the shutdown began. */
  readonly ready: () => boolean;
  readonly metrics: { metrics(): Promise<string>; readonly contentType: string };
}

export interface RestServer {
  readonly port: number;
  close(): Promise<void>;
}

interface Answer {
  readonly code: number;
  readonly body: string;
  readonly type: string;
}

type Route = () => Answer | Promise<Answer>;

export async function startRestServer(options: RestServerOptions): Promise<RestServer> {
  const routes = createRoutes(options);

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const route = routes.get(path);
    if (request.method !== "GET" && request.method !== "HEAD") {
      send(request, response, route === undefined ? notFound(path) : failed(405, "Method not allowed"));
      return;
    }
    if (route === undefined) {
      send(request, response, notFound(path));
      return;
    }
    if (path === "/metrics") {
      try {
        const { access } = await options.authenticator.authenticate((name) => request.headers[name]);
        requireGlobalRead(access);
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        send(request, response, failed(error.kind === "unauthenticated" ? 401 : 403, error.message));
        return;
      }
    }
    send(request, response, await route());
  };

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    handle(request, response).catch((error: unknown) => {
      options.log.error({ err: error }, "REST request failed");
      if (!response.headersSent) send(request, response, failed(500, "internal error"));
      else response.destroy();
    });
  };
  const server: Server =
    options.tls === undefined
      ? createServer(listener)
      : (createTlsServer(
          { cert: readFileSync(options.tls.certPath), key: readFileSync(options.tls.keyPath) },
          listener,
        ) as unknown as Server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(new Error(`cannot listen for HTTP on ${options.host}:${options.port}: ${error.message}`)),
    );
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function createRoutes({ ready, metrics }: RestServerOptions): Map<string, Route> {
  const text = (code: number, body: string): Answer => ({ code, body, type: "text/plain; charset=utf-8" });
  return new Map<string, Route>([
    ["/", () => json(200, { title: serverTitle, version: apiVersion })],
    ["/healthz", () => text(200, "healthz check passed")],
    ["/livez", () => text(200, "livez check passed")],
    ["/readyz", () => (ready() ? text(200, "all shards are ready") : text(503, "not ready"))],
    ["/metrics", async () => ({ code: 200, body: await metrics.metrics(), type: metrics.contentType })],
  ]);
}

function json(code: number, body: unknown): Answer {
  return { code, body: JSON.stringify(body), type: "application/json" };
}

/** The shape of Qdrant's REST errors. */
function failed(code: number, error: string): Answer {
  return json(code, { status: { error }, time: 0 });
}

function notFound(path: string): Answer {
  return failed(404, `Not found: ${path.slice(0, 200)} is not served here; use gRPC`);
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  response.writeHead(answer.code, {
    "content-type": answer.type,
    "content-length": Buffer.byteLength(answer.body),
    "x-content-type-options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : answer.body);
}
