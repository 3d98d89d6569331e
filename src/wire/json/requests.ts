/** Every REST call's request as the bytes of its RPC's message. Runs on any thread: large bodies are read beside the event loop. */
import { create, type DescMessage, toBinary } from "@bufbuild/protobuf";
import * as c from "../../../gen/qdrant/collections_pb.js";
import * as p from "../../../gen/qdrant/points_pb.js";
import * as s from "../../../gen/qdrant/snapshots_service_pb.js";
import { badInput, limits } from "../../core/index.ts";
import { toPointIdMessage } from "../point-id.ts";
import { BackwardWriter } from "../proto-bytes.ts";
import {
  formatError,
  isList,
  isObject,
  type Json,
  type JsonObject,
  member,
  missing,
  parseJson,
  toFloats,
  toList,
  toObject,
  toText,
} from "./parse.ts";
import { type AnyMessage, addReader, type FieldsOptions, part, readFields, readMessage } from "./read.ts";
import { readFieldSchema, readShardOperation } from "./read-collections.ts";
import { requireSelector } from "./read-query.ts";
import { readId } from "./read-values.ts";
import { s5Requests } from "./s5.ts";
import { writeFloats, writeUpsert } from "./write-upsert.ts";

/** What a URL says. */
export interface RestParams {
  readonly path: Readonly<Record<string, string | undefined>>;
  readonly query: Readonly<Record<string, string | undefined>>;
}

export interface EncodedRequest {
  readonly bytes: Uint8Array;
  /** Whether the answer's points show their payload; for batches one for each. An empty payload is then `{}` instead of nothing. */
  readonly payload: readonly boolean[];
}

type Build = (body: Json, params: RestParams) => EncodedRequest;

function queryError(text: string, field: string): Error {
  return badInput(`Format error in query parameters: ${text}`, field);
}

const consistencies: Readonly<Record<string, p.ReadConsistencyType>> = {
  all: p.ReadConsistencyType.All,
  majority: p.ReadConsistencyType.Majority,
  quorum: p.ReadConsistencyType.Quorum,
};
const orderings: Readonly<Record<string, p.WriteOrderingType>> = {
  weak: p.WriteOrderingType.Weak,
  medium: p.WriteOrderingType.Medium,
  strong: p.WriteOrderingType.Strong,
};

/** Sets what path and query say, where the message has the field. */
function setCommon(desc: DescMessage, message: AnyMessage, { path, query }: RestParams): void {
  const fields = desc.field;
  if (fields.collectionName !== undefined && path.name !== undefined) message.collectionName = path.name;
  const { wait, timeout, ordering, consistency } = query;
  if (wait !== undefined && fields.wait !== undefined) {
    if (wait !== "true" && wait !== "false") throw queryError("provided string was not `true` or `false`", "wait");
    message.wait = wait === "true";
  }
  if (timeout !== undefined && fields.timeout !== undefined) {
    if (!/^\d{1,19}$/.test(timeout)) throw queryError("invalid digit found in string", "timeout");
    if (BigInt(timeout) === 0n) {
      throw badInput(
        "Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]",
        "timeout",
      );
    }
    message.timeout = BigInt(timeout);
  }
  if (ordering !== undefined && fields.ordering !== undefined) {
    const type = Object.hasOwn(orderings, ordering) ? orderings[ordering] : undefined;
    if (type === undefined) throw queryError("unknown variant, expected one of `weak`, `medium`, `strong`", "ordering");
    message.ordering = create(p.WriteOrderingSchema, { type });
  }
  if (consistency !== undefined && fields.readConsistency !== undefined) {
    message.readConsistency = create(p.ReadConsistencySchema, { value: readConsistency(consistency) });
  }
}

function readConsistency(text: string): p.ReadConsistency["value"] {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return { case: "factor", value: BigInt(text) };
  const value = Object.hasOwn(consistencies, text) ? consistencies[text] : undefined;
  if (value === undefined) {
    throw queryError("expected a positive number, `majority`, `quorum` or `all`", "consistency");
  }
  return { case: "type", value };
}

const noPayload: readonly boolean[] = [];

function encode(desc: DescMessage, message: AnyMessage, payload = noPayload): EncodedRequest {
  return { bytes: toBinary(desc, message), payload };
}

/** The message's fields as the body has them. */
function fromBody(
  desc: DescMessage,
  finish?: (message: AnyMessage, body: JsonObject) => void,
  options?: FieldsOptions,
): Build {
  return (body, params) => {
    const message = readFields(desc, body, "", 1, { ...options, request: true });
    setCommon(desc, message, params);
    finish?.(message, body as JsonObject);
    return encode(desc, message);
  };
}

