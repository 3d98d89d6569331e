/**
 * One sentence model: a transformer in ONNX with the tokenizer beside it, as the sentence-transformers library and its exporters write
 * them. Runs in onnx-worker.ts only: it holds its thread.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Tokenizer } from "@huggingface/tokenizers";
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { limits } from "../core/index.ts";
import type { OnnxMode } from "./onnx-protocol.ts";

type Runtime = typeof import("onnxruntime-node");

export interface OnnxModelPlace {
  readonly folder: string;
  readonly modelFile: string;
  readonly tokensMax?: number | undefined;
}

export interface OnnxVectors {
  /** One text's after the other. */
  readonly values: Float32Array;
  readonly dimensions: number;
  /** Of all texts, with those that the model adds. */
  readonly tokens: number;
}

interface Settings {
  readonly tokensMax: number;
  readonly pooling: "mean" | "cls";
  readonly normalize: boolean;
  readonly prompts: Readonly<Record<OnnxMode, string>>;
}

type Json = { readonly [key: string]: unknown };

function readJson(path: string): Json {
  if (!existsSync(path)) return {};
  const json: unknown = JSON.parse(readFileSync(path, "utf8"));
  return typeof json === "object" && json !== null ? (json as Json) : {};
}

/** Greater ones stand for "no limit" in tokenizer_config.json. */
function limitOf(...given: unknown[]): number {
  const numbers = given.filter((one): one is number => typeof one === "number" && one >= 8 && one <= 1e6);
  return Math.min(...numbers, limits.onnxTokensMax);
}

function readSettings(folder: string, asked: number | undefined): Settings {
  const config = readJson(join(folder, "config.json"));
  const sentence = readJson(join(folder, "sentence_bert_config.json"));
  const pooling = readJson(join(folder, "1_Pooling/config.json"));
  const { prompts } = readJson(join(folder, "config_sentence_transformers.json")) as { prompts?: Json };
  const modulesPath = join(folder, "modules.json");
  const prompt = (...names: string[]) =>
    names.map((name) => prompts?.[name]).find((one): one is string => typeof one === "string") ?? "";
  return {
    tokensMax: limitOf(
      asked,
      sentence.max_seq_length,
      config.max_position_embeddings,
      readJson(join(folder, "tokenizer_config.json")).model_max_length,
    ),
    pooling: pooling.pooling_mode_cls_token === true ? "cls" : "mean",
    // Who wrote no list of modules wrote a model whose vectors are compared by cosine.
    normalize: !existsSync(modulesPath) || /Normalize/.test(readFileSync(modulesPath, "utf8")),
    prompts: { search: prompt("query"), update: prompt("document", "passage") },
  };
}

/** What the model wants with each text: its ids, a 1 for each of them, and the number of its part. */
const knownInputs = ["input_ids", "attention_mask", "token_type_ids"];

export class OnnxModel {
  readonly #runtime: Runtime;
  readonly #session: InferenceSession;
  readonly #tokenizer: Tokenizer;
  readonly #settings: Settings;
  /** What the tokenizer puts before and after each text. */
  readonly #before: readonly number[];
  readonly #after: readonly number[];

  private constructor(runtime: Runtime, session: InferenceSession, tokenizer: Tokenizer, settings: Settings) {
    this.#runtime = runtime;
    this.#session = session;
    this.#tokenizer = tokenizer;
    this.#settings = settings;
    const plain = tokenizer.encode("a", { add_special_tokens: false }).ids;
    const whole = tokenizer.encode("a").ids;
    const at = whole.indexOf(plain[0] as number);
    this.#before = whole.slice(0, at);
    this.#after = whole.slice(at + plain.length);
  }

