/** `sealpoint keygen`: a P-256 key pair to seal to and to open with. */
import { existsSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { generateKeyPair } from "../seal/index.ts";

export function addKeygenCommand(program: Command): void {
  program
    .command("keygen")
    .description("make a P-256 key pair: seal to the public key, open with the private one")
    .requiredOption("--out <file>", "private key (PKCS#8 PEM, mode 0600); the public key (SPKI PEM) goes beside it")
    .action((options: { readonly out: string }) => {
      const publicPath = publicPathOf(options.out);
      for (const path of [options.out, publicPath]) {
        if (existsSync(path)) throw new Error(`${path} exists; a key is never overwritten`);
      }
      const { privateKeyPem, publicKeyPem } = generateKeyPair();
      // `wx` refuses what appeared in between, a link included.
      writeFileSync(options.out, privateKeyPem, { mode: 0o600, flag: "wx" });
      writeFileSync(publicPath, publicKeyPem, { mode: 0o644, flag: "wx" });
      process.stdout.write(`private key: ${options.out}\npublic key:  ${publicPath}\n`);
    });
}

/** `k.pem` has `k.pub.pem` beside it, any other name gets `.pub.pem`. */
export function publicPathOf(privatePath: string): string {
  return `${privatePath.replace(/\.pem$/, "")}.pub.pem`;
}
