/** A disk that is really full (a small tmpfs, which only root may mount), under a server of its own over gRPC. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Snapshots } from "../../gen/qdrant/snapshots_service_pb.js";
import { byIds, countOf, dense, enable, makeCollection, nearest, num, text } from "../e2e/messages.ts";
import { addonBuilt, type Call, connectTo, failure, launcher, ServerProcess } from "../e2e/server-process.ts";

const { upsert, delete: remove, query, get } = Points.method;
const megabyte = 1024 * 1024;

/** A reason not to run, or nothing: mounts need root and a kernel that lets it. */
function obstacle(): string | undefined {
  if (!addonBuilt) return "the addon is not built";
  const probe = mkdtempSync(join(tmpdir(), "sealpoint-full-probe-"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", probe], { encoding: "utf8" });
  if (mounted.status === 0) execFileSync("umount", [probe]);
  rmSync(probe, { recursive: true, force: true });
  return mounted.status === 0 ? undefined : `no tmpfs can be mounted: ${mounted.stderr ?? mounted.error}`;
}
const reason = obstacle();
if (reason !== undefined) console.log(`full disk: skipped, because ${reason}`);

let disk: string;
let server: ServerProcess;
let client: Call;
let collectionName: string;

const freeBytes = () => {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
};
const filler = () => join(disk, "filler");

/** Takes every byte that is free, as another program on the disk would. */
function fill(): void {
  const file = openSync(filler(), "a");
  try {
    for (const size of [megabyte, 4096]) {
      const zeros = Buffer.alloc(size);
      try {
        for (;;) if (writeSync(file, zeros) < size) break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    }
  } finally {
    closeSync(file);
  }
}

/** Fills the disk until a change is refused, and gives the refusal. Files that the store removes meanwhile make room, so that one change or another is accepted. */
async function fillUntilRefused(change: () => Promise<unknown>): Promise<ServiceError> {
  for (let left = 100; left > 0; left--) {
    fill();
    const refusal = await change().then(
      () => undefined,
      (error: ServiceError) => error,
    );
    if (refusal !== undefined) return refusal;
    await sleep(50);
  }
  throw new Error("a full disk refused none of 100 changes");
}
const writeOne = async (acknowledged: Set<number>) => {
  await write(900_000, 1, 100);
  acknowledged.add(900_000);
};

/** A start needs a few MB for a new log and manifest. */
const giveWay = () => truncateSync(filler(), statSync(filler()).size - 6 * megabyte);

const bodyOf = (id: number) => ({ id: num(id), vectors: dense(id, 1, 2, 3) });
const write = (id: number, count: number, bytes: number) =>
  client.call(upsert, {
    collectionName,
    wait: true,
    points: Array.from({ length: count }, (_, k) => ({
      ...bodyOf(id + k),
      payload: { filling: text(randomBytes(bytes / 2).toString("hex")) },
    })),
  });

/** Ids of clients that write until they are refused for good, and what the refusals said. */
async function writeUntilFull(from: number, refusedMax = 3) {
  const acknowledged = new Set<number>();
  const refusals: ServiceError[] = [];
  const writer = async (first: number) => {
    let refused = 0;
    for (let id = first; refused < refusedMax && id < first + 100_000; id += 20) {
      try {
        await write(id, 20, 2_000);
        for (let k = 0; k < 20; k++) acknowledged.add(id + k);
      } catch (error) {
        refusals.push(error as ServiceError);
        refused++;
        await sleep(20);
      }
    }
  };
  await Promise.all([writer(from), writer(from + 100_000), writer(from + 200_000)]);
  return { acknowledged, refusals };
}

async function readsGoOn(some: number): Promise<void> {
  const found = await client.call(query, {
    collectionName,
    query: nearest(1, 1, 1, 1),
    limit: 5n,
    withPayload: enable,
  });
  expect(found.result.length).toBe(5);
  const { result } = await client.call(get, { collectionName, ids: [num(some)], withPayload: enable });
  expect(result.length).toBe(1);
}

async function writesGoOn(id: number): Promise<void> {
  await expect
    .poll(
      () =>
        write(id, 1, 100).then(
          () => "written",
          (error) => error.details,
        ),
      { timeout: 8_000 },
    )
    .toBe("written");
}

const refusal = {
  code: status.RESOURCE_EXHAUSTED,
  details: expect.stringMatching(
    /^No space left on device: [0-9.]+ MB free .* are kept free \(SEALPOINT_DISK_RESERVE_MB\)/,
  ),
};

/** Fillings of the disk; `make soak` has more of them. */
const fillings = process.env.SEALPOINT_FULL_DISK_SOAK === "1" ? 4 : 2;

describe.skipIf(reason !== undefined)("a full disk", () => {
  beforeEach(async () => {
    disk = mkdtempSync(join(tmpdir(), "sealpoint-full-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=96m", "tmpfs", disk]);
    mkdirSync(join(disk, "server"));
    server = await ServerProcess.start({ dataDir: join(disk, "server/data"), logLevel: "warn" });
    client = connectTo(server.address);
    collectionName = await makeCollection(client, 4);
  });
  afterEach(async () => {
    client.close();
    try {
      await server.stop();
    } finally {
      execFileSync("umount", ["-l", disk]);
      rmSync(disk, { recursive: true, force: true });
    }
  });

  test("is refused by name while reads and deletes go on, and writes go on once there is room", {
    timeout: 300_000,
  }, async () => {
    const { pid } = server;
    const { acknowledged, refusals } = await writeUntilFull(0);
    for (const error of refusals) expect(error).toMatchObject(refusal);
    // A sixteenth is kept free, and most of the rest was used.
    await expect.poll(freeBytes).toBeGreaterThan(5 * megabyte);
    expect(acknowledged.size * 2_000).toBeGreaterThan(30 * megabyte);
    expect(await countOf(client, collectionName)).toBe(acknowledged.size);
    await readsGoOn(0);
    const snapshot = await failure(client.call(Snapshots.method.create, { collectionName }));
    expect(snapshot).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    // A delete may use the reserve, once what is still in memory has been flushed into it.
    await expect
      .poll(
        () =>
          client.call(remove, { collectionName, wait: true, points: byIds(3) }).then(
            () => "deleted",
            (error) => error.details,
          ),
        { timeout: 8_000, interval: 250 },
      )
      .toBe("deleted");
    acknowledged.delete(3);
    await client.call(Collections.method.update, { collectionName, optimizersConfig: { indexingThreshold: 10n } });

    // Now another program takes what was left.
    expect(await fillUntilRefused(() => writeOne(acknowledged))).toMatchObject(refusal);
    const removeOne = async () => {
      await client.call(remove, { collectionName, wait: true, points: byIds(4) });
      acknowledged.delete(4);
    };
    expect(await fillUntilRefused(removeOne)).toMatchObject(refusal);
    await readsGoOn(0);
    expect(await countOf(client, collectionName)).toBe(acknowledged.size);

    rmSync(filler());
    execFileSync("mount", ["-o", "remount,size=256m", disk]);
    await writesGoOn(950_000);
    const more = await writeUntilFull(1_000_000, 1);
    expect(await countOf(client, collectionName)).toBe(acknowledged.size + 1 + more.acknowledged.size);
    expect(server.pid).toBe(pid);
    await server.kill("SIGTERM");
    const verified = spawnSync(process.execPath, [launcher, "verify", "--data-dir", server.dataDir], {
      encoding: "utf8",
    });
    expect(verified.stdout).toContain("clean");
  });

  test("that others fill under running writes takes the server nowhere, again and again", {
    timeout: 300_000,
  }, async () => {
    const { pid } = server;
    const acknowledged = new Set<number>();
    let unsure = 0;
    for (let round = 0; round < fillings; round++) {
      const writing = writeUntilFull(round * 1_000_000, 20);
      await sleep(100 + 50 * round);
      // The disk fills behind the check of writes that were let through.
      for (let turn = 0; turn < 20; turn++) {
        fill();
        await sleep(5);
      }
      await readsGoOn([...acknowledged][0] ?? 0);
      rmSync(filler());
      execFileSync("mount", ["-o", `remount,size=${96 + 96 * (round + 1)}m`, disk]);
      await writesGoOn(round * 1_000_000 + 900_000);
      acknowledged.add(round * 1_000_000 + 900_000);
      const { acknowledged: written, refusals } = await writing;
      for (const id of written) acknowledged.add(id);
      for (const { code } of refusals) expect(code).toBe(status.RESOURCE_EXHAUSTED);
      unsure += refusals.length;
    }
    expect(server.pid).toBe(pid);
    console.log(`full disk: ${acknowledged.size} points acknowledged, ${unsure} writes refused`);
    expect(await countOf(client, collectionName)).toBe(acknowledged.size);
    // Full once more, with writes on their way: an orderly end comes all the same.
    const writing = writeUntilFull(90_000_000, 1).catch(() => undefined);
    await sleep(300);
    fill();
    await server.kill("SIGTERM");
    await writing;
    giveWay();
    await server.restart();
    client.close();
    client = connectTo(server.address);
    expect(await countOf(client, collectionName)).toBeGreaterThanOrEqual(acknowledged.size);
  });

  test("kill -9 on a full disk: the server starts there, reads, and writes once there is room", {
    timeout: 300_000,
  }, async () => {
    const { acknowledged } = await writeUntilFull(0);
    await fillUntilRefused(() => writeOne(acknowledged));
    await server.kill("SIGKILL");
    rmSync(join(server.dataDir, "ballast"), { force: true });
    fill();
    await expect(server.restart()).rejects.toThrow(/the disk is full: 0\.0 MB free .* to open; nothing was changed/);
    giveWay();
    await server.restart();
    expect(await countOf(client, collectionName)).toBe(acknowledged.size);
    await readsGoOn(0);
    expect(await fillUntilRefused(() => writeOne(acknowledged))).toMatchObject(refusal);
    // Killed and started once more in that state, and ended in order.
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await server.kill(signal);
      giveWay();
      await server.restart();
      await readsGoOn(0);
      fill();
    }
    expect(await countOf(client, collectionName)).toBe(acknowledged.size);
    rmSync(filler());
    execFileSync("mount", ["-o", "remount,size=256m", disk]);
    await writesGoOn(950_000);
    expect(await countOf(client, collectionName)).toBe(acknowledged.size + 1);
  });
});
