export {
  NativeEngine,
  type NativeOptions,
  nativeBlake3,
  nativeOpenS5Chunk,
  nativeOpenS5File,
  nativeRenderPoints,
  nativeSealBatch,
  nativeSealPoints,
  nativeTakeS5Vectors,
  operations,
  simdLevel,
} from "./addon.ts";
export { type Bm25Settings, type Bm25Text, embedBm25, tokenizerKinds } from "./bm25.ts";
export { NativeReader, NativeWriter } from "./bytes.ts";
export { checkData, type DataReport, type Finding } from "./data-check.ts";
