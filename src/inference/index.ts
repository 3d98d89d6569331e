/** Vectors of documents, images and objects. */
export {
  Inference,
  type InferenceContext,
  type InferenceMode,
  type InferenceProvider,
  type InferenceUsage,
  type PlacedInput,
} from "./inference.ts";
export { RemoteProvider } from "./remote.ts";
