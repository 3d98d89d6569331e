/** Every subcommand but `serve`. */
import type { Command } from "commander";
import { addConfigCommand } from "./config.ts";
import { addHealthcheckCommand } from "./healthcheck.ts";
import { addKeygenCommand } from "./keygen.ts";
import { addOpenCommand } from "./open.ts";
import { addRepairCommand } from "./repair.ts";
import { addRestoreCommand } from "./restore.ts";
import { addS5Command } from "./s5.ts";
import { addPortalCommand } from "./s5-portal.ts";
import { addTransferCommands } from "./transfer.ts";
import { addVerifyCommand } from "./verify.ts";

export function addOtherCommands(program: Command): void {
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
}
