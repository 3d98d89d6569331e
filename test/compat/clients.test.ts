/**
 * Qdrant's own clients, as they are published, against the server as a process: the first steps, the sealing interceptors under
 * them, and the differential test. SEALPOINT_DIFFERENTIAL_SECONDS and SEALPOINT_DIFFERENTIAL_SEED make that one longer or repeat it.
 */
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import { QdrantClient } from "@qdrant/js-client-grpc";
import { QdrantClient as RestClient } from "@qdrant/js-client-rest";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { connect, generateKey, payloadFromMessage, sealQdrantClient } from "../../clients/typescript/src/index.ts";
import { addonBuilt, root, ServerProcess } from "../e2e/server-process.ts";

const execute = promisify(execFile);
const python = join(root, ".venv/bin/python");
const seconds = Number(process.env.SEALPOINT_DIFFERENTIAL_SECONDS ?? 20);

let server: ServerProcess;
beforeAll(async () => {
  if (addonBuilt) server = await ServerProcess.start({ logLevel: "warn" });
});
afterAll(async () => {
  await server?.stop();
});

/** What a command printed; its error when it fails. */
async function run(command: string, args: readonly string[], cwd = root, timeout = 240_000): Promise<string> {
  const env = { ...process.env, SEALPOINT_TEST_GRPC: server.address };
  try {
    return (await execute(command, args, { cwd, env, timeout, maxBuffer: 64 << 20 })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")}\n${stdout?.slice(-4_000)}\n${stderr?.slice(-8_000)}`, {
      cause: error,
    });
  }
}

describe.skipIf(!addonBuilt || !existsSync(python))("Qdrant's Python client", () => {
  test("does the first steps, without a warning", { timeout: 120_000 }, async () => {
    const script = join(root, "test/compat/first_steps.py");
    expect(await run(python, [script, server.address, String(server.httpPort)])).toContain("first steps done");
  });

  test("does the first steps over REST", { timeout: 120_000 }, async () => {
    const script = join(root, "test/compat/first_steps.py");
    expect(await run(python, [script, server.address, String(server.httpPort), "--rest"])).toContain(
      "first steps done",
    );
  });

  test("reads the same scores, configuration and costs as of Qdrant, over both doors", {
    timeout: 120_000,
  }, async () => {
    const script = join(root, "test/compat/doors.py");
    expect(await run(python, [script, server.address, String(server.httpPort)])).toContain("both doors agree");
  });

  test("gives feedback on results, over both doors", { timeout: 120_000 }, async () => {
    const script = join(root, "test/compat/feedback.py");
    expect(await run(python, [script, server.address, String(server.httpPort)])).toContain("feedback agrees");
  });

  test("meets the limits of strict mode, over both doors", { timeout: 120_000 }, async () => {
    const script = join(root, "test/compat/strict.py");
    expect(await run(python, [script, server.address, String(server.httpPort)])).toContain("strict mode agrees");
  });

  test("sends documents for BM25, over both doors", { timeout: 120_000 }, async () => {
    const script = join(root, "test/compat/inference.py");
    expect(await run(python, [script, server.address, String(server.httpPort)])).toContain("documents done");
  });

  test("agrees with its own in-memory mode on random histories", { timeout: seconds * 2_000 + 120_000 }, async () => {
    const args = [join(root, "test/compat/differential.py"), server.address, "--seconds", String(seconds)];
    const seed = process.env.SEALPOINT_DIFFERENTIAL_SEED;
    if (seed !== undefined) args.push("--seed", seed);
    const said = await run(python, args, root, seconds * 2_000 + 100_000);
    console.info(said.trim());
    const cases = Number(/(\d+) cases agree/.exec(said)?.[1]);
    expect(cases).toBeGreaterThan(300);
  });

  test("agrees over REST too", { timeout: seconds * 1_000 + 120_000 }, async () => {
    const rest = ["--rest", String(server.httpPort), "--seconds", String(seconds / 2)];
    const said = await run(python, [join(root, "test/compat/differential.py"), server.address, ...rest]);
    console.info(said.trim());
    expect(Number(/(\d+) cases agree/.exec(said)?.[1])).toBeGreaterThan(150);
  });

  test("agrees on multivectors over both doors", { timeout: seconds * 1_000 + 120_000 }, async () => {
    for (const door of [[], ["--rest", String(server.httpPort)]]) {
      const args = [server.address, ...door, "--seconds", String(seconds / 4)];
      const said = await run(python, [join(root, "test/compat/multivectors.py"), ...args]);
      console.info(said.trim());
      expect(Number(/(\d+) cases agree/.exec(said)?.[1])).toBeGreaterThan(50);
    }
  });

  test("agrees on a collection with a graph, and again after kill -9", { timeout: 240_000 }, async () => {
    const own = await ServerProcess.start({ logLevel: "warn" });
    try {
      const seed = String(process.env.SEALPOINT_DIFFERENTIAL_SEED ?? randomInt(2 ** 31));
      const args = [join(root, "test/compat/indexed.py"), own.address, "--seed", seed];
      console.info((await run(python, args)).trim());
      await own.kill("SIGKILL");
      await own.restart();
      console.info((await run(python, [...args, "--written"])).trim());
    } finally {
      await own.stop();
    }
  });
});

