/** Long work on the event loop's thread as a generator, which yields where it may be interrupted. */
import type { Pauses } from "./answers.ts";
import { toMalformed } from "./reader.ts";

export type Steps<T> = Generator<undefined, T, undefined>;

export function runAtOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

export async function runInSlices<T>(steps: Steps<T>, pauses: Pauses): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (pauses.due()) await pauses.yield();
  }
}

/** `decoding` of the reader, for steps. */
export function* decodingSteps<T>(message: string, steps: Steps<T>): Steps<T> {
  try {
    return yield* steps;
  } catch (error) {
    throw toMalformed(message, error);
  }
}
