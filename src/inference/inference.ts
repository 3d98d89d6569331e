/**
 * What models make of documents, images and objects. BM25 is made here, natively; other models are a provider's, when one is configured.
 * Neither texts nor keys are kept, logged or put into an error.
 */
import { badInput, type InferenceInput, limits, type PayloadObject, type VectorValue } from "../core/index.ts";
import { type Bm25Settings, type Bm25Text, embedBm25 } from "../native/index.ts";
import { readBm25Options } from "./bm25-options.ts";

/** What the vectors are for: models may make others of queries than of documents. */
export type InferenceMode = "update" | "search";

/** An input and where it stands in the request, for errors. */
export interface PlacedInput {
  readonly input: InferenceInput;
  readonly field: string;
}

/** Of the call that the inputs came with. */
export interface InferenceContext {
  readonly signal?: AbortSignal | undefined;
  /** A header of the request by its lower-case name, such as a provider's key. */
  metadata?(name: string): string | undefined;
}

export interface Inferred {
  /** In the order of the inputs. */
  readonly vectors: readonly VectorValue[];
  /** Tokens that a provider counted, by model; absent for models that are built in. */
  readonly usage?: InferenceUsage;
}

export type InferenceUsage = ReadonlyMap<string, number>;

/** Makes vectors of inputs whose models are not built in. */
export interface InferenceProvider {
  embed(
    inputs: readonly PlacedInput[],
    mode: InferenceMode,
    context: InferenceContext,
  ): Promise<{ readonly vectors: readonly VectorValue[]; readonly usage?: InferenceUsage }>;
}

const builtIn: ReadonlySet<string> = new Set(["qdrant/bm25", "bm25"]);

export function isBm25(model: string): boolean {
  return builtIn.has(model.toLowerCase());
}

export class Inference {
  readonly #provider: InferenceProvider | undefined;

  constructor(provider?: InferenceProvider) {
    this.#provider = provider;
  }

  /** Throws bad_input that names the input's field, and what the provider throws. */
  async embed(inputs: readonly PlacedInput[], mode: InferenceMode, context: InferenceContext = {}): Promise<Inferred> {
    if (inputs.length > limits.inferenceInputsMax) {
      throw badInput(`more than ${limits.inferenceInputsMax} inputs of models in one request`, inputs[0]?.field ?? "");
    }
    const texts: Bm25Text[] = [];
    const others: PlacedInput[] = [];
    const known = new Map<string, Bm25Settings>();
    for (const one of inputs) {
      if (isBm25(one.input.model)) texts.push(toBm25(one, known));
      else others.push(one);
    }
    // What cannot be served at all is said before anything is computed.
    const provided = others.length === 0 ? undefined : await this.#provide(others, mode, context);
    const terms = texts.length === 0 ? [] : await embedBm25(texts, mode === "search");
    if (provided === undefined) return { vectors: terms };
    const [ofTexts, ofOthers] = [terms.values(), provided.vectors.values()];
    const vectors = inputs.map(({ input }) => (isBm25(input.model) ? ofTexts : ofOthers).next().value as VectorValue);
    return provided.usage === undefined ? { vectors } : { vectors, usage: provided.usage };
  }

  #provide(
    inputs: readonly PlacedInput[],
    mode: InferenceMode,
    context: InferenceContext,
  ): ReturnType<InferenceProvider["embed"]> {
    if (this.#provider !== undefined) return this.#provider.embed(inputs, mode, context);
    const { input, field } = inputs[0] as PlacedInput;
    // The first sentences are Qdrant's.
    throw badInput(
      "InferenceService is not initialized. Please check if it was properly configured and initialized during startup. " +
        `The model ${JSON.stringify(input.model.slice(0, 200))} needs a provider: set SEALPOINT_INFERENCE_URL or ` +
        "SEALPOINT_INFERENCE_ONNX_MODELS (docs/inference.md), or use the built-in model qdrant/bm25",
      field,
    );
  }
}

function toBm25({ input, field }: PlacedInput, known: Map<string, Bm25Settings>): Bm25Text {
  const { kind, value, model, options } = input;
  if (kind !== "document" || typeof value !== "string") {
    throw badInput(`Wrong input: Only text input is supported for ${model}.`, field);
  }
  return { text: value, settings: settingsOf(options, field, known) };
}

/** Equal options become one object, of which the addon keeps one tokenizer. */
function settingsOf(options: PayloadObject, field: string, known: Map<string, Bm25Settings>): Bm25Settings {
  const keys = Object.keys(options);
  const name =
    keys.length === 0 ? "" : JSON.stringify(options, (_, one) => (typeof one === "bigint" ? Number(one) : one));
  const found = known.get(name);
  if (found !== undefined) return found;
  const settings = readBm25Options(options, `${field}.options`);
  known.set(name, settings);
  return settings;
}
