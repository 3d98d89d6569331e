export * from "./config.ts";
export * from "./identity.ts";
export * from "./key-check.ts";
export * from "./log.ts";
export * from "./metrics.ts";
