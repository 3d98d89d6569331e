/** The `sealpoint` command: one file per subcommand. */
import { createProgram, runProgram } from "./program.ts";

const program = createProgram();
// A start waits for nothing that the other commands import.
if (process.argv[2] !== "serve") (await import("./commands.ts")).addOtherCommands(program);
await runProgram(program);
