import { mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { limits } from "../../src/core/index.ts";
import { type Portal, startPortal } from "../../src/s5/index.ts";

let portal: Portal;
let dir: string;

/** Raw, because fetch would tidy the path up before it is sent. */
function ask(
  path: string,
  method = "GET",
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port: portal.port, path, method }, (response) => {
      let body = "";
      response.on("data", (part) => {
        body += part;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
    });
    call.on("error", reject);
    call.end();
  });
}

beforeAll(async () => {
  const base = mkdtempSync(join(tmpdir(), "sealpoint-portal-"));
  dir = join(base, "served");
  mkdirSync(join(dir, "home/db"), { recursive: true });
  mkdirSync(join(dir, "secret"));
  mkdirSync(join(base, "served-beside"));
  writeFileSync(join(base, "outside.txt"), "outside");
  writeFileSync(join(base, "served-beside/x"), "outside");
  writeFileSync(join(dir, "key.hex"), "key");
  writeFileSync(join(dir, "secret/x"), "secret");
  writeFileSync(join(dir, "home/db/a b.json"), "content");
  writeFileSync(join(dir, "home/db/empty"), "");
  writeFileSync(join(dir, "home/db/.hidden"), "hidden");
  symlinkSync(join(base, "outside.txt"), join(dir, "home/link"));
  symlinkSync(join(base, "served-beside"), join(dir, "home/beside"));
  symlinkSync(join(dir, "home/db/empty"), join(dir, "home/inside"));
  portal = await startPortal({ dir, port: 0 });
});
afterAll(() => portal.close());

describe("the portal", () => {
  it("serves files, folders and its health", async () => {
    expect(await ask("/s5/fs/home/db/a%20b.json")).toMatchObject({
      status: 200,
      body: "content",
      headers: { "content-length": "7" },
    });
    expect(await ask("/s5/fs/home/db/a%20b.json", "HEAD")).toMatchObject({
      status: 200,
      body: "",
      headers: { "content-length": "7" },
    });
    expect(await ask("/s5/fs/home/db/empty")).toMatchObject({ status: 200, body: "" });
    expect(await ask("/s5/fs/home/inside")).toMatchObject({ status: 200 });
    const listing = JSON.parse((await ask("/s5/fs/home/db/")).body);
    expect(listing.entries.map((entry: { name: string }) => entry.name)).toEqual(["a b.json", "empty"]);
    expect(listing.entries[0]).toMatchObject({ type: "file", size: 7 });
    expect(JSON.parse((await ask("/s5/fs")).body).entries).toEqual([{ name: "home", type: "directory" }]);
    expect(await ask("/health")).toMatchObject({ status: 200 });
  });

  it.each([
    "/s5/fs/../outside.txt",
    "/s5/fs/home/../../outside.txt",
    "/s5/fs/home/%2e%2e/%2e%2e/outside.txt",
    "/s5/fs/home/..%2f..%2foutside.txt",
    "/s5/fs/home/..\\..\\outside.txt",
    "/s5/fs/home/db/.hidden",
    "/s5/fs/home//db/empty",
    "/s5/fs/home/db/a%00b",
    "/s5/fs/home/%zz",
    "/s5/fs/home/link",
    "/s5/fs/home/beside/x",
    "/s5/fs/key.hex",
    "/s5/fs/secret/x",
    "/s5/fs//etc/passwd",
    "/s5/fsx/home",
    "/",
  ])("does not serve %s", async (path) => {
    const { status, body } = await ask(path);
    expect(status).toBe(404);
    expect(body).toBe('{"error":"not found"}\n');
  });

  it("refuses other methods, and changes nothing when it is read-only", async () => {
    expect((await ask("/s5/fs/home/db/empty", "POST")).status).toBe(405);
    const sealed = await startPortal({ dir, port: 0, readOnly: true });
    for (const method of ["PUT", "DELETE"]) {
      const answer = await fetch(`${sealed.url}/s5/fs/home/db/empty`, {
        method,
        ...(method === "PUT" && { body: "x" }),
      });
      expect(answer.status).toBe(405);
    }
    await sealed.close();
  });

  it("takes files whole, replaces and removes them, and nothing outside of what it serves", async () => {
    const at = (path: string) => `${portal.url}/s5/fs/${path}`;
    const put = async (path: string, body: string | Uint8Array<ArrayBuffer>) =>
      (await fetch(at(path), { method: "PUT", body })).status;
    expect(await put("home/new/deep/file.json", "one")).toBe(201);
    expect(await put("home/new/deep/file.json", "two")).toBe(200);
    expect(await (await fetch(at("home/new/deep/file.json"))).text()).toBe("two");
    for (const path of ["home", "other/file", "home/.hidden", "home/new/deep", "home/new/..%2f..%2fx"]) {
      expect([404, 409], path).toContain(await put(path, "x"));
    }
    const large = new Uint8Array(limits.s5ChunkBytesMax + 65);
    expect(await put("home/new/deep/large", large).catch(() => 413)).toBe(413);
    // A body that breaks off leaves nothing.
    await new Promise<void>((resolve) => {
      const call = request(at("home/new/deep/cut"), { method: "PUT", headers: { "content-length": 1_000 } });
      call.on("error", () => resolve());
      call.write("part", () => call.destroy());
    });
    await vi.waitFor(() => expect(readdirSync(join(dir, "home/new/deep"))).toEqual(["file.json"]));
    expect((await fetch(at("home/new/deep"), { method: "DELETE" })).status).toBe(404);
    expect((await fetch(at("home/new/deep/file.json"), { method: "DELETE" })).status).toBe(200);
    expect((await fetch(at("home/new/deep/file.json"))).status).toBe(404);
  });

  it("refuses a folder that is not there", async () => {
    await expect(startPortal({ dir: "/nonexistent", port: 0 })).rejects.toMatchObject({ details: { field: "dir" } });
  });
});
