/**
 * Shard keys on one node, as a decorator of the contract: a view of collections through the shards that a request selects, or all of them. A
 * shard is a hidden sparse vector (core/shards.ts); this adds it to what is written, asks for it in filters, and shows it as the points' shard key.
 */
import {
  badInput,
  type CollectionInfo,
  DomainError,
  type Filter,
  limits,
  type PointId,
  type Shard,
  type ShardKey,
  type ShardSelection,
  type SparseVector,
  shardOf,
  shardOfVector,
  shardsAmong,
  shownShardKey,
  type VectorsSelector,
} from "../core/index.ts";
import type {
  NearestQuery,
  PointsSelector,
  PointTable,
  PointVectors,
  ScrollCursor,
  SealedEngine,
  WriteOperation,
} from "./engine.ts";
import { carrySkipped } from "./sealed.ts";

/** What each point of a shard has under the shard's name. */
const member: SparseVector = { indices: Uint32Array.of(0), values: Float32Array.of(1) };

interface Layout {
  readonly shards: readonly Shard[];
  /** Those that callers know. */
  readonly names: readonly string[];
}

/** The shards that a request means. */
interface Chosen {
  readonly all: readonly Shard[];
  /** Undefined: all of them, and what a filter need not say. */
  readonly some: readonly Shard[] | undefined;
  readonly names: readonly string[];
}

function withoutShards(info: CollectionInfo): CollectionInfo {
  const { sparseVectors } = info.config;
  if (info.config.customShards !== true || sparseVectors === undefined) return info;
  const shown = Object.entries(sparseVectors).filter(([name]) => shardOfVector(name) === undefined);
  return { ...info, config: { ...info.config, sparseVectors: Object.fromEntries(shown) } };
}

/** `exists`: the target is there, and takes no requests yet. The texts are Qdrant's. */
function neither(target: ShardKey, fallback: ShardKey, exists: boolean): DomainError {
  const both = `Neither target shard key ${shownShardKey(target)} nor fallback shard key ${shownShardKey(fallback)}`;
  return exists
    ? new DomainError("unavailable", `${both} have active replicas`)
    : new DomainError("not_found", `Not found: ${both} exist`);
}

const inAnyOf = (shards: readonly Shard[]): Filter => ({
  // Of no shard there is no point.
  must: shards.length === 0 ? [{ kind: "has_id", ids: [] }] : [],
  should: shards.map(({ vector }) => ({ kind: "has_vector", name: vector })),
  mustNot: [],
});

function both(filter: Filter | undefined, other: Filter): Filter {
  if (filter === undefined) return other;
  return {
    must: [
      { kind: "filter", filter },
      { kind: "filter", filter: other },
    ],
    should: [],
    mustNot: [],
  };
}

function asFilter(selector: PointsSelector): Filter {
  return selector.kind === "filter"
    ? selector.filter
    : { must: [{ kind: "has_id", ids: selector.ids }], should: [], mustNot: [] };
}

