/** What REST has and gRPC has not: the server's own state, and the routes of a cluster as a single node answers them. */
import { randomUUID } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import {
  type Access,
  badInput,
  type CollectionInfo,
  type CollectionMemoryParts,
  DomainError,
  requireGlobalRead,
  requireManage,
} from "../../core/index.ts";
import type { IssueBook, Quota } from "../../engine/index.ts";
import { nativeRenderPoints } from "../../native/index.ts";
import {
  apiVersion,
  type LoggerControl,
  type MethodFigures,
  type ResponseBook,
  type ResponseFigures,
} from "../../ops/index.ts";
import { TimeSlices } from "../../seal/index.ts";
import { encodeRestRequest, renderRestAnswer } from "../../wire/index.ts";
import { type CallsFor, RestCall } from "./call.ts";
import { issueRoutes, serveIssueRoutes } from "./issues.ts";
import { loggerRoutes, serveLogger } from "./logger.ts";
import { memoryReport } from "./memory-report.ts";
import { optimizationParts, optimizationsOf } from "./optimizations.ts";
import { quotaStatus, quotaTelemetry, readQuota } from "./quotas.ts";
import {
  collectionTelemetry,
  memoryTelemetry,
  type ShownCollection,
  snapshotTelemetry,
  systemTelemetry,
} from "./telemetry.ts";

export interface StateRoute {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly url: string;
  readonly summary: string;
}

/** For callers who may change a cluster. */
const clusterRoutes: readonly StateRoute[] = [
  { method: "POST", url: "/cluster/recover", summary: "Recover the cluster's consensus: nothing to do for one node" },
  { method: "DELETE", url: "/cluster/peer/:peer", summary: "Remove a peer: refused" },
];

const readRoutes: readonly StateRoute[] = [
  { method: "GET", url: "/cluster", summary: "Cluster status: disabled, or that of one peer" },
  { method: "GET", url: "/cluster/telemetry", summary: "Telemetry of the cluster: this node's" },
  { method: "GET", url: "/quotas", summary: "Quotas of memory and disk, and what is used of them" },
  { method: "PUT", url: "/quotas", summary: "Set the quotas" },
  { method: "GET", url: "/telemetry", summary: "Telemetry" },
  { method: "GET", url: "/collections/:name/optimizations", summary: "Optimizations of a collection" },
  { method: "GET", url: "/collections/:name/memory", summary: "Where a collection's bytes lie" },
];

export const stateRoutes: readonly StateRoute[] = [...readRoutes, ...issueRoutes, ...loggerRoutes, ...clusterRoutes];

export interface StateApi {
  /** The node is a cluster of its own; otherwise it stands alone. */
  readonly cluster: boolean;
  readonly quota: Quota;
  readonly issues: IssueBook;
  readonly callsFor: CallsFor;
  readonly infoOf: (access: Access, collection: string) => Promise<CollectionInfo>;
  readonly memoryOf: (access: Access, collection: string) => Promise<CollectionMemoryParts>;
  readonly logger: LoggerControl;
  readonly responses: ResponseBook;
  /** gRPC's calls so far, by method. */
  readonly methods: () => Promise<[string, MethodFigures][]>;
  readonly collections: () => Promise<[string, [string, MethodFigures][]][]>;
}

export interface StateServing {
  readonly accessOf: (request: FastifyRequest) => Access;
  readonly ok: (request: FastifyRequest, result: string) => string;
  readonly log: Logger;
  readonly draining: AbortSignal;
}

const json = "application/json";

