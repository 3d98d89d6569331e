/**
 * HPKE (RFC 9180) base mode, DHKEM(P-256, HKDF-SHA256) with HKDF-SHA256, of which only the exporter is used. Over
 * @noble/curves and @noble/hashes, so it runs wherever JavaScript does.
 */
import { p256 } from "@noble/curves/nist.js";
import { expand, extract } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { ascii, concatBytes, u16 } from "./bytes.ts";

const kemId = 0x0010;
const kdfId = 0x0001;
/** AES-256-GCM; it enters the key schedule though the exporter never runs it. */
const aeadAes256Gcm = 0x0002;

const version = ascii("HPKE-v1");
const none = new Uint8Array(0);
const kemSuite = concatBytes(ascii("KEM"), u16(kemId));

/** RFC 9180 section 4: LabeledExtract and LabeledExpand. */
function labeledExtract(salt: Uint8Array, suite: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return extract(sha256, concatBytes(version, suite, ascii(label), ikm), salt);
}

function labeledExpand(
  prk: Uint8Array,
  suite: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Uint8Array {
  return expand(sha256, prk, concatBytes(u16(length), version, suite, ascii(label), info), length);
}

/** RFC 9180 section 4.1: ExtractAndExpand over the shared x-coordinate. */
function sharedSecret(privateKey: Uint8Array, peer: Uint8Array, enc: Uint8Array, recipient: Uint8Array): Uint8Array {
  // getSharedSecret gives the compressed point and refuses peers off the curve: x follows the first byte.
  const dh = p256.getSharedSecret(privateKey, peer, true).slice(1);
  const prk = labeledExtract(none, kemSuite, "eae_prk", dh);
  return labeledExpand(prk, kemSuite, "shared_secret", concatBytes(enc, recipient), 32);
}

export class ExporterContext {
  private readonly suite: Uint8Array;
  private readonly exporterSecret: Uint8Array;

  /** RFC 9180 section 5.1: KeySchedule for mode_base, up to exporter_secret. */
  constructor(secret: Uint8Array, info: Uint8Array, aeadId: number) {
    this.suite = concatBytes(ascii("HPKE"), u16(kemId), u16(kdfId), u16(aeadId));
    const pskIdHash = labeledExtract(none, this.suite, "psk_id_hash", none);
    const infoHash = labeledExtract(none, this.suite, "info_hash", info);
    const context = concatBytes(Uint8Array.of(0), pskIdHash, infoHash);
    const prk = labeledExtract(secret, this.suite, "secret", none);
    this.exporterSecret = labeledExpand(prk, this.suite, "exp", context, 32);
  }

  /** RFC 9180 section 5.3: Context.Export. */
  export(context: Uint8Array, length: number): Uint8Array {
    return labeledExpand(this.exporterSecret, this.suite, "sec", context, length);
  }
}

export interface SenderContext {
  /** The encapsulated key: the ephemeral public point, uncompressed. */
  readonly enc: Uint8Array;
  readonly context: ExporterContext;
}

/** RFC 9180 section 5.1.1: SetupBaseS. `recipient` is an uncompressed point; `ephemeral` is for test vectors only. */
export function setupSender(
  recipient: Uint8Array,
  info: Uint8Array,
  aeadId = aeadAes256Gcm,
  ephemeral: Uint8Array = p256.utils.randomSecretKey(),
): SenderContext {
  const enc = p256.getPublicKey(ephemeral, false);
  return { enc, context: new ExporterContext(sharedSecret(ephemeral, recipient, enc, recipient), info, aeadId) };
}

/** RFC 9180 section 5.1.1: SetupBaseR. */
export function setupRecipient(
  privateKey: Uint8Array,
  recipient: Uint8Array,
  enc: Uint8Array,
  info: Uint8Array,
  aeadId = aeadAes256Gcm,
): ExporterContext {
  return new ExporterContext(sharedSecret(privateKey, enc, enc, recipient), info, aeadId);
}

/** RFC 9180 section 7.1.3: DeriveKeyPair for P-256; gives the private scalar. */
export function deriveSecretKey(ikm: Uint8Array): Uint8Array {
  const prk = labeledExtract(none, kemSuite, "dkp_prk", ikm);
  for (let counter = 0; counter < 256; counter++) {
    const candidate = labeledExpand(prk, kemSuite, "candidate", Uint8Array.of(counter), 32);
    if (p256.utils.isValidSecretKey(candidate)) return candidate;
  }
  throw new Error("no key can be derived");
}
