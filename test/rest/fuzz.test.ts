/** schemathesis makes requests from the server's own document: whatever comes, nothing may be the server's fault. SEALPOINT_FUZZ_SEED repeats a run. */
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { addonBuilt, root, ServerProcess } from "../e2e/server-process.ts";

const execute = promisify(execFile);
const schemathesis = join(root, ".venv/bin/schemathesis");
const installed = existsSync(schemathesis);
if (!installed) console.info(`skipped: ${schemathesis} is not installed (test/requirements.txt)`);
const examples = 5;

interface Parameter {
  readonly name: string;
  readonly in: string;
  schema: object;
}
interface Document {
  readonly paths: Record<string, Record<string, { readonly parameters?: Parameter[] }>>;
}

test.skipIf(!addonBuilt || !installed)(
  "no request of the document's form is the server's fault",
  { timeout: 400_000 },
  async () => {
    const server = await ServerProcess.start({ logLevel: "warn" });
    const folder = mkdtempSync(join(tmpdir(), "sealpoint-fuzz-"));
    try {
      const url = `http://127.0.0.1:${server.httpPort}`;
      const put = (path: string, body: object) => fetch(`${url}${path}`, { method: "PUT", body: JSON.stringify(body) });
      await put("/collections/fuzzed", { vectors: { size: 2, distance: "Dot" } });
      const points = [1, 2, 3].map((id) => ({ id, vector: [id, 1], payload: { n: id, t: "x" } }));
      expect((await put("/collections/fuzzed/points?wait=true", { points })).status).toBe(200);
      // Ordered reads and facets need them.
      for (const [field_name, field_schema] of [
        ["n", "integer"],
        ["t", "keyword"],
      ]) {
        expect((await put("/collections/fuzzed/index?wait=true", { field_name, field_schema })).status).toBe(200);
      }
      const document = (await (await fetch(`${url}/openapi.json`)).json()) as Document;
      // What reads and writes points meets a collection that is there; the collection itself is made and deleted under other names.
      for (const [path, methods] of Object.entries(document.paths)) {
        if (path === "/collections/{name}") continue;
        for (const { parameters = [] } of Object.values(methods)) {
          for (const one of parameters)
            if (one.in === "path" && one.name === "name") one.schema = { type: "string", enum: ["fuzzed"] };
        }
      }
      const file = join(folder, "openapi.json");
      writeFileSync(file, JSON.stringify(document));
      const seed = process.env.SEALPOINT_FUZZ_SEED ?? String(randomInt(2 ** 31));
      console.info(`schemathesis seed ${seed}`);
      const args = [
        "run",
        file,
        "--url",
        url,
        "--checks",
        "not_a_server_error",
        "--phases",
        "fuzzing",
        "--workers",
        "2",
      ];
      // Its 503 says that no portal answers.
      args.push("--exclude-path", "/healthz/s5");
      args.push("--max-examples", String(examples), "--seed", seed, "--no-color");
      const { stdout } = await execute(schemathesis, args, {
        cwd: folder,
        timeout: 390_000,
        maxBuffer: 64 << 20,
      }).catch((error: { stdout?: string }) => {
        throw new Error(error.stdout?.slice(-8_000));
      });
      expect(stdout).toMatch(/\d+ passed/);
      expect(server.log).not.toContain("internal error");
    } finally {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
