/** `sealpoint import` and `export` between real servers and files: whole, resumed after a kill, undone after a failure, sealed on the way. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Distance, PayloadSchemaType } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { FieldType } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { generateKeyPair } from "../../src/seal/index.ts";
import { countOf, dense, enable, integer, num, type PointInit, text, uuid } from "./messages.ts";
import { addonBuilt, type Call, connectTo, launcher, ServerProcess } from "./server-process.ts";

const folder = mkdtempSync(join(tmpdir(), "sealpoint-transfer-"));
let from: ServerProcess;
let to: ServerProcess;
let source: Call;
let target: Call;
const url = (server: ServerProcess): string => `http://${server.address}`;
const total = 2_000;

interface Ran {
  readonly code: number | null;
  readonly stderr: string;
}

function run(args: readonly string[], watch?: (child: ChildProcess) => void): Promise<Ran> {
  const child = spawn(process.execPath, [launcher, ...args], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr?.on("data", (chunk) => {
    stderr += String(chunk);
  });
  watch?.(child);
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stderr })));
}

function payloadOf(i: number) {
  return {
    word: text(`word ${i} "quoted" é`),
    n: integer(i),
    whole: { kind: { case: "doubleValue" as const, value: 3 } },
    big: { kind: { case: "integerValue" as const, value: 9_007_199_254_740_993n } },
    nested: {
      kind: {
        case: "structValue" as const,
        value: {
          fields: { list: { kind: { case: "listValue" as const, value: { values: [integer(1), text("x")] } } } },
        },
      },
    },
    none: { kind: { case: "nullValue" as const, value: 0 } },
  };
}

beforeAll(async () => {
  if (!addonBuilt) return;
  [from, to] = await Promise.all([ServerProcess.start({}), ServerProcess.start({})]);
  [source, target] = [connectTo(from.address), connectTo(to.address)];
  await source.call(Collections.method.create, {
    collectionName: "words",
    vectorsConfig: { config: { case: "params", value: { size: 4n, distance: Distance.Cosine } } },
    hnswConfig: { m: 24n },
  });
  const points: PointInit[] = Array.from({ length: total }, (_, i) => ({
    id: i % 3 === 0 ? uuid(`00000000-0000-4000-8000-${String(i).padStart(12, "0")}`) : num(i),
    vectors: dense(Math.sin(i), Math.cos(i), i / total, 1),
    payload: payloadOf(i),
  }));
  await source.call(Points.method.upsert, { collectionName: "words", wait: true, points });
  const index = { collectionName: "words", wait: true, fieldName: "n", fieldType: FieldType.FieldTypeInteger };
  await source.call(Points.method.createFieldIndex, index);
});
afterAll(async () => {
  source?.close();
  target?.close();
  await Promise.all([from?.stop(), to?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

describe.runIf(addonBuilt)("transfer", { timeout: 120_000 }, () => {
  test("a dry run does nothing; a run copies points, configuration and indexes, and the verification says so", async () => {
    const args = ["import", "--from", url(from), "--to", url(to), "--collection", "words"];
    expect(await run([...args, "--dry-run"])).toMatchObject({ code: 0 });
    expect((await target.call(Collections.method.collectionExists, { collectionName: "words" })).result?.exists).toBe(
      false,
    );
    const ran = await run([...args, "--verify"]);
    expect(ran.stderr).toContain(`${total} points compared, 0 differences; searches overlap by 100 %`);
    expect(ran.code).toBe(0);
    const { result } = await target.call(Collections.method.get, { collectionName: "words" });
    expect(result?.config?.hnswConfig?.m).toBe(24n);
    expect(result?.payloadSchema.n?.dataType).toBe(PayloadSchemaType.Integer);
    expect(existsSync(join(folder, "words.transfer.json"))).toBe(false);
    const again = await run(args);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain("exists already");
    expect(await countOf(target, "words")).toBe(total);
  });

  test("a verification names what differs", async () => {
    const args = ["import", "--from", url(from), "--to", url(to), "--collection", "words", "--as", "altered"];
    expect((await run(args)).code).toBe(0);
    await target.call(Points.method.setPayload, {
      collectionName: "altered",
      wait: true,
      payload: { n: integer(-1) },
      pointsSelector: { pointsSelectorOneOf: { case: "points", value: { ids: [num(7)] } } },
    });
    const file = join(folder, "altered.jsonl");
    expect((await run(["export", "--from", url(from), "--collection", "words", "--to", file])).code).toBe(0);
    // The state says that all but the last page is there: what was altered stays.
    const state = {
      from: file,
      to: url(to),
      collection: "altered",
      made: false,
      done: 0,
      next: String(total - 1),
      position: 0,
    };
    writeFileSync(join(folder, "altered.transfer.json"), JSON.stringify(state));
    const ran = await run(["import", "--from", file, "--to", url(to), "--as", "altered", "--verify"]);
    expect(ran.stderr).toContain("differs: payload of point 7");
    expect(ran.stderr).toContain("1 differences");
    expect(ran.code).toBe(2);
  });

  test("through a file and back nothing is lost, integers and doubles keep apart", async () => {
    const file = join(folder, "words.jsonl");
    expect(await run(["export", "--from", url(from), "--collection", "words", "--to", file])).toMatchObject({
      code: 0,
    });
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(lines.length).toBe(total + 1);
    expect(lines[1]).toContain('"big":9007199254740993,');
    expect(lines[1]).toContain('"whole":3.0,');
    const ran = await run(["import", "--from", file, "--to", url(to), "--as", "from-file", "--verify"]);
    expect(ran.stderr).toContain("0 differences");
    const ids = { ids: [num(1)], withPayload: enable };
    const [given] = (await source.call(Points.method.get, { collectionName: "words", ...ids })).result;
    const [got] = (await target.call(Points.method.get, { collectionName: "from-file", ...ids })).result;
    expect(got?.payload).toEqual(given?.payload);
    expect((await run(["export", "--from", url(from), "--collection", "words", "--to", file])).stderr).toContain(
      "exists",
    );
  });

  test.each(["server", "file"])(
    "a transfer to a %s that was killed in the middle goes on where it was",
    async (kind) => {
      const file = join(folder, "killed.jsonl");
      const statePath = join(folder, `killed-${kind}.transfer.json`);
      const end = kind === "server" ? ["import", "--to", url(to), "--as", "killed"] : ["export", "--to", file];
      const args = [...end, "--from", url(from), "--collection", "words", "--batch", "10", "--state", statePath];
      const first = await run(args, (child) => {
        const timer = setInterval(() => {
          if (!existsSync(statePath) || JSON.parse(readFileSync(statePath, "utf8")).done < 60) return;
          clearInterval(timer);
          child.kill("SIGKILL");
        }, 5);
      });
      expect(first.code).toBe(null);
      const { done } = JSON.parse(readFileSync(statePath, "utf8")) as { done: number };
      expect(done).toBeGreaterThan(0);
      expect(done).toBeLessThan(total);
      const second = await run(args);
      expect(second.stderr).toContain(`going on after ${done} points`);
      expect(second.stderr).toContain(`${total} points copied`);
      expect(second.code).toBe(0);
      if (kind === "server") {
        expect(await countOf(target, "killed")).toBe(total);
      } else {
        const lines = readFileSync(file, "utf8").trimEnd().split("\n").slice(1);
        expect(new Set(lines.map((line) => line.slice(0, line.indexOf(",")))).size).toBe(total);
        expect(lines.length).toBe(total);
      }
    },
  );

  test("a transfer that fails removes the collection that it made, or keeps it", async () => {
    const file = join(folder, "bad.jsonl");
    const lines = readFileSync(join(folder, "words.jsonl"), "utf8").split("\n").slice(0, 50);
    writeFileSync(file, `${lines.join("\n")}\n{"id": 5, "vector": [1, 2, 3, "x"]}\n`);
    const exists = async () =>
      (await target.call(Collections.method.collectionExists, { collectionName: "bad" })).result?.exists;
    const args = ["import", "--from", file, "--to", url(to), "--as", "bad", "--batch", "10"];
    const ran = await run(args);
    expect(ran.stderr).toContain("line 51: a vector is not a list of numbers");
    expect(ran.stderr).toContain("removed the collection bad");
    expect(ran.code).toBe(1);
    expect(await exists()).toBe(false);
    expect((await run([...args, "--keep"])).code).toBe(1);
    expect(await exists()).toBe(true);
  });

  test("--seal-to stores nothing readable at the target", async () => {
    const keys = generateKeyPair();
    const pem = join(folder, "owner.pub.pem");
    writeFileSync(pem, keys.publicKeyPem);
    const args = ["import", "--from", url(from), "--to", url(to), "--collection", "words", "--as", "sealed-words"];
    const ran = await run([...args, "--seal-to", pem, "--verify"]);
    expect(ran.stderr).toContain("0 differences");
    const { result } = await target.call(Points.method.scroll, {
      collectionName: "sealed-words",
      limit: 50,
      withPayload: enable,
    });
    for (const point of result) expect(Object.keys(point.payload)).toEqual(["$sealpoint"]);
  });
});
