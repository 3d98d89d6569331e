/**
 * Sealing against the server as a process: who may write what under each policy, who opens it, and that no plaintext of a sealed
 * collection lies in the data folder or in the log.
 */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { open, payloadFromMessage } from "../../clients/typescript/src/index.ts";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { SealingMode, type SealingPolicy } from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { Ingest } from "../../gen/sealpoint/v1/ingest_pb.js";
import { Sealing } from "../../gen/sealpoint/v1/sealing_pb.js";
import { generateKeyPair } from "../../src/seal/index.ts";
import { byIds, dense, enable, integer, keyword, nearest, num, text, uuid } from "./messages.ts";
import { addonBuilt, type Call, connectTo, failure, launcher, root, ServerProcess } from "./server-process.ts";

const execute = promisify(execFile);
const grpcurl = join(root, ".tools/bin/grpcurl");
const { upsert, get, query, setPayload, overwritePayload, deletePayload, updateBatch, count } = Points.method;

let server: ServerProcess;
let client: Call;
let made = 0;

beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({ logLevel: "debug" });
  client = connectTo(server.address);
});
afterAll(async () => {
  client?.close();
  await server?.stop();
});

const mine = generateKeyPair();
const yours = generateKeyPair();
const bare = (pem: string) => pem.replace(/-----[^-]+-----|\s/g, "");

async function makeSealed(sealing?: Partial<SealingPolicy>, from: Call = client): Promise<string> {
  const collectionName = `sealed-${++made}`;
  await from.call(Collections.method.create, {
    collectionName,
    vectorsConfig: { config: { case: "params", value: { size: 2n, distance: Distance.Dot } } },
    sealing: sealing as never,
  });
  return collectionName;
}

const point = (id: number, secret: string, more: object = {}) => ({
  id: num(id),
  vectors: dense(id, 1),
  payload: { secret: text(secret), kind: text(id % 2 === 0 ? "even" : "odd") },
  ...more,
});

/** The payload as the server gives it to anybody. */
async function shown(collectionName: string, id: ReturnType<typeof num | typeof uuid>, from: Call = client) {
  const { result } = await from.call(get, { collectionName, ids: [id], withPayload: enable });
  return result[0]?.payload ?? {};
}

async function opened(collectionName: string, id: number, pair: typeof mine, from: Call = client) {
  const { state } = await from.call(Sealing.method.getPolicy, { collectionName });
  const payload = payloadFromMessage((await shown(collectionName, num(id), from)) as never);
  return open(payload, {
    id: BigInt(id),
    privateKey: pair.privateKeyPem,
    acceptedSealingIds: state?.acceptedSealingIds ?? [],
  });
}

