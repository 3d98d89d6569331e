/**
 * Makes the cache of V8's code that a server starts from (bin/sealpoint.mjs): starts the bundle of a package, has it answer what clients usually ask, and ends it, whereupon it
 * writes the functions that it ran.
 *   node scripts/warm-bundle.ts FOLDER      the package: bin, build and dist/bundle lie in it
 */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { createStub } from "../clients/typescript/src/stub.ts";
import { Distance } from "../gen/qdrant/collections_pb.js";
import { Collections } from "../gen/qdrant/collections_service_pb.js";
import { FieldType, Fusion } from "../gen/qdrant/points_pb.js";
import { Points } from "../gen/qdrant/points_service_pb.js";
import { BulkUpsertRequestSchema, Ingest } from "../gen/sealpoint/v1/ingest_pb.js";

const readySecondsMax = 20;
const secondsMax = 60;
const dimensions = 8;
const collectionName = "warm";

const idOf = (value: number) => ({ pointIdOptions: { case: "num" as const, value: BigInt(value) } });
const denseOf = (seed: number) => ({
  vector: {
    case: "dense" as const,
    value: { data: Array.from({ length: dimensions }, (_, i) => Math.sin(seed * 7 + i)) },
  },
});
const pointOf = (n: number) => ({
  id: idOf(n),
  vectors: { vectorsOptions: { case: "vector" as const, value: denseOf(n) } },
  payload: {
    kind: { kind: { case: "stringValue" as const, value: n % 2 === 0 ? "even" : "odd" } },
    number: { kind: { case: "integerValue" as const, value: BigInt(n) } },
    share: { kind: { case: "doubleValue" as const, value: n / 3 } },
  },
});
const pointsFrom = (first: number, count: number) => Array.from({ length: count }, (_, i) => pointOf(first + i));
const enable = { selectorOptions: { case: "enable" as const, value: true } };
const nearest = { variant: { case: "nearest" as const, value: { variant: denseOf(1).vector } } };
const filter = {
  must: [
    {
      conditionOneOf: {
        case: "field" as const,
        value: { key: "kind", match: { matchValue: { case: "keyword" as const, value: "even" } } },
      },
    },
    { conditionOneOf: { case: "field" as const, value: { key: "number", range: { gte: 3, lt: 900 } } } },
  ],
};
const chosen = { pointsSelectorOneOf: { case: "points" as const, value: { ids: [idOf(3), idOf(4)] } } };

async function overGrpc(address: string, publicKey: string): Promise<void> {
  const client = new Client(address, credentials.createInsecure());
  try {
    const collections = createStub(client, Collections);
    const points = createStub(client, Points);
    const params = { case: "params" as const, value: { size: BigInt(dimensions), distance: Distance.Cosine } };
    await collections.create({ collectionName, vectorsConfig: { config: params } });
    await points.createFieldIndex({
      collectionName,
      fieldName: "kind",
      fieldType: FieldType.FieldTypeKeyword,
      wait: true,
    });
    await points.createFieldIndex({
      collectionName,
      fieldName: "number",
      fieldType: FieldType.FieldTypeInteger,
      wait: true,
    });
    for (let first = 0; first < 2_000; first += 500) {
      await points.upsert({ collectionName, wait: true, points: pointsFrom(first, 500) });
    }
    await points.upsert({ collectionName, wait: true, points: pointsFrom(2_000, 100), publicKey });
    for (const key of [undefined, publicKey]) await stream(createStub(client, Ingest), key);
    await points.setPayload({ collectionName, wait: true, payload: pointOf(5).payload, pointsSelector: chosen });
    await points.updateVectors({ collectionName, wait: true, points: [{ id: idOf(3), vectors: pointOf(9).vectors }] });
    await points.delete({ collectionName, wait: true, points: chosen });
    const asked = { collectionName, query: nearest, limit: 10n, withPayload: enable };
    for (let turn = 0; turn < 20; turn++) {
      await Promise.all([points.query(asked), points.query({ ...asked, filter, withVectors: enable })]);
    }
    await points.queryBatch({ collectionName, queryPoints: [asked, { ...asked, filter }] });
    const prefetch = [
      { query: nearest, limit: 20n },
      { query: nearest, limit: 20n, filter },
    ];
    await points.query({ ...asked, prefetch, query: { variant: { case: "fusion", value: Fusion.RRF } } });
    const vector = denseOf(1).vector.value.data;
    await points.search({ collectionName, vector, limit: 10n, withPayload: enable, filter });
    await points.get({ collectionName, ids: [idOf(1), idOf(2)], withPayload: enable, withVectors: enable });
    await points.scroll({ collectionName, limit: 100, withPayload: enable, filter });
    await points.count({ collectionName, filter, exact: true });
    await collections.get({ collectionName });
    await collections.list({});
    await collections.get({ collectionName: "none" }).catch(() => undefined);
  } finally {
    client.close();
  }
}

