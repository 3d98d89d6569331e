/** Content ids and the hash under them. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { blake3 } from "@noble/hashes/blake3.js";
import { describe, expect, it } from "vitest";
import { nativeBlake3 } from "../../src/native/index.ts";
import { matchesContentId, parseContentId } from "../../src/s5/index.ts";
import { base32, contentIdOf, owner } from "./database.ts";

const realDir = resolve(import.meta.dirname, "../../../shared/data/s5");

describe("BLAKE3", () => {
  it("is the one of the reference's test vectors, and noble's at every kind of length", () => {
    // From https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json
    const input = Uint8Array.from({ length: 1025 }, (_, i) => i % 251);
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    expect(hex(nativeBlake3(input.subarray(0, 0)))).toBe(
      "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    );
    expect(hex(nativeBlake3(input.subarray(0, 1)))).toBe(
      "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    );
    const lengths = [
      63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 8191, 8192, 8193, 9216, 16384, 16385, 31744, 100_000,
    ];
    for (const length of lengths) {
      const bytes = randomBytes(length);
      expect(hex(nativeBlake3(bytes))).toBe(hex(blake3(bytes)));
    }
  });
});

describe("content ids", () => {
  const file = Buffer.from("an encrypted file");
  const body = Buffer.concat([Buffer.from([0x5b, 0x82, 0x1e]), blake3(file), Buffer.from([file.length])]);
  const legacy = Buffer.concat([Buffer.from([0x26, 0x1f]), blake3(file), Buffer.from([file.length])]);
  const base58 = (bytes: Uint8Array): string => {
    const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let value = BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
    let text = "";
    for (; value > 0n; value /= 58n) text = digits[Number(value % 58n)] + text;
    return text;
  };

  it("are read in each of S5's spellings", () => {
    const spellings = [body, legacy].flatMap((bytes) => [
      `b${base32(bytes)}`,
      `z${base58(bytes)}`,
      `u${bytes.toString("base64url")}`,
      `f${bytes.toString("hex")}`,
      `s5://b${base32(bytes)}`,
    ]);
    for (const cid of spellings) {
      expect(parseContentId(cid)).toMatchObject({ size: file.length });
      expect(matchesContentId(file, cid)).toBe(true);
      expect(matchesContentId(Buffer.from("an encrypted fil3"), cid)).toBe(false);
      expect(matchesContentId(file.subarray(1), cid)).toBe(false);
    }
    expect(contentIdOf(file)).toBe(`b${base32(body)}`);
  });

  it("of another kind say nothing", () => {
    for (const cid of [
      "",
      "b",
      "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
      "b!",
      `b${"a".repeat(200)}`,
      "zOIl0",
    ]) {
      expect(parseContentId(cid)).toBeUndefined();
      expect(matchesContentId(file, cid)).toBe(true);
    }
  });

  it.skipIf(!existsSync(realDir))("of the real database are its files'", () => {
    const folder = join(realDir, "home/vector-databases", owner, "wordnet");
    // The manifest is encrypted; this is what it says of its first chunk.
    const cid = "blobb536r4setfbhywogvegfjpuiakrrebphxz7rvw6skxnyiaq6uzq5knibdu";
    const chunk = readFileSync(join(folder, "chunk-0.json"));
    expect(parseContentId(cid)).toMatchObject({ size: chunk.length });
    expect(matchesContentId(chunk, cid)).toBe(true);
    chunk[1_000] = (chunk[1_000] as number) ^ 1;
    expect(matchesContentId(chunk, cid)).toBe(false);
  });
});