/** A request without a body. */
function fromPath(desc: DescMessage, names: Readonly<Record<string, string>> = {}): Build {
  return (_body, params) => {
    const message = create(desc) as AnyMessage;
    setCommon(desc, message, params);
    for (const [field, name] of Object.entries(names)) message[field] = params.path[name] ?? "";
    return encode(desc, message);
  };
}

/** The whole body is the selector. */
const selectsBy =
  (field: string) =>
  (message: AnyMessage, body: JsonObject): void => {
    message[field] = readMessage(p.PointsSelectorSchema, body, "");
  };

const selectsBeside = (message: AnyMessage, body: JsonObject): void => {
  requireSelector(body);
  message.pointsSelector = readMessage(p.PointsSelectorSchema, body, "");
};

// ---- reads

/** Whether an answer shows payloads. */
function shows(body: Json, absent: boolean): boolean {
  const selector = part(body, "with_payload");
  return selector === undefined ? absent : selector !== false;
}

type ReadOne = (body: Json, at: string, params: RestParams) => AnyMessage;

const one =
  (desc: DescMessage, read: ReadOne): Build =>
  (body, params) => {
    const message = read(body, "", params);
    setCommon(desc, message, params);
    return encode(desc, message, [shows(body, false)]);
  };

const batch =
  (desc: DescMessage, field: string, read: ReadOne): Build =>
  (body, params) => {
    const searches = toList(part(body, "searches") ?? missing("searches"), "searches");
    if (searches.length > limits.searchesPerBatchMax) {
      throw badInput(`searches: more than ${limits.searchesPerBatchMax} in one batch`, "searches");
    }
    const message = create(desc) as AnyMessage;
    setCommon(desc, message, params);
    message[field] = searches.map((search, i) => {
      const inner = read(search, `searches[${i}]`, params);
      inner.collectionName = params.path.name;
      return inner;
    });
    return encode(
      desc,
      message,
      searches.map((search) => shows(search, false)),
    );
  };

const readQuery =
  (desc: DescMessage): ReadOne =>
  (body, at) =>
    readFields(desc, body, at, 1, { request: true });

const queryOnly = new Set(["query"]);
const generalQuery = one(p.QueryPointsSchema, readQuery(p.QueryPointsSchema));

/** The hot form, one plain vector, has its floats written by hand: Query { nearest = 1: VectorInput { dense = 2: { data = 1 } } } as field 3. */
const query: Build = (body, params) => {
  const given = part(body, "query");
  if (!isList(given) || given.length === 0 || isList(given[0])) return generalQuery(body, params);
  const rest = readFields(p.QueryPointsSchema, body, "", 1, { request: true, except: queryOnly });
  setCommon(p.QueryPointsSchema, rest, params);
  const floats = toFloats(given, "query");
  const w = new BackwardWriter(floats.byteLength + 512);
  writeFloats(w, floats, 0x0a);
  for (const tag of [0x12, 0x0a, 0x1a]) {
    w.uint32(w.length);
    w.byte(tag);
  }
  w.raw(toBinary(p.QueryPointsSchema, rest as never));
  return { bytes: w.finish(), payload: [shows(body, false)] };
};

const vectorFields = new Set(["vector", "vector_name", "sparse_indices"]);

/** `vector` is a list, or `{name, vector}` with a list or a sparse vector. */
const readSearch =
  (desc: DescMessage): ReadOne =>
  (body, at) => {
    const message = readFields(desc, body, at, 1, { request: true, except: vectorFields });
    const given = part(body, "vector") ?? missing("vector");
    const vector = isObject(given) ? (member(given, "vector") ?? missing("vector.vector")) : given;
    const name = part(given, "name");
    if (name !== undefined) message.vectorName = toText(name, "vector.name");
    if (isObject(vector)) {
      const sparse = readFields(p.SparseVectorSchema, vector, "vector", 1) as unknown as p.SparseVector;
      message.vector = sparse.values;
      message.sparseIndices = create(p.SparseIndicesSchema, { data: sparse.indices });
    } else {
      message.vector = (readMessage(p.DenseVectorSchema, vector, "vector") as unknown as p.DenseVector).data;
    }
    return message;
  };

const exampleFields = new Set(["positive", "negative", "positive_vectors", "negative_vectors", "using"]);

