export type { CallsFor } from "./call.ts";
export { addEngineMetrics } from "./engine-metrics.ts";
export { type RestApi, type RestServer, type RestServerOptions, startRestServer } from "./server.ts";
