/** Settings of the models that run on this machine. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { limits } from "../core/index.ts";

export interface OnnxConfig {
  /** What callers ask for, and the folder with its model and tokenizer.json. */
  readonly models: Readonly<Record<string, { readonly folder: string; readonly modelFile: string }>>;
  /** Threads that run them, of each thread that serves calls; every one holds each model that it was asked for. */
  readonly threads: number;
  /** Texts that a model is run with at a time. */
  readonly batchSize: number;
  /** Tokens of a text that count; absent: the model's own limit. */
  readonly tokensMax?: number | undefined;
}

/** Where a model may lie in its folder; the first that is there. */
const modelFiles = ["model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx", "model_quantized.onnx"];

/** `fail` throws the configuration's error. */
export function readOnnxConfig(
  text: (name: string) => string | undefined,
  fail: (message: string) => never,
): OnnxConfig | undefined {
  const number = (name: string, least: number, most: number): number | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    const parsed = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    return parsed >= least && parsed <= most
      ? parsed
      : fail(`${name}: ${JSON.stringify(value)} is not a number from ${least} to ${most}`);
  };
  const threads = number("SEALPOINT_INFERENCE_ONNX_THREADS", 1, limits.onnxThreadsMax) ?? 1;
  const batchSize = number("SEALPOINT_INFERENCE_ONNX_BATCH_SIZE", 1, limits.onnxBatchMax) ?? 1;
  const tokensMax = number("SEALPOINT_INFERENCE_ONNX_TOKENS_MAX", 8, limits.onnxTokensMax);
  const given = text("SEALPOINT_INFERENCE_ONNX_MODELS");
  if (given === undefined) return undefined;
  const models = readModels(given, (message) => fail(`SEALPOINT_INFERENCE_ONNX_MODELS: ${message}`));
  return { models, threads, batchSize, ...(tokensMax === undefined ? {} : { tokensMax }) };
}

/** `name=folder`, separated by commas. */
function readModels(given: string, fail: (message: string) => never): OnnxConfig["models"] {
  const entries = given
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
  if (entries.length > limits.inferenceModelsMax) return fail(`more than ${limits.inferenceModelsMax} models`);
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf("=");
      const name = entry.slice(0, Math.max(at, 0)).trim();
      if (at < 1 || name === "") return fail(`${JSON.stringify(entry)} has not the form name=folder`);
      const folder = resolve(entry.slice(at + 1).trim());
      if (!existsSync(join(folder, "tokenizer.json"))) return fail(`${folder} has no tokenizer.json`);
      const modelFile = modelFiles.map((file) => join(folder, file)).find((path) => existsSync(path));
      if (modelFile === undefined) return fail(`${folder} has none of ${modelFiles.join(", ")}`);
      return [name, { folder, modelFile }];
    }),
  );
}
