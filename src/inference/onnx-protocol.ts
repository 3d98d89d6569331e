/** What the threads of local models are asked and answer. */
import type { OnnxModelPlace } from "./onnx-model.ts";

export type OnnxMode = "update" | "search";

export interface OnnxJob {
  readonly id: number;
  readonly model: OnnxModelPlace;
  readonly texts: readonly string[];
  /** Of which so many are run at a time. */
  readonly batchSize: number;
  readonly mode: OnnxMode;
}

export type OnnxAnswer =
  | { readonly id: number; readonly values: Float32Array; readonly dimensions: number; readonly tokens: number }
  /** `load`: the model could not be read; its words are the operator's. */
  | { readonly id: number; readonly failed: "load" | "run"; readonly reason: string };