describe.skipIf(!addonBuilt)("policies", () => {
  test("off: a key is refused, plaintext is stored", async () => {
    const collectionName = await makeSealed({ mode: SealingMode.OFF });
    await client.call(upsert, { collectionName, wait: true, points: [point(1, "plain")] });
    expect(Object.keys(await shown(collectionName, num(1))).sort()).toEqual(["kind", "secret"]);
    for (const call of [
      () => client.call(upsert, { collectionName, points: [point(2, "x", { publicKey: mine.publicKeyPem })] }),
      () => client.call(upsert, { collectionName, publicKey: mine.publicKeyPem, points: [point(2, "x")] }),
      () =>
        client.call(
          upsert,
          { collectionName, points: [point(2, "x")] },
          { "x-seal-public-key": bare(mine.publicKeyPem) },
        ),
    ]) {
      const error = await failure(call());
      expect(error.code).toBe(status.FAILED_PRECONDITION);
      expect(error.info).toContain("SealingOff");
    }
    expect((await client.call(count, { collectionName })).result?.count).toBe(1n);
  });

  test("optional: the point's key wins over the request's, that over the metadata's, that over the collection's", async () => {
    const collectionName = await makeSealed({ mode: SealingMode.OPTIONAL, clearFields: ["kind"] });
    const pairs = {
      point: generateKeyPair(),
      request: generateKeyPair(),
      header: generateKeyPair(),
      policy: generateKeyPair(),
    };
    const own = { publicKey: pairs.point.publicKeyPem };
    const whole = { publicKey: pairs.request.publicKeyPem };
    const header = { "x-seal-public-key": bare(pairs.header.publicKeyPem) };
    const wait = true;
    await client.call(upsert, { collectionName, wait, points: [point(1, "plain")] });
    await client.call(
      upsert,
      { collectionName, wait, ...whole, points: [point(2, "s2", own), point(3, "s3")] },
      header,
    );
    await client.call(upsert, { collectionName, wait, points: [point(4, "s4")] }, header);
    const policy = { mode: SealingMode.OPTIONAL, clearFields: ["kind"], recipients: [pairs.policy.publicKeyPem] };
    await client.call(Sealing.method.setPolicy, { collectionName, policy });
    await client.call(upsert, { collectionName, wait, points: [point(5, "s5"), point(6, "s6", own)] });
    for (const [id, pair] of [
      [2, pairs.point],
      [3, pairs.request],
      [4, pairs.header],
      [5, pairs.policy],
      [6, pairs.point],
    ] as const) {
      expect(Object.keys(await shown(collectionName, num(id))).sort()).toEqual(["$sealpoint", "kind"]);
      expect({ ...(await opened(collectionName, id, pair)) }).toEqual({
        secret: `s${id}`,
        kind: id % 2 === 0 ? "even" : "odd",
      });
      await expect(opened(collectionName, id, yours)).rejects.toThrow("cannot open the seal");
    }
    expect(await client.call(Sealing.method.countPlain, { collectionName })).toMatchObject({ plain: 1n, total: 6n });
    // A condition on a sealed field judges plain points only; one on a clear field judges all.
    const counted = async (key: string, value: string) =>
      (await client.call(count, { collectionName, exact: true, filter: { must: [keyword(key, value)] } })).result
        ?.count;
    expect(await counted("kind", "even")).toBe(3n);
    expect([await counted("secret", "plain"), await counted("secret", "s5")]).toEqual([1n, 0n]);
  });

  test("required: nothing is stored in the clear but clear fields, and no condition asks about the rest", async () => {
    const collectionName = await makeSealed({ mode: SealingMode.REQUIRED, clearFields: ["kind"] });
    const wait = true;
    const refused = [
      () =>
        client.call(upsert, {
          collectionName,
          wait,
          points: [point(1, "x", { publicKey: mine.publicKeyPem }), point(2, "x")],
        }),
      () => client.call(upsert, { collectionName, wait, points: [point(1, "x")] }),
      () =>
        client.call(updateBatch, {
          collectionName,
          wait,
          operations: [{ operation: { case: "upsert", value: { points: [point(1, "x")] } } }],
        }),
    ];
    for (const call of refused) {
      const error = await failure(call());
      expect([error.code, error.details]).toEqual([
        status.FAILED_PRECONDITION,
        expect.stringContaining("EncryptionRequired"),
      ]);
      expect(error.details).toMatch(/points\[[01]\]/);
    }
    expect((await client.call(count, { collectionName })).result?.count).toBe(0n);
    await client.call(upsert, {
      collectionName,
      wait,
      publicKey: mine.publicKeyPem,
      points: [point(1, "one"), point(2, "two")],
    });

    const partly = { collectionName, wait, pointsSelector: byIds(1) };
    for (const call of [
      () => client.call(setPayload, { ...partly, payload: { secret: text("y") } }),
      () => client.call(overwritePayload, { ...partly, payload: { secret: text("y") } }),
      () =>
        client.call(setPayload, {
          ...partly,
          key: "secret.deep",
          payload: { x: text("y") },
          publicKey: mine.publicKeyPem,
        }),
      () => client.call(deletePayload, { ...partly, keys: ["secret"] }),
    ]) {
      expect((await failure(call())).code).toBe(status.FAILED_PRECONDITION);
    }
    await client.call(setPayload, { ...partly, payload: { added: integer(7) }, publicKey: mine.publicKeyPem });
    await client.call(setPayload, { ...partly, payload: { kind: text("changed") } });
    expect({ ...(await opened(collectionName, 1, mine)) }).toEqual({ secret: "one", added: 7n, kind: "changed" });

    const filters = [
      { must: [keyword("secret", "one")] },
      { mustNot: [keyword("secret", "one")] },
      { should: [keyword("kind", "odd"), keyword("secret.deep", "one")] },
      { must: [{ conditionOneOf: { case: "isEmpty" as const, value: { key: "secret" } } }] },
    ];
    for (const filter of filters) {
      for (const call of [
        () => client.call(query, { collectionName, query: nearest(1, 0), filter }),
        () => client.call(count, { collectionName, filter }),
        () => client.call(Points.method.scroll, { collectionName, filter }),
        () =>
          client.call(Points.method.delete, {
            collectionName,
            wait,
            points: { pointsSelectorOneOf: { case: "filter" as const, value: filter } },
          }),
        () => client.download(Ingest.method.scroll, { collectionName, filter }).next(),
      ]) {
        const error = await failure(call());
        expect([error.code, error.details]).toEqual([status.FAILED_PRECONDITION, expect.stringContaining("secret")]);
      }
    }
    const index = { collectionName, wait, fieldName: "secret", fieldType: 0 };
    expect((await failure(client.call(Points.method.createFieldIndex, index))).details).toContain("secret");
    const hits = await client.call(query, {
      collectionName,
      query: nearest(1, 0),
      filter: { must: [keyword("kind", "even")] },
    });
    expect(hits.result.map((hit) => hit.id?.pointIdOptions.value)).toEqual([2n]);
    // An envelope does not open on another point.
    const envelope = (await shown(collectionName, num(1))) as never;
    await client.call(upsert, {
      collectionName,
      wait,
      points: [{ id: num(9), vectors: dense(9, 9), payload: envelope }],
    });
    await expect(opened(collectionName, 9, mine)).rejects.toThrow("cannot open the seal");
  });
});

