/** Documents over a socket: BM25's vectors in upserts, updates, streams and queries, against weights that are worked out here. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Datatype, Distance, Modifier } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { type Value, ValueSchema } from "../../gen/qdrant/json_with_int_pb.js";
import { Fusion, type QuerySchema, type Usage, type VectorSchema } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { SealingMode } from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { Ingest } from "../../gen/sealpoint/v1/ingest_pb.js";
import { Inference, type InferenceProvider } from "../../src/inference/index.ts";
import { startTestServer, type TestServer } from "./server.ts";

const collectionName = "texts";
let server: TestServer;

type Vector = MessageInitShape<typeof VectorSchema>;
type Query = MessageInitShape<typeof QuerySchema>;
type Options = Record<string, MessageInitShape<typeof ValueSchema>>;

const text = (value: string): Value => create(ValueSchema, { kind: { case: "stringValue", value } });
const id = (value: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(value) } });
const document = (words: string, options: Options = {}, model = "qdrant/bm25") => ({
  case: "document" as const,
  value: { text: words, model, options },
});
const named = (vector: Vector) => ({
  vectorsOptions: { case: "vectors" as const, value: { vectors: { words: vector } } },
});
const nearest = (words: string, options: Options = {}, model?: string): Query => ({
  variant: { case: "nearest", value: { variant: document(words, options, model) } },
});

/** Published values of MurmurHash3 (x86, 32 bits, seed 0) without the sign, as fastembed shows them for "hello world". */
const hello = 613_153_351;
const world = 74_040_069;

const weight = (count: number, terms: number, k = 1.2, b = 0.75, averageLength = 256): number =>
  (count * (k + 1)) / (count + k * (1 - b + (b * terms) / averageLength));

async function stored(point: number): Promise<[number, number][]> {
  const { result } = await server.call(Points.method.get, {
    collectionName,
    ids: [id(point)],
    withVectors: { selectorOptions: { case: "enable", value: true } },
  });
  const vectors = result[0]?.vectors?.vectorsOptions;
  const vector = vectors?.case === "vectors" ? vectors.value.vectors.words?.vector : undefined;
  if (vector?.case !== "sparse") return [];
  return vector.value.indices.map((index, i) => [index, vector.value.values[i] as number]);
}

async function upsert(points: readonly (readonly [number, Vector])[], wait = true): Promise<void> {
  await server.call(Points.method.upsert, {
    collectionName,
    wait,
    points: points.map(([number, vector]) => ({ id: id(number), vectors: named(vector) })),
  });
}

async function found(query: Query, more: object = {}): Promise<[number, number][]> {
  const { result } = await server.call(Points.method.query, { collectionName, query, using: "words", ...more });
  return result.map((point) => [Number(point.id?.pointIdOptions.value), point.score]);
}

beforeAll(async () => {
  server = await startTestServer();
  await server.call(Collections.method.create, {
    collectionName,
    sparseVectorsConfig: { map: { words: { modifier: Modifier.Idf } } },
  });
});
afterAll(() => server.close());

