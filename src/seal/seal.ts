/**
 * Sealing of payloads: one HPKE context for a batch and recipient (or one for each point on request), one key for each
 * point, bound to the collection's sealing id and the point's id. If anything fails, it throws: there is no plaintext fallback.
 */
import { createCipheriv, createSecretKey, randomBytes } from "node:crypto";
import { type EncodedPayload, type PointId, sealedKey, uuidBytes } from "../core/index.ts";
import {
  algorithmP256,
  envelopeHeaderLength,
  envelopeOffsets,
  envelopeVersion,
  writeEnvelopeHeader,
} from "../wire/index.ts";
import { padTranscoded, transcodePayload } from "./cbor.ts";
import { type SenderContext, setupSender } from "./hpke.ts";
import type { PublicKey } from "./keys.ts";
import { padmeLength } from "./padme.ts";
import { TimeSlices } from "./slices.ts";

export const hpkeInfo = Buffer.from("sealpoint/v1", "ascii");

/** version u8 | algorithm u16 | sealing id 16 | id tag u8 | id; a new array each time, since a key is made of it. */
export function sealAad(sealingId: Uint8Array, id: PointId): Uint8Array {
  const aad = new Uint8Array(typeof id === "bigint" ? 28 : 36);
  aad[0] = envelopeVersion;
  aad[1] = algorithmP256 >> 8;
  aad[2] = algorithmP256 & 0xff;
  aad.set(sealingId, 3);
  if (typeof id === "bigint") {
    aad[19] = 0;
    new DataView(aad.buffer).setBigUint64(20, id);
  } else {
    aad[19] = 1;
    aad.set(uuidBytes(id), 20);
  }
  return aad;
}

export interface SealOptions {
  /** 16 bytes. */
  readonly sealingId: Uint8Array;
  /** Top-level keys that are not sealed. */
  readonly clearFields?: ReadonlySet<string>;
  readonly padding?: boolean;
}

/** Seals all of `payload` but its clear fields under an open context. Gives the binary envelope. */
export function sealUnder(
  sender: SenderContext,
  recipient: PublicKey,
  id: PointId,
  payload: EncodedPayload,
  options: SealOptions,
  field?: string,
): Uint8Array {
  const { sealingId, clearFields } = options;
  if (sealingId.length !== 16) throw new TypeError("a sealing id has 16 bytes");
  const leaveOut = clearFields === undefined || clearFields.size === 0 ? sealedKeyOnly : withSealedKey(clearFields);
  let plaintext = transcodePayload(payload, leaveOut, field);
  if (options.padding === true) plaintext = padTranscoded(padmeLength(plaintext.length));
  const envelope = new Uint8Array(envelopeHeaderLength + plaintext.length);
  writeEnvelopeHeader(envelope, sealingId, recipient.kid, sender.enc);
  const nonce = randomNonce();
  envelope.set(nonce, envelopeOffsets.nonce);
  const aad = sealAad(sealingId, id);
  const cipher = createCipheriv("aes-256-gcm", createSecretKey(sender.context.export(aad, 32)), nonce);
  cipher.setAAD(aad);
  envelope.set(cipher.update(plaintext), envelopeOffsets.ciphertext);
  cipher.final();
  envelope.set(cipher.getAuthTag(), envelopeOffsets.tag);
  // The scratch buffer outlives this call: no plaintext stays in it.
  plaintext.fill(0);
  return envelope;
}

const sealedKeyOnly: ReadonlySet<string> = new Set([sealedKey]);
const leaveOutSets = new WeakMap<ReadonlySet<string>, ReadonlySet<string>>();

function withSealedKey(keys: ReadonlySet<string>): ReadonlySet<string> {
  let set = leaveOutSets.get(keys);
  if (set === undefined) {
    set = new Set([...keys, sealedKey]);
    leaveOutSets.set(keys, set);
  }
  return set;
}

/** Nonces are drawn for many points at once: a call into the generator costs more than a nonce. */
let nonces = Buffer.alloc(0);
let nonceAt = 0;

function randomNonce(): Buffer {
  if (nonceAt + 12 > nonces.length) {
    nonces = randomBytes(12 * 256);
    nonceAt = 0;
  }
  nonceAt += 12;
  return nonces.subarray(nonceAt - 12, nonceAt);
}

export interface SealItem {
  readonly id: PointId;
  readonly payload: EncodedPayload;
  readonly recipient: PublicKey;
  /** Names the payload in an error. */
  readonly field?: string;
}

export interface SealBatchOptions extends SealOptions {
  /** One context for each point instead of one for each recipient. */
  readonly freshEphemeral?: boolean;
}

/** Binary envelopes of a batch, in order. Works in slices, so that the event loop is never held for long. */
export async function sealBatch(items: readonly SealItem[], options: SealBatchOptions): Promise<Uint8Array[]> {
  const senders = new Map<PublicKey, SenderContext>();
  const envelopes: Uint8Array[] = [];
  const slices = new TimeSlices();
  for (const item of items) {
    if (slices.due()) await slices.yield();
    let sender = options.freshEphemeral === true ? undefined : senders.get(item.recipient);
    if (sender === undefined) {
      sender = setupSender(item.recipient, hpkeInfo);
      if (options.freshEphemeral !== true) senders.set(item.recipient, sender);
    }
    envelopes.push(sealUnder(sender, item.recipient, item.id, item.payload, options, item.field));
  }
  return envelopes;
}
