/**
 * The recipient's side of HPKE (RFC 9180), base mode with DHKEM(P-256, HKDF-SHA256) and HKDF-SHA256, of which only the exporter is used;
 * the sender's side runs on native threads (native/addon/seal). Over
 * node:crypto with every key wrapped once in a KeyObject: a raw Buffer as key costs five times more (facts/measured.md).
 */
import { createHmac, createPublicKey, createSecretKey, diffieHellman, hash, type KeyObject } from "node:crypto";

const kemId = 0x0010;
const kdfId = 0x0001;
/** AES-256-GCM; it enters the key schedule though the exporter never runs it. */
export const aeadAes256Gcm = 0x0002;

const versionLabel = Buffer.from("HPKE-v1");
const empty = Buffer.alloc(0);
const spkiPrefix = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

/** RFC 9180 section 4.1: suite_id of the KEM. */
const kemSuite = Buffer.concat([Buffer.from("KEM"), u16(kemId)]);
/** HKDF-Extract without salt is HMAC under a key of zeros (RFC 5869 section 2.2). */
const noSalt = createSecretKey(Buffer.alloc(32));

function hmac(key: KeyObject, ...parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac("sha256", key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/** RFC 9180 section 4: LabeledExtract. */
function labeledExtract(salt: KeyObject, suite: Uint8Array, label: string, ikm: Uint8Array): Buffer {
  return hmac(salt, versionLabel, suite, Buffer.from(label), ikm);
}

/** RFC 9180 section 4: LabeledExpand. */
function labeledExpand(prk: KeyObject, suite: Uint8Array, label: Uint8Array, info: Uint8Array, length: number): Buffer {
  // One message for each block: T(i) = HMAC(PRK, T(i-1) | labeled info | i), RFC 5869 section 2.3.
  const labeled = Buffer.concat([u16(length), versionLabel, suite, label, info, Buffer.from([1])]);
  let block: Buffer = createHmac("sha256", prk).update(labeled).digest();
  if (length <= block.length) return length === block.length ? block : block.subarray(0, length);
  const blocks: Buffer[] = [block];
  for (let i = 2; blocks.length * 32 < length; i++) {
    labeled[labeled.length - 1] = i;
    block = hmac(prk, block, labeled);
    blocks.push(block);
  }
  return Buffer.concat(blocks).subarray(0, length);
}

const eaeLabel = Buffer.from("eae_prk");
const sharedLabel = Buffer.from("shared_secret");
const expLabel = Buffer.from("exp");
const secLabel = Buffer.from("sec");

/** RFC 9180 section 4.1: ExtractAndExpand of the KEM. */
function sharedSecret(dh: Buffer, enc: Uint8Array, recipientPoint: Uint8Array): Buffer {
  const prk = createSecretKey(labeledExtract(noSalt, kemSuite, eaeLabel.toString("latin1"), dh));
  const secret = labeledExpand(prk, kemSuite, sharedLabel, Buffer.concat([enc, recipientPoint]), 32);
  dh.fill(0);
  return secret;
}

/** What remains of a context when only the exporter is used. */
export class ExporterContext {
  private readonly suite: Buffer;
  private readonly exporterSecret: KeyObject;
  /** The two blocks of HMAC (RFC 2104) for a key of 32 bytes, with what stands before the exporter context. */
  private readonly inner: Buffer;
  private readonly outer: Buffer;
  private readonly contextAt: number;

  /** RFC 9180 section 5.1: KeySchedule for mode_base, up to exporter_secret. */
  constructor(secret: Buffer, info: Uint8Array, aeadId: number) {
    this.suite = Buffer.concat([Buffer.from("HPKE"), u16(kemId), u16(kdfId), u16(aeadId)]);
    const pskIdHash = labeledExtract(noSalt, this.suite, "psk_id_hash", empty);
    const infoHash = labeledExtract(noSalt, this.suite, "info_hash", info);
    const context = Buffer.concat([Buffer.from([0]), pskIdHash, infoHash]);
    const sharedKey = createSecretKey(secret);
    secret.fill(0);
    const prk = labeledExtract(sharedKey, this.suite, "secret", empty);
    const exporter = labeledExpand(createSecretKey(prk), this.suite, expLabel, context, 32);
    this.exporterSecret = createSecretKey(exporter);
    const labels = Buffer.concat([u16(32), versionLabel, this.suite, secLabel]);
    this.contextAt = 64 + labels.length;
    this.inner = Buffer.alloc(this.contextAt + fastContextMax + 1, 0x36);
    this.outer = Buffer.alloc(96, 0x5c);
    for (let i = 0; i < 32; i++) {
      this.inner[i] = 0x36 ^ (exporter[i] as number);
      this.outer[i] = 0x5c ^ (exporter[i] as number);
    }
    labels.copy(this.inner, 64);
    prk.fill(0);
    exporter.fill(0);
  }

  /**
   * One HMAC block from two one-shot hashes: an Hmac object for each point leaves a native handle behind, and the collector
   * then holds the event loop for tens of milliseconds.
   */
  private exportKey(context: Uint8Array): Buffer {
    const { inner, outer, contextAt } = this;
    inner.set(context, contextAt);
    inner[contextAt + context.length] = 1;
    outer.set(hash("sha256", inner.subarray(0, contextAt + context.length + 1), "buffer"), 64);
    return hash("sha256", outer, "buffer");
  }

  /** RFC 9180 section 5.3: Context.Export. */
  export(context: Uint8Array, length: number): Buffer {
    if (length === 32 && context.length <= fastContextMax) return this.exportKey(context);
    return labeledExpand(this.exporterSecret, this.suite, secLabel, context, length);
  }
}

/** Octets of the longest context that takes the quick way: an aad has 28 or 36. */
const fastContextMax = 64;

/** RFC 9180 section 5.1.1: SetupBaseR. `enc` must be a point of the curve; node refuses any other. */
export function setupRecipient(
  privateKey: KeyObject,
  recipientPoint: Uint8Array,
  enc: Uint8Array,
  info: Uint8Array,
  aeadId = aeadAes256Gcm,
): ExporterContext {
  const publicKey = createPublicKey({ key: Buffer.concat([spkiPrefix, enc]), format: "der", type: "spki" });
  const dh = diffieHellman({ privateKey, publicKey });
  return new ExporterContext(sharedSecret(dh, enc, recipientPoint), info, aeadId);
}
