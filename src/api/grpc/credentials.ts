/** Who may call: keys and tokens in the request's metadata, and the server's TLS identity. */
import {
  type Metadata,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
} from "@grpc/grpc-js";
import { type Access, DomainError, fullAccess, type ValueExists } from "../../core/index.ts";
import { type Authenticator, type Caller, readTlsContext, type TlsContext, type TlsFiles } from "../../ops/index.ts";
import type { CallObserver } from "./context.ts";
import { errorTable } from "./errors.ts";

/** What answers without a key: load balancers and container health checks have none. */
const openMethods: ReadonlySet<string> = new Set([
  "/qdrant.Qdrant/HealthCheck",
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
]);

/** What the interceptor found, beside the metadata object that grpc-js hands on to the handler. */
const grants = new WeakMap<Metadata, Access>();

/** What the caller of a call may do. */
export function accessOf(metadata: Metadata): Access {
  return grants.get(metadata) ?? fullAccess;
}

/** Refuses a call on its headers, before a byte of its messages is read. `exists` judges a token's claim on a stored point. */
export function createKeyInterceptor(
  authenticator: Authenticator,
  exists: (claim: ValueExists) => Promise<boolean>,
  observer: CallObserver,
): ServerInterceptor {
  return (method, call) => {
    if (openMethods.has(method.path)) return new ServerInterceptingCall(call);
    const refuse = (error: unknown): void => {
      const kind = error instanceof DomainError ? error.kind : "internal";
      const code = errorTable[kind].grpc;
      observer.onCallStart(method.path);
      observer.onCallEnd(method.path, code, 0);
      call.sendStatus({ code, details: error instanceof DomainError ? error.message : "internal error" });
    };
    const admit = (metadata: Metadata, next: (metadata: Metadata) => void, { access }: Caller): void => {
      if (access !== fullAccess) grants.set(metadata, access);
      next(metadata);
    };
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        try {
          const caller = authenticator.authenticate((name) => metadata.get(name)[0]);
          if (!(caller instanceof Promise) && caller.valueExists === undefined) admit(metadata, next, caller);
          else {
            Promise.resolve(caller)
              .then(async (found) => {
                if (found.valueExists !== undefined && !(await exists(found.valueExists))) {
                  throw new DomainError("forbidden", "Invalid JWT, stateful validation failed");
                }
                admit(metadata, next, found);
              })
              .catch(refuse);
          }
        } catch (error) {
          refuse(error);
        }
      })
      .build();
    return new ServerInterceptingCall(call, { start: (next) => next(listener) });
  };
}

/** Credentials whose certificate may change; connections that there are keep theirs. */
export class ReloadableCredentials extends ServerCredentials {
  readonly context: TlsContext;

  constructor(tls: TlsFiles) {
    const context = readTlsContext(tls);
    const asks = context.ca !== undefined;
    super({ requestCert: asks, rejectUnauthorized: asks }, context);
    this.context = context;
  }

  replace(context: TlsContext): void {
    this.updateSecureContextOptions(context);
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}
