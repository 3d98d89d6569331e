/** Distance matrices over a socket: both forms against scores that are worked out here. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { startTestServer, type TestServer } from "./server.ts";

const collectionName = "matrix";
const count = 12;
const vectors = Array.from({ length: count }, (_, at) => [Math.cos(at * at), Math.sin(at * 3), at / 10]);
const even = {
  must: [
    {
      conditionOneOf: {
        case: "field" as const,
        value: { key: "parity", match: { matchValue: { case: "integer" as const, value: 0n } } },
      },
    },
  ],
};
let server: TestServer;

/** The `limit` nearest by dot product of each member among the members. */
function expected(members: readonly number[], limit: number): [a: number, b: number, score: number][] {
  const dot = (a: number, b: number) =>
    (vectors[a] as number[]).reduce((sum, value, axis) => sum + value * (vectors[b]?.[axis] as number), 0);
  return members.flatMap((a) =>
    members
      .filter((b) => b !== a)
      .map((b): [number, number, number] => [a, b, dot(a, b)])
      .sort((left, right) => right[2] - left[2])
      .slice(0, limit),
  );
}

const num = (id: { pointIdOptions: { value?: unknown } } | undefined) => Number(id?.pointIdOptions.value);

beforeAll(async () => {
  server = await startTestServer();
  await server.call(Collections.method.create, {
    collectionName,
    vectorsConfig: { config: { case: "params", value: { size: 3n, distance: Distance.Dot } } },
  });
  await server.call(Points.method.upsert, {
    collectionName,
    wait: true,
    points: vectors.map((data, at) => ({
      id: { pointIdOptions: { case: "num" as const, value: BigInt(at) } },
      vectors: {
        vectorsOptions: { case: "vector" as const, value: { vector: { case: "dense" as const, value: { data } } } },
      },
      payload: { parity: { kind: { case: "integerValue" as const, value: BigInt(at % 2) } } },
    })),
  });
});
afterAll(() => server.close());

describe("matrices", () => {
  test("pairs and offsets say the same, of all points", async () => {
    const request = { collectionName, sample: 100n, limit: 3n };
    const want = expected([...vectors.keys()], 3);
    const { result: pairs } = await server.call(Points.method.searchMatrixPairs, request);
    expect(pairs?.pairs.map(({ a, b }) => [num(a), num(b)])).toEqual(want.map(([a, b]) => [a, b]));
    for (const [at, pair] of (pairs?.pairs ?? []).entries()) expect(pair.score).toBeCloseTo(want[at]?.[2] as number, 4);
    const { result: offsets } = await server.call(Points.method.searchMatrixOffsets, request);
    expect(offsets?.ids.map(num)).toEqual([...vectors.keys()]);
    expect(offsets?.offsetsRow.map(Number)).toEqual(want.map(([a]) => a));
    expect(offsets?.offsetsCol.map(Number)).toEqual(want.map(([, b]) => b));
    expect(offsets?.scores).toEqual(pairs?.pairs.map(({ score }) => score));
  });

  test("only points that match are sampled, and offsets count among them", async () => {
    const { result } = await server.call(Points.method.searchMatrixOffsets, {
      collectionName,
      filter: even,
      limit: 2n,
    });
    const members = [0, 2, 4, 6, 8, 10];
    expect(result?.ids.map(num)).toEqual(members);
    const found = result?.offsetsRow.map((row, at) => [members[Number(row)], members[Number(result.offsetsCol[at])]]);
    expect(found).toEqual(expected(members, 2).map(([a, b]) => [a, b]));
  });

  test("the sample bounds the points; neighbours are of the sample", async () => {
    const { result } = await server.call(Points.method.searchMatrixOffsets, { collectionName, sample: 4n, limit: 9n });
    const members = result?.ids.map(num) ?? [];
    expect(members).toHaveLength(4);
    expect(members).toEqual([...members].sort((a, b) => a - b));
    expect(result?.scores).toHaveLength(12);
  });

  test("fewer than two points make no matrix; a sample below two is refused", async () => {
    const nothing = { must: even.must, mustNot: even.must };
    const { result } = await server.call(Points.method.searchMatrixPairs, { collectionName, filter: nothing });
    expect(result?.pairs).toEqual([]);
    await expect(server.call(Points.method.searchMatrixPairs, { collectionName, sample: 1n })).rejects.toThrow(
      /sample: value 1 invalid/,
    );
  });
});
