/** `sealpoint config convert`: a configuration of Qdrant's in our words. */
import type { Command } from "commander";
import { convertQdrantConfig } from "../ops/index.ts";

export function addConfigCommand(program: Command): void {
  program
    .command("config")
    .description("work with configuration files")
    .command("convert <file>")
    .description("print a sealpoint.yaml made from a config.yaml of Qdrant's")
    .addHelpText(
      "after",
      `
Settings that change nothing here are named in comments. A server reads Qdrant's files as they are, too: see docs/operations.md.
API keys are printed as they stand in the file.`,
    )
    .action((file: string) => {
      process.stdout.write(convertQdrantConfig(file));
    });
}
