/** Vectors of documents, images and objects. */
export {
  Inference,
  type InferenceContext,
  type InferenceMode,
  type InferenceProvider,
  type InferenceUsage,
  type PlacedInput,
} from "./inference.ts";
export { OnnxProvider } from "./onnx.ts";
export { providerOf } from "./providers.ts";
export { RemoteProvider } from "./remote.ts";
