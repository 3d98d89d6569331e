/** The gRPC server: options, services, start, and an end in which calls in flight are finished. */
import { Server, type ServerOptions, type status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { type Access, DomainError, limits as defaultLimits, type ValueExists } from "../../core/index.ts";
import type { Authenticator, TlsFiles } from "../../ops/index.ts";
import { AccessTables } from "./access.ts";
import { adaptService } from "./adaptor.ts";
import type { ServiceBinding } from "./call.ts";
import type { CallEnvironment, CallObserver } from "./context.ts";
import { createKeyInterceptor } from "./credentials.ts";
import { healthService } from "./descriptors.ts";
import { createHealthBinding, HealthRegistry, servingStatus } from "./health.ts";
import { type Door, listenAlone, listenShared } from "./listen.ts";
import { receiveInterceptor } from "./receive.ts";
import { createReflectionBindings } from "./reflection.ts";
import { widenWindows } from "./windows.ts";

export interface GrpcServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Other threads of the process listen on the port too; the kernel shares the connections out. Takes a port reserved by reservePort. */
  readonly sharesPort?: boolean;
  /** The services and their tables; health and reflection are added. */
  readonly services: readonly ServiceBinding[];
  readonly authenticator?: Authenticator;
  /** The same services for a caller who may not do everything, and how a token's claim on a stored point is judged. */
  readonly guarded?: {
    readonly servicesFor: (access: Access) => readonly ServiceBinding[];
    readonly exists: (claim: ValueExists) => Promise<boolean>;
  };
  readonly tls?: TlsFiles;
  readonly log: Logger;
  readonly metrics?: CallObserver;
  readonly limits?: { readonly messageBytesMax: number; readonly drainSecondsMax: number };
}

export interface GrpcServer {
  readonly port: number;
  readonly health: HealthRegistry;
  /**
   * Health goes NOT_SERVING, new connections and calls are refused, endless streams end, calls in flight finish. Resolves
   * when all have ended, at the latest after limits.drainSecondsMax, when the rest is cut: true when nothing was cut.
   */
  drain(): Promise<boolean>;
  /** Cuts everything at once. */
  forceClose(): void;
}

const silentObserver: CallObserver = { onCallStart: () => undefined, onCallEnd: (_: string, __: status) => undefined };

/** Calls that one connection may have open: bounds the memory of a peer, and more than any client of ours uses. */
const callsPerConnectionMax = 1024;

/** Milliseconds that connections get to close after they were cut. */
const cutMs = 200;

export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const limits = options.limits ?? defaultLimits;
  const observer = options.metrics ?? silentObserver;
  const draining = new AbortController();
  const forced = new AbortController();
  const environment: CallEnvironment = {
    log: options.log,
    observer,
    draining: draining.signal,
    forced: forced.signal,
  };
  const health = new HealthRegistry();
  const descriptors = [...options.services.map((binding) => binding.service), healthService];
  const bindings = [...options.services, createHealthBinding(health), ...createReflectionBindings(descriptors)];

  const { guarded } = options;
  const server = new Server(serverOptions(options, limits.messageBytesMax, observer));
  widenWindows(server);
  const tables = new AccessTables((access) => {
    if (guarded === undefined) throw new DomainError("forbidden", "Forbidden: this server grants full access only");
    return new Map(
      guarded.servicesFor(access).map((own) => [own.service.typeName, adaptService(own, environment).implementation]),
    );
  });
  for (const binding of bindings) {
    const { definition, implementation } = adaptService(binding, environment);
    const isOwn = options.services.includes(binding);
    server.addService(definition, isOwn ? tables.guard(binding.service.typeName, implementation) : implementation);
    health.set(binding.service.typeName, servingStatus.notServing);
  }
  const door = await (options.sharesPort === true ? listenShared : listenAlone)(server, options);
  health.setAll(servingStatus.serving);

  const forceClose = (): void => {
    forced.abort();
    // One turn later, so that the calls' own answers (UNAVAILABLE) are on the wire before the connections go.
    setImmediate(() => {
      server.forceShutdown();
      door.cut();
    });
  };
  let drained: Promise<boolean> | undefined;
  return {
    port: door.port,
    health,
    forceClose,
    drain() {
      drained ??= drainServer(server, door, health, draining, forceClose, limits.drainSecondsMax);
      return drained;
    },
  };
}

async function drainServer(
  server: Server,
  door: Door,
  health: HealthRegistry,
  draining: AbortController,
  forceClose: () => void,
  drainSecondsMax: number,
): Promise<boolean> {
  health.setAll(servingStatus.notServing);
  draining.abort();
  const closed = door.close();
  let cut = false;
  let patience: NodeJS.Timeout | undefined;
  const gaveUp = new Promise<void>((resolve) => {
    patience = setTimeout(() => {
      cut = true;
      forceClose();
      setTimeout(resolve, cutMs);
    }, drainSecondsMax * 1000);
  });
  const ended = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  // With injected connections grpc-js believes itself done before they are.
  await Promise.race([Promise.all([ended, closed]), gaveUp]);
  clearTimeout(patience);
  return !cut;
}

function serverOptions(options: GrpcServerOptions, messageBytesMax: number, observer: CallObserver): ServerOptions {
  const { authenticator, guarded } = options;
  // Without a judge no claim holds.
  const exists = guarded?.exists ?? (async () => false);
  return {
    "grpc.max_receive_message_length": messageBytesMax,
    // An answer is bounded by what was asked for, not by what we would accept.
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": callsPerConnectionMax,
    // A peer that vanished without a word is found and its streams are freed.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.enable_channelz": 0,
    interceptors: [
      receiveInterceptor,
      ...(authenticator?.asksForKeys === true ? [createKeyInterceptor(authenticator, exists, observer)] : []),
    ],
  };
}
