/** How connections reach the gRPC server: its own listener, or one of several threads' listeners on one port. */
import { lookup } from "node:dns/promises";
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from "node:net";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { type TlsFiles, watchTls } from "../../ops/index.ts";
import { ReloadableCredentials } from "./credentials.ts";

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsFiles;
  readonly log: Logger;
}

export interface Door {
  readonly port: number;
  /** Takes no more connections; resolves when those that there are have ended. */
  close(): Promise<void>;
  /** Ends those that are left. */
  cut(): void;
}

function describe({ host, port }: Pick<ListenOptions, "host" | "port">): string {
  return `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
}

function refused(options: Pick<ListenOptions, "host" | "port">, error: Error): Error {
  return new Error(`cannot listen for gRPC on ${describe(options)}: ${error.message}`);
}

/** Credentials, and what ends the watch over their files. */
function openCredentials({ tls, log }: ListenOptions): { credentials: ServerCredentials; unwatch: () => void } {
  if (tls === undefined) return { credentials: ServerCredentials.createInsecure(), unwatch: () => undefined };
  const credentials = new ReloadableCredentials(tls);
  return { credentials, unwatch: watchTls(tls, credentials.context, log, (context) => credentials.replace(context)) };
}

/** The server's own listener, which its shutdown closes. */
export async function listenAlone(server: Server, options: ListenOptions): Promise<Door> {
  const { credentials, unwatch } = openCredentials(options);
  try {
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(describe(options), credentials, (error, bound) =>
        error === null ? resolve(bound) : reject(refused(options, error)),
      );
    });
    // Its shutdown waits for its connections.
    return { port, close: async () => unwatch(), cut: unwatch };
  } catch (error) {
    unwatch();
    throw error;
  }
}

const noSuchAddress: ReadonlySet<unknown> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/** Goes over every address of the host, as grpc-js listens on all of them; one that the machine lacks is passed over unless it is the only one. */
async function onEachAddress(host: string, work: (address: string) => Promise<void>): Promise<void> {
  const found = await lookup(host.replace(/^\[(.*)\]$/, "$1"), { all: true });
  let [done, missing]: [number, unknown] = [0, undefined];
  for (const address of new Set(found.map((each) => each.address))) {
    try {
      await work(address);
      done++;
    } catch (error) {
      if (!noSuchAddress.has((error as NodeJS.ErrnoException).code)) throw error;
      missing = error;
    }
  }
  if (done === 0) throw missing;
}

function listen(server: NetServer, host: string, port: number, reusePort: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, reusePort }, () => resolve((server.address() as AddressInfo).port));
  });
}

/**
 * Finds out that nobody else has the port, and which one it is when it is given as 0. Listeners that share a port would share it with another
 * server of the same user too, and each would get a part of the other's calls.
 */
export async function reservePort(options: Pick<ListenOptions, "host" | "port">): Promise<number> {
  let { port } = options;
  try {
    await onEachAddress(options.host, async (address) => {
      const probe = createServer();
      port = await listen(probe, address, port, false);
      await new Promise((resolve) => probe.close(resolve));
    });
  } catch (error) {
    throw refused(options, error as Error);
  }
  return port;
}

export async function listenShared(server: Server, options: ListenOptions): Promise<Door> {
  const { credentials, unwatch } = openCredentials(options);
  const injector = server.createConnectionInjector(credentials);
  const sockets = new Set<Socket>();
  const listeners: NetServer[] = [];
  const close = async (): Promise<void> => {
    unwatch();
    await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.close(resolve))));
  };
  let { port } = options;
  try {
    await onEachAddress(options.host, async (address) => {
      const listener = createServer((socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
        injector.injectConnection(socket);
      });
      port = await listen(listener, address, port, true);
      listeners.push(listener);
    });
  } catch (error) {
    void close();
    throw refused(options, error as Error);
  }
  return {
    port,
    close,
    cut() {
      unwatch();
      for (const socket of sockets) socket.destroy();
    },
  };
}
