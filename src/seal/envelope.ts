/** Structural validation of envelopes that a client made: what can be said without a private key. */
import { badInput, limits } from "../core/index.ts";
import { splitEnvelope } from "../wire/index.ts";
import { isCurvePoint } from "./keys.ts";

/** Throws bad_input that names `field[i]` unless every envelope could be one of this collection. */
export function validateEnvelopes(
  envelopes: readonly Uint8Array[],
  acceptedSealingIds: ReadonlySet<string>,
  field: string,
): void {
  if (envelopes.length === 0 || envelopes.length > limits.envelopesPerPointMax) {
    throw badInput(`${field}: must hold 1 to ${limits.envelopesPerPointMax} envelopes`, field);
  }
  envelopes.forEach((envelope, i) => {
    const name = `${field}[${i}]`;
    const parts = splitEnvelope(envelope, name);
    const sealingId = Buffer.from(parts.sealingId.buffer, parts.sealingId.byteOffset, 16).toString("hex");
    if (!acceptedSealingIds.has(sealingId)) {
      throw badInput(`${name}.sealing_id: the collection does not accept this sealing id`, `${name}.sealing_id`);
    }
    if (!isCurvePoint(parts.enc)) {
      throw badInput(`${name}.ephemeral_public_key: not a point of the curve P-256`, `${name}.ephemeral_public_key`);
    }
    // An empty CBOR map is one byte: less cannot have been sealed.
    if (parts.ciphertext.length < 1) throw badInput(`${name}.encrypted_data: is empty`, `${name}.encrypted_data`);
  });
}
