/** Qdrant's REST routes: each is an RPC, with the JSON of its request and of its answer. /openapi.json is made from this table. */
import type { RestAnswerName, RestRequestName } from "../../wire/index.ts";

export interface Route {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** With `:name` and the like. */
  readonly url: string;
  readonly rpc: string;
  readonly request: RestRequestName;
  readonly answer: RestAnswerName;
  readonly body: boolean;
  readonly tag: string;
  readonly summary: string;
}

type Row = readonly [
  method: Route["method"],
  url: string,
  rpc: string,
  request: RestRequestName,
  answer: RestAnswerName,
  summary: string,
];

const c = "/collections/:name";
const point = `${c}/points`;

const collections: readonly Row[] = [
  ["GET", "/collections", "List", "listCollections", "collections", "List collections"],
  ["GET", c, "Get", "getCollection", "collection", "Collection info"],
  ["PUT", c, "Create", "createCollection", "done", "Create a collection"],
  ["PATCH", c, "Update", "updateCollection", "done", "Update a collection's parameters"],
  ["DELETE", c, "Delete", "deleteCollection", "done", "Delete a collection"],
  ["GET", `${c}/exists`, "CollectionExists", "collectionExists", "exists", "Whether a collection exists"],
  ["POST", "/collections/aliases", "UpdateAliases", "updateAliases", "done", "Create, rename and delete aliases"],
  ["GET", "/aliases", "ListAliases", "listAliases", "aliases", "List all aliases"],
  ["GET", `${c}/aliases`, "ListCollectionAliases", "listCollectionAliases", "aliases", "List a collection's aliases"],
  ["GET", `${c}/cluster`, "CollectionClusterInfo", "clusterInfo", "cluster", "A collection's shards"],
  ["POST", `${c}/cluster`, "UpdateCollectionClusterSetup", "updateCluster", "done", "Change a collection's shards"],
  ["GET", `${c}/shards`, "ListShardKeys", "listShardKeys", "shardKeys", "List shard keys"],
  ["PUT", `${c}/shards`, "CreateShardKey", "createShardKey", "done", "Create a shard key"],
  ["POST", `${c}/shards/delete`, "DeleteShardKey", "deleteShardKey", "done", "Delete a shard key"],
];

const points: readonly Row[] = [
  ["PUT", `${c}/index`, "CreateFieldIndex", "createIndex", "update", "Create a payload index"],
  ["DELETE", `${c}/index/:field`, "DeleteFieldIndex", "deleteIndex", "update", "Delete a payload index"],
  ["PUT", `${c}/vectors/:vector`, "CreateVectorName", "createVector", "update", "Add a named vector"],
  ["DELETE", `${c}/vectors/:vector`, "DeleteVectorName", "deleteVector", "update", "Delete a named vector"],
  ["PUT", point, "Upsert", "upsert", "update", "Upsert points"],
  ["POST", point, "Get", "getPoints", "records", "Get points by ids"],
  ["GET", `${point}/:id`, "Get", "getPoint", "record", "Get one point"],
  ["POST", `${point}/delete`, "Delete", "deletePoints", "update", "Delete points"],
  ["PUT", `${point}/vectors`, "UpdateVectors", "updateVectors", "update", "Update vectors"],
  ["POST", `${point}/vectors/delete`, "DeleteVectors", "deleteVectors", "update", "Delete vectors"],
  ["POST", `${point}/payload`, "SetPayload", "setPayload", "update", "Set payload"],
  ["PUT", `${point}/payload`, "OverwritePayload", "setPayload", "update", "Overwrite payload"],
  ["POST", `${point}/payload/delete`, "DeletePayload", "deletePayload", "update", "Delete payload keys"],
  ["POST", `${point}/payload/clear`, "ClearPayload", "clearPayload", "update", "Clear payload"],
  ["POST", `${point}/batch`, "UpdateBatch", "updateBatch", "updates", "Updates of several kinds, in order"],
  ["POST", `${point}/scroll`, "Scroll", "scroll", "scrolled", "Scroll points"],
  ["POST", `${point}/count`, "Count", "count", "count", "Count points"],
  ["POST", `${c}/facet`, "Facet", "facet", "facet", "Facet a payload key"],
  ["POST", `${point}/search`, "Search", "search", "scoredList", "Search"],
  ["POST", `${point}/search/batch`, "SearchBatch", "searchBatch", "scoredLists", "Search in batch"],
  ["POST", `${point}/search/groups`, "SearchGroups", "searchGroups", "groups", "Search groups"],
  ["POST", `${point}/recommend`, "Recommend", "recommend", "scoredList", "Recommend"],
  ["POST", `${point}/recommend/batch`, "RecommendBatch", "recommendBatch", "scoredLists", "Recommend in batch"],
  ["POST", `${point}/recommend/groups`, "RecommendGroups", "recommendGroups", "groups", "Recommend groups"],
  ["POST", `${point}/discover`, "Discover", "discover", "scoredList", "Discover"],
  ["POST", `${point}/discover/batch`, "DiscoverBatch", "discoverBatch", "scoredLists", "Discover in batch"],
  ["POST", `${point}/query`, "Query", "query", "queryPoints", "Query points"],
  ["POST", `${point}/query/batch`, "QueryBatch", "queryBatch", "queryBatch", "Query points in batch"],
  ["POST", `${point}/query/groups`, "QueryGroups", "queryGroups", "groups", "Query points by groups"],
  ["POST", `${point}/search/matrix/pairs`, "SearchMatrixPairs", "matrix", "matrixPairs", "Distance matrix as pairs"],
  [
    "POST",
    `${point}/search/matrix/offsets`,
    "SearchMatrixOffsets",
    "matrix",
    "matrixOffsets",
    "Distance matrix as offsets",
  ],
];

