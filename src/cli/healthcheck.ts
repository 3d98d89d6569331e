/** `sealpoint healthcheck`: exit code 0 when the server answers SERVING; for containers without curl. */
import { readFileSync } from "node:fs";
import { type ChannelCredentials, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import type { Command } from "commander";
import { servingStatus } from "../api/grpc/index.ts";

interface HealthcheckOptions {
  readonly address?: string;
  readonly tls?: boolean;
  readonly timeout: string;
  readonly cert?: string;
  readonly key?: string;
}

export function addHealthcheckCommand(program: Command): void {
  program
    .command("healthcheck")
    .description("exit with 0 when the server is serving, with 1 when not")
    .option("--address <host:port>", "gRPC address (default 127.0.0.1 and SEALPOINT_GRPC_PORT or 6334)")
    .option("--tls", "the server speaks TLS (default: when SEALPOINT_TLS_CERT is set)")
    .option("--cert <file>", "client certificate (default: the server's own when SEALPOINT_TLS_CA is set)")
    .option("--key <file>", "its key")
    .option("--timeout <seconds>", "how long to wait", "5")
    .action(async (options: HealthcheckOptions) => {
      const address = options.address ?? `127.0.0.1:${process.env.SEALPOINT_GRPC_PORT || "6334"}`;
      const tls = options.tls ?? Boolean(process.env.SEALPOINT_TLS_CERT);
      const seconds = Number(options.timeout);
      if (!(seconds > 0)) throw new Error(`--timeout: ${JSON.stringify(options.timeout)} is not a number of seconds`);
      const own = process.env.SEALPOINT_TLS_CA ? process.env : {};
      const pair = { cert: options.cert ?? own.SEALPOINT_TLS_CERT, key: options.key ?? own.SEALPOINT_TLS_KEY };
      const serving = await checkServing(address, checkCredentials(tls, pair), seconds);
      process.stdout.write(serving.text);
      process.exitCode = serving.ok ? 0 : 1;
    });
}

/** Nothing secret travels in a health check, so the certificate's name and issuer are not asked about. */
function checkCredentials(tls: boolean, { cert, key }: { cert?: string; key?: string }): ChannelCredentials {
  if (!tls) return credentials.createInsecure();
  const read = (path: string | undefined): Buffer | null => (path ? readFileSync(path) : null);
  return credentials.createSsl(null, read(key), read(cert), { rejectUnauthorized: false });
}

function checkServing(
  address: string,
  channelCredentials: ChannelCredentials,
  seconds: number,
): Promise<{ ok: boolean; text: string }> {
  const client = new Client(address, channelCredentials);
  const identity = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve) => {
    const done = (error: ServiceError | null, answer?: Buffer): void => {
      client.close();
      if (error !== null) {
        resolve({ ok: false, text: `${address}: ${error.message}\n` });
        return;
      }
      // HealthCheckResponse { status = 1 }: one varint field.
      const ok = answer?.[0] === 8 && answer[1] === servingStatus.serving;
      resolve({ ok, text: `${address}: ${ok ? "SERVING" : "NOT_SERVING"}\n` });
    };
    const deadline = Date.now() + seconds * 1000;
    client.makeUnaryRequest("/grpc.health.v1.Health/Check", identity, identity, Buffer.alloc(0), { deadline }, done);
  });
}
