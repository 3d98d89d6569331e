/** Who may call: API keys in the request's metadata, and the server's TLS identity. */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  type Metadata,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from "@grpc/grpc-js";
import type { CallObserver } from "./context.ts";

/** What answers without a key: load balancers and container health checks have none. */
const openMethods: ReadonlySet<string> = new Set([
  "/qdrant.Qdrant/HealthCheck",
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
]);

/** True when one of `keys` was presented. Compares digests, so neither content nor length shows in the time it takes. */
export function createKeyCheck(keys: readonly string[]): (presented: string) => boolean {
  const digests = keys.map(digest);
  return (presented) => {
    const given = digest(presented);
    let matched = false;
    for (const one of digests) matched = timingSafeEqual(one, given) || matched;
    return matched;
  };
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key, "utf8").digest();
}

function presentedKey(metadata: Metadata): string | undefined {
  const apiKey = metadata.get("api-key")[0];
  if (typeof apiKey === "string") return apiKey;
  const authorization = metadata.get("authorization")[0];
  if (typeof authorization !== "string") return undefined;
  return /^Bearer +(\S+)\s*$/i.exec(authorization)?.[1];
}

/** Refuses a call on its headers, before a byte of its messages is read. */
export function createKeyInterceptor(keys: readonly string[], observer: CallObserver): ServerInterceptor {
  const matches = createKeyCheck(keys);
  return (method, call) => {
    if (openMethods.has(method.path)) return new ServerInterceptingCall(call);
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const key = presentedKey(metadata);
        if (key !== undefined && matches(key)) {
          next(metadata);
          return;
        }
        const details =
          key === undefined ? "Must provide an API key or an Authorization bearer token" : "Invalid API key";
        observer.onCallStart(method.path);
        observer.onCallEnd(method.path, status.UNAUTHENTICATED, 0);
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