describe.skipIf(!addonBuilt || !existsSync(grpcurl))("grpcurl", () => {
  test("what it shows, sealpoint open opens", { timeout: 60_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "sealpoint-key-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const keyPath = join(folder, "k.pem");
    await execute(process.execPath, [launcher, "keygen", "--out", keyPath]);
    const publicKey = readFileSync(join(folder, "k.pub.pem"), "utf8");
    const collectionName = await makeSealed({
      mode: SealingMode.REQUIRED,
      recipients: [publicKey],
      clearFields: ["kind"],
    });
    const points = [point(1, "a word"), { ...point(2, "é 😀"), id: uuid("550e8400-e29b-41d4-a716-446655440000") }];
    await client.call(upsert, { collectionName, wait: true, points });
    await client.call(setPayload, {
      collectionName,
      wait: true,
      pointsSelector: byIds(1),
      payload: { later: integer(5) },
    });

    const ask = JSON.stringify({ collection_name: collectionName, with_payload: { enable: true } });
    const { stdout: sealedText } = await execute(grpcurl, [
      "-plaintext",
      "-d",
      ask,
      server.address,
      "qdrant.Points/Scroll",
    ]);
    expect(sealedText).toContain("$sealpoint");
    expect(sealedText).not.toMatch(/a word|later/);

    const pipe = async (path: string) => {
      const child = spawn(process.execPath, [launcher, "open", "--key", path]);
      let out = "";
      let err = "";
      child.stdout.on("data", (part) => {
        out += String(part);
      });
      child.stderr.on("data", (part) => {
        err += String(part);
      });
      child.stdin.end(sealedText);
      const code = await new Promise((resolve) => child.on("close", resolve));
      return { code, out, err };
    };
    const plain = await pipe(keyPath);
    expect([plain.code, plain.err]).toEqual([0, ""]);
    const payloads = JSON.parse(plain.out).result.map((one: { payload: object }) => one.payload);
    expect(JSON.stringify(payloads)).not.toContain("$sealpoint");
    expect(payloads[0]).toMatchObject({
      secret: { stringValue: "a word" },
      later: { integerValue: "5" },
      kind: { stringValue: "odd" },
    });
    expect(payloads[1]).toMatchObject({ secret: { stringValue: "é 😀" } });

    const other = join(folder, "other.pem");
    writeFileSync(other, yours.privateKeyPem, { mode: 0o600 });
    const wrong = await pipe(other);
    expect(wrong.code).toBe(2);
    expect(wrong.out).not.toMatch(/a word/);
    expect(wrong.err).toContain("cannot open the seal");
  });
});

/** Every file under a folder that holds one of the words in its raw bytes. */
function filesWith(folder: string, words: readonly string[]): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const bytes = readFileSync(join(entry.parentPath, entry.name));
    for (const word of words) if (bytes.includes(word)) found.push(`${entry.name}: ${word}`);
  }
  return found;
}

