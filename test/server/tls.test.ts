import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { credentials, Metadata, status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { rawUnary } from "../../src/api/grpc/index.ts";
import { startRestServer } from "../../src/api/rest/index.ts";
import { createAuthenticator, createMetrics } from "../../src/ops/index.ts";
import { callUnary, connect, failure, paths, silentLog, startEcho } from "./echo-service.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const key = "a-key-of-the-test";

/** A self-signed certificate for localhost and 127.0.0.1. */
function makeCertificate() {
  const dir = mkdtempSync(join(tmpdir(), "sealpoint-tls-"));
  const certPath = join(dir, "cert.pem");
  const keyPath = join(dir, "key.pem");
  const args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(" ");
  const names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", keyPath, "-out", certPath];
  execFileSync("openssl", [...args, ...names], { stdio: "ignore" });
  return { certPath, keyPath };
}

describe.skipIf(!hasOpenssl)("TLS", () => {
  test.each([
    ["of its own", false],
    ["that threads share", true],
  ])("gRPC over TLS with an API key on a port %s; plaintext and old TLS are refused", async (_, sharesPort) => {
    const tls = makeCertificate();
    const server = await startEcho(
      { one: rawUnary(async (bytes) => bytes) },
      { tls, sharesPort, authenticator: createAuthenticator({ apiKeys: [key] }) },
    );
    const secure = connect(server.port, {}, credentials.createSsl(readFileSync(tls.certPath)));
    const plain = connect(server.port);
    const strange = connect(server.port, {}, credentials.createSsl());
    try {
      const metadata = new Metadata();
      metadata.set("api-key", key);
      expect((await callUnary(secure, paths.one, Buffer.from([0x10, 7]), metadata)).bytes).toEqual(
        Buffer.from([0x10, 7]),
      );
      expect((await failure(callUnary(secure, paths.one, Buffer.alloc(0)))).code).toBe(status.UNAUTHENTICATED);
      const deadline = { deadline: Date.now() + 3000 };
      expect((await failure(callUnary(plain, paths.one, Buffer.alloc(0), metadata, deadline))).code).not.toBe(
        status.OK,
      );
      expect((await failure(callUnary(strange, paths.one, Buffer.alloc(0), metadata, deadline))).code).not.toBe(
        status.OK,
      );
      const old = await new Promise((resolve) => {
        const socket = connectTls({
          port: server.port,
          host: "127.0.0.1",
          maxVersion: "TLSv1.1",
          minVersion: "TLSv1",
          rejectUnauthorized: false,
        });
        socket.once("error", (error) => resolve(error.message));
        socket.once("secureConnect", () => resolve("connected"));
      });
      expect(old).not.toBe("connected");
    } finally {
      for (const one of [secure, plain, strange]) one.close();
      server.forceClose();
    }
  });

  test("the HTTP port speaks TLS with the same certificate", async () => {
    const tls = makeCertificate();
    const metrics = createMetrics(String);
    const rest = await startRestServer({
      host: "127.0.0.1",
      port: 0,
      tls,
      log: silentLog,
      authenticator: createAuthenticator({ apiKeys: [] }),
      ready: () => true,
      metrics: metrics.registry,
    });
    const code = await new Promise<number | undefined>((resolve, reject) => {
      request({ host: "127.0.0.1", port: rest.port, path: "/healthz", ca: readFileSync(tls.certPath) }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on("error", reject)
        .end();
    });
    expect(code).toBe(200);
    await rest.close();
    metrics.close();
  });
});
