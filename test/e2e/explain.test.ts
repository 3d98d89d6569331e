/** sealpoint.v1.Diagnostics/Explain over the wire: ways of searching, counts, temporary indexes, sealed collections, access. */
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { FieldType } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { PlanNode_Access as Access, Diagnostics, Strategy } from "../../gen/sealpoint/v1/diagnostics_pb.js";
import { generateKeyPair } from "../../src/seal/index.ts";
import { countOf, dense, integer, keyword, makeCollection, num, text } from "./messages.ts";
import { addonBuilt, type Call, connectTo, failure, ServerProcess } from "./server-process.ts";

const { explain } = Diagnostics.method;
const key = "the-main-key-of-this-test";
const size = 16;
const points = 4_000;
const colours = ["red", "green", "blue", "grey"] as const;

let server: ServerProcess;
let client: Call;
let collectionName: string;

/** The same vectors each time, spread over the sphere. */
const vector = (id: number) => Array.from({ length: size }, (_, i) => Math.sin((id + 1) * (i + 1) * 12.9898));
const point = (id: number) => ({
  id: num(id),
  vectors: dense(...vector(id)),
  payload: { half: integer(id % 2), colour: text(colours[id % 4] as string), tenth: integer(id % 10) },
});
const among = (key: string, value: number) => ({
  conditionOneOf: {
    case: "field" as const,
    value: { key, match: { matchValue: { case: "integer" as const, value: BigInt(value) } } },
  },
});
const byVector = { variant: { case: "dense" as const, value: { data: vector(7) } } };

beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({
    logLevel: "warn",
    env: { SEALPOINT_API_KEY: key, SEALPOINT_JWT_RBAC: "1" },
  });
  client = connectTo(server.address, { "api-key": key });
  collectionName = "explained";
  await client.call(Collections.method.create, {
    collectionName,
    vectorsConfig: { config: { case: "params", value: { size: BigInt(size), distance: Distance.Cosine } } },
    optimizersConfig: { indexingThreshold: 10n },
    hnswConfig: { fullScanThreshold: 10n },
  });
  for (let first = 0; first < points; first += 500) {
    const batch = Array.from({ length: 500 }, (_, i) => point(first + i));
    await client.call(Points.method.upsert, { collectionName, wait: true, points: batch });
  }
  for (const fieldName of ["half", "tenth"]) {
    await client.call(Points.method.createFieldIndex, {
      collectionName,
      fieldName,
      fieldType: FieldType.FieldTypeInteger,
      wait: true,
    });
  }
  for (let i = 0; i < 400; i++) {
    const { result } = await client.call(Collections.method.get, { collectionName });
    if (Number(result?.indexedVectorsCount) === points) return;
    await sleep(50);
  }
  throw new Error("the vectors were not indexed");
}, 60_000);
afterAll(async () => {
  client?.close();
  await server?.stop();
});

