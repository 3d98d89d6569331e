import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { encodeMap } from "../../clients/typescript/src/seal/cbor.ts";
import { Opener } from "../../clients/typescript/src/seal/index.ts";
import type { PayloadObject, PayloadValue, PointId } from "../../src/core/index.ts";
import { decodeSealedMap, openPayload, parsePrivateKey, transcodePayload } from "../../src/seal/index.ts";
import { buildSealed, compactSealed, encodePayload } from "../../src/wire/index.ts";
import { fromProtoMap } from "../support/proto-json.ts";

interface VectorFile {
  producer: string;
  private_key: string;
  private_key_pem: string;
  public_key: string;
  sealing_id: string;
  cases: {
    name: string;
    id: { num?: string; uuid?: string };
    payload: object;
    clear: object;
    padding: boolean;
    envelopes: { [key: string]: string | number }[];
    binary: string[];
    plaintext: string[];
  }[];
}

const folder = new URL("../vectors/", import.meta.url);
const files = readdirSync(folder)
  .filter((name) => /^sealing-v1-\w+\.json$/.test(name))
  .map((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")) as VectorFile);

it("there are vectors", () => {
  expect(files.map((file) => file.producer)).toContain("typescript");
});

describe.each(files)("sealed by $producer", (file) => {
  const key = parsePrivateKey(file.private_key);
  const acceptedSealingIds = [file.sealing_id];

  it("its keys agree in every form", () => {
    const pem = parsePrivateKey(file.private_key_pem);
    expect(Buffer.from(pem.publicKey.spki).toString("base64")).toBe(file.public_key);
    expect(Buffer.from(key.publicKey.spki)).toEqual(Buffer.from(pem.publicKey.spki));
  });

  it.each(file.cases)("$name", (each) => {
    const id: PointId = each.id.uuid ?? BigInt(each.id.num ?? "");
    const expected = { ...fromProtoMap(each.payload) };
    const clear = encodePayload(fromProtoMap(each.clear));
    const binary = each.binary.map((text) => new Uint8Array(Buffer.from(text, "hex")));
    const envelopes = each.envelopes.map((envelope) => ({ ...envelope, version: BigInt(envelope.version as number) }));

    const stored = buildSealed(binary, clear);
    expect({ ...openPayload({ privateKey: key, id, payload: stored, acceptedSealingIds }) }).toStrictEqual(expected);

    const json = { ...fromProtoMap(each.clear), $sealpoint: envelopes as PayloadValue } as PayloadObject;
    expect(Buffer.from(compactSealed(encodePayload(json)))).toEqual(Buffer.from(stored));
    const opener = new Opener({ privateKey: file.private_key_pem, acceptedSealingIds });
    expect({ ...opener.open(id, json) }).toStrictEqual(expected);

    for (const text of each.plaintext) {
      const plaintext = new Uint8Array(Buffer.from(text, "hex"));
      const map = decodeSealedMap(plaintext);
      const again = transcodePayload(encodePayload(map));
      expect(Buffer.from(encodeMap(map))).toEqual(again);
      expect(Buffer.from(plaintext.subarray(0, again.length))).toEqual(again);
      if (!each.padding) expect(plaintext.length).toBe(again.length);
    }
  });
});
