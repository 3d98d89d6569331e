/**
 * The capabilities of Qdrant 1.19's API and, for each, the calls that show what this server does with it. The outcome is what
 * a running server answered (run.ts); only rows that no single call can show are stated, with the test that shows them.
 */

import { olderCalls } from "./older-calls.ts";
import {
  accepted,
  call,
  city,
  cluster,
  count,
  create,
  createWith,
  dense,
  echo,
  feedback,
  field,
  http,
  ids,
  index,
  match,
  must,
  named,
  nearest,
  params,
  plain,
  points,
  query,
  type Row,
  size4,
  snapshots,
  stated,
  upsert,
} from "./probes.ts";
import { serverRows } from "./server-rows.ts";
import { vectorNames } from "./vector-names.ts";

/** In the order of the project's table of Qdrant's capabilities. */
export const rows: readonly Row[] = [
  {
    title: "Health and version",
    probes: [
      call("HealthCheck", "qdrant.Qdrant/HealthCheck", {}, ["version", "1.19.0"]),
      call("Health/Check", "grpc.health.v1.Health/Check", {}, ["status", "SERVING"]),
      http("/"),
      http("/healthz"),
      http("/livez"),
      http("/readyz"),
    ],
    note: "Health/Watch is served too.",
  },
  { title: "Reflection, v1 and v1alpha", probes: [stated("works", "test/server/messages.test.ts")] },
  {
    title: "Collections: create, get, list, update, delete, exists",
    probes: [
      create("Create", "crud", { vectors_config: size4 }),
      call("Get", "qdrant.Collections/Get", { collection_name: "crud" }, ["result.status", "Green"]),
      call("List", "qdrant.Collections/List", {}),
      call("Update", "qdrant.Collections/Update", {
        collection_name: "crud",
        optimizers_config: { indexing_threshold: 5000 },
      }),
      call("CollectionExists", "qdrant.Collections/CollectionExists", { collection_name: "crud" }, [
        "result.exists",
        true,
      ]),
      call("Delete", "qdrant.Collections/Delete", { collection_name: "crud" }),
    ],
  },
  {
    title: "Dense vectors and distances",
    probes: ["Cosine", "Euclid", "Dot", "Manhattan"].map((distance) =>
      createWith(distance, `distance-${distance}`, { distance }),
    ),
  },
  {
    title: "Named vectors",
    probes: [
      call(
        "query using a name",
        "qdrant.Points/Query",
        { collection_name: named, query: { nearest: { dense: { data: [1, 0] } } }, using: "b", limit: 1 },
        ["result.0.id.num", "1"],
      ),
    ],
  },
  {
    title: "Sparse vectors",
    probes: [create("sparse_vectors_config", "sparse", { sparse_vectors_config: { map: { s: {} } } })],
  },
  {
    title: "Multivectors (MaxSim)",
    probes: [createWith("multivector_config", "multi", { multivector_config: { comparator: "MaxSim" } })],
  },
  {
    title: "Datatypes",
    probes: ["Float32", "Float16", "Uint8", "Turbo4"].map((datatype) =>
      createWith(datatype.toLowerCase(), `type-${datatype}`, { datatype }),
    ),
    note: "Turbo4 is stored as float16.",
  },
  {
    title: "Add or remove a named vector later",
    probes: vectorNames,
  },
  {
    title: "HNSW settings",
    probes: [
      create("m, ef_construct, payload_m and max_indexing_threads", "hnsw", {
        vectors_config: size4,
        hnsw_config: { m: 8, ef_construct: 64, payload_m: 8, max_indexing_threads: 2 },
      }),
      echo("inline_storage", { hnsw_config: { inline_storage: true } }, "config.hnswConfig.inlineStorage"),
    ],
  },
  {
    title: "Memory placement",
    probes: [
      echo("hnsw_config.memory", { hnsw_config: { memory: "Cached" } }, "config.hnswConfig.memory"),
      echo("payload.memory", { payload: { memory: "Cold" } }, "config.params.payload.memory"),
    ],
    note: "Cold and Cached leave codes or graph in the mapped file, Pinned keeps them in memory; vectors are always mapped, see docs/quantization.md.",
  },
  {
    title: "Quantization",
    probes: [
      create("scalar", "scalar", { vectors_config: size4, quantization_config: { scalar: { type: "Int8" } } }),
      create("product", "product", { vectors_config: size4, quantization_config: { product: { compression: "x16" } } }),
      create("binary", "binary", { vectors_config: size4, quantization_config: { binary: { encoding: "TwoBits" } } }),
      params("params.quantization", { quantization: { rescore: true, oversampling: 2 } }),
      create("turboquant", "turbo", { vectors_config: size4, quantization_config: { turboquant: {} } }),
    ],
    note: "TurboQuant gets the codes of scalar quantization. Answers are scored again with the stored vectors unless a search says rescore: false; see docs/quantization.md.",
  },
  {
    title: "Optimizer and log settings",
    probes: [
      create("indexing_threshold", "optimizer", {
        vectors_config: size4,
        optimizers_config: { indexing_threshold: 5000 },
      }),
      create("deleted_threshold and the others", "optimizer_more", {
        vectors_config: size4,
        optimizers_config: { deleted_threshold: 0.3, max_segment_size: 10_000, default_segment_number: 2 },
      }),
      echo(
        "memmap_threshold",
        { optimizers_config: { memmap_threshold: 1000 } },
        "config.optimizerConfig.memmapThreshold",
      ),
      echo("wal_config", { wal_config: { wal_capacity_mb: 16 } }, "config.walConfig.walCapacityMb"),
    ],
  },
  {
    title: "Strict mode",
    probes: [stated("works", "test/engine/strict.test.ts")],
  },
  {
    title: "Collection metadata",
    probes: [echo("metadata", { metadata: { team: { string_value: "a" } } }, "config.metadata.team.stringValue")],
  },
  {
    title: "Aliases",
    probes: [
      call("UpdateAliases", "qdrant.Collections/UpdateAliases", {
        actions: [{ create_alias: { collection_name: plain, alias_name: "alias" } }],
      }),
      call("ListAliases", "qdrant.Collections/ListAliases", {}, ["aliases.0.aliasName", "alias"]),
      call("ListCollectionAliases", "qdrant.Collections/ListCollectionAliases", { collection_name: plain }),
      call("a call by alias", "qdrant.Points/Count", { collection_name: "alias" }),
    ],
  },
  {
    title: "Payload indexes",
    probes: [
      ...["Keyword", "Integer", "Float", "Bool", "Geo", "Datetime", "Uuid", "Text"].map(index),
      points("DeleteFieldIndex", "DeleteFieldIndex", { field_name: "index_keyword", wait: true }),
    ],
  },
  {
    title: "Upsert",
    probes: [
      upsert("number ids", {}),
      upsert("UUIDs", {
        points: [
          {
            id: { uuid: "11111111-2222-4333-8444-555555555555" },
            vectors: { vector: { dense: { data: [0, 0, 0, 1] } } },
          },
        ],
      }),
      upsert("timeout", { wait: true, timeout: 5 }),
      accepted(upsert("ordering", { ordering: { type: "Strong" } })),
      upsert("update_filter", { update_filter: { must: [{ has_id: { has_id: [{ num: 9 }] } }] } }),
      upsert("update_mode insert_only", { update_mode: "InsertOnly" }),
    ],
  },
  {
    title: "Delete points",
    probes: [
      points("by ids", "Delete", { points: ids(9), wait: true }),
      points("by filter", "Delete", {
        points: { filter: { must: [{ has_id: { has_id: [{ uuid: "11111111-2222-4333-8444-555555555555" }] } }] } },
        wait: true,
      }),
    ],
  },
  {
    title: "Get by ids, payload and vector selectors",
    probes: [
      points(
        "Get",
        "Get",
        {
          ids: [{ num: 1 }],
          with_payload: { include: { fields: ["city"] } },
          with_vectors: { enable: true },
        },
        ["result.0.payload.city.stringValue", "Berlin"],
      ),
      points("exclude", "Get", { ids: [{ num: 1 }], with_payload: { exclude: { fields: ["city"] } } }, [
        "result.0.payload.n.integerValue",
        "1",
      ]),
    ],
  },
  {
    title: "Update and delete vectors",
    probes: [
      points("UpdateVectors", "UpdateVectors", {
        points: [{ id: { num: 4 }, vectors: { vector: { dense: { data: [0, 0, 0, 1] } } } }],
        wait: true,
      }),
      call("DeleteVectors", "qdrant.Points/DeleteVectors", {
        collection_name: named,
        points_selector: ids(2),
        vectors: { names: ["b"] },
        wait: true,
      }),
    ],
  },
  {
    title: "Payload: set, overwrite, delete keys, clear",
    probes: [
      points("set", "SetPayload", { payload: city, points_selector: ids(4), wait: true }),
      points("set at a path", "SetPayload", { payload: city, key: "deep.er", points_selector: ids(4), wait: true }),
      points("overwrite", "OverwritePayload", { payload: city, points_selector: ids(4), wait: true }),
      points("delete keys", "DeletePayload", { keys: ["city"], points_selector: ids(4), wait: true }),
      points("clear", "ClearPayload", { points: ids(4), wait: true }),
    ],
    note: "An overwrite ignores its `key`, as Qdrant's does.",
  },
  {
    title: "UpdateBatch, 8 kinds of update",
    probes: [
      points("UpdateBatch", "UpdateBatch", {
        wait: true,
        operations: [
          {
            upsert: {
              points: [{ id: { num: 8 }, vectors: { vector: { dense: { data: [0, 0, 1, 1] } } }, payload: city }],
            },
          },
          { set_payload: { payload: city, points_selector: ids(8) } },
          { overwrite_payload: { payload: city, points_selector: ids(8) } },
          { delete_payload: { keys: ["city"], points_selector: ids(8) } },
          { clear_payload: { points: ids(8) } },
          { update_vectors: { points: [{ id: { num: 8 }, vectors: { vector: { dense: { data: [0, 1, 1, 1] } } } }] } },
          { delete_vectors: { points_selector: ids(8), vectors: { names: [""] } } },
          { delete_points: { points: ids(8) } },
        ],
      }),
    ],
    note: "Each operation commits whole; the batch as such is not one transaction.",
  },
  {
    title: "Scroll",
    probes: [
      points("offset and limit", "Scroll", { offset: { num: 2 }, limit: 1 }, ["result.0.id.num", "2"]),
      points("order_by", "Scroll", { order_by: { key: "n", direction: "Desc", start_from: { integer: 2 } } }, [
        "result.0.orderValue.int",
        "2",
      ]),
    ],
  },
  { title: "Count", probes: [count("exact", {}, 5), points("approximate", "Count", { exact: false })] },
  { title: "Facet", probes: [points("Facet", "Facet", { key: "city" }, ["hits.0.value.stringValue", "Berlin"])] },
  {
    title: "Filters",
    probes: [
      match("must", "city", { keyword: "Berlin" }, 2),
      count("should", { should: [{ field: { key: "n", match: { integer: 1 } } }] }, 1),
      count("must_not", { must_not: [{ field: { key: "city", match: { keyword: "Berlin" } } }] }, 3),
      count(
        "min_should",
        {
          min_should: {
            min_count: 2,
            conditions: [
              { field: { key: "n", match: { integer: 1 } } },
              { field: { key: "city", match: { keyword: "Berlin" } } },
            ],
          },
        },
        1,
      ),
      must("sub-filter", { filter: { must: [{ field: { key: "n", match: { integer: 1 } } }] } }, 1),
      must("is_empty", { is_empty: { key: "gone" } }, 4),
      must("is_null", { is_null: { key: "nothing" } }, 1),
      must("has_id", { has_id: { has_id: [{ num: 1 }, { num: 2 }] } }, 2),
      must("has_vector", { has_vector: { has_vector: "" } }, 5),
      must(
        "nested",
        { nested: { key: "items", filter: { must: [{ field: { key: "color", match: { keyword: "red" } } }] } } },
        1,
      ),
      match("nested keys a.b and a[].b", "items[].color", { keyword: "red" }, 1),
      must("slice", { slice: { total: 2, index: 0 } }, 4),
    ],
  },
  {
    title: "Conditions",
    probes: [
      match("keyword", "city", { keyword: "London" }, 1),
      match("integer", "n", { integer: 2 }, 1),
      match("bool", "flag", { boolean: true }, 1),
      match("any", "city", { keywords: { strings: ["London", "Berlin"] } }, 3),
      match("except", "city", { except_keywords: { strings: ["London"] } }, 2),
      field("range", "n", { range: { gte: 2 } }, 2),
      field("datetime_range", "when", { datetime_range: { gte: "2026-01-01T00:00:00Z" } }, 1),
      field(
        "geo box",
        "place",
        { geo_bounding_box: { top_left: { lon: 13, lat: 53 }, bottom_right: { lon: 14, lat: 52 } } },
        1,
      ),
      field("geo radius", "place", { geo_radius: { center: { lon: 13.4, lat: 52.5 }, radius: 10000 } }, 1),
      field(
        "geo polygon",
        "place",
        {
          geo_polygon: {
            exterior: {
              points: [
                { lon: 13, lat: 52 },
                { lon: 14, lat: 52 },
                { lon: 14, lat: 53 },
                { lon: 13, lat: 53 },
                { lon: 13, lat: 52 },
              ],
            },
          },
        },
        1,
      ),
      field("values_count", "tags", { values_count: { gte: 2 } }, 1),
      match("text", "city", { text: "Berlin" }, 2),
      match("phrase", "city", { phrase: "Berlin" }, 2),
      match("text_any", "city", { text_any: "Berlin" }, 2),
      match("prefix", "city", { prefix: "Ber" }, 2),
    ],
  },
  {
    title: "Query: nearest",
    probes: [
      query("a vector", { query: nearest }, ["result.0.id.num", "1"]),
      query("a point's id", { query: { nearest: { id: { num: 1 } } } }),
      query("score_threshold and offset", { query: nearest, score_threshold: 0.1, offset: 1 }),
      query("without a query, by id", {}, ["result.0.id.num", "1"]),
      points("QueryBatch", "QueryBatch", { query_points: [{ collection_name: plain, query: nearest, limit: 1 }] }),
      query("prefetch", { prefetch: [{ query: nearest }], query: nearest }),
      query("lookup_from", { query: { nearest: { id: { num: 1 } } }, lookup_from: { collection_name: plain } }),
    ],
  },
  {
    title: "Query: fusion",
    probes: [
      query("rrf", { prefetch: [{ query: nearest }], query: { rrf: { k: 2 } } }),
      query("fusion", { prefetch: [{ query: nearest }], query: { fusion: "DBSF" } }),
    ],
  },
  {
    title: "Query: recommend",
    probes: [query("recommend", { query: { recommend: { positive: [{ id: { num: 1 } }] } } })],
  },
  {
    title: "Query: discover, context",
    probes: [
      query("discover", { query: { discover: { target: { id: { num: 1 } }, context: {} } } }),
      query("context", {
        query: { context: { pairs: [{ positive: { id: { num: 1 } }, negative: { id: { num: 2 } } }] } },
      }),
    ],
  },
  {
    title: "Query: order by, sample",
    probes: [
      query("order_by", { query: { order_by: { key: "n" } } }, ["result.0.orderValue.int", "1"]),
      query("sample", { query: { sample: "Random" } }),
    ],
  },
  {
    title: "Query: formula",
    probes: [query("formula", { prefetch: [{ query: nearest }], query: { formula: { expression: { constant: 1 } } } })],
  },
  {
    title: "Query: MMR",
    probes: [query("nearest_with_mmr", { query: { nearest_with_mmr: { nearest: dense, mmr: { diversity: 0.5 } } } })],
  },
  {
    title: "Query: relevance feedback",
    probes: [query("relevance_feedback", { query: { relevance_feedback: feedback } })],
    note: "The naive strategy, the only one of Qdrant's 1.19.",
  },
  {
    title: "Inference inputs",
    probes: [stated("works", "test/compat/inference.py")],
    note: "`qdrant/bm25` is built in; sentence models in ONNX run in the server, others need a provider ([inference.md](inference.md)).",
  },
  {
    title: "Groups",
    probes: [points("QueryGroups", "QueryGroups", { query: nearest, group_by: "city" })],
  },
  {
    title: "Distance matrix",
    probes: [
      points("SearchMatrixPairs", "SearchMatrixPairs", {}),
      points("SearchMatrixOffsets", "SearchMatrixOffsets", {}),
    ],
  },
  {
    title: "Search parameters",
    probes: [
      params("hnsw_ef", { hnsw_ef: 64 }),
      params("exact", { exact: true }),
      params("indexed_only", { indexed_only: true }),
      accepted(params("acorn", { acorn: { enable: true } })),
    ],
  },
  olderCalls,
  {
    title: "Read consistency, write ordering",
    probes: [
      accepted(query("read_consistency", { query: nearest, read_consistency: { type: "Majority" } })),
      accepted(upsert("ordering", { ordering: { type: "Medium" } })),
    ],
  },
  { title: "Usage in answers", probes: [stated("inference alone", "test/services/inference.test.ts")] },
  {
    title: "Snapshots",
    probes: [
      ...["Create", "List", "CreateFull", "ListFull"].map(snapshots),
      stated("works: Delete, DeleteFull", "test/services/snapshots.test.ts"),
    ],
    note: "The files are Sealpoint's own, not Qdrant's: docs/snapshots.md; what moves from one to the other: docs/migration.md",
  },
  {
    title: "Shard snapshots, streaming, partial",
    probes: [stated("works over REST, of shard 0 (test/rest/snapshots.test.ts); partial ones are not served")],
  },
  {
    title: "Cluster calls of a collection",
    probes: [
      "CollectionClusterInfo",
      "UpdateCollectionClusterSetup",
      "CreateShardKey",
      "DeleteShardKey",
      "ListShardKeys",
    ].map((name) => cluster(name)),
  },
  ...serverRows,
];
