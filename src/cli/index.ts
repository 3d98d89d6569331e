/** The `sealpoint` command: one file per subcommand. */
import { Command } from "commander";
import { productVersion } from "../ops/index.ts";
import { addServeCommand } from "./serve.ts";

const program = new Command("sealpoint")
  .description(
    "A gRPC-first vector database that speaks Qdrant's API and seals each point's payload to its owner's public key.",
  )
  .version(productVersion)
  .showHelpAfterError("(run with --help for usage)")
  .configureHelp({ sortSubcommands: false });

addServeCommand(program);
// A start waits for nothing that the other commands import.
if (process.argv[2] !== "serve") (await import("./commands.ts")).addOtherCommands(program);

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
