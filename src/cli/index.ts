/** The `sealpoint` command: one file per subcommand. */
import { Command } from "commander";
import { productVersion } from "../ops/index.ts";
import { addConfigCommand } from "./config.ts";
import { addHealthcheckCommand } from "./healthcheck.ts";
import { addKeygenCommand } from "./keygen.ts";
import { addOpenCommand } from "./open.ts";
import { addRepairCommand } from "./repair.ts";
import { addRestoreCommand } from "./restore.ts";
import { addS5Command } from "./s5.ts";
import { addPortalCommand } from "./s5-portal.ts";
import { addServeCommand } from "./serve.ts";
import { addTransferCommands } from "./transfer.ts";
import { addVerifyCommand } from "./verify.ts";

const program = new Command("sealpoint")
  .description(
    "A gRPC-first vector database that speaks Qdrant's API and seals each point's payload to its owner's public key.",
  )
  .version(productVersion)
  .showHelpAfterError("(run with --help for usage)")
  .configureHelp({ sortSubcommands: false });

addServeCommand(program);
addHealthcheckCommand(program);
addVerifyCommand(program);
addRepairCommand(program);
addTransferCommands(program);
addConfigCommand(program);
addRestoreCommand(program);
addKeygenCommand(program);
addOpenCommand(program);
addPortalCommand(program);
addS5Command(program);

program.addHelpText(
  "after",
  `
Examples:
  sealpoint serve                                  serve ./data on 127.0.0.1 (gRPC 6334, HTTP 6333)
  sealpoint keygen --out owner.pem                 make owner.pem (private) and owner.pub.pem (public)
  grpcurl -plaintext 127.0.0.1:6334 list           see what the server speaks
  grpcurl ... qdrant.Points/Scroll | sealpoint open --key owner.pem
                                                   read sealed payloads that are yours`,
);

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`sealpoint: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
