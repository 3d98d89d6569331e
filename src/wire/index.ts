export * from "./proto-bytes.ts";
export * from "./envelope.ts";
export * from "./payload.ts";