async function stream(
  ingest: ReturnType<typeof createStub<typeof Ingest>>,
  publicKey: string | undefined,
): Promise<void> {
  const call = ingest.bulkUpsert();
  const answers = (async () => {
    for await (const _ of call) {
      // Each is read as it comes.
    }
  })();
  const start = { collectionName, streamId: publicKey === undefined ? "plain" : "sealed", publicKey };
  call.write(create(BulkUpsertRequestSchema, { message: { case: "start", value: start } }));
  for (const sequence of [1n, 2n]) {
    const value = { sequence, points: pointsFrom(3_000 + Number(sequence) * 500, 500) };
    call.write(create(BulkUpsertRequestSchema, { message: { case: "chunk", value } }));
  }
  call.end();
  await answers;
}

async function overRest(url: string): Promise<void> {
  const ask = async (method: string, path: string, body?: object) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${url}${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    await answer.text();
  };
  const vector = denseOf(2).vector.value.data;
  const restFilter = { must: [{ key: "kind", match: { value: "even" } }] };
  await ask("PUT", "/collections/rest", { vectors: { size: dimensions, distance: "Cosine" } });
  const points = Array.from({ length: 50 }, (_, id) => ({ id, vector, payload: { kind: "even", number: id } }));
  await ask("PUT", "/collections/rest/points?wait=true", { points });
  for (const extra of [{}, { filter: restFilter, with_vector: true }]) {
    await ask("POST", "/collections/rest/points/query", { query: vector, limit: 5, with_payload: true, ...extra });
    await ask("POST", "/collections/rest/points/search", { vector, limit: 5, with_payload: true, ...extra });
    await ask("POST", "/collections/rest/points/scroll", { limit: 5, ...extra });
    await ask("POST", "/collections/rest/points/count", { exact: true, ...extra });
  }
  for (const path of [
    "/",
    "/collections",
    "/collections/rest",
    "/collections/none",
    "/metrics",
    "/telemetry",
    "/healthz",
  ]) {
    await ask("GET", path);
  }
  await ask("DELETE", "/collections/rest");
}

/** What the server prints once it is ready: gRPC's host and port, and the URL of REST. */
async function addressesOf(server: ChildProcess): Promise<{ readonly grpc: string; readonly http: string }> {
  let printed = "";
  server.stdout?.setEncoding("utf8");
  const found = new Promise<{ grpc: string; http: string }>((done, fail) => {
    server.stdout?.on("data", (text: string) => {
      printed += text;
      const [, grpc] = /gRPC +(\S+)/.exec(printed) ?? [];
      const [, http] = /HTTP +(http:\S+)/.exec(printed) ?? [];
      if (grpc !== undefined && http !== undefined) done({ grpc, http });
    });
    server.once("exit", () => fail(new Error("the server ended before it was ready")));
    setTimeout(
      () => fail(new Error(`the server was not ready within ${readySecondsMax} s`)),
      readySecondsMax * 1_000,
    ).unref();
  });
  return found;
}

const package_ = resolve(process.argv[2] ?? ".");
const dataDir = mkdtempSync(join(tmpdir(), "sealpoint-warm-"));
const server = spawn(
  process.execPath,
  [
    join(package_, "bin/sealpoint.mjs"),
    "serve",
    "--grpc-port",
    "0",
    "--http-port",
    "0",
    "--data-dir",
    dataDir,
    "--log-level",
    "error",
  ],
  // In a folder of its own: no configuration that lies around is read.
  {
    cwd: dataDir,
    env: { PATH: process.env.PATH, SEALPOINT_MAKE_CODE_CACHE: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  },
);
const ended = once(server, "exit");
const late = setTimeout(() => {
  process.stderr.write(`warm-bundle: not done within ${secondsMax} s\n`);
  server.kill("SIGKILL");
  rmSync(dataDir, { recursive: true, force: true });
  process.exit(1);
}, secondsMax * 1_000);
try {
  const { grpc, http } = await addressesOf(server);
  const { publicKey } = generateKeyPairSync("ec", {
    namedCurve: "prime256v1",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  await overGrpc(grpc, publicKey);
  await overRest(http);
} finally {
  server.kill("SIGTERM");
  await ended;
  clearTimeout(late);
  rmSync(dataDir, { recursive: true, force: true });
}
