/** Who may call: API keys in the request's metadata, and the server's TLS identity. */
import { readFileSync } from "node:fs";
import {
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from "@grpc/grpc-js";
import { createKeyCheck, presentedKey } from "../../ops/index.ts";
import type { CallObserver } from "./context.ts";

/** What answers without a key: load balancers and container health checks have none. */
const openMethods: ReadonlySet<string> = new Set([
  "/qdrant.Qdrant/HealthCheck",
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
]);

/** Refuses a call on its headers, before a byte of its messages is read. */
export function createKeyInterceptor(keys: readonly string[], observer: CallObserver): ServerInterceptor {
  const matches = createKeyCheck(keys);
  return (method, call) => {
    if (openMethods.has(method.path)) return new ServerInterceptingCall(call);
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const key = presentedKey((name) => metadata.get(name)[0]);
        if (key !== undefined && matches(key)) {
          next(metadata);
          return;
        }
        observer.onCallStart(method.path);
        observer.onCallEnd(method.path, status.UNAUTHENTICATED, 0);
        const details =
          key === undefined ? "Must provide an API key or an Authorization bearer token" : "Invalid API key";
        call.sendStatus({ code: status.UNAUTHENTICATED, details });
      })
      .build();
    return new ServerInterceptingCall(call, { start: (next) => next(listener) });
  };
}

export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
}

export function readServerCredentials(tls: TlsFiles | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { cert_chain: readFileSync(tls.certPath), private_key: readFileSync(tls.keyPath) };
  return ServerCredentials.createSsl(null, [pair], false);
}
