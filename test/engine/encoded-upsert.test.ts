/** Upserts that the addon reads itself, against the reader of single points; and that no way leads round the policy. SEED replays a run. */
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UpsertPointsSchema } from "../../gen/qdrant/points_pb.js";
import { BulkUpsertRequestSchema } from "../../gen/sealpoint/v1/ingest_pb.js";
import { type EncodedPoints, type PointId, type SealingPolicy, sealedKey, sealingOff } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { type Engine, guardEngine, type PointInput, type SealedEngine, sealEngine } from "../../src/engine/index.ts";
import { NativeReader } from "../../src/native/index.ts";
import {
  generateKeyPair,
  openPayload,
  parsePrivateKey,
  type SealBatchOptions,
  sealBatch,
  sealPoints,
} from "../../src/seal/index.ts";
import { openPlaintext } from "../../src/seal/open.ts";
import {
  buildSealed,
  decodeBulkUpsertRequest,
  decodeUpsertPoints,
  omitEntries,
  payloadKeys,
  pickEntries,
  readEnvelopes,
  skimBulkChunk,
  skimUpsertPoints,
} from "../../src/wire/index.ts";
import {
  arbitraryPayload,
  arbitraryText,
  arbitraryUuid,
  damage,
  makeRandom,
  reencode,
  seed,
} from "../wire/fuzz-support.ts";
import { all, configOf, failure, none, temporaryFolder, wait } from "./support.ts";

const numRuns = Number(process.env.FUZZ_RUNS ?? 300);
const folder = temporaryFolder();
let engine: Engine;
let sealed: SealedEngine;

beforeAll(async () => {
  engine = openEmbeddedEngine({ dataDir: folder.path });
  sealed = sealEngine(engine);
  console.log(`seed ${seed}`);
});
afterAll(async () => {
  await engine.close();
  folder.remove();
});

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
/** Few ids, so that a request often holds one twice. */
const pointId = fc.oneof(
  fc.bigInt({ min: 0n, max: 5n }).map((value) => ({ pointIdOptions: { case: "num" as const, value } })),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map((value) => ({ pointIdOptions: { case: "num" as const, value } })),
  fc
    .tuple(arbitraryUuid, fc.integer({ min: 0, max: 3 }))
    .map(([uuid, form]) => [uuid, uuid.toUpperCase(), uuid.replaceAll("-", ""), `urn:uuid:${uuid}`][form] as string)
    .map((value) => ({ pointIdOptions: { case: "uuid" as const, value } })),
);
const floats = (length: number) =>
  fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -4, max: 4 }), {
    minLength: length,
    maxLength: length,
  });
const vectorOf = (length: number) =>
  fc.oneof(
    floats(length).map((data) => ({ vector: { case: "dense" as const, value: { data } } })),
    floats(length).map((data) => ({ data })),
  );
/** In all forms that clients write, and at times with rows of unequal lengths. */
const multiOf = (length: number) =>
  fc.oneof(
    fc.array(floats(length), { minLength: 1, maxLength: 4 }).map((rows) => multiDense(rows)),
    fc.array(floats(length), { minLength: 1, maxLength: 4 }).map((rows) => ({
      data: rows.flat(),
      vectorsCount: rows.length,
    })),
    vectorOf(length),
    fc.tuple(floats(length), floats(length + 1)).map((rows) => multiDense(rows)),
    floats(3).map((data) => ({ data, vectorsCount: 2 })),
  );
const multiDense = (rows: readonly number[][]) => ({
  vector: { case: "multiDense" as const, value: { vectors: rows.map((data) => ({ data })) } },
});
const vectors = fc.oneof(
  { weight: 8, arbitrary: vectorOf(3).map((value) => ({ vectorsOptions: { case: "vector" as const, value } })) },
  {
    weight: 4,
    arbitrary: fc
      .record({ "": vectorOf(3), a: vectorOf(2), m: multiOf(2) }, { requiredKeys: [] })
      .map((value) => ({ vectorsOptions: { case: "vectors" as const, value: { vectors: value } } })),
  },
  // Wrong dimensions, an unknown name.
  { weight: 1, arbitrary: vectorOf(2).map((value) => ({ vectorsOptions: { case: "vector" as const, value } })) },
  {
    weight: 1,
    arbitrary: fc
      .record({ b: vectorOf(2) })
      .map((value) => ({ vectorsOptions: { case: "vectors" as const, value: { vectors: value } } })),
  },
);
const rarely = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 11, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
const payload = fc
  .tuple(arbitraryPayload, fc.integer({ min: 0, max: 15 }))
  .map(([entries, n]) =>
    n === 0 ? { ...entries, [sealedKey]: { kind: { case: "boolValue", value: true } } } : entries,
  );
