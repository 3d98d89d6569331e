/** `sealpoint open`: opens the sealed payloads in JSON from standard input, as grpcurl prints it. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { DomainError, sealedKey } from "../core/index.ts";
import { openPointJson, type PrivateKey, parsePrivateKey } from "../seal/index.ts";
import { splitJsonStream } from "./json-stream.ts";

export interface OpenCounts {
  opened: number;
  refused: number;
}

export function addOpenCommand(program: Command): void {
  program
    .command("open")
    .description("open sealed payloads in JSON from standard input, such as grpcurl's output")
    .requiredOption("--key <file>", "private key: PEM, or hex or base64 of the scalar")
    .addHelpText(
      "after",
      `
Everything else passes through unchanged. Payloads that this key does not open stay as they are and are noted on
standard error; the exit code is then 2.`,
    )
    .action(async (options: { readonly key: string }) => {
      const key = parsePrivateKey(readFileSync(options.key, "utf8"), "--key");
      const counts: OpenCounts = { opened: 0, refused: 0 };
      for await (const text of splitJsonStream(process.stdin)) {
        process.stdout.write(`${JSON.stringify(openPoints(JSON.parse(text), key, counts), null, 2)}\n`);
      }
      if (counts.opened === 0 && counts.refused === 0) process.stderr.write("no sealed payload in the input\n");
      if (counts.refused > 0) process.exitCode = 2;
    });
}

/** The same JSON with each sealed payload opened that can be; one that cannot does not stop the others. */
export function openPoints(value: unknown, key: PrivateKey, counts: OpenCounts): unknown {
  if (Array.isArray(value)) return value.map((item) => openPoints(item, key, counts));
  if (typeof value !== "object" || value === null) return value;
  const object = value as Record<string, unknown>;
  if (hasSealedPayload(object)) {
    try {
      const opened = openPointJson(object, key);
      counts.opened += 1;
      return opened;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      counts.refused += 1;
      process.stderr.write(`point ${JSON.stringify(object.id)}: ${error.message}; left sealed\n`);
      return object;
    }
  }
  return Object.fromEntries(Object.entries(object).map(([name, item]) => [name, openPoints(item, key, counts)]));
}

function hasSealedPayload({ payload }: Record<string, unknown>): boolean {
  return typeof payload === "object" && payload !== null && Object.hasOwn(payload, sealedKey);
}