export function serveServerState(app: FastifyInstance, api: StateApi, serving: StateServing): void {
  const { accessOf, ok } = serving;
  const send = (request: FastifyRequest, reply: FastifyReply, result: unknown): FastifyReply =>
    reply.type(json).send(ok(request, JSON.stringify(result)));
  const id = randomUUID();
  const startup = new Date().toISOString();

  app.get("/cluster", async (request, reply) => {
    requireGlobalRead(accessOf(request));
    return send(request, reply, api.cluster ? clusterStatus(request) : { status: "disabled" });
  });
  // Whoever sees a part of the collections is told as little as there is to tell.
  app.get("/cluster/telemetry", async (request, reply) => {
    return send(request, reply, {
      collections: {},
      cluster: { enabled: api.cluster, number_of_peers: api.cluster ? 1 : 0, peers: {} },
    });
  });
  app.get("/quotas", async (request, reply) => {
    requireGlobalRead(accessOf(request));
    return send(request, reply, quotaStatus(api.quota));
  });
  app.put("/quotas", async (request, reply) => {
    requireManage(accessOf(request));
    await api.quota.set(readQuota(request.body as Buffer | undefined));
    return send(request, reply, true);
  });
  app.get("/telemetry", async (request, reply) => {
    const access = accessOf(request);
    // Of the server itself, which one of some collections is not shown.
    const whole = access.kind === "global";
    const level = detailsLevel(request);
    const names = await collectionNames(api.callsFor(access), request, reply, serving);
    const shown = level < 1 ? [] : await collectionsTelemetry(api, request, reply, serving, names, level);
    return send(request, reply, {
      id,
      app: {
        name: "qdrant",
        version: apiVersion,
        startup,
        features: {
          debug: false,
          service_debug_feature: false,
          recovery_mode: false,
          gpu: false,
          rocksdb: true,
          staging: false,
        },
        ...(level < 1 ? {} : { system: systemTelemetry() }),
      },
      collections: {
        number_of_collections: names.length,
        ...(level < 1
          ? {}
          : {
              collections: shown.map(({ collection }) => collection),
              snapshots: level < 2 ? [] : shown.map(({ snapshots }) => snapshots),
            }),
      },
      cluster: { enabled: api.cluster },
      ...(whole ? { quota: quotaTelemetry(api.quota) } : {}),
      ...(whole ? { requests: await requestsTelemetry(api, asksPerCollection(request)) } : {}),
      ...(level < 1 || !whole ? {} : { memory: memoryTelemetry(), hardware: { collection_data: {} } }),
    });
  });
  serveIssueRoutes(app, api.issues, serving);
  serveLogger(app, api.logger, serving);
  app.get("/collections/:name/optimizations", async (request, reply) => {
    const { name } = request.params as { readonly name: string };
    const asked = optimizationParts(request);
    return send(request, reply, optimizationsOf(await api.infoOf(accessOf(request), name), asked));
  });
  app.get("/collections/:name/memory", async (request, reply) => {
    const { name } = request.params as { readonly name: string };
    const access = accessOf(request);
    const [info, parts] = await Promise.all([api.infoOf(access, name), api.memoryOf(access, name)]);
    return send(request, reply, memoryReport(info, parts));
  });

  for (const { method, url } of clusterRoutes) {
    app.route({
      method,
      url,
      handler: async (request, reply) => {
        requireManage(accessOf(request));
        // The texts are Qdrant's.
        if (!api.cluster) throw new DomainError("unimplemented", "Qdrant is running in standalone mode");
        const { peer } = request.params as { readonly peer?: string };
        if (peer === undefined) return send(request, reply, true);
        throw badInput(`Bad request: Peer ${peer.slice(0, 64)} does not exist`, "peer_id");
      },
    });
  }
}

/** Of a cluster whose one peer leads it. */
function clusterStatus({ host }: FastifyRequest) {
  return {
    status: "enabled",
    peer_id: 1,
    peers: { "1": { uri: `http://${host}/` } },
    raft_info: {
      term: 1,
      commit: 1,
      pending_operations: 0,
      leader: 1,
      role: "Leader",
      is_voter: true,
    },
    consensus_thread_status: { consensus_thread_status: "working", last_update: new Date().toISOString() },
    message_send_failures: {},
  };
}

function detailsLevel(request: FastifyRequest): number {
  const { details_level: given } = request.query as { readonly details_level?: string };
  if (given === undefined) return 0;
  if (!/^\d{1,9}$/.test(given))
    throw badInput("Format error in query parameters: details_level is no level", "details_level");
  return Number(given);
}

