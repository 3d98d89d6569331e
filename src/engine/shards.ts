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
  namesShard,
  type Shard,
  type ShardKey,
  type ShardSelection,
  type SparseVector,
  shardOfVector,
  shardsAmong,
  shownShardKey,
  type VectorsSelector,
} from "../core/index.ts";
import type {
  AdmittedWrite,
  NearestQuery,
  PointTable,
  PointVectors,
  ScrollCursor,
  SealedEngine,
  WriteOperation,
  WriteOptions,
} from "./engine.ts";
import { carrySkipped } from "./sealed.ts";
import { both, narrowedSelector } from "./within.ts";

/** What each point of a shard has under the shard's name. */
export const member: SparseVector = { indices: Uint32Array.of(0), values: Float32Array.of(1) };

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

type ChosenToWrite = Chosen & { readonly some: readonly Shard[] };

/** Times that a write is judged anew because a shard that it names is gone. */
const layoutsMax = 3;

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

export const inAnyOf = (shards: readonly Shard[]): Filter => ({
  // Of no shard there is no point.
  must: shards.length === 0 ? [{ kind: "has_id", ids: [] }] : [],
  should: shards.flatMap(({ vectors }) => vectors.map((name) => ({ kind: "has_vector" as const, name }))),
  mustNot: [],
});

/** Nobody sees the vectors that stand for shards, and so nobody writes them. The text is that of a name that is not there. */
function refuseHidden(name: string): void {
  if (shardOfVector(name) === undefined) return;
  throw badInput(`Wrong input: Not existing vector name error: ${name}`, "vector_name");
}

/** Throws for an operation that names a shard's vector. */
function checkNames({ points, names }: AdmittedWrite): void {
  names?.forEach(refuseHidden);
  for (const { vectors } of (points ?? []) as readonly {
    readonly vectors?: readonly (readonly [string, unknown])[];
  }[]) {
    for (const [name] of vectors ?? []) refuseHidden(name);
  }
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
  async function choose(
    name: string,
    isRead: boolean,
    selected: ShardSelection | undefined = selection,
  ): Promise<Chosen | undefined> {
    const layout = await layoutOf(name);
    const missing = (key: ShardKey): Error =>
      badInput(
        `${isRead ? "Bad request" : "Wrong input"}: Shard key ${shownShardKey(key)} not found`,
        "shard_key_selector",
      );
    if (layout === undefined) {
      if (selected !== undefined) throw missing(selected.keys[0] as ShardKey);
      return undefined;
    }
    const find = (wanted: ShardKey): Shard | undefined => layout.shards.find(({ key }) => key === wanted);
    const { fallback } = selected ?? {};
    const isPartial = isRead && layout.shards.some(({ active }) => !active);
    const picked = selected?.keys.flatMap((key) => {
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
    return { all: layout.shards, some: picked === undefined ? whole : [...new Set(picked)], names: layout.names };
  }

  const narrowed = (chosen: Chosen, filter: Filter | undefined): Filter | undefined =>
    chosen.some === undefined ? filter : both(filter, inAnyOf(chosen.some));

  /** The vectors that say in which shards a point is, beside those that are asked for. */
  function asked({ all, names }: Chosen, vectors: VectorsSelector): VectorsSelector {
    const wanted = vectors.kind === "all" ? names : vectors.kind === "names" ? vectors.names : [];
    return { kind: "names", names: [...wanted, ...all.flatMap(({ vectors: own }) => own)] };
  }

  function shown(chosen: Chosen, table: PointTable, vectors: VectorsSelector): PointTable {
    const wanted = new Set((chosen.some ?? chosen.all).flatMap(({ vectors: own }) => own));
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

  /** Of a write; undefined where there are no shards to choose from. */
  async function chooseToWrite(name: string, operation: AdmittedWrite): Promise<ChosenToWrite | undefined> {
    const chosen = await choose(name, false, operation.shards);
    if (chosen === undefined) return undefined;
    // The text is Qdrant's.
    if (chosen.some === undefined) throw badInput("Wrong input: Shard key not specified", "shard_key_selector");
    checkNames(operation);
    return { ...chosen, some: chosen.some };
  }

  /** Shards that came or went between the look at the layout and the write make it be judged anew. */
  async function write(name: string, given: WriteOperation, options: WriteOptions): ReturnType<SealedEngine["write"]> {
    for (let attempt = 1; ; attempt++) {
      const chosen = await chooseToWrite(name, given);
      const { shards: _, ...operation } = given;
      if (chosen === undefined) return engine.write(name, operation, options);
      try {
        return await writeTo(name, chosen, operation, options);
      } catch (error) {
        if (!(error instanceof DomainError) || !namesShard(error.message) || attempt >= layoutsMax) throw error;
        known.delete(name);
      }
    }
  }

  async function writeTo(
    name: string,
    { all, some }: ChosenToWrite,
    operation: WriteOperation,
    options: WriteOptions,
  ): ReturnType<SealedEngine["write"]> {
    const names = some.flatMap(({ vectors }) => vectors);
    const within = inAnyOf(some);
    if (operation.kind === "upsert") {
      const tags: PointVectors = names.map((vector) => [vector, member]);
      const { condition } = operation;
      const points = operation.points.map((point) => ({ ...point, vectors: [...point.vectors, ...tags] }));
      // A point of another shard is none that could be updated.
      const isUpdate = condition?.mode === "update_only";
      const narrow = isUpdate ? { ...condition, filter: both(condition.filter, within) } : condition;
      return engine.write(name, { ...operation, points, condition: narrow }, options);
    }
    if (!("selector" in operation)) return engine.write(name, { ...operation, within }, options);
    const { selector } = operation;
    const narrow = <T extends typeof operation>(one: T, to: Filter): T =>
      selector.kind === "ids" ? { ...one, within: to } : { ...one, selector: narrowedSelector(selector, to) };
    if (operation.kind !== "delete") return engine.write(name, narrow(operation, within), options);
    // What was replicated to another shard stays in that one.
    const others = all.filter((shard) => !some.includes(shard));
    if (others.length === 0) return engine.write(name, narrow(operation, within), options);
    const alone: Filter = { must: [], should: [], mustNot: inAnyOf(others).should };
    await engine.write(name, narrow(operation, both(within, alone)), options);
    const rest = { kind: "delete_vectors", selector: narrowedSelector(selector, within), names } as const;
    return engine.write(name, rest, { ...options, continues: true });
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
    async createVectorName(name, vector, definition, echo) {
      refuseHidden(vector);
      return engine.createVectorName(name, vector, definition, echo);
    },
    async deleteVectorName(name, vector, echo) {
      refuseHidden(vector);
      return engine.deleteVectorName(name, vector, echo);
    },
    async updateCollection(name, change) {
      Object.keys(change.sparseVectors ?? {}).forEach(refuseHidden);
      return engine.updateCollection(name, change);
    },
    async admit(name, request) {
      // A key that is not there refuses all operations of a batch, before any of them is written.
      for (const operation of request.writes ?? []) await chooseToWrite(name, operation);
      return engine.admit(name, request);
    },
    write,
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
