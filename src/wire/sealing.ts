/** sealpoint.policy.v1: policies in, states out. */
import { create } from "@bufbuild/protobuf";
import {
  SealingAlgorithm,
  SealingMode,
  type SealingPolicy as SealingPolicyMessage,
  type SealingState,
  SealingStateSchema,
} from "../../gen/sealpoint/policy/v1/policy_pb.js";
import { badInput, type CollectionInfo, limits, type SealingPolicy, sealingDefault } from "../core/index.ts";

const modes: Readonly<Record<number, SealingPolicy["mode"]>> = {
  [SealingMode.UNSPECIFIED]: sealingDefault.mode,
  [SealingMode.OFF]: "off",
  [SealingMode.OPTIONAL]: "optional",
  [SealingMode.REQUIRED]: "required",
};

const modeNumbers: Readonly<Record<SealingPolicy["mode"], SealingMode>> = {
  off: SealingMode.OFF,
  optional: SealingMode.OPTIONAL,
  required: SealingMode.REQUIRED,
};

/** The recipients are still in the caller's formats: the sealed engine reads them. */
export function mapSealingPolicy(message: SealingPolicyMessage, field: string): SealingPolicy {
  const mode = modes[message.mode];
  // An unknown mode is never taken for "off".
  if (mode === undefined) throw badInput(`${field}.mode: unknown mode ${message.mode}`, `${field}.mode`);
  const { algorithm } = message;
  if (algorithm !== SealingAlgorithm.UNSPECIFIED && algorithm !== SealingAlgorithm.HPKE_P256_SHA256_A256GCM) {
    throw badInput(`${field}.algorithm: unknown algorithm ${algorithm}`, `${field}.algorithm`);
  }
  if (message.recipients.length > limits.recipientsMax) {
    throw badInput(`${field}.recipients: more than ${limits.recipientsMax}`, `${field}.recipients`);
  }
  if (message.clearFields.length > limits.clearFieldsMax) {
    throw badInput(`${field}.clear_fields: more than ${limits.clearFieldsMax}`, `${field}.clear_fields`);
  }
  return {
    mode,
    recipients: message.recipients,
    algorithm: "HPKE-P256-SHA256-A256GCM",
    clearFields: message.clearFields,
    padding: message.padding,
  };
}

export function toSealingState(info: CollectionInfo): SealingState {
  const { sealing } = info;
  const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
  return create(SealingStateSchema, {
    policy: {
      mode: modeNumbers[sealing.mode],
      recipients: [...sealing.recipients],
      algorithm: SealingAlgorithm.HPKE_P256_SHA256_A256GCM,
      clearFields: [...sealing.clearFields],
      padding: sealing.padding,
    },
    sealingId: bytes(info.sealingId),
    acceptedSealingIds: info.acceptedSealingIds.map(bytes),
    epoch: BigInt(info.epoch),
  });
}
