/**
 * Providers behind HTTP: OpenAI's embeddings (texts to dense vectors), and the protocol that Qdrant speaks with its own inference service
 * (texts, images and objects to vectors of every kind).
 */
import {
  badInput,
  DomainError,
  limits,
  type PayloadObject,
  type PayloadValue,
  type VectorValue,
} from "../core/index.ts";
import type { InferenceConfig } from "../ops/index.ts";
import { ProviderHttp } from "./http.ts";
import type { InferenceContext, InferenceMode, InferenceProvider, PlacedInput } from "./inference.ts";

/** Options and headers of a request by which Qdrant's clients hand over a key; none of them is sent on as an option. */
const keyNames = ["openai-api-key", "jina-api-key", "cohere-api-key", "openrouter-api-key"] as const;

type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };

function plain(value: PayloadValue): Plain {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return (value as readonly PayloadValue[]).map(plain);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  }
  return value as Plain;
}

/** Inputs of one request to the provider: of one model, with the same options and key. */
interface Batch {
  readonly model: string;
  readonly upstream: string;
  readonly options: { readonly [key: string]: Plain };
  readonly key: string | undefined;
  readonly kind: "document" | "image" | "object";
  readonly values: Plain[];
  /** Places in the answer, by value. */
  readonly places: number[][];
  readonly field: string;
}

interface Answer {
  readonly vectors: readonly VectorValue[];
  readonly tokens: number;
}

export class RemoteProvider implements InferenceProvider {
  readonly #options: InferenceConfig;
  readonly #http: ProviderHttp;

  constructor(options: InferenceConfig) {
    this.#options = options;
    this.#http = new ProviderHttp(options);
  }

  async embed(
    inputs: readonly PlacedInput[],
    mode: InferenceMode,
    context: InferenceContext,
  ): ReturnType<InferenceProvider["embed"]> {
    const batches = this.#batches(inputs, context);
    const vectors = new Array<VectorValue>(inputs.length);
    const usage = new Map<string, number>();
    await Promise.all(
      batches.map(async (batch) => {
        const ask =
          this.#options.protocol === "openai"
            ? this.#askOpenAi(batch, context)
            : this.#askQdrants(batch, mode, context);
        const { vectors: made, tokens } = await ask;
        batch.places.forEach((places, i) => {
          for (const place of places) vectors[place] = made[i] as VectorValue;
        });
        if (tokens > 0) usage.set(batch.model, (usage.get(batch.model) ?? 0) + tokens);
      }),
    );
    return usage.size === 0 ? { vectors } : { vectors, usage };
  }

  #batches(inputs: readonly PlacedInput[], context: InferenceContext): Batch[] {
    const open = new Map<string, { batch: Batch | undefined; readonly places: Map<string, number[]> }>();
    const batches: Batch[] = [];
    const headerKey = keyNames.map((name) => context.metadata?.(name)).find((key) => key !== undefined);
    inputs.forEach(({ input, field }, place) => {
      const { key, options } = splitOptions(input.options);
      const value = plain(input.value);
      const name = JSON.stringify([input.kind, input.model, options, key]);
      let group = open.get(name);
      if (group === undefined) {
        group = { batch: undefined, places: new Map() };
        open.set(name, group);
      }
      const text = typeof value === "string" ? value : JSON.stringify(value);
      const known = group.places.get(text);
      if (known !== undefined) {
        known.push(place);
        return;
      }
      if (group.batch === undefined || group.batch.values.length >= this.#options.batchSize) {
        const { kind, model } = input;
        const upstream = this.#upstream(model, field);
        group.batch = { model, upstream, options, key: key ?? headerKey, kind, values: [], places: [], field };
        batches.push(group.batch);
      }
      const places = [place];
      group.places.set(text, places);
      group.batch.values.push(value);
      group.batch.places.push(places);
    });
    return batches;
  }

  #upstream(model: string, field: string): string {
    const { models } = this.#options;
    const names = Object.keys(models);
    if (names.length === 0) return this.#options.protocol === "openai" ? model.replace(/^openai\//i, "") : model;
    const found = Object.hasOwn(models, model) ? models[model] : undefined;
    if (found !== undefined) return found;
    throw badInput(
      `the model ${JSON.stringify(model.slice(0, 200))} is not among those of SEALPOINT_INFERENCE_MODELS: ${names.join(", ")}`,
      field,
    );
  }

  async #askOpenAi(batch: Batch, { signal }: InferenceContext): Promise<Answer> {
    const { kind, values, field, upstream, options, key } = batch;
    if (kind !== "document") {
      throw badInput(
        `the inference provider makes vectors of texts only, not of an ${kind}; see docs/inference.md`,
        field,
      );
    }
    // Base64 is a tenth of the numbers' text; who does not know it answers with numbers.
    const body = { ...options, model: upstream, input: values, encoding_format: "base64" };
    const json = await this.#http.post(body, key ?? this.#options.apiKey, key !== undefined, signal);
    const { data, usage } = asObject(json);
    const rows = asList(data);
    const vectors = new Array<VectorValue>(values.length);
    rows.forEach((row, i) => {
      const { index = i, embedding } = asObject(row);
      if (typeof index !== "number" || !(index < values.length)) throw malformed();
      vectors[index] = toDense(embedding);
    });
    const tokens = asObject(usage ?? {}).total_tokens;
    return { vectors: complete(vectors), tokens: typeof tokens === "number" ? tokens : 0 };
  }

  async #askQdrants(batch: Batch, mode: InferenceMode, { signal }: InferenceContext): Promise<Answer> {
    const { kind, values, upstream, options, key, model } = batch;
    const type = kind === "document" ? "text" : kind;
    const inputs = values.map((data) => ({ data, data_type: type, model: upstream, options }));
    const body = { inputs, inference: mode, token: key ?? this.#options.apiKey ?? null };
    const { embeddings, usage } = asObject(await this.#http.post(body, undefined, key !== undefined, signal));
    const vectors = asList(embeddings).map(toVector);
    if (vectors.length !== values.length) throw malformed();
    const models = asObject(asObject(usage ?? {}).models ?? {});
    const { tokens } = asObject(models[upstream] ?? models[model] ?? {});
    return { vectors, tokens: typeof tokens === "number" ? tokens : 0 };
  }
}

