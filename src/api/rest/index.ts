export type { CallsFor } from "./call.ts";
export { addEngineMetrics } from "./engine-metrics.ts";
export { addQuotaMetric } from "./quotas.ts";
export { addS5Metrics } from "./s5-metrics.ts";
export { type RestApi, type RestServer, type RestServerOptions, startRestServer } from "./server.ts";
