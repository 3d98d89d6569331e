/** JSON schemas of REST bodies, by the descriptors of the messages that they become. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import * as c from "../../../gen/qdrant/collections_pb.js";
import * as v from "../../../gen/qdrant/json_with_int_pb.js";
import * as p from "../../../gen/qdrant/points_pb.js";
import * as q from "../../../gen/qdrant/qdrant_common_pb.js";
import { enumNames, isRequired, jsonName } from "./read.ts";
import type { RestRequestName } from "./requests.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Schema = { readonly [key: string]: Json };

const components: Record<string, Schema> = {};

const text: Schema = { type: "string" };
const number: Schema = { type: "number" };
const boolean: Schema = { type: "boolean" };
const object: Schema = { type: "object" };
const integer: Schema = { type: "integer", minimum: -9007199254740991, maximum: 9007199254740991 };
const count: Schema = { type: "integer", minimum: 0, maximum: 4294967295 };
const list = (items: Schema): Schema => ({ type: "array", items });
const any = (...of: readonly Schema[]): Schema => ({ anyOf: of });
const fields = (properties: Readonly<Record<string, Schema>>, ...required: readonly string[]): Schema => ({
  type: "object",
  properties,
  ...(required.length === 0 ? {} : { required }),
});
const reference = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** Messages whose JSON is another than their fields, as the readers have it. */
const specials: Readonly<Record<string, () => Schema>> = {
  [v.ValueSchema.typeName]: () => ({}),
  [q.PointIdSchema.typeName]: () => any({ type: "integer", minimum: 0 }, { type: "string", format: "uuid" }),
  [p.DenseVectorSchema.typeName]: () => list(number),
  [p.MultiDenseVectorSchema.typeName]: () => list(list(number)),
  [p.VectorSchema.typeName]: () =>
    any(list(number), list(list(number)), of(p.SparseVectorSchema), of(p.DocumentSchema)),
  [p.VectorInputSchema.typeName]: () => any(of(q.PointIdSchema), of(p.VectorSchema)),
  [p.VectorExampleSchema.typeName]: () => any(of(q.PointIdSchema), of(p.VectorSchema)),
  [p.TargetVectorSchema.typeName]: () => of(p.VectorExampleSchema),
  [p.VectorsSchema.typeName]: () =>
    any(of(p.VectorSchema), { type: "object", additionalProperties: of(p.VectorSchema) }),
  [p.WithPayloadSelectorSchema.typeName]: () =>
    any(boolean, list(text), fields({ include: list(text) }, "include"), fields({ exclude: list(text) }, "exclude")),
  [p.WithVectorsSelectorSchema.typeName]: () => any(boolean, list(text)),
  [p.VectorsSelectorSchema.typeName]: () => list(text),
  [p.PointsSelectorSchema.typeName]: () =>
    any(fields({ points: list(of(q.PointIdSchema)) }, "points"), fields({ filter: of(q.FilterSchema) }, "filter")),
  [c.ShardKeySchema.typeName]: () => any(text, count),
  [p.ShardKeySelectorSchema.typeName]: () => any(of(c.ShardKeySchema), list(of(c.ShardKeySchema))),
  [p.OrderBySchema.typeName]: () => any(text, fieldsOf(p.OrderBySchema)),
  [p.StartFromSchema.typeName]: () => any(integer, number, text),
  [p.IdfParamsSchema.typeName]: () => any({ type: "string", enum: ["global"] }, fieldsOf(p.IdfParamsSchema)),
  [p.WithLookupSchema.typeName]: () => any(text, fieldsOf(p.WithLookupSchema)),
  [p.ContextInputSchema.typeName]: () => any(of(p.ContextInputPairSchema), list(of(p.ContextInputPairSchema))),
  [p.QuerySchema.typeName]: () =>
    any(
      of(p.VectorInputSchema),
      fields({ nearest: of(p.VectorInputSchema), mmr: of(p.MmrSchema) }, "nearest"),
      fields({ recommend: of(p.RecommendInputSchema) }, "recommend"),
      fields({ discover: of(p.DiscoverInputSchema) }, "discover"),
      fields({ context: of(p.ContextInputSchema) }, "context"),
      fields({ relevance_feedback: of(p.RelevanceFeedbackInputSchema) }, "relevance_feedback"),
      fields({ order_by: of(p.OrderBySchema) }, "order_by"),
      fields({ fusion: { type: "string", enum: ["rrf", "dbsf"] } }, "fusion"),
      fields({ rrf: of(p.RrfSchema) }, "rrf"),
      fields({ sample: { type: "string", enum: ["random"] } }, "sample"),
      fields({ formula: of(p.ExpressionSchema), defaults: object }, "formula"),
    ),
  [p.ExpressionSchema.typeName]: () =>
    any(
      number,
      text,
      of(q.ConditionSchema),
      fields({ mult: list(of(p.ExpressionSchema)) }, "mult"),
      fields({ sum: list(of(p.ExpressionSchema)) }, "sum"),
      fields({ neg: of(p.ExpressionSchema) }, "neg"),
      fields({ div: of(p.DivExpressionSchema) }, "div"),
      fields({ pow: of(p.PowExpressionSchema) }, "pow"),
      fields({ geo_distance: of(p.GeoDistanceSchema) }, "geo_distance"),
      fields({ gauss_decay: of(p.DecayParamsExpressionSchema) }, "gauss_decay"),
    ),
  [q.FilterSchema.typeName]: () => {
    const conditions = any(of(q.ConditionSchema), list(of(q.ConditionSchema)));
    return {
      ...fields({ should: conditions, must: conditions, must_not: conditions, min_should: of(q.MinShouldSchema) }),
      additionalProperties: false,
    };
  },
  [q.ConditionSchema.typeName]: () =>
    any(
      of(q.FieldConditionSchema),
      of(q.HasIdConditionSchema),
      fields({ is_empty: fields({ key: text }, "key") }, "is_empty"),
      fields({ is_null: fields({ key: text }, "key") }, "is_null"),
      fields({ nested: of(q.NestedConditionSchema) }, "nested"),
      fields({ has_vector: text }, "has_vector"),
      of(q.FilterSchema),
    ),
  [q.MatchSchema.typeName]: () =>
    any(
      fields({ value: any(text, integer, boolean) }, "value"),
      fields({ text }, "text"),
      fields({ text_any: text }, "text_any"),
      fields({ phrase: text }, "phrase"),
      fields({ prefix: text }, "prefix"),
      fields({ any: any(list(text), list(integer)) }, "any"),
      fields({ except: any(list(text), list(integer)) }, "except"),
    ),
  [q.RangeSchema.typeName]: () => {
    const bound = any(number, { type: "string", format: "date-time" });
    return fields({ lt: bound, lte: bound, gt: bound, gte: bound });
  },
  [c.VectorsConfigSchema.typeName]: () =>
    any(of(c.VectorParamsSchema), { type: "object", additionalProperties: of(c.VectorParamsSchema) }),
  [c.VectorsConfigDiffSchema.typeName]: () => ({ type: "object", additionalProperties: of(c.VectorParamsDiffSchema) }),
  [c.SparseVectorConfigSchema.typeName]: () => ({
    type: "object",
    additionalProperties: of(c.SparseVectorParamsSchema),
  }),
  [c.StrictModeSparseConfigSchema.typeName]: () => ({
    type: "object",
    additionalProperties: of(c.StrictModeSparseSchema),
  }),
  [c.StrictModeMultivectorConfigSchema.typeName]: () => ({
    type: "object",
    additionalProperties: of(c.StrictModeMultivectorSchema),
  }),
  [c.QuantizationConfigDiffSchema.typeName]: () =>
    any({ type: "string", enum: ["Disabled"] }, of(c.QuantizationConfigSchema)),
  [c.MaxOptimizationThreadsSchema.typeName]: () => any(count, { type: "string", enum: ["auto"] }),
  [c.BinaryQuantizationQueryEncodingSchema.typeName]: () => ({
    type: "string",
    enum: ["default", "binary", "scalar4bits", "scalar8bits"],
  }),
};

