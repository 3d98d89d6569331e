export * from "./engine.ts";
export { sealEngine, sealedSkippedOf } from "./sealed.ts";