const point = fc.record({
  id: pointId,
  payload,
  vectors: optional(vectors),
  publicKey: fc.integer({ min: 0, max: 15 }).map((n) => (n === 0 ? "a key" : undefined)),
});
const upsert = fc.record({
  collectionName: fc.constant("x"),
  wait: optional(fc.boolean()),
  points: fc.array(point, { minLength: 1, maxLength: 3 }),
  ordering: optional(fc.constant({ type: 1 })),
  timeout: optional(fc.bigInt({ min: 0n, max: 1n << 40n })),
  publicKey: rarely(arbitraryText),
});
const chunk = fc
  .record({ sequence: fc.bigInt({ min: 1n, max: 9n }), points: fc.array(point, { minLength: 1, maxLength: 3 }) })
  .map((value) => ({ message: { case: "chunk" as const, value } }));

async function contents(name: string, ids: readonly PointId[]): Promise<unknown[]> {
  const table = await engine.get(name, [...new Set(ids)], all, all);
  return Array.from({ length: table.length }, (_, row) => ({
    id: table.id(row),
    payload: Buffer.from(table.payload(row) ?? []).toString("hex"),
    vectors: table.vectors(row),
  }));
}

/** What today's reader makes of the points; undefined when it refuses any of them. */
function readWhole(form: "upsert" | "chunk", bytes: Uint8Array): readonly PointInput[] | undefined {
  if (form === "upsert") {
    const request = decodeUpsertPoints(bytes);
    return request.publicKey === undefined ? (request.points as readonly PointInput[]) : undefined;
  }
  const request = decodeBulkUpsertRequest(bytes);
  return request?.kind === "chunk" && request.refused.length === 0
    ? (request.points as readonly PointInput[])
    : undefined;
}