/** `selection` undefined: all shards. `changes`: what sealEngine was given. */
export function shardEngine(
  engine: SealedEngine,
  changes: SharedArrayBuffer,
  selection?: ShardSelection,
): SealedEngine {
  const count = new Int32Array(changes);
  const known = new Map<string, { readonly layout: Layout | undefined; readonly changes: number }>();

  /** Undefined: the collection has no shards of callers' choice. Throws not_found. */
  async function layoutOf(name: string): Promise<Layout | undefined> {
    const present = known.get(name);
    if (present?.changes === Atomics.load(count, 0)) return present.layout;
    const before = Atomics.load(count, 0);
    const { config } = await engine.collectionInfo(name);
    const names = [...Object.keys(config.vectors), ...Object.keys(config.sparseVectors ?? {})];
    const layout =
      config.customShards === true
        ? {
            shards: shardsAmong(config.sparseVectors),
            names: names.filter((vector) => shardOfVector(vector) === undefined),
          }
        : undefined;
    known.set(name, { layout, changes: before });
    if (known.size > limits.collectionsMax) known.delete(known.keys().next().value as string);
    return layout;
  }

  /** Undefined where there are no shards to choose from and none were asked for. The texts are Qdrant's. */
  async function choose(name: string, isRead: boolean): Promise<Chosen | undefined> {
    const layout = await layoutOf(name);
    const missing = (key: ShardKey): Error =>
      badInput(
        `${isRead ? "Bad request" : "Wrong input"}: Shard key ${shownShardKey(key)} not found`,
        "shard_key_selector",
      );
    if (layout === undefined) {
      if (selection !== undefined) throw missing(selection.keys[0] as ShardKey);
      return undefined;
    }
    const find = (wanted: ShardKey): Shard | undefined => layout.shards.find(({ key }) => key === wanted);
    const { fallback } = selection ?? {};
    const isPartial = isRead && layout.shards.some(({ active }) => !active);
    const some = selection?.keys.flatMap((key) => {
      const own = find(key);
      if (fallback === undefined) {
        if (own === undefined) throw missing(key);
        return own;
      }
      if (own?.active === true) return own;
      const instead = find(fallback);
      if (instead === undefined) throw neither(key, fallback, own !== undefined);
      // What is written while a shard is being filled goes to both.
      return own === undefined || isRead ? instead : [own, instead];
    });
    const whole = isPartial ? layout.shards.filter(({ active }) => active) : undefined;
    return { all: layout.shards, some: some ?? whole, names: layout.names };
  }

  const narrowed = (chosen: Chosen, filter: Filter | undefined): Filter | undefined =>
    chosen.some === undefined ? filter : both(filter, inAnyOf(chosen.some));

  /** The vectors that say in which shards a point is, beside those that are asked for. */
  function asked({ all, names }: Chosen, vectors: VectorsSelector): VectorsSelector {
    const wanted = vectors.kind === "all" ? names : vectors.kind === "names" ? vectors.names : [];
    return { kind: "names", names: [...wanted, ...all.map(({ vector }) => vector)] };
  }

  function shown(chosen: Chosen, table: PointTable, vectors: VectorsSelector): PointTable {
    const wanted = new Set((chosen.some ?? chosen.all).map(({ vector }) => vector));
    const hidden = (name: string): boolean => shardOfVector(name) !== undefined;
    const shardKey = (row: number): ShardKey | undefined => {
      const found = table.vectors(row)?.find(([name]) => wanted.has(name));
      return found === undefined ? undefined : shardOfVector(found[0])?.key;
    };
    const view: PointTable = {
      length: table.length,
      id: (row) => table.id(row),
      score: (row) => table.score(row),
      version: (row) => table.version(row),
      payload: (row) => table.payload(row),
      vectors: (row) => (vectors.kind === "none" ? undefined : table.vectors(row)?.filter(([name]) => !hidden(name))),
      orderValue: (row) => table.orderValue?.(row),
      shardKey,
    };
    carrySkipped(table, view);
    return view;
  }

  /** Runs a read over the chosen shards; `run` gets the filter and the vectors to ask for. */
  async function read<R extends { readonly filter?: Filter; readonly vectors: VectorsSelector }, T>(
    name: string,
    requests: readonly R[],
    run: (requests: readonly R[]) => Promise<T>,
    show: (answer: T, view: (table: PointTable, index: number) => PointTable) => T,
  ): Promise<T> {
    const chosen = await choose(name, true);
    if (chosen === undefined) return run(requests);
    const narrow = requests.map((request) => ({
      ...request,
      filter: narrowed(chosen, request.filter),
      vectors: asked(chosen, request.vectors),
    }));
    return show(await run(narrow), (table, index) => shown(chosen, table, (requests[index] as R).vectors));
  }

  const one = (table: PointTable, view: (table: PointTable, index: number) => PointTable): PointTable => view(table, 0);
  const each = (tables: PointTable[], view: (table: PointTable, index: number) => PointTable): PointTable[] =>
    tables.map(view);

  async function write(
    name: string,
    operation: WriteOperation,
    run: (operation: WriteOperation) => ReturnType<SealedEngine["write"]>,
  ): ReturnType<SealedEngine["write"]> {
    const chosen = await choose(name, false);
    if (chosen === undefined) return run(operation);
    const { some } = chosen;
    // The text is Qdrant's.
    if (some === undefined) throw badInput("Wrong input: Shard key not specified", "shard_key_selector");
    if (operation.kind === "upsert") {
      const tags: PointVectors = some.map(({ vector }) => [vector, member]);
      return run({
        ...operation,
        points: operation.points.map((point) => ({ ...point, vectors: [...point.vectors, ...tags] })),
      });
    }
    if (!("selector" in operation)) return run(operation);
    const filter = both(asFilter(operation.selector), inAnyOf(some));
    const plainOnly = operation.selector.kind === "filter" ? operation.selector.plainOnly : undefined;
    const selector = { kind: "filter", filter, ...(plainOnly === undefined ? {} : { plainOnly }) } as const;
    if (operation.kind !== "delete") return run({ ...operation, selector });
    // What was replicated to another shard stays in that one.
    const others = chosen.all.filter((shard) => !some.includes(shard));
    if (others.length === 0) return run({ ...operation, selector });
    const alone: Filter = { must: [], should: [], mustNot: inAnyOf(others).should };
    await run({ ...operation, selector: { ...selector, filter: both(filter, alone) } });
    return run({ kind: "delete_vectors", selector, names: some.map(({ vector }) => vector) });
  }

  return {
    ...engine,
    async collectionInfo(name) {
      return withoutShards(await engine.collectionInfo(name));
    },
    async collectionMemory(name) {
      const parts = await engine.collectionMemory(name);
      return { ...parts, vectors: parts.vectors.filter((vector) => shardOfVector(vector.name) === undefined) };
    },
    write: (name, operation, options) => write(name, operation, (given) => engine.write(name, given, options)),
    async writeEncoded(name, points, options) {
      const chosen = await choose(name, false);
      // Each point gets the vector of its shard.
      return chosen === undefined ? engine.writeEncoded(name, points, options) : undefined;
    },
    async get(name, ids, payload, vectors, signal) {
      const chosen = await choose(name, true);
      if (chosen === undefined) return engine.get(name, ids, payload, vectors, signal);
      const table = await engine.get(name, ids, payload, asked(chosen, vectors), signal);
      const view = shown(chosen, table, vectors);
      if (chosen.some === undefined) return view;
      const rows = Array.from({ length: table.length }, (_, row) => row).filter(
        (row) => view.shardKey?.(row) !== undefined,
      );
      return pick(view, rows);
    },
    search: (name, query, signal) =>
      read(name, [query], ([only]) => engine.search(name, only as NearestQuery, signal), one),
    searchBatch: (name, queries, signal) =>
      read(name, queries, (narrow) => engine.searchBatch(name, narrow, signal), each),
    query: (name, request, signal) =>
      read(name, [request], ([only]) => engine.query(name, only as typeof request, signal), one),
    queryBatch: (name, requests, signal) =>
      read(name, requests, (narrow) => engine.queryBatch(name, narrow, signal), each),
    queryGroups: (name, request, signal) =>
      read(
        name,
        [request],
        ([only]) => engine.queryGroups(name, only as typeof request, signal),
        (groups, view) => groups.map(({ key, points }) => ({ key, points: view(points, 0) })),
      ),
    async facet(name, request, signal) {
      const chosen = await choose(name, true);
      if (chosen?.some === undefined) return engine.facet(name, request, signal);
      return engine.facet(name, { ...request, filter: narrowed(chosen, request.filter) }, signal);
    },
    async count(name, filter, exact, options) {
      const chosen = await choose(name, true);
      return engine.count(name, chosen === undefined ? filter : narrowed(chosen, filter), exact, options);
    },
    scroll: (name, request, signal) =>
      read(
        name,
        [request],
        ([only]) => engine.scroll(name, only as typeof request, signal),
        (page, view) => ({ ...page, points: view(page.points, 0) }),
      ),
    async openScroll(name, request) {
      const chosen = await choose(name, true);
      if (chosen === undefined) return engine.openScroll(name, request);
      const vectors = asked(chosen, request.vectors);
      const cursor = await engine.openScroll(name, { ...request, filter: narrowed(chosen, request.filter), vectors });
      const view: ScrollCursor = {
        next: async (limit) => shown(chosen, await cursor.next(limit), request.vectors),
        close: () => cursor.close(),
      };
      carrySkipped(cursor, view);
      return view;
    },
  };
}

