/** What a provider of models counted, in the answers of both doors. */
import { header, writeU64 } from "./answers.ts";
import { BackwardWriter } from "./proto-bytes.ts";

/**
 * The answer with what a provider of models counted: Usage { inference = 2: InferenceUsage { models = 1: map<string, ModelUsage { tokens = 1 }> } }
 * under field 3, which all answers of writes and queries have.
 */
export function withUsage(answer: Uint8Array, usage: ReadonlyMap<string, number> | undefined): Uint8Array {
  if (usage === undefined || usage.size === 0) return answer;
  const w = new BackwardWriter(256);
  for (const [model, tokens] of usage) {
    const entry = w.length;
    const value = w.length;
    writeU64(w, BigInt(tokens));
    w.byte(0x08);
    header(w, 0x12, value);
    w.text(model);
    w.byte(0x0a);
    header(w, 0x0a, entry);
  }
  header(w, 0x12, 0);
  header(w, 0x1a, 0);
  const whole = Buffer.concat([answer, w.finish()]);
  usages.set(whole, usage);
  return whole;
}

/** Of answers that withUsage made: the other door need not look for it. */
const usages = new WeakMap<Uint8Array, ReadonlyMap<string, number>>();

export function usageOf(answer: Uint8Array): ReadonlyMap<string, number> | undefined {
  return usages.get(answer);
}

/** The answer's usage as REST's JSON has it; undefined when there is none. */
export function usageText(answer: Uint8Array): string | undefined {
  const usage = usages.get(answer);
  if (usage === undefined) return undefined;
  const models = Object.fromEntries(Array.from(usage, ([model, tokens]) => [model, { tokens }]));
  return JSON.stringify({ inference: { models } });
}
