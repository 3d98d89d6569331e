/** Sealing policies: checked and put into one form when set, cached with their epoch when read. */
import { badInput, type CollectionInfo, limits, type SealingPolicy, sealedKey } from "../../core/index.ts";
import { type PublicKey, parsePublicKey } from "../../seal/index.ts";
import type { Engine } from "../engine.ts";

/** A policy ready for use. */
export interface AdmissionPolicy {
  readonly mode: SealingPolicy["mode"];
  readonly clearFields: ReadonlySet<string>;
  readonly padding: boolean;
  /** Receives what brings no key of its own. */
  readonly recipient: PublicKey | undefined;
  readonly sealingId: Uint8Array;
  /** Hex. */
  readonly acceptedSealingIds: ReadonlySet<string>;
  /** Whether there were points with envelopes when it was read: who has none pays nothing for telling their number. */
  readonly holdsSealed: boolean;
  readonly epoch: number;
  /** How many changes this process had seen before the policy was read. */
  readonly changes: number;
  readonly readAtMs: number;
}

/** Checks a policy that a caller sets; recipients become base64 of SPKI DER. Throws bad_input that names the entry. */
export function normalizePolicy(policy: SealingPolicy): SealingPolicy {
  if (policy.mode !== "off" && policy.mode !== "optional" && policy.mode !== "required") {
    throw badInput("sealing.mode: must be off, optional or required", "policy.mode");
  }
  if (policy.algorithm !== "HPKE-P256-SHA256-A256GCM") {
    throw badInput("sealing.algorithm: unknown", "policy.algorithm");
  }
  if (policy.recipients.length > limits.recipientsMax) {
    throw badInput(`policy.recipients: more than ${limits.recipientsMax}`, "policy.recipients");
  }
  if (policy.clearFields.length > limits.clearFieldsMax) {
    throw badInput(`policy.clear_fields: more than ${limits.clearFieldsMax}`, "policy.clear_fields");
  }
  const recipients = policy.recipients.map((text, i) =>
    Buffer.from(parsePublicKey(text, `policy.recipients[${i}]`).spki).toString("base64"),
  );
  policy.clearFields.forEach((key, i) => {
    const field = `policy.clear_fields[${i}]`;
    if (key === "" || !key.isWellFormed() || Buffer.byteLength(key) > limits.clearFieldBytesMax) {
      throw badInput(`${field}: must be 1 to ${limits.clearFieldBytesMax} bytes of valid Unicode`, field);
    }
    if (key === sealedKey) throw badInput(`${field}: the key ${sealedKey} is reserved`, field);
  });
  return {
    mode: policy.mode,
    recipients: [...new Set(recipients)],
    algorithm: policy.algorithm,
    clearFields: [...new Set(policy.clearFields)],
    padding: policy.padding,
  };
}

function admissionPolicy(info: CollectionInfo, changes: number): AdmissionPolicy {
  const { sealing } = info;
  const first = sealing.recipients[0];
  return {
    mode: sealing.mode,
    clearFields: new Set(sealing.clearFields),
    padding: sealing.padding,
    recipient: first === undefined ? undefined : parsePublicKey(first, "policy.recipients[0]"),
    sealingId: Buffer.from(info.sealingId, "hex"),
    acceptedSealingIds: new Set(info.acceptedSealingIds),
    holdsSealed: info.sealedPointsCount > 0,
    epoch: info.epoch,
    changes,
    readAtMs: performance.now(),
  };
}

/** How long a read may lean on a cached policy. Writes need no bound: their commit checks the epoch. */
const readAgeMsMax = 1_000;

/**
 * Policies by the name that callers use, which may be an alias. Each thread that serves has a cache of its own over the one engine; a
 * count in memory that they share tells all of them of a change before it is acknowledged.
 */
export class PolicyCache {
  private readonly engine: Engine;
  private readonly changes: Int32Array;
  private readonly policies = new Map<string, AdmissionPolicy>();

  constructor(engine: Engine, changes: SharedArrayBuffer) {
    this.engine = engine;
    this.changes = new Int32Array(changes);
  }

  async forWrite(name: string): Promise<AdmissionPolicy> {
    return this.known(name) ?? this.refresh(name);
  }

  async forRead(name: string): Promise<AdmissionPolicy> {
    const known = this.known(name);
    return known !== undefined && performance.now() - known.readAtMs < readAgeMsMax ? known : this.refresh(name);
  }

  private known(name: string): AdmissionPolicy | undefined {
    const policy = this.policies.get(name);
    return policy?.changes === Atomics.load(this.changes, 0) ? policy : undefined;
  }

  async refresh(name: string): Promise<AdmissionPolicy> {
    this.policies.delete(name);
    // Counted before it is read: a change in between makes it old at once, never young for ever.
    const changes = Atomics.load(this.changes, 0);
    const policy = admissionPolicy(await this.engine.collectionInfo(name), changes);
    this.policies.set(name, policy);
    if (this.policies.size > limits.collectionsMax) this.policies.delete(this.policies.keys().next().value as string);
    return policy;
  }

  /** A changed collection may be known under aliases too, so all threads forget all: changes are rare. */
  clear(): void {
    Atomics.add(this.changes, 0, 1);
    this.policies.clear();
  }
}