/** Examples are ids and vectors mixed. */
const readRecommend =
  (desc: DescMessage): ReadOne =>
  (body, at) => {
    const message = readFields(desc, body, at, 1, { request: true, except: exampleFields });
    for (const key of ["positive", "negative"] as const) {
      const ids: unknown[] = [];
      const vectors: unknown[] = [];
      for (const [i, item] of toList(part(body, key) ?? [], key).entries()) {
        if (isList(item) || isObject(item)) vectors.push(readMessage(p.VectorSchema, item, `${key}[${i}]`));
        else ids.push(toPointIdMessage(readId(item, `${key}[${i}]`)));
      }
      message[key] = ids;
      message[`${key}Vectors`] = vectors;
    }
    setUsing(message, body);
    // JSON's has to be more than none, where the message's need not.
    if (message.limit === 0n) {
      const field = at === "" ? "limit" : `${at}.limit`;
      throw badInput(`Validation error in body: [${field}: value 0 invalid, must be 1 or larger]`, "limit");
    }
    return message;
  };

function setUsing(message: AnyMessage, body: Json): void {
  const using = part(body, "using");
  if (using !== undefined) message.using = toText(part(using, "name") ?? using, "using");
}

addReader(p.TargetVectorSchema, (json, at) =>
  create(p.TargetVectorSchema, {
    target: { case: "single", value: readMessage(p.VectorExampleSchema, json, at) as never },
  }),
);

const usingOnly = new Set(["using"]);

const readDiscover: ReadOne = (body, at) => {
  const message = readFields(p.DiscoverPointsSchema, body, at, 1, { request: true, except: usingOnly });
  setUsing(message, body);
  return message;
};

const getPoints: Build = (body, params) => {
  part(body, "ids") ?? missing("ids");
  const message = readFields(p.GetPointsSchema, body, "", 1, { request: true });
  return finishGet(message, params, shows(body, true), part(body, "with_payload") === undefined);
};

const getPoint: Build = (_body, params) => {
  const { id = "" } = params.path;
  const message = create(p.GetPointsSchema, {
    ids: [toPointIdMessage(readId(/^\d{1,20}$/.test(id) ? BigInt(id) : id, "id"))],
    withVectors: { selectorOptions: { case: "enable", value: true } },
  });
  return finishGet(message as unknown as AnyMessage, params, true, true);
};

/** REST shows payloads unless told otherwise, gRPC's Get does not. */
function finishGet(message: AnyMessage, params: RestParams, payload: boolean, isDefault: boolean): EncodedRequest {
  setCommon(p.GetPointsSchema, message, params);
  if (isDefault) {
    message.withPayload = create(p.WithPayloadSelectorSchema, { selectorOptions: { case: "enable", value: true } });
  }
  return encode(p.GetPointsSchema, message, [payload]);
}

const scroll: Build = (body, params) => {
  const message = readFields(p.ScrollPointsSchema, body, "", 1, { request: true });
  setCommon(p.ScrollPointsSchema, message, params);
  return encode(p.ScrollPointsSchema, message, [shows(body, true)]);
};

// ---- writes

const upsertNumbers = { points: 3, shards: 5, updateFilter: 6, updateMode: 8 } as const;
const upsertOperationNumbers = { points: 1, shards: 2, updateFilter: 3, updateMode: 4 } as const;

const upsert: Build = (body, params) => {
  const w = new BackwardWriter(1 << 16);
  writeUpsert(w, body, "", upsertNumbers);
  const rest = create(p.UpsertPointsSchema) as unknown as AnyMessage;
  setCommon(p.UpsertPointsSchema, rest, params);
  w.raw(toBinary(p.UpsertPointsSchema, rest as never));
  return { bytes: w.finish(), payload: noPayload };
};

const selectorOnly = new Set(["points_selector", "points"]);
const operationsOptions: FieldsOptions = { request: true, except: selectorOnly };

/** What each operation of a batch is called in JSON, with its number and message in PointsUpdateOperation. */
const operations: Readonly<
  Record<string, { readonly number: number; readonly write: (w: BackwardWriter, body: Json, at: string) => void }>