function pick(table: PointTable, rows: readonly number[]): PointTable {
  const at = (row: number): number => rows[row] as number;
  return {
    length: rows.length,
    id: (row) => table.id(at(row)),
    score: (row) => table.score(at(row)),
    version: (row) => table.version(at(row)),
    payload: (row) => table.payload(at(row)),
    vectors: (row) => table.vectors(at(row)),
    shardKey: (row) => table.shardKey?.(at(row)),
  };
}

/** Points that are given another shard in one write. */
const replicatedAtOnce = 1_000;
const durable = { wait: true } as const;

/** Makes, lists and drops shards. For callers who may manage, over an engine that shows the hidden vectors. The texts are Qdrant's. */
export class ShardKeys {
  readonly #engine: SealedEngine;

  constructor(engine: SealedEngine) {
    this.#engine = engine;
  }

  /** Undefined: the collection is not divided by keys. */
  async list(name: string): Promise<readonly Shard[] | undefined> {
    const { config } = await this.#engine.collectionInfo(name);
    return config.customShards === true ? shardsAmong(config.sparseVectors) : undefined;
  }

  async points(name: string, { vector }: Shard): Promise<number> {
    return this.#engine.count(name, { must: [{ kind: "has_vector", name: vector }], should: [], mustNot: [] }, true);
  }

