import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeDatabase, makeRecords, owner, seal } from "./database.ts";
import { loadingError } from "./harness.ts";

describe("what is refused", () => {
  it("a wrong key", async () => {
    const error = await loadingError(makeDatabase(), { sessionKey: new Uint8Array(32).fill(7) });
    expect(error).toMatchObject({ code: "DECRYPTION_FAILED", isSecurity: true, isRetryable: false });
    expect(JSON.stringify(error)).not.toContain("0707");
  });

  it("another user's database, by its path and by its manifest", async () => {
    const other = "0xAbC0000000000000000000000000000000000002";
    expect(await loadingError(makeDatabase(), { userAddress: other })).toMatchObject({
      code: "OWNER_MISMATCH",
      isSecurity: true,
    });
    const moved = makeDatabase({
      manifest: (manifest) => {
        manifest.owner = other;
      },
    });
    const error = await loadingError(moved);
    expect(error).toMatchObject({ code: "OWNER_MISMATCH", isSecurity: true });
    expect(error.events).toHaveLength(1);
  });

  it("a changed chunk", async () => {
    const database = makeDatabase();
    database.flip("chunk-1.json");
    expect(await loadingError(database)).toMatchObject({ code: "DECRYPTION_FAILED", isSecurity: true });
  });

  it("a missing chunk and a missing manifest", async () => {
    const database = makeDatabase();
    rmSync(database.chunkFile(2));
    expect(await loadingError(database)).toMatchObject({ code: "CHUNK_DOWNLOAD_FAILED", isRetryable: true });
    rmSync(join(database.folder, "manifest.json"));
    expect(await loadingError(database)).toMatchObject({ code: "MANIFEST_NOT_FOUND", isRetryable: false });
  });

  it("a chunk put in another's place", async () => {
    const database = makeDatabase();
    writeFileSync(database.chunkFile(0), readFileSync(database.chunkFile(1)));
    expect(await loadingError(database)).toMatchObject({ code: "CHUNK_DOWNLOAD_FAILED" });
  });

  it("a deleted database", async () => {
    const database = makeDatabase({
      manifest: (manifest) => {
        manifest.deleted = true;
      },
    });
    expect(await loadingError(database)).toMatchObject({ code: "MANIFEST_NOT_FOUND" });
  });

  it.each([
    [
      "vectorCount",
      (manifest: Record<string, unknown>) => Object.assign(manifest, { vectorCount: 46 }),
      "VECTOR_COUNT_MISMATCH",
    ],
    [
      "dimensions 0",
      (manifest: Record<string, unknown>) => Object.assign(manifest, { dimensions: 0 }),
      "DIMENSION_MISMATCH",
    ],
    [
      "other dimensions",
      (manifest: Record<string, unknown>) => Object.assign(manifest, { dimensions: 9 }),
      "DIMENSION_MISMATCH",
    ],
    [
      "chunkCount",
      (manifest: Record<string, unknown>) => Object.assign(manifest, { chunkCount: 4 }),
      "MANIFEST_PARSE_ERROR",
    ],
    ["chunks", (manifest: Record<string, unknown>) => Object.assign(manifest, { chunks: 3 }), "MANIFEST_PARSE_ERROR"],
    [
      "a huge size",
      (manifest: Record<string, unknown>) => {
        const chunks = [{ chunkId: 0, vectorCount: 4_000_000_000, sizeBytes: 1 }];
        Object.assign(manifest, { vectorCount: 4_000_000_000, chunks, chunkCount: 1 });
      },
      "MEMORY_LIMIT_EXCEEDED",
    ],
    [
      "too many chunks",
      (manifest: Record<string, unknown>) =>
        Object.assign(manifest, { chunks: Array.from({ length: 10_001 }, () => ({})), chunkCount: 10_001 }),
      "MEMORY_LIMIT_EXCEEDED",
    ],
  ])("a manifest with a wrong %s", async (_, manifest, code) => {
    expect(await loadingError(makeDatabase({ manifest }))).toMatchObject({ code });
  });

  it("a chunk whose vectors are not as many as the manifest says", async () => {
    const database = makeDatabase();
    database.write("chunk-2.json", { chunkId: 2, vectors: makeRecords(4, 8, 40) });
    expect(await loadingError(database)).toMatchObject({ code: "VECTOR_COUNT_MISMATCH" });
  });

  it.each([
    ["a null", null],
    ["a text", "1"],
    ["more than float32 holds", 1e300],
  ])("a vector with %s in it", async (_, component) => {
    const database = makeDatabase({ chunks: [[{ id: "1", vector: [0, component] }]], dimensions: 2 });
    expect(await loadingError(database)).toMatchObject({
      code: "MANIFEST_PARSE_ERROR",
      message: "chunk 0, vector 0: vector[1] is not a finite number",
    });
  });

  it("an id that occurs twice, in two chunks", async () => {
    const database = makeDatabase({ chunks: [makeRecords(2, 8), makeRecords(2, 8, 1)] });
    expect(await loadingError(database)).toMatchObject({ code: "VECTOR_COUNT_MISMATCH" });
  });

  it("metadata that passes itself off as sealed, and metadata nested too deep", async () => {
    const sealed = makeDatabase({
      chunks: [[{ id: "1", vector: [1, 1], metadata: { $sealpoint: [] } }]],
      dimensions: 2,
    });
    expect(await loadingError(sealed)).toMatchObject({ code: "MANIFEST_PARSE_ERROR" });
    let deep: unknown = 1;
    for (let i = 0; i < 1_000; i++) deep = [deep];
    const nested = makeDatabase({ chunks: [[{ id: "1", vector: [1, 1], metadata: { deep } }]], dimensions: 2 });
    expect(await loadingError(nested)).toMatchObject({ code: "MANIFEST_PARSE_ERROR" });
  });

  it("a file that is not JSON, without quoting it", async () => {
    const database = makeDatabase();
    writeFileSync(database.chunkFile(0), seal(database.key, "secret words"));
    const error = await loadingError(database);
    expect(error).toMatchObject({ code: "MANIFEST_PARSE_ERROR", message: "chunk 0: not JSON" });
  });

  it.each([
    "home/vector-databases/../../etc/manifest.json",
    `home/vector-databases/${owner}/../small/manifest.json`,
    `home/vector-databases/${owner}/./manifest.json`,
    `home/vector-databases/${owner}/small/chunk-0.json`,
    `/home/vector-databases/${owner}/small/manifest.json`,
    `home/vector-databases/${owner}/sm%2e%2e/manifest.json`,
    `home/vector-databases/${owner}/a\\b/manifest.json`,
    `home/vector-databases/${owner}/small?x/manifest.json`,
    "",
  ])("the path %j", async (manifestPath) => {
    expect(await loadingError(makeDatabase(), { manifestPath })).toMatchObject({
      code: "INVALID_PATH",
      isSecurity: true,
    });
  });
});
