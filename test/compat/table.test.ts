/** One table of calls, with their answers, through each of Qdrant's own clients as they are published. */
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Outcomes, outcomesPath, table, tableClients } from "../../scripts/compatibility/clients.ts";
import { addonBuilt, ServerProcess } from "../e2e/server-process.ts";

const outcomes: Outcomes = existsSync(outcomesPath) ? JSON.parse(readFileSync(outcomesPath, "utf8")) : {};

let server: ServerProcess;
beforeAll(async () => {
  if (addonBuilt) server = await ServerProcess.start({ logLevel: "warn" });
});
afterAll(async () => {
  await server?.stop();
});

describe.skipIf(!addonBuilt)("the common table", () => {
  // The Rust client's first build takes minutes.
  test.each(tableClients)("$title", { timeout: 600_000 }, async ({ title, missing, run }) => {
    const reason = await missing();
    if (reason !== undefined) {
      console.info(`${title}: skipped, ${reason}`);
      return;
    }
    const answers = await run(server);
    const wanted = table.filter(({ name }) => !outcomes[title]?.includes(name));
    expect([...answers]).toEqual(wanted.map(({ name, answer }) => [name, answer]));
  });
});
