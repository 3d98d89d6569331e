/**
 * Sealing of payloads: one HPKE context for a batch and recipient (or one for each point on request), one key for each
 * point, bound to the collection's sealing id and the point's id. If anything fails, it throws: there is no plaintext fallback.
 */
import {
  DomainError,
  type EncodedPayload,
  type EncodedPoints,
  type PointId,
  sealedKey,
  uuidBytes,
} from "../core/index.ts";
import { NativeReader, NativeWriter, nativeSealBatch, nativeSealPoints } from "../native/index.ts";
import { algorithmP256, envelopeVersion } from "../wire/index.ts";
import { padTranscoded, transcodePayload } from "./cbor.ts";
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

/** Plaintext that goes to the native thread at once; bounds what a batch holds twice. */
const nativeBatchBytesMax = 4 * 1024 * 1024;
/** Rows with a key pair of their own take a native thread some 0.1 ms each. */
const freshRowsMax = 512;

/**
 * Binary envelopes of a batch, in order. Here the payloads are turned into plaintexts, in slices, so that the event loop is never held for long;
 * keys and ciphertexts are made on a native thread. Where a batch takes several native calls, each has contexts of its own.
 */
export async function sealBatch(items: readonly SealItem[], options: SealBatchOptions): Promise<Uint8Array[]> {
  const { sealingId, clearFields, freshEphemeral = false } = options;
  if (sealingId.length !== 16) throw new TypeError("a sealing id has 16 bytes");
  const leaveOut = clearFields === undefined || clearFields.size === 0 ? sealedKeyOnly : withSealedKey(clearFields);
  const envelopes: Uint8Array[] = [];
  const slices = new TimeSlices();
  // Beside its payload a row takes its id and a few lengths, some padding, and the names of the payload's types.
  const rowBytes = items.reduce((sum, { payload }) => sum + payload.length + 64, 0);
  let rows = new RowBatch(rowBytes);
  const seal = async () => {
    const full = rows;
    rows = new RowBatch(rowBytes);
    await full.seal(sealingId, freshEphemeral, envelopes);
  };
  try {
    for (const item of items) {
      if (slices.due()) await slices.yield();
      let plaintext = transcodePayload(item.payload, leaveOut, item.field);
      if (options.padding === true) plaintext = padTranscoded(padmeLength(plaintext.length));
      rows.add(item.recipient, item.id, plaintext);
      // The scratch buffer outlives this call: no plaintext stays in it.
      plaintext.fill(0);
      if (rows.bytes >= nativeBatchBytesMax || (freshEphemeral && rows.count >= freshRowsMax)) await seal();
    }
    if (rows.count > 0) await seal();
  } finally {
    rows.wipe();
  }
  return envelopes;
}

/**
 * The payloads of the points in stored form, sealed for `recipient` on a native thread: u32 count, each: u32 length and bytes, in the points' order. Undefined
 * when a point has to be read and judged by itself (a key of its own, an envelope, an unusual encoding, a fault), or when they are too many for one native call.
 */
export async function sealPoints(
  points: EncodedPoints,
  recipient: PublicKey,
  options: SealBatchOptions,
): Promise<Uint8Array | undefined> {
  const { sealingId, clearFields, freshEphemeral = false, padding = false } = options;
  // What they are sealed to is copied on the event loop, whole, and a native thread is theirs meanwhile.
  if (points.bytes.length > nativeBatchBytesMax || (freshEphemeral && points.count > freshRowsMax)) return undefined;
  const message = new NativeWriter(1024)
    .blob(sealingId)
    .u8(freshEphemeral ? 1 : 0)
    .u8(padding ? 1 : 0)
    .blob(recipient.point)
    .blob(recipient.kid)
    .texts([...(clearFields ?? [])])
    .u32(points.field);
  try {
    return new Uint8Array(await nativeSealPoints(message.done(), points.bytes));
  } catch (error) {
    if (error instanceof DomainError && error.kind === "bad_input") return undefined;
    throw error;
  }
}

/** Large memories are used again: V8 runs a full collection for every few fresh ones. */
function writerOf(bytes: number): NativeWriter {
  return bytes < 64 * 1024 ? new NativeWriter(bytes) : NativeWriter.reusing(bytes);
}

/** Rows on their way to a native thread. */
class RowBatch {
  private readonly rows: NativeWriter;
  private readonly recipients = new Map<PublicKey, number>();
  count = 0;

  /** Of about so many bytes. */
  constructor(bytes: number) {
    this.rows = writerOf(Math.min(bytes, nativeBatchBytesMax));
  }

  get bytes(): number {
    return this.rows.size;
  }

  add(recipient: PublicKey, id: PointId, plaintext: Uint8Array): void {
    let number = this.recipients.get(recipient);
    if (number === undefined) {
      number = this.recipients.size;
      this.recipients.set(recipient, number);
    }
    this.rows.u32(number).id(id).blob(plaintext);
    this.count++;
  }

  async seal(sealingId: Uint8Array, fresh: boolean, envelopes: Uint8Array[]): Promise<void> {
    const rows = this.rows.done();
    const message = writerOf(256 + this.recipients.size * 96 + rows.length)
      .blob(sealingId)
      .u8(fresh ? 1 : 0)
      .u32(this.recipients.size);
    for (const { point, kid } of this.recipients.keys()) message.blob(point).blob(kid);
    const bytes = message.u32(this.count).raw(rows).done();
    this.wipe();
    try {
      const answer = new NativeReader(await nativeSealBatch(bytes));
      for (let left = answer.u32(); left > 0; left--) envelopes.push(answer.blob());
    } finally {
      message.wipe();
      message.release();
    }
  }

  /** Wipes the rows and gives their memory back; they take no more. */
  wipe(): void {
    this.rows.wipe();
    this.rows.release();
  }
}
