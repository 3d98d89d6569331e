export { addEngineMetrics } from "./engine-metrics.ts";
export { type RestServer, type RestServerOptions, startRestServer } from "./server.ts";
