import { beforeEach, describe, expect, it, vi } from "vitest";
import { Sealer } from "../../clients/typescript/src/seal/index.ts";
import {
  type Condition,
  type Filter,
  type PayloadObject,
  type PointId,
  type SealingPolicy,
  sealedKey,
  sealingOff,
} from "../../src/core/index.ts";
import type { NearestQuery, SealedEngine, WriteOperation } from "../../src/engine/engine.ts";
import { sealEngine, sealedSkippedOf } from "../../src/engine/sealed.ts";
import { generateKeyPair, openPayload, parsePrivateKey, parsePublicKey } from "../../src/seal/index.ts";
import {
  decodePayload,
  encodePayload,
  hasSealedStored,
  payloadKeys,
  readEnvelopes,
  splitEnvelope,
} from "../../src/wire/index.ts";
import { FakeEngine } from "./fake-engine.ts";

const [alice, bob, carol] = [generateKeyPair(), generateKeyPair(), generateKeyPair()] as const;
const spki = (pem: string) => Buffer.from(parsePublicKey(pem).spki).toString("base64");
const kid = (pem: string) => Buffer.from(parsePublicKey(pem).kid).toString("hex");
const policy = (mode: SealingPolicy["mode"], more: Partial<SealingPolicy> = {}): SealingPolicy => ({
  ...sealingOff,
  mode,
  clearFields: ["lang"],
  ...more,
});
const secret = "nobody may read this";
const document: PayloadObject = { lang: "en", title: secret };

let fake: FakeEngine;
let engine: SealedEngine;
beforeEach(() => {
  fake = new FakeEngine();
  fake.add("off", policy("off"));
  fake.add("optional", policy("optional"));
  fake.add("required", policy("required"));
  fake.add("owned", policy("required", { recipients: [spki(carol.publicKeyPem)] }));
  engine = sealEngine(fake.asEngine());
});

const point = (id: PointId, payload: PayloadObject = document, publicKey?: string) => ({
  id,
  payload: encodePayload(payload),
  vectors: [],
  ...(publicKey === undefined ? {} : { publicKey }),
});
const upsert = (name: string, points: ReturnType<typeof point>[], publicKey?: string) =>
  engine.write(name, { kind: "upsert", points, publicKey }, { wait: true });
const write = (name: string, operation: WriteOperation) => engine.write(name, operation, { wait: true });
const stored = (name: string, id: PointId) => fake.of(name).points.get(id) ?? new Uint8Array(0);
const opened = (name: string, id: PointId, pem: string) => ({
  ...openPayload({
    privateKey: parsePrivateKey(pem),
    id,
    payload: stored(name, id),
    acceptedSealingIds: [fake.of(name).info.sealingId],
  }),
});
const ids = (...list: PointId[]) => ({ kind: "ids" as const, ids: list });

function expectSealed(name: string, id: PointId, recipient: string, clear = ["lang"]) {
  expect(hasSealedStored(stored(name, id))).toBe(true);
  expect(payloadKeys(stored(name, id))).toEqual([sealedKey, ...clear]);
  expect(Buffer.from(stored(name, id)).includes(secret)).toBe(false);
  const envelopes = readEnvelopes(stored(name, id)) ?? [];
  expect(envelopes.map((envelope) => Buffer.from(splitEnvelope(envelope).kid).toString("hex"))).toContain(
    kid(recipient),
  );
}