describe.skipIf(!addonBuilt)("the server at rest", () => {
  test("holds no plaintext of a sealed collection, in the log or on the disk", { timeout: 120_000 }, async () => {
    const own = await ServerProcess.start({ logLevel: "trace" });
    try {
      let caller = connectTo(own.address);
      const word = "Quetzalcoatlus";
      const control = "Archaeopteryx";
      const collectionName = await makeSealed({ mode: SealingMode.REQUIRED, clearFields: ["kind"] }, caller);
      const wait = true;
      const publicKey = mine.publicKeyPem;
      const secret = (n: number) => `${word} number ${n}`;
      for (let n = 0; n < 20; n++) {
        const points = Array.from({ length: 50 }, (_, k) => point(n * 50 + k, secret(k)));
        await caller.call(upsert, { collectionName, wait, publicKey, points });
      }
      const stream = caller.bidi(Ingest.method.bulkUpsert);
      stream.send({ message: { case: "start", value: { collectionName, streamId: "s", publicKey } } });
      await stream.next();
      const chunkPoints = Array.from({ length: 500 }, (_, k) => point(5_000 + k, secret(k)));
      stream.send({ message: { case: "chunk", value: { sequence: 1n, points: chunkPoints } } });
      stream.end();
      expect((await stream.next())?.message.value).toMatchObject({ pointsApplied: 500 });
      await caller.call(setPayload, {
        collectionName,
        wait,
        publicKey,
        pointsSelector: byIds(1, 2, 3),
        payload: { more: text(secret(1)) },
      });
      await caller.call(overwritePayload, {
        collectionName,
        wait,
        publicKey,
        pointsSelector: byIds(4),
        payload: { all: text(secret(2)) },
      });
      const byKind = { pointsSelectorOneOf: { case: "filter" as const, value: { must: [keyword("kind", "odd")] } } };
      await caller.call(setPayload, {
        collectionName,
        wait,
        publicKey,
        pointsSelector: byKind,
        payload: { odd: text(secret(3)) },
      });
      // Refused and failing calls that carry the word, and keys of every kind.
      const calls = [
        caller.call(upsert, { collectionName, points: [point(1, word)] }),
        caller.call(upsert, { collectionName, publicKey, points: [{ ...point(1, word), vectors: dense(1) }] }),
        caller.call(upsert, { collectionName, publicKey: mine.privateKeyPem, points: [point(1, word)] }),
        caller.call(
          upsert,
          { collectionName, points: [point(1, word)] },
          { "x-seal-public-key": bare(mine.privateKeyPem) },
        ),
        caller.call(setPayload, { collectionName, wait, pointsSelector: byIds(1), payload: { a: text(word) } }),
        caller.call(count, { collectionName, filter: { must: [keyword("secret", word)] } }),
        caller.callBytes(upsert, Buffer.concat([Buffer.from([0x0a, 0x7f]), Buffer.from(word)])),
      ];
      const errors = await Promise.all(calls.map(failure));
      for (const { details, info } of errors) {
        expect(details).not.toContain(word);
        expect(info).not.toContain(word);
        expect(details + info).not.toContain(bare(mine.privateKeyPem).slice(10, 60));
      }
      // That the search finds what is there is shown by a plain collection beside it.
      const plainName = await makeSealed(undefined, caller);
      await caller.call(upsert, { collectionName: plainName, wait, points: [point(1, control)] });

      const wanted = [word, bare(mine.privateKeyPem).slice(48, 90)];
      for (const round of ["as it runs", "after kill -9 and a new start", "after a proper end"]) {
        expect(filesWith(own.dataDir, [control]), round).not.toEqual([]);
        expect(filesWith(own.dataDir, wanted), round).toEqual([]);
        if (round === "as it runs") await own.kill("SIGKILL");
        if (round === "after kill -9 and a new start") await own.kill("SIGTERM");
        if (round !== "after a proper end") {
          caller.close();
          if (round === "as it runs") {
            await own.restart();
            caller = connectTo(own.address);
            expect(await opened(collectionName, 5_007, mine, caller)).toMatchObject({ secret: secret(7) });
          }
        }
      }
      expect(own.log.length).toBeGreaterThan(500);
      for (const one of wanted) expect(own.log.includes(one)).toBe(false);
    } finally {
      await own.stop();
    }
  });
});
