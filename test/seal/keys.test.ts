import { execFileSync } from "node:child_process";
import { createPrivateKey, createPublicKey, ECDH, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import * as client from "../../clients/typescript/src/seal/index.ts";
import { generateKeyPair, isCurvePoint, parsePrivateKey, parsePublicKey } from "../../src/seal/index.ts";

const pair = generateKeyPair();
const spki = createPublicKey(pair.publicKeyPem).export({ format: "der", type: "spki" });
const point = spki.subarray(26);
const compressed = ECDH.convertKey(point, "prime256v1", undefined, undefined, "compressed") as Buffer;
const compressedSpki = Buffer.concat([
  Buffer.from("3039301306072a8648ce3d020106082a8648ce3d030107032200", "hex"),
  compressed,
]);
const scalar = Buffer.from(createPrivateKey(pair.privateKeyPem).export({ format: "jwk" }).d ?? "", "base64url");

const forms = [spki, point, compressed, compressedSpki].flatMap((bytes) => [
  bytes.toString("hex"),
  bytes.toString("hex").toUpperCase(),
  `0x${bytes.toString("hex")}`,
  bytes.toString("base64"),
  bytes.toString("base64").replace(/=+$/, ""),
  bytes.toString("base64url"),
]);

const offCurve = Buffer.from(point);
offCurve[64] = (offCurve[64] as number) ^ 1;
const otherCurve = generateKeyPairSync("ec", { namedCurve: "secp384r1" }).publicKey;
const refused: [string, string, RegExp][] = [
  ["empty", "", /empty/],
  ["blank", "  ", /empty/],
  ["noise", "not a key!", /not PEM/],
  ["X-only hex", point.subarray(1, 33).toString("hex"), /X-only/],
  ["X-only base64", point.subarray(1, 33).toString("base64"), /X-only/],
  ["off the curve", offCurve.toString("hex"), /not on the curve/],
  ["infinity", "00", /P-256|infinity/],
  [
    "hybrid form",
    Buffer.concat([Buffer.from([6 + ((point[64] as number) & 1)]), point.subarray(1)]).toString("hex"),
    /P-256/,
  ],
  ["coordinate above the field", `04${"ff".repeat(64)}`, /not on the curve/],
  ["another curve", otherCurve.export({ format: "pem", type: "spki" }) as string, /P-256/],
  ["a private key", pair.privateKeyPem, /private key/],
  ["too long", "A".repeat(1025), /longer than 1024/],
  ["a byte too many", `${point.toString("hex")}00`, /not PEM|P-256/],
];

describe("public keys", () => {
  it.each([pair.publicKeyPem, pair.publicKeyPem.replaceAll("\n", "\r\n"), `\n${pair.publicKeyPem}\n`, ...forms])(
    "accepts %s",
    (text) => {
      expect(Buffer.from(parsePublicKey(text).spki)).toEqual(spki);
      expect(Buffer.from(client.parsePublicKey(text).spki)).toEqual(spki);
      expect(Buffer.from(client.parsePublicKey(text).kid)).toEqual(Buffer.from(parsePublicKey(text).kid));
    },
  );

  it.each(refused)("refuses %s with its reason", (_name, text, reason) => {
    expect(() => parsePublicKey(text, "points[3].public_key")).toThrow(reason);
    expect(() => parsePublicKey(text, "points[3].public_key")).toThrow(/^points\[3\]\.public_key: /);
    expect(() => client.parsePublicKey(text)).toThrow(client.SealError);
    if (text.trim().length > 4) expect(() => parsePublicKey(text)).not.toThrow(text.trim().slice(0, 64));
  });

  it("keeps a bounded number of them", () => {
    for (let i = 0; i < 1100; i++)
      parsePublicKey(" ".repeat(i % 500) + forms[i % forms.length] + " ".repeat(Math.floor(i / 500)));
    expect(Buffer.from(parsePublicKey(pair.publicKeyPem).spki)).toEqual(spki);
  });

  it("tells points of the curve from others", () => {
    expect(isCurvePoint(point)).toBe(true);
    expect(isCurvePoint(point)).toBe(true);
    expect(isCurvePoint(offCurve)).toBe(false);
    expect(isCurvePoint(compressed)).toBe(false);
    expect(isCurvePoint(new Uint8Array(65))).toBe(false);
  });
});

describe("private keys", () => {
  const key = createPrivateKey(pair.privateKeyPem);
  const sec1 = key.export({ format: "pem", type: "sec1" }) as string;
  it.each([
    pair.privateKeyPem,
    sec1,
    scalar.toString("hex"),
    `0x${scalar.toString("hex")}`,
    scalar.toString("base64"),
    scalar.toString("base64url"),
  ])("accepts form %#", (text) => {
    expect(Buffer.from(parsePrivateKey(text).publicKey.spki)).toEqual(spki);
    expect(Buffer.from(client.parsePrivateKey(text).publicKey.spki)).toEqual(spki);
  });

  it("accepts what openssl writes", () => {
    const text = execFileSync("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout"], { encoding: "utf8" });
    expect(Buffer.from(client.parsePrivateKey(text).publicKey.kid)).toEqual(
      Buffer.from(parsePrivateKey(text).publicKey.kid),
    );
  });

  const others = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  it.each(["", "00".repeat(32), "ff".repeat(32), "aa", pair.publicKeyPem, others, "A".repeat(2000)])(
    "refuses bad form %#",
    (text) => {
      expect(() => parsePrivateKey(text)).toThrow(/^private key: /);
      expect(() => client.parsePrivateKey(text)).toThrow(client.SealError);
    },
  );
});
