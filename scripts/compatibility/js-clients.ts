/** The common table (test/compat/table.json) through Qdrant's two JavaScript clients. A row without a call in a client is left out. */
import { ConnectError } from "@connectrpc/connect";
import { QdrantClient as GrpcClient } from "@qdrant/js-client-grpc";
import { QdrantClient as RestClient } from "@qdrant/js-client-rest";

export type Steps = Readonly<Record<string, () => Promise<string>>>;

const six = [1, 2, 3, 4, 5, 6];
const tagOf = (n: number): string => (n % 2 === 0 ? "even" : "odd");

export function restSteps(port: number): Steps {
  const client = new RestClient({ host: "127.0.0.1", port });
  const name = "table-js-rest";
  const odd = { must: [{ key: "tag", match: { value: "odd" } }] };
  const nearest = [1, 0];
  const byN = { key: "n", direction: "desc" } as const;
  const ids = (points: readonly { readonly id: string | number }[]): string => points.map(({ id }) => id).join(",");
  const ordered = (points: readonly object[]): string =>
    (points as { id: number; order_value?: number }[]).map(({ id, order_value }) => `${id}:${order_value}`).join(",");
  return {
    version: async () => (await client.versionInfo()).title,
    "create a collection": async () =>
      String(await client.createCollection(name, { vectors: { size: 2, distance: "Dot" } })),
    "collection exists": async () => String((await client.collectionExists(name)).exists),
    upsert: async () => {
      const points = six.map((n) => ({ id: n, vector: [n, 1], payload: { n, tag: tagOf(n) } }));
      return (await client.upsert(name, { wait: true, points })).status;
    },
    "payload indexes": async () => {
      await client.createPayloadIndex(name, { wait: true, field_name: "n", field_schema: "integer" });
      const made = await client.createPayloadIndex(name, { wait: true, field_name: "tag", field_schema: "keyword" });
      return made?.status ?? "none";
    },
    count: async () => String((await client.count(name, { exact: true })).count),
    "query: nearest": async () => ids((await client.query(name, { query: nearest, limit: 3 })).points),
    "query: filter": async () => ids((await client.query(name, { query: nearest, filter: odd })).points),
    "query: prefetch and fusion": async () => {
      const prefetch = [
        { query: nearest, limit: 3 },
        { query: nearest, filter: odd, limit: 3 },
      ];
      return ids((await client.query(name, { prefetch, query: { fusion: "rrf" }, limit: 3 })).points);
    },
    "query: recommend": async () =>
      ids((await client.query(name, { query: { recommend: { positive: [6] } }, limit: 3 })).points),
    "query: order_by": async () => ordered((await client.query(name, { query: { order_by: byN }, limit: 2 })).points),
    "query: groups": async () => {
      const request = { query: nearest, group_by: "tag", limit: 2, group_size: 1 };
      return (await client.queryGroups(name, request)).groups.map(({ id, hits }) => `${id}:${ids(hits)}`).join(",");
    },
    scroll: async () => {
      const page = await client.scroll(name, { limit: 3 });
      return `${ids(page.points)} then ${page.next_page_offset}`;
    },
    "scroll: order_by": async () => ordered((await client.scroll(name, { order_by: byN, limit: 3 })).points),
    "scroll: slice": async () => {
      const filter = { must: [{ slice: { total: 2, index: 0 } }] };
      return ids((await client.scroll(name, { filter: filter as never })).points);
    },
    facet: async () =>
      (await client.facet(name, { key: "tag" })).hits.map((hit) => `${hit.value}=${hit.count}`).join(","),
    "set payload and get": async () => {
      await client.setPayload(name, { wait: true, payload: { more: "x" }, points: [1] });
      const [found] = await client.retrieve(name, { ids: [1] });
      return Object.keys(found?.payload ?? {})
        .sort()
        .join(",");
    },
    "delete by filter": async () => {
      await client.delete(name, { wait: true, filter: odd });
      return ids((await client.scroll(name, {})).points);
    },
    "an error's text": async () => {
      const thrown = await client.count("nowhere").catch((error: unknown) => error);
      return (thrown as { data: { status: { error: string } } }).data.status.error;
    },
    "delete a collection": async () => String(await client.deleteCollection(name)),
  };
}

type Id = { readonly id?: { readonly pointIdOptions: { readonly value?: unknown } } };
type Ordered = Id & { readonly orderValue?: { readonly variant: { readonly value?: unknown } } };

