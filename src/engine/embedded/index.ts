export { type EmbeddedOptions, EmbeddedEngine, openEmbeddedEngine } from "./embedded-engine.ts";
