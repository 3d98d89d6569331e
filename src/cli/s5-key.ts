import { readFileSync } from "node:fs";

/** The key of an S5 database from a file or from S5_SESSION_KEY: 32 bytes, or hex or base64 of them. The caller wipes it. */
export function readKey(file: string | undefined): Buffer {
  const given = file === undefined ? process.env.S5_SESSION_KEY : undefined;
  if (file === undefined && given === undefined) throw new Error("--key-file or S5_SESSION_KEY is needed");
  const bytes = file === undefined ? Buffer.from(given ?? "", "utf8") : readFileSync(file);
  if (bytes.length === 32) return bytes;
  const text = bytes.toString("utf8").trim();
  const key = /^[0-9a-fA-F]{64}$/.test(text) ? Buffer.from(text, "hex") : Buffer.from(text, "base64");
  if (key.length !== 32) throw new Error("the key is not 32 bytes, nor hex or base64 of 32 bytes");
  return key;
}
