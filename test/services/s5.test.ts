/** sealpoint.v1.S5/Load into collections, as its service does it over the embedded engine. */
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { sealingDefault } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { type SealedEngine, sealEngine } from "../../src/engine/index.ts";
import { s5ConfigDefault } from "../../src/ops/index.ts";
import { S5Hub } from "../../src/s5/index.ts";
import { generateKeyPair, openPayload, parsePrivateKey } from "../../src/seal/index.ts";
import { collectionSinks, S5Service } from "../../src/services/index.ts";
import { hasSealedStored } from "../../src/wire/index.ts";
import { configOf, temporaryFolder } from "../engine/support.ts";
import { makeDatabase, owner } from "../s5/database.ts";
import { serve } from "../s5/harness.ts";

const folder = temporaryFolder();
let engine: SealedEngine;
beforeAll(() => {
  engine = sealEngine(openEmbeddedEngine({ dataDir: folder.path }));
});
afterAll(async () => {
  await engine.close();
  folder.remove();
});

async function load(name: string, publicKey?: string): Promise<string[]> {
  const database = makeDatabase();
  const backend = new S5Hub({
    config: { ...s5ConfigDefault, portalUrls: [(await serve(database.dir)).url] },
    indexes: {
      create: () => Promise.reject(new Error("no session is made")),
      open: async () => undefined,
      remove: async () => false,
    },
    collections: collectionSinks(engine),
  });
  onTestFinished(() => backend.closeAll());
  const service = new S5Service({ backend });
  const request = {
    manifestPath: database.manifestPath,
    userAddress: owner,
    sessionKey: Uint8Array.from(database.key),
    publicKey,
    target: { kind: "collection" as const, name },
  };
  const events: string[] = [];
  for await (const event of service.load(request, new AbortController().signal)) events.push(event.kind);
  expect(request.sessionKey.every((byte) => byte === 0)).toBe(true);
  return events;
}

const all = (name: string) =>
  engine.scroll(name, { limit: 100, payload: { kind: "all" }, vectors: { kind: "none" } }).then(({ points }) => points);

test("with a key what is loaded is sealed to it, without one it is plain", async () => {
  const { publicKeyPem, privateKeyPem } = generateKeyPair();
  expect((await load("sealed", publicKeyPem)).at(-1)).toBe("loading_complete");
  const points = await all("sealed");
  expect(points.length).toBe(45);
  const { acceptedSealingIds } = await engine.collectionInfo("sealed");
  for (let row = 0; row < points.length; row++) {
    const payload = points.payload(row) ?? new Uint8Array(0);
    expect(Buffer.from(payload).includes("word ")).toBe(false);
    const id = points.id(row);
    expect(openPayload({ privateKey: parsePrivateKey(privateKeyPem), id, payload, acceptedSealingIds })).toMatchObject({
      word: `word ${id}`,
    });
  }
  await load("plain");
  expect(hasSealedStored((await all("plain")).payload(0) ?? new Uint8Array(0))).toBe(false);
});

test("required without a key: refused before the first chunk", async () => {
  await engine.createCollection("required", configOf({ "": [8, "cosine"] }), { ...sealingDefault, mode: "required" });
  await expect(load("required")).rejects.toMatchObject({ details: { reason: "EncryptionRequired" } });
  expect((await all("required")).length).toBe(0);
});

test("a bad key is refused before a collection is made", async () => {
  await expect(load("never", "not a key")).rejects.toMatchObject({
    kind: "bad_input",
    details: { field: "public_key" },
  });
  expect(await engine.collectionExists("never")).toBe(false);
});
