/** The server as a process: its banner, its end, its grip on the data folder. Needs the addon (make native). */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { connect, openDown } from "./echo-service.ts";

const root = join(import.meta.dirname, "../..");
const launcher = join(root, "bin/sealpoint.mjs");
const run = promisify(execFile);

interface Served {
  readonly process: ChildProcess;
  readonly grpcPort: number;
  readonly httpPort: number;
  readonly banner: string;
  exit(): Promise<{ code: number | null; signal: string | null; ms: number }>;
}

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

async function serve(dataDir: string): Promise<Served> {
  const child = spawn(process.execPath, [
    launcher,
    "serve",
    "--data-dir",
    dataDir,
    "--grpc-port",
    "0",
    "--http-port",
    "0",
  ]);
  children.push(child);
  const out: string[] = [];
  const err: string[] = [];
  child.stdout.on("data", (part) => out.push(String(part)));
  child.stderr.on("data", (part) => err.push(String(part)));
  const closed = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal })),
  );
  const listening = () => /gRPC\s+127\.0\.0\.1:(\d+)\s+HTTP\s+http:\/\/127\.0\.0\.1:(\d+)/.exec(out.join(""));
  for (let i = 0; i < 400 && listening() === null; i++) {
    if (child.exitCode !== null) throw new Error(`the server ended: ${err.join("")}`);
    await sleep(50);
  }
  const ports = listening();
  if (ports === null) throw new Error(`no banner: ${out.join("")}${err.join("")}`);
  return {
    process: child,
    grpcPort: Number(ports[1]),
    httpPort: Number(ports[2]),
    banner: out.join(""),
    async exit() {
      const begun = performance.now();
      return { ...(await closed), ms: performance.now() - begun };
    },
  };
}

const folder = () => mkdtempSync(join(tmpdir(), "sealpoint-process-"));

describe.skipIf(!existsSync(join(root, "build/Release/sealpoint.node")))("the server as a process", () => {
  test.each(["SIGTERM", "SIGINT"] as const)("one %s ends it with 0, though a Watch is open", async (signal) => {
    const served = await serve(folder());
    expect(served.banner).toContain(`grpcurl -plaintext 127.0.0.1:${served.grpcPort} list`);
    expect((await fetch(`http://127.0.0.1:${served.httpPort}/readyz`)).status).toBe(200);
    const client = connect(served.grpcPort);
    const watch = openDown(client, "/grpc.health.v1.Health/Watch", Buffer.alloc(0));
    const seen: number[] = [];
    watch.on("data", (bytes: Buffer) => seen.push(bytes[1] ?? 0));
    watch.on("error", () => undefined);
    await expect.poll(() => seen).toEqual([1]);
    const ended = served.exit();
    served.process.kill(signal);
    expect(await ended).toMatchObject({ code: 0, signal: null });
    expect((await ended).ms).toBeLessThan(5000);
    expect(seen).toEqual([1, 2]);
    client.close();
  });

  test("a second server on the same data folder refuses, and the first serves on", async () => {
    const dataDir = folder();
    const served = await serve(dataDir);
    const args = [launcher, "serve", "--data-dir", dataDir, "--grpc-port", "0", "--http-port", "0"];
    const second = await run(process.execPath, args, { timeout: 20_000 }).catch((error) => error);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(dataDir);
    expect(second.stderr).toMatch(/in use by another server/);
    expect((await fetch(`http://127.0.0.1:${served.httpPort}/readyz`)).status).toBe(200);
    // After kill -9 the folder is free again.
    const ended = served.exit();
    served.process.kill("SIGKILL");
    await ended;
    expect((await serve(dataDir)).grpcPort).toBeGreaterThan(0);
  });

  test("a taken port is one clear line and exit code 1", async () => {
    const served = await serve(folder());
    const args = [
      launcher,
      "serve",
      "--data-dir",
      folder(),
      "--grpc-port",
      String(served.grpcPort),
      "--http-port",
      "0",
    ];
    const second = await run(process.execPath, args, { timeout: 20_000 }).catch((error) => error);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`127.0.0.1:${served.grpcPort}`);
  });

  test("healthcheck tells a serving server by its exit code", async () => {
    const served = await serve(folder());
    const check = await run(process.execPath, [launcher, "healthcheck", "--address", `127.0.0.1:${served.grpcPort}`]);
    expect(check.stdout).toContain("SERVING");
  });
});
