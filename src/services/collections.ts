/** Collections and aliases, as qdrant.Collections offers them. */
import {
  badInput,
  type CollectionConfig,
  type CollectionInfo,
  DomainError,
  limits,
  type SealingPolicy,
} from "../core/index.ts";
import type { AliasAction, CollectionChange, Engine } from "../engine/index.ts";
import { checkNewName } from "./names.ts";

export class CollectionsService {
  readonly #engine: Engine;

  readonly #collectionsMax: number | undefined;

  constructor(engine: Engine, collectionsMax?: number) {
    this.#engine = engine;
    this.#collectionsMax = collectionsMax;
  }

  async create(name: string, config: CollectionConfig, sealing: SealingPolicy): Promise<void> {
    checkNewName(name, "collection_name");
    if (this.#collectionsMax !== undefined) await this.#checkRoom(name, this.#collectionsMax);
    await this.#engine.createCollection(name, config, sealing);
  }

  /** The texts are Qdrant's. */
  async #checkRoom(name: string, most: number): Promise<void> {
    const present = await this.#engine.listCollections();
    if (present.includes(name)) {
      throw new DomainError("already_exists", `Wrong input: Collection \`${name}\` already exists!`);
    }
    if (present.length < most) return;
    const text = `Bad request: Can't create collection with name ${name}. Max collections limit reached: ${most}`;
    throw badInput(text, "collection_name");
  }

  /** `mergeEcho` makes the new echo of the configuration from the present one. */
  async update(name: string, change: CollectionChange, mergeEcho: (echo: string) => string): Promise<void> {
    const { config } = await this.#engine.collectionInfo(name);
    await this.#engine.updateCollection(name, { ...change, echo: mergeEcho(config.echo) });
  }

  delete(name: string): Promise<boolean> {
    return this.#engine.deleteCollection(name);
  }

  list(): Promise<string[]> {
    return this.#engine.listCollections();
  }

  exists(name: string): Promise<boolean> {
    return this.#engine.collectionExists(name);
  }

  info(name: string): Promise<CollectionInfo> {
    return this.#engine.collectionInfo(name);
  }

  /** Throws forbidden for a caller who may not manage. */
  admitManage(): Promise<void> {
    return this.#engine.admitManage();
  }

  async updateAliases(actions: readonly AliasAction[]): Promise<void> {
    for (const [index, action] of actions.entries()) {
      if (action.kind === "create") checkNewName(action.alias, `actions[${index}].alias_name`);
      if (action.kind === "rename") checkNewName(action.to, `actions[${index}].new_alias_name`);
    }
    if (actions.some((action) => action.kind === "create")) {
      const present = await this.#engine.listAliases();
      if (present.length + actions.length > limits.aliasesMax) {
        throw new DomainError("exhausted", `no more than ${limits.aliasesMax} aliases`);
      }
    }
    await this.#engine.updateAliases(actions);
  }

  listAliases(collection?: string): Promise<[string, string][]> {
    return this.#engine.listAliases(collection);
  }
}
