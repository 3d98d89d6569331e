/** Models behind HTTP: a provider of each protocol is played here, and asked as the services ask it. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { PayloadObject, SparseVector } from "../../src/core/index.ts";
import { Inference, RemoteProvider } from "../../src/inference/index.ts";
import type { InferenceConfig } from "../../src/ops/index.ts";
import { readConfig } from "../../src/ops/index.ts";

interface Asked {
  readonly headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: looked into, member by member
  readonly body: any;
}

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** Answers with what `answer` gives: a status, or the JSON of a 200; nothing for "silence". */
async function play(answer: (asked: Asked, count: number) => unknown): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const one = { headers: request.headers, body: JSON.parse(Buffer.concat(parts).toString("utf8")) };
    asked.push(one);
    const said = answer(one, asked.length);
    if (said === "silence") return;
    response.writeHead(typeof said === "number" ? said : 200, {
      "content-type": "application/json",
      "retry-after": "0",
    });
    response.end(typeof said === "number" ? JSON.stringify({ error: "secret words" }) : JSON.stringify(said));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked };
}

function make(url: string, more: Partial<InferenceConfig> = {}): Inference {
  const usual = { protocol: "openai", models: {}, timeoutMs: 2_000, batchSize: 2, parallel: 2, retries: 2 } as const;
  return new Inference(new RemoteProvider({ ...usual, url, ...more }));
}

const document = (text: string, options: PayloadObject = {}, model = "openai/small") => ({
  input: { kind: "document", value: text, model, options } as const,
  field: "query",
});

/** Vectors that say which text they are of. */
const openAi = ({ body }: Asked) => ({
  data: body.input.map((text: string, index: number) => ({ index, embedding: [text.length, index] })).reverse(),
  usage: { prompt_tokens: 3, total_tokens: 3 },
});

describe("OpenAI's embeddings", () => {
  test("texts in batches, each once, in their places, beside BM25", async () => {
    const { url, asked } = await play(openAi);
    const inference = make(url, { apiKey: "the-key" });
    const inputs = [
      document("a"),
      document("bb"),
      document("a"),
      document("hello", {}, "qdrant/bm25"),
      document("ccc"),
    ];
    const { vectors, usage } = await inference.embed(inputs, "update");
    expect(vectors.map((one) => (one instanceof Float32Array ? one[0] : "sparse"))).toEqual([1, 2, 1, "sparse", 3]);
    expect((vectors[3] as SparseVector).indices).toHaveLength(1);
    expect(asked.map(({ body }) => [body.model, body.input])).toEqual(
      expect.arrayContaining([
        ["small", ["a", "bb"]],
        ["small", ["ccc"]],
      ]),
    );
    expect(asked[0]?.headers.authorization).toBe("Bearer the-key");
    expect(usage).toEqual(new Map([["openai/small", 6]]));
  });

  test("base64, options, and a key of the request's own", async () => {
    const floats = Float32Array.of(0.5, -2);
    const embedding = Buffer.from(floats.buffer).toString("base64");
    const { url, asked } = await play(() => ({ data: [{ embedding }] }));
    const options = { dimensions: 2n, "openai-api-key": "own" };
    const { vectors } = await make(url, { apiKey: "the-key" }).embed([document("x", options)], "search");
    expect(vectors[0]).toEqual(floats);
    expect(asked[0]?.headers.authorization).toBe("Bearer own");
    expect(asked[0]?.body).toEqual({ model: "small", input: ["x"], dimensions: 2, encoding_format: "base64" });
    await make(url).embed([document("x")], "search", {
      metadata: (name) => (name === "openai-api-key" ? "head" : undefined),
    });
    expect(asked[1]?.headers.authorization).toBe("Bearer head");
  });

  test("models by their own names, and no others", async () => {
    const { url, asked } = await play(openAi);
    const inference = make(url, { models: { mini: "vendor/mini-v2" } });
    await inference.embed([document("x", {}, "mini")], "search");
    expect(asked[0]?.body.model).toBe("vendor/mini-v2");
    await expect(inference.embed([document("x", {}, "other")], "search")).rejects.toThrow(/"other".*mini/);
    const image = {
      input: { kind: "image", value: "https://x/y.png", model: "mini", options: {} } as const,
      field: "query",
    };
    await expect(inference.embed([image], "search")).rejects.toMatchObject({ kind: "bad_input" });
  });

  test("tries again what may pass, and tells the rest apart without a word of a text", async () => {
    let { url, asked } = await play((one, count) => (count < 3 ? 503 : openAi(one)));
    await make(url).embed([document("x")], "search");
    expect(asked).toHaveLength(3);
    for (const [status, kind, tries] of [
      [400, "bad_input", 1],
      [401, "unavailable", 1],
      [429, "rate_limited", 3],
      [500, "unavailable", 3],
    ] as const) {
      ({ url, asked } = await play(() => status));
      const error = await make(url)
        .embed([document("secret words")], "search")
        .catch((one) => one);
      expect([status, error.kind, asked.length]).toEqual([status, kind, tries]);
      expect(error.message).not.toContain("secret");
    }
    ({ url } = await play(() => "silence"));
    const late = make(url, { timeoutMs: 50, retries: 0 }).embed([document("x")], "search");
    await expect(late).rejects.toMatchObject({ kind: "timeout" });
    for (const answer of [{}, { data: [] }, { data: [{ embedding: "x" }] }, { data: [{ embedding: ["1"] }] }]) {
      ({ url } = await play(() => answer));
      await expect(make(url).embed([document("x")], "search")).rejects.toMatchObject({ kind: "unavailable" });
    }
    await expect(make("http://127.0.0.1:1/", { retries: 0 }).embed([document("x")], "search")).rejects.toMatchObject({
      kind: "unavailable",
    });
  });
});

