/** Certificates that change under a running server, and client certificates: both doors, one listener or a shared port. */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls, type PeerCertificate } from "node:tls";
import { credentials, status } from "@grpc/grpc-js";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import { rawUnary } from "../../src/api/grpc/index.ts";
import { startRestServer } from "../../src/api/rest/index.ts";
import { createAuthenticator, createMetrics, type TlsFiles } from "../../src/ops/index.ts";
import { callUnary, connect, failure, paths, silentLog, startEcho } from "./echo-service.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const dir = mkdtempSync(join(tmpdir(), "sealpoint-tls-changes-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let made = 0;
/** A certificate for localhost, signed by itself or by `authority`. */
function make(subject: string, authority?: { certPath: string; keyPath: string }) {
  const certPath = join(dir, `${++made}.pem`);
  const keyPath = join(dir, `${made}.key`);
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const signed = authority === undefined ? [] : ["-CA", authority.certPath, "-CAkey", authority.keyPath];
  const names = ["-subj", `/CN=${subject}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  execFileSync("openssl", [...args, ...signed, ...names, "-keyout", keyPath, "-out", certPath], { stdio: "ignore" });
  return { certPath, keyPath };
}

function startRest(tls: TlsFiles, log = silentLog) {
  const metrics = createMetrics(String);
  const authenticator = createAuthenticator({ apiKeys: [] });
  const options = { host: "127.0.0.1", port: 0, tls, log, authenticator, ready: () => true, metrics: metrics.registry };
  return startRestServer(options).finally(() => metrics.close());
}

function subjectOf(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      ALPNProtocols: ["h2", "http/1.1"],
    });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      resolve(String((socket.getPeerCertificate() as PeerCertificate).subject.CN));
      socket.destroy();
    });
  });
}

async function until(port: number, subject: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if ((await subjectOf(port)) === subject) return;
    await sleep(50);
  }
  throw new Error(`the certificate of ${subject} did not come`);
}

describe.skipIf(!hasOpenssl)("TLS files", () => {
  test.each([
    ["of its own", false],
    ["that threads share", true],
  ])("are read again when they change: gRPC on a port %s, and HTTP", async (_, sharesPort) => {
    const [first, second] = [make("first"), make("second")];
    const tls = { certPath: join(dir, "served.pem"), keyPath: join(dir, "served.key"), reloadSeconds: 0.05 };
    copyFileSync(first.certPath, tls.certPath);
    copyFileSync(first.keyPath, tls.keyPath);
    const lines: string[] = [];
    const log = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
    const server = await startEcho({ one: rawUnary(async (bytes) => bytes) }, { tls, sharesPort, log });
    const rest = await startRest(tls, log);
    const held = connect(server.port, {}, credentials.createSsl(readFileSync(first.certPath)));
    try {
      await callUnary(held, paths.one, Buffer.alloc(0));
      for (const port of [server.port, rest.port]) expect(await subjectOf(port)).toBe("first");
      // A certificate without its key, and half a file: the old ones stay.
      copyFileSync(second.certPath, tls.certPath);
      await sleep(250);
      for (const port of [server.port, rest.port]) expect(await subjectOf(port)).toBe("first");
      writeFileSync(tls.keyPath, readFileSync(second.keyPath).subarray(0, 40));
      await sleep(250);
      for (const port of [server.port, rest.port]) expect(await subjectOf(port)).toBe("first");
      copyFileSync(second.keyPath, join(dir, "next.key"));
      renameSync(join(dir, "next.key"), tls.keyPath);
      for (const port of [server.port, rest.port]) await until(port, "second");
      // Nobody's connection broke, and a new client trusts the new one.
      await callUnary(held, paths.one, Buffer.alloc(0));
      const fresh = connect(server.port, {}, credentials.createSsl(readFileSync(second.certPath)));
      await callUnary(fresh, paths.one, Buffer.alloc(0));
      fresh.close();
      const told = lines.join("");
      expect(told).toContain("TLS files cannot be used");
      expect(told).toContain("TLS certificate reloaded");
      expect(told).not.toContain("PRIVATE KEY");
      // Each fault once and not at each look.
      expect(lines.filter((line) => line.includes("cannot be used")).length).toBeLessThanOrEqual(6);
    } finally {
      held.close();
      await server.drain();
      await rest.close();
    }
  });

  test.each([
    ["of its own", false],
    ["that threads share", true],
  ])("with an authority only its clients get in: gRPC on a port %s, and HTTP", async (_, sharesPort) => {
    const authority = make("authority");
    const own = make("server", authority);
    const member = make("member", authority);
    const stranger = make("stranger");
    const tls = { ...own, caPath: authority.certPath };
    const server = await startEcho({ one: rawUnary(async (bytes) => bytes) }, { tls, sharesPort });
    const rest = await startRest(tls);
    const root = readFileSync(authority.certPath);
    const grpc = async (pair?: { certPath: string; keyPath: string }) => {
      const [key, cert] = pair === undefined ? [null, null] : [readFileSync(pair.keyPath), readFileSync(pair.certPath)];
      const client = connect(server.port, {}, credentials.createSsl(root, key, cert));
      const call = callUnary(client, paths.one, Buffer.alloc(0), undefined, { deadline: Date.now() + 3000 });
      return call.finally(() => client.close());
    };
    const http = (pair?: { certPath: string; keyPath: string }): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const identity = pair && { key: readFileSync(pair.keyPath), cert: readFileSync(pair.certPath) };
        request(
          { host: "127.0.0.1", port: rest.port, path: "/healthz", ca: root, agent: false, ...identity },
          (answer) => {
            answer.resume();
            resolve(answer.statusCode);
          },
        )
          .on("error", reject)
          .end();
      });
    try {
      await grpc(member);
      expect(await http(member)).toBe(200);
      for (const pair of [undefined, stranger]) {
        expect((await failure(grpc(pair))).code).not.toBe(status.OK);
        await expect(http(pair)).rejects.toThrow();
      }
    } finally {
      server.forceClose();
      await rest.close();
    }
  });
});
