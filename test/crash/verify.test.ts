/** `sealpoint verify` and `sealpoint repair` on folders that are damaged on purpose. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { sealingOff } from "../../src/core/index.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { connectTo, ServerProcess } from "../e2e/server-process.ts";
import { configOf, failure, point, query, temporaryFolder } from "../engine/support.ts";

const command = fileURLToPath(new URL("../../bin/sealpoint.mjs", import.meta.url));
const points = 600;
const dimensions = 32;

interface Report {
  readonly clean?: boolean;
  readonly error?: string;
  readonly findings: readonly { kind: string; repaired: boolean; collection?: string; point?: string; text: string }[];
  readonly movedTo?: string;
}

function run(verb: "verify" | "repair", folder: string): { code: number | null; report: Report } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, verb, "--json", "--data-dir", folder], {
    encoding: "utf8",
  });
  if (stdout === "") throw new Error(`${verb} printed nothing: ${stderr}`);
  return { code: status, report: JSON.parse(stdout) as Report };
}

function filesOf(folder: string, ending: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

const vectorOf = (id: number) => Array.from({ length: dimensions }, (_, i) => Math.sin(id * 31 + i * 7) + 2);

async function indexed(engine: EmbeddedEngine): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if ((await engine.collectionInfo("c")).indexedVectorsCount === points) return;
    await sleep(50);
  }
  throw new Error("the graph was not built");
}

describe("verify and repair", () => {
  const original = temporaryFolder();
  const copies: { remove: () => void }[] = [original];
  const copy = () => {
    const folder = temporaryFolder();
    copies.push(folder);
    cpSync(original.path, folder.path, { recursive: true });
    return folder.path;
  };

  beforeAll(async () => {
    const engine = openEmbeddedEngine({ dataDir: original.path });
    const config = configOf({ "": [dimensions, "dot"] }, { indexingThreshold: 10 });
    await engine.createCollection("c", config, sealingOff);
    const ids = Array.from({ length: points }, (_, id) => id);
    const made = ids.map((id) => point(id, vectorOf(id), { n: BigInt(id), text: `text of point ${id}` }));
    await engine.write("c", { kind: "upsert", points: made }, { wait: true });
    await indexed(engine);
    await engine.close();
  });
  afterAll(() => {
    for (const folder of copies) folder.remove();
  });

  test("a sound folder is clean, and verify changes not one byte", () => {
    const folder = copy();
    const sums = () =>
      execFileSync("sh", ["-c", "find . -type f | sort | xargs sha256sum"], { cwd: folder }).toString();
    const before = sums();
    expect(run("verify", folder)).toMatchObject({ code: 0, report: { clean: true, findings: [] } });
    expect(sums()).toBe(before);
    expect(run("repair", folder)).toMatchObject({ code: 0, report: { clean: true, findings: [] } });
  });

  test("what cannot be run says so", async () => {
    const empty = temporaryFolder();
    copies.push(empty);
    expect(run("verify", empty.path).code).toBe(2);
    const folder = copy();
    const engine = openEmbeddedEngine({ dataDir: folder });
    const held = run("verify", folder);
    await engine.close();
    expect(held).toMatchObject({ code: 2, report: { error: expect.stringContaining("in use by another server") } });
  });

  test("a damaged segment is named, removed by repair, and built anew", async () => {
    const folder = copy();
    const [segment] = filesOf(folder, ".segment");
    // The vectors stand last, padding behind them.
    flip(
      segment as string,
      readFileSync(segment as string).findLastIndex((byte) => byte !== 0),
    );
    const { code, report } = run("verify", folder);
    expect(code).toBe(1);
    expect(report.findings).toMatchObject([{ kind: "derived", repaired: false, collection: "c" }]);
    expect(run("repair", folder)).toMatchObject({
      code: 0,
      report: { findings: [{ kind: "derived", repaired: true }] },
    });
    const engine = openEmbeddedEngine({ dataDir: folder });
    const found = await engine.search("c", query(vectorOf(7), { limit: points, exact: true }));
    expect(found.length).toBe(points);
    await indexed(engine);
    await engine.close();
    expect(run("verify", folder).code).toBe(0);
  });

  test("a damaged graph over multivectors is named, removed by repair, and built anew", async () => {
    const folder = temporaryFolder();
    copies.push(folder);
    const many = { size: 4, distance: "dot" as const, multivector: true };
    const config = { ...configOf({}, { indexingThreshold: 10 }), vectors: { many } };
    const made = Array.from({ length: points }, (_, id) => {
      const values = Float32Array.from(vectorOf(id).slice(0, 12));
      return { ...point(id, {}), vectors: [["many", { rows: 3, dimensions: 4, values }]] as const };
    });
    let engine = openEmbeddedEngine({ dataDir: folder.path });
    await engine.createCollection("c", config, sealingOff);
    await engine.write("c", { kind: "upsert", points: made }, { wait: true });
    await indexed(engine);
    await engine.close();
    expect(run("verify", folder.path).code).toBe(0);
    const graphs = () => filesOf(folder.path, "multivectors.graph");
    flip(graphs()[0] as string, 200);
    const damaged = {
      kind: "derived",
      collection: "c",
      text: expect.stringContaining("multivectors.graph: fails its checksum"),
    };
    expect(run("verify", folder.path)).toMatchObject({
      code: 1,
      report: { findings: [{ ...damaged, repaired: false }] },
    });
    expect(run("repair", folder.path)).toMatchObject({
      code: 0,
      report: { findings: [{ ...damaged, repaired: true }] },
    });
    expect(graphs()).toEqual([]);
    engine = openEmbeddedEngine({ dataDir: folder.path });
    await indexed(engine);
    await engine.close();
    expect(graphs().length).toBe(1);
    expect(run("verify", folder.path)).toMatchObject({ code: 0, report: { findings: [] } });
  });

  test.each([
    ["flipped in its header", (file: string) => flip(file, 40), "is damaged"],
    ["flipped in its graph", (file: string) => flip(file, Math.floor(statSync(file).size / 4)), ""],
    ["cut short", (file: string) => truncateSync(file, Math.floor(statSync(file).size / 2)), ""],
    ["gone", (file: string) => rmSync(file), ""],
  ])("a segment that is %s is named by verify and by the start's log, and built anew", async (_, damage, why) => {
    const folder = copy();
    const [segment] = filesOf(folder, ".segment");
    damage(segment as string);
    const name = basename(segment as string);
    const { report } = run("verify", folder);
    expect(report.findings).toMatchObject([{ kind: "derived", text: expect.stringContaining(name) }]);
    const server = await ServerProcess.start({ dataDir: folder, logLevel: "warn" });
    const client = connectTo(server.address);
    try {
      expect(server.log).toMatch(new RegExp(`"collection":"c","file":"1/0/${name}: [^"]*${why}`));
      expect(server.log).toContain("was left out and is built anew from the store");
      const indexedCount = async () => {
        const { result } = await client.call(Collections.method.get, { collectionName: "c" });
        return Number(result?.indexedVectorsCount);
      };
      await expect.poll(indexedCount).toBe(points);
    } finally {
      client.close();
      await server.kill("SIGTERM");
    }
    expect(run("verify", folder)).toMatchObject({ code: 0, report: { findings: [] } });
  });

  test("vectors that the store lost are named, and come back from the segment", async () => {
    const folder = copy();
    const [blob] = filesOf(folder, ".blob");
    flip(blob as string, Math.floor(statSync(blob as string).size / 2));
    const { code, report } = run("verify", folder);
    expect(code).toBe(1);
    const named = report.findings.filter(({ point }) => point !== undefined);
    expect(named).toMatchObject([
      { kind: "derived", collection: "c", text: expect.stringContaining("a segment holds it") },
    ]);
    expect(run("repair", folder).report.findings).toContainEqual({ ...named[0], repaired: true });
    const engine = openEmbeddedEngine({ dataDir: folder });
    const id = BigInt(named[0]?.point ?? "-1");
    const table = await engine.get("c", [id], { kind: "all" }, { kind: "all" });
    expect(table.vectors(0)?.[0]?.[1]).toEqual(Float32Array.from(vectorOf(Number(id))));
    await engine.close();
  });

  test("without a segment they are lost, and named", () => {
    const folder = copy();
    rmSync(join(folder, "segments"), { recursive: true });
    const [blob] = filesOf(folder, ".blob");
    flip(blob as string, Math.floor(statSync(blob as string).size / 2));
    const { code, report } = run("repair", folder);
    expect(code).toBe(1);
    const lost = report.findings.filter(({ point }) => point !== undefined);
    expect(lost).toMatchObject([{ kind: "loss", repaired: false, collection: "c" }]);
  });

  test.each([
    ["segments", "manifest: is missing, and all segments with it"],
    ["segments/1", "manifest: is missing, and all segments with it"],
    ["segments/1/0", "manifest: is missing, and all segments with it"],
    ["segments/1/0/manifest", "manifest: is missing"],
  ])("%s may vanish: it is named, does no harm, and is built anew", async (gone, what) => {
    const folder = copy();
    rmSync(join(folder, gone), { recursive: true });
    expect(run("verify", folder).report.findings).toMatchObject([
      { kind: "derived", collection: "c", text: `segments/1/0/${what}` },
    ]);
    const engine = openEmbeddedEngine({ dataDir: folder });
    expect((await engine.stats()).leftOut).toEqual([{ collection: "c", what: `1/0/${what}` }]);
    expect((await engine.search("c", query(vectorOf(3), { limit: points, exact: true }))).length).toBe(points);
    await indexed(engine);
    await engine.close();
    expect(run("verify", folder)).toMatchObject({ code: 0, report: { findings: [] } });
    // Once it is there again, nothing is said.
    const again = openEmbeddedEngine({ dataDir: folder });
    expect((await again.stats()).leftOut).toEqual([]);
    await again.close();
  });

  test("a collection that never had a segment misses none", async () => {
    const empty = temporaryFolder();
    copies.push(empty);
    for (let round = 0; round < 3; round++) {
      const engine = openEmbeddedEngine({ dataDir: empty.path });
      expect((await engine.stats()).leftOut).toEqual([]);
      if (round === 0) await engine.createCollection("small", configOf({ "": [dimensions, "dot"] }), sealingOff);
      await engine.close();
      if (round === 1) rmSync(join(empty.path, "segments"), { recursive: true });
    }
  });

  test("an orderly stop notes that tables hold everything, and a list of tables that was cut short since stops the start", async () => {
    const folder = copy();
    await openEmbeddedEngine({ dataDir: folder }).close();
    expect(readFileSync(join(folder, "synced"), "utf8")).toMatch(
      /^synced \d+\ntables MANIFEST-\d+ \d+\ncheck [0-9a-f]{8}\n$/,
    );
    let refused = 0;
    for (const part of [0.95, 0.6, 0.3]) {
      const cut = temporaryFolder();
      copies.push(cut);
      cpSync(folder, cut.path, { recursive: true });
      const manifest = join(cut.path, "store", readFileSync(join(folder, "store", "CURRENT"), "utf8").trim());
      truncateSync(manifest, Math.floor(statSync(manifest).size * part));
      try {
        const engine = openEmbeddedEngine({ dataDir: cut.path });
        // What was cut off said nothing of tables.
        expect(await engine.count("c", undefined, true)).toBe(points);
        await engine.close();
      } catch (error) {
        expect(error).toMatchObject({ kind: "data_loss" });
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });

  test("a store without CURRENT is not begun anew", async () => {
    const folder = copy();
    rmSync(join(folder, "store", "CURRENT"));
    expect((await failure((async () => openEmbeddedEngine({ dataDir: folder }))())).kind).toBe("data_loss");
    expect(run("verify", folder).code).toBe(1);
    expect(existsSync(join(folder, "store", "CURRENT"))).toBe(false);
  });

  test("a log that lost acknowledged writes stops the start until repair has said so", async () => {
    const folder = copy();
    const writer = `
      import { openEmbeddedEngine } from ${JSON.stringify(new URL("../../src/engine/embedded/index.ts", import.meta.url).href)};
      import { point } from ${JSON.stringify(new URL("../engine/support.ts", import.meta.url).href)};
      const engine = openEmbeddedEngine({ dataDir: ${JSON.stringify(folder)} });
      for (let id = 0; id < 20; id++) {
        await engine.write("c", { kind: "upsert", points: [point(1000 + id, Array(${dimensions}).fill(id + 1))] }, { wait: true });
      }
      process.kill(process.pid, "SIGKILL");`;
    spawnSync(process.execPath, ["--input-type=module-typescript", "-e", writer]);
    const log = filesOf(folder, ".log").sort((a, b) => statSync(b).size - statSync(a).size)[0] as string;
    expect(statSync(log).size).toBeGreaterThan(1_000);
    flip(log, Math.floor(statSync(log).size / 2));
    const refused = await failure((async () => openEmbeddedEngine({ dataDir: folder }))());
    expect(refused).toMatchObject({
      kind: "data_loss",
      message: expect.stringContaining("sound records lie behind it"),
    });
    expect(run("verify", folder)).toMatchObject({ code: 1, report: { findings: [{ kind: "loss" }] } });
    expect(run("repair", folder).code).toBe(1);
    const engine = openEmbeddedEngine({ dataDir: folder });
    const count = await engine.count("c", undefined, true);
    expect(count).toBeGreaterThan(points);
    expect(count).toBeLessThan(points + 20);
    await engine.close();
    expect(run("verify", folder).code).toBe(0);
  });
});