function splitOptions(options: PayloadObject): { key: string | undefined; options: { [key: string]: Plain } } {
  const rest = Object.entries(options).filter(([name]) => !name.endsWith("-api-key"));
  const key = keyNames.map((name) => options[name]).find((value) => typeof value === "string");
  return { key: key as string | undefined, options: Object.fromEntries(rest.map(([name, one]) => [name, plain(one)])) };
}

function malformed(): DomainError {
  return new DomainError("unavailable", "the inference provider's answer does not have the form of its protocol", {
    retryable: false,
  });
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed();
  return value as Record<string, unknown>;
}

function asList(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed();
  return value;
}

function complete(vectors: VectorValue[]): readonly VectorValue[] {
  for (let i = 0; i < vectors.length; i++) if (vectors[i] === undefined) throw malformed();
  return vectors;
}

/** Numbers, or little-endian floats in base64. */
function toDense(value: unknown): Float32Array {
  if (typeof value === "string") {
    const bytes = Buffer.from(value, "base64");
    if (bytes.length === 0 || bytes.length % 4 !== 0) throw malformed();
    return checkSize(new Float32Array(new Uint8Array(bytes).buffer));
  }
  const list = asList(value);
  if (!list.every((one) => typeof one === "number")) throw malformed();
  return checkSize(Float32Array.from(list as readonly number[]));
}

function checkSize(vector: Float32Array): Float32Array {
  if (vector.length === 0 || vector.length > limits.vectorDimensionsMax) throw malformed();
  return vector;
}

/** As Qdrant writes vectors in JSON. */
function toVector(value: unknown): VectorValue {
  if (Array.isArray(value)) {
    if (!Array.isArray(value[0])) return toDense(value);
    const rows = value.map(toDense);
    const dimensions = (rows[0] as Float32Array).length;
    if (rows.length > limits.multiVectorRowsMax || rows.some((row) => row.length !== dimensions)) throw malformed();
    const values = new Float32Array(rows.length * dimensions);
    rows.forEach((row, i) => {
      values.set(row, i * dimensions);
    });
    return { rows: rows.length, dimensions, values };
  }
  const { indices, values } = asObject(value);
  const [places, weights] = [asList(indices), asList(values)];
  if (places.length !== weights.length || places.length > limits.sparseValuesMax) throw malformed();
  const entries = places.map((index, i) => [index, weights[i]] as [number, number]).sort((a, b) => a[0] - b[0]);
  entries.forEach(([index, weight], i) => {
    if (!Number.isInteger(index) || index < 0 || index > 0xffff_ffff || typeof weight !== "number") throw malformed();
    if (index === entries[i - 1]?.[0]) throw malformed();
  });
  return {
    indices: Uint32Array.from(entries, ([index]) => index),
    values: Float32Array.from(entries, ([, one]) => one),
  };
}