/** A schema by reference; made at its first use. */
function of(desc: DescMessage): Schema {
  const { name } = desc;
  if (components[name] === undefined) {
    components[name] = {};
    components[name] = specials[desc.typeName]?.() ?? fieldsOf(desc);
  }
  return reference(name);
}

function fieldsOf(desc: DescMessage, request = false): Schema {
  const properties: Record<string, Schema> = {};
  const required: string[] = [];
  for (const field of desc.fields) {
    const name = jsonName(field, request);
    if (name === null) continue;
    properties[name] = fieldSchema(field);
    if (isRequired(field)) required.push(name);
  }
  return fields(properties, ...required);
}

function fieldSchema(field: DescField): Schema {
  switch (field.fieldKind) {
    case "scalar":
      return scalar(field.scalar);
    case "enum":
      return { type: "string", enum: [...enumNames(field.enum).keys()] };
    case "message":
      return of(field.message);
    case "list":
      return list(
        field.listKind === "message" ? of(field.message) : field.listKind === "scalar" ? scalar(field.scalar) : text,
      );
    case "map":
      return { type: "object", additionalProperties: field.mapKind === "message" ? of(field.message) : {} };
  }
}

/** By protobuf's numbers: 1 double, 2 float, 3 int64, 8 bool, 9 string; the rest are counts. */
function scalar(type: number): Schema {
  if (type === 1 || type === 2) return number;
  if (type === 3) return integer;
  if (type === 8) return boolean;
  return type === 9 ? text : count;
}

