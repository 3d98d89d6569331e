/** Envelopes inside payloads: the stored form (docs of core/payload.ts) and the documented JSON form, and the way between. */
import { badInput, DomainError, type EncodedPayload, limits, type PayloadValue, sealedKey } from "../core/index.ts";
import { envelopeFromJson, envelopeToJson, splitStored } from "./envelope.ts";
import {
  decodeValueAt,
  entryTag,
  finishWriter,
  guarded,
  keyTag,
  omitEntries,
  sealedTag,
  valueTag,
  visitEntries,
  writeEntry,
  writer,
} from "./payload-codec.ts";
import { type ByteArena, ByteReader } from "./proto-bytes.ts";

const sealedKeyBytes = Buffer.from(sealedKey, "latin1");

/** True when a stored payload holds envelopes: they are its first entry. Cheap enough for every answered point. */
export function hasSealedStored(payload: EncodedPayload): boolean {
  // 0x12 len (0x0a 10 "$sealpoint" 0x12 len 0x7a ...): the key's place depends only on the size of the first length.
  if (payload.length < 16 || payload[0] !== entryTag) return false;
  let pos = 1;
  while (pos < 6 && (payload[pos] as number) >= 0x80) pos++;
  pos++;
  if (payload[pos] !== keyTag || payload[pos + 1] !== sealedKeyBytes.length) return false;
  for (let i = 0; i < sealedKeyBytes.length; i++) if (payload[pos + 2 + i] !== sealedKeyBytes[i]) return false;
  const found = findSealed(payload);
  return found?.stored !== undefined;
}

interface FoundSealed {
  /** The value's range; the value itself, tag and all. */
  readonly valueStart: number;
  readonly valueStop: number;
  /** The stored list when the value is in stored form. */
  readonly stored?: Uint8Array;
}

/** The `$sealpoint` entry in either form, or undefined. */
export function findSealed(payload: EncodedPayload, field?: string): FoundSealed | undefined {
  let found: FoundSealed | undefined;
  visitEntries(
    payload,
    (key, _start, _stop, valueStart, valueStop) => {
      if (key === sealedKey)
        found = {
          valueStart,
          valueStop,
          stored: storedList(payload, valueStart, valueStop),
        };
    },
    field,
  );
  return found;
}

function storedList(payload: EncodedPayload, valueStart: number, valueStop: number): Uint8Array | undefined {
  const reader = new ByteReader(payload, valueStart, valueStop);
  let stored: Uint8Array | undefined;
  while (reader.pos < valueStop) {
    const tag = reader.uint32();
    if (tag === sealedTag) {
      reader.range();
      stored = payload.subarray(reader.start, reader.stop);
    } else {
      reader.skip(tag);
      // Anything beside the private field is somebody else's value: not the stored form.
      return undefined;
    }
  }
  return stored;
}

/** The binary envelopes of a payload in either form, oldest first; undefined when it has no `$sealpoint`. */
export function readEnvelopes(payload: EncodedPayload, field = "payload"): Uint8Array[] | undefined {
  const found = findSealed(payload, field);
  if (found === undefined) return undefined;
  const name = `${field}.${sealedKey}`;
  if (found.stored !== undefined) return splitStored(found.stored, name);
  const value = guarded(payload, field, () => decodeValueAt(payload, found.valueStart, found.valueStop, 1));
  if (!Array.isArray(value) || value.length === 0 || value.length > limits.envelopesPerPointMax) {
    throw badInput(`${name}: must be a list of 1 to ${limits.envelopesPerPointMax} envelopes`, name);
  }
  return value.map((item, i) => envelopeFromJson(item, `${name}[${i}]`));
}

/** A payload in stored form: the envelopes first, then the clear entries as they are. In `arena`'s memory where there is one. */
export function buildSealed(
  envelopes: readonly Uint8Array[],
  clear: EncodedPayload,
  arena?: ByteArena,
): EncodedPayload {
  writer.reset();
  writer.raw(clear);
  const end = writer.length;
  for (let at = envelopes.length - 1; at >= 0; at--) {
    const envelope = envelopes[at] as Uint8Array;
    writer.raw(envelope);
    // u32, big endian.
    for (let rest = envelope.length, byte = 0; byte < 4; byte++, rest >>>= 8) writer.byte(rest & 255);
  }
  writer.uint32(writer.length - end);
  writer.byte(sealedTag);
  writer.uint32(writer.length - end);
  writer.byte(valueTag);
  writer.text(sealedKey);
  writer.byte(keyTag);
  writer.uint32(writer.length - end);
  writer.byte(entryTag);
  return finishWriter("payload", arena);
}

const sealedKeyOnly: ReadonlySet<string> = new Set([sealedKey]);

/** Documented JSON form to stored form, validated. A payload without `$sealpoint` is returned as it is. */
export function compactSealed(payload: EncodedPayload, field = "payload"): EncodedPayload {
  const envelopes = readEnvelopes(payload, field);
  if (envelopes === undefined) return payload;
  return buildSealed(envelopes, omitEntries(payload, sealedKeyOnly, field));
}

/** Stored form to the documented JSON form, on the way out. A payload without envelopes is returned as it is. */
export function expandSealed(payload: EncodedPayload): EncodedPayload {
  if (!hasSealedStored(payload)) return payload;
  const found = findSealed(payload);
  if (found?.stored === undefined) return payload;
  let list: PayloadValue[];
  try {
    list = splitStored(found.stored).map((envelope) => envelopeToJson(envelope));
  } catch (cause) {
    // The bytes come from the store, so this is damage and not a caller's fault.
    throw new DomainError("data_loss", "a stored envelope is damaged", {
      cause,
    });
  }
  const clear = omitEntries(payload, sealedKeyOnly);
  writer.reset();
  writer.raw(clear);
  writeEntry(entryTag, sealedKey, list, 1, () => sealedKey);
  return writer.finish();
}
