/** Qdrant's /issues, of a server with several threads to which every search is a slow one. */
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { addonBuilt, connectTo, ServerProcess } from "../e2e/server-process.ts";

const key = "the-main-key-of-this-test-0123456789";

let server: ServerProcess;
beforeAll(async () => {
  if (!addonBuilt) return;
  const env = {
    QDRANT__SERVICE__API_KEY: key,
    QDRANT__SERVICE__JWT_RBAC: "true",
    QDRANT__SERVICE__SLOW_QUERY_SECS: "0.0",
    SEALPOINT_RPC_THREADS: "2",
  };
  server = await ServerProcess.start({ logLevel: "warn", env });
  for (const name of ["towns", "ö x"]) {
    const path = `/collections/${encodeURIComponent(name)}`;
    await call("PUT", path, { vectors: { size: 2, distance: "Dot" } });
    const points = [{ id: 1, vector: [1, 2], payload: { city: "Rome", size: 3 } }];
    expect((await call("PUT", `${path}/points?wait=true`, { points })).code).toBe(200);
  }
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
  credential = key,
): Promise<{ code: number; result: Loose }> {
  const { code, json } = await server.rest(method, path, body, { authorization: `Bearer ${credential}` });
  return { code, result: json.result };
}

const issues = async (credential = key): Promise<Loose[]> =>
  (await call("GET", "/issues", undefined, credential)).result.issues;
const ids = async (credential = key): Promise<string[]> => (await issues(credential)).map(({ id }) => id).sort();
/** Searches wait for nobody who looks after them. */
const holds = (...expected: string[]) => vi.waitFor(async () => expect(await ids()).toEqual(expected));
const search = (body: object, name = "towns") =>
  call("POST", `/collections/${encodeURIComponent(name)}/points/query`, { query: [1, 1], ...body });
const inRome = { must: [{ key: "city", match: { value: "Rome" } }] };

describe.skipIf(!addonBuilt)("/issues", () => {
  test("names a field that a slow search filters by, and the index that solves it", async () => {
    await search({});
    expect(await issues()).toEqual([]);
    expect((await search({ filter: inRome })).code).toBe(200);
    await holds("UNINDEXED_FIELD/towns/city");
    const [issue] = await issues();
    expect(issue).toEqual({
      id: "UNINDEXED_FIELD/towns/city",
      description: "Unindexed field 'city' might be slowing queries down in collection 'towns'",
      solution: {
        immediate: {
          message: expect.stringMatching(
            /^Create an index on field 'city' of schema "keyword" in collection 'towns'\./,
          ),
          action: {
            method: "PUT",
            uri: "/collections/towns/index",
            headers: { "content-type": "application/json" },
            body: { field_name: "city", field_schema: "keyword" },
          },
        },
      },
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      related_collection: "towns",
    });
    await search({ filter: inRome });
    await search({ prefetch: { query: [1, 0], filter: { must: [{ key: "size", range: { gte: 1 } }] } } });
    await holds("UNINDEXED_FIELD/towns/city", "UNINDEXED_FIELD/towns/size");
    const all = await issues();
    expect(all[0].timestamp).toBe(issue.timestamp);
    expect(all[1].solution.immediate_choice.map(({ action }: Loose) => action.body.field_schema)).toEqual([
      "float",
      "integer",
    ]);

    const { method, uri, body } = issue.solution.immediate.action;
    expect((await call(method, `${uri}?wait=true`, body)).code).toBe(200);
    await holds("UNINDEXED_FIELD/towns/size");
    await search({ filter: inRome });
    await search({ filter: inRome }, "ö x");
    await holds("UNINDEXED_FIELD/towns/size", "UNINDEXED_FIELD/ö x/city");
    expect((await issues())[1].solution.immediate.action.uri).toBe("/collections/%C3%B6%20x/index");
  });

  test("are shown of what the caller may read, heard of from every thread, and forgotten", async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = `${part({ alg: "HS256", typ: "JWT" })}.${part({ access: [{ collection: "towns", access: "rw" }] })}`;
    const token = `${claims}.${createHmac("sha256", key).update(claims).digest("base64url")}`;
    expect(await ids(token)).toEqual(["UNINDEXED_FIELD/towns/size"]);
    expect((await call("DELETE", "/issues", undefined, token)).code).toBe(403);

    await call("DELETE", `/collections/${encodeURIComponent("ö x")}`);
    await holds("UNINDEXED_FIELD/towns/size");
    expect((await call("DELETE", "/issues")).result).toBe(true);
    expect(await issues()).toEqual([]);

    const grpc = connectTo(server.address, { "api-key": key });
    const field = { key: "tags", match: { matchValue: { case: "keyword" as const, value: "x" } } };
    const filter = { must: [{ conditionOneOf: { case: "field" as const, value: field } }] };
    await grpc.call(Points.method.search, { collectionName: "towns", vector: [1, 1], limit: 1n, filter });
    await holds("UNINDEXED_FIELD/towns/tags");
    await grpc.call(Points.method.createFieldIndex, {
      collectionName: "towns",
      wait: true,
      fieldName: "tags",
      fieldType: 0,
    });
    await holds();
    grpc.close();
  });
});
