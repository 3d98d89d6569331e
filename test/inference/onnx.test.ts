/** Models on this machine, with the sentence model that lies beside the checkout where there is one. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { limits } from "../../src/core/index.ts";
import { Inference, OnnxProvider, providerOf } from "../../src/inference/index.ts";
import { readConfig, readSettings } from "../../src/ops/index.ts";
import { startTestServer, type TestServer } from "../services/server.ts";
import { fastest } from "../support/timing.ts";

const root = join(import.meta.dirname, "../..");
const folder = join(root, "../shared/data/models/all-MiniLM-L6-v2");
const there = existsSync(join(folder, "tokenizer.json"));
const name = "sentence-transformers/all-MiniLM-L6-v2";

const document = (text: string, model = name) => ({
  input: { kind: "document", value: text, model, options: {} } as const,
  field: "query",
});

function onnxConfig(more: Record<string, string> = {}) {
  const config = readConfig({ SEALPOINT_INFERENCE_ONNX_MODELS: `${name}=${folder}`, ...more }).onnx;
  if (config === undefined) throw new Error("there is no model");
  return config;
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);

describe.skipIf(!there)("a sentence model", () => {
  let provider: OnnxProvider;
  let inference: Inference;
  beforeAll(() => {
    provider = new OnnxProvider(onnxConfig());
    inference = new Inference(provider);
  });
  afterAll(() => provider?.close());

  const embed = async (...texts: string[]) => {
    const { vectors } = await inference.embed(
      texts.map((text) => document(text)),
      "search",
    );
    return vectors as Float32Array[];
  };

  test("makes the vectors that sentence-transformers makes", async () => {
    // The examples of the library's documentation, with the float model; this one is quantised.
    const known = [
      ["The weather is lovely today.", "It's so sunny outside!", 0.666],
      ["The weather is lovely today.", "He drove to the stadium.", 0.1046],
      ["It's so sunny outside!", "He drove to the stadium.", 0.1411],
      ["The cat sits outside", "The dog plays in the garden", 0.2838],
      ["A man is playing guitar", "A woman watches TV", -0.0327],
      ["The new movie is awesome", "The new movie is so great", 0.8939],
    ] as const;
    for (const [one, other, similarity] of known) {
      const [a, b] = (await embed(one, other)) as [Float32Array, Float32Array];
      expect(a).toHaveLength(384);
      expect(dot(a, a)).toBeCloseTo(1, 5);
      expect(Math.abs(dot(a, b) - similarity), `${one} ${other}: ${dot(a, b)}`).toBeLessThan(0.03);
    }
  }, 60_000);

  test("a text's vector does not depend on what it came with, and equal texts are run once", async () => {
    const text = "The sea is calm tonight.";
    const [alone] = await embed(text);
    const [first, , again] = await embed(
      text,
      "A much longer sentence, so that both would be padded to its length.",
      text,
    );
    expect(first).toEqual(alone);
    expect(again).toEqual(alone);
    const { usage } = await inference.embed([document("sea"), document("sea")], "update");
    expect(usage?.get(name)).toBe(3);
  }, 60_000);

  test("long texts are cut at the model's limit", async () => {
    const words = "ship ".repeat(600);
    const [long, longer] = await embed(words, `${words}sea`);
    expect(longer).toEqual(long);
    const { usage } = await inference.embed([document(words)], "search");
    expect(usage?.get(name)).toBe(512);
    const few = new OnnxProvider(onnxConfig({ SEALPOINT_INFERENCE_ONNX_TOKENS_MAX: "16" }));
    const cut = await new Inference(few).embed([document(words)], "search");
    expect(cut.usage?.get(name)).toBe(16);
    await few.close();
    const [nothing] = await embed("");
    expect(nothing?.every(Number.isFinite)).toBe(true);
  }, 60_000);

  test("the event loop is free meanwhile, and what waits is bounded", async () => {
    const texts = Array.from({ length: 60 }, (_, i) => `sentence number ${i} of a few, about the sea and its ships`);
    const longestHold = async () => {
      let longestMs = 0;
      let lastMs = performance.now();
      const timer = setInterval(() => {
        longestMs = Math.max(longestMs, performance.now() - lastMs);
        lastMs = performance.now();
      }, 1);
      await embed(...texts);
      clearInterval(timer);
      return longestMs;
    };
    // Each run takes some milliseconds: on the loop they would be hundreds.
    expect(await fastest(150, longestHold)).toBeLessThan(150);
    const many = Array.from({ length: limits.onnxTextsWaitingMax + 1 }, (_, i) => document(`${i}`));
    const lone = new OnnxProvider(onnxConfig());
    await expect(new Inference(lone).embed(many, "update")).rejects.toMatchObject({ kind: "rate_limited" });
    await lone.close();
  }, 60_000);

  test("images and other models are refused, naming what there is", async () => {
    const image = {
      input: { kind: "image", value: "http://a/b.png", model: name, options: {} } as const,
      field: "query",
    };
    await expect(inference.embed([image], "search")).rejects.toMatchObject({
      kind: "bad_input",
      message: `Wrong input: the model "${name}" makes vectors of texts only`,
    });
    const all = new Inference(providerOf({ onnx: onnxConfig() }));
    await expect(all.embed([document("a", "other")], "search")).rejects.toMatchObject({
      kind: "bad_input",
      message: expect.stringContaining(`"other" is not among those of SEALPOINT_INFERENCE_ONNX_MODELS: ${name}`),
    });
    // Built-in and local models in one request.
    const { vectors } = await all.embed([document("a ship", "qdrant/bm25"), document("a ship")], "update");
    expect(vectors[0]).toHaveProperty("indices");
    expect(vectors[1]).toHaveLength(384);
  }, 60_000);

  test("what cannot be loaded is said, and the next request tries again", async () => {
    const broken = mkdtempSync(join(tmpdir(), "sealpoint-onnx-"));
    copyFileSync(join(folder, "tokenizer.json"), join(broken, "tokenizer.json"));
    writeFileSync(join(broken, "model.onnx"), "no model");
    const { onnx } = readConfig({ SEALPOINT_INFERENCE_ONNX_MODELS: `odd=${broken}` });
    const odd = new OnnxProvider(onnx as never);
    for (let i = 0; i < 2; i++) {
      await expect(new Inference(odd).embed([document("a", "odd")], "search")).rejects.toMatchObject({
        kind: "unavailable",
        message: expect.stringContaining('the model "odd" cannot be loaded'),
      });
    }
    await odd.close();
    rmSync(broken, { recursive: true });
  }, 60_000);

  describe("in upserts and queries", () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer({ inference });
    });
    afterAll(() => server?.close());

    test("documents are found by their meaning", async () => {
      const { upsert, query } = Points.method;
      const collectionName = "meanings";
      await server.engine.createCollection(
        collectionName,
        {
          vectors: { "": { size: 384, distance: "cosine" } },
          hnsw: { m: 16, efConstruct: 100, fullScanThreshold: 10_000 },
          indexingThreshold: 10_000,
          onDiskPayload: true,
          echo: "{}",
        },
        { mode: "optional", recipients: [], algorithm: "HPKE-P256-SHA256-A256GCM", clearFields: [], padding: false },
      );
      const texts = ["A ship sails over the ocean.", "The cat sleeps on the sofa.", "Stocks fell on Wall Street."];
      const of = (text: string) => ({ text, model: name, options: {} });
      await server.call(upsert, {
        collectionName,
        wait: true,
        points: texts.map((text, i) => ({
          id: { pointIdOptions: { case: "num" as const, value: BigInt(i) } },
          vectors: {
            vectorsOptions: {
              case: "vector" as const,
              value: { vector: { case: "document" as const, value: of(text) } },
            },
          },
        })),
      });
      for (const [asked, found] of [
        ["boats at sea", 0n],
        ["a pet takes a nap", 1n],
        ["the market went down", 2n],
      ] as const) {
        const nearest = { variant: { case: "document" as const, value: of(asked) } };
        const { result } = await server.call(query, {
          collectionName,
          query: { variant: { case: "nearest" as const, value: nearest } },
          limit: 1n,
        });
        expect(result[0]?.id?.pointIdOptions.value).toBe(found);
      }
    }, 60_000);
  });
});

describe("settings of local models", () => {
  const refusal = (environment: Record<string, string>) => {
    try {
      readSettings(environment);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error("it was accepted");
  };

  test("name what is wrong", () => {
    const empty = mkdtempSync(join(tmpdir(), "sealpoint-onnx-"));
    const models = (value: string) => refusal({ SEALPOINT_INFERENCE_ONNX_MODELS: value });
    expect(models("/just/a/folder")).toContain('SEALPOINT_INFERENCE_ONNX_MODELS: "/just/a/folder" has not the form');
    expect(models(`a=${empty}`)).toContain(`${empty} has no tokenizer.json`);
    writeFileSync(join(empty, "tokenizer.json"), "{}");
    expect(models(`a=${empty}`)).toContain(`${empty} has none of model.onnx`);
    mkdirSync(join(empty, "onnx"));
    writeFileSync(join(empty, "onnx/model.onnx"), "");
    const { onnx } = readConfig({ SEALPOINT_INFERENCE_ONNX_MODELS: ` a = ${empty} , ` });
    expect(onnx).toEqual({
      models: { a: { folder: empty, modelFile: join(empty, "onnx/model.onnx") } },
      threads: 1,
      batchSize: 1,
    });
    expect(refusal({ SEALPOINT_INFERENCE_ONNX_THREADS: "0" })).toContain("SEALPOINT_INFERENCE_ONNX_THREADS");
    expect(refusal({ SEALPOINT_INFERENCE_ONNX_BATCH_SIZE: "x" })).toContain("SEALPOINT_INFERENCE_ONNX_BATCH_SIZE");
    rmSync(empty, { recursive: true });
  });
});
