/** The data as one thread serves it: the process's one native engine, with the services over it. */
import { createServiceTables } from "../api/grpc/handlers/index.ts";
import type { GrpcServerOptions, ServiceBinding } from "../api/grpc/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../engine/embedded/index.ts";
import {
  type Attachments,
  attachedEngine,
  guardEngine,
  type IssueSink,
  issuesEngine,
  type Quota,
  quotaEngine,
  type SealedEngine,
  sealEngine,
  shardEngine,
  strictEngine,
  unextendedEngine,
} from "../engine/index.ts";
import { Inference, providerOf } from "../inference/index.ts";
import type { ServerConfig } from "../ops/index.ts";
import type { S5Backend } from "../s5/index.ts";
import type { Streams } from "../services/index.ts";

export interface Database {
  readonly embedded: EmbeddedEngine;
  readonly engine: ReturnType<typeof sealEngine>;
  /** What callers see of it. */
  readonly viewOf: (engine: SealedEngine) => SealedEngine;
  /** What only one thread keeps for all. */
  serve(shared: {
    readonly s5: S5Backend;
    readonly streams: Streams;
  }): Required<Pick<GrpcServerOptions, "services" | "guarded">>;
}

/** `changes`: of createSharedChanges, the same for every thread. The first thread to open waits until all is loaded; the others find it open. */
export function openDatabase(
  config: ServerConfig,
  changes: SharedArrayBuffer,
  attachments: Attachments,
  quota: Quota,
  issues: IssueSink,
): Database {
  const embedded = openEmbeddedEngine(config);
  const sealed = sealEngine(attachedEngine(embedded, attachments), changes);
  const watched = issuesEngine(strictEngine(sealed, changes, config.cluster), issues, config.slowQuerySeconds * 1_000);
  const extended = quotaEngine(watched, quota);
  const engine = config.extensions ? extended : unextendedEngine(extended);
  const offered = (services: readonly ServiceBinding[]): readonly ServiceBinding[] =>
    config.extensions ? services : services.filter(({ service }) => !service.typeName.startsWith("sealpoint."));
  const inference = new Inference(providerOf(config));
  const { collectionDefaults, collectionsMax, searchTimeoutSeconds } = config;
  const cluster = config.cluster ? { changes, below: sealed } : undefined;
  const common = { inference, collectionDefaults, collectionsMax, searchTimeoutSeconds, cluster };
  return {
    embedded,
    engine,
    viewOf: (whole) => (cluster === undefined ? whole : shardEngine(whole, cluster.changes)),
    serve({ s5: backend, streams }) {
      const services = offered(createServiceTables({ engine, s5: { backend }, streams, ...common }));
      return {
        services,
        guarded: {
          servicesFor: (access) =>
            offered(
              createServiceTables({ engine: guardEngine(engine, access), s5: { backend, access }, streams, ...common }),
            ),
          // A token's claim is no filter of its bearer: it may name any field that can be read.
          exists: async ({ collection, filter }) => (await engine.count(collection, filter, true).catch(() => 0)) > 0,
        },
      };
    },
  };
}
