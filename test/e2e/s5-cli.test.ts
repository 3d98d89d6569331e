/** `sealpoint s5` and the three clients' ways to load, against a server process and a portal. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { type Portal, startPortal } from "../../src/s5/index.ts";
import { makeDatabase, makeRecords, owner } from "../s5/database.ts";
import { addonBuilt, launcher, root, ServerProcess } from "./server-process.ts";

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(
  command: string,
  args: readonly string[],
  input = "",
  environment: Record<string, string> = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env: { ...process.env, ...environment } });
    let [out, err] = ["", ""];
    child.stdout.on("data", (part) => {
      out += String(part);
    });
    child.stderr.on("data", (part) => {
      err += String(part);
    });
    child.on("close", (code) => resolve({ code, out, err }));
    child.stdin.end(input);
  });
}

describe.skipIf(!addonBuilt)("sealpoint s5", () => {
  const database = makeDatabase();
  const keyFile = join(database.dir, "key.hex");
  let portal: Portal;
  let server: ServerProcess;

  beforeAll(async () => {
    writeFileSync(keyFile, `${Buffer.from(database.key).toString("hex")}\n`);
    portal = await startPortal({ dir: database.dir, port: 0 });
    server = await ServerProcess.start({ env: { S5_PORTAL_URL: portal.url } });
  });
  afterAll(async () => {
    await server?.stop();
    await portal?.close();
  });

  const s5 = (args: readonly string[], input = "") =>
    run(process.execPath, [launcher, "s5", ...args, "--url", `http://127.0.0.1:${server.httpPort}`], input);

  test("loads, tells, searches and lists", { timeout: 60_000 }, async () => {
    const loaded = await s5(["load", database.manifestPath, "--key-file", keyFile, "--session", "words"]);
    expect(loaded.err).toBe("");
    expect(loaded.code).toBe(0);
    expect(loaded.out).toContain("small: 45 vectors of 8 dimensions in 3 chunks");
    expect(loaded.out).toContain("100 %");
    expect(loaded.out).toMatch(/45 vectors in \d+ ms\nindex ready/);
    const found = await s5(
      ["search", "--session", "words", "-k", "1"],
      JSON.stringify(makeRecords(1, 8, 8)[0]?.vector),
    );
    expect(JSON.parse(found.out)).toMatchObject({ hits: [{ id: "8", metadata: { word: "word 8" } }] });
    expect(JSON.parse((await s5(["status", "--session", "words"])).out)).toMatchObject({
      loaded: { vector_count: 45 },
    });
    expect(JSON.parse((await s5(["list"])).out)).toMatchObject({ sessions: [{ session_id: "words", source: "load" }] });
    const lines = (await s5(["refresh", "--session", "words", "--json"])).out.trim().split("\n");
    expect(Object.keys(JSON.parse(lines.at(-1) ?? ""))).toEqual(["index_ready"]);
    const failed = await s5([
      "load",
      database.manifestPath,
      "--key-file",
      keyFile,
      "--session",
      "x",
      "--user",
      owner.replace(/1$/, "2"),
    ]);
    expect([failed.code, failed.err]).toEqual([
      1,
      "sealpoint: OWNER_MISMATCH: the database belongs to another address\n",
    ]);
    expect(JSON.parse((await s5(["close", "--session", "words"])).out)).toEqual({ closed: true });
  });

  test("says which option or field makes no sense", { timeout: 60_000 }, async () => {
    const load = ["load", database.manifestPath, "--key-file", keyFile, "--session", "refused"];
    const vector = JSON.stringify(makeRecords(1, 8)[0]?.vector);
    // The manifest's own time is not too new.
    expect((await s5([...load.slice(0, -1), "as-new", "--not-before", "1"])).code).toBe(0);
    const asked: readonly (readonly [args: readonly string[], input: string, says: string])[] = [
      [[...load, "--not-before", "soon"], "", '--not-before: expected a number and not "soon"'],
      [[...load, "--parallel", ""], "", "--parallel: expected a number"],
      [[...load, "--parallel", "21"], "", "parallel_chunks: expected 1 to 20"],
      [[...load, "--not-before", "2"], "", "MANIFEST_DOWNLOAD_FAILED"],
      [["search", "--session", "as-new"], "", "the vector on standard input: expected JSON"],
      [["search", "--session", "as-new", "--filter", "{"], vector, "--filter: expected JSON"],
      [["search", "--session", "as-new", "-k", "0"], vector, "k: expected 1 to 10000"],
      [["search", "--session", "as-new", "--threshold", "high"], vector, "--threshold: expected a number"],
    ];
    for (const [args, input, says] of asked) {
      const { code, err } = await s5(args, input);
      expect([code, err.includes(says)], `${args.join(" ")}: ${err}`).toEqual([1, true]);
    }
  });

  test("the TypeScript client loads, watches and searches", async () => {
    await using client = connect(server.address);
    const request = {
      manifestPath: database.manifestPath,
      userAddress: owner,
      sessionKey: Uint8Array.from(database.key),
    };
    const events: string[] = [];
    for await (const { event } of client.s5Load({ ...request, sessionId: "ts" })) events.push(event.case ?? "");
    expect(events.at(-1)).toBe("indexReady");
    const watched: string[] = [];
    for await (const { event } of client.s5Watch("ts")) watched.push(event.case ?? "");
    expect(watched).toEqual(events);
    const vector = makeRecords(1, 8, 3)[0]?.vector as number[];
    expect((await client.s5.search({ sessionId: "ts", vector, k: 1 })).hits[0]?.id).toBe("3");
  });

  test("the Python client too, and an error has its code", { timeout: 60_000 }, async () => {
    const script = `
import sys, json, grpc
from sealpoint import Client
path, address, key, target = sys.argv[1:]
with Client(target) as client:
    events = [event.WhichOneof("event") for event in client.s5_load(path, address, bytes.fromhex(key), session_id="py")]
    watched = [event.WhichOneof("event") for event in client.s5_watch("py")]
    hits = client.s5_search("py", json.load(sys.stdin), 1).hits
    failed = []
    try:
        for event in client.s5_load(path, address, bytes(32), session_id="bad"):
            failed.append(event.loading_error.code)
    except grpc.RpcError as error:
        failed.append(error.code().name)
        failed.append(b"DECRYPTION_FAILED" in dict(error.trailing_metadata())["grpc-status-details-bin"])
    print(json.dumps([events[-1], watched == events, hits[0].id, failed]))
`;
    const python = join(root, ".venv/bin/python");
    const args = [
      "-c",
      script,
      database.manifestPath,
      owner,
      Buffer.from(database.key).toString("hex"),
      server.address,
    ];
    const ran = await run(python, args, JSON.stringify(makeRecords(1, 8, 5)[0]?.vector), {
      PYTHONPATH: join(root, "clients/python/src"),
    });
    expect(ran.err).toBe("");
    expect(JSON.parse(ran.out)).toEqual(["index_ready", true, "5", ["DECRYPTION_FAILED", "PERMISSION_DENIED", true]]);
  });
});