describe("upsert", () => {
  it("prefers the point's key to the request's, and that to the collection's", async () => {
    await upsert("owned", [point(1n, document, alice.publicKeyPem), point(2n)], bob.publicKeyPem);
    await upsert("owned", [point(3n)]);
    expectSealed("owned", 1n, alice.publicKeyPem);
    expectSealed("owned", 2n, bob.publicKeyPem);
    expectSealed("owned", 3n, carol.publicKeyPem);
    expect(opened("owned", 1n, alice.privateKeyPem)).toEqual(document);
    expect(opened("owned", 3n, carol.privateKeyPem)).toEqual(document);
  });

  it("required: writes nothing without a key, not even the points that have one", async () => {
    const refusal = upsert("required", [point(1n, document, alice.publicKeyPem), point(2n)]);
    await expect(refusal).rejects.toMatchObject({
      kind: "precondition",
      details: { reason: "EncryptionRequired", field: "points[1]" },
    });
    await expect(upsert("required", [point(1n, {})])).rejects.toMatchObject({ kind: "precondition" });
    expect(fake.writes).toEqual([]);
  });

  it("refuses a whole request for one bad key and names the point", async () => {
    const points = [point(1n, document, alice.publicKeyPem), point(2n, document, "0badkey")];
    await expect(upsert("optional", points)).rejects.toMatchObject({
      kind: "bad_input",
      details: { field: "points[1].public_key" },
    });
    await expect(upsert("optional", [point(1n)], "0badkey")).rejects.toMatchObject({
      kind: "bad_input",
      details: { field: "public_key" },
    });
    expect(fake.writes).toEqual([]);
  });

  it("optional: seals what has a key and leaves the rest plain", async () => {
    await upsert("optional", [point(1n, document, alice.publicKeyPem), point(2n)]);
    expectSealed("optional", 1n, alice.publicKeyPem);
    expect({ ...decodePayload(stored("optional", 2n)) }).toEqual(document);
  });

  it("off: stores plain, and refuses a key rather than ignore it", async () => {
    await upsert("off", [point(1n)]);
    await expect(upsert("off", [point(2n)], alice.publicKeyPem)).rejects.toMatchObject({
      details: { reason: "SealingOff" },
    });
    expect(fake.of("off").points.size).toBe(1);
  });

  it("pads when the policy says so", async () => {
    fake.setPolicy("required", policy("required", { padding: true, clearFields: [] }));
    await upsert(
      "required",
      [point(1n, { a: "x".repeat(100) }), point(2n, { a: "x".repeat(101) })],
      alice.publicKeyPem,
    );
    expect(stored("required", 1n).length).toBe(stored("required", 2n).length);
    expect(opened("required", 1n, alice.privateKeyPem)).toEqual({ a: "x".repeat(100) });
  });
});

describe("clients' own envelopes", () => {
  const sealedBy = (name: string, id: PointId, payload: PayloadObject, clearFields = ["lang"]) =>
    new Sealer({ publicKey: alice.publicKeyPem, sealingId: fake.of(name).info.sealingId, clearFields }).seal(
      id,
      payload,
    );

  it.each(["off", "optional", "required"])("are compacted and stored under %s", async (name) => {
    await upsert(name, [point(7n, sealedBy(name, 7n, document))]);
    expectSealed(name, 7n, alice.publicKeyPem);
    expect(opened(name, 7n, alice.privateKeyPem)).toEqual(document);
  });

  it.each(["off", "optional", "required"])("are refused under %s when malformed", async (name) => {
    const good = sealedBy(name, 7n, document);
    const [envelope] = good[sealedKey] as [{ [key: string]: string }];
    const with_ = (change: object) => point(7n, { ...good, [sealedKey]: [{ ...envelope, ...change }] });
    const offCurve = Buffer.alloc(65, 9);
    offCurve[0] = 4;
    const bad: [ReturnType<typeof point>, string][] = [
      [with_({ sealing_id: Buffer.alloc(16, 99).toString("base64url") }), "sealing_id"],
      [with_({ ephemeral_public_key: offCurve.toString("base64url") }), "ephemeral_public_key"],
      [with_({ nonce: "AAAA" }), "nonce"],
      [with_({ tag: `${envelope.tag}==` }), "tag"],
      [with_({ version: 2n }), "version"],
      [with_({ version: 1 }), "version"],
      [with_({ algorithm: "none" }), "algorithm"],
      [with_({ encrypted_data: "" }), "encrypted_data"],
      [with_({ extra: 1n }), sealedKey],
      [point(7n, { ...good, [sealedKey]: [] }), sealedKey],
      [point(7n, { ...good, [sealedKey]: Array(9).fill(envelope) }), sealedKey],
      [point(7n, { ...good, [sealedKey]: secret }), sealedKey],
    ];
    for (const [each, part] of bad) {
      const failure = await upsert(name, [each]).catch((error: unknown) => error);
      expect(failure, part).toMatchObject({ kind: "bad_input", details: { field: expect.stringContaining(part) } });
      expect(String(failure)).not.toContain(secret);
    }
    expect(fake.writes).toEqual([]);
  });

  it("required: refuses plain fields beside them, by name", async () => {
    const mixed = { ...sealedBy("required", 7n, document), title: "plain" };
    await expect(upsert("required", [point(7n, mixed)])).rejects.toMatchObject({
      kind: "precondition",
      details: { field: "points[0].payload.title" },
    });
  });

  it("with a key as well: kept when only clear fields stand beside them, else ambiguous", async () => {
    const sealed = sealedBy("optional", 7n, document);
    await upsert("optional", [point(7n, sealed)], bob.publicKeyPem);
    expectSealed("optional", 7n, alice.publicKeyPem);
    await expect(
      upsert("optional", [point(8n, { ...sealed, title: "plain" })], bob.publicKeyPem),
    ).rejects.toMatchObject({ kind: "bad_input" });
  });
});

