import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as client from "../../clients/typescript/src/seal/index.ts";
import { padmeLength as clientPadme } from "../../clients/typescript/src/seal/padme.ts";
import type { PayloadObject, PayloadValue, PointId } from "../../src/core/index.ts";
import {
  generateKeyPair,
  openEnvelope,
  openJson,
  openPayload,
  padmeLength,
  parsePrivateKey,
  parsePublicKey,
  sealBatch,
} from "../../src/seal/index.ts";
import {
  buildSealed,
  compactSealed,
  decodePayload,
  encodePayload,
  expandSealed,
  splitEnvelope,
} from "../../src/wire/index.ts";
import { toProtoJson } from "../support/proto-json.ts";

const pair = generateKeyPair();
const key = parsePrivateKey(pair.privateKeyPem);
const sealingId = new Uint8Array(16).fill(7);
const sealingIdHex = Buffer.from(sealingId).toString("hex");
const none = new Uint8Array(0);

const text = fc.string({ unit: "grapheme" }).filter((value) => value !== "$sealpoint");
const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.integer().map(BigInt),
  fc.double(),
  fc.float(),
  fc.integer({ min: -70000, max: 70000 }),
  text,
);
const { value: anyValue } = fc.letrec<{ value: PayloadValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(text, tie("value"), { maxKeys: 5 }),
  ),
}));
const anyPayload: fc.Arbitrary<PayloadObject> = fc.dictionary(text, anyValue, { maxKeys: 8 });
const anyId: fc.Arbitrary<PointId> = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.uuid());

/** Without prototypes, so that objects compare by content. */
const plain = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(plain)
    : typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]))
      : value;

const envelopeOf = async (id: PointId, payload: PayloadObject, padding = false) => {
  const [envelope] = await sealBatch([{ id, payload: encodePayload(payload), recipient: key.publicKey }], {
    sealingId,
    padding,
  });
  return envelope as Uint8Array;
};

