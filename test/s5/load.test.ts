import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DomainError } from "../../src/core/index.ts";
import { parsePortalUrls } from "../../src/ops/index.ts";
import { type RecordBatch, toPointId } from "../../src/s5/index.ts";
import { decodePayload } from "../../src/wire/index.ts";
import { fastest } from "../support/timing.ts";
import { makeDatabase, owner } from "./database.ts";
import { CollectingSink, load, loadingError, scripted, serve } from "./harness.ts";

describe("a load", () => {
  it("tells its progress and hands over every vector with its payload", async () => {
    const database = makeDatabase();
    const { events, sink } = await load(database);
    expect(events[0]).toEqual({
      kind: "manifest_downloaded",
      name: "small",
      chunks: 3,
      vectors: 45,
      dimensions: 8,
      sizeBytes: expect.any(Number),
      updated: 1,
    });
    const chunks = events.filter((event) => event.kind === "chunk_downloaded");
    expect(chunks.map((event) => event.chunkId).sort()).toEqual([0, 1, 2]);
    expect(chunks.map((event) => event.total)).toEqual([3, 3, 3]);
    expect(chunks.at(-1)?.percent).toBe(100);
    expect(events.at(-2)).toEqual({ kind: "index_building" });
    expect(events.at(-1)).toMatchObject({ kind: "loading_complete", vectorCount: 45 });
    expect(sink.calls).toEqual(["begin", "add", "add", "add", "finish"]);
    for (const batch of sink.batches) {
      const records = database.records[batch.chunkId] ?? [];
      expect(batch.ids).toEqual(records.map((record) => record.id));
      records.forEach((record, i) => {
        expect([...batch.vectors.subarray(i * 8, i * 8 + 8)]).toEqual((record.vector as number[]).map(Math.fround));
        const payload = decodePayload(batch.metadata.subarray(batch.metadataOffsets[i], batch.metadataOffsets[i + 1]));
        const id = BigInt(record.id);
        expect({ ...payload }).toMatchObject({ word: `word ${id}`, n: id, score: 0.5, tags: ["a", 1n] });
        expect(batch.pointIds[i]).toBe(id);
      });
    }
  });

  it("keeps ids that are no point ids under _id", async () => {
    const uuid = "0f1e2d3c-0000-4000-8000-000000000001";
    const ids = ["7", "007", uuid, uuid.toUpperCase().replace("0001", "0002"), "doc-ä", "18446744073709551616"];
    const database = makeDatabase({ chunks: [ids.map((id, i) => ({ id, vector: [i, 1] }))], dimensions: 2 });
    const { sink } = await load(database);
    const batch = sink.batches[0] as RecordBatch;
    expect(batch.pointIds[0]).toBe(7n);
    expect(batch.pointIds[2]).toBe(uuid);
    expect(new Set(batch.pointIds).size).toBe(ids.length);
    const kept = ids.map(
      (_, i) => decodePayload(batch.metadata.subarray(batch.metadataOffsets[i], batch.metadataOffsets[i + 1]))._id,
    );
    expect(kept).toEqual([undefined, ids[1], undefined, ids[3], ids[4], ids[5]]);
    for (const i of [1, 4, 5])
      expect(batch.pointIds[i]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    // Fixed for ever: what a collection stores depends on it. Made with Python's uuid.uuid5.
    expect(toPointId("doc-ä")).toBe("7a4291b0-7dc5-5b6d-8e63-766b9684bfc5");
    expect(toPointId("18446744073709551615")).toBe(18446744073709551615n);
  });

  it("takes an owner in another case", async () => {
    const { events } = await load(makeDatabase(), { userAddress: owner.toLowerCase() });
    expect(events.at(-1)?.kind).toBe("loading_complete");
  });

  it("loads an empty database", async () => {
    const { events } = await load(makeDatabase({ chunks: [] }));
    expect(events.at(-1)).toMatchObject({ kind: "loading_complete", vectorCount: 0 });
  });

  it("keeps its bytes in flight within the bound and still ends", async () => {
    const database = makeDatabase();
    const { events } = await load(database, { bytesInFlightMax: 1 });
    expect(events.at(-1)?.kind).toBe("loading_complete");
  });
});

describe("portals", () => {
  it("that fail for a while are asked again", async () => {
    const database = makeDatabase();
    const read = (path: string) => readFileSync(join(database.dir, path.replace("/s5/fs/", "")));
    const { url, attempts } = await scripted((path, attempt) => {
      if (attempt === 1) return { status: 503 };
      if (attempt === 2) return { status: 429, headers: { "retry-after": "0" } };
      if (attempt === 3) return { status: 200, body: read(path), cut: true };
      return { status: 200, body: read(path) };
    });
    const { events } = await load(database, { portalUrls: [url] });
    expect(events.at(-1)?.kind).toBe("loading_complete");
    expect([...attempts.values()]).toEqual([4, 4, 4, 4]);
  });

  it("are tried in turn", async () => {
    const database = makeDatabase();
    const empty = await scripted(() => ({ status: 404 }));
    const good = await serve(database.dir);
    const { events } = await load(database, { portalUrls: ["http://127.0.0.1:1", empty.url, good.url] });
    expect(events.at(-1)?.kind).toBe("loading_complete");
  });

  it("that redirect, or never recover, end the load with a code", async () => {
    const database = makeDatabase();
    const loop = await scripted((path) => ({ status: 302, headers: { location: path } }));
    expect(await loadingError(database, { portalUrls: [loop.url] })).toMatchObject({
      code: "MANIFEST_DOWNLOAD_FAILED",
    });
    const broken = await scripted(() => ({ status: 500 }));
    expect(await loadingError(database, { portalUrls: [broken.url] })).toMatchObject({
      code: "MANIFEST_DOWNLOAD_FAILED",
      isRetryable: true,
    });
    expect(broken.attempts.get(`/s5/fs/${database.manifestPath}`)).toBe(5);
    const down = await loadingError(database, { portalUrls: ["http://127.0.0.1:1"] });
    expect(down).toMatchObject({ code: "MANIFEST_DOWNLOAD_FAILED" });
  });

  it("that send too much are cut off", async () => {
    const huge = await scripted(() => ({ status: 200, body: Buffer.alloc(5 * 1024 * 1024) }));
    expect(await loadingError(makeDatabase(), { portalUrls: [huge.url] })).toMatchObject({
      code: "MEMORY_LIMIT_EXCEEDED",
    });
  });

  it("that are slow time out, by file and by load", async () => {
    const slow = await scripted(() => ({ status: 200, delayMs: 300 }));
    const database = makeDatabase();
    expect(await loadingError(database, { portalUrls: [slow.url], fileTimeoutMs: 30, attempts: 2 })).toMatchObject({
      code: "TIMEOUT",
      isRetryable: true,
    });
    expect(await loadingError(database, { portalUrls: [slow.url], loadTimeoutMs: 50 })).toMatchObject({
      code: "TIMEOUT",
    });
  });

  it("are named by plain URLs", () => {
    expect(parsePortalUrls(undefined)).toEqual(["http://127.0.0.1:5522"]);
    expect(parsePortalUrls("https://a.example/, http://b.example:1/x")).toEqual([
      "https://a.example",
      "http://b.example:1/x",
    ]);
    for (const text of ["file:///etc", "http://user:secret@a.example", "nonsense", "http://a.example/?x=1"]) {
      expect(() => parsePortalUrls(text)).toThrow(DomainError);
    }
  });
});

describe("cancelling", () => {
  it("by the signal ends the load within 100 ms at any stage", async () => {
    const database = makeDatabase();
    const read = (path: string) => readFileSync(join(database.dir, path.replace("/s5/fs/", "")));
    const slow = await scripted((path) => ({
      status: 200,
      body: read(path),
      delayMs: path.endsWith("manifest.json") ? 100 : 5_000,
    }));
    const cancelled = async (after: number) => {
      const abort = new AbortController();
      let aborted = 0;
      setTimeout(() => {
        aborted = performance.now();
        abort.abort();
      }, after);
      const error = await load(database, { portalUrls: [slow.url], signal: abort.signal }).catch(
        (caught: unknown) => caught,
      );
      expect(error).toMatchObject({ kind: "cancelled" });
      return performance.now() - aborted;
    };
    for (const after of [20, 250]) expect(await fastest(100, () => cancelled(after))).toBeLessThan(100);
  });

  it("leaves an engine's own error as it is, and hides a foreign one", async () => {
    const database = makeDatabase();
    const refusing = new CollectingSink();
    refusing.add = () => {
      throw new DomainError("precondition", "EncryptionRequired");
    };
    await expect(load(database, { sink: refusing })).rejects.toMatchObject({ kind: "precondition" });
    const broken = new CollectingSink();
    broken.add = () => {
      throw new Error("secret detail");
    };
    const { events } = await load(database, { sink: broken });
    expect(events.at(-1)).toMatchObject({
      kind: "loading_error",
      code: "INDEX_BUILD_FAILED",
      message: "the index cannot be built",
    });
  });
});
