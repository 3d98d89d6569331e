/** `sealpoint verify`: reads the whole data folder of a stopped server and says what is damaged; changes nothing. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { runDataCheck } from "./check-report.ts";

export interface CheckOptions {
  readonly dataDir?: string;
  readonly json?: boolean;
}

export function dataDirOf({ dataDir }: CheckOptions): string {
  return resolve(dataDir ?? (process.env.SEALPOINT_DATA_DIR || "./data"));
}

export function addVerifyCommand(program: Command): void {
  program
    .command("verify")
    .description("read all data of a stopped server against its checksums and against each other; changes nothing")
    .option("--data-dir <folder>", "where the data lives (SEALPOINT_DATA_DIR, default ./data)")
    .option("--json", "print the report as JSON")
    .addHelpText(
      "after",
      `
Exit codes: 0 everything is sound, 1 damage was found, 2 the check cannot run (a server holds the folder, for instance).`,
    )
    .action(async (options: CheckOptions) => {
      await runDataCheck(dataDirOf(options), false, options.json === true);
    });
}
