export * from "./engine.ts";
export { guardEngine } from "./guarded.ts";
export { sealEngine, sealedSkippedOf } from "./sealed.ts";
