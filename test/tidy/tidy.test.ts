/** Holds up the structure: layers, rooms and their doors, generated code, file lengths, dead files. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import longFiles from "./long-files.json" with { type: "json" };

const root = resolve(import.meta.dirname, "../..");
const linesMax = 500;

/** Imports go from a higher number to a lower one, or stay inside a room. */
const layers: readonly (readonly [room: string, layer: number])[] = [
  ["src/core", 0],
  ["src/native", 1],
  ["src/wire", 1],
  ["src/ops", 1],
  ["src/store", 2],
  ["src/segment", 2],
  ["src/filter", 2],
  ["src/query", 2],
  ["src/seal", 2],
  ["src/inference", 2],
  ["src/s5", 2],
  ["src/audit", 3],
  ["src/memory", 3],
  ["src/engine", 3],
  ["src/services", 4],
  ["src/jobs", 4],
  ["src/api/grpc", 5],
  ["src/api/rest", 5],
  ["src/api/mcp", 5],
  ["src/proxy", 5],
  ["src/cli", 6],
  ["src/threads", 6],
  ["src/main.ts", 6],
];

/** Rooms that may import generated code. */
const generatedCodeRooms = ["src/wire", "src/api/grpc", "src/engine/cluster"];

/** Doors of a room beside its index.ts: parts of the engine that only the wiring and the engine itself know. */
const extraDoors = new Set(["src/engine/sealed.ts", "src/engine/embedded/index.ts", "src/api/grpc/handlers/index.ts"]);

/** Files that nothing imports because something else starts them. */
const entryPoints = [/^src\/cli\/(index|server)\.ts$/, /-worker\.ts$/];

function listFiles(folder: string, extension: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.includes("node_modules"))
    .sort();
}

interface Import {
  readonly from: string;
  /** Path from the root, or the package's name. */
  readonly to: string;
  readonly local: boolean;
}

const importPattern =
  /(?:^|\n)\s*(?:import|export)\s[^;"']*?from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|new URL\(\s*["'](\.[^"']+)["']/g;

function importsOf(path: string): Import[] {
  const text = readFileSync(join(root, path), "utf8");
  return [...text.matchAll(importPattern)].map((match) => {
    const target = (match[1] ?? match[2] ?? match[3]) as string;
    const local = target.startsWith(".");
    return { from: path, to: local ? relative(root, resolve(root, dirname(path), target)) : target, local };
  });
}

function roomOf(path: string): readonly [string, number] | undefined {
  return layers.find(([room]) => path === room || path.startsWith(`${room}/`));
}

const sources = listFiles("src", ".ts");
const imports = sources.flatMap(importsOf);

test("the test sees the code", () => {
  expect(sources.length).toBeGreaterThan(30);
  expect(imports.filter((one) => one.local).length).toBeGreaterThan(50);
});

test("every source file belongs to a room", () => {
  expect(sources.filter((path) => roomOf(path) === undefined)).toEqual([]);
});

test("imports go down", () => {
  const wrong = imports.filter(({ from, to, local }) => {
    const [room, layer] = roomOf(from) ?? ["", 0];
    const target = local ? roomOf(to) : undefined;
    return target !== undefined && target[0] !== room && target[1] >= layer && !(layer === 6 && target[1] === 6);
  });
  expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("a room is entered through its index.ts", () => {
  const wrong = imports.filter(({ from, to, local }) => {
    if (!local) return false;
    const target = roomOf(to);
    if (target === undefined || target[0] === roomOf(from)?.[0] || target[0].endsWith(".ts")) return false;
    return to !== `${target[0]}/index.ts` && !extraDoors.has(to);
  });
  expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("only wire, api/grpc and engine/cluster import generated code", () => {
  const wrong = imports.filter(
    ({ from, to }) => to.startsWith("gen/") && !generatedCodeRooms.some((room) => from.startsWith(`${room}/`)),
  );
  expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("only native loads the addon, only the server's room speaks grpc-js", () => {
  const loads = sources.filter((path) => /sealpoint\.node\b/.test(readFileSync(join(root, path), "utf8")));
  expect(loads.filter((path) => !path.startsWith("src/native/"))).toEqual([]);
  const speaks = imports.filter(
    ({ from, to }) => to === "@grpc/grpc-js" && !/^src\/(api\/grpc|cli|engine\/cluster)\/|^src\/main\.ts$/.test(from),
  );
  expect(speaks.map(({ from }) => from)).toEqual([]);
});

test("what the code imports is a dependency", () => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
    peerDependencies: Record<string, string>;
  };
  const wrong = imports.filter(({ from, to, local }) => {
    if (local || to.startsWith("node:")) return false;
    const name = to
      .split("/")
      .slice(0, to.startsWith("@") ? 2 : 1)
      .join("/");
    // What few install is imported where it is used, and only there.
    return !(name in dependencies || (name in peerDependencies && from === "src/inference/onnx-model.ts"));
  });
  expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("no dead files", () => {
  const reached = new Set(imports.filter((one) => one.local).map((one) => one.to));
  const dead = sources.filter((path) => {
    if (reached.has(path) || entryPoints.some((pattern) => pattern.test(path))) return false;
    return (
      !path.endsWith("/index.ts") ||
      !sources.some((other) => other !== path && dirname(other).startsWith(dirname(path)))
    );
  });
  expect(dead).toEqual([]);
});

describe("file lengths", () => {
  const measured = ["src", "test", "bench", "scripts", "clients/typescript"]
    .flatMap((folder) => {
      try {
        return [".ts", ".mjs", ".cc", ".h"].flatMap((extension) => listFiles(folder, extension));
      } catch {
        return [];
      }
    })
    .filter((path) => !path.includes("/gen/"))
    .map((path) => [path, readFileSync(join(root, path), "utf8").split("\n").length - 1] as const);
  const known = longFiles as Record<string, number>;

  test(`no file beyond ${linesMax} lines, and those that are only shrink`, () => {
    const grown = measured.filter(([path, lines]) => lines > Math.max(linesMax, known[path] ?? 0));
    expect(grown.map(([path, lines]) => `${path}: ${lines} lines`)).toEqual([]);
  });

  test("the list of long files is current", () => {
    const lengths = new Map(measured);
    const stale = Object.entries(known).filter(([path, lines]) => {
      const now = lengths.get(path);
      return now === undefined || now <= linesMax || now < lines;
    });
    expect(stale.map(([path, lines]) => `${path}: listed with ${lines}, has ${lengths.get(path) ?? "gone"}`)).toEqual(
      [],
    );
  });
});

test("names are kebab-case", () => {
  const wrong = sources.filter((path) => !/^[a-z0-9-]+(\.[a-z]+)*\.ts$/.test(path.split("/").pop() as string));
  expect(wrong).toEqual([]);
});
