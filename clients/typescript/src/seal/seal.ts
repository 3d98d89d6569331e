/** Sealing and opening of payloads. Whoever seals pins the recipient and the sealing id on its own side. */
import { gcm } from "@noble/ciphers/aes.js";
import { randomBytes } from "@noble/hashes/utils.js";
import { ascii, concatBytes, equalBytes, fromHex, toHex, u16 } from "./bytes.ts";
import { decodeMap, encodeMap } from "./cbor.ts";
import { algorithmId, type Envelope, envelopesFromJson, envelopeToJson, envelopeVersion } from "./envelope.ts";
import { OpenError, SealError } from "./errors.ts";
import { type ExporterContext, type SenderContext, setupRecipient, setupSender } from "./hpke.ts";
import { type PrivateKey, type PublicKey, parsePrivateKey, parsePublicKey } from "./keys.ts";
import { padmeLength } from "./padme.ts";
import { type Payload, type PayloadValue, type PointId, sealedKey } from "./payload.ts";

const hpkeInfo = ascii("sealpoint/v1");
const maxU64 = (1n << 64n) - 1n;

/** The sealing id's 16 bytes, given as bytes or hex. */
export function sealingIdBytes(sealingId: Uint8Array | string): Uint8Array {
  const bytes = typeof sealingId === "string" ? fromHex(sealingId) : sealingId;
  if (bytes === undefined || bytes.length !== 16) throw new SealError("a sealing id has 16 bytes");
  return bytes;
}

/** version u8 | algorithm u16 | sealing id 16 | id tag u8 | id */
export function sealAad(sealingId: Uint8Array, id: PointId): Uint8Array {
  const head = concatBytes(Uint8Array.of(envelopeVersion), u16(algorithmId), sealingId);
  if (typeof id === "bigint") {
    if (id < 0n || id > maxU64) throw new SealError("the point's id does not fit 64 bits");
    const number = new Uint8Array(8);
    new DataView(number.buffer).setBigUint64(0, id);
    return concatBytes(head, Uint8Array.of(0), number);
  }
  const uuid = fromHex(id.replace(/^urn:uuid:/i, "").replace(/[{}-]/g, ""));
  if (uuid === undefined || uuid.length !== 16) throw new SealError("the point's id is not a UUID");
  return concatBytes(head, Uint8Array.of(1), uuid);
}

export interface SealerOptions {
  /** The recipient, pinned by you. */
  readonly publicKey: PublicKey | string | Uint8Array;
  /** The collection's sealing id: 16 bytes or hex, pinned by you. */
  readonly sealingId: Uint8Array | string;
  /** Top-level keys that stay readable. */
  readonly clearFields?: Iterable<string>;
  /** Pad plaintexts to Padme buckets. */
  readonly padding?: boolean;
  /** An ephemeral key for each point: hides which points were sealed together, costs a curve operation each. */
  readonly freshEphemeral?: boolean;
}

/** Seals payloads to one recipient under one HPKE context. Make one for each batch. */
export class Sealer {
  readonly sealingId: Uint8Array;
  readonly publicKey: PublicKey;
  private readonly clearFields: ReadonlySet<string>;
  private readonly padding: boolean;
  private readonly fresh: boolean;
  private sender: SenderContext | undefined;

  constructor(options: SealerOptions) {
    const { publicKey } = options;
    this.publicKey =
      typeof publicKey === "string" || publicKey instanceof Uint8Array ? parsePublicKey(publicKey) : publicKey;
    this.sealingId = sealingIdBytes(options.sealingId);
    this.clearFields = new Set(options.clearFields ?? []);
    this.padding = options.padding ?? false;
    this.fresh = options.freshEphemeral ?? false;
  }

  /** Gives the clear fields with the envelope beside them. */
  seal(id: PointId, payload: Payload): Payload {
    if (Object.hasOwn(payload, sealedKey)) throw new SealError("the payload is sealed already");
    const sealed: { [key: string]: PayloadValue } = Object.create(null);
    const out: { [key: string]: PayloadValue } = Object.create(null);
    for (const key of Object.keys(payload))
      (this.clearFields.has(key) ? out : sealed)[key] = payload[key] as PayloadValue;
    out[sealedKey] = [envelopeToJson(this.sealMap(id, sealed))];
    return out;
  }

