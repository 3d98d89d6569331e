/** Asks V8 for collections in good time: of young objects when they hold much memory outside of its heap, of all after so many calls. */
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

let calls = 0;
let beginCollection: (() => void) | undefined;

/** How a full collection is begun that goes on beside the program; nothing is known of that before the addon is loaded. */
export function beginCollectionsWith(begin: () => void): void {
  beginCollection = begin;
}

/**
 * Lets V8 collect all objects once so many calls have come. Node's HTTP/2 makes a string for each header of a call, whose characters lie outside of V8's heap;
 * V8 puts these among the old objects and frees them one by one at the end of a full collection, while everything waits. Left alone, it
 * begins one when the heap has grown by 8 MB or more, and then frees 200,000 at once, for 20 to 35 ms.
 */
export function noteCall(): void {
  calls += 1;
  if (calls < limits.callsUncollectedMax) return;
  calls = 0;
  beginCollection?.();
}
