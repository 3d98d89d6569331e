import { badInput } from "./errors.ts";

/** A point's id: an unsigned 64-bit integer as bigint, or a UUID as its canonical lower-case hyphenated string. */
export type PointId = bigint | string;

const uuidForms = /^(?:urn:uuid:)?\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?$/i;

export const maxU64 = (1n << 64n) - 1n;

/**
 * Accepts the simple, hyphenated, braced and URN forms that Qdrant accepts and gives the canonical form.
 * Throws bad_input that names `field`.
 */
export function parseUuid(text: string, field = "id"): string {
  const parts = uuidForms.exec(text);
  if (parts === null) throw badInput(`Unable to parse UUID: ${JSON.stringify(text.slice(0, 64))}`, field);
  return parts.slice(1, 6).join("-").toLowerCase();
}

/** The 16 bytes of a canonical UUID string. */
export function uuidBytes(uuid: string): Uint8Array {
  return Uint8Array.from(Buffer.from(uuid.replaceAll("-", ""), "hex"));
}

/** The canonical string of 16 UUID bytes. */
export function uuidFromBytes(bytes: Uint8Array, offset = 0): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + offset, 16).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Qdrant's order: numbers before UUIDs, each ascending. */
export function comparePointIds(a: PointId, b: PointId): number {
  if (typeof a === "bigint") return typeof b === "bigint" ? (a < b ? -1 : a > b ? 1 : 0) : -1;
  if (typeof b === "bigint") return 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
