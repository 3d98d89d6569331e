/**
 * Qdrant's issues: fields without an index that filters of slow searches ask for. A decorator notes them, a book keeps them for the whole
 * process until they are solved: an index is made, the collection goes, or somebody clears the book.
 */
import { type FieldIndexType, type Filter, limits, type Prefetch } from "../core/index.ts";
import type { SealedEngine } from "./engine.ts";
import { unindexedFields } from "./strict/filters.ts";

export interface UnindexedField {
  /** The collection's own name. */
  readonly collection: string;
  readonly key: string;
  /** Of the indexes that would serve the filter, in the order of their names; at least one. */
  readonly types: readonly FieldIndexType[];
}

export interface Issue extends UnindexedField {
  readonly sinceMs: number;
}

/** What the threads that serve tell of. */
export interface IssueSink {
  report(field: UnindexedField): void;
  /** `key` undefined: all of the collection. */
  solve(collection: string, key?: string): void;
}

export class IssueBook implements IssueSink {
  readonly #issues = new Map<string, Issue>();

  /** One that is known stays as it is, and what would be too many is not taken in. */
  report(field: UnindexedField): void {
    const id = JSON.stringify([field.collection, field.key]);
    if (this.#issues.has(id) || this.#issues.size >= limits.issuesMax) return;
    this.#issues.set(id, { ...field, sinceMs: Date.now() });
  }

  solve(collection: string, key?: string): void {
    for (const [id, issue] of this.#issues) {
      if (issue.collection === collection && (key === undefined || issue.key === key)) this.#issues.delete(id);
    }
  }

  clear(): void {
    this.#issues.clear();
  }

  all(): Issue[] {
    return [...this.#issues.values()];
  }
}

/** Wraps the calls whose time counts at Qdrant: searches and queries, with the filters of all their stages. */
export function issuesEngine(engine: SealedEngine, sink: IssueSink, slowMs: number): SealedEngine {
  async function timed<T>(name: string, run: () => Promise<T>, filters: () => Iterable<Filter>): Promise<T> {
    const begunMs = performance.now();
    const answer = await run();
    // Nobody waits for the looking.
    if (performance.now() - begunMs > slowMs) void look(name, [...filters()]).catch(() => undefined);
    return answer;
  }

  async function look(name: string, filters: readonly Filter[]): Promise<void> {
    if (filters.length === 0) return;
    const info = await engine.collectionInfo(name);
    const indexes = new Map(info.fieldIndexes.map((index) => [index.key, index]));
    for (const filter of filters) {
      for (const [key, types] of unindexedFields(indexes, filter)) {
        // A plainer index than one of UUIDs serves as well, and Qdrant proposes none.
        const proposed = [...types].filter((type) => type !== "uuid").sort();
        if (proposed.length > 0) sink.report({ collection: info.name, key, types: proposed });
      }
    }
  }

  return {
    ...engine,
    search: (name, query, signal) =>
      timed(
        name,
        () => engine.search(name, query, signal),
        () => filtersOf([query]),
      ),
    searchBatch: (name, queries, signal) =>
      timed(
        name,
        () => engine.searchBatch(name, queries, signal),
        () => filtersOf(queries),
      ),
    query: (name, request, signal) =>
      timed(
        name,
        () => engine.query(name, request, signal),
        () => filtersOfStages([request]),
      ),
    queryBatch: (name, requests, signal) =>
      timed(
        name,
        () => engine.queryBatch(name, requests, signal),
        () => filtersOfStages(requests),
      ),
    queryGroups: (name, request, signal) =>
      timed(
        name,
        () => engine.queryGroups(name, request, signal),
        () => filtersOfStages([request]),
      ),
    async createFieldIndex(name, key, type, params, wait) {
      const written = await engine.createFieldIndex(name, key, type, params, wait);
      const info = await engine.collectionInfo(name).catch(() => undefined);
      if (info !== undefined) sink.solve(info.name, key);
      return written;
    },
    async deleteCollection(name) {
      const deleted = await engine.deleteCollection(name);
      if (deleted) sink.solve(name);
      return deleted;
    },
  };
}

function* filtersOf(all: readonly { readonly filter?: Filter | undefined }[]): Iterable<Filter> {
  for (const { filter } of all) if (filter !== undefined) yield filter;
}

function* filtersOfStages(stages: readonly Omit<Prefetch, "limit">[]): Iterable<Filter> {
  yield* filtersOf(stages);
  for (const { prefetch } of stages) yield* filtersOfStages(prefetch);
}