describe.skipIf(!addonBuilt)("Qdrant's Go client", () => {
  test("does the first steps", { timeout: 240_000 }, async () => {
    const said = await run("go", ["test", "-count=1", "-v", "./..."], join(root, "test/compat/go"));
    expect(said).toContain("--- PASS: TestFirstSteps");
    expect(said).toContain("--- PASS: TestNamedVectors");
  });

  test("seals and opens with the interceptor under it", { timeout: 240_000 }, async () => {
    const said = await run("go", ["test", "-count=1", "-v", "./..."], join(root, "clients/go/test/qdrantclient"));
    expect(said).toContain("--- PASS: TestLive");
  });
});

const num = (value: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(value) } });
const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
const integer = (value: number) => ({ kind: { case: "integerValue" as const, value: BigInt(value) } });
const dense = (...data: number[]) => ({
  vectorsOptions: { case: "vector" as const, value: { vector: { case: "dense" as const, value: { data } } } },
});
const nearest = (...data: number[]) => ({
  variant: { case: "nearest" as const, value: { variant: { case: "dense" as const, value: { data } } } },
});
const enable = { selectorOptions: { case: "enable" as const, value: true } };
const keyword = (key: string, value: string) => ({
  conditionOneOf: {
    case: "field" as const,
    value: { key, match: { matchValue: { case: "keyword" as const, value } } },
  },
});
const ids = (...all: number[]) => ({
  pointsSelectorOneOf: { case: "points" as const, value: { ids: all.map(num) } },
});
const idsOf = (points: readonly { id?: { pointIdOptions: { value?: unknown } } }[]) =>
  points.map((point) => point.id?.pointIdOptions.value);

async function refusal(promise: Promise<unknown>): Promise<{ code: Code; message: string }> {
  const error = await promise.then(
    () => {
      throw new Error("it was accepted");
    },
    (thrown: unknown) => ConnectError.from(thrown),
  );
  return { code: error.code, message: error.rawMessage };
}