/** Without slices: its messages are those of Qdrant 1.18. */
export function grpcSteps(port: number): Steps {
  const client = new GrpcClient({ host: "127.0.0.1", port });
  const collectionName = "table-js-grpc";
  const collections = client.api("collections");
  const points = client.api("points");
  const wait = true;
  const num = (n: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(n) } });
  const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
  const keyword = { matchValue: { case: "keyword" as const, value: "odd" } };
  const odd = { must: [{ conditionOneOf: { case: "field" as const, value: { key: "tag", match: keyword } } }] };
  const vector = { variant: { case: "dense" as const, value: { data: [1, 0] } } };
  const nearest = { variant: { case: "nearest" as const, value: vector } };
  const byN = { key: "n", direction: 1 };
  const ids = (found: readonly Id[]): string => found.map(({ id }) => String(id?.pointIdOptions.value)).join(",");
  const ordered = (found: readonly Ordered[]): string =>
    found.map((point) => `${ids([point])}:${point.orderValue?.variant.value}`).join(",");
  const status = (result: { readonly status: number } | undefined): string =>
    result?.status === 2 ? "completed" : String(result?.status);
  const query = async (request: object): Promise<string> =>
    ids((await points.query({ collectionName, ...request })).result);
  return {
    version: async () => (await client.api("service").healthCheck({})).title,
    "create a collection": async () => {
      const vectorsConfig = { config: { case: "params" as const, value: { size: 2n, distance: 3 } } };
      return String((await collections.create({ collectionName, vectorsConfig })).result);
    },
    "collection exists": async () => String((await collections.collectionExists({ collectionName })).result?.exists),
    upsert: async () => {
      const all = six.map((n) => ({
        id: num(n),
        vectors: {
          vectorsOptions: {
            case: "vector" as const,
            value: { vector: { case: "dense" as const, value: { data: [n, 1] } } },
          },
        },
        payload: { n: { kind: { case: "integerValue" as const, value: BigInt(n) } }, tag: text(tagOf(n)) },
      }));
      return status((await points.upsert({ collectionName, wait, points: all })).result);
    },
    "payload indexes": async () => {
      await points.createFieldIndex({ collectionName, wait, fieldName: "n", fieldType: 1 });
      return status((await points.createFieldIndex({ collectionName, wait, fieldName: "tag", fieldType: 0 })).result);
    },
    count: async () => String((await points.count({ collectionName, exact: true })).result?.count),
    "query: nearest": () => query({ query: nearest, limit: 3n }),
    "query: filter": () => query({ query: nearest, filter: odd }),
    "query: prefetch and fusion": () =>
      query({
        prefetch: [
          { query: nearest, limit: 3n },
          { query: nearest, filter: odd, limit: 3n },
        ],
        query: { variant: { case: "fusion", value: 0 } },
        limit: 3n,
      }),
    "query: recommend": () => {
      const positive = [{ variant: { case: "id", value: num(6) } }];
      return query({ query: { variant: { case: "recommend", value: { positive } } }, limit: 3n });
    },
    "query: order_by": async () => {
      const request = { query: { variant: { case: "orderBy" as const, value: byN } }, limit: 2n };
      return ordered((await points.query({ collectionName, ...request })).result);
    },
    "query: groups": async () => {
      const request = { query: nearest, groupBy: "tag", limit: 2n, groupSize: 1n };
      const { result } = await points.queryGroups({ collectionName, ...request });
      return (result?.groups ?? []).map(({ id, hits }) => `${id?.kind.value}:${ids(hits)}`).join(",");
    },
    search: async () => ids((await points.search({ collectionName, vector: [1, 0], limit: 2n })).result),
    scroll: async () => {
      const page = await points.scroll({ collectionName, limit: 3 });
      return `${ids(page.result)} then ${page.nextPageOffset?.pointIdOptions.value}`;
    },
    "scroll: order_by": async () => ordered((await points.scroll({ collectionName, orderBy: byN, limit: 3 })).result),
    facet: async () => {
      const { hits } = await points.facet({ collectionName, key: "tag" });
      return hits.map(({ value, count }) => `${value?.variant.value}=${count}`).join(",");
    },
    "set payload and get": async () => {
      const pointsSelector = { pointsSelectorOneOf: { case: "points" as const, value: { ids: [num(1)] } } };
      await points.setPayload({ collectionName, wait, payload: { more: text("x") }, pointsSelector });
      const withPayload = { selectorOptions: { case: "enable" as const, value: true } };
      const { result } = await points.get({ collectionName, ids: [num(1)], withPayload });
      return Object.keys(result[0]?.payload ?? {})
        .sort()
        .join(",");
    },
    "delete by filter": async () => {
      await points.delete({ collectionName, wait, points: { pointsSelectorOneOf: { case: "filter", value: odd } } });
      return ids((await points.scroll({ collectionName })).result);
    },
    "an error's text": async () => {
      const thrown = await points.count({ collectionName: "nowhere" }).catch((error: unknown) => error);
      return ConnectError.from(thrown).rawMessage;
    },
    "delete a collection": async () => String((await collections.delete({ collectionName })).result),
  };
}