describe("partial updates", () => {
  const patch = encodePayload({ title: "newer", lang: "de" });

  it("set_payload with a key appends an envelope to each point and merges clear fields", async () => {
    await upsert("required", [point(1n), point(2n)], alice.publicKeyPem);
    await write("required", {
      kind: "set_payload",
      selector: ids(1n, 2n),
      payload: patch,
      publicKey: alice.publicKeyPem,
    });
    expect(fake.writes.at(-1)).toMatchObject({ kind: "seal_payload", replace: false });
    expect(readEnvelopes(stored("required", 1n))).toHaveLength(2);
    expect(opened("required", 1n, alice.privateKeyPem)).toEqual({ lang: "de", title: "newer" });
    expect(opened("required", 2n, alice.privateKeyPem)).toEqual({ lang: "de", title: "newer" });
  });

  it("what a key seals no longer stands in plain beside it", async () => {
    await upsert("optional", [point(1n, { lang: "en", title: secret, year: 1n })]);
    const payload = encodePayload({ title: "new", lang: "fr" });
    await write("optional", { kind: "set_payload", selector: ids(1n), payload, publicKey: alice.publicKeyPem });
    expect(Buffer.from(stored("optional", 1n)).includes(secret)).toBe(false);
    expect(opened("optional", 1n, alice.privateKeyPem)).toEqual({ lang: "fr", title: "new", year: 1n });
  });

  it("by filter: each matching point gets an envelope of its own", async () => {
    await upsert("required", [point(1n), point(2n)], alice.publicKeyPem);
    const selector = { kind: "filter" as const, filter: filter({ kind: "match_keyword", key: "lang", value: "en" }) };
    await write("required", { kind: "overwrite_payload", selector, payload: patch, publicKey: alice.publicKeyPem });
    expect(readEnvelopes(stored("required", 1n))).toHaveLength(1);
    expect(opened("required", 2n, alice.privateKeyPem)).toEqual({ lang: "de", title: "newer" });
  });

  it("a client's own envelope is appended to exactly one point", async () => {
    await upsert("required", [point(1n)], alice.publicKeyPem);
    const sealer = new Sealer({ publicKey: alice.publicKeyPem, sealingId: fake.of("required").info.sealingId });
    const payload = encodePayload(sealer.seal(1n, { extra: 1n }));
    await write("required", { kind: "set_payload", selector: ids(1n), payload });
    expect(opened("required", 1n, alice.privateKeyPem)).toEqual({ ...document, extra: 1n });
    await expect(write("required", { kind: "set_payload", selector: ids(1n, 2n), payload })).rejects.toMatchObject({
      kind: "bad_input",
    });
  });

  it("required: nothing plain gets in by a partial update, clear fields do", async () => {
    await upsert("required", [point(1n)], alice.publicKeyPem);
    const selector = ids(1n);
    const title = encodePayload({ title: secret });
    const refused: WriteOperation[] = [
      { kind: "set_payload", selector, payload: title },
      { kind: "overwrite_payload", selector, payload: title },
      { kind: "overwrite_payload", selector, payload: encodePayload({ lang: "de" }) },
      { kind: "set_payload", selector, payload: title, key: "a.b" },
      { kind: "set_payload", selector, payload: title, key: "a.b", publicKey: alice.publicKeyPem },
      { kind: "delete_payload", selector, keys: ["title"] },
      { kind: "delete_payload", selector, keys: [sealedKey] },
      { kind: "delete_payload", selector, keys: [`"${sealedKey}"`] },
    ];
    const before = fake.writes.length;
    for (const operation of refused)
      await expect(write("required", operation)).rejects.toMatchObject({ kind: "precondition" });
    expect(fake.writes.length).toBe(before);
    await write("required", { kind: "set_payload", selector, payload: encodePayload({ lang: "de" }) });
    await write("required", { kind: "delete_payload", selector, keys: ["lang"] });
    await write("required", { kind: "clear_payload", selector });
    await expect(
      write("required", { kind: "set_payload", selector, payload: encodePayload({ [sealedKey]: "x" }), key: "lang" }),
    ).rejects.toMatchObject({ kind: "bad_input" });
  });

  it("optional: a plain update of a sealed point is refused, of a plain one passes", async () => {
    await upsert("optional", [point(1n, document, alice.publicKeyPem), point(2n)]);
    const payload = encodePayload({ title: "plain" });
    await expect(write("optional", { kind: "set_payload", selector: ids(1n, 2n), payload })).rejects.toMatchObject({
      kind: "precondition",
    });
    await expect(
      write("optional", { kind: "delete_payload", selector: ids(1n), keys: ["title"] }),
    ).rejects.toMatchObject({ kind: "precondition" });
    await write("optional", { kind: "set_payload", selector: ids(2n), payload });
    await write("optional", { kind: "delete_payload", selector: ids(2n), keys: ["title"] });
  });

  it("nobody but the decorator makes seal_payload", async () => {
    await expect(write("off", { kind: "seal_payload", points: [], replace: true })).rejects.toMatchObject({
      kind: "internal",
    });
  });
});

