/** Asks V8 for a collection of young objects when they hold much memory outside of its heap. */
import { limits } from "./limits.ts";

/** Bytes received since the last collection that was asked for. */
let receivedBytes = 0;

/**
 * Lets V8 collect its young objects once so many bytes have come from the network. What each read brings is memory of its own outside of V8's heap, and so little
 * inside of it that V8 would not collect the young objects for a long time, but begin a full collection because of the memory outside: 20 to 40 ms
 * in place of one or two, every 32 MB. Without --expose-gc (bin/sealpoint.mjs sets it) V8 decides alone.
 */
export function noteReceived(bytes: number): void {
  receivedBytes += bytes;
  if (receivedBytes < limits.receivedBytesUncollectedMax) return;
  receivedBytes = 0;
  globalThis.gc?.({ type: "minor" });
}
