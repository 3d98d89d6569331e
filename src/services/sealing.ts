/** The sealing policy of collections, as sealpoint.v1.Sealing offers it. */
import type { CollectionInfo, SealingPolicy } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";

export class SealingService {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async setPolicy(collection: string, policy: SealingPolicy): Promise<CollectionInfo> {
    await this.#engine.setSealingPolicy(collection, policy);
    return this.#engine.collectionInfo(collection);
  }

  getPolicy(collection: string): Promise<CollectionInfo> {
    return this.#engine.collectionInfo(collection);
  }

  countPlain(collection: string): Promise<{ plain: number; total: number }> {
    return this.#engine.countPlain(collection);
  }
}
