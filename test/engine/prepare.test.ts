/** Data that is opened beside the start of a server that then does not start. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "./support.ts";

test.each([0, 300])("a process that prepared to open and ends %i ms later ends well", async (pauseMs) => {
  const folder = temporaryFolder();
  try {
    const native = join(import.meta.dirname, "../../src/native/index.ts");
    const script = `const { NativeEngine } = await import(${JSON.stringify(native)});
      NativeEngine.prepare(${JSON.stringify(join(folder.path, "data"))});
      await new Promise((go) => setTimeout(go, ${pauseMs}));
      process.exitCode = 7;`;
    const ended = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    await expect(ended).rejects.toMatchObject({ code: 7, signal: null });
  } finally {
    folder.remove();
  }
});
