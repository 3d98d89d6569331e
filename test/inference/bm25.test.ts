/** BM25's vectors against those that Qdrant's own code makes (test/data/make_bm25.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { PayloadObject, SparseVector } from "../../src/core/index.ts";
import { Inference, type InferenceMode } from "../../src/inference/index.ts";
import { addonBuilt, root } from "../e2e/server-process.ts";

interface Case {
  readonly options: PayloadObject;
  readonly text: string;
  readonly document: readonly (readonly [term: number, weight: number])[];
  readonly query: readonly number[];
}

const cases = JSON.parse(readFileSync(join(root, "test/data/bm25.json"), "utf8")) as Case[];
const inference = new Inference();

async function embed(mode: InferenceMode, { options, text }: Case): Promise<SparseVector> {
  const input = { kind: "document", value: text, model: "qdrant/bm25", options } as const;
  return (await inference.embed([{ input, field: "text" }], mode)).vectors[0] as SparseVector;
}

describe.skipIf(!addonBuilt)("qdrant/bm25", () => {
  for (const options of new Set(cases.map((one) => JSON.stringify(one.options)))) {
    test(`as Qdrant makes it, ${options}`, async () => {
      for (const one of cases.filter((each) => JSON.stringify(each.options) === options)) {
        const { indices, values } = await embed("update", one);
        expect([one.text, [...indices]]).toEqual([one.text, one.document.map(([term]) => term)]);
        for (const [i, [, weight]] of one.document.entries()) expect(values[i]).toBeCloseTo(weight, 6);
        const query = await embed("search", one);
        expect([one.text, [...query.indices]]).toEqual([one.text, one.query]);
        expect(query.values.every((value) => value === 1)).toBe(true);
      }
    });
  }
});