  static async load({ folder, modelFile, tokensMax }: OnnxModelPlace): Promise<OnnxModel> {
    const [runtime, { Tokenizer }] = await Promise.all([import("onnxruntime-node"), import("@huggingface/tokenizers")]);
    const tokenizer = new Tokenizer(
      readJson(join(folder, "tokenizer.json")),
      readJson(join(folder, "tokenizer_config.json")),
    );
    // The threads are the server's to count: several of the runtime's own would take them from searches.
    const options = { executionProviders: ["cpu"], intraOpNumThreads: 1, interOpNumThreads: 1 };
    const session = await runtime.InferenceSession.create(modelFile, options);
    const unknown = session.inputNames.find((name) => !knownInputs.includes(name));
    if (unknown !== undefined)
      throw new Error(`the model wants an input ${JSON.stringify(unknown)}, which is not known`);
    return new OnnxModel(runtime, session, tokenizer, readSettings(folder, tokensMax));
  }

  /** Texts longer than the model's limit are cut there. */
  async embed(texts: readonly string[], mode: OnnxMode): Promise<OnnxVectors> {
    const rows = texts.map((text) => this.#idsOf(this.#settings.prompts[mode] + text));
    const length = Math.max(...rows.map((row) => row.length));
    const ids = new BigInt64Array(rows.length * length);
    const mask = new BigInt64Array(rows.length * length);
    rows.forEach((row, i) => {
      row.forEach((id, at) => {
        ids[i * length + at] = BigInt(id);
        mask[i * length + at] = 1n;
      });
    });
    const values: Record<string, BigInt64Array> = {
      input_ids: ids,
      attention_mask: mask,
      token_type_ids: new BigInt64Array(ids.length),
    };
    const feeds: Record<string, Tensor> = {};
    for (const name of this.#session.inputNames) {
      feeds[name] = new this.#runtime.Tensor("int64", values[name] as BigInt64Array, [rows.length, length]);
    }
    const found = await this.#session.run(feeds);
    const made = this.#pool(found, rows);
    if (this.#settings.normalize) normalize(made.values, made.dimensions);
    return { ...made, tokens: rows.reduce((sum, row) => sum + row.length, 0) };
  }

  #idsOf(text: string): number[] {
    // More cannot be within the limit, but for runs of spaces.
    const cut = text.slice(0, limits.onnxTextCharsMax);
    const room = this.#settings.tokensMax - this.#before.length - this.#after.length;
    const { ids } = this.#tokenizer.encode(cut, { add_special_tokens: false });
    return [...this.#before, ...ids.slice(0, room), ...this.#after];
  }

  /** A vector for each text: the one that the model has made of it, or the mean (the first) of those of its tokens. */
  #pool(found: InferenceSession.OnnxValueMapType, rows: readonly (readonly number[])[]) {
    const tensors = Object.values(found) as Tensor[];
    const whole = tensors.find(({ dims }) => dims.length === 2 && dims[0] === rows.length);
    const named = found.sentence_embedding as Tensor | undefined;
    const ofTokens = tensors.find(({ dims }) => dims.length === 3);
    const ready = named ?? (ofTokens === undefined ? whole : undefined);
    if (ready !== undefined) {
      return { values: Float32Array.from(ready.data as Float32Array), dimensions: ready.dims[1] as number };
    }
    if (ofTokens === undefined) throw new Error("the model answers no vectors of tokens or texts");
    const [, length = 0, dimensions = 0] = ofTokens.dims;
    const data = ofTokens.data as Float32Array;
    const values = new Float32Array(rows.length * dimensions);
    rows.forEach((row, i) => {
      const vector = values.subarray(i * dimensions, (i + 1) * dimensions);
      const counted = this.#settings.pooling === "cls" ? 1 : row.length;
      for (let at = 0; at < counted; at++) {
        const from = (i * length + at) * dimensions;
        for (let d = 0; d < dimensions; d++) vector[d] = (vector[d] as number) + (data[from + d] as number);
      }
      divide(vector, counted);
    });
    return { values, dimensions };
  }
}

/** Each vector to length 1; one of zeros stays. */
function normalize(values: Float32Array, dimensions: number): void {
  for (let from = 0; from < values.length; from += dimensions) {
    const vector = values.subarray(from, from + dimensions);
    let squares = 0;
    for (const value of vector) squares += value * value;
    if (squares > 0) divide(vector, Math.sqrt(squares));
  }
}

function divide(vector: Float32Array, by: number): void {
  for (let d = 0; d < vector.length; d++) vector[d] = (vector[d] as number) / by;
}
