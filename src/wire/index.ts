export * from "./envelope.ts";
export * from "./payload.ts";
