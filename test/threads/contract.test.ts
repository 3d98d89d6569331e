/** The engine's contract when every call goes to another thread: four threads, each with its own caches over the one native engine. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterAll } from "vitest";
import { createSharedChanges, type Engine, type PointTable } from "../../src/engine/index.ts";
import { ThreadPort } from "../../src/ops/index.ts";
import { engineContract } from "../engine/contract.ts";
import { temporaryFolder } from "../engine/support.ts";

interface Row {
  readonly id: ReturnType<PointTable["id"]>;
  readonly score: number;
  readonly version: bigint;
  readonly payload: ReturnType<PointTable["payload"]>;
  readonly vectors: ReturnType<PointTable["vectors"]>;
}

function tableOf(rows: readonly Row[]): PointTable {
  const at = (row: number) => rows[row] as Row;
  return {
    length: rows.length,
    id: (row) => at(row).id,
    score: (row) => at(row).score,
    version: (row) => at(row).version,
    payload: (row) => at(row).payload,
    vectors: (row) => at(row).vectors,
  };
}

const folder = temporaryFolder();
afterAll(() => folder.remove());

engineContract("four threads", async () => {
  const workerData = { dataDir: folder.path, changes: createSharedChanges() };
  const url = new URL("./engine-worker.ts", import.meta.url);
  const workers = Array.from({ length: 4 }, () => new Worker(url, { workerData, execArgv: [], env: process.env }));
  const ports = workers.map((worker) => new ThreadPort(worker));
  let turn = 0;

  function unpack(value: unknown, port: ThreadPort): unknown {
    if (Array.isArray(value)) return value.map((each) => unpack(each, port));
    if (typeof value !== "object" || value === null) return value;
    if ("rows" in value) return tableOf(value.rows as Row[]);
    if ("cursor" in value) {
      const { cursor } = value;
      return {
        next: async (limit: number) => unpack(await port.call("next", { cursor, limit }), port),
        close: () => port.call("shut", cursor),
      };
    }
    if ("points" in value && typeof value.points === "object") return { ...value, points: unpack(value.points, port) };
    return value;
  }

  const engine = {
    async close() {
      const ended = workers.map((worker) => once(worker, "exit"));
      for (const port of ports) port.tell("end");
      await Promise.all(ended);
    },
  };
  return new Proxy(engine, {
    get(target, method: string) {
      // A promise resolves to what has no `then`.
      if (method === "then") return undefined;
      if (method === "close") return target.close;
      return async (...args: unknown[]) => {
        const port = ports[turn++ % ports.length] as ThreadPort;
        return unpack(await port.call("call", { method, args }), port);
      };
    },
  }) as unknown as Engine;
});
