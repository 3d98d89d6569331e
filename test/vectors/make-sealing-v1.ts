/** Writes sealing-v1-typescript.json with the TypeScript client's own sealing. */
import { writeFileSync } from "node:fs";
import { encodeMap } from "../../clients/typescript/src/seal/cbor.ts";
import { envelopesFromJson } from "../../clients/typescript/src/seal/envelope.ts";
import { generateKey, type Payload, type PointId, Sealer, sealedKey } from "../../clients/typescript/src/seal/index.ts";
import { padmeLength } from "../../clients/typescript/src/seal/padme.ts";
import { joinEnvelope } from "../../src/wire/envelope.ts";
import { toProtoJson } from "../support/proto-json.ts";

const key = generateKey();
const sealingId = crypto.getRandomValues(new Uint8Array(16));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

interface Case {
  name: string;
  id: PointId;
  payload: Payload;
  clearFields?: string[];
  padding?: boolean;
  later?: Payload;
}

const uuid = "550e8400-e29b-41d4-a716-446655440000";
const cases: Case[] = [
  { name: "empty payload", id: 0n, payload: {} },
  { name: "one text", id: 1n, payload: { title: "hello" } },
  { name: "largest number id", id: 2n ** 64n - 1n, payload: { a: true, b: false, c: null } },
  { name: "uuid id", id: uuid, payload: { title: "by uuid" } },
  {
    name: "integers",
    id: 7n,
    payload: {
      zero: 0n, small: 23n, byte: 24n, byteMax: 255n, word: 256n, wordMax: 65535n, long: 65536n, longMax: 4294967295n,
      beyond: 4294967296n, exact: 9007199254740993n, max: 2n ** 63n - 1n, minusOne: -1n, minus24: -24n, minus25: -25n,
      minusByte: -256n, minusLong: -4294967296n, min: -(2n ** 63n),
    },
  },
  {
    name: "doubles",
    id: 8n,
    payload: {
      one: 1, minusZero: -0, zero: 0, half: 0.5, tenth: 0.1, halfMax: 65504, beyondHalf: 65505, single: 16777216, beyondSingle: 16777217,
      subnormalHalf: 2 ** -24, halfOfIt: 2 ** -25, smallestNormalHalf: 2 ** -14, singleMax: 3.4028234663852886e38, max: Number.MAX_VALUE,
      min: Number.MIN_VALUE, singleSubnormal: 2 ** -149, nan: Number.NaN, inf: Number.POSITIVE_INFINITY, minusInf: Number.NEGATIVE_INFINITY, big: 2 ** 63,
    },
  },
  { name: "an integer and a double of one value", id: 9n, payload: { a: 1n, b: 1 } },
  {
    name: "unicode, and keys that sort by length first",
    id: 10n,
    payload: { b: "é", aa: "中文", "": "empty key", "é": 1n, z: "😀", "😀": "key", A: "\u0000\n\"\\", long: "x".repeat(300) },
  },
  {
    name: "nested",
    id: 11n,
    payload: { list: [1n, 2, "three", [null, [true]], { b: 1n, a: [] }], map: { z: {}, y: { x: { w: [{}, {}] } } }, empty: [], none: {} },
  },
  { name: "names that JavaScript treats specially", id: 12n, payload: Object.fromEntries([["__proto__", "p"], ["constructor", 1n], ["toString", null]]) },
  { name: "padding", id: 13n, payload: { title: "padded", text: "y".repeat(1000) }, padding: true },
  { name: "padding of a short payload", id: 14n, payload: { a: 1n }, padding: true },
  { name: "clear fields", id: 15n, payload: { lang: "en", year: 1999n, secret: "s" }, clearFields: ["lang", "year"] },
  { name: "only clear fields", id: 16n, payload: { lang: "en" }, clearFields: ["lang"] },
  { name: "two envelopes, the later wins", id: uuid, payload: { a: "old", b: "kept" }, later: { a: "new", c: 3n } },
];

const protoMap = (payload: Payload) => Object.fromEntries(Object.entries(payload).map(([name, value]) => [name, toProtoJson(value)]));

const out = cases.map(({ name, id, payload, clearFields = [], padding = false, later }) => {
  const sealer = new Sealer({ publicKey: key.publicKey, sealingId, clearFields, padding });
  const parts = [payload, ...(later === undefined ? [] : [later])];
  const sealed = parts.map((part) => sealer.seal(id, part));
  const envelopes = sealed.map((part) => (part[sealedKey] as readonly Payload[])[0] as Payload);
  const clear = Object.fromEntries(Object.entries(payload).filter(([field]) => clearFields.includes(field)));
  return {
    name,
    id: typeof id === "bigint" ? { num: id.toString() } : { uuid: id },
    payload: protoMap(Object.assign(Object.create(null), ...parts)),
    clear: protoMap(clear),
    padding,
    envelopes: envelopes.map((envelope) => ({ ...envelope, version: 1 })),
    binary: envelopesFromJson(envelopes).map((envelope) => hex(joinEnvelope(envelope))),
    plaintext: parts.map((part) => {
      const map = Object.fromEntries(Object.entries(part).filter(([field]) => !clearFields.includes(field)));
      const bytes = encodeMap(map);
      return hex(bytes).padEnd((padding ? padmeLength(bytes.length) : bytes.length) * 2, "0");
    }),
  };
});

/** RFC 5958 around RFC 5915, as `openssl ecparam -genkey` writes it. */
const pkcs8 = Buffer.concat([
  Buffer.from("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420", "hex"),
  key.scalar,
  Buffer.from("a144034200", "hex"),
  key.publicKey.point,
]);
const pem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString("base64").replace(/(.{64})/g, "$1\n").trimEnd()}\n-----END PRIVATE KEY-----\n`;

const file = {
  producer: "typescript",
  private_key: hex(key.scalar),
  private_key_pem: pem,
  public_key: Buffer.from(key.publicKey.spki).toString("base64"),
  sealing_id: hex(sealingId),
  cases: out,
};
writeFileSync(new URL("sealing-v1-typescript.json", import.meta.url), `${JSON.stringify(file, null, 1)}\n`);
