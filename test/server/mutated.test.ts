/**
 * Messages of every kind of call, damaged at random, to a server as a process: it may refuse them, but not with INTERNAL or UNKNOWN, and it goes on. SEED
 * repeats a run.
 */
import { fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Qdrant } from "../../gen/qdrant/qdrant_pb.js";
import type { Json } from "../../scripts/compatibility/probes.ts";
import { rows } from "../../scripts/compatibility/rows.ts";
import { methodOf, setUp } from "../../scripts/compatibility/run.ts";
import { addonBuilt, ServerProcess } from "../e2e/server-process.ts";
import { makeRandom, seed } from "../wire/fuzz-support.ts";

const perMessage = 12;
const inFlight = 8;
/** A damaged message may delete what the others need, or change its settings: it is made anew after so many. */
const perSetUp = 100;

interface Seed {
  readonly path: string;
  readonly bytes: Buffer;
}

function encode(path: string, request: Json): Buffer {
  const { input } = methodOf(path);
  return Buffer.from(toBinary(input, fromJson(input, request as JsonValue)));
}

const condition = { field: { key: "n", range: { gte: 1 } } };
const extra: readonly (readonly [string, Json])[] = [
  [
    "qdrant.Points/Scroll",
    { order_by: { key: "n", direction: "Desc", start_from: { float: 2.5 } }, filter: { must: [condition] } },
  ],
  [
    "qdrant.Points/Scroll",
    { order_by: { key: "n", start_from: { datetime: "2024-01-01T00:00:00Z" } }, with_vectors: { enable: true } },
  ],
  ["qdrant.Points/Scroll", { order_by: { key: "n", start_from: { timestamp: "2024-01-01T00:00:00Z" } }, limit: 2 }],
  [
    "qdrant.Points/Query",
    { query: { order_by: { key: "n" } }, prefetch: [{ filter: { must: [condition] }, limit: 2 }], offset: 1 },
  ],
  ["qdrant.Points/QueryGroups", { query: { order_by: { key: "n" } }, group_by: "city" }],
  ["qdrant.Points/Facet", { key: "city", filter: { must: [condition] }, limit: 3, exact: true }],
  [
    "qdrant.Points/Count",
    { filter: { must: [{ slice: { total: 3, index: 1 } }], must_not: [{ slice: { total: 2, index: 0 } }] } },
  ],
];

const seeds: readonly Seed[] = [
  ...extra.map(([path, request]) => ({
    path,
    bytes: encode(path, { collection_name: "plain", ...(request as object) }),
  })),
  ...rows.flatMap((row) =>
    row.probes.flatMap((probe) => {
      const served = probe.kind === "call" && /^qdrant\.(?:Points|Collections)\//.test(probe.method);
      return served ? [{ path: probe.method, bytes: encode(probe.method, probe.request) }] : [];
    }),
  ),
];

/** One to three damages: bytes changed, cut, doubled, put in, or taken from another message. */
function damage(bytes: Buffer, random: () => number): Buffer {
  let out = bytes;
  const place = (size: number): number => Math.floor(random() * (size + 1));
  for (let left = 1 + Math.floor(random() * 3); left > 0; left--) {
    const [a, b] = [place(out.length), place(out.length)].sort((x, y) => x - y) as [number, number];
    switch (Math.floor(random() * 6)) {
      case 0: {
        out = Buffer.from(out);
        if (out.length > 0) out[Math.min(a, out.length - 1)] = Math.floor(random() * 256);
        break;
      }
      case 1:
        out = out.subarray(0, b);
        break;
      case 2:
        out = Buffer.concat([out.subarray(0, a), out.subarray(b)]);
        break;
      case 3:
        out = Buffer.concat([out.subarray(0, b), out.subarray(a)]);
        break;
      case 4:
        out = Buffer.concat([
          out.subarray(0, a),
          Buffer.from([1, 2, 3].map(() => Math.floor(random() * 256))),
          out.subarray(a),
        ]);
        break;
      default: {
        const other = (seeds[place(seeds.length - 1)] as Seed).bytes;
        out = Buffer.concat([out.subarray(0, a), other.subarray(place(other.length)), out.subarray(b)]);
      }
    }
  }
  return out;
}

let server: ServerProcess;
let client: Client;
beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({ logLevel: "error" });
  client = new Client(server.address, credentials.createInsecure());
  for (const [path, request] of setUp) expect((await send(path, encode(path, request))).code).toBe(status.OK);
});
afterAll(async () => {
  client?.close();
  await server?.stop();
});

function send(path: string, bytes: Buffer): Promise<{ readonly code: status; readonly text: string }> {
  return new Promise((resolve) => {
    const done = (error: ServiceError | null): void =>
      resolve({ code: error?.code ?? status.OK, text: error?.details ?? "" });
    const deadline = Date.now() + 60_000;
    client.makeUnaryRequest(
      `/${path}`,
      (one: Buffer) => one,
      (one: Buffer) => one,
      bytes,
      { deadline } as never,
      done as never,
    );
  });
}

describe.skipIf(!addonBuilt)("damaged messages", () => {
  test("are refused in order, whatever they are", { timeout: 240_000 }, async () => {
    console.info(`damaged messages: seed ${seed}`);
    const random = makeRandom(seed);
    const work = seeds.flatMap(({ path, bytes }) =>
      Array.from({ length: perMessage }, () => ({ path, bytes: damage(bytes, random) })),
    );
    const codes = new Map<string, number>();
    const faults: string[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let one = work[next++]; one !== undefined; one = work[next++]) {
        if (next % perSetUp === 0) {
          await send("qdrant.Collections/Delete", encode("qdrant.Collections/Delete", { collection_name: "plain" }));
          for (const [path, request] of setUp) await send(path, encode(path, request));
        }
        const { code, text } = await send(one.path, one.bytes);
        codes.set(status[code], (codes.get(status[code]) ?? 0) + 1);
        if (
          code === status.INTERNAL ||
          code === status.UNKNOWN ||
          code === status.UNAVAILABLE ||
          code === status.DEADLINE_EXCEEDED
        )
          faults.push(`${one.path} ${one.bytes.toString("hex").slice(0, 2_000)}: ${status[code]}: ${text}`);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    expect(faults).toEqual([]);
    expect(codes.get("OK") ?? 0).toBeGreaterThan(20);
    expect(codes.get("INVALID_ARGUMENT") ?? 0).toBeGreaterThan(200);
    expect((await send(`${Qdrant.typeName}/HealthCheck`, Buffer.alloc(0))).code).toBe(status.OK);
    expect(server.log).not.toContain("internal error");
  });
});