  async create(name: string, key: ShardKey, active: boolean): Promise<void> {
    await this.#engine.admitManage();
    const shards = await this.list(name);
    const shown = shownShardKey(key);
    if (shards === undefined)
      throw badInput(`Wrong input: Shard Key ${shown} cannot be created with Auto sharding method`);
    if (shards.some((shard) => shard.key === key)) throw badInput(`Wrong input: Shard key ${shown} already exists`);
    const { config } = await this.#engine.collectionInfo(name);
    const names = Object.keys({ ...config.vectors, ...config.sparseVectors });
    if (names.length >= limits.vectorNamesMax)
      throw badInput(`Wrong input: a collection has at most ${limits.vectorNamesMax} vectors and shard keys together`);
    await this.#add(name, shardOf(key, active));
  }

  async drop(name: string, key: ShardKey): Promise<void> {
    await this.#engine.admitManage();
    const shards = await this.list(name);
    const shown = shownShardKey(key);
    if (shards === undefined)
      throw badInput(`Wrong input: Shard Key ${shown} cannot be removed with Auto sharding method`);
    const shard = shards.find((one) => one.key === key);
    if (shard === undefined) throw badInput(`Wrong input: Shard key ${shown} does not exist`);
    const others = shards.filter((one) => one !== shard);
    const filter: Filter = {
      must: [{ kind: "has_vector", name: shard.vector }],
      should: [],
      mustNot: inAnyOf(others).should,
    };
    await this.#engine.write(name, { kind: "delete", selector: { kind: "filter", filter } }, durable);
    await this.#remove(name, shard);
  }

  /** Afterwards the points of `from` that match are in `to` as well, which takes requests from then on. */
  async replicate(name: string, from: ShardKey, to: ShardKey, filter: Filter | undefined): Promise<void> {
    await this.#engine.admitManage();
    const shards = (await this.list(name)) ?? [];
    const find = (wanted: ShardKey): Shard => {
      const shard = shards.find(({ key }) => key === wanted);
      if (shard === undefined) throw badInput(`Wrong input: Shard key ${shownShardKey(wanted)} not found`);
      return shard;
    };
    const [source, target] = [find(from), find(to)];
    const active = shardOf(to, true);
    if (!target.active) await this.#add(name, active);
    await this.#spread(name, both(filter, inAnyOf([source])), active);
    if (target.active) return;
    await this.#spread(name, inAnyOf([target]), active);
    await this.#remove(name, target);
  }

  async #spread(name: string, filter: Filter, { vector }: Shard): Promise<void> {
    const none = { kind: "none" } as const;
    const cursor = await this.#engine.openScroll(name, { filter, payload: none, vectors: none });
    try {
      for (;;) {
        const table = await cursor.next(replicatedAtOnce);
        if (table.length === 0) return;
        const ids: PointId[] = Array.from({ length: table.length }, (_, row) => table.id(row));
        const points = ids.map((id) => ({ id, vectors: [[vector, member] as const] }));
        // What was deleted since stays deleted.
        await this.#engine.write(name, { kind: "update_vectors", points, condition: { mode: "update_only" } }, durable);
      }
    } finally {
      await cursor.close();
    }
  }

  async #add(name: string, { vector }: Shard): Promise<void> {
    await this.#engine.createVectorName(name, vector, { kind: "sparse", params: { modifier: "none" } }, (echo) => echo);
  }

  async #remove(name: string, { vector }: Shard): Promise<void> {
    await this.#engine.deleteVectorName(name, vector, (echo) => echo);
  }
}
