/** Which provider makes the vectors of which model. */
import { badInput, type VectorValue } from "../core/index.ts";
import type { InferenceConfig, OnnxConfig } from "../ops/index.ts";
import type { InferenceContext, InferenceMode, InferenceProvider, PlacedInput } from "./inference.ts";
import { OnnxProvider } from "./onnx.ts";
import { RemoteProvider } from "./remote.ts";

/** As configured: models of this machine first, what they are not is the remote one's. Undefined: none. */
export function providerOf({
  inference,
  onnx,
}: {
  readonly inference?: InferenceConfig | undefined;
  readonly onnx?: OnnxConfig | undefined;
}): InferenceProvider | undefined {
  const remote = inference === undefined ? undefined : new RemoteProvider(inference);
  return onnx === undefined ? remote : new LocalFirst(new OnnxProvider(onnx), Object.keys(onnx.models), remote);
}

class LocalFirst implements InferenceProvider {
  readonly #local: OnnxProvider;
  readonly #names: readonly string[];
  readonly #remote: InferenceProvider | undefined;

  constructor(local: OnnxProvider, names: readonly string[], remote: InferenceProvider | undefined) {
    this.#local = local;
    this.#names = names;
    this.#remote = remote;
  }

  async embed(
    inputs: readonly PlacedInput[],
    mode: InferenceMode,
    context: InferenceContext,
  ): ReturnType<InferenceProvider["embed"]> {
    const local = inputs.filter(({ input }) => this.#local.has(input.model));
    const others = inputs.filter(({ input }) => !this.#local.has(input.model));
    const [first] = others;
    if (first !== undefined && this.#remote === undefined) {
      const model = JSON.stringify(first.input.model.slice(0, 200));
      const known = `SEALPOINT_INFERENCE_ONNX_MODELS: ${this.#names.join(", ")}`;
      throw badInput(`the model ${model} is not among those of ${known}, and there is no other provider`, first.field);
    }
    const none = { vectors: [] as readonly VectorValue[] };
    const [ours, theirs] = await Promise.all([
      local.length === 0 ? none : this.#local.embed(local, mode, context),
      this.#remote === undefined || first === undefined ? none : this.#remote.embed(others, mode, context),
    ]);
    const [ofOurs, ofTheirs] = [ours.vectors.values(), theirs.vectors.values()];
    const vectors = inputs.map(
      ({ input }) => (this.#local.has(input.model) ? ofOurs : ofTheirs).next().value as VectorValue,
    );
    const usages = [ours, theirs].flatMap((one) => [...("usage" in one ? (one.usage ?? []) : [])]);
    return usages.length === 0 ? { vectors } : { vectors, usage: new Map(usages) };
  }
}
