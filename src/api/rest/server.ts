/** The HTTP port: Qdrant's REST API over the handlers of the gRPC door, with identity, health and metrics beside it. */
import type { Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createGunzip } from "node:zlib";
import cors from "@fastify/cors";
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import type { Logger } from "pino";
import {
  type Access,
  badInput,
  DomainError,
  fullAccess,
  limits,
  noteReceived,
  requireGlobalRead,
  type ValueExists,
} from "../../core/index.ts";
import { nativeRenderPoints } from "../../native/index.ts";
import {
  type Authenticator,
  apiVersion,
  type ResponseBook,
  readTlsContext,
  serverTitle,
  type TlsFiles,
  watchTls,
} from "../../ops/index.ts";
import { TimeSlices } from "../../seal/index.ts";
import { renderRestAnswer, usageText } from "../../wire/index.ts";
import { Bodies } from "./bodies.ts";
import { leavesOutCollection, nextRequestId, RestCall, type StreamsFor } from "./call.ts";
import { failureText, notOffered, toFailure } from "./errors.ts";
import { openApi } from "./openapi.ts";
import { type Route, routes } from "./routes.ts";
import { s5StreamRoutes, serveS5Streams } from "./s5-streams.ts";
import { sendAnswer } from "./send.ts";
import { asksPerCollection, type StateApi, serveServerState, stateRoutes } from "./server-state.ts";
import { type SnapshotsFor, serveSnapshotFiles, snapshotRoutes, waits } from "./snapshots.ts";

export interface RestServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly authenticator: Authenticator;
  readonly tls?: TlsFiles;
  readonly log: Logger;
  /** True while requests are served: false before the engine is open and once the shutdown began. */
  readonly ready: () => boolean;
  readonly metrics: { metrics(perCollection?: boolean): Promise<string>; readonly contentType: string };
  /** The portals that S5 loads from; absent: there is no /healthz/s5. */
  readonly portals?: () => Promise<readonly { readonly reachable: boolean }[]>;
  /** Without it only identity, health and metrics are served. */
  readonly api?: RestApi;
  /** Qdrant's service.enable_cors: any page may call. */
  readonly cors?: boolean;
}

export interface RestApi extends StateApi {
  readonly streamsFor: StreamsFor;
  readonly snapshotsFor: SnapshotsFor;
  /** Judges a token's claim on a stored point. */
  readonly exists: (claim: ValueExists) => Promise<boolean>;
}

export interface RestServer {
  readonly port: number;
  close(): Promise<void>;
}

/** What answers without a key: load balancers and container health checks have none. */
const openPaths: ReadonlySet<string> = new Set(["/", "/healthz", "/healthz/s5", "/livez", "/readyz", "/openapi.json"]);
const json = "application/json";
const plainText = "text/plain; charset=utf-8";

/** What the key's check found, for the handler. */
const grants = new WeakMap<FastifyRequest, Access>();

function noSchemas(): never {
  throw new Error("a route has a schema, but no compiler for it is loaded");
}

