/** Strict mode: every limit, in Qdrant's words, and nothing refused that is within it. */
import { afterAll, describe, expect, test } from "vitest";
import { type DomainError, type StrictMode, sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { createSharedChanges, type SealedEngine, sealEngine, strictEngine } from "../../src/engine/index.ts";
import { configOf, failure, must, none, point, query, temporaryFolder, wait } from "./support.ts";

const folder = temporaryFolder();
const changes = createSharedChanges();
const open = (): SealedEngine =>
  strictEngine(sealEngine(openEmbeddedEngine({ dataDir: folder.path }), changes), changes);
const engine = open();
afterAll(async () => {
  await engine.close();
  folder.remove();
});

let made = 0;
async function collection(strictMode: StrictMode, m = 16): Promise<string> {
  const name = `strict-${++made}`;
  const config = configOf(
    { "": [2, "dot"] },
    {
      hnsw: { m, efConstruct: 100, fullScanThreshold: 10_000 },
      sparseVectors: { s: { modifier: "none" } },
      strictMode: { enabled: true, ...strictMode },
    },
  );
  await engine.createCollection(name, config, sealingOff);
  await engine.createFieldIndex(name, "city", "keyword", "");
  await engine.createFieldIndex(name, "n", "integer", '{"integerIndexParams":{"lookup":true,"range":false}}');
  return name;
}

const berlin = must({ kind: "match_keyword", key: "city", value: "Berlin" });
const color = must({ kind: "match_keyword", key: "color", value: "red" });
const bare = { prefetch: [], using: "", params: {}, offset: 0, payload: none, vectors: none } as const;
const nearest = { kind: "nearest", vector: Float32Array.of(1, 1) } as const;
const two = [point(1, [1, 1]), point(2, [2, 2])];

/** A call within the limit, one beyond it, and what is said of that. */
const cases: readonly (readonly [
  what: string,
  strict: StrictMode,
  within: (name: string) => Promise<unknown>,
  beyond: (name: string) => Promise<unknown>,
  said: string,
])[] = [
  [
    "max_query_limit",
    { maxQueryLimit: 4 },
    (name) => engine.search(name, query([1, 1], { limit: 4 })),
    (name) => engine.search(name, query([1, 1], { limit: 5 })),
    'Limit exceeded 5 > 4 for "limit". Help: Reduce the "limit" parameter to or below 4.',
  ],
  [
    "max_query_limit of a scroll",
    { maxQueryLimit: 4 },
    (name) => engine.scroll(name, { limit: 4, payload: none, vectors: none }),
    (name) => engine.scroll(name, { limit: 5, payload: none, vectors: none }),
    'Limit exceeded 5 > 4 for "limit". Help: Reduce the "limit" parameter to or below 4.',
  ],
  [
    "max_query_limit of a prefetch",
    { maxQueryLimit: 4 },
    (name) =>
      engine.query(name, {
        ...bare,
        query: { kind: "dbsf" },
        limit: 2,
        prefetch: [{ ...bare, query: nearest, limit: 4 }],
      }),
    (name) =>
      engine.query(name, {
        ...bare,
        query: { kind: "dbsf" },
        limit: 2,
        prefetch: [{ ...bare, query: nearest, limit: 9 }],
      }),
    'Limit exceeded 9 > 4 for "limit". Help: Reduce the "limit" parameter to or below 4.',
  ],
  [
    "max_query_limit of groups",
    { maxQueryLimit: 6 },
    (name) => engine.queryGroups(name, { ...bare, query: nearest, limit: 2, groupBy: "city", groupSize: 3 }),
    (name) => engine.queryGroups(name, { ...bare, query: nearest, limit: 3, groupBy: "city", groupSize: 3 }),
    'Limit exceeded 9 > 6 for "limit". Help: Reduce the "limit" parameter to or below 6.',
  ],
  [
    "max_timeout",
    { maxTimeout: 2 },
    (name) => engine.admit(name, { timeoutSeconds: 2 }),
    (name) => engine.admit(name, { timeoutSeconds: 3 }),
    'Limit exceeded 3 > 2 for "timeout". Help: Reduce the "timeout" parameter to or below 2.',
  ],
  [
    "unindexed_filtering_retrieve",
    { unindexedFilteringRetrieve: false },
    (name) => engine.count(name, berlin, true),
    (name) => engine.count(name, color, true),
    'Index required but not found for "color" of one of the following types: [keyword]. Help: Create an index for this key or use a different filter.',
  ],
  [
    "unindexed_filtering_retrieve of the half that an index lacks",
    { unindexedFilteringRetrieve: false },
    (name) => engine.count(name, must({ kind: "match_integer", key: "n", value: 1n }), true),
    (name) => engine.count(name, must({ kind: "range", key: "n", bounds: { gt: 1 } }), true),
    'Index required but not found for "n" of one of the following types: [float, integer]. Help: Create an index for this key or use a different filter.',
  ],
  [
    "unindexed_filtering_retrieve of nested keys",
    { unindexedFilteringRetrieve: false },
    (name) =>
      engine.count(
        name,
        must({ kind: "has_id", ids: [1n] }, { kind: "match_any_keywords", key: "x", values: [] }),
        true,
      ),
    (name) =>
      engine.count(
        name,
        must({
          kind: "nested",
          key: "a",
          filter: must({ kind: "match_keyword", key: "b", value: "11111111-2222-4333-8444-555555555555" }),
        }),
        true,
      ),
    'Index required but not found for "a[].b" of one of the following types: [keyword, uuid]. Help: Create an index for this key or use a different filter.',
  ],
  [
    "unindexed_filtering_retrieve of a group's key",
    { unindexedFilteringRetrieve: false },
    (name) => engine.queryGroups(name, { ...bare, query: nearest, limit: 2, groupBy: "city", groupSize: 1 }),
    (name) => engine.queryGroups(name, { ...bare, query: nearest, limit: 2, groupBy: "color", groupSize: 1 }),
    'Index required but not found for "color". Help: Create an index supporting `match` for this key.',
  ],
  [
    "unindexed_filtering_update",
    { unindexedFilteringUpdate: false },
    (name) => engine.write(name, { kind: "delete", selector: { kind: "filter", filter: berlin } }, wait),
    (name) => engine.write(name, { kind: "delete", selector: { kind: "filter", filter: color } }, wait),
    'Index required but not found for "color" of one of the following types: [keyword]. Help: Create an index for this key or use a different filter.',
  ],
  [
    "search_max_hnsw_ef",
    { searchMaxHnswEf: 5 },
    (name) => engine.search(name, query([1, 1], { hnswEf: 5 })),
    (name) => engine.search(name, query([1, 1], { hnswEf: 6 })),
    'Limit exceeded 6 > 5 for "hnsw_ef". Help: Reduce the "hnsw_ef" parameter to or below 5.',
  ],
  [
    "search_allow_exact",
    { searchAllowExact: false },
    (name) => engine.count(name, undefined, false),
    (name) => engine.search(name, query([1, 1], { exact: true })),
    "Exact search disabled!. Help: Set exact=false.",
  ],
  [
    "search_max_oversampling",
    { searchMaxOversampling: 1.5 },
    (name) => engine.search(name, query([1, 1], { quantization: { oversampling: 1.5 } })),
    (name) => engine.search(name, query([1, 1], { quantization: { oversampling: 2 } })),
    'Limit exceeded 2 > 1.5 for "oversampling". Help: Reduce the "oversampling" parameter to or below 1.5.',
  ],
  [
    "upsert_max_batchsize",
    { upsertMaxBatchsize: 1 },
    (name) => engine.write(name, { kind: "upsert", points: two.slice(1) }, wait),
    (name) => engine.write(name, { kind: "upsert", points: two }, wait),
    'Limit exceeded 2 > 1 for "upsert limit". Help: Reduce the "upsert limit" parameter to or below 1.',
  ],
  [
    "upsert_max_batchsize of vectors",
    { upsertMaxBatchsize: 1 },
    async () => undefined,
    (name) => engine.write(name, { kind: "update_vectors", points: two }, wait),
    'Limit exceeded 2 > 1 for "update limit". Help: Reduce the "update limit" parameter to or below 1.',
  ],
  [
    "search_max_batchsize",
    { searchMaxBatchsize: 1 },
    (name) => engine.searchBatch(name, [query([1, 1])]),
    (name) => engine.searchBatch(name, [query([1, 1]), query([1, 1])]),
    'Limit exceeded 2 > 1 for "search batch size". Help: Reduce the "search batch size" parameter to or below 1.',
  ],
  [
    "filter_max_conditions",
    { filterMaxConditions: 2 },
    (name) => engine.count(name, must({ kind: "filter", filter: berlin }, { kind: "has_id", ids: [1n, 2n, 3n] }), true),
    (name) => engine.count(name, { must: berlin.must, should: berlin.must, mustNot: berlin.must }, true),
    "Filter condition limit reached (3 > 2). Help: Reduce the amount of conditions of your filter.",
  ],
  [
    "condition_max_size",
    { conditionMaxSize: 2 },
    (name) => engine.count(name, must({ kind: "match_any_integers", key: "n", values: [1n, 2n] }), true),
    (name) => engine.count(name, must({ kind: "match_any_integers", key: "n", values: [1n, 2n, 3n] }), true),
    "Condition size limit reached (3 > 2). Help: Reduce the size of your condition.",
  ],
  [
    "sparse_config",
    { sparseMaxLength: { s: 2 } },
    (name) =>
      engine.write(name, { kind: "upsert", points: [{ ...point(9, [1, 1]), vectors: [["s", sparse(2)]] }] }, wait),
    (name) =>
      engine.write(name, { kind: "upsert", points: [{ ...point(9, [1, 1]), vectors: [["s", sparse(3)]] }] }, wait),
    "Sparse vector 's' has a limit of 2 indices, but 3 were provided!",
  ],
  [
    "max_payload_index_count",
    { maxPayloadIndexCount: 2 },
    (name) => engine.createFieldIndex(name, "city", "keyword", ""),
    (name) => engine.createFieldIndex(name, "third", "keyword", ""),
    "Collection already has the maximum number of payload indices (2). Help: Please delete an existing index before creating a new one.",
  ],
];

function sparse(length: number) {
  const indices = Uint32Array.from({ length }, (_, i) => i);
  return { indices, values: new Float32Array(length).fill(1) };
}

describe("strict mode", () => {
  test.each(cases)("%s", async (_what, strict, within, beyond, said) => {
    const name = await collection(strict);
    await within(name);
    const error = await failure(beyond(name));
    expect([error.kind, error.message]).toEqual(["bad_input", `Bad request: ${said}`]);
    // Not enabled, nothing holds; and a change is in force at once.
    await engine.updateCollection(name, { strictMode: { enabled: false } });
    await beyond(name).catch((late: DomainError) => expect(late.kind).toBe("not_found"));
    if (strict.maxPayloadIndexCount !== undefined) await engine.deleteFieldIndex(name, "third");
    await engine.updateCollection(name, { strictMode: { enabled: true } });
    expect((await failure(beyond(name))).message).toBe(error.message);
  });

  test("an index that is made is seen at once, and one that is deleted too", async () => {
    const name = await collection({ unindexedFilteringRetrieve: false });
    expect((await failure(engine.count(name, color, true))).kind).toBe("bad_input");
    await engine.createFieldIndex(name, "color", "keyword", "");
    expect(await engine.count(name, color, true)).toBe(0);
    await engine.deleteFieldIndex(name, "color");
    expect((await failure(engine.count(name, color, true))).kind).toBe("bad_input");
  });

  test("a collection without a graph takes no search where exact ones are forbidden", async () => {
    const name = await collection({ searchAllowExact: false }, 0);
    const error = await failure(engine.search(name, query([1, 1])));
    expect(error.message).toBe(
      "Bad request: Request is forbidden because global vector indexing is disabled (hnsw_config.m = 0). Help: Use tenant-specific filter, enable global vector indexing or enable strict mode `search_allow_exact` option",
    );
  });

  test("sizes: of vectors, of payloads, of points", async () => {
    const upsert = (name: string, from: number) => {
      const points = Array.from({ length: 5 }, (_, n) => point(from + n, [1, 2], { city: "x".repeat(100) }));
      return engine.write(name, { kind: "upsert", points }, wait);
    };
    for (const [strict, said] of [
      [{ maxCollectionVectorSizeBytes: 80 }, "Bad request: Max vector storage size limit of 0.000076293945MB reached!"],
      [{ maxPointsCount: 10 }, "Bad request: Max points count limit of 10 reached!"],
    ] as const) {
      const name = await collection(strict);
      await upsert(name, 0);
      await upsert(name, 5);
      expect((await failure(upsert(name, 10))).message).toBe(said);
      // What frees room goes on.
      await engine.write(name, { kind: "delete", selector: { kind: "ids", ids: [0n] } }, wait);
      await upsert(name, 10);
    }
    const name = await collection({ maxCollectionPayloadSizeBytes: 100_000 });
    let refused: unknown;
    for (let from = 0; from < 5_000 && refused === undefined; from += 5) {
      refused = await upsert(name, from).then(
        () => undefined,
        (error: Error) => error.message,
      );
    }
    expect(refused).toBe("Bad request: Max payload storage size limit of 0.09536743MB reached!");
    const memory = await collection({ maxResidentMemoryPercent: 1 });
    const error = await failure(upsert(memory, 0)).catch(() => undefined);
    // A machine may have so much memory that this process is less than a hundredth of it.
    if (error !== undefined) {
      expect(error.message).toMatch(
        /^Bad request: Resident memory usage is at \d+% of total memory, exceeding the configured limit of 1%\. Help: /,
      );
    }
  });

  test("rates: a minute's operations, then a wait that is told", async () => {
    const name = await collection({ readRateLimit: 3 });
    for (let n = 0; n < 3; n++) await engine.search(name, query([1, 1]));
    const error = await failure(engine.search(name, query([1, 1])));
    expect(error.kind).toBe("rate_limited");
    expect(error.message).toMatch(
      /^Rate limiting exceeded: Read rate limit exceeded: Operation requires 1 tokens but only 0\.\d were available\. Retry after \d+s$/,
    );
    expect(error.details.retryAfterSeconds).toBeGreaterThan(15);
    await engine.updateCollection(name, { strictMode: { enabled: false } });
    for (let n = 0; n < 10; n++) await engine.search(name, query([1, 1]));

    const written = await collection({ writeRateLimit: 6 });
    // Two indexes were made of it.
    await engine.write(written, { kind: "upsert", points: two }, wait);
    const much = Array.from({ length: 7 }, (_, n) => point(n, [1, 1]));
    expect((await failure(engine.write(written, { kind: "upsert", points: much }, wait))).message).toBe(
      "Rate limiting exceeded: Write rate limit exceeded, request larger than rate limiter capacity, please try to split your request",
    );
    expect((await failure(engine.write(written, { kind: "upsert", points: much.slice(0, 3) }, wait))).message).toMatch(
      /^Rate limiting exceeded: Write rate limit exceeded: Operation requires 3 tokens but only 2\.\d were available/,
    );
    // Points as they came pay with who reads them, and so once, whether the addon takes them or not.
    expect(
      await engine.writeEncoded(written, { bytes: Buffer.from([0x1a, 0]), field: 3, count: 1 }, wait),
    ).toBeUndefined();
    await engine.write(written, { kind: "upsert", points: much.slice(0, 2) }, wait);
  });

  test("a batch is judged whole, before any of it is written", async () => {
    const name = await collection({ unindexedFilteringUpdate: false });
    const writes = [
      { kind: "upsert", points: two },
      { kind: "delete", selector: { kind: "filter", filter: color } },
    ] as const;
    expect((await failure(engine.admit(name, { writes }))).message).toMatch(/"color"/);
  });
});
