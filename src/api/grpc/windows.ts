/**
 * What each HTTP/2 session is given: the table of its streams, and its flow-control windows. grpc-js 1.14 ignores its own option for them on the server, and with the default of 64 KiB
 * an upsert of 400 kB waits six times for the peer. Done through two private members of its Server; where they are missing
 * (another version) the windows stay small and everything still works.
 */
import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { replaceStreamTable } from "./stream-table.ts";

const streamWindowBytes = 1024 * 1024;
/** Bounds what one connection may have sent and not seen read. */
const connectionWindowBytes = 4 * 1024 * 1024;

interface ServerInternals {
  commonServerOptions?: { settings?: Record<string, number> };
  createHttp2Server?: (credentials: unknown) => Http2Server;
}

export function widenWindows(server: Server): void {
  const internals = server as unknown as ServerInternals;
  if (internals.commonServerOptions === undefined || internals.createHttp2Server === undefined) return;
  const { settings } = internals.commonServerOptions;
  internals.commonServerOptions.settings = { ...settings, initialWindowSize: streamWindowBytes };
  const create = internals.createHttp2Server.bind(server);
  internals.createHttp2Server = (credentials) => {
    const http2Server = create(credentials);
    http2Server.on("session", (session: ServerHttp2Session) => {
      session.setLocalWindowSize(connectionWindowBytes);
      replaceStreamTable(session);
    });
    return http2Server;
  };
}
