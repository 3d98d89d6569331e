export { EmbeddedEngine, type EmbeddedOptions, openEmbeddedEngine } from "./embedded-engine.ts";
export { type EmbeddedAttachment, SealedIndexes, type SealedIndexesOptions } from "./sealed-indexes.ts";
