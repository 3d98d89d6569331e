// Makes dist/bundle: the server and what it imports in a few files. A start that reads hundreds of modules one by one spends most of its time on finding them.
// The workers keep their names, because they are started by them.
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const at = (path) => join(root, "src", path);
const target = join(root, "dist/bundle");
const fresh = `${target}.${process.pid}`;

const bundle = await rolldown({
  input: {
    index: at("cli/index.ts"),
    "body-worker": at("api/rest/body-worker.ts"),
    "rpc-worker": at("threads/rpc-worker.ts"),
    "opener-worker": at("s5/opener-worker.ts"),
    "onnx-worker": at("inference/onnx-worker.ts"),
  },
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
    // An import that cannot be found would fail only when it is reached.
    if (log.code === "UNRESOLVED_IMPORT") throw new Error(log.message);
    if (level === "warn") process.stderr.write(`bundle: ${log.message}\n`);
  },
});
try {
  const { output } = await bundle.write({
    dir: fresh,
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
    // V8 keeps the sources in memory, with two bytes a character when one of them is not Latin 1. Names stay for stack traces.
    charset: "ascii",
    comments: false,
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
  });
  // What bin/sealpoint.mjs looks at to know that the bundle is still what the sources say; a new file comes with a change of one of these.
  const sources = new Set(output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : [])));
  const own = [...sources].map((path) => relative(root, path)).filter((path) => /^(src|gen)\//.test(path));
  writeFileSync(join(fresh, "sources.json"), JSON.stringify(own));
  rmSync(target, { recursive: true, force: true });
  renameSync(fresh, target);
} finally {
  await bundle.close();
  rmSync(fresh, { recursive: true, force: true });
}
