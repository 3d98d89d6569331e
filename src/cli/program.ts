/** The `sealpoint` command, as far as a start of the server needs it: no module here waits for anything at its top, so that it may be made one script. */
import { Command } from "commander";
import { productVersion } from "../ops/index.ts";
import { addServeCommand } from "./serve.ts";

export function createProgram(): Command {
  const program = new Command("sealpoint")
    .description(
      "A gRPC-first vector database that speaks Qdrant's API and seals each point's payload to its owner's public key.",
    )
    .version(productVersion)
    .showHelpAfterError("(run with --help for usage)")
    .configureHelp({ sortSubcommands: false });
  addServeCommand(program);
  return program;
}

export async function runProgram(program: Command): Promise<void> {
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
}