export async function startRestServer(options: RestServerOptions): Promise<RestServer> {
  const { log, tls, api } = options;
  const settings = {
    bodyLimit: limits.restBodyBytesMax,
    genReqId: nextRequestId,
    routerOptions: {
      maxParamLength: limits.collectionNameLengthMax * 4,
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
    },
    forceCloseConnections: true,
    keepAliveTimeout: 75_000,
    // No route has a schema for fastify: bodies are judged by the RPC's descriptors. Said so, its compilers are not even loaded (half a megabyte of code).
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
  };
  const identity = tls === undefined ? undefined : readTlsContext(tls);
  const asksForCertificates = identity?.ca !== undefined;
  const app = (
    identity === undefined
      ? fastify(settings)
      : fastify({
          ...settings,
          https: { ...identity, requestCert: asksForCertificates, rejectUnauthorized: asksForCertificates },
        })
  ) as FastifyInstance;
  const draining = new AbortController();
  const bodies = new Bodies();
  if (options.cors !== false)
    await app.register(cors, { origin: "*", methods: ["GET", "PUT", "POST", "PATCH", "DELETE"] });
  acceptBodies(app);
  checkKeys(app, options);
  if (api !== undefined) noteResponses(app, api.responses);
  checkPathNames(app);
  app.setErrorHandler((error, request, reply) => fail(request, reply, log, error));
  const served = [
    ...basicRoutes(options),
    ...(api === undefined ? [] : [...routes, ...snapshotRoutes, ...stateRoutes, ...s5StreamRoutes]),
  ];
  answerUnknown(app, served);
  serveBasics(app, options);
  if (api !== undefined) {
    for (const route of routes) serveRoute(app, route, api, bodies, log, draining.signal);
    const accessOf = (request: FastifyRequest): Access => grants.get(request) ?? fullAccess;
    const streamsFor = (request: FastifyRequest) => api.streamsFor(accessOf(request));
    serveS5Streams(app, { streamsFor, bodies, log, draining: draining.signal });
    serveServerState(app, api, { accessOf, ok, log, draining: draining.signal });
    await serveSnapshotFiles(app, api.snapshotsFor, {
      accessOf,
      ok: (request, reply, result) => reply.type(json).send(ok(request, result)),
      accepted: (request, reply, work) => accept(request, reply, work, log),
    });
  }

  try {
    await app.listen({ host: options.host, port: options.port });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot listen for HTTP on ${options.host}:${options.port}: ${reason}`);
  }
  // Connections that there are keep the certificate that they began with.
  const unwatch =
    tls === undefined || identity === undefined
      ? () => undefined
      : watchTls(tls, identity, log, (context) => (app.server as HttpsServer).setSecureContext(context));
  return {
    port: (app.server.address() as AddressInfo).port,
    async close() {
      unwatch();
      draining.abort();
      await app.close();
      await bodies.close();
    },
  };
}

/** Any content type is read as bytes: what the body holds, its reader says. Packed bodies are unpacked on the way. */
function acceptBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => {
    noteReceived(body.length);
    done(null, body);
  });
  app.addHook("preParsing", async (request, _reply, payload) => {
    const encoding = request.headers["content-encoding"];
    if (encoding === undefined || encoding === "identity") return payload;
    if (encoding !== "gzip" && encoding !== "x-gzip") {
      throw new DomainError("bad_input", "Bad request: the content encoding is not supported, send gzip or nothing");
    }
    const unpacked = createGunzip() as ReturnType<typeof createGunzip> & { receivedEncodedLength: number };
    // Fastify compares the length that was announced with what it received, which is packed.
    unpacked.receivedEncodedLength = Number(request.headers["content-length"] ?? 0);
    payload.on("error", (error) => unpacked.destroy(error));
    unpacked.on("error", () => payload.unpipe(unpacked));
    return payload.pipe(unpacked);
  });
}

function checkKeys(app: FastifyInstance, { authenticator, api, log }: RestServerOptions): void {
  if (!authenticator.asksForKeys) return;
  app.addHook("onRequest", async (request, reply) => {
    const path = request.url.split("?", 1)[0] ?? "/";
    if (request.method === "OPTIONS" || openPaths.has(path)) return;
    try {
      const { access, valueExists } = await authenticator.authenticate((name) => request.headers[name]);
      if (valueExists !== undefined && !((await api?.exists(valueExists)) ?? false)) {
        throw new DomainError("forbidden", "Invalid JWT, stateful validation failed");
      }
      if (access !== fullAccess) grants.set(request, access);
    } catch (error) {
      const { code, message } = toFailure(error, request.id, log);
      // As Qdrant does: a text and not its JSON.
      return reply.code(code).type(plainText).send(message);
    }
  });
}

const tooLarge = "FST_ERR_CTP_BODY_TOO_LARGE";

function fail(request: FastifyRequest, reply: FastifyReply, log: Logger, thrown: unknown): FastifyReply {
  const isTooLarge = (thrown as { readonly code?: unknown }).code === tooLarge;
  const { code, message, retryAfterSeconds, reason, field } = toFailure(ofFastify(thrown), request.id, log, {
    method: request.method,
    url: request.routeOptions.url,
  });
  if (retryAfterSeconds !== undefined) reply.header("retry-after", String(Math.ceil(retryAfterSeconds)));
  if (reason !== undefined) reply.header("x-sealpoint-reason", reason);
  if (field !== undefined) reply.header("x-sealpoint-field", field);
  return reply
    .code(isTooLarge ? 413 : code)
    .type(json)
    .send(failureText(message, secondsOf(request)));
}

/** As Qdrant judges the name in a path, before anything is looked for. */
function checkPathNames(app: FastifyInstance): void {
  app.addHook("preHandler", async (request) => {
    const { name } = request.params as { readonly name?: string };
    const end = limits.collectionNameLengthMax;
    if (name === undefined || name.length <= end) return;
    const text = `value ${JSON.stringify(name.slice(0, end))} invalid, must be from 1 to ${end} characters`;
    throw badInput(`Validation error in path parameters: [collection_name: ${text}]`, "collection_name");
  });
}

/** What the HTTP layer refuses is the caller's fault. */
function ofFastify(thrown: unknown): unknown {
  if (thrown instanceof DomainError || !(thrown instanceof Error)) return thrown;
  const { code = "", statusCode } = thrown as Error & { readonly code?: string; readonly statusCode?: number };
  if (code === tooLarge) {
    return badInput(`JSON payload is larger than allowed (limit: ${limits.restBodyBytesMax} bytes).`, "body");
  }
  const isInput = statusCode !== undefined && statusCode >= 400 && statusCode < 500;
  return isInput || code.startsWith("Z_") ? badInput(`Bad request: ${thrown.message}`) : thrown;
}

type Served = Pick<Route, "method" | "url">;

function basicRoutes({ api, portals }: RestServerOptions): Served[] {
  const paths = ["/", "/healthz", "/livez", "/readyz", "/metrics"];
  if (portals !== undefined) paths.push("/healthz/s5");
  if (api !== undefined) paths.push("/openapi.json");
  return paths.map((url) => ({ method: "GET", url }));
}

/** 405 where another method would be served, 404 else. */
function answerUnknown(app: FastifyInstance, served: readonly Served[]): void {
  const patterns = served.map(({ url }) => new RegExp(`^${url.replace(/:\w+/g, "[^/]+")}/?$`));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?", 1)[0] ?? "/";
    const known = patterns.some((pattern) => pattern.test(path));
    const text = known ? "Method not allowed" : `Not found: ${path.slice(0, 200)} is not served here`;
    return reply
      .code(known ? 405 : 404)
      .type(json)
      .send(failureText(text, 0));
  });
}

function serveBasics(app: FastifyInstance, { ready, metrics, portals, api }: RestServerOptions): void {
  app.get("/", (_request, reply) =>
    reply.type(json).send(JSON.stringify({ title: serverTitle, version: apiVersion, commit: null })),
  );
  app.get("/healthz", (_request, reply) => reply.type(plainText).send("healthz check passed"));
  app.get("/livez", (_request, reply) => reply.type(plainText).send("healthz check passed"));
  app.get("/readyz", (_request, reply) =>
    ready()
      ? reply.type(plainText).send("all shards are ready")
      : reply.code(503).type(plainText).send("some shards are not ready"),
  );
  if (portals !== undefined) {
    // In numbers: who asks without a key need not know where the portals are.
    app.get("/healthz/s5", async (_request, reply) => {
      const all = await portals();
      const answering = all.filter(({ reachable }) => reachable).length;
      return reply
        .code(answering > 0 ? 200 : 503)
        .type(plainText)
        .send(`${answering} of ${all.length} S5 portals answer`);
    });
  }
  app.get("/metrics", async (request, reply) => {
    requireGlobalRead(grants.get(request) ?? fullAccess);
    return reply.type(metrics.contentType).send(await metrics.metrics(asksPerCollection(request)));
  });
  if (api === undefined) return;
  // Made at the first request, since few ask, and kept: it is large, and whoever asks needs no key. As bytes it lies outside of V8's heap.
  let document: Buffer | undefined;
  app.get("/openapi.json", (_request, reply) => {
    document ??= Buffer.from(JSON.stringify(openApi()));
    return reply.type(json).send(document);
  });
}

/** As Qdrant names the parts of its paths. */
const partNames: Readonly<Record<string, string>> = {
  name: "collection_name",
  field: "field_name",
  vector: "vector_name",
  snapshot: "snapshot_name",
  shard: "shard_id",
  peer: "peer_id",
};
/** Of the server itself: what asks for them would count itself. */
const uncounted: ReadonlySet<string> = new Set(["/metrics", "/healthz", "/healthz/s5", "/livez", "/readyz"]);

const collectionPath = "/collections/:name";

/** Whether 200 is the answer for a collection that nobody has, too. */
function takesAnyName(method: string, url: string): boolean {
  return url === `${collectionPath}/exists` || (method === "DELETE" && url === collectionPath);
}

function noteResponses(app: FastifyInstance, responses: ResponseBook): void {
  const endpoints = new Map<string, string>();
  app.addHook("onResponse", async (request, reply) => {
    const { url } = request.routeOptions;
    if (url === undefined || uncounted.has(url)) return;
    let endpoint = endpoints.get(url);
    if (endpoint === undefined) {
      endpoint = url.replace(/:(\w+)/g, (_all, part: string) => `{${partNames[part] ?? part}}`);
      endpoints.set(url, endpoint);
    }
    const { name } = request.params as { readonly name?: string };
    const collection = url.startsWith(collectionPath) && !leavesOutCollection(request) ? name : undefined;
    const seconds = reply.elapsedTime / 1_000;
    const found = reply.statusCode === 200 && !takesAnyName(request.method, url);
    responses.observe(request.method, endpoint, reply.statusCode, seconds, collection, found);
  });
}

/** When a request came. */
const began = new WeakMap<FastifyRequest, number>();

function secondsOf(request: FastifyRequest): number {
  const now = performance.now();
  return (now - (began.get(request) ?? now)) / 1_000;
}

function ok(request: FastifyRequest, result: string): string {
  return `{"result":${result},"status":"ok","time":${secondsOf(request)}}`;
}

/** What goes on behind the answer tells its end to the log alone. */
function accept(request: FastifyRequest, reply: FastifyReply, work: Promise<unknown>, log: Logger): FastifyReply {
  work.catch((error: unknown) => log.warn({ err: error, requestId: request.id }, "accepted work failed"));
  return reply
    .code(202)
    .type(json)
    .send(`{"status":"accepted","time":${secondsOf(request)}}`);
}

function serveRoute(
  app: FastifyInstance,
  route: Route,
  api: RestApi,
  bodies: Bodies,
  log: Logger,
  draining: AbortSignal,
): void {
  const { rpc } = route;
  app.route({
    method: route.method,
    url: route.url,
    handler: async (request, reply) => {
      began.set(request, performance.now());
      const call = new RestCall(rpc, request, reply, log, draining);
      const path = request.params as Readonly<Record<string, string>>;
      const params = { path, query: toQuery(request.query) };
      const body = route.body ? ((request.body as Buffer | undefined) ?? Buffer.alloc(0)) : undefined;
      const encoded = bodies.encode(route.request, params, body);
      const { bytes, payload } = encoded instanceof Promise ? await encoded : encoded;
      const handle = api.callsFor(grants.get(request) ?? fullAccess).get(rpc);
      if (handle === undefined) throw notOffered(rpc);
      const answering = handle(bytes, call);
      if (route.tag === "Snapshots" && !waits(request)) return accept(request, reply, answering, log);
      const answer = await answering;
      const result = await renderRestAnswer(route.answer, answer, payload, {
        pauses: new TimeSlices(),
        points: nativeRenderPoints,
      });
      if (result[0] === "") throw noPoint(path.id ?? "");
      const usage = usageText(answer);
      const counted = usage === undefined ? "" : `,"usage":${usage}`;
      const end = `,"status":"ok"${counted},"time":${secondsOf(request)}}`;
      return sendAnswer(request, reply, ['{"result":', ...result, end]);
    },
  });
}

function noPoint(id: string): DomainError {
  return new DomainError("not_found", `Not found: Point with id ${id.slice(0, 64)} does not exists!`);
}

/** A parameter that comes twice counts with its last value. */
function toQuery(query: unknown): Readonly<Record<string, string | undefined>> {
  const found: Record<string, string | undefined> = {};
  for (const [key, value] of Object.entries(query as Record<string, string | string[]>)) {
    found[key] = Array.isArray(value) ? value.at(-1) : value;
  }
  return found;
}