describe.runIf(addonBuilt)("Explain", () => {
  test.each([
    ["a graph walk without a filter", {}, { hnswEf: 4n }, Strategy.WALK, points],
    [
      "a masked walk for half of the points",
      { filter: { must: [among("half", 1)] } },
      { hnswEf: 4n },
      Strategy.MASKED_WALK,
      2_000,
    ],
    [
      "a scan of few matches",
      { filter: { must: [among("half", 1), among("tenth", 3)] } },
      {},
      Strategy.MATCHES_SCAN,
      400,
    ],
    ["a full scan when it is asked to be exact", {}, { exact: true }, Strategy.FULL_SCAN, points],
    [
      "an exact scan under a filter",
      { filter: { must: [among("tenth", 3)] } },
      { exact: true },
      Strategy.FULL_SCAN,
      400,
    ],
  ])("tells %s", async (_, request, params, strategy, matches) => {
    const answer = await client.call(explain, { collectionName, query: byVector, limit: 1n, params, ...request });
    expect(answer).toMatchObject({ strategy, points: BigInt(points), matches: BigInt(matches), exact: true });
    expect(answer.times?.searchUs).toBeGreaterThan(0n);
    const { walked = 0, walkedMasked = 0, codesScanned = 0, segmentsScanned = 0 } = answer.search ?? {};
    expect({
      walked: walked > 0,
      masked: walkedMasked > 0,
      codes: codesScanned > 0,
      rows: segmentsScanned > 0,
    }).toEqual({
      walked: strategy === Strategy.WALK,
      masked: strategy === Strategy.MASKED_WALK,
      codes: strategy === Strategy.MATCHES_SCAN,
      rows: strategy === Strategy.FULL_SCAN,
    });
  });

  test("estimates hold the true number, which Count gives too, and unindexed conditions are judged", async () => {
    const filter = {
      must: [
        among("half", 0),
        {
          conditionOneOf: {
            case: "field" as const,
            value: {
              key: "colour",
              match: { matchValue: { case: "keywords" as const, value: { strings: ["red", "none"] } } },
            },
          },
        },
      ],
    };
    const answer = await client.call(explain, { collectionName, filter });
    const { result } = await client.call(Points.method.count, { collectionName, filter, exact: true });
    expect(result?.count).toBe(1_000n);
    expect(answer).toMatchObject({ strategy: Strategy.FILTER, matches: 1_000n, candidates: 2_000n, exact: false });
    expect(answer.times?.judgeUs).toBeGreaterThan(0n);
    const found: Record<string, { access: Access; matches: bigint | undefined }> = {};
    const collect = (node: typeof answer.plan): void => {
      if (node === undefined) return;
      const { min, expected, max } = node.estimate ?? { min: 1n, expected: 0n, max: 0n };
      expect(min <= expected && expected <= max, `${node.condition} ${node.key}`).toBe(true);
      if (node.matches !== undefined) expect(node.matches >= min && node.matches <= max, node.key).toBe(true);
      if (node.key !== "") found[node.key] = { access: node.access, matches: node.matches };
      node.children.forEach(collect);
    };
    collect(answer.plan);
    expect(found).toEqual({
      half: { access: Access.INDEX, matches: 2_000n },
      colour: { access: Access.JUDGED, matches: 1_000n },
    });
  });

  test("a temporary index appears at the second use, is told, and changes no answer", async () => {
    const filter = { must: [keyword("colour", "blue")] };
    const ids = async () =>
      (await client.call(Points.method.scroll, { collectionName, filter, limit: 2_000 })).result.map(
        ({ id }) => id?.pointIdOptions.value,
      );
    const before = await client.call(explain, { collectionName, filter });
    expect(before).toMatchObject({ temporaryIndexes: [], matches: 1_000n, exact: false });
    const first = await ids();
    let after = await client.call(explain, { collectionName, filter });
    for (let i = 0; i < 200 && after.temporaryIndexes.length === 0; i++) {
      await sleep(25);
      after = await client.call(explain, { collectionName, filter });
    }
    expect(after.temporaryIndexes).toMatchObject([{ key: "colour", indexType: "keyword", points: BigInt(points) }]);
    expect(after.temporaryIndexes[0]?.bytes).toBeGreaterThan(0n);
    expect(after).toMatchObject({ matches: 1_000n, candidates: 1_000n, exact: true });
    expect(await ids()).toEqual(first);
    expect(first).toEqual(Array.from({ length: 1_000 }, (_, i) => BigInt(4 * i + 2)));
    const info = await client.call(Collections.method.get, { collectionName });
    expect(Object.keys(info.result?.payloadSchema ?? {}).sort()).toEqual(["half", "tenth"]);
    // It goes on knowing what is written.
    await client.call(Points.method.upsert, { collectionName, wait: true, points: [{ ...point(2), payload: {} }] });
    expect(await client.call(explain, { collectionName, filter })).toMatchObject({ matches: 999n, exact: true });
    expect((await ids()).length).toBe(999);
    await client.call(Points.method.upsert, { collectionName, wait: true, points: [point(2)] });
  });

  test("sealed collections obey their policy", async () => {
    const own = await makeCollection(client);
    const { publicKeyPem: publicKey } = generateKeyPair();
    const payload = { colour: text("red") };
    await client.call(Points.method.upsert, {
      collectionName: own,
      wait: true,
      points: [
        { id: num(1), vectors: dense(1, 0), payload },
        { id: num(2), vectors: dense(0, 1), payload, publicKey },
      ],
    });
    const filter = { must: [keyword("colour", "red")] };
    const answer = await client.call(explain, { collectionName: own, filter });
    expect(answer).toMatchObject({ points: 2n, matches: 1n, sealedSkipped: 1n });
    expect(await countOf(client, own)).toBe(2);
  });

  test("names what is wrong, and is guarded as a search is", async () => {
    expect(await failure(client.call(explain, { collectionName: "none" }))).toMatchObject({ code: status.NOT_FOUND });
    const short = { variant: { case: "dense" as const, value: { data: [1, 2] } } };
    const wrong = await failure(client.call(explain, { collectionName, query: short }));
    expect(wrong).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(wrong.details).toContain("expected dim: 16, got 2");
    const none = await failure(client.call(explain, { collectionName, query: byVector, limit: 0n }));
    expect(none.details).toContain("limit: value 0 invalid, must be 1 or larger");
    const sign = (access: object[]) =>
      new SignJWT({ access, exp: Math.floor(Date.now() / 1_000) + 600 })
        .setProtectedHeader({ alg: "HS256", typ: "JWT" })
        .sign(new TextEncoder().encode(key));
    const reader = connectTo(server.address, { "api-key": await sign([{ collection: collectionName, access: "r" }]) });
    const stranger = connectTo(server.address, { "api-key": await sign([{ collection: "other", access: "rw" }]) });
    expect((await reader.call(explain, { collectionName })).points).toBe(BigInt(points));
    expect((await failure(stranger.call(explain, { collectionName }))).code).toBe(status.PERMISSION_DENIED);
    reader.close();
    stranger.close();
  });
});
