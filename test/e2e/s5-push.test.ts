/** `sealpoint s5 push` and back: a collection written out as an encrypted S5 database loads again as it was. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { S5 } from "../../gen/sealpoint/v1/s5_pb.js";
import { type Portal, startPortal } from "../../src/s5/index.ts";
import { dense, enable, integer, num, type PointInit, text, uuid } from "./messages.ts";
import { addonBuilt, type Call, connectTo, launcher, ServerProcess } from "./server-process.ts";

const folder = mkdtempSync(join(tmpdir(), "sealpoint-push-"));
const key = randomBytes(32);
const user = "0xAbC0000000000000000000000000000000000001";
const total = 700;
const marker = "a word that lies nowhere readable";
let portal: Portal;
let server: ServerProcess;
let client: Call;

function push(...args: string[]): Promise<{ readonly code: number | null; readonly said: string }> {
  const own = ["s5", "push", "--from", `http://${server.address}`, "--portal", portal.url, "--user", user];
  const all = [launcher, ...own, "--key-file", join(folder, "key"), ...args];
  const child = spawn(process.execPath, all, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout.on("data", (part) => {
    said += String(part);
  });
  child.stderr.on("data", (part) => {
    said += String(part);
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, said })));
}

const point = (i: number): PointInit => ({
  id: i % 3 === 0 ? uuid(`00000000-0000-4000-8000-${String(i).padStart(12, "0")}`) : num(i),
  payload: { text: text(`${marker} ${i}`), n: integer(i), folderPath: text(i % 2 === 0 ? "/even" : "/odd") },
  vectors: dense(Math.sin(i), Math.cos(i * 1.7), 0.1 + i / 1_000, -0.37),
});

async function contentOf(collectionName: string) {
  const { result } = await client.call(Points.method.scroll, {
    collectionName,
    limit: total + 1,
    withPayload: enable,
    withVectors: { selectorOptions: { case: "enable", value: true } },
  });
  return result.map(({ id, payload, vectors }) => ({ id, payload, vectors }));
}

describe.skipIf(!addonBuilt)("s5 push", () => {
  beforeAll(async () => {
    const dir = join(folder, "portal");
    rmSync(dir, { recursive: true, force: true });
    (await import("node:fs")).mkdirSync(join(dir, "home"), { recursive: true });
    writeFileSync(join(folder, "key"), key, { mode: 0o600 });
    portal = await startPortal({ dir, port: 0 });
    server = await ServerProcess.start({ env: { S5_PORTAL_URL: portal.url } });
    client = connectTo(server.address);
    await client.call(Collections.method.create, {
      collectionName: "words",
      vectorsConfig: { config: { case: "params", value: { size: 4n, distance: Distance.Cosine } } },
    });
    const points = Array.from({ length: total }, (_, i) => point(i));
    await client.call(Points.method.upsert, { collectionName: "words", wait: true, points });
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
    await portal?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function load(collection: string, database: string): Promise<void> {
    const { next } = client.download(S5.method.load, {
      manifestPath: `home/vector-databases/${user}/${database}/manifest.json`,
      userAddress: user,
      sessionKey: key,
      target: { case: "collectionName", value: collection },
    });
    for (let answer = await next(); answer !== undefined; answer = await next()) {
      expect(answer.event.case).not.toBe("loadingError");
    }
  }

  test("a round trip is exact, and nothing of it is readable at the portal", async () => {
    const { code, said } = await push("--collection", "words", "--chunk", "200");
    expect(said).toContain(`pushed ${total} vectors in 4 chunks`);
    expect(code).toBe(0);
    const files = join(folder, "portal/home/vector-databases", user, "words");
    expect(readdirSync(files).sort()).toEqual([...[0, 1, 2, 3].map((n) => `chunk-${n}.json`), "manifest.json"]);
    for (const name of readdirSync(files))
      expect(readFileSync(join(files, name)).includes(marker.slice(7))).toBe(false);
    await load("copy", "words");
    expect(await contentOf("copy")).toEqual(await contentOf("words"));
  }, 30_000);

  test("a shorter one takes the place of a longer one, and the copy can be pushed on", async () => {
    expect((await push("--collection", "copy", "--database", "words", "--chunk", "500")).code).toBe(0);
    const files = join(folder, "portal/home/vector-databases", user, "words");
    expect(readdirSync(files).sort()).toEqual(["chunk-0.json", "chunk-1.json", "manifest.json"]);
    await load("again", "words");
    expect(await contentOf("again")).toEqual(await contentOf("words"));
  }, 30_000);

  test("what cannot be pushed is said", async () => {
    const wrong = await push("--collection", "none");
    expect(wrong.code).not.toBe(0);
    expect(wrong.said).toContain("none");
    const vector = await push("--collection", "words", "--vector", "other");
    expect(vector.code).not.toBe(0);
    expect(vector.said).toContain("has no dense vector `other`");
    expect((await push("--collection", "words", "--database", "../x")).said).toContain("expected home/");
  }, 30_000);
});
