/** Builds the server from its rooms, runs it, and takes it down in order. The one place where everything is wired. */
import { existsSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { status } from "@grpc/grpc-js";
import {
  directCalls,
  directStreams,
  type GrpcServerOptions,
  type ServiceBinding,
  startGrpcServer,
} from "./api/grpc/index.ts";
import {
  addEngineMetrics,
  addQuotaMetric,
  addS5Metrics,
  type RestApi,
  type RestServer,
  startRestServer,
} from "./api/rest/index.ts";
import { type Access, fullAccess, limits } from "./core/index.ts";
import { SealedIndexes } from "./engine/embedded/index.ts";
import { AttachmentTable, createSharedChanges, guardEngine, IssueBook, Quota } from "./engine/index.ts";
import {
  createAuthenticator,
  createLog,
  createMetrics,
  describeS5Config,
  type Logger,
  LoggerControl,
  type Metrics,
  productVersion,
  type ServerConfig,
  type Settings,
} from "./ops/index.ts";
import { S5Hub } from "./s5/index.ts";
import { collectionSinks, SnapshotsService, StreamRegistry } from "./services/index.ts";
import { type Database, openDatabase, type RpcThreads, startRpcThreads } from "./threads/index.ts";

export interface RunningServer {
  readonly grpcPort: number;
  readonly httpPort: number;
  /** Drains and closes; resolves to true when no call had to be cut. */
  stop(): Promise<boolean>;
  /** Cuts what is still draining. */
  force(): void;
}

function addDatabaseMetrics(metrics: Metrics, { embedded, engine, viewOf }: Database, cluster: boolean): void {
  addEngineMetrics(metrics, viewOf(engine), cluster);
  metrics.addGauge(
    "sealpoint_store_bytes",
    "Bytes of the store on disk.",
    async () => (await embedded.stats()).storeBytes,
  );
  metrics.addGauge(
    "sealpoint_disk_free_bytes",
    "Bytes free for the server on the disk of the data folder; NaN where the system does not tell.",
    async () => (await embedded.stats()).diskFreeBytes,
  );
  metrics.addGauge(
    "sealpoint_disk_reserve_bytes",
    "Bytes of them that writes leave free; below, writes are refused.",
    async () => (await embedded.stats()).diskReserveBytes,
  );
  metrics.addCounter(
    "sealpoint_store_syncs_total",
    "Syncs (fdatasync) of the store's log.",
    async () => (await embedded.stats()).syncs,
  );
  metrics.addGauge(
    "sealpoint_memory_booked_bytes",
    "Memory that collections, session indexes and builds hold by the engine's own count.",
    async () => (await embedded.stats()).bookedBytes,
  );
  metrics.addGauge(
    "sealpoint_memory_limit_bytes",
    "Limit of the process's anonymous memory; 0: none.",
    async () => (await embedded.stats()).memoryLimitBytes,
  );
}

/** The gRPC door: on this thread, or on threads of its own when there are several; this one then keeps what they share. */
type Door = Omit<RpcThreads, "figures" | "setLogLevel" | "end"> & Partial<RpcThreads>;

/** The handlers of the gRPC tables for the REST door, for each kind of caller its own. */
function restApi(
  { engine, viewOf }: Database,
  { services, guarded }: Required<Pick<GrpcServerOptions, "services" | "guarded">>,
  { responses, methods, collections }: Pick<Metrics, "responses" | "methods" | "collections">,
  own: Pick<RestApi, "logger" | "quota" | "issues" | "cluster">,
  recoversFromUrls: boolean,
): RestApi {
  const engineFor = (access: Access) => viewOf(access === fullAccess ? engine : guardEngine(engine, access));
  const doorsOf = (tables: readonly ServiceBinding[]) => ({
    calls: directCalls(tables),
    streams: directStreams(tables),
  });
  const full = doorsOf(services);
  const made = new Map<string, typeof full>();
  const doorsFor = (access: Access): typeof full => {
    if (access === fullAccess) return full;
    const name = JSON.stringify(access.kind === "global" ? access.mode : [...access.rules].sort());
    const found = made.get(name);
    if (found !== undefined) return found;
    const [oldest] = made.keys();
    if (made.size >= limits.guardedTablesMax && oldest !== undefined) made.delete(oldest);
    const doors = doorsOf(guarded.servicesFor(access));
    made.set(name, doors);
    return doors;
  };
  return {
    ...own,
    responses,
    methods,
    collections,
    infoOf: (access, collection) => engineFor(access).collectionInfo(collection),
    memoryOf: (access, collection) => engineFor(access).collectionMemory(collection),
    exists: guarded.exists,
    snapshotsFor: (access) => new SnapshotsService(engineFor(access), { recoversFromUrls }),
    callsFor: (access) => doorsFor(access).calls,
    streamsFor: (access) => doorsFor(access).streams,
  };
}

const leftOutLaterMs = [2_000, 10_000, 60_000];

/** Logs, each once, the derived files that were found damaged or missing. */
function leftOutLogger({ embedded }: Database, log: Logger): () => Promise<void> {
  const named = new Set<string>();
  return async () => {
    for (const { collection, what } of (await embedded.stats()).leftOut) {
      if (named.has(what)) continue;
      named.add(what);
      log.warn({ collection, file: what }, "derived data is damaged: it was left out and is built anew from the store");
    }
  };
}

export async function startServer(config: ServerConfig, log: Logger): Promise<RunningServer> {
  let door: Door | undefined;
  const metrics = createMetrics(
    (code) => status[code] ?? String(code),
    async () => (await door?.figures?.()) ?? [],
    config.metricsPrefix,
  );
  const begunMs = performance.now();
  const changes = createSharedChanges();
  const attachments = new AttachmentTable();
  const quota = new Quota(config.dataDir);
  const issues = new IssueBook();
  const database = openDatabase(config, changes, attachments, quota, issues);
  quota.load(config.quota);
  addDatabaseMetrics(metrics, database, config.cluster);
  addQuotaMetric(metrics, quota);
  log.info({ ms: Math.round(performance.now() - begunMs), dataDir: config.dataDir }, "data opened");
  const nameLeftOut = leftOutLogger(database, log);
  await nameLeftOut();
  // Files that are read beside the first requests are named a little later.
  for (const ms of leftOutLaterMs) setTimeout(() => void nameLeftOut().catch(() => undefined), ms).unref();
  const s5 = new S5Hub({
    config: config.s5,
    indexes: new SealedIndexes({
      folder: join(config.dataDir, "s5"),
      attachments,
      memoryLimitMegabytes: config.memoryLimitMegabytes,
      collectionExists: (name) => database.engine.collectionExists(name),
    }),
    collections: collectionSinks(database.engine),
  });
  addS5Metrics(metrics, s5);
  log.info(describeS5Config(config.s5), "S5 configured");
  const shared = { s5, streams: new StreamRegistry() };
  const close = async (): Promise<void> => {
    await door?.end?.();
    await s5.closeAll();
    await database.embedded.close();
    metrics.close();
  };

  let rest: RestServer;
  let ready = false;
  const authenticator = createAuthenticator(config);
  const common = { host: config.host, authenticator, tls: config.tls, log };
  const tables = database.serve(shared);
  const logger = new LoggerControl(config.logLevel, (level) => {
    log.level = level;
    door?.setLogLevel?.(level);
  });
  try {
    door =
      config.rpcThreads > 1
        ? await startRpcThreads({ config, log, changes, attachments, quota, issues, ...shared })
        : await startGrpcServer({ ...common, port: config.grpcPort, metrics, ...tables });
    rest = await startRestServer({
      ...common,
      port: config.httpPort,
      ready: () => ready,
      metrics: metrics.registry,
      portals: () => s5.health(),
      api: restApi(
        database,
        tables,
        metrics,
        { logger, quota, issues, cluster: config.cluster },
        config.recoversFromUrls,
      ),
      cors: config.cors,
    });
  } catch (error) {
    door?.forceClose();
    await close();
    throw error;
  }
  ready = true;
  const grpc = door;
  let stopped: Promise<boolean> | undefined;
  return {
    grpcPort: grpc.port,
    httpPort: rest.port,
    stop() {
      stopped ??= (async () => {
        ready = false;
        const whole = await grpc.drain();
        await rest.close();
        await close();
        return whole;
      })();
      return stopped;
    },
    force: () => grpc.forceClose(),
  };
}

/** A terminal's interrupt reaches a process twice when a wrapper passes it on: that is not a second wish. */
const repeatedSignalMs = 500;

/** Runs until a signal; gives the exit code. */
export async function runServer({ config, files, ignored }: Settings): Promise<number> {
  const log = createLog(config.logLevel);
  if (files.length > 0) log.info({ files }, "configuration read");
  if (ignored.length > 0) log.warn({ ignored }, "settings of Qdrant's that change nothing here");
  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "uncaught exception");
    process.exit(70);
  });
  const server = await startServer(config, log);
  process.stdout.write(banner(config, server));
  log.info({ grpcPort: server.grpcPort, httpPort: server.httpPort, dataDir: config.dataDir }, "serving");

  const signal = await firstSignal(() => {
    log.warn("second signal: cutting what is still in flight");
    server.force();
  });
  log.info({ signal }, "shutting down");
  const whole = await server.stop();
  log.info({ cut: !whole }, "stopped");
  return 0;
}

