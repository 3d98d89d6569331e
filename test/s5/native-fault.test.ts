/** A native thread that fails in the middle of a chunk: nothing of it stays in memory. */
import { randomBytes } from "node:crypto";
import { expect, it, vi } from "vitest";
import type { nativeOpenS5Chunk } from "../../src/native/index.ts";
import { Opener } from "../../src/s5/opener.ts";
import type { OpenChunkTask } from "../../src/s5/opener-protocol.ts";

const given: { file: Uint8Array; vectors: Float32Array }[] = [];

vi.mock(import("../../src/native/index.ts"), async (original) => ({
  ...(await original()),
  nativeOpenS5Chunk: (async ({ file }, vectors) => {
    given.push({ file, vectors });
    // As far as it came.
    file.fill(0x61);
    vectors.fill(1.5, 0, 3);
    throw new Error("native work failed");
  }) satisfies typeof nativeOpenS5Chunk,
}));

it("leaves neither text nor numbers behind", async () => {
  // Views of memories that the test sees too: what is given back is gone from the view alone.
  const memory = new Uint8Array(new SharedArrayBuffer(4_096));
  memory.set(randomBytes(memory.length));
  const whole = Uint8Array.from(memory);
  const task = (encrypted: Uint8Array): OpenChunkTask => ({
    kind: "chunk",
    encrypted,
    chunkId: 3,
    dimensions: 2,
    vectorCount: 4,
    metadataForm: "metadata",
  });
  const opener = new Opener(1);
  const key = new SharedArrayBuffer(32);
  const failure = { code: "INDEX_BUILD_FAILED", message: "the chunk cannot be read" };
  await expect(opener.open(task(memory), key)).rejects.toMatchObject(failure);
  expect(memory.every((byte) => byte === 0)).toBe(true);
  await expect(opener.open(task(whole), key)).rejects.toMatchObject(failure);
  expect(whole.length, "the file is given back").toBe(0);
  expect(given).toHaveLength(2);
  for (const { vectors } of given) expect([...vectors]).toEqual(Array(8).fill(0));
});
