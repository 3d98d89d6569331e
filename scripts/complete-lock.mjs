// Adds to package-lock.json the optional packages of other platforms that the registry in use does not carry. `npm install`
// leaves those out of the lock file and `npm ci` then refuses it. Run it after every `npm install`.
// The entries have no checksum: they are never fetched, since package.json allows Linux only and os, cpu or libc do not match.
import { readFileSync, writeFileSync } from "node:fs";

const systems = new Set([
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
]);
const processors = { arm: "arm", arm64: "arm64", armv7: "arm", ia32: "ia32", x64: "x64" };

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));
const { "": root, ...packages } = lock.packages;
const added = [];

for (const [parent, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (key in packages || `${parent}/${key}` in packages) continue;
    const words = name.split("/").at(-1).split(/[-_]/);
    const os = words.filter((word) => systems.has(word));
    const cpu = words.filter((word) => word in processors).map((word) => processors[word]);
    // Only what is plainly another platform's, in an exact version; anything else is npm's to say.
    if (os.length !== 1 || cpu.length !== 1 || !/^\d/.test(version)) continue;
    packages[key] = {
      version,
      cpu,
      ...(entry.dev === true ? { dev: true } : {}),
      ...(os[0] === "linux" ? { libc: [words.includes("musl") ? "musl" : "glibc"] } : {}),
      optional: true,
      os,
    };
    added.push(key);
  }
}

const sorted = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify({ ...lock, packages: { "": root, ...sorted } }, null, 2)}\n`);
process.stdout.write(`${added.length} packages of other platforms added\n`);
