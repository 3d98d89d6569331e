export * from "./access.ts";
export * from "./collection.ts";
export * from "./errors.ts";
export * from "./filter.ts";
export * from "./ids.ts";
export * from "./limits.ts";
export * from "./payload.ts";
