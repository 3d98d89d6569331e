/** A server whose extensions are turned off: Qdrant's API works, and what is Sealpoint's own is refused by name at both doors. */
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { SealingMode } from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { S5 } from "../../gen/sealpoint/v1/s5_pb.js";
import { Sealing } from "../../gen/sealpoint/v1/sealing_pb.js";
import { generateKeyPair } from "../../src/seal/index.ts";
import { dense, num, text } from "./messages.ts";
import { addonBuilt, type Call, connectTo, failure, ServerProcess } from "./server-process.ts";

describe.skipIf(!addonBuilt)("without extensions", () => {
  let server: ServerProcess;
  let client: Call;
  beforeAll(async () => {
    server = await ServerProcess.start({ env: { SEALPOINT_EXTENSIONS: "0" } });
    client = connectTo(server.address);
    await client.call(Collections.method.create, {
      collectionName: "plain",
      vectorsConfig: { config: { case: "params", value: { size: 2n, distance: Distance.Dot } } },
    });
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
  });

  test("Qdrant's calls work", async () => {
    const points = [{ id: num(1), vectors: dense(1, 2), payload: { a: text("b") } }];
    await client.call(Points.method.upsert, { collectionName: "plain", wait: true, points });
    const { result } = await client.call(Points.method.count, { collectionName: "plain", exact: true });
    expect(result?.count).toBe(1n);
    const answer = await fetch(`http://127.0.0.1:${server.httpPort}/collections/plain`);
    expect(answer.status).toBe(200);
  });

  test("keys, policies and sealpoint.v1 are refused", async () => {
    const { publicKeyPem: publicKey } = generateKeyPair();
    const points = [{ id: num(2), vectors: dense(1, 2), payload: { a: text("secret") } }];
    const sent = { collectionName: "plain", wait: true, points };
    const refused = await failure(client.call(Points.method.upsert, { ...sent, publicKey }));
    expect(refused).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(refused.details).toContain("SEALPOINT_EXTENSIONS");
    const own = { ...sent, points: points.map((point) => ({ ...point, publicKey })) };
    expect((await failure(client.call(Points.method.upsert, own))).code).toBe(status.INVALID_ARGUMENT);
    const vectorsConfig = {
      config: { case: "params" as const, value: { size: 2n, distance: Distance.Dot } },
    };
    const sealing = { mode: SealingMode.REQUIRED, recipients: [publicKey] };
    const made = client.call(Collections.method.create, { collectionName: "sealed", vectorsConfig, sealing });
    expect((await failure(made)).code).toBe(status.INVALID_ARGUMENT);
    expect((await client.call(Points.method.count, { collectionName: "plain", exact: true })).result?.count).toBe(1n);
    const policy = client.call(Sealing.method.getPolicy, { collectionName: "plain" });
    expect((await failure(policy)).code).toBe(status.UNIMPLEMENTED);
    expect((await failure(client.call(S5.method.list, {}))).code).toBe(status.UNIMPLEMENTED);
    const rest = await fetch(`http://127.0.0.1:${server.httpPort}/sealpoint/v1/s5/list`);
    expect(rest.status).toBe(405);
  });
});
