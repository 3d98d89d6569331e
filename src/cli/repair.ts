/** `sealpoint repair`: makes what is derived anew and says what it cannot bring back. */
import type { Command } from "commander";
import { runDataCheck } from "./check-report.ts";
import { type CheckOptions, dataDirOf } from "./verify.ts";

export function addRepairCommand(program: Command): void {
  program
    .command("repair")
    .description("repair the data of a stopped server: what is derived is made anew, and what is lost is named")
    .option("--data-dir <folder>", "where the data lives (SEALPOINT_DATA_DIR, default ./data)")
    .option("--json", "print the report as JSON")
    .addHelpText(
      "after",
      `
Damaged segments are removed, and the next start builds them anew in the background. Rows that belong to no point are moved to a
file in the data folder. A vector that the store lost is put back from a segment. Nothing that can be read is dropped.

Exit codes: 0 everything is sound now, 1 something cannot be repaired, 2 the repair cannot run.`,
    )
    .action(async (options: CheckOptions) => {
      await runDataCheck(dataDirOf(options), true, options.json === true);
    });
}
