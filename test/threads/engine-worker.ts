/** A thread with a sealed engine of its own over the process's native one, which answers what contract.test.ts asks. */
import { parentPort, workerData } from "node:worker_threads";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { type PointTable, type ScrollCursor, sealEngine } from "../../src/engine/index.ts";
import { ThreadPort } from "../../src/ops/index.ts";

if (parentPort === null) throw new Error("runs in a worker thread only");
const own = parentPort;
const port = new ThreadPort(own);
const { dataDir, changes } = workerData as { dataDir: string; changes: SharedArrayBuffer };
const engine = sealEngine(openEmbeddedEngine({ dataDir }), changes);
const cursors: ScrollCursor[] = [];

/** A table's rows as plain data; what lies in a greater memory is copied out, or all of that would be sent. */
function packTable(table: PointTable) {
  return Array.from({ length: table.length }, (_, row) => ({
    id: table.id(row),
    score: table.score(row),
    version: table.version(row),
    payload: table.payload(row)?.slice(),
    vectors: table.vectors(row)?.map(([name, vector]) => [name, structuredClone(vector)]),
  }));
}

function pack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pack);
  if (typeof value !== "object" || value === null) return value;
  if ("score" in value) return { rows: packTable(value as PointTable) };
  if ("next" in value) return { cursor: cursors.push(value as ScrollCursor) - 1 };
  if ("points" in value && typeof value.points === "object") return { ...value, points: pack(value.points) };
  return value;
}

port.on("call", async ({ method, args }: { method: string; args: unknown[] }) =>
  pack(await (engine as unknown as Record<string, (...args: unknown[]) => unknown>)[method]?.(...args)),
);
port.on("next", async ({ cursor, limit }: { cursor: number; limit: number }) =>
  pack(await cursors[cursor]?.next(limit)),
);
port.on("shut", (cursor: number) => cursors[cursor]?.close());
port.on("end", async () => {
  await engine.close();
  own.close();
});
