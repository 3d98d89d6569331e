/** The Python of the benchmark: an environment of its own with the pinned peers; what does not install is named and left out. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "./server.ts";

const run = promisify(execFile);
const environment = join(root, ".tools/bench-venv");
export const python = join(environment, "bin/python");

/** Names of the packages that could not be installed. */
export async function preparePython(packages?: readonly string[]): Promise<string[]> {
  if (!existsSync(python)) await run("python3", ["-m", "venv", environment]);
  const pinned = readFileSync(join(root, "bench/requirements.txt"), "utf8")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  const missing: string[] = [];
  for (const pin of pinned) {
    const name = pin.replace(/==.*/, "");
    if (packages !== undefined && !packages.includes(name)) continue;
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", pin];
    await run(python, pip, { maxBuffer: 1 << 26 }).catch(() => missing.push(name));
  }
  return missing;
}