async function collectionNames(
  calls: ReturnType<CallsFor>,
  request: FastifyRequest,
  reply: FastifyReply,
  { log, draining }: StateServing,
): Promise<string[]> {
  const method = "/qdrant.Collections/List";
  const list = calls.get(method);
  const call = new RestCall(method, request, reply, log, draining);
  const bytes = (await list?.(new Uint8Array(0), call)) ?? new Uint8Array(0);
  const pieces = await renderRestAnswer("collections", bytes, [], {
    pauses: new TimeSlices(),
    points: nativeRenderPoints,
  });
  const { collections } = JSON.parse(pieces.join("")) as { readonly collections: readonly { readonly name: string }[] };
  return collections.map(({ name }) => name);
}

/** The configuration is what Get shows of it. */
async function collectionsTelemetry(
  api: StateApi,
  request: FastifyRequest,
  reply: FastifyReply,
  { accessOf, log, draining }: StateServing,
  names: readonly string[],
  level: number,
): Promise<{ readonly collection: object; readonly snapshots: object }[]> {
  const access = accessOf(request);
  const method = "/qdrant.Collections/Get";
  const get = api.callsFor(access).get(method);
  const call = new RestCall(method, request, reply, log, draining);
  const found: { collection: object; snapshots: object }[] = [];
  for (const name of names) {
    try {
      const asked = encodeRestRequest("getCollection", { path: { name }, query: {} }, undefined);
      const bytes = (await get?.(asked.bytes, call)) ?? new Uint8Array(0);
      const pieces = await renderRestAnswer("collection", bytes, asked.payload, {
        pauses: new TimeSlices(),
        points: nativeRenderPoints,
      });
      const shown = JSON.parse(pieces.join("")) as ShownCollection;
      const info = await api.infoOf(access, name);
      found.push({ collection: collectionTelemetry(info, shown, level), snapshots: snapshotTelemetry(info) });
    } catch (error) {
      // Deleted meanwhile.
      if (!(error instanceof DomainError && error.kind === "not_found")) throw error;
    }
  }
  return found;
}

/** Whether /metrics and /telemetry are asked for requests by collection. */
export function asksPerCollection(request: FastifyRequest): boolean {
  const { per_collection: given } = request.query as { readonly per_collection?: string };
  if (given === undefined || given === "false") return false;
  if (given !== "true")
    throw badInput("Format error in query parameters: per_collection is true or false", "per_collection");
  return true;
}

async function requestsTelemetry(api: StateApi, perCollection: boolean): Promise<object> {
  const rest = { responses: restOf(api.responses.all()) };
  const grpc = { responses: grpcOf(await api.methods()) };
  if (!perCollection) return { rest, grpc };
  const byCollection = <T>(entries: readonly (readonly [string, T])[], of: (figures: T) => Statistics) => ({
    per_collection_responses: Object.fromEntries(entries.map(([name, figures]) => [name, of(figures)])),
  });
  return {
    rest: { ...rest, ...byCollection(api.responses.byCollection(), restOf) },
    grpc: { ...grpc, ...byCollection(await api.collections(), grpcOf) },
  };
}

type Statistics = Record<string, Record<string, object>>;

const micros = (seconds: number): number => Math.round(seconds * 1e6);

function restOf(figures: readonly ResponseFigures[]): Statistics {
  const found: Statistics = {};
  for (const { method, endpoint, status, durations, secondsMin, secondsMax, lastMs } of figures) {
    const key = `${method} ${endpoint}`;
    found[key] ??= {};
    (found[key] as Record<string, object>)[status] = {
      count: durations.count,
      avg_duration_micros: micros(durations.sum / durations.count),
      min_duration_micros: micros(secondsMin),
      max_duration_micros: micros(secondsMax),
      total_duration_micros: micros(durations.sum),
      last_responded: new Date(lastMs).toISOString(),
    };
  }
  return found;
}

function grpcOf(methods: readonly (readonly [string, MethodFigures])[]): Statistics {
  return Object.fromEntries(
    methods.map(([method, { codes, count, secondsTotal }]) => [
      method,
      Object.fromEntries(
        [...codes].map(([code, calls]) => [
          code,
          { count: calls, ...(codes.size === 1 ? { avg_duration_micros: micros(secondsTotal / count) } : {}) },
        ]),
      ),
    ]),
  );
}
