/** Writes test/compat/table-outcomes.json anew from a run of all clients, which must all be there. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../../src/main.ts";
import { createLog, readConfig } from "../../src/ops/index.ts";
import { outcomesPath, table, tableClients } from "./clients.ts";

const folder = mkdtempSync(join(tmpdir(), "sealpoint-clients-"));
const config = readConfig({ SEALPOINT_DATA_DIR: folder, SEALPOINT_GRPC_PORT: "0", SEALPOINT_HTTP_PORT: "0" });
const server = await startServer(config, createLog("silent"));
try {
  const outcomes: Record<string, string[]> = {};
  for (const { title, missing, run } of tableClients) {
    const reason = await missing();
    if (reason !== undefined) throw new Error(`${title}: ${reason}`);
    const answers = await run(server);
    for (const { name, answer } of table) {
      const got = answers.get(name);
      if (got !== undefined && got !== answer) throw new Error(`${title}: ${name}: ${got}, not ${answer}`);
    }
    outcomes[title] = table.filter(({ name }) => !answers.has(name)).map(({ name }) => name);
  }
  writeFileSync(outcomesPath, `${JSON.stringify(outcomes, null, 2)}\n`);
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