describe.skipIf(!addonBuilt)("Qdrant's JavaScript client", () => {
  // It compares versions by HealthCheck, and warns on the console when they do not fit.
  const qdrant = () => new QdrantClient({ host: "127.0.0.1", port: server.grpcPort });

  test("does the first steps", async () => {
    const warned = vi.spyOn(console, "warn");
    const client = qdrant();
    const collections = client.api("collections");
    const points = client.api("points");
    const collectionName = "js-first-steps";
    expect((await client.api("service").healthCheck({})).title).toBe("qdrant - vector search engine");
    const create = {
      collectionName,
      vectorsConfig: { config: { case: "params" as const, value: { size: 2n, distance: 3 } } },
    };
    expect((await collections.create(create)).result).toBe(true);
    expect(await refusal(collections.create(create))).toEqual({
      code: Code.AlreadyExists,
      message: `Wrong input: Collection \`${collectionName}\` already exists!`,
    });
    expect((await collections.collectionExists({ collectionName })).result?.exists).toBe(true);
    expect((await collections.list({})).collections.map(({ name }) => name)).toContain(collectionName);

    const all = [1, 2, 3, 4].map((n) => ({
      id: num(n),
      vectors: dense(n, 1),
      payload: { n: integer(n), parity: text(n % 2 === 0 ? "even" : "odd") },
    }));
    const written = await points.upsert({ collectionName, wait: true, points: all });
    expect(written.result?.status).toBe(2);
    await points.createFieldIndex({ collectionName, wait: true, fieldName: "parity", fieldType: 0 });
    const info = (await collections.get({ collectionName })).result;
    expect(info?.pointsCount).toBe(4n);
    expect(Object.keys(info?.payloadSchema ?? {})).toEqual(["parity"]);

    const odd = { must: [keyword("parity", "odd")] };
    const hits = await points.query({
      collectionName,
      query: nearest(1, 0),
      filter: odd,
      withPayload: enable,
      withVectors: enable,
    });
    expect(hits.result.map((hit) => [hit.id?.pointIdOptions.value, hit.score])).toEqual([
      [3n, 3],
      [1n, 1],
    ]);
    expect(hits.result[0]?.payload).toMatchObject({
      n: { kind: { case: "integerValue", value: 3n } },
      parity: { kind: { value: "odd" } },
    });
    expect(hits.result[0]?.vectors?.vectorsOptions).toMatchObject({
      case: "vector",
      value: { vector: { case: "dense", value: { data: [3, 1] } } },
    });
    const searched = await points.search({ collectionName, vector: [0, 1], limit: 2n, offset: 1n, scoreThreshold: 1 });
    expect(searched.result).toHaveLength(2);
    const page = await points.scroll({ collectionName, limit: 3 });
    expect([idsOf(page.result), page.nextPageOffset?.pointIdOptions.value]).toEqual([[1n, 2n, 3n], 4n]);
    expect((await points.count({ collectionName, filter: odd, exact: true })).result?.count).toBe(2n);

    const wait = true;
    await points.setPayload({ collectionName, wait, payload: { more: text("x") }, pointsSelector: ids(1) });
    await points.overwritePayload({ collectionName, wait, payload: { only: text("y") }, pointsSelector: ids(2) });
    await points.deletePayload({ collectionName, wait, keys: ["n"], pointsSelector: ids(1) });
    await points.clearPayload({ collectionName, wait, points: ids(3) });
    const got = await points.get({ collectionName, ids: [1, 2, 3].map(num), withPayload: enable });
    expect(got.result.map((point) => Object.keys(point.payload).sort())).toEqual([["more", "parity"], ["only"], []]);
    await points.updateVectors({ collectionName, wait, points: [{ id: num(1), vectors: dense(9, 9) }] });
    expect(idsOf((await points.query({ collectionName, query: nearest(1, 0), limit: 1n })).result)).toEqual([1n]);
    await points.delete({
      collectionName,
      wait,
      points: { pointsSelectorOneOf: { case: "filter", value: { must: [keyword("parity", "odd")] } } },
    });
    expect(idsOf((await points.scroll({ collectionName })).result)).toEqual([2n, 3n, 4n]);

    expect(await refusal(points.upsert({ collectionName, points: [{ id: num(1), vectors: dense(1) }] }))).toEqual({
      code: Code.InvalidArgument,
      message: expect.stringMatching(/^Wrong input: Vector dimension error: expected dim: 2, got 1/),
    });
    expect(await refusal(points.query({ collectionName: "nowhere", query: nearest(1, 0) }))).toEqual({
      code: Code.NotFound,
      message: "Not found: Collection `nowhere` doesn't exist!",
    });
    const aliasName = "js-alias";
    await collections.updateAliases({
      actions: [{ action: { case: "createAlias", value: { collectionName, aliasName } } }],
    });
    expect((await points.count({ collectionName: aliasName })).result?.count).toBe(3n);
    expect((await collections.delete({ collectionName })).result).toBe(true);
    expect((await collections.list({})).collections.map(({ name }) => name)).not.toContain(collectionName);
    expect((await collections.listAliases({})).aliases).toEqual([]);
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
  });

  test("seals and opens with our interceptor around it", async () => {
    const plain = qdrant();
    const collectionName = "js-sealed";
    const vectorsConfig = { config: { case: "params" as const, value: { size: 2n, distance: 3 } } };
    await plain.api("collections").create({ collectionName, vectorsConfig });
    await using ours = connect(server.address);
    const sealingId = (await ours.getPolicy(collectionName))?.sealingId ?? new Uint8Array();
    const key = generateKey();
    const collections = { [collectionName]: { publicKey: key.publicKey, sealingId, clearFields: ["lang"] } };
    const sealed = sealQdrantClient(qdrant(), { collections, privateKey: key });
    const payload = { lang: text("en"), title: text("a secret title"), year: integer(1999) };
    await sealed.api("points").upsert({
      collectionName,
      wait: true,
      points: [{ id: num(7), vectors: dense(1, 2), payload }] as never,
    });
    const query = { collectionName, query: nearest(1, 0), withPayload: enable };
    const stored = (await plain.api("points").query(query)).result[0]?.payload ?? {};
    expect(Object.keys(stored).sort()).toEqual(["$sealpoint", "lang"]);
    expect(JSON.stringify(stored, (_, value) => (typeof value === "bigint" ? `${value}` : value))).not.toContain(
      "title",
    );
    const opened = (await sealed.api("points").query(query)).result[0]?.payload ?? {};
    expect({ ...payloadFromMessage(opened as never) }).toEqual({ lang: "en", title: "a secret title", year: 1999n });
  });
});

