/** The process that is killed: replays the workload from an operation on and says of each one when it is acknowledged. */
import { writeSync } from "node:fs";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { operationOf } from "./workload.ts";

const [dataDir = "", seed = "0", first = "0"] = process.argv.slice(2);
const engine = openEmbeddedEngine({ dataDir });
writeSync(1, "ready\n");
for (let index = Number(first); ; index++) {
  const { operation } = operationOf(Number(seed), index);
  await engine.write("crash", operation, { wait: true });
  writeSync(1, `${index}\n`);
}