> = (() => {
  const { PointsUpdateOperation_SetPayloadSchema: set, PointsUpdateOperation_OverwritePayloadSchema: overwrite } = p;
  const plain = (number: number, desc: DescMessage, field: string, required: boolean) => ({
    number,
    write: (w: BackwardWriter, body: Json, at: string) => {
      const message = readFields(desc, body, at, 1, operationsOptions);
      if (required) requireSelector(body as JsonObject);
      message[field] = readMessage(p.PointsSelectorSchema, body, at);
      w.raw(toBinary(desc, message));
    },
  });
  return {
    upsert: { number: 1, write: (w, body, at) => writeUpsert(w, body, at, upsertOperationNumbers) },
    set_payload: plain(3, set, "pointsSelector", true),
    overwrite_payload: plain(4, overwrite, "pointsSelector", true),
    delete_payload: plain(5, p.PointsUpdateOperation_DeletePayloadSchema, "pointsSelector", true),
    update_vectors: {
      number: 7,
      write: (w, body, at) => {
        const desc = p.PointsUpdateOperation_UpdateVectorsSchema;
        w.raw(toBinary(desc, readFields(desc, body, at, 1, { request: true }) as never));
      },
    },
    delete_vectors: plain(8, p.PointsUpdateOperation_DeleteVectorsSchema, "pointsSelector", true),
    delete: plain(9, p.PointsUpdateOperation_DeletePointsSchema, "points", false),
    clear_payload: plain(10, p.PointsUpdateOperation_ClearPayloadSchema, "points", false),
  };
})();

const updateBatch: Build = (body, params) => {
  const list = toList(part(body, "operations") ?? missing("operations"), "operations");
  const w = new BackwardWriter(1 << 16);
  for (let i = list.length - 1; i >= 0; i--) {
    const at = `operations[${i}]`;
    const operation = toObject(list[i] as Json, "an operation", at);
    const name = Object.keys(operations).find((key) => part(operation, key) !== undefined);
    const known = name === undefined ? undefined : operations[name];
    if (name === undefined || known === undefined) {
      throw formatError("data did not match any variant of untagged enum UpdateOperation", at);
    }
    const before = w.length;
    known.write(w, operation[name] as Json, `${at}.${name}`);
    w.uint32(w.length - before);
    w.byte((known.number << 3) | 2);
    w.uint32(w.length - before);
    w.byte(0x1a);
  }
  const rest = create(p.UpdateBatchPointsSchema) as unknown as AnyMessage;
  setCommon(p.UpdateBatchPointsSchema, rest, params);
  w.raw(toBinary(p.UpdateBatchPointsSchema, rest as never));
  return { bytes: w.finish(), payload: noPayload };
};

const createIndex: Build = (body, params) => {
  const desc = p.CreateFieldIndexCollectionSchema;
  const object = toObject(body, "struct CreateFieldIndex", "");
  const { fieldType, params: fieldIndexParams } = readFieldSchema(
    member(object, "field_schema") ?? member(object, "field_type"),
    "field_schema",
  );
  const message = create(desc, {
    fieldName: toText(member(object, "field_name") ?? missing("field_name"), "field_name"),
    fieldType,
    fieldIndexParams,
  });
  setCommon(desc, message as unknown as AnyMessage, params);
  return encode(desc, message as unknown as AnyMessage);
};

const createVector: Build = (body, params) => {
  const desc = p.CreateVectorNameRequestSchema;
  const object = toObject(body, "enum VectorNameConfig", "");
  const dense = member(object, "dense");
  const sparse = member(object, "sparse");
  if (dense === undefined && sparse === undefined) {
    throw formatError("data did not match any variant of untagged enum VectorNameConfig", "");
  }
  const vectorConfig =
    dense === undefined
      ? {
          case: "sparseConfig" as const,
          value: readMessage(p.SparseVectorCreationConfigSchema, sparse as Json, "sparse") as never,
        }
      : {
          case: "denseConfig" as const,
          value: readMessage(p.DenseVectorCreationConfigSchema, dense, "dense") as never,
        };
  const message = create(desc, { vectorName: params.path.vector ?? "", vectorConfig }) as unknown as AnyMessage;
  setCommon(desc, message, params);
  return encode(desc, message);
};

/** The whole body is the field `request`. */
function within(desc: DescMessage, inner: DescMessage): Build {
  return (body, params) => {
    const message = create(desc) as AnyMessage;
    message.request = readMessage(inner, body, "");
    setCommon(desc, message, params);
    return encode(desc, message);
  };
}

const updateCluster: Build = (body, params) => {
  const desc = c.UpdateCollectionClusterSetupRequestSchema;
  const message = create(desc) as unknown as AnyMessage;
  message.operation = readShardOperation(body);
  setCommon(desc, message, params);
  return encode(desc, message);
};

const payloadOptions: FieldsOptions = { except: new Set(["points_selector"]) };

