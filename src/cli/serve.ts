/** `sealpoint serve`: the server in the foreground. */
import type { Command } from "commander";
import { type ConfigOverrides, readSettings } from "../ops/index.ts";

export function addServeCommand(program: Command): void {
  program
    .command("serve")
    .description("run the server in the foreground until SIGINT or SIGTERM")
    .option("--data-dir <folder>", "where the data lives (SEALPOINT_DATA_DIR, default ./data)")
    .option("--host <address>", "address to listen on (SEALPOINT_HOST, default 127.0.0.1)")
    .option("--grpc-port <port>", "gRPC port (SEALPOINT_GRPC_PORT, default 6334)")
    .option("--http-port <port>", "HTTP port: health, metrics (SEALPOINT_HTTP_PORT, default 6333)")
    .option("--config <file>", "sealpoint.yaml or a config.yaml of Qdrant's (SEALPOINT_CONFIG)")
    .option("--insecure", "serve other machines without API key and TLS (SEALPOINT_INSECURE=1)")
    .option("--log-level <level>", "trace, debug, info, warn, error or silent (SEALPOINT_LOG_LEVEL, default info)")
    .addHelpText(
      "after",
      `
Further variables:
  SEALPOINT_API_KEY                          callers must send it as api-key or as a bearer token
  SEALPOINT_ALT_API_KEY                      a second one
  SEALPOINT_READ_ONLY_API_KEY                admits to reading
  SEALPOINT_JWT_RBAC                         1: take JSON web tokens signed with one of the first two
  SEALPOINT_TLS_CERT, SEALPOINT_TLS_KEY      PEM files of the certificate chain and its key
  SEALPOINT_SNAPSHOTS_DIR                    where snapshots go (default {data-dir}/snapshots)
  SEALPOINT_FSYNC                            always (default), interval or never: when writes reach the disk
  SEALPOINT_FSYNC_INTERVAL_MS                with interval: milliseconds between syncs (default 1000)
  SEALPOINT_TEMPORARY_INDEX_MIB              MiB for indexes that the server makes for itself (default 64, 0: none)
  SEALPOINT_DISK_RESERVE_MB                  MiB that writes leave free on the disk (default 64, of a small disk a sixteenth)
  S5_PORTAL_URL                              portals that S5.Load reads from (default http://127.0.0.1:5522); docs/s5.md has the other
                                             S5_ and VECTOR_ settings

A host other than loopback needs an API key and TLS, or --insecure.`,
    )
    .action(async (options: ConfigOverrides & { readonly config?: string }) => {
      // Loaded here, so that the other commands start quickly and need no addon.
      const settings = readSettings(process.env, options);
      // The data is opened beside the loading of all other modules, which takes as long.
      const { NativeEngine } = await import("../native/index.ts");
      NativeEngine.prepare(settings.config.dataDir, settings.config);
      const { runServer } = await import("../main.ts");
      process.exitCode = await runServer(settings);
    });
}
