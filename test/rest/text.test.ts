/**
 * Text filters and text indexes over REST, against answers that Qdrant's own engine gave (test/filter/text_oracle.py): before an index is there,
 * filled from what is stored, and kept up under overwrites and deletes.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Memory, PayloadSchemaType, TokenizerType } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { FieldType } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { addonBuilt, connectTo, ServerProcess } from "../e2e/server-process.ts";

// biome-ignore lint/suspicious/noExplicitAny: answers and recorded cases are looked into, member by member
type Loose = any;

let server: ServerProcess;
beforeAll(async () => {
  if (addonBuilt) server = await ServerProcess.start({ logLevel: "warn" });
});
afterAll(async () => {
  await server?.stop();
});

async function call(method: string, path: string, body?: unknown): Promise<Loose> {
  const headers: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
  return (await server.rest(method, path, body, headers)).json;
}

let made = 0;
async function collection(payloads: readonly Loose[] = []): Promise<string> {
  const name = `text-${++made}`;
  await call("PUT", `/collections/${name}`, { vectors: { size: 1, distance: "Dot" } });
  await upsert(
    name,
    payloads.map((payload, i) => [i + 1, payload]),
  );
  return name;
}

async function upsert(name: string, points: readonly (readonly [number, Loose])[]): Promise<void> {
  if (points.length === 0) return;
  const answer = await call("PUT", `/collections/${name}/points?wait=true`, {
    points: points.map(([id, payload]) => ({ id, vector: [1], payload })),
  });
  expect(answer.status).toBe("ok");
}

async function index(name: string, field: string, schema: Loose): Promise<Loose> {
  return call("PUT", `/collections/${name}/index?wait=true`, { field_name: field, field_schema: schema });
}

async function found(name: string, filter: Loose): Promise<number[]> {
  const answer = await call("POST", `/collections/${name}/points/scroll`, { limit: 1000, filter, with_payload: false });
  return answer.result.points.map((point: Loose) => point.id);
}

const cases = readFileSync(new URL("../filter/text-cases.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Loose);

describe.skipIf(!addonBuilt)("text filters", () => {
  test("the recorded cases have answers of all kinds", () => {
    const answers = cases.flatMap(({ filters, payloads }: Loose) =>
      filters.map((one: Loose) => one.found.length / payloads.length),
    );
    expect(answers.length).toBeGreaterThan(1500);
    expect(answers.filter((share: number) => share > 0 && share < 1).length).toBeGreaterThan(600);
  });

  test.each(cases.map((one: Loose, i: number) => [i, one]))("case %i", async (_, one) => {
    const { field, params, payloads, filters } = one;
    // Half of the points come after the index, some of those before it are overwritten with other texts, and some are deleted.
    const half = Math.floor(payloads.length / 2);
    const name = await collection(
      payloads.slice(0, half).map((payload: Loose, i: number) => (i % 3 === 0 ? payload : { t: `quick fox ${i}` })),
    );
    await upsert(name, [[1000, { t: "The quick brown fox", n: [{ t: "quick" }] }]]);
    if (params !== null) expect((await index(name, field, params)).status).toBe("ok");
    await upsert(
      name,
      payloads
        .map((payload: Loose, i: number) => [i + 1, payload])
        .filter(([id]: [number]) => id > half || (id - 1) % 3 !== 0),
    );
    await call("POST", `/collections/${name}/points/delete?wait=true`, { points: [1000] });
    for (const { filter, found: expected } of filters) {
      expect([filter, await found(name, filter)]).toEqual([filter, expected]);
    }
    // A filter of several conditions takes other ways through the plan than each by itself.
    const [a, b] = filters.filter((each: Loose) => each.filter.must !== undefined);
    const both = { must: [...a.filter.must, ...b.filter.must] };
    expect(await found(name, both)).toEqual(a.found.filter((id: number) => b.found.includes(id)));
    const either = { should: [...a.filter.must, ...b.filter.must] };
    expect(await found(name, either)).toEqual([...new Set([...a.found, ...b.found])].sort((x, y) => x - y));
  });
});

const shown = async (name: string, field: string): Promise<Loose> =>
  (await call("GET", `/collections/${name}`)).result.payload_schema[field];

describe.skipIf(!addonBuilt)("parameters of payload indexes", () => {
  const schemas: Loose = {
    word: { type: "text", tokenizer: "word", min_token_len: 2, max_token_len: 10, lowercase: true, on_disk: true },
    prefix: { type: "text", tokenizer: "prefix", phrase_matching: true, ascii_folding: true, enable_hnsw: false },
    whitespace: {
      type: "text",
      tokenizer: "whitespace",
      lowercase: false,
      stopwords: { languages: ["english", "german"], custom: ["a", "b"] },
    },
    multilingual: { type: "text", tokenizer: "multilingual", stemmer: { type: "snowball", language: "english" } },
    none: { type: "text", tokenizer: "word", stemmer: { type: "none" } },
    tenant: { type: "keyword", is_tenant: true, on_disk: true, enable_hnsw: false },
    beginnings: { type: "keyword", prefix: true },
    number: { type: "integer", lookup: true, range: false, is_principal: true, on_disk: false, enable_hnsw: true },
    real: { type: "float", is_principal: true, on_disk: true },
    truth: { type: "bool", on_disk: true, enable_hnsw: false },
    place: { type: "geo", on_disk: false, enable_hnsw: false },
    time: { type: "datetime", is_principal: true, on_disk: true, enable_hnsw: false },
    id: { type: "uuid", is_tenant: true, on_disk: true, enable_hnsw: true },
  };

  test("are kept and shown as they came", async () => {
    const name = await collection();
    for (const [field, schema] of Object.entries(schemas)) {
      expect([field, (await index(name, field, schema)).result?.status]).toEqual([field, "completed"]);
      expect(await shown(name, field)).toEqual({ data_type: (schema as Loose).type, params: schema, points: 0 });
    }
    await server.kill("SIGKILL");
    await server.restart();
    for (const [field, schema] of Object.entries(schemas)) {
      expect((await shown(name, field)).params).toEqual(schema);
    }
  });

  test("in every short form", async () => {
    const name = await collection();
    for (const type of ["keyword", "integer", "float", "bool", "geo", "datetime", "uuid", "text"]) {
      await index(name, `plain ${type}`.replace(" ", "_"), type);
      expect(await shown(name, `plain_${type}`)).toEqual({ data_type: type, points: 0 });
      await index(name, `bare_${type}`, { type });
      const params = type === "text" ? { type, tokenizer: "word" } : { type };
      expect(await shown(name, `bare_${type}`)).toMatchObject({ data_type: type, params });
    }
    await index(name, "t", { type: "text", stopwords: "en", stemmer: { type: "snowball", language: "de" } });
    expect((await shown(name, "t")).params).toMatchObject({
      stopwords: "english",
      stemmer: { type: "snowball", language: "german" },
    });
  });

  test.each([
    [{ type: "text", tokenizer: "letters" }, 400],
    [{ type: "text", stopwords: "klingon" }, 400],
    [{ type: "text", stopwords: { languages: ["klingon"] } }, 400],
    [{ type: "text", stemmer: { type: "snowball", language: "hebrew" } }, 400],
    [{ type: "text", stemmer: { type: "porter" } }, 400],
    [{ type: "text", min_token_len: -1 }, 400],
    [{ type: "integer", lookup: false, range: false }, 422],
    [{ type: "letters" }, 400],
    ["letters", 400],
    [{ type: "text", lowercase: 1 }, 400],
  ])("%j is refused", async (schema, code) => {
    const name = await collection();
    const response = await fetch(`http://127.0.0.1:${server.httpPort}/collections/${name}/index?wait=true`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ field_name: "t", field_schema: schema }),
    });
    expect([response.status, Object.keys((await call("GET", `/collections/${name}`)).result.payload_schema)]).toEqual([
      code,
      [],
    ]);
  });

  test("over gRPC: kept, shown, and refused by name", async () => {
    const client = connectTo(server.address);
    const collectionName = await collection([{ t: "The quick brown fox" }, { t: "quick, brown" }, { t: 5 }]);
    const make = (textIndexParams: Loose, fieldType = FieldType.FieldTypeText) =>
      client.call(Points.method.createFieldIndex, {
        collectionName,
        wait: true,
        fieldName: "t",
        fieldType,
        fieldIndexParams: { indexParams: { case: "textIndexParams", value: textIndexParams } },
      });
    const tokenizer = TokenizerType.Word;
    const refusal = async (params: Loose, type?: FieldType) => {
      const error = (await make(params, type).then(
        () => new Error("taken"),
        (one: unknown) => one,
      )) as Loose;
      return [error.code, error.details];
    };
    expect(await refusal({})).toEqual([3, "unknown tokenizer type"]);
    expect((await refusal({ tokenizer, stopwords: { languages: ["x"] } }))[1]).toMatch(
      /^unknown language: .*`x`.*`english`/,
    );
    const stemmer = (language: string) => ({ stemmingParams: { case: "snowball" as const, value: { language } } });
    expect(await refusal({ tokenizer, stemmer: stemmer("x") })).toEqual([3, 'Language "x" not found.']);
    expect((await refusal({ tokenizer }, FieldType.FieldTypeKeyword))[0]).toBe(3);
    await make({
      tokenizer,
      lowercase: true,
      minTokenLen: 2n,
      maxTokenLen: 20n,
      phraseMatching: true,
      asciiFolding: true,
      memory: Memory.Cold,
      stopwords: { languages: ["en"], custom: ["zzz"] },
      stemmer: stemmer("en"),
    });
    const info = (await client.call(Collections.method.get, { collectionName })).result?.payloadSchema.t as Loose;
    expect(info.dataType).toBe(PayloadSchemaType.Text);
    expect(info.points).toBe(2n);
    expect(info.params.indexParams).toMatchObject({
      case: "textIndexParams",
      value: {
        tokenizer,
        minTokenLen: 2n,
        memory: Memory.Cold,
        stopwords: { languages: ["english"], custom: ["zzz"] },
        stemmer: stemmer("english"),
      },
    });
    const match = async (case_: string, value: string) => {
      const condition = {
        conditionOneOf: { case: "field", value: { key: "t", match: { matchValue: { case: case_, value } } } },
      };
      const answer = await client.call(Points.method.scroll, {
        collectionName,
        filter: { must: [condition as Loose] },
      });
      return answer.result.map((point) => Number((point.id as Loose).pointIdOptions.value));
    };
    expect(await match("text", "BROWNS the quicks")).toEqual([1, 2]);
    expect(await match("textAny", "fox unknown")).toEqual([1]);
    expect(await match("phrase", "brown fox")).toEqual([1]);
    expect(await match("phrase", "quick the brown")).toEqual([1, 2]);
    expect(await match("prefix", "The q")).toEqual([1]);
    client.raw.close();
  });
});