const builders = {
  createCollection: fromBody(c.CreateCollectionSchema),
  updateCollection: fromBody(c.UpdateCollectionSchema),
  deleteCollection: fromPath(c.DeleteCollectionSchema),
  getCollection: fromPath(c.GetCollectionInfoRequestSchema),
  listCollections: fromPath(c.ListCollectionsRequestSchema),
  collectionExists: fromPath(c.CollectionExistsRequestSchema),
  updateAliases: fromBody(c.ChangeAliasesSchema),
  listAliases: fromPath(c.ListAliasesRequestSchema),
  listCollectionAliases: fromPath(c.ListCollectionAliasesRequestSchema),
  clusterInfo: fromPath(c.CollectionClusterInfoRequestSchema),
  updateCluster,
  createShardKey: within(c.CreateShardKeyRequestSchema, c.CreateShardKeySchema),
  deleteShardKey: within(c.DeleteShardKeyRequestSchema, c.DeleteShardKeySchema),
  listShardKeys: fromPath(c.ListShardKeysRequestSchema),
  createIndex,
  deleteIndex: fromPath(p.DeleteFieldIndexCollectionSchema, { fieldName: "field" }),
  createVector,
  deleteVector: fromPath(p.DeleteVectorNameRequestSchema, { vectorName: "vector" }),
  upsert,
  updateBatch,
  deletePoints: fromBody(p.DeletePointsSchema, selectsBy("points"), { except: selectorOnly }),
  updateVectors: fromBody(p.UpdatePointVectorsSchema),
  deleteVectors: fromBody(p.DeletePointVectorsSchema, selectsBeside, payloadOptions),
  setPayload: fromBody(p.SetPayloadPointsSchema, selectsBeside, payloadOptions),
  deletePayload: fromBody(p.DeletePayloadPointsSchema, selectsBeside, payloadOptions),
  clearPayload: fromBody(p.ClearPayloadPointsSchema, selectsBy("points"), { except: selectorOnly }),
  getPoints,
  getPoint,
  scroll,
  count: fromBody(p.CountPointsSchema),
  facet: fromBody(p.FacetCountsSchema),
  matrix: fromBody(p.SearchMatrixPointsSchema),
  search: one(p.SearchPointsSchema, readSearch(p.SearchPointsSchema)),
  searchBatch: batch(p.SearchBatchPointsSchema, "searchPoints", readSearch(p.SearchPointsSchema)),
  searchGroups: one(p.SearchPointGroupsSchema, readSearch(p.SearchPointGroupsSchema)),
  recommend: one(p.RecommendPointsSchema, readRecommend(p.RecommendPointsSchema)),
  recommendBatch: batch(p.RecommendBatchPointsSchema, "recommendPoints", readRecommend(p.RecommendPointsSchema)),
  recommendGroups: one(p.RecommendPointGroupsSchema, readRecommend(p.RecommendPointGroupsSchema)),
  discover: one(p.DiscoverPointsSchema, readDiscover),
  discoverBatch: batch(p.DiscoverBatchPointsSchema, "discoverPoints", readDiscover),
  query,
  queryBatch: batch(p.QueryBatchPointsSchema, "queryPoints", readQuery(p.QueryPointsSchema)),
  queryGroups: one(p.QueryPointGroupsSchema, readQuery(p.QueryPointGroupsSchema)),
  createSnapshot: fromPath(s.CreateSnapshotRequestSchema),
  listSnapshots: fromPath(s.ListSnapshotsRequestSchema),
  deleteSnapshot: fromPath(s.DeleteSnapshotRequestSchema, { snapshotName: "snapshot" }),
  createFullSnapshot: fromPath(s.CreateFullSnapshotRequestSchema),
  listFullSnapshots: fromPath(s.ListFullSnapshotsRequestSchema),
  deleteFullSnapshot: fromPath(s.DeleteFullSnapshotRequestSchema, { snapshotName: "snapshot" }),
  ...s5Requests,
} as const satisfies Readonly<Record<string, Build>>;

export type RestRequestName = keyof typeof builders;

/** Throws bad_input. `body`: the JSON text; undefined for a request that has none. */
export function encodeRestRequest(name: RestRequestName, params: RestParams, body: string | undefined): EncodedRequest {
  const json = body === undefined ? null : parseJson(body);
  try {
    return builders[name](json, params);
  } catch (error) {
    // Deeper than the stack holds, and so deeper than anything that is taken.
    if (error instanceof RangeError) throw formatError("recursion limit exceeded", "");
    throw error;
  }
}
