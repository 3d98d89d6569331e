/** `sealpoint s5-portal`: a folder as a small S5 portal, for development. */
import { once } from "node:events";
import type { Command } from "commander";

interface PortalCommandOptions {
  readonly port: string;
  readonly host: string;
  readonly readOnly?: boolean;
}

export function addPortalCommand(program: Command): void {
  program
    .command("s5-portal")
    .description("serve a folder as a small S5 portal, for development (GET, PUT, DELETE /s5/fs/{path})")
    .argument("<folder>", "folder with home/ or archive/ in it")
    .option("--port <port>", "port to listen on; 0 takes a free one", "5522")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--read-only", "refuse PUT and DELETE")
    .action(async (dir: string, options: PortalCommandOptions) => {
      const port = Number(options.port);
      if (!Number.isInteger(port) || port < 0 || port > 65_535)
        throw new Error(`--port: ${options.port} is not a port`);
      const { startPortal } = await import("../s5/index.ts");
      const portal = await startPortal({ dir, host: options.host, port, readOnly: options.readOnly === true });
      process.stdout.write(`S5 portal on ${portal.url} serving ${dir}\n`);
      await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
      await portal.close();
    });
}
