/** `sealpoint restore`: puts a snapshot back into the data of a stopped server. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { dataDirOf } from "./verify.ts";

interface RestoreOptions {
  readonly dataDir?: string;
  readonly collection?: string;
  readonly checksum?: string;
}

export function addRestoreCommand(program: Command): void {
  program
    .command("restore <snapshots...>")
    .description(
      "restore a snapshot into the data of a stopped server: the whole storage, or with --collection one and its incremental ones, oldest first",
    )
    .option("--data-dir <folder>", "where the data lives (SEALPOINT_DATA_DIR, default ./data)")
    .option("--collection <name>", "restore a collection's snapshot under this name")
    .option("--checksum <sha256>", "what the last file must have")
    .addHelpText(
      "after",
      `
Collections of the same name are replaced once the whole file has been checked; others stay. A damaged file changes nothing.`,
    )
    .action(async (snapshots: string[], { collection, checksum, ...options }: RestoreOptions) => {
      // Loaded here, so that the other commands need no addon.
      const { openEmbeddedEngine } = await import("../engine/embedded/index.ts");
      const { SnapshotsService } = await import("../services/index.ts");
      const engine = openEmbeddedEngine({ dataDir: dataDirOf(options) });
      try {
        const service = new SnapshotsService(engine);
        const paths = snapshots.map((snapshot) => resolve(snapshot));
        const names = await service.recoverStored(collection, paths, { checksum });
        process.stdout.write(`restored ${names.length === 0 ? "no collections" : names.join(", ")}\n`);
      } finally {
        await engine.close();
      }
    });
}
