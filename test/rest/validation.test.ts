/** What Qdrant's validator refuses, in the words and under the names that its REST API has for them: against the server as a process. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addonBuilt, ServerProcess } from "../e2e/server-process.ts";

let server: ServerProcess;
beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({ logLevel: "warn" });
  await call("PUT", "/collections/dense", { vectors: { size: 4, distance: "Dot" } });
  await call("PUT", "/collections/many", {
    vectors: { rows: { size: 4, distance: "Dot", multivector_config: { comparator: "max_sim" } } },
    sparse_vectors: { words: {} },
  });
  const points = [1, 2, 3].map((id) => ({ id, vector: [id, 1, 1, 1], payload: { rank: id } }));
  await call("PUT", "/collections/dense/points?wait=true", { points });
  await call("PUT", "/collections/dense/index?wait=true", { field_name: "rank", field_schema: "integer" });
});
afterAll(async () => {
  await server?.stop();
});

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into, member by member
type Loose = any;

async function call(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ code: number; result: Loose; error: string; field: string | null }> {
  const { code, json, headers } = await server.rest(method, path, body);
  return { code, result: json.result, error: json.status?.error ?? "", field: headers.get("x-sealpoint-field") };
}

const ask = (body: object, path = "query", name = "dense") => call("POST", `/collections/${name}/points/${path}`, body);
const write = (vector: object) => call("PUT", "/collections/many/points?wait=true", { points: [{ id: 1, vector }] });
const invalid = (field: string) => ({ code: 422, error: `Validation error in JSON body: [${field}]` });

describe.skipIf(!addonBuilt)("a validator's error", () => {
  test("names a collection's settings as JSON has them", async () => {
    const size = "value 65537 invalid, must be from 1 to 65536";
    const tooLong = { size: 65_537, distance: "Dot" };
    const make = (config: object) => call("PUT", "/collections/refused", config);
    expect(await make({ vectors: tooLong })).toMatchObject(invalid(`vectors.size: ${size}`));
    expect(await make({ vectors: { a: tooLong } })).toMatchObject(invalid(`vectors.?.size: ${size}`));
    expect(await call("PUT", "/collections/dense/vectors/b", { dense: tooLong })).toMatchObject(
      invalid(`dense.size: ${size}`),
    );
    for (const config of [
      { vectors: { size: 4, distance: "Dot", memory: "pinned" } },
      { vectors: { size: 4, distance: "Dot" }, payload: { memory: "pinned" } },
    ]) {
      expect(await make(config)).toMatchObject({ code: 422, error: expect.stringContaining('"pinned"') });
    }
    expect(await call("PATCH", "/collections/dense", { vectors: { "": { memory: "pinned" } } })).toMatchObject({
      code: 422,
      error: expect.stringMatching(/^Validation error in JSON body: \[vectors\.\?\.memory|vectors\.memory/),
    });
    expect((await call("GET", "/collections/refused/exists")).result).toEqual({ exists: false });
  });

  test("names what a request is flattened of", async () => {
    const zero = "value 0 invalid, must be 1 or larger";
    const none = { limit: 0 };
    expect(await ask({ ...none, query: 1 })).toMatchObject(invalid(`internal.limit: ${zero}`));
    expect(await ask({ searches: [{ query: 1 }, { ...none, query: 1 }] }, "query/batch")).toMatchObject(
      invalid(`searches[1].internal.limit: ${zero}`),
    );
    const grouped = { query: 1, group_by: "rank", group_size: 0 };
    expect(await ask(grouped, "query/groups")).toMatchObject(
      invalid(`search_group_request.group_request.group_size: ${zero}`),
    );
    expect(await ask({ ...none, vector: [1, 2, 3, 4] }, "search")).toMatchObject(
      invalid(`search_request.limit: ${zero}`),
    );
    expect(await call("POST", "/collections/dense/facet", { ...none, key: "rank" })).toMatchObject(
      invalid(`facet_request.limit: ${zero}`),
    );
  });

  test("says what is wrong with a point's vectors", async () => {
    const unequal = { words: { indices: [1, 2], values: [1, 2, 3] } };
    const twice = { words: { indices: [1, 2, 2], values: [1, 2, 3] } };
    const text = (part: string, said: string) => `points[0].vector.?.${part}: ${said}`;
    expect(await write(unequal)).toMatchObject(
      invalid(text("values", "Validation error: must be the same length as indices [{}]")),
    );
    expect(await write(twice)).toMatchObject(invalid(text("indices", "Validation error: must be unique [{}]")));
    expect(await write({ rows: [[1, 2, 3, 4], []] })).toMatchObject(
      invalid(text("data", "all vectors must be non-empty")),
    );
    expect(await write({ rows: [[1, 2, 3, 4], [1]] })).toMatchObject(
      invalid(text("data", "all vectors must have the same dimension, found vector with dimension 1")),
    );
    const dimensions = (found: number) => ({
      code: 400,
      error: `Wrong input: Vector dimension error: expected dim: 4, got ${found}`,
    });
    expect(await write({ rows: [] })).toMatchObject(dimensions(0));
    expect(await write({ rows: [[1, 2]] })).toMatchObject({ ...dimensions(2), field: "points[0].vectors.rows" });
    expect(await write({ "wörd s": [1] })).toMatchObject({
      code: 400,
      error: "Wrong input: Not existing vector name error: wörd s",
      field: "points[0].vectors.w%C3%B6rd%20s",
    });
    expect(await write({ words: [[1, 2, 3, 4]] })).toMatchObject({
      code: 400,
      error: "Wrong input: Conversion between multi and regular vectors failed",
      field: "points[0].vectors.words",
    });
  });

  test("says what is wrong with the names of a new collection's vectors", async () => {
    const refused = async (body: object, error: string) =>
      expect(await call("PUT", "/collections/named", body)).toMatchObject({
        code: 400,
        error: `Wrong input: ${error}`,
      });
    const dense = { size: 4, distance: "Dot" };
    await refused(
      { vectors: { image: dense }, sparse_vectors: { image: {} } },
      "Dense and sparse vector names must be unique - duplicate found with 'image'",
    );
    for (const vectors of [undefined, dense, { text: dense }]) {
      await refused({ vectors, sparse_vectors: { "": {}, words: {} } }, "Sparse vector name cannot be empty");
    }
    const slash = 'vector name cannot contain "/" char';
    await refused({ vectors: { "a/b": dense } }, `Invalid dense vector name \`a/b\`: ${slash}`);
    await refused({ sparse_vectors: { "a/b": {} } }, `Invalid sparse vector name \`a/b\`: ${slash}`);
    const long = "é".repeat(101);
    const bytes = "vector name must be at most 200 bytes long";
    await refused({ vectors: { [long]: dense } }, `Invalid dense vector name \`${long}\`: ${bytes}`);
    expect((await call("PUT", `/collections/dense/vectors/${long}`, { dense })).code).toBe(422);
    expect((await call("GET", "/collections/named")).code).toBe(404);
  });

  test("tells an empty condition from a slice that JSON cannot mean", async () => {
    const filtered = (condition: object) => ask({ filter: { must: [condition] } }, "scroll");
    expect(await filtered({ key: "rank" })).toMatchObject(
      invalid("scroll_request.filter.must[0]: Validation error: At least one field condition must be specified [{}]"),
    );
    expect((await filtered({ slice: { total: 4, index: 4 } })).code).toBe(422);
    expect(await filtered({ slice: { total: 0, index: 0 } })).toMatchObject({
      code: 400,
      error: expect.stringContaining("expected a nonzero u32"),
    });
  });

  test("of a name in the path comes before the collection is looked for", async () => {
    const { code, error } = await call("GET", `/collections/${"n".repeat(256)}/points/1`);
    expect([code, error]).toEqual([
      422,
      `Validation error in path parameters: [collection_name: value "${"n".repeat(255)}" invalid, must be from 1 to 255 characters]`,
    ]);
  });
});

describe.skipIf(!addonBuilt)("a query", () => {
  test("that makes no sense is refused in Qdrant's words", async () => {
    const refused = async (body: object, error: string, path?: string) =>
      expect(await ask(body, path)).toMatchObject({ code: 400, error });
    await refused(
      { prefetch: [{ query: 1 }] },
      "Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query.",
    );
    await refused(
      { score_threshold: 1 },
      "Bad request: A query is needed to use the score_threshold. Can't have score_threshold without defining a query.",
    );
    await refused(
      { query: { order_by: "rank" }, score_threshold: 1 },
      "Bad request: Can't use score_threshold with an order_by query.",
    );
    await refused(
      { query: { fusion: "rrf" }, prefetch: [{ query: 1 }], using: "a" },
      "Bad request: Fusion queries cannot be combined with the 'using' field.",
    );
  });

  test("says which collection it could not look into", async () => {
    const missing = { code: 404, error: "Not found: Collection elsewhere not found" };
    expect(await ask({ query: 1, lookup_from: { collection: "elsewhere" } })).toMatchObject(missing);
    const fused = {
      prefetch: [{ query: 1, lookup_from: { collection: "elsewhere" } }],
      query: { fusion: "rrf" },
      using: "a",
    };
    expect(await ask(fused)).toMatchObject(missing);
    const groups = { query: [1, 2, 3, 4], group_by: "rank", with_lookup: "elsewhere" };
    expect(await ask(groups, "query/groups")).toMatchObject(missing);
  });

  test("is refused for a lookup without its collection even when nothing is looked up there", async () => {
    const lookup_from = { collection: "elsewhere" };
    const missing = { code: 404, error: "Not found: Collection elsewhere not found" };
    expect(await ask({ positive: [[1, 2, 3, 4]], limit: 1, lookup_from }, "recommend")).toMatchObject(missing);
    // A point that is not there is named before a vector that no point has.
    const wrong = { collection: "dense", vector: "none" };
    expect(await ask({ query: 9, lookup_from: wrong })).toMatchObject({
      code: 404,
      error: "Not found: No point with id 9 found",
    });
    expect(await ask({ query: 1, lookup_from: wrong })).toMatchObject({
      code: 400,
      error: "Wrong input: Not existing vector name error: none",
    });
  });

  test("discovers without a context when that is said", async () => {
    const target = [1, 0, 0, 0];
    const { result } = await ask({ query: { discover: { target, context: null } } });
    expect(result.points.map(({ id }: Loose) => id)).toEqual([3, 2, 1]);
    expect((await ask({ query: { discover: { target } } })).code).toBe(400);
  });

  test("scores small vectors to the last bit as Qdrant sums them", async () => {
    await call("PUT", "/collections/sums", { vectors: { size: 4, distance: "Dot" } });
    const points = [{ id: 1, vector: [0.19, 0.81, 0.75, 0.11] }];
    await call("PUT", "/collections/sums/points?wait=true", { points });
    // 1.155 in any order but the plain one, or with fused steps.
    const { result } = await ask({ query: [0.05, 0.61, 0.76, 0.74] }, "query", "sums");
    expect(result.points[0].score).toBe(1.1550001);
  });

  test("with an offset finds no more of each prefetch", async () => {
    const ids = async (offset: number) =>
      (await ask({ prefetch: { limit: 1 }, query: { sample: "random" }, offset })).result.points.length;
    expect([await ids(0), await ids(1), await ids(2)]).toEqual([1, 0, 0]);
  });

  test("brings the vectors of a lookup under either name", async () => {
    for (const name of ["with_vector", "with_vectors"]) {
      const lookup = { collection: "dense", with_payload: false, [name]: true };
      const { groups } = (await ask({ query: [1, 0, 0, 0], group_by: "rank", with_lookup: lookup }, "query/groups"))
        .result;
      expect(groups.map((group: Loose) => group.lookup)).toMatchObject(
        [3, 2, 1].map((id) => ({ id, vector: [id, 1, 1, 1] })),
      );
    }
  });
});

test.skipIf(!addonBuilt)("a name that an alias has is refused as wrong input", async () => {
  await call("POST", "/collections/aliases", {
    actions: [{ create_alias: { collection_name: "dense", alias_name: "as" } }],
  });
  expect(await call("PUT", "/collections/as", { vectors: { size: 4, distance: "Dot" } })).toMatchObject({
    code: 400,
    error: "Wrong input: Can't create collection with name as. Alias with the same name already exists",
  });
});

test.skipIf(!addonBuilt)("on_disk_payload can be changed, and is shown", async () => {
  const shown = async () => (await call("GET", "/collections/dense")).result.config.params.on_disk_payload;
  expect(await shown()).toBe(true);
  for (const value of [false, true]) {
    expect((await call("PATCH", "/collections/dense", { params: { on_disk_payload: value } })).code).toBe(200);
    expect(await shown()).toBe(value);
  }
});
