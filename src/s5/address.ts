/** Owners' addresses: 20 bytes in hexadecimal. */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { badField } from "./errors.ts";

const addressForm = /^0x[0-9a-fA-F]{40}$/;

/** EIP-55: a letter is upper-case where the nibble of the lower-case text's Keccak-256 at its place is 8 or more. */
function hasChecksum(address: string): boolean {
  const lower = address.slice(2).toLowerCase();
  const hash = keccak_256(Buffer.from(lower, "ascii"));
  for (let i = 0; i < lower.length; i++) {
    const nibble = ((hash[i >> 1] as number) >> (i % 2 === 0 ? 4 : 0)) & 15;
    const letter = lower[i] as string;
    if (address[i + 2] !== (nibble >= 8 ? letter.toUpperCase() : letter)) return false;
  }
  return true;
}

/**
 * Throws bad_input: an address is a field of the request, not a property of the database. `strict`: the checksum of a mixed-case
 * address is checked; one in a single case has none.
 */
export function checkAddress(address: string, strict = false): void {
  if (!addressForm.test(address)) throw badField("user_address", "expected 0x and 40 hexadecimal digits");
  const digits = address.slice(2);
  const isMixed = digits !== digits.toLowerCase() && digits !== digits.toUpperCase();
  if (strict && isMixed && !hasChecksum(address)) {
    throw badField("user_address", "the mixed-case address has a wrong EIP-55 checksum");
  }
}
