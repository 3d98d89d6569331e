import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { splitJsonStream } from "../../src/cli/json-stream.ts";
import { generateKeyPair, parsePrivateKey, parsePublicKey, sealBatch } from "../../src/seal/index.ts";
import { encodePayload, envelopeToJson } from "../../src/wire/index.ts";

const run = promisify(execFile);
const launcher = join(import.meta.dirname, "../../bin/sealpoint.mjs");
const sealpoint = (...args: string[]) => run(process.execPath, [launcher, ...args]);
const folder = () => mkdtempSync(join(tmpdir(), "sealpoint-cli-"));

async function all(parts: Iterable<string>): Promise<string[]> {
  async function* bytes() {
    for (const part of parts) yield Buffer.from(part, "utf8");
  }
  const found: string[] = [];
  for await (const text of splitJsonStream(bytes())) found.push(text);
  return found;
}

describe("the command", () => {
  test("helps, and says what it does not know", async () => {
    const { stdout } = await sealpoint("--help");
    for (const command of ["serve", "healthcheck", "keygen", "open", "s5-portal"]) expect(stdout).toContain(command);
    expect((await sealpoint("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    await expect(sealpoint("fly")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("unknown command"),
    });
  });

  test("a bad configuration is one line that names the variable, and exit code 1", async () => {
    const env = { ...process.env, SEALPOINT_HOST: "0.0.0.0" };
    const failed = await run(process.execPath, [launcher, "serve"], { env }).catch((error) => error);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/^sealpoint: SEALPOINT_HOST: .*--insecure.*\n$/);
  });

  test("healthcheck fails when nobody serves", async () => {
    const failed = await sealpoint("healthcheck", "--address", "127.0.0.1:1", "--timeout", "1").catch((error) => error);
    expect(failed.code).toBe(1);
    expect(failed.stdout).toContain("127.0.0.1:1");
  });
});

describe("keygen", () => {
  test("makes a pair that belongs together, private to its owner, and never overwrites", async () => {
    const dir = folder();
    const path = join(dir, "owner.pem");
    await sealpoint("keygen", "--out", path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const privateKey = parsePrivateKey(readFileSync(path, "utf8"));
    const publicKey = parsePublicKey(readFileSync(join(dir, "owner.pub.pem"), "utf8"));
    expect(Buffer.from(privateKey.publicKey.point)).toEqual(Buffer.from(publicKey.point));
    const before = readFileSync(path);
    await expect(sealpoint("keygen", "--out", path)).rejects.toMatchObject({ code: 1 });
    expect(readFileSync(path)).toEqual(before);
  });
});

describe("splitting a stream of JSON", () => {
  const text = '{"a":"}{\\"]["}\n{"b":[{}]}[1,{"c":"é€😀"}]\n';
  const values = ['{"a":"}{\\"]["}', '{"b":[{}]}', '[1,{"c":"é€😀"}]'];

  test("whole and in pieces of any size", async () => {
    expect(await all([text])).toEqual(values);
    const bytes = Buffer.from(text);
    for (let size = 1; size < 9; size++) {
      async function* pieces() {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
      }
      const found: string[] = [];
      for await (const one of splitJsonStream(pieces())) found.push(one);
      expect(found).toEqual(values);
    }
  });

  test("refuses what is not JSON and what ends early", async () => {
    await expect(all(['{"a":1'])).rejects.toThrow("ends inside");
    await expect(all(["}"])).rejects.toThrow("not JSON");
    await expect(all(["ERROR: no"])).rejects.toThrow("not a stream of JSON");
    expect(await all(["  \n"])).toEqual([]);
  });
});

describe("open", () => {
  /** As grpcurl prints a qdrant.Value. */
  const value = (one: unknown): unknown => {
    if (typeof one === "bigint") return { integerValue: one.toString() };
    if (typeof one === "string") return { stringValue: one };
    const fields = Object.entries(one as object).map(([name, item]) => [name, value(item)]);
    return { structValue: { fields: Object.fromEntries(fields) } };
  };

  async function point(id: bigint, publicKeyPem: string, payload: Record<string, string>) {
    const item = { id, payload: encodePayload(payload), recipient: parsePublicKey(publicKeyPem) };
    const [envelope] = await sealBatch([item], { sealingId: new Uint8Array(16).fill(7) });
    const values = [value(envelopeToJson(envelope as Uint8Array))];
    return {
      id: { num: id.toString() },
      payload: { $sealpoint: { listValue: { values } }, clear: { stringValue: "seen" } },
      score: 0.5,
    };
  }

  function open(keyPath: string, input: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [launcher, "open", "--key", keyPath]);
      const out: string[] = [];
      const err: string[] = [];
      child.stdout.on("data", (part) => out.push(String(part)));
      child.stderr.on("data", (part) => err.push(String(part)));
      child.on("close", (code) => resolve({ code, stdout: out.join(""), stderr: err.join("") }));
      child.stdin.end(input);
    });
  }

  test("opens what is the owner's, leaves the rest with a note and exit code 2", async () => {
    const dir = folder();
    const owner = generateKeyPair();
    const other = generateKeyPair();
    const keyPath = join(dir, "owner.pem");
    writeFileSync(keyPath, owner.privateKeyPem);
    const mine = await point(5n, owner.publicKeyPem, { secret: "for the owner" });
    const theirs = await point(6n, other.publicKeyPem, { secret: "for somebody else" });
    const opened = { clear: { stringValue: "seen" }, secret: { stringValue: "for the owner" } };

    const good = await open(keyPath, `${JSON.stringify({ result: [mine], time: 1 }, null, 2)}\n`);
    expect(good).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(good.stdout)).toEqual({ result: [{ ...mine, payload: opened }], time: 1 });

    const mixed = await open(keyPath, JSON.stringify({ points: [theirs] }) + JSON.stringify({ points: [mine] }));
    expect(mixed.code).toBe(2);
    expect(mixed.stderr).toContain('{"num":"6"}');
    expect(mixed.stdout).toContain("for the owner");
    expect(mixed.stdout).not.toContain("somebody");

    // The id is part of what is sealed: under another one nothing opens.
    const moved = await open(keyPath, JSON.stringify({ ...mine, id: { num: "7" } }));
    expect(moved.code).toBe(2);
    expect(moved.stdout).not.toContain("for the owner");
  });

  test("a broken input or key is one clear line", async () => {
    const dir = folder();
    const keyPath = join(dir, "k.pem");
    writeFileSync(keyPath, generateKeyPair().privateKeyPem);
    expect(await open(keyPath, "ERROR:\n  Code: NotFound")).toMatchObject({ code: 1, stdout: "" });
    expect((await open(join(dir, "none.pem"), "{}")).stderr).toContain("none.pem");
    expect((await open(keyPath, '{"a": 1}')).stderr).toContain("no sealed payload");
  });
});
