/**
 * Node's table of a connection's streams, without what it costs V8. Node 24 keeps the streams of an HTTP/2 session in a Map, which makes itself
 * anew after every few calls. Once one of the outgrown tables is old to V8, it keeps the next, and so on, and each of them the streams that were
 * open then: scavenges then move a quarter of all calls' objects among the old ones (measured: 5.8 KB a call, and 0.4 with this table), which full
 * collections have to clear. A private member of Node's; where it is missing or looks different, nothing is changed.
 */
import type { Http2Session } from "node:http2";

interface SessionState {
  streams?: unknown;
}

/** The part of Map's interface that Node's session uses, and the rest of it. Ids are positive integers, streams never undefined. */
export class StreamTable<T> implements Map<number, T> {
  // Without a prototype, and with numbers for names: V8 keeps it as a hash table that is changed in its place.
  readonly #streams: Record<number, T | undefined> = Object.create(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get [Symbol.toStringTag](): string {
    return "StreamTable";
  }

  get(id: number): T | undefined {
    return this.#streams[id];
  }

  has(id: number): boolean {
    return this.#streams[id] !== undefined;
  }

  set(id: number, stream: T): this {
    if (this.#streams[id] === undefined) this.#size += 1;
    this.#streams[id] = stream;
    return this;
  }

  delete(id: number): boolean {
    if (this.#streams[id] === undefined) return false;
    delete this.#streams[id];
    this.#size -= 1;
    return true;
  }

  clear(): void {
    for (const id of this.keys()) this.delete(id);
  }

  forEach(visit: (stream: T, id: number, table: Map<number, T>) => void, self?: unknown): void {
    for (const [id, stream] of this) visit.call(self, stream, id, this);
  }

  /** As a Map's, it passes by what is deleted meanwhile. */
  *entries(): MapIterator<[number, T]> {
    for (const name of Object.keys(this.#streams)) {
      const id = Number(name);
      const stream = this.#streams[id];
      if (stream !== undefined) yield [id, stream];
    }
  }

  *keys(): MapIterator<number> {
    for (const [id] of this.entries()) yield id;
  }

  *values(): MapIterator<T> {
    for (const [, stream] of this.entries()) yield stream;
  }

  [Symbol.iterator](): MapIterator<[number, T]> {
    return this.entries();
  }
}

/** Gives a new session that table; false where Node's state is not as expected. */
export function replaceStreamTable(session: Http2Session): boolean {
  const symbol = Object.getOwnPropertySymbols(session).find(({ description }) => description === "state");
  if (symbol === undefined) return false;
  const state = (session as unknown as Record<symbol, SessionState | undefined>)[symbol];
  const table = state?.streams;
  // Node's own Map has no prototype that this realm's Map shares.
  if (state === undefined || !isEmptyMap(table)) return false;
  state.streams = new StreamTable();
  return true;
}

function isEmptyMap(table: unknown): boolean {
  return typeof table === "object" && table !== null && (table as Map<unknown, unknown>)[Symbol.toStringTag] === "Map"
    ? (table as Map<unknown, unknown>).size === 0
    : false;
}