function filter(...must: Condition[]): Filter {
  return { must, should: [], mustNot: [] };
}

describe("filters", () => {
  const title: Condition = { kind: "match_keyword", key: "title", value: "x" };
  const lang: Condition = { kind: "match_keyword", key: "lang", value: "en" };
  const none: Filter = { must: [], should: [], mustNot: [] };
  const onTitle: [string, Filter][] = [
    ["must", filter(title)],
    ["should", { ...none, should: [lang, title] }],
    ["must_not", { ...none, mustNot: [title] }],
    ["min_should", { ...none, minShould: { conditions: [title], minCount: 1 } }],
    ["is_empty", filter({ kind: "is_empty", key: "title" })],
    ["is_null", filter({ kind: "is_null", key: "title.deep[].er" })],
    ["values_count", filter({ kind: "values_count", key: "title[]", bounds: {} })],
    ["nested", filter({ kind: "nested", key: "title", filter: filter(lang) })],
    [
      "inner filter",
      filter({ kind: "filter", filter: { ...none, mustNot: [{ kind: "filter", filter: filter(title) }] } }),
    ],
    ["quoted", filter({ kind: "is_null", key: '"lang.x".y' })],
    ["the envelopes themselves", filter({ kind: "is_empty", key: `"${sealedKey}"` })],
  ];
  const onClear: [string, Filter][] = [
    [
      "clear field",
      filter(lang, { kind: "is_empty", key: "lang.deep" }, { kind: "nested", key: "lang[]", filter: filter(title) }),
    ],
    ["ids and vectors", filter({ kind: "has_id", ids: [1n] }, { kind: "has_vector", name: "" })],
    ["nothing", none],
  ];
  const query = (each: Filter): NearestQuery => ({
    using: "",
    vector: new Float32Array(2),
    filter: each,
    limit: 1,
    offset: 0,
    payload: { kind: "all" },
    vectors: { kind: "none" },
  });
  const request = (each: Filter) => ({
    filter: each,
    limit: 1,
    payload: { kind: "none" as const },
    vectors: { kind: "none" as const },
  });
  const everyDoor = (name: string, each: Filter): (() => Promise<unknown>)[] => [
    () => engine.search(name, query(each)),
    () => engine.searchBatch(name, [query(none), query(each)]),
    () => engine.count(name, each, true),
    () => engine.scroll(name, request(each)),
    () => engine.openScroll(name, request(each)),
    () => write(name, { kind: "delete", selector: { kind: "filter", filter: each } }),
    () => write(name, { kind: "clear_payload", selector: { kind: "filter", filter: each } }),
    () => write(name, { kind: "delete_vectors", selector: { kind: "filter", filter: each }, names: [""] }),
  ];

  it.each(onTitle)("required: %s on a sealed field is an error at every door", async (_name, each) => {
    for (const door of everyDoor("required", each)) {
      await expect(door()).rejects.toMatchObject({ kind: "precondition", details: { reason: "SealedField" } });
    }
    expect(fake.writes).toEqual([]);
  });

  it.each(onClear)("required and optional: %s passes and judges all points", async (_name, each) => {
    for (const name of ["required", "optional"]) for (const door of everyDoor(name, each)) await door();
    expect(JSON.stringify([fake.reads, fake.writes], (_, v) => (typeof v === "bigint" ? 0 : v))).not.toContain(
      'plainOnly":true',
    );
  });

  it.each(onTitle)("optional: %s judges plain points only and counts the sealed ones", async (_name, each) => {
    await upsert("optional", [point(1n, document, alice.publicKeyPem), point(2n)]);
    fake.reads.length = 0;
    const [, ...writes] = [fake.writes.length, ...everyDoor("optional", each)];
    for (const door of writes) await door();
    expect(fake.reads.filter((read) => (read as { plainOnly?: boolean }).plainOnly === true)).toHaveLength(5);
    for (const operation of fake.writes.slice(1)) expect(operation).toMatchObject({ selector: { plainOnly: true } });
    expect(sealedSkippedOf(await engine.search("optional", query(each)))).toBe(1);
    expect(sealedSkippedOf(await engine.search("optional", query(none)))).toBe(0);
    expect(await engine.sealedSkipped("optional", each)).toBe(1);
  });

  it.each(onTitle)("optional: %s costs nothing more while no point is sealed", async (_name, each) => {
    await upsert("optional", [point(1n)]);
    await engine.search("optional", query(each));
    const asked = vi.spyOn(fake, "of");
    await engine.search("optional", query(each));
    await engine.searchBatch("optional", [query(each), query(each)]);
    await engine.count("optional", each, true);
    expect(await engine.sealedSkipped("optional", each)).toBe(0);
    await engine.openScroll("optional", request(each));
    expect(asked).not.toHaveBeenCalled();
    // And is told at once when the first is.
    await upsert("optional", [point(2n, document, alice.publicKeyPem)]);
    expect(await engine.sealedSkipped("optional", each)).toBe(1);
    expect(sealedSkippedOf(await engine.openScroll("optional", request(each)))).toBe(1);
  });

  it("a partial update that would be sealed too many times is refused before it is", async () => {
    const payload = encodePayload({ title: "x".repeat(2 ** 20) });
    const selector = ids(...Array.from({ length: 257 }, (_, i) => BigInt(i)));
    await expect(
      write("optional", { kind: "set_payload", selector, payload, publicKey: alice.publicKeyPem }),
    ).rejects.toMatchObject({ kind: "bad_input", details: { field: "payload" } });
  });

  it("field indexes: only on clear fields under required", async () => {
    await expect(engine.createFieldIndex("required", "title", "keyword", "")).rejects.toMatchObject({
      kind: "precondition",
    });
    await engine.createFieldIndex("required", "lang.x", "keyword", "");
    await engine.createFieldIndex("optional", "title", "keyword", "");
    // And taken back when the policy becomes stricter while it is made.
    fake.beforeIndex = () => fake.setPolicy("optional", policy("required"));
    await expect(engine.createFieldIndex("optional", "name", "keyword", "")).rejects.toMatchObject({
      kind: "precondition",
    });
    expect(fake.deletedIndexes).toEqual(["name"]);
  });

  it("payload selectors always keep the envelopes", async () => {
    await engine.search("required", { ...query(none), payload: { kind: "include", keys: ["lang"] } });
    await engine.search("required", { ...query(none), payload: { kind: "exclude", keys: [`"${sealedKey}"`, "lang"] } });
    expect(fake.reads).toMatchObject([
      { payload: { kind: "include", keys: [`"${sealedKey}"`, "lang"] } },
      { payload: { kind: "exclude", keys: ["lang"] } },
    ]);
  });
});