const request = (
  desc: DescMessage,
  more: Readonly<Record<string, Schema>> = {},
  without: readonly string[] = [],
): Schema => {
  const made = fieldsOf(desc, true) as { properties: Record<string, Schema> };
  const properties = { ...made.properties, ...more };
  for (const name of without) delete properties[name];
  return { ...made, properties };
};

/** What stands beside a selector of points. */
const selecting = (desc: DescMessage): Schema =>
  request(desc, { points: list(of(q.PointIdSchema)), filter: of(q.FilterSchema) }, ["points_selector"]);

const searches = (one: Schema): Schema => fields({ searches: list(one) }, "searches");

function makeBodies(): Readonly<Partial<Record<RestRequestName, Schema>>> {
  const point = fields(
    { id: of(q.PointIdSchema), vector: of(p.VectorsSchema), payload: object, public_key: text },
    "id",
    "vector",
  );
  const columns = fields(
    {
      ids: list(of(q.PointIdSchema)),
      vectors: any(list(of(p.VectorSchema)), { type: "object", additionalProperties: list(of(p.VectorSchema)) }),
      payloads: list(object),
    },
    "ids",
    "vectors",
  );
  const beside = {
    update_filter: of(q.FilterSchema),
    update_mode: { type: "string", enum: ["upsert", "insert_only", "update_only"] },
  };
  const upsert = any(
    fields({ points: list(point), ...beside, public_key: text, fresh_ephemeral: boolean }, "points"),
    fields({ batch: columns, ...beside, public_key: text, fresh_ephemeral: boolean }, "batch"),
  );
  const plainVector = any(
    list(number),
    fields({ name: text, vector: any(list(number), of(p.SparseVectorSchema)) }, "name", "vector"),
  );
  const search = request(p.SearchPointsSchema, { vector: plainVector }, ["sparse_indices"]);
  const examples = { positive: list(of(p.VectorExampleSchema)), negative: list(of(p.VectorExampleSchema)) };
  const vectors = ["positive_vectors", "negative_vectors"];
  const recommend = request(p.RecommendPointsSchema, examples, vectors);
  const discover = request(p.DiscoverPointsSchema);
  const query = request(p.QueryPointsSchema);
  const setPayload = selecting(p.SetPayloadPointsSchema);
  const selector = of(p.PointsSelectorSchema);
  const operations = {
    upsert,
    set_payload: setPayload,
    overwrite_payload: setPayload,
    delete_payload: selecting(p.DeletePayloadPointsSchema),
    clear_payload: selector,
    delete: selector,
    update_vectors: request(p.UpdatePointVectorsSchema),
    delete_vectors: selecting(p.DeletePointVectorsSchema),
  };
  return {
    createCollection: request(c.CreateCollectionSchema),
    updateCollection: request(c.UpdateCollectionSchema),
    updateAliases: request(c.ChangeAliasesSchema),
    createIndex: fields(
      {
        field_name: text,
        field_schema: any({ type: "string", enum: [...enumNames(p.FieldTypeSchema).keys()] }, object),
      },
      "field_name",
      "field_schema",
    ),
    createVector: any(
      fields({ dense: of(p.DenseVectorCreationConfigSchema) }, "dense"),
      fields({ sparse: of(p.SparseVectorCreationConfigSchema) }, "sparse"),
    ),
    upsert,
    updateBatch: fields(
      {
        operations: list(any(...Object.entries(operations).map(([name, schema]) => fields({ [name]: schema }, name)))),
      },
      "operations",
    ),
    deletePoints: selector,
    clearPayload: selector,
    updateVectors: request(p.UpdatePointVectorsSchema),
    deleteVectors: selecting(p.DeletePointVectorsSchema),
    setPayload,
    deletePayload: selecting(p.DeletePayloadPointsSchema),
    getPoints: request(p.GetPointsSchema),
    scroll: request(p.ScrollPointsSchema),
    count: request(p.CountPointsSchema),
    facet: request(p.FacetCountsSchema),
    matrix: request(p.SearchMatrixPointsSchema),
    search,
    searchBatch: searches(search),
    searchGroups: request(p.SearchPointGroupsSchema, { vector: plainVector }, ["sparse_indices"]),
    recommend,
    recommendBatch: searches(recommend),
    recommendGroups: request(p.RecommendPointGroupsSchema, examples, vectors),
    discover,
    discoverBatch: searches(discover),
    query,
    queryBatch: searches(query),
    queryGroups: request(p.QueryPointGroupsSchema),
  };
}

export const restSchemas = { bodies: makeBodies(), components: components as Readonly<Record<string, Schema>> };
