/** Qdrant's JavaScript REST client, as it is published, against the server as a process: the first steps. */
import { QdrantClient } from "@qdrant/js-client-rest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addonBuilt, ServerProcess } from "../e2e/server-process.ts";

let server: ServerProcess;
beforeAll(async () => {
  if (addonBuilt) server = await ServerProcess.start({ logLevel: "warn" });
});
afterAll(async () => {
  await server?.stop();
});

describe.skipIf(!addonBuilt)("Qdrant's JavaScript REST client", () => {
  test("does the first steps", { timeout: 60_000 }, async () => {
    const client = new QdrantClient({ host: "127.0.0.1", port: server.httpPort });
    expect(await client.createCollection("steps", { vectors: { size: 4, distance: "Dot" } })).toBe(true);
    expect((await client.getCollections()).collections).toEqual([{ name: "steps" }]);
    expect((await client.collectionExists("steps")).exists).toBe(true);
    const points = [
      { id: 1, vector: [0.05, 0.61, 0.76, 0.74], payload: { city: "Berlin", size: 3_600_000 } },
      { id: 2, vector: [0.19, 0.81, 0.75, 0.11], payload: { city: "London", tags: ["old", "big"] } },
      { id: "7b7b3f3e-8f0e-4c52-8b83-0e8a1d9c3a10", vector: [0.36, 0.55, 0.47, 0.94], payload: { city: "Berlin" } },
    ];
    expect(await client.upsert("steps", { wait: true, points })).toMatchObject({ status: "completed" });
    await client.createPayloadIndex("steps", { field_name: "city", field_schema: "keyword", wait: true });
    const info = await client.getCollection("steps");
    expect(info).toMatchObject({
      points_count: 3,
      config: { params: { vectors: { size: 4, distance: "Dot" } } },
      payload_schema: { city: { data_type: "keyword", points: 3 } },
    });
    const query = [0.2, 0.1, 0.9, 0.7];
    const found = await client.query("steps", { query, with_payload: true, limit: 2 });
    expect(found.points.map(({ id, payload }) => [id, payload?.city])).toEqual(
      [
        ["7b7b3f3e-8f0e-4c52-8b83-0e8a1d9c3a10", "Berlin"],
        [1, "Berlin"],
      ].toSorted((a, b) => scoreOf(b[0]) - scoreOf(a[0])),
    );
    expect(found.points[0]?.score).toBeCloseTo(scoreOf(found.points[0]?.id), 5);
    const filter = { must: [{ key: "city", match: { value: "London" } }] };
    expect((await client.query("steps", { query, filter })).points.map(({ id }) => id)).toEqual([2]);
    expect((await client.count("steps", { filter, exact: true })).count).toBe(1);
    await client.setPayload("steps", { payload: { seen: true }, points: [2], wait: true });
    expect((await client.retrieve("steps", { ids: [2] }))[0]?.payload).toEqual({
      city: "London",
      tags: ["old", "big"],
      seen: true,
    });
    const page = await client.scroll("steps", { limit: 2, with_vector: true });
    expect(page.points.map(({ id }) => id)).toEqual([1, 2]);
    expect(page.next_page_offset).toBe("7b7b3f3e-8f0e-4c52-8b83-0e8a1d9c3a10");
    await client.delete("steps", { points: [1], wait: true });
    expect((await client.count("steps")).count).toBe(2);
    await expect(client.getCollection("none")).rejects.toMatchObject({ status: 404 });
    expect(await client.deleteCollection("steps")).toBe(true);

    function scoreOf(id: unknown): number {
      const vector = points.find((point) => point.id === id)?.vector ?? [];
      return vector.reduce((sum, value, i) => sum + value * (query[i] as number), 0);
    }
  });
});