test("Qdrant's own protocol: every kind of input and of vector", async () => {
  const { url, asked } = await play(() => ({
    embeddings: [[1, 2], { indices: [7, 3], values: [0.5, 1] }, [[1], [2]]],
    usage: { models: { any: { tokens: 9 } } },
  }));
  const inference = make(url, { protocol: "qdrant", apiKey: "token", batchSize: 8 });
  const inputs = ["a", "b", "c"].map((text) => document(text, { x: 1n }, "any"));
  const { vectors, usage } = await inference.embed(inputs, "update");
  expect(vectors).toEqual([
    Float32Array.of(1, 2),
    { indices: Uint32Array.of(3, 7), values: Float32Array.of(1, 0.5) },
    { rows: 2, dimensions: 1, values: Float32Array.of(1, 2) },
  ]);
  expect(usage).toEqual(new Map([["any", 9]]));
  expect(asked[0]?.body).toMatchObject({ inference: "update", token: "token" });
  expect(asked[0]?.body.inputs[0]).toEqual({ data: "a", data_type: "text", model: "any", options: { x: 1 } });
});

describe("settings", () => {
  test("of a provider", () => {
    const { inference } = readConfig({
      SEALPOINT_INFERENCE_URL: "http://127.0.0.1:8080",
      SEALPOINT_INFERENCE_MODELS: "openai/a, mini=vendor/b",
      SEALPOINT_INFERENCE_RETRIES: "0",
    });
    expect(inference).toMatchObject({
      protocol: "openai",
      url: "http://127.0.0.1:8080/v1/embeddings",
      models: { "openai/a": "a", mini: "vendor/b" },
      retries: 0,
      batchSize: 32,
    });
    expect(readConfig({}).inference).toBeUndefined();
    expect(readConfig({ SEALPOINT_INFERENCE_URL: "https://x/v1/" }).inference?.url).toBe("https://x/v1/embeddings");
    expect(readConfig({ SEALPOINT_INFERENCE_QDRANT_URL: "https://x/infer" }).inference?.protocol).toBe("qdrant");
  });

  test.each([
    [{ SEALPOINT_INFERENCE_URL: "ftp://x" }, /SEALPOINT_INFERENCE_URL: must be an http/],
    [{ SEALPOINT_INFERENCE_URL: "http://u:secret@x" }, /must not hold a password/],
    [{ SEALPOINT_INFERENCE_URL: "http://x", SEALPOINT_INFERENCE_QDRANT_URL: "http://y" }, /one provider/],
    [{ SEALPOINT_INFERENCE_TIMEOUT_MS: "0" }, /SEALPOINT_INFERENCE_TIMEOUT_MS/],
    [{ SEALPOINT_INFERENCE_API_KEY: "two words" }, /SEALPOINT_INFERENCE_API_KEY: must be printable/],
  ])("refuses %j", (environment, message) => {
    expect(() => readConfig(environment)).toThrow(message);
    expect(() => readConfig(environment)).not.toThrow(/secret|two words/);
  });
});
