/** Why an answer takes its time, as sealpoint.v1.Diagnostics tells it. */
import { badInput, type Explanation, type Filter, limits } from "../core/index.ts";
import type { ExplainRequest, SealedEngine } from "../engine/index.ts";

export class DiagnosticsService {
  readonly #engine: SealedEngine;

  constructor(engine: SealedEngine) {
    this.#engine = engine;
  }

  async explain(
    collection: string,
    filter: Filter | undefined,
    query: ExplainRequest["query"],
  ): Promise<{ explanation: Explanation; sealedSkipped: number }> {
    if (query !== undefined && query.limit < 1) {
      throw badInput(`Validation error in body: [limit: value ${query.limit} invalid, must be 1 or larger]`, "limit");
    }
    if (query !== undefined && query.limit > limits.answerPointsMax) {
      throw badInput(`limit: more than ${limits.answerPointsMax}`, "limit");
    }
    const hnswEf = query?.hnswEf === undefined ? undefined : Math.min(query.hnswEf, limits.efMax);
    const explanation = await this.#engine.explain(collection, {
      filter,
      query: query === undefined ? undefined : { ...query, hnswEf },
    });
    return { explanation, sealedSkipped: await this.#engine.sealedSkipped(collection, filter) };
  }
}