function firstSignal(onRepeat: () => void): Promise<string> {
  return new Promise((resolve) => {
    let firstMs: number | undefined;
    const onSignal = (signal: string): void => {
      if (firstMs === undefined) {
        firstMs = performance.now();
        resolve(signal);
      } else if (performance.now() - firstMs > repeatedSignalMs) {
        onRepeat();
      }
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}

/** How the person at the terminal can call grpcurl: `make start` puts one into the checkout when the machine has none. */
function grpcurlCommand(): string {
  const own = join(".tools", "bin", "grpcurl");
  const elsewhere = (process.env.PATH ?? "")
    .split(delimiter)
    .some((folder) => resolve(folder) !== resolve(".tools/bin") && existsSync(join(folder, "grpcurl")));
  return !elsewhere && existsSync(own) ? own : "grpcurl";
}

function banner(config: ServerConfig, server: RunningServer): string {
  const wildcard = config.host === "0.0.0.0" || config.host === "::";
  const host = wildcard ? "127.0.0.1" : config.host.includes(":") ? `[${config.host}]` : config.host;
  const tls = config.tls === undefined ? "-plaintext" : `-cacert ${config.tls.certPath}`;
  const key = config.apiKeys.length === 0 ? "" : ' -H "api-key: $SEALPOINT_API_KEY"';
  const grpcurl = `${grpcurlCommand()} ${tls}${key} ${host}:${server.grpcPort}`;
  return `
  Sealpoint ${productVersion}
  gRPC   ${host}:${server.grpcPort}
  HTTP   ${config.tls === undefined ? "http" : "https"}://${host}:${server.httpPort}   (/healthz, /readyz, /metrics)
  data   ${config.dataDir}

  Try:
    ${grpcurl} list
    ${grpcurl} qdrant.Collections/List

`;
}