describe("an encoded upsert", () => {
  test.each(["upsert", "chunk"] as const)(
    "%s: is stored as the one read point by point, or not at all",
    async (form) => {
      const plain = configOf({ "": [3, "cosine"], a: [2, "dot"] });
      const m = { size: 2, distance: "cosine" as const, multivector: true };
      const config = { ...plain, vectors: { ...plain.vectors, m } };
      await engine.createCollection(`native-${form}`, config, sealingOff);
      await engine.createCollection(`read-${form}`, config, sealingOff);
      const random = makeRandom(seed);
      let taken = 0;
      let refused = 0;
      const one = async (bytes: Uint8Array) => {
        const request = form === "upsert" ? skimUpsertPoints(bytes) : undefined;
        const skimmed: EncodedPoints | undefined =
          form === "chunk"
            ? skimBulkChunk(bytes)?.points
            : request?.publicKey === undefined
              ? request?.points
              : undefined;
        const result = skimmed && (await engine.writeEncoded(`native-${form}`, skimmed, wait));
        if (result === undefined) {
          refused++;
          return;
        }
        taken++;
        const points = readWhole(form, bytes);
        if (points === undefined || skimmed === undefined) throw new Error("taken though the reader refuses it");
        expect(points).toHaveLength(skimmed.count);
        for (const { publicKey, payload: entries } of points) {
          expect(publicKey).toBeUndefined();
          expect(Buffer.from(entries).includes(sealedKey)).toBe(false);
        }
        await engine.write(`read-${form}`, { kind: "upsert", points }, wait);
        const ids = points.map(({ id }) => id);
        expect(await contents(`native-${form}`, ids)).toEqual(await contents(`read-${form}`, ids));
      };
      await fc.assert(
        fc.asyncProperty((form === "upsert" ? upsert : chunk) as fc.Arbitrary<object>, async (message) => {
          const schema = form === "upsert" ? UpsertPointsSchema : BulkUpsertRequestSchema;
          const bytes = toBinary(schema, create(schema as typeof UpsertPointsSchema, message));
          await one(bytes);
          await one(reencode(schema, bytes, random));
          await one(damage(bytes, random));
        }),
        { numRuns, seed, interruptAfterTimeLimit: 20_000 },
      );
      // Neither way may be dead, nor that of multivectors.
      const condition = { kind: "has_vector" as const, name: "m" };
      const filter = { must: [condition as never], should: [], mustNot: [] };
      expect(await engine.count(`native-${form}`, filter, true)).toBeGreaterThan(0);
      expect(taken).toBeGreaterThan(numRuns / 4);
      expect(refused).toBeGreaterThan(numRuns / 4);
      const counts = await Promise.all(
        [`native-${form}`, `read-${form}`].map((name) => engine.count(name, undefined, true)),
      );
      expect(counts[0]).toBe(counts[1]);
    },
    60_000,
  );

  const encodedPoints = (
    change: object = {},
    payloadOf: object = { a: { kind: { case: "boolValue", value: true } } },
  ) => {
    const vector = { case: "vector" as const, value: { vector: { case: "dense" as const, value: { data: [1] } } } };
    const ids = [1n, 2n].map((value) => ({ pointIdOptions: { case: "num" as const, value } }));
    const points = ids.map((id, i) => ({
      id,
      vectors: { vectorsOptions: vector },
      ...(i === 1 ? { payload: payloadOf, ...change } : {}),
    }));
    const message = create(UpsertPointsSchema, { collectionName: "x", points } as never);
    const skimmed = skimUpsertPoints(toBinary(UpsertPointsSchema, message));
    if (skimmed === undefined) throw new Error("not skimmed");
    return skimmed.points;
  };
  const { publicKeyPem, privateKeyPem } = generateKeyPair();
  const privateKey = parsePrivateKey(privateKeyPem);
  const other = generateKeyPair();
  const sealingId = Buffer.alloc(16, 7);
  const optionalPolicy: SealingPolicy = {
    mode: "optional",
    recipients: [],
    algorithm: "HPKE-P256-SHA256-A256GCM",
    clearFields: [],
    padding: true,
  };
  let made = 0;
  async function collection(policy: SealingPolicy): Promise<string> {
    const name = `policy-${++made}`;
    await sealed.createCollection(name, configOf({ "": [1, "dot"] }), policy);
    return name;
  }
  async function expectUntouched(name: string): Promise<void> {
    expect(await engine.count(name, undefined, true)).toBe(0);
  }

  test("is taken under off, and under optional without recipients", async () => {
    for (const policy of [{ ...optionalPolicy, mode: "off" as const }, optionalPolicy]) {
      const name = await collection(policy);
      expect(await sealed.writeEncoded(name, encodedPoints(), wait)).toMatchObject({ applied: true });
      expect(await engine.count(name, undefined, true)).toBe(2);
    }
  });

  test.each<[string, SealingPolicy]>([
    ["required", { ...optionalPolicy, mode: "required" }],
    ["required, with clear fields for all it holds", { ...optionalPolicy, mode: "required", clearFields: ["a"] }],
  ])("is not taken under %s", async (_, policy) => {
    const name = await collection(policy);
    expect(await sealed.writeEncoded(name, encodedPoints(), wait)).toBeUndefined();
    await expectUntouched(name);
  });

  test.each<[string, object, object?]>([
    ["brings a key", { publicKey: publicKeyPem }],
    ["brings an empty key", { publicKey: "" }],
    ["holds the reserved key", {}, { [sealedKey]: { kind: { case: "stringValue", value: "x" } } }],
    [
      "holds the reserved key inside",
      {},
      {
        a: {
          kind: {
            case: "structValue",
            value: { fields: { [sealedKey]: { kind: { case: "stringValue", value: "x" } } } },
          },
        },
      },
    ],
    ["has no id", { id: undefined }],
    [
      "has a vector that is not finite",
      { vectors: { vectorsOptions: { case: "vector", value: { data: [Number.NaN] } } } },
    ],
  ])("is not taken, not in part either, when a point %s", async (_, change, payloadOf) => {
    for (const mode of ["off", "optional"] as const) {
      const name = await collection({ ...optionalPolicy, mode });
      expect(await sealed.writeEncoded(name, encodedPoints(change, payloadOf), wait)).toBeUndefined();
      await expectUntouched(name);
    }
  });

  test("is not taken when the policy became stricter behind the cache", async () => {
    const name = await collection(optionalPolicy);
    expect(await sealed.writeEncoded(name, encodedPoints(), wait)).toMatchObject({ applied: true });
    await engine.write(name, { kind: "delete", selector: { kind: "ids", ids: [1n, 2n] } }, wait);
    await engine.setSealingPolicy(name, { ...optionalPolicy, mode: "required" });
    expect(await sealed.writeEncoded(name, encodedPoints(), wait)).toBeUndefined();
    await expectUntouched(name);
    // And taken again once it is looser.
    await engine.setSealingPolicy(name, optionalPolicy);
    await sealed.collectionInfo(name);
    const again = await sealed.writeEncoded(name, encodedPoints(), wait);
    if (again === undefined) await sealed.setSealingPolicy(name, optionalPolicy);
    expect(await sealed.writeEncoded(name, encodedPoints(), wait)).toMatchObject({ applied: true });
  });

  test("keeps a stream's position, and says when a chunk is repeated or early", async () => {
    const name = await collection(optionalPolicy);
    const at = (sequence: bigint) => ({ wait: true, stream: { id: "s", sequence } });
    expect(await sealed.writeEncoded(name, encodedPoints(), at(1n))).toMatchObject({ applied: true });
    expect(await sealed.writeEncoded(name, encodedPoints(), at(1n))).toMatchObject({ applied: false });
    expect(await failure(sealed.writeEncoded(name, encodedPoints(), at(3n)))).toMatchObject({
      kind: "aborted",
      details: { field: "chunk.sequence" },
    });
    expect(await engine.streamPosition(name, "s")).toBe(1n);
  });

  test("needs the right to write", async () => {
    const name = await collection(optionalPolicy);
    const guarded = guardEngine(sealed, { kind: "global", mode: "read" });
    expect((await failure(guarded.writeEncoded(name, encodedPoints(), wait))).kind).toBe("forbidden");
    await expectUntouched(name);
    expect((await engine.get(name, [1n], none, none)).length).toBe(0);
  });

  test.each<[string, SealingPolicy, string?]>([
    ["required with recipients", { ...optionalPolicy, mode: "required", recipients: [publicKeyPem] }],
    ["optional with recipients", { ...optionalPolicy, recipients: [publicKeyPem] }],
    ["required, with a key", { ...optionalPolicy, mode: "required" }, publicKeyPem],
    ["optional, with a key", optionalPolicy, publicKeyPem],
    ["optional with recipients, with a key", { ...optionalPolicy, recipients: [other.publicKeyPem] }, publicKeyPem],
  ])("is sealed under %s", async (_, policy, publicKey) => {
    const name = await collection(policy);
    const given = { ...encodedPoints(), publicKey };
    expect(await sealed.writeEncoded(name, given, wait)).toMatchObject({ applied: true, sealed: true });
    const table = await engine.get(name, [1n, 2n], all, none);
    const opened = [0, 1].map((row) => {
      const payload = table.payload(row) as Uint8Array;
      expect(payloadKeys(payload)).toEqual([sealedKey]);
      return openPayload({ privateKey, id: table.id(row), payload });
    });
    expect(opened).toEqual([{}, { a: true }]);
    expect((await sealed.collectionInfo(name)).sealedPointsCount).toBe(2);
  });

  test.each<[string, SealingPolicy["mode"], string]>([
    ["off", "off", publicKeyPem],
    ["an empty one", "optional", ""],
    ["none at all", "required", "no key"],
  ])("with a key under %s is left to who says what is wrong", async (_, mode, publicKey) => {
    const name = await collection({ ...optionalPolicy, mode });
    expect(await sealed.writeEncoded(name, { ...encodedPoints(), publicKey }, wait)).toBeUndefined();
    await expectUntouched(name);
  });

  test("seals as the reader of single points does, or not at all", async () => {
    const random = makeRandom(seed);
    const { publicKey } = privateKey;
    let [taken, refused] = [0, 0];
    const one = async (bytes: Uint8Array, options: SealBatchOptions) => {
      const skimmed = skimUpsertPoints(bytes)?.points;
      const answer = skimmed && (await sealPoints(skimmed, publicKey, options));
      if (answer === undefined) {
        refused++;
        return;
      }
      let points: readonly PointInput[];
      try {
        points = decodeUpsertPoints(bytes).points as readonly PointInput[];
      } catch {
        // A vector's name may be what is wrong: the write that follows judges it.
        return;
      }
      taken++;
      const reader = new NativeReader(answer.buffer as ArrayBuffer, answer.byteOffset);
      expect(reader.u32()).toBe(points.length);
      for (const { id, payload: entries } of points) {
        const payload = reader.blob();
        const clear = pickEntries(entries, options.clearFields ?? new Set());
        const [envelope] = await sealBatch([{ id, payload: entries, recipient: publicKey }], options);
        // But for the ephemeral key, the nonce and what hangs on them the bytes are the same; the plaintext's length too.
        const expected = buildSealed([envelope as Uint8Array], clear);
        expect(payload.length).toBe(expected.length);
        const [own] = readEnvelopes(payload) as [Uint8Array];
        expect(openPlaintext(privateKey, id, own)).toEqual(openPlaintext(privateKey, id, envelope as Uint8Array));
        expect(openPayload({ privateKey, id, payload })).toEqual(openPayload({ privateKey, id, payload: expected }));
        expect(Buffer.from(omitEntries(payload, new Set([sealedKey])))).toEqual(Buffer.from(clear));
      }
    };
    const anyOptions = fc.record({
      padding: fc.boolean(),
      freshEphemeral: fc.boolean(),
      clearFields: fc.array(arbitraryText, { maxLength: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(upsert, anyOptions, async (message, { clearFields, ...others }) => {
        const keys = message.points.flatMap((given) => Object.keys(given.payload)).slice(0, 1);
        const options = { sealingId, ...others, clearFields: new Set([...clearFields, ...keys]) };
        const bytes = toBinary(UpsertPointsSchema, create(UpsertPointsSchema, message as never));
        await one(bytes, options);
        await one(reencode(UpsertPointsSchema, bytes, random), options);
        await one(damage(bytes, random), options);
      }),
      { numRuns, seed, interruptAfterTimeLimit: 20_000 },
    );
    expect(taken).toBeGreaterThan(numRuns / 4);
    expect(refused).toBeGreaterThan(numRuns / 4);
  }, 60_000);

  test("is sealed point by point when it is too large for one native call", async () => {
    const { publicKey } = privateKey;
    const points = (count: number) => ({
      ...encodedPoints({}, { a: { kind: { case: "stringValue", value: "x".repeat(count) } } }),
    });
    expect(await sealPoints(points(4_000_000), publicKey, { sealingId })).toBeDefined();
    expect(await sealPoints(points(4_200_000), publicKey, { sealingId })).toBeUndefined();
    const name = await collection({ ...optionalPolicy, mode: "required", recipients: [publicKeyPem] });
    expect(await sealed.writeEncoded(name, points(4_200_000), wait)).toBeUndefined();
    await expectUntouched(name);
  });

  test("is not skimmed when the request names a filter, a mode or shards", () => {
    const points = [{ id: { pointIdOptions: { case: "num" as const, value: 1n } } }];
    const skim = (change: object) =>
      skimUpsertPoints(toBinary(UpsertPointsSchema, create(UpsertPointsSchema, { points, ...change } as never)));
    expect(skim({})).toBeDefined();
    expect(skim({ publicKey: "", freshEphemeral: true })).toMatchObject({ publicKey: "", freshEphemeral: true });
    expect(skim({ publicKey: publicKeyPem })).toMatchObject({ publicKey: publicKeyPem, freshEphemeral: false });
    expect(skim({ updateFilter: {} })).toBeUndefined();
    expect(skim({ updateMode: 1 })).toBeUndefined();
    expect(skim({ shardKeySelector: {} })).toBeUndefined();
    expect(skim({ points: [] })).toBeUndefined();
  });
});
