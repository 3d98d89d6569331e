/** A random workload that two processes can replay from its seed: operation n is the same in both. */
import type { EncodedPayload } from "../../src/core/index.ts";
import type { WriteOperation } from "../../src/engine/index.ts";
import { encodePayload } from "../../src/wire/payload.ts";
import { must, point } from "../engine/support.ts";

export const dimensions = 16;

/** mulberry32: small, seeded, the same everywhere. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface ModelPoint {
  vector: number[];
  /** Number under `n`, and under `tag` what set_payload wrote last. */
  n: number;
  tag?: number;
}

export type Model = Map<number, ModelPoint>;

const idsMax = 400;

/** Operation `index` of the workload, and what it does to the model. */
export function operationOf(seed: number, index: number): { operation: WriteOperation; apply: (model: Model) => void } {
  const random = randomOf(seed * 1_000_003 + index);
  const int = (below: number) => Math.floor(random() * below);
  const ids = (count: number) => [...new Set(Array.from({ length: count }, () => int(idsMax)))];
  const kind = int(10);
  if (kind < 6) {
    const points = ids(1 + int(60)).map((id) => ({
      id,
      vector: Array.from({ length: dimensions }, () => Math.fround(random() - 0.5)),
      n: int(1000),
    }));
    return {
      operation: { kind: "upsert", points: points.map(({ id, vector, n }) => point(id, vector, { n: BigInt(n) })) },
      apply: (model) => {
        for (const { id, vector, n } of points) model.set(id, { vector, n });
      },
    };
  }
  if (kind === 6) {
    const gone = ids(1 + int(20));
    return {
      operation: { kind: "delete", selector: { kind: "ids", ids: gone.map(BigInt) } },
      apply: (model) => {
        for (const id of gone) model.delete(id);
      },
    };
  }
  const from = int(1000);
  const filter = must({ kind: "range", key: "n", bounds: { gte: from, lt: from + 50 } });
  const matching = (model: Model) => [...model].filter(([, { n }]) => n >= from && n < from + 50);
  if (kind === 7) {
    return {
      operation: { kind: "delete", selector: { kind: "filter", filter } },
      apply: (model) => {
        for (const [id] of matching(model)) model.delete(id);
      },
    };
  }
  const tag = int(1_000_000);
  const payload: EncodedPayload = encodePayload({ tag: BigInt(tag) });
  return {
    operation: { kind: "set_payload", selector: { kind: "filter", filter }, payload },
    apply: (model) => {
      for (const [, held] of matching(model)) held.tag = tag;
    },
  };
}
