/** S5.Load of the encrypted WordNet database, through the portal that the project ships, as processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { open, payloadFromMessage } from "../../clients/typescript/src/index.ts";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { SealingMode } from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { type LoadRequest, type LoadResponse, S5 } from "../../gen/sealpoint/v1/s5_pb.js";
import { Sealing } from "../../gen/sealpoint/v1/sealing_pb.js";
import { generateKeyPair } from "../../src/seal/index.ts";
import { countOf, enable, num } from "./messages.ts";
import { addonBuilt, type Call, connectTo, failure, launcher, root, ServerProcess } from "./server-process.ts";

const folder = process.env.SEALPOINT_S5_DIR ?? resolve(root, "../shared/data/s5");
const found = existsSync(join(folder, "key.hex"));
if (!found) console.info(`S5 end to end: left out, since ${folder} is not there (SEALPOINT_S5_DIR names it)`);

const userAddress = "0xAbC0000000000000000000000000000000000001";
const manifestPath = `home/vector-databases/${userAddress}/wordnet/manifest.json`;

describe.skipIf(!addonBuilt || !found)("S5.Load", () => {
  let portal: ChildProcess;
  let server: ServerProcess;
  let client: Call;
  let sessionKey: Uint8Array;

  beforeAll(async () => {
    sessionKey = Buffer.from(readFileSync(join(folder, "key.hex"), "utf8").trim(), "hex");
    portal = spawn(process.execPath, [launcher, "s5-portal", folder, "--port", "0"]);
    let said = "";
    portal.stdout?.on("data", (part) => {
      said += String(part);
    });
    for (let i = 0; i < 200 && !said.includes("serving"); i++) await sleep(25);
    const url = /S5 portal on (\S+)/.exec(said)?.[1];
    if (url === undefined) throw new Error(`the portal did not start: ${said}`);
    server = await ServerProcess.start({ logLevel: "trace", env: { S5_PORTAL_URL: url } });
    client = connectTo(server.address);
  });
  afterAll(async () => {
    client?.close();
    portal?.kill();
    await server?.stop();
  });

  async function load(target: LoadRequest["target"], key = sessionKey, address = userAddress) {
    const request = { manifestPath, userAddress: address, sessionKey: key, target };
    const { next } = client.download(S5.method.load, request);
    const events: LoadResponse["event"][] = [];
    try {
      for (let answer = await next(); answer !== undefined; answer = await next()) events.push(answer.event);
    } catch (error) {
      // A load that failed says so twice: in its last event and in the call's status.
      const last = events.at(-1);
      if (last?.case !== "loadingError") throw error;
      const details = (error as ServiceError).metadata.get("grpc-status-details-bin").map(String).join("");
      expect(details).toContain(last.value.code);
      expect(details).toContain("is_security");
    }
    return events;
  }

  function expectWhole(events: LoadResponse["event"][], end: readonly string[] = []): void {
    expect(events[0]).toMatchObject({
      case: "manifestDownloaded",
      value: { name: "wordnet", chunks: 10, vectors: 10_000n, dimensions: 384 },
    });
    const chunks = events.flatMap((event) => (event.case === "chunkDownloaded" ? [event.value] : []));
    expect(chunks.map((one) => one.chunkId).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(chunks.map((one) => one.percent)).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    expect(chunks.every((one) => one.total === 10)).toBe(true);
    expect(events.slice(11).map((event) => event.case)).toEqual(["indexBuilding", "loadingComplete", ...end]);
    expect(events[12]).toMatchObject({ case: "loadingComplete", value: { vectorCount: 10_000n } });
  }

  const vectorOf = async (collectionName: string, id: number): Promise<number[]> => {
    const { result } = await client.call(Points.method.get, { collectionName, ids: [num(id)], withVectors: enable });
    const options = result[0]?.vectors?.vectorsOptions;
    if (options?.case !== "vector" || options.value.vector.case !== "dense") throw new Error(`${id} has no vector`);
    return options.value.vector.value.data;
  };

  test("into a collection that it makes, and into a session index that answers the same", {
    timeout: 120_000,
  }, async () => {
    const collectionName = "wordnet";
    expectWhole(await load({ case: "collectionName", value: collectionName }));
    expect(await countOf(client, collectionName)).toBe(10_000);
    expectWhole(await load({ case: "sessionId", value: "words" }), ["indexReady"]);
    for (const id of [0, 4_321, 9_999]) {
      const vector = await vectorOf(collectionName, id);
      const { hits } = await client.call(S5.method.search, { sessionId: "words", vector, k: 10 });
      const { result } = await client.call(Points.method.search, {
        collectionName,
        vector,
        limit: 10n,
        params: { exact: true },
        withPayload: enable,
      });
      expect(hits[0]).toMatchObject({ id: String(id) });
      expect(hits[0]?.score).toBeCloseTo(1, 4);
      expect(hits.map((hit) => hit.score.toFixed(4))).toEqual(result.map((hit) => hit.score.toFixed(4)));
      const word = JSON.parse(hits[0]?.metadata ?? "{}").word;
      expect(result[0]?.payload.word?.kind.value).toBe(word);
    }
    const { closed } = await client.call(S5.method.close, { sessionId: "words" });
    expect(closed).toBe(true);
    const after = await failure(client.call(S5.method.search, { sessionId: "words", vector: [1], k: 1 }));
    expect(after.code).toBe(status.NOT_FOUND);
  });

  test("into a collection that requires sealing: each payload is sealed to its recipient", {
    timeout: 120_000,
  }, async () => {
    const collectionName = "wordnet-sealed";
    const pair = generateKeyPair();
    await client.call(Collections.method.create, {
      collectionName,
      vectorsConfig: { config: { case: "params", value: { size: 384n, distance: Distance.Cosine } } },
      sealing: { mode: SealingMode.REQUIRED, recipients: [pair.publicKeyPem], clearFields: ["pos"] },
    });
    expectWhole(await load({ case: "collectionName", value: collectionName }));
    const plain = await client.call(Sealing.method.countPlain, { collectionName });
    expect(plain).toMatchObject({ plain: 0n, total: 10_000n });
    const { result } = await client.call(Points.method.get, { collectionName, ids: [num(77)], withPayload: enable });
    expect(Object.keys(result[0]?.payload ?? {}).sort()).toEqual(["$sealpoint", "pos"]);
    const { state } = await client.call(Sealing.method.getPolicy, { collectionName });
    const opened = open(payloadFromMessage(result[0]?.payload as never), {
      id: 77n,
      privateKey: pair.privateKeyPem,
      acceptedSealingIds: state?.acceptedSealingIds ?? [],
    });
    expect(Object.keys(opened)).toEqual(expect.arrayContaining(["word", "gloss", "lexname", "n_words", "pos"]));
  });

  test("a wrong key, a wrong owner and a cancelled load leave nothing behind", { timeout: 60_000 }, async () => {
    const wrongKey = Buffer.from(sessionKey);
    wrongKey[5] = (wrongKey[5] as number) ^ 1;
    const target = { case: "collectionName" as const, value: "nothing" };
    expect((await load(target, wrongKey)).at(-1)).toMatchObject({
      case: "loadingError",
      value: { code: "DECRYPTION_FAILED", isRetryable: false, isSecurity: true },
    });
    expect((await load(target, sessionKey, userAddress.replace(/1$/, "2"))).at(-1)).toMatchObject({
      case: "loadingError",
      value: { code: "OWNER_MISMATCH", isSecurity: true },
    });
    const short = client.download(S5.method.load, {
      manifestPath,
      userAddress,
      sessionKey: sessionKey.subarray(1),
      target,
    });
    expect((await failure(short.next())).code).toBe(status.INVALID_ARGUMENT);

    const cut = client.download(S5.method.load, { manifestPath, userAddress, sessionKey, target });
    expect((await cut.next())?.event.case).toBe("manifestDownloaded");
    await cut.next();
    cut.cancel();
    const rest = async () => {
      while ((await cut.next()) !== undefined);
    };
    expect((await failure(rest())).code).toBe(status.CANCELLED);
    const exists = async () =>
      (await client.call(Collections.method.collectionExists, { collectionName: "nothing" })).result?.exists;
    await expect.poll(exists, { timeout: 10_000 }).toBe(false);
    for (const form of [Buffer.from(sessionKey).toString("hex"), Buffer.from(sessionKey).toString("base64")]) {
      expect(server.log.includes(form)).toBe(false);
    }
  });
});
