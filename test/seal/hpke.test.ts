import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as noble from "../../clients/typescript/src/seal/hpke.ts";
import { parsePrivateKey, setupRecipient } from "../../src/seal/index.ts";

interface Vector {
  kem_id: number;
  aead_id: number;
  info: string;
  ikmE: string;
  ikmR: string;
  skRm: string;
  pkRm: string;
  enc: string;
  exports_accumulated: string;
}

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const vectors: Vector[] = JSON.parse(readFileSync(new URL("../vectors/rfc9180.json", import.meta.url), "utf8"));

/** As test/vectors/README.md tells: 1,000 exports, contexts drawn from SHAKE128, hashed together. */
function accumulate(context: { export(context: Uint8Array, length: number): Uint8Array }): string {
  const source = createHash("shake128", { outputLength: 300_000 }).digest();
  const sink = createHash("shake128", { outputLength: 16 });
  let pos = 0;
  for (let length = 0; length < 1000; length++) {
    const size = source[pos] as number;
    const exporterContext = source.subarray(pos + 1, pos + 1 + size);
    pos += 1 + size;
    sink.update(context.export(exporterContext, length));
  }
  return sink.digest("hex");
}

describe("RFC 9180 vectors of DHKEM(P-256, HKDF-SHA256), HKDF-SHA256", () => {
  it("are all four, AES-256-GCM's among them", () => {
    expect(vectors.map((vector) => vector.aead_id)).toEqual([1, 2, 3, 0xffff]);
  });

  it.each(vectors)("node: exports with AEAD $aead_id", (vector) => {
    const key = parsePrivateKey(vector.skRm);
    expect(Buffer.from(key.publicKey.point).toString("hex")).toBe(vector.pkRm);
    const context = setupRecipient(
      key.keyObject,
      key.publicKey.point,
      hex(vector.enc),
      hex(vector.info),
      vector.aead_id,
    );
    expect(accumulate(context)).toBe(vector.exports_accumulated);
  });

  it.each(vectors)("noble: derives, sends and receives with AEAD $aead_id", (vector) => {
    expect(Buffer.from(noble.deriveSecretKey(hex(vector.ikmR))).toString("hex")).toBe(vector.skRm);
    const ephemeral = noble.deriveSecretKey(hex(vector.ikmE));
    const sender = noble.setupSender(hex(vector.pkRm), hex(vector.info), vector.aead_id, ephemeral);
    expect(Buffer.from(sender.enc).toString("hex")).toBe(vector.enc);
    expect(accumulate(sender.context)).toBe(vector.exports_accumulated);
    const recipient = noble.setupRecipient(
      hex(vector.skRm),
      hex(vector.pkRm),
      hex(vector.enc),
      hex(vector.info),
      vector.aead_id,
    );
    expect(accumulate(recipient)).toBe(vector.exports_accumulated);
  });
});