describe.skipIf(!addonBuilt)("Qdrant's JavaScript REST client", () => {
  test("does the first steps", async () => {
    const warned = vi.spyOn(console, "warn");
    const client = new RestClient({ host: "127.0.0.1", port: server.httpPort });
    const name = "js-rest";
    expect(await client.createCollection(name, { vectors: { size: 2, distance: "Dot" } })).toBe(true);
    await expect(client.createCollection(name, { vectors: { size: 2, distance: "Dot" } })).rejects.toMatchObject({
      status: 409,
    });
    const points = [1, 2, 3, 4].map((id) => ({
      id,
      vector: [id, 1],
      payload: { n: id, parity: id % 2 === 0 ? "even" : "odd" },
    }));
    expect((await client.upsert(name, { wait: true, points })).status).toBe("completed");
    await client.createPayloadIndex(name, { wait: true, field_name: "parity", field_schema: "keyword" });
    const info = await client.getCollection(name);
    expect([info.status, info.points_count, Object.keys(info.payload_schema)]).toEqual(["green", 4, ["parity"]]);
    const filter = { must: [{ key: "parity", match: { value: "odd" } }] };
    const hits = await client.query(name, { query: [1, 0], filter, with_payload: true, with_vector: true });
    expect(hits.points.map(({ id, score, vector }) => [id, score, vector])).toEqual([
      [3, 3, [3, 1]],
      [1, 1, [1, 1]],
    ]);
    const offset = await client.query(name, { query: [0, 1], limit: 2, offset: 1 });
    expect(offset.points.map(({ score }) => score)).toEqual([1, 1]);
    expect((await client.scroll(name, { limit: 3 })).next_page_offset).toBe(4);
    expect((await client.count(name, { filter, exact: true })).count).toBe(2);
    await client.setPayload(name, { wait: true, payload: { more: "x" }, points: [1] });
    await client.deletePayload(name, { wait: true, keys: ["n"], points: [1] });
    expect((await client.retrieve(name, { ids: [1] }))[0]?.payload).toEqual({ parity: "odd", more: "x" });
    await client.delete(name, { wait: true, filter });
    expect((await client.getCollections()).collections.map((one) => one.name)).toContain(name);
    await client.updateCollectionAliases({
      actions: [{ create_alias: { collection_name: name, alias_name: "js-rest-alias" } }],
    });
    expect((await client.count("js-rest-alias")).count).toBe(2);
    expect((await client.collectionExists(name)).exists).toBe(true);
    await expect(client.getCollection("nowhere")).rejects.toMatchObject({
      status: 404,
      data: { status: { error: "Not found: Collection `nowhere` doesn't exist!" } },
    });
    expect(await client.deleteCollection(name)).toBe(true);
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
  });
});
