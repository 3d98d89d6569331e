/** Settings of the provider that makes vectors with models that are not built in. The key never appears in a message. */
import { limits } from "../core/index.ts";

export interface InferenceConfig {
  /** `openai`: POST of OpenAI's embeddings; `qdrant`: what Qdrant sends to its own inference service. */
  readonly protocol: "openai" | "qdrant";
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** What callers may ask for, and what the provider calls it; empty: everything. */
  readonly models: Readonly<Record<string, string>>;
  /** Of one request to the provider. */
  readonly timeoutMs: number;
  /** Inputs of one request to the provider. */
  readonly batchSize: number;
  /** Requests to the provider at a time, of one thread. */
  readonly parallel: number;
  /** Further tries after a failure that may pass. */
  readonly retries: number;
}

/** `fail` throws the configuration's error. */
export function readInferenceConfig(
  text: (name: string) => string | undefined,
  fail: (message: string) => never,
): InferenceConfig | undefined {
  const number = (name: string, fallback: number, least: number, most: number): number => {
    const value = text(name);
    const parsed = value === undefined ? fallback : /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    if (parsed >= least && parsed <= most) return parsed;
    return fail(`${name}: ${JSON.stringify(value)} is not a number from ${least} to ${most}`);
  };
  const openai = text("SEALPOINT_INFERENCE_URL");
  const qdrant = text("SEALPOINT_INFERENCE_QDRANT_URL");
  const apiKey = text("SEALPOINT_INFERENCE_API_KEY");
  const models = readModels(text("SEALPOINT_INFERENCE_MODELS") ?? "", fail);
  const rest = {
    timeoutMs: number(
      "SEALPOINT_INFERENCE_TIMEOUT_MS",
      limits.inferenceTimeoutMsDefault,
      1,
      limits.inferenceTimeoutMsMax,
    ),
    batchSize: number("SEALPOINT_INFERENCE_BATCH_SIZE", limits.inferenceBatchDefault, 1, limits.inferenceBatchMax),
    parallel: number("SEALPOINT_INFERENCE_PARALLEL", limits.inferenceParallelDefault, 1, limits.inferenceParallelMax),
    retries: number("SEALPOINT_INFERENCE_RETRIES", limits.inferenceRetriesDefault, 0, limits.inferenceRetriesMax),
  };
  if (openai !== undefined && qdrant !== undefined) {
    return fail("SEALPOINT_INFERENCE_QDRANT_URL: SEALPOINT_INFERENCE_URL is set too, and there is one provider only");
  }
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey)) {
    return fail("SEALPOINT_INFERENCE_API_KEY: must be printable ASCII without spaces, since it travels in a header");
  }
  if (openai !== undefined) {
    return { protocol: "openai", url: embeddingsUrl("SEALPOINT_INFERENCE_URL", openai, fail), apiKey, models, ...rest };
  }
  if (qdrant === undefined) return undefined;
  return {
    protocol: "qdrant",
    url: checkUrl("SEALPOINT_INFERENCE_QDRANT_URL", qdrant, fail).href,
    apiKey,
    models,
    ...rest,
  };
}

function checkUrl(name: string, value: string, fail: (message: string) => never): URL {
  const url = URL.parse(value);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return fail(`${name}: must be an http or https URL`);
  }
  if (url.username !== "" || url.password !== "") {
    return fail(`${name}: must not hold a password; set SEALPOINT_INFERENCE_API_KEY`);
  }
  return url;
}

/** `http://host`, `http://host/v1` and the full path mean the same. */
function embeddingsUrl(name: string, value: string, fail: (message: string) => never): string {
  const url = checkUrl(name, value, fail);
  const path = url.pathname.replace(/\/+$/, "");
  if (!path.endsWith("/embeddings")) url.pathname = `${path}${/\/v\d+\w*$/.test(path) ? "" : "/v1"}/embeddings`;
  return url.href;
}

/** `name` or `name=what the provider calls it`, separated by commas. */
function readModels(value: string, fail: (message: string) => never): Record<string, string> {
  const entries = value
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
  if (entries.length > limits.inferenceModelsMax) {
    return fail(`SEALPOINT_INFERENCE_MODELS: more than ${limits.inferenceModelsMax} models`);
  }
  return Object.fromEntries(
    entries.map((entry) => {
      const [name = "", ...upstream] = entry.split("=");
      const called = upstream.length === 0 ? withoutVendor(name) : upstream.join("=");
      if (name === "" || called === "") return fail(`SEALPOINT_INFERENCE_MODELS: ${JSON.stringify(entry)} is no model`);
      return [name, called];
    }),
  );
}

/** Qdrant's clients name OpenAI's models with the vendor before them. */
export function withoutVendor(model: string): string {
  return model.replace(/^openai\//i, "");
}