  private sealMap(id: PointId, map: Payload): Envelope {
    if (this.sender === undefined || this.fresh) this.sender = setupSender(this.publicKey.point, hpkeInfo);
    let plaintext = encodeMap(map);
    if (this.padding)
      plaintext = concatBytes(plaintext, new Uint8Array(padmeLength(plaintext.length) - plaintext.length));
    const aad = sealAad(this.sealingId, id);
    const nonce = randomBytes(12);
    const sealed = gcm(this.sender.context.export(aad, 32), nonce, aad).encrypt(plaintext);
    plaintext.fill(0);
    return {
      sealingId: this.sealingId,
      kid: this.publicKey.kid,
      enc: this.sender.enc,
      nonce,
      tag: sealed.slice(-16),
      ciphertext: sealed.slice(0, -16),
    };
  }
}

/** Seals one payload. For many use a Sealer: it makes one ephemeral key for all. */
export function seal(payload: Payload, options: SealerOptions & { readonly id: PointId }): Payload {
  return new Sealer(options).seal(options.id, payload);
}

export interface OpenerOptions {
  readonly privateKey: PrivateKey | string | Uint8Array;
  /** Sealing ids to accept, bytes or hex: pin your collection's, so that an envelope moved in from another is refused. */
  readonly acceptedSealingIds?: Iterable<Uint8Array | string>;
}

/** Contexts kept by ephemeral key: points of one batch share theirs. */
const contextsMax = 64;

export class Opener {
  readonly privateKey: PrivateKey;
  private readonly accepted: ReadonlySet<string> | undefined;
  private readonly contexts = new Map<string, ExporterContext>();

  constructor(options: OpenerOptions) {
    const { privateKey, acceptedSealingIds } = options;
    this.privateKey =
      typeof privateKey === "string" || privateKey instanceof Uint8Array ? parsePrivateKey(privateKey) : privateKey;
    this.accepted =
      acceptedSealingIds === undefined
        ? undefined
        : new Set([...acceptedSealingIds].map((sealingId) => toHex(sealingIdBytes(sealingId))));
  }

  /** True when the payload holds envelopes and all are for this key. */
  isRecipient(payload: Payload): boolean {
    const value = payload[sealedKey];
    if (value === undefined) return false;
    try {
      return envelopesFromJson(value).every((envelope) => equalBytes(envelope.kid, this.privateKey.publicKey.kid));
    } catch {
      throw new OpenError();
    }
  }

  /** Opened maps merged in order over the clear fields. A payload without envelopes is given back as it is. */
  open(id: PointId, payload: Payload): Payload {
    const value = payload[sealedKey];
    if (value === undefined) return payload;
    try {
      const merged: { [key: string]: PayloadValue } = Object.create(null);
      for (const key of Object.keys(payload)) if (key !== sealedKey) merged[key] = payload[key] as PayloadValue;
      for (const envelope of envelopesFromJson(value)) Object.assign(merged, this.openEnvelope(id, envelope));
      return merged;
    } catch {
      throw new OpenError();
    }
  }

  private openEnvelope(id: PointId, envelope: Envelope): Payload {
    if (this.accepted !== undefined && !this.accepted.has(toHex(envelope.sealingId))) throw new OpenError();
    if (!equalBytes(envelope.kid, this.privateKey.publicKey.kid)) throw new OpenError();
    const aad = sealAad(envelope.sealingId, id);
    const key = this.contextOf(envelope.enc).export(aad, 32);
    return decodeMap(gcm(key, envelope.nonce, aad).decrypt(concatBytes(envelope.ciphertext, envelope.tag)));
  }

  private contextOf(enc: Uint8Array): ExporterContext {
    const name = toHex(enc);
    let context = this.contexts.get(name);
    if (context === undefined) {
      context = setupRecipient(this.privateKey.scalar, this.privateKey.publicKey.point, enc, hpkeInfo);
      this.contexts.set(name, context);
      if (this.contexts.size > contextsMax) this.contexts.delete(this.contexts.keys().next().value as string);
    }
    return context;
  }
}

/** Opens one payload. For many use an Opener: it keeps what points of one batch share. */
export function open(payload: Payload, options: OpenerOptions & { readonly id: PointId }): Payload {
  return new Opener(options).open(options.id, payload);
}
