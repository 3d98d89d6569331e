export { EmbeddedEngine, type EmbeddedOptions, openEmbeddedEngine } from "./embedded-engine.ts";
