export { NativeEngine, type NativeOptions, nativeSealBatch, operations, simdLevel } from "./addon.ts";
export { NativeReader, NativeWriter } from "./bytes.ts";
export { MemoryIndex } from "./memory-index.ts";
