export * from "./call.ts";
export { directCalls, directStreams } from "./direct.ts";
export { errorTable, toServiceError } from "./errors.ts";
export { HealthRegistry, servingStatus } from "./health.ts";
export { reservePort } from "./listen.ts";
export { type GrpcServer, type GrpcServerOptions, startGrpcServer } from "./server.ts";