describe("sealing", () => {
  it("round-trips any payload, between node and noble in both directions", async () => {
    await fc.assert(
      fc.asyncProperty(anyId, anyPayload, fc.boolean(), async (id, payload, padding) => {
        const envelope = await envelopeOf(id, payload, padding);
        expect(plain(openEnvelope(key, id, envelope))).toStrictEqual(plain(payload));
        const json = decodePayload(expandSealed(buildSealed([envelope], none)));
        expect(plain(client.open(json, { id, privateKey: pair.privateKeyPem }))).toStrictEqual(plain(payload));
        const sealed = client.seal(payload, { id, publicKey: pair.publicKeyPem, sealingId, padding });
        const opened = openPayload({ privateKey: key, id, payload: compactSealed(encodePayload(sealed)) });
        expect(plain(opened)).toStrictEqual(plain(payload));
      }),
      { numRuns: 60 },
    );
  });

  it("does not open with any byte changed, nor cut or grown", async () => {
    const id = 5n;
    const envelope = await envelopeOf(id, { title: "tamper with me", n: 1n }, true);
    expect(openEnvelope(key, id, envelope).n).toBe(1n);
    const opener = new client.Opener({ privateKey: pair.privateKeyPem });
    for (let i = 0; i < envelope.length; i++) {
      const changed = envelope.slice();
      changed[i] = (changed[i] as number) ^ (1 << (i & 7));
      expect(() => openEnvelope(key, id, changed)).toThrow(/^cannot open the seal$/);
      // Noble sees what still has an envelope's form.
      if (i < 3 || (i >= 27 && i < 29)) continue;
      const json = decodePayload(expandSealed(buildSealed([changed], none)));
      expect(() => opener.open(id, json)).toThrow(/^cannot open the seal$/);
    }
    for (const other of [envelope.slice(0, -1), envelope.slice(0, 40), none, new Uint8Array([...envelope, 0])]) {
      expect(() => openEnvelope(key, id, other)).toThrow(/^cannot open the seal$/);
    }
  });

  it("says the same for a wrong key, another point and another collection", async () => {
    const id = "550e8400-e29b-41d4-a716-446655440000";
    const envelope = await envelopeOf(id, { a: 1n });
    const text = /^cannot open the seal$/;
    expect(() => openEnvelope(parsePrivateKey(generateKeyPair().privateKeyPem), id, envelope)).toThrow(text);
    expect(() => openEnvelope(key, "550e8400-e29b-41d4-a716-446655440001", envelope)).toThrow(text);
    expect(() => openEnvelope(key, 1n, envelope)).toThrow(text);
    expect(() => openEnvelope(key, id, envelope, { acceptedSealingIds: ["00".repeat(16)] })).toThrow(text);
    expect(openEnvelope(key, id, envelope, { acceptedSealingIds: ["00".repeat(16), sealingIdHex] })).toEqual({ a: 1n });
  });

  it("uses one ephemeral key for a batch and recipient, or a fresh one for each point", async () => {
    const other = parsePublicKey(generateKeyPair().publicKeyPem);
    const items = Array.from({ length: 600 }, (_, i) => ({
      id: BigInt(i),
      payload: encodePayload({ i: BigInt(i) }),
      recipient: i % 2 === 0 ? key.publicKey : other,
    }));
    const distinct = (envelopes: Uint8Array[], part: "enc" | "nonce") =>
      new Set(envelopes.map((envelope) => Buffer.from(splitEnvelope(envelope)[part]).toString("hex"))).size;
    const batch = await sealBatch(items, { sealingId });
    expect(distinct(batch, "enc")).toBe(2);
    expect(distinct(batch, "nonce")).toBe(600);
    expect(openEnvelope(key, 598n, batch[598] as Uint8Array)).toEqual({ i: 598n });
    expect(distinct(await sealBatch(items, { sealingId, freshEphemeral: true }), "enc")).toBe(600);
  });

  it("lets the event loop turn while it seals", async () => {
    const payload = encodePayload({ text: "x".repeat(1000) });
    const items = Array.from({ length: 5000 }, (_, i) => ({ id: BigInt(i), payload, recipient: key.publicKey }));
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await sealBatch(items, { sealingId });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  it("pads to Padme's lengths, the same in both", () => {
    expect([0, 1, 2, 7, 8, 9, 15, 17, 100, 1000, 1025, 65537].map(padmeLength)).toEqual([
      0, 1, 2, 7, 8, 10, 16, 18, 104, 1024, 1088, 67584,
    ]);
    for (let length = 0; length < 5000; length++) expect(clientPadme(length)).toBe(padmeLength(length));
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 2 ** 24 }), (length) => {
        const padded = padmeLength(length);
        expect(padded).toBe(clientPadme(length));
        expect(padded).toBeGreaterThanOrEqual(length);
        expect(padded).toBeLessThanOrEqual(length * 1.12 + 1);
        expect(padmeLength(padded)).toBe(padded);
      }),
    );
  });
});

describe("opening what grpcurl and REST print", () => {
  it("opens points wherever they stand, in the style they came in", async () => {
    const payload: PayloadObject = { title: "t", year: 1999n, ratio: 2, tags: ["a", null, true, { x: Number.NaN }] };
    const sealed = decodePayload(
      expandSealed(buildSealed([await envelopeOf(3n, payload)], encodePayload({ lang: "en" }))),
    );
    const proto = (object: PayloadObject) =>
      Object.fromEntries(Object.entries(object).map(([name, value]) => [name, toProtoJson(value)]));
    const answer = {
      result: [
        { id: { num: "3" }, payload: proto(sealed), score: 0.5 },
        { id: { num: "4" }, payload: {} },
      ],
      time: 1,
    };
    const opened = openJson(answer, key) as typeof answer;
    expect(opened.result[0]).toEqual({ id: { num: "3" }, score: 0.5, payload: proto({ lang: "en", ...payload }) });
    expect(opened.result[1]).toEqual(answer.result[1]);

    const rest = JSON.parse(
      JSON.stringify({ id: 3, payload: sealed }, (_, value) => (typeof value === "bigint" ? Number(value) : value)),
    );
    expect(openJson(rest, key)).toMatchObject({ id: 3, payload: { lang: "en", title: "t", year: 1999, ratio: 2 } });
    expect(() => openJson({ ...rest, id: 4 }, key)).toThrow("cannot open the seal");
  });
});