describe("qdrant/bm25", () => {
  test("makes the terms and weights that fastembed makes", async () => {
    await upsert([[1, { vector: document("Hello World") }]]);
    const vector = await stored(1);
    expect(vector.map(([index]) => index)).toEqual([world, hello]);
    for (const [, value] of vector) expect(value).toBeCloseTo(weight(1, 2), 6);
  });

  test("counts terms, leaves out stop words and stems, whatever the case of its name", async () => {
    await upsert([[2, { vector: document("the cats and the cat: hello, Hello HELLO", {}, "Qdrant/BM25") }]]);
    const vector = new Map(await stored(2));
    expect(vector.size).toBe(2);
    expect(vector.get(hello)).toBeCloseTo(weight(3, 5), 6);
  });

  test("obeys its options", async () => {
    const number = (value: number) => ({ kind: { case: "doubleValue" as const, value } });
    const whole = (value: number) => ({ kind: { case: "integerValue" as const, value: BigInt(value) } });
    const yes = (value: boolean) => ({ kind: { case: "boolValue" as const, value } });
    const set = (fields: Options) => ({ kind: { case: "structValue" as const, value: { fields } } });
    const words = "The hello Hello Cats running";
    await upsert([
      [10, { vector: document(words, { k: number(2), b: whole(0) }) }],
      [11, { vector: document(words, { avg_len: whole(4), b: number(1) }) }],
      [12, { vector: document(words, { language: text("none") }) }],
      [13, { vector: document(words, { lowercase: yes(false), language: text("none") }) }],
      [
        14,
        {
          vector: document(words, {
            stopwords: set({ custom: { kind: { case: "listValue", value: { values: [text("HELLO")] } } } }),
          }),
        },
      ],
      [15, { vector: document(words, { stemmer: set({ type: text("none") }), max_token_len: whole(4) }) }],
      [16, { vector: document("a,hello b", { tokenizer: text("whitespace"), language: text("none") }) }],
      [17, { vector: document("héllo", { ascii_folding: yes(true) }) }],
      [18, { vector: document("", {}) }],
    ]);
    expect(new Map(await stored(10)).get(hello)).toBeCloseTo((2 * 3) / (2 + 2), 6);
    expect(new Map(await stored(11)).get(hello)).toBeCloseTo(weight(2, 4, 1.2, 1, 4), 6);
    expect(await stored(12)).toHaveLength(4);
    expect(await stored(13)).toHaveLength(5);
    expect(new Map(await stored(14)).has(hello)).toBe(false);
    // "the" is a stop word, and "hello" and "running" are longer than four characters.
    expect(await stored(15)).toHaveLength(1);
    expect(await stored(16)).toHaveLength(2);
    expect(new Map(await stored(17)).get(hello)).toBeCloseTo(weight(1, 1), 6);
    expect(await stored(18)).toEqual([]);
  });

  test("finds by words, with the collection's IDF and weights of 1", async () => {
    await server.call(Collections.method.create, {
      collectionName: "ranked",
      sparseVectorsConfig: { map: { words: { modifier: Modifier.Idf } } },
    });
    const texts = ["hello world", "hello there hello", "the sea", "a ship on the sea"];
    await server.call(Points.method.upsert, {
      collectionName: "ranked",
      wait: true,
      points: texts.map((words, at) => ({ id: id(at), vectors: named({ vector: document(words) }) })),
    });
    const idf = (documents: number) => Math.log((4 - documents + 0.5) / (documents + 0.5) + 1);
    const answer = await found(nearest("world HELLO hello"), { collectionName: "ranked" });
    expect(answer.map(([point]) => point)).toEqual([0, 1]);
    expect(answer[0]?.[1]).toBeCloseTo((idf(1) + idf(2)) * weight(1, 2), 5);
    expect(answer[1]?.[1]).toBeCloseTo(idf(2) * weight(2, 2), 5);
    expect(await found(nearest("the and of"), { collectionName: "ranked" })).toEqual([]);
    // In every place that takes a vector.
    const prefetch = ["sea", "ship"].map((words) => ({ query: nearest(words), using: "words" }));
    const fused = await found(
      { variant: { case: "fusion", value: Fusion.RRF } },
      { collectionName: "ranked", prefetch, using: "" },
    );
    expect(fused.map(([point]) => point)).toEqual([3, 2]);
    const input = { variant: document("sea") };
    for (const strategy of [0, 1, 2]) {
      const query = { variant: { case: "recommend" as const, value: { positive: [input], strategy } } };
      expect((await found(query, { collectionName: "ranked", limit: 2n })).map(([point]) => point).sort()).toEqual([
        2, 3,
      ]);
    }
    const target = { variant: document("ship") };
    const context = { pairs: [{ positive: input, negative: { variant: document("hello") } }] };
    const discover: Query = { variant: { case: "discover", value: { target, context } } };
    expect((await found(discover, { collectionName: "ranked", limit: 1n }))[0]?.[0]).toBe(3);
    const { result } = await server.call(Points.method.queryBatch, {
      collectionName: "ranked",
      queryPoints: ["world", "ship"].map((words) => ({
        collectionName: "ranked",
        query: nearest(words),
        using: "words",
      })),
    });
    expect(result.map((each) => Number(each.result[0]?.id?.pointIdOptions.value))).toEqual([0, 3]);
  });

  test("is weighed anew when the collection's modifier changes, which is shown with the index's settings", async () => {
    const name = "changed";
    const at = { collectionName: name };
    await server.call(Collections.method.create, {
      ...at,
      sparseVectorsConfig: { map: { words: { index: { onDisk: true, datatype: Datatype.Float16 } } } },
    });
    const points = ["hello world", "hello"].map((words, n) => ({
      id: id(n),
      vectors: named({ vector: document(words) }),
    }));
    await server.call(Points.method.upsert, { ...at, wait: true, points });
    const score = async () => (await found(nearest("world"), at))[0]?.[1];
    expect(await score()).toBeCloseTo(weight(1, 2), 5);
    const map = { words: { modifier: Modifier.Idf, index: { fullScanThreshold: 77n } } };
    await server.call(Collections.method.update, { ...at, sparseVectorsConfig: { map } });
    expect(await score()).toBeCloseTo(weight(1, 2) * Math.log((2 - 1 + 0.5) / 1.5 + 1), 5);
    const { result } = await server.call(Collections.method.get, at);
    expect(result?.config?.params?.sparseVectorsConfig?.map.words).toMatchObject({
      modifier: Modifier.Idf,
      index: { onDisk: true, datatype: Datatype.Float16, fullScanThreshold: 77n },
    });
    const unknown = { ...at, sparseVectorsConfig: { map: { other: { modifier: Modifier.Idf } } } };
    await expect(server.call(Collections.method.update, unknown)).rejects.toThrow(
      /Not existing vector name error: other/,
    );
  });

  test("updates vectors, alone and in a batch", async () => {
    await upsert([
      [30, { vector: document("first") }],
      [31, { vector: document("first") }],
    ]);
    await server.call(Points.method.updateVectors, {
      collectionName,
      wait: true,
      points: [{ id: id(30), vectors: named({ vector: document("hello") }) }],
    });
    await server.call(Points.method.updateBatch, {
      collectionName,
      wait: true,
      operations: [
        {
          operation: {
            case: "updateVectors",
            value: { points: [{ id: id(31), vectors: named({ vector: document("world") }) }] },
          },
        },
        {
          operation: {
            case: "upsert",
            value: { points: [{ id: id(32), vectors: named({ vector: document("hello world") }) }] },
          },
        },
      ],
    });
    expect((await stored(30)).map(([index]) => index)).toEqual([hello]);
    expect((await stored(31)).map(([index]) => index)).toEqual([world]);
    expect(await stored(32)).toHaveLength(2);
  });

  test("takes many long texts", async () => {
    const long = Array.from({ length: 2_000 }, (_, at) => `word${at % 500}`).join(" ");
    await upsert(Array.from({ length: 300 }, (_, at) => [1_000 + at, { vector: document(`${long} extra${at}`) }]));
    expect(await stored(1_299)).toHaveLength(501);
    expect((await found(nearest("extra299")))[0]?.[0]).toBe(1_299);
  });

  test("comes through streams, where one bad document refuses its point alone", async () => {
    const stream = server.bidi(Ingest.method.bulkUpsert);
    stream.send({ message: { case: "start", value: { collectionName, streamId: "documents" } } });
    await stream.next();
    const points = [
      document("hello"),
      document("x", { k: text("much") }),
      document("world"),
      document("y", {}, "unknown"),
    ];
    stream.send({
      message: {
        case: "chunk",
        value: { sequence: 1n, points: points.map((vector, at) => ({ id: id(50 + at), vectors: named({ vector }) })) },
      },
    });
    const answer = await stream.next();
    stream.end();
    if (answer?.message.case !== "ack") throw new Error("no acknowledgement");
    expect(answer.message.value.refused.map(({ index }) => index)).toEqual([1, 3]);
    expect((await stored(50)).map(([index]) => index)).toEqual([hello]);
    expect((await stored(52)).map(([index]) => index)).toEqual([world]);
  });

  test("says what is wrong, and writes nothing then", async () => {
    const refused = (vector: Vector) =>
      upsert([
        [90, { vector: document("fine") }],
        [91, vector],
      ]).catch((error) => error);
    const cases: [Vector, RegExp][] = [
      [{ vector: document("x", { k: text("1") }) }, /Invalid BM25 config: k: must be a number/],
      [
        { vector: document("x", { b: { kind: { case: "doubleValue", value: 1.5 } } }) },
        /BM25 b must be finite and in \[0.0, 1.0\], got 1.5/,
      ],
      [{ vector: document("x", { tokenizer: text("letters") }) }, /tokenizer: unknown variant/],
      [{ vector: document("x", { stopwords: text("klingon") }) }, /unknown language "klingon"/],
      [
        { vector: { case: "object", value: { object: text("x"), model: "qdrant/bm25" } } },
        /Only text input is supported/,
      ],
      [
        { vector: document("x", {}, "sentence-transformers/all-MiniLM-L6-v2") },
        /InferenceService is not initialized.*all-MiniLM-L6-v2.*SEALPOINT_INFERENCE_URL/,
      ],
    ];
    for (const [vector, message] of cases) {
      const error = await refused(vector);
      expect(error.code).toBe(status.INVALID_ARGUMENT);
      expect(error.details).toMatch(message);
    }
    expect(await stored(90)).toEqual([]);
    await expect(found(nearest("x", {}, "some/model"))).rejects.toThrow(/some\/model/);
  });

  test("tells a provider's tokens in the answers of writes and queries", async () => {
    const provider: InferenceProvider = {
      embed: async (inputs) => ({
        vectors: inputs.map(({ input }) => Float32Array.of(String(input.value).length, 1)),
        usage: new Map(inputs.map(({ input }) => [input.model, 5])),
      }),
    };
    const other = await startTestServer({ inference: new Inference(provider) });
    try {
      const at = { collectionName: "dense", wait: true };
      await other.call(Collections.method.create, {
        ...at,
        vectorsConfig: { config: { case: "params", value: { size: 2n, distance: Distance.Dot } } },
      });
      const vectors = { vectorsOptions: { case: "vector" as const, value: { vector: document("four", {}, "any") } } };
      const points = [{ id: id(1), vectors }];
      const tokens = (usage: Usage | undefined) => usage?.inference?.models.any?.tokens;
      expect(tokens((await other.call(Points.method.upsert, { ...at, points })).usage)).toBe(5n);
      const operations = [1, 2].map(() => ({ operation: { case: "upsert" as const, value: { points } } }));
      expect(tokens((await other.call(Points.method.updateBatch, { ...at, operations })).usage)).toBe(10n);
      const query = nearest("ab", {}, "any");
      const answer = await other.call(Points.method.query, { collectionName: "dense", query });
      expect([answer.result[0]?.score, tokens(answer.usage)]).toEqual([9, 5n]);
      const queryPoints = [{ collectionName: "dense", query }];
      const batch = await other.call(Points.method.queryBatch, { collectionName: "dense", queryPoints });
      expect([batch.result[0]?.result[0]?.score, tokens(batch.usage)]).toEqual([9, 5n]);
    } finally {
      await other.close();
    }
  });

  test("is refused where everything has to be sealed, for its terms would tell the words", async () => {
    await server.call(Collections.method.create, {
      collectionName: "closed",
      sparseVectorsConfig: { map: { words: {} } },
      sealing: { mode: SealingMode.REQUIRED },
    });
    const points = [{ id: id(1), vectors: named({ vector: document("secret words") }) }];
    const error = await server.call(Points.method.upsert, { collectionName: "closed", points }).catch((one) => one);
    expect(error.code).toBe(status.FAILED_PRECONDITION);
    expect(error.details).not.toContain("secret");
  });
});