describe("policies", () => {
  it("a write admitted under a policy that has moved is judged anew, never let in", async () => {
    await upsert("optional", [point(1n)]);
    fake.beforeWrite = () => {
      fake.beforeWrite = undefined;
      fake.setPolicy("optional", policy("required"));
    };
    await expect(upsert("optional", [point(2n)])).rejects.toMatchObject({ kind: "precondition" });
    expect(fake.of("optional").points.size).toBe(1);
  });

  it("a refusal under a policy that has moved is judged anew as well", async () => {
    await upsert("required", [point(1n)], alice.publicKeyPem);
    fake.setPolicy("required", policy("off"));
    await upsert("required", [point(2n)]);
    expect(fake.of("required").points.size).toBe(2);
  });

  it("an alias that moved is judged by the collection it now names", async () => {
    await engine.updateAliases([{ kind: "create", alias: "now", collection: "off" }]);
    await upsert("now", [point(1n)]);
    // Behind the decorator's back, as another worker would.
    fake.aliases.set("now", "required");
    await expect(upsert("now", [point(2n)])).rejects.toMatchObject({ kind: "precondition" });
    expect(fake.of("required").points.size).toBe(0);
  });

  it("are put into one form and checked by name", async () => {
    const compressed = Buffer.concat([
      Buffer.from([2 + ((parsePublicKey(bob.publicKeyPem).point[64] as number) & 1)]),
      parsePublicKey(bob.publicKeyPem).point.subarray(1, 33),
    ]);
    await engine.setSealingPolicy(
      "off",
      policy("required", { recipients: [alice.publicKeyPem, compressed.toString("hex"), bob.publicKeyPem] }),
    );
    expect(fake.of("off").info.sealing.recipients).toEqual([spki(alice.publicKeyPem), spki(bob.publicKeyPem)]);
    const bad: [Partial<SealingPolicy>, string][] = [
      [{ recipients: [alice.publicKeyPem, "bad!"] }, "policy.recipients[1]"],
      [{ recipients: Array(17).fill(alice.publicKeyPem) }, "policy.recipients"],
      [{ clearFields: ["ok", ""] }, "policy.clear_fields[1]"],
      [{ clearFields: [sealedKey] }, "policy.clear_fields[0]"],
      [{ clearFields: Array(257).fill("x") }, "policy.clear_fields"],
      [{ mode: "sometimes" as never }, "policy.mode"],
    ];
    for (const [change, field] of bad) {
      await expect(engine.setSealingPolicy("off", policy("required", change))).rejects.toMatchObject({
        kind: "bad_input",
        details: { field },
      });
    }
  });
});
