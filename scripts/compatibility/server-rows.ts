/** The capabilities that are the server's and no collection's: its doors, who may come in, and what it tells of itself. */
import { http, plain, type Row, stated } from "./probes.ts";

export const serverRows: readonly Row[] = [
  { title: "REST", probes: [stated("works, every route whose call is served", "test/rest/rest.test.ts")] },
  { title: "Cluster status (REST)", probes: [http("/cluster")] },
  { title: "Telemetry and metrics (REST)", probes: [http("/metrics"), http("/telemetry")] },
  {
    title: "API keys",
    probes: [
      stated(
        "works: two keys and a read-only one, as `api-key` or bearer token; health is exempt",
        "test/e2e/access.test.ts",
      ),
    ],
  },
  { title: "JWT", probes: [stated("works: exp, access, value_exists", "test/e2e/access.test.ts")] },
  {
    title: "TLS",
    probes: [
      stated(
        "works; files read again when they change; client certificates verified",
        "test/server/tls-changes.test.ts",
      ),
    ],
  },
  {
    title: "gzip and large messages",
    probes: [stated("works; a message has at most 64 MiB", "test/server/messages.test.ts")],
  },
  {
    title: "Audit log, profiler, memory report",
    probes: [http(`/collections/${plain}/memory`), stated("not served: audit log, profiler")],
  },
  { title: "Web UI", probes: [http("/dashboard")] },
];
