/** A server with four RPC threads, and clients that each reach one of them. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { type Call, connectTo, failure, type ServerProcess } from "../e2e/server-process.ts";

export const threads = 4;
export const env = { SEALPOINT_RPC_THREADS: String(threads) };

/** One client, of one connection, for each thread of the server, by the thread's name in the log. */
export async function clientPerThread(server: ServerProcess): Promise<Map<string, Call>> {
  const clients = new Map<string, Call>();
  for (let attempt = 0; clients.size < threads && attempt < 200; attempt++) {
    const client = connectTo(server.address);
    const from = server.log.length;
    const names = () =>
      [...server.log.slice(from).matchAll(/"thread":"(rpc-\d)"[^\n]*Points\/Count/g)].map((m) => m[1]);
    await failure(client.call(Points.method.count, { collectionName: "nowhere" }));
    while (names().length === 0) await sleep(5);
    const [name] = names();
    if (name === undefined || clients.has(name)) client.close();
    else clients.set(name, client);
  }
  expect(clients.size).toBe(threads);
  return clients;
}
