/** `sealpoint serve` alone, for scripts/bundle.mjs: with all that it imports it becomes one script, which V8 starts from a cache of its code. */
import { createProgram, runProgram } from "./program.ts";

void runProgram(createProgram());
