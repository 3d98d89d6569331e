import type { WireOperation } from "../../../wire/index.ts";
import type { CallContext } from "../call.ts";

/** Seconds since `startMs` of performance.now(), as Qdrant's answers tell them. */
export function secondsSince(startMs: number): number {
  return (performance.now() - startMs) / 1_000;
}

export const publicKeyHeader = "x-seal-public-key";
const skippedHeader = "x-sealpoint-sealed-skipped";

/** The key for what carries none of its own: the message's field wins over the metadata. */
export function publicKeyOf(call: CallContext, field: string | undefined): string | undefined {
  return field ?? call.metadata(publicKeyHeader);
}

/** A write with the metadata's key, where it seals at all and the message names none. */
export function withPublicKey(operation: WireOperation, call: CallContext): WireOperation {
  switch (operation.kind) {
    case "upsert":
    case "set_payload":
    case "overwrite_payload": {
      if (operation.publicKey !== undefined) return operation;
      const publicKey = call.metadata(publicKeyHeader);
      return publicKey === undefined ? operation : { ...operation, publicKey };
    }
    default:
      return operation;
  }
}

const skippedBefore = new WeakMap<CallContext, number>();

/** Tells how many sealed points the filter passed over under policy `optional`; of a call that runs in pieces, all of them. */
export function tellSkipped(call: CallContext, sealedSkipped: number): void {
  if (sealedSkipped === 0) return;
  const sum = (skippedBefore.get(call) ?? 0) + sealedSkipped;
  skippedBefore.set(call, sum);
  call.setResponseMetadata(skippedHeader, String(sum));
}