const snapshots: readonly Row[] = [
  ["GET", `${c}/snapshots`, "List", "listSnapshots", "snapshots", "List a collection's snapshots"],
  ["POST", `${c}/snapshots`, "Create", "createSnapshot", "snapshot", "Create a snapshot of a collection"],
  ["DELETE", `${c}/snapshots/:snapshot`, "Delete", "deleteSnapshot", "yes", "Delete a collection's snapshot"],
  ["GET", "/snapshots", "ListFull", "listFullSnapshots", "snapshots", "List snapshots of the whole storage"],
  ["POST", "/snapshots", "CreateFull", "createFullSnapshot", "snapshot", "Create a snapshot of the whole storage"],
  [
    "DELETE",
    "/snapshots/:snapshot",
    "DeleteFull",
    "deleteFullSnapshot",
    "yes",
    "Delete a snapshot of the whole storage",
  ],
];

/** The streams of S5 (load, watch, refresh) are s5-streams.ts's. */
const s5: readonly Row[] = [
  ["POST", "/sealpoint/v1/s5/status", "Status", "s5Status", "s5Status", "How far a load is"],
  ["POST", "/sealpoint/v1/s5/search", "Search", "s5Search", "s5Search", "Search an S5 session"],
  ["POST", "/sealpoint/v1/s5/upload", "Upload", "s5Upload", "s5Upload", "Upload vectors into an S5 session"],
  ["GET", "/sealpoint/v1/s5/list", "List", "s5List", "s5List", "List S5 sessions and loads"],
  ["POST", "/sealpoint/v1/s5/cancel", "Cancel", "s5Cancel", "s5Cancel", "Cancel a load"],
  ["POST", "/sealpoint/v1/s5/close", "Close", "s5Close", "s5Close", "Close an S5 session"],
  ["GET", "/sealpoint/v1/s5/health", "Health", "s5Health", "s5Health", "Whether the S5 portals can be reached"],
];

/** Written without a body, though the method might have one. */
const bodiless = new Set<RestRequestName>(["createSnapshot", "createFullSnapshot"]);

function toRoutes(service: string, rows: readonly Row[]): Route[] {
  return rows.map(([method, url, rpc, request, answer, summary]) => ({
    method,
    url,
    rpc: `/${service}/${rpc}`,
    request,
    answer,
    body: method !== "GET" && method !== "DELETE" && !bodiless.has(request),
    tag: service.slice(service.lastIndexOf(".") + 1),
    summary,
  }));
}

export const routes: readonly Route[] = [
  ...toRoutes("qdrant.Collections", collections),
  ...toRoutes("qdrant.Points", points),
  ...toRoutes("qdrant.Snapshots", snapshots),
  ...toRoutes("sealpoint.v1.S5", s5),
];
