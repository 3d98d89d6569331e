/**
 * The engine of one machine: FAISS and RocksDB behind the addon. JavaScript holds plans here, not data: each method writes one
 * message and reads one answer.
 */
import { join, resolve } from "node:path";
import {
  type Cancellation,
  type CollectionConfig,
  type CollectionInfo,
  type CollectionMemoryParts,
  DomainError,
  type Explanation,
  type FacetRequest,
  type FieldIndexType,
  type Filter,
  type GroupsRequest,
  limits,
  type PayloadSelector,
  type PointId,
  type QueryRequest,
  type SealingPolicy,
  uuidFromBytes,
  type VectorsSelector,
} from "../../core/index.ts";
import { NativeEngine, type NativeOptions, NativeReader, NativeWriter, operations } from "../../native/index.ts";
import type {
  AliasAction,
  CollectionChange,
  CountOptions,
  EncodedUpsert,
  Engine,
  ExplainRequest,
  FacetCounts,
  NearestQuery,
  PointInput,
  PointsOfGroup,
  PointTable,
  RateAnswer,
  ScrollCursor,
  ScrollRequest,
  VectorDefinition,
  WriteOperation,
  WriteOptions,
  WriteResult,
} from "../engine.ts";
import { tableRows } from "../tables.ts";
import { narrowedWrite } from "../within.ts";
import { withChange, withoutVectorName, withVectorName } from "./collection-changes.ts";
import { fieldTypes, readCollectionInfo, readCollectionMemory } from "./collection-info.ts";
import { readExplanation } from "./explanation.ts";
import {
  encodeAliases,
  encodeCount,
  encodeEncodedWrite,
  encodeExplain,
  encodeGet,
  encodeReplace,
  encodeScroll,
  encodeSearches,
  encodeSpend,
  encodeWrite,
  readRateAnswer,
  writeDenseField,
  writeSparseField,
  writeVectorFields,
} from "./messages.ts";
import { NativePointTable } from "./point-table.ts";
import { encodeFacet, encodeGroups, encodeOrderedScroll, encodeQueries } from "./query-messages.ts";
import { EmbeddedSnapshots } from "./snapshots.ts";

export interface EmbeddedOptions extends NativeOptions {
  /** Folder of everything the engine keeps; made when missing, held by one process at a time. */
  readonly dataDir: string;
  /** Folder of the snapshots; {dataDir}/snapshots when absent. */
  readonly snapshotsDir?: string;
}

export interface EngineStats {
  /** fdatasync calls on the log. */
  readonly syncs: number;
  /** Of the store on disk. */
  readonly storeBytes: number;
  /** Operations that are waiting or running. */
  readonly inFlight: number;
  /** Memory that collections, session indexes and builds hold by the engine's own count. */
  readonly bookedBytes: number;
  /** 0: none. */
  readonly memoryLimitBytes: number;
  readonly collectionMemoryLimitBytes: number;
  /** On the disk of the data folder; NaN where the system does not tell. */
  readonly diskFreeBytes: number;
  /** What writes leave of it. */
  readonly diskReserveBytes: number;
  /** Derived files that the start found damaged or missing: built anew from the store since. At most a thousand. */
  readonly leftOut: readonly { readonly collection: string; readonly what: string }[];
  /** Sparse vectors and multivectors kept in memory that the start took from their state files, and not from the store. */
  readonly rowsFromState: number;
}

/** Offset of the table in a scroll's answer. */
const scrollHeaderSize = 24;
const facetHeaderSize = 4;

/** Times that a change is tried anew when another one came between its reading and its writing. */
const changeAttemptsMax = 8;

const knownBytes = (bytes: number): number => (bytes === Number.MAX_SAFE_INTEGER ? Number.NaN : bytes);

export function openEmbeddedEngine(options: EmbeddedOptions): EmbeddedEngine {
  const snapshotsDir = options.snapshotsDir ?? join(options.dataDir, "snapshots");
  return EmbeddedEngine.over(NativeEngine.open(options.dataDir, options), resolve(snapshotsDir));
}

function snapshotsOf(native: NativeEngine, folder: string): EmbeddedSnapshots {
  const realName = async (name: string): Promise<string> => {
    const answer = await native.call(operations.collectionInfo, new NativeWriter().text(name).done());
    return new NativeReader(answer).text();
  };
  return new EmbeddedSnapshots(native, folder, realName);
}

export class EmbeddedEngine implements Engine {
  private readonly native: NativeEngine;
  readonly snapshots: EmbeddedSnapshots;

  constructor(native: NativeEngine, snapshots: EmbeddedSnapshots) {
    this.native = native;
    this.snapshots = snapshots;
  }

  static over(native: NativeEngine, snapshotsDir: string): EmbeddedEngine {
    return new EmbeddedEngine(native, snapshotsOf(native, snapshotsDir));
  }

  async createCollection(name: string, config: CollectionConfig, sealing: SealingPolicy): Promise<void> {
    const out = new NativeWriter(1024).text(name).text(JSON.stringify(config)).text(JSON.stringify(sealing));
    writeVectorFields(out, config);
    await this.native.call(operations.createCollection, out.done());
  }

  async updateCollection(name: string, change: CollectionChange): Promise<void> {
    await this.changing(name, operations.updateCollection, ({ config }, out) => {
      const next = withChange(config, change);
      out.text(JSON.stringify(next));
      writeVectorFields(out, next);
    });
  }

  async createVectorName(
    name: string,
    vector: string,
    definition: VectorDefinition,
    echo: (present: string) => string,
  ): Promise<WriteResult> {
    const answer = await this.changing(name, operations.changeVectors, ({ config }, out) => {
      const next = withVectorName(config, vector, definition);
      if (next === undefined) return out.text("").u8(0);
      out.text(JSON.stringify({ ...next, echo: echo(config.echo) })).u8(1);
      if (definition.kind === "dense") return writeDenseField(out, vector, definition.params, next);
      return writeSparseField(out, vector, definition.params, next);
    });
    return readWriteResult(answer);
  }

  async deleteVectorName(name: string, vector: string, echo: (present: string) => string): Promise<WriteResult> {
    const answer = await this.changing(name, operations.changeVectors, ({ config }, out) => {
      const next = withoutVectorName(config, vector);
      if (next === undefined) return out.text("").u8(0);
      return out
        .text(JSON.stringify({ ...next, echo: echo(config.echo) }))
        .u8(2)
        .text(vector);
    });
    return readWriteResult(answer);
  }

  /** A change that `write` makes of the present configuration, tried anew when another one came between. */
  private async changing(
    name: string,
    operation: number,
    write: (info: CollectionInfo, out: NativeWriter) => unknown,
  ): Promise<ArrayBuffer> {
    for (let attempt = 1; ; attempt++) {
      const info = await this.collectionInfo(name);
      const out = new NativeWriter(1024).text(name).u64(BigInt(info.epoch));
      write(info, out);
      try {
        return await this.native.call(operation, out.done());
      } catch (error) {
        if (!isAborted(error) || attempt >= changeAttemptsMax) throw error;
      }
    }
  }

  private read(operation: number, message: Uint8Array, signal: Cancellation | undefined): Promise<ArrayBuffer> {
    return this.native.call(operation, message, undefined, signal);
  }

  async deleteCollection(name: string): Promise<boolean> {
    const answer = await this.native.call(operations.deleteCollection, new NativeWriter().text(name).done());
    return new NativeReader(answer).u8() === 1;
  }

  async listCollections(): Promise<string[]> {
    const reader = new NativeReader(await this.native.call(operations.listCollections, new NativeWriter(8).done()));
    return Array.from({ length: reader.u32() }, () => reader.text());
  }

  async collectionExists(name: string): Promise<boolean> {
    const answer = await this.native.call(operations.collectionExists, new NativeWriter().text(name).done());
    return new NativeReader(answer).u8() === 1;
  }

  async collectionInfo(name: string): Promise<CollectionInfo> {
    const answer = await this.native.call(operations.collectionInfo, new NativeWriter().text(name).done());
    return readCollectionInfo(new NativeReader(answer));
  }

  async collectionMemory(name: string): Promise<CollectionMemoryParts> {
    const answer = await this.native.call(operations.collectionMemory, new NativeWriter().text(name).done());
    return readCollectionMemory(new NativeReader(answer));
  }

  async admitManage(): Promise<void> {}

  async updateAliases(actions: readonly AliasAction[]): Promise<void> {
    await this.native.call(operations.updateAliases, encodeAliases(actions));
  }

  async listAliases(collection?: string): Promise<[string, string][]> {
    const answer = await this.native.call(operations.listAliases, new NativeWriter().text(collection ?? "").done());
    const reader = new NativeReader(answer);
    return Array.from({ length: reader.u32() }, () => [reader.text(), reader.text()]);
  }

  async setSealingPolicy(name: string, policy: SealingPolicy): Promise<void> {
    const out = new NativeWriter().text(name).u64(0n).text(JSON.stringify(policy));
    await this.native.call(operations.setSealing, out.done());
  }

  async countPlain(name: string): Promise<{ plain: number; total: number }> {
    const { sealing } = await this.collectionInfo(name);
    const out = new NativeWriter().text(name).texts(sealing.clearFields);
    const reader = new NativeReader(await this.native.call(operations.countPlain, out.done()));
    return { plain: reader.size(), total: reader.size() };
  }

  async write(name: string, operation: WriteOperation, options: WriteOptions): Promise<WriteResult> {
    options.signal?.throwIfAborted();
    if (operation.within !== undefined) {
      const narrowed = await narrowedWrite(this, name, operation, options.wait);
      const result = await this.write(name, narrowed.operation, options);
      if (narrowed.missing !== undefined && options.wait) throw narrowed.missing;
      return result;
    }
    const encoded = encodeWrite(name, operation, options);
    // What is written at once goes to the addon in this very turn, which gives it its place in the order of writes.
    const message = encoded instanceof NativeWriter ? encoded : await encoded;
    try {
      return readWriteResult(await this.native.call(operations.write, message.done()));
    } finally {
      message.release();
    }
  }

  /** In one moment the points of these ids go, and others come; no id is in both. For indexes that are copies of something. */
  async replacePoints(name: string, ids: readonly PointId[], points: readonly PointInput[]): Promise<void> {
    const message = await encodeReplace(name, ids, points);
    try {
      await this.native.call(operations.write, message.done());
    } finally {
      message.release();
    }
  }

  async writeEncoded(name: string, points: EncodedUpsert, options: WriteOptions): Promise<WriteResult | undefined> {
    options.signal?.throwIfAborted();
    const message = encodeEncodedWrite(name, points, options);
    try {
      return readWriteResult(await this.native.call(operations.write, message.done(), points.bytes));
    } catch (error) {
      // The reader of single points says what is wrong, and where.
      if (error instanceof DomainError && (error.kind === "bad_input" || error.kind === "not_found")) return undefined;
      throw error;
    } finally {
      message.release();
    }
  }

  async createFieldIndex(
    name: string,
    key: string,
    type: FieldIndexType,
    params: string,
    wait = true,
  ): Promise<WriteResult> {
    const { fieldIndexes } = await this.collectionInfo(name);
    if (
      fieldIndexes.length >= limits.fieldIndexesPerCollectionMax &&
      !fieldIndexes.some((index) => index.key === key)
    ) {
      throw new DomainError("exhausted", `no more than ${limits.fieldIndexesPerCollectionMax} payload indexes`);
    }
    const out = new NativeWriter()
      .text(name)
      .text(key)
      .u8(fieldTypes.indexOf(type))
      .text(params)
      .u8(wait ? 1 : 0);
    return readWriteResult(await this.native.call(operations.createFieldIndex, out.done()));
  }

  async deleteFieldIndex(name: string, key: string): Promise<WriteResult> {
    const out = new NativeWriter().text(name).text(key);
    return readWriteResult(await this.native.call(operations.deleteFieldIndex, out.done()));
  }

  async spend(name: string, kind: "read" | "write", perMinute: number, cost: number): Promise<RateAnswer> {
    const answer = await this.native.call(operations.spend, encodeSpend(name, kind, perMinute, cost));
    return readRateAnswer(new NativeReader(answer));
  }

  async streamPosition(name: string, streamId: string): Promise<bigint> {
    const out = new NativeWriter().text(name).text(streamId);
    return new NativeReader(await this.native.call(operations.streamPosition, out.done())).u64();
  }

  async get(
    name: string,
    ids: readonly PointId[],
    payload: PayloadSelector,
    vectors: VectorsSelector,
    signal?: Cancellation,
  ): Promise<PointTable> {
    signal?.throwIfAborted();
    const message = encodeGet(name, ids, payload, vectors);
    return new NativePointTable(await this.read(operations.get, message, signal));
  }

  async search(name: string, query: NearestQuery, signal?: Cancellation): Promise<PointTable> {
    const [table] = await this.searchBatch(name, [query], signal);
    if (table === undefined) throw new DomainError("internal", "the addon answered no table");
    return table;
  }

  async searchBatch(name: string, queries: readonly NearestQuery[], signal?: Cancellation): Promise<PointTable[]> {
    signal?.throwIfAborted();
    return readTables(await this.read(operations.search, encodeSearches(name, queries), signal));
  }

  async query(name: string, request: QueryRequest, signal?: Cancellation): Promise<PointTable> {
    const [table] = await this.queryBatch(name, [request], signal);
    if (table === undefined) throw new DomainError("internal", "the addon answered no table");
    return table;
  }

  async queryBatch(name: string, requests: readonly QueryRequest[], signal?: Cancellation): Promise<PointTable[]> {
    signal?.throwIfAborted();
    return readTables(await this.read(operations.query, encodeQueries(name, requests), signal));
  }

  async queryGroups(name: string, request: GroupsRequest, signal?: Cancellation): Promise<readonly PointsOfGroup[]> {
    signal?.throwIfAborted();
    const answer = await this.read(operations.queryGroups, encodeGroups(name, request), signal);
    const reader = new NativeReader(answer);
    const heads = Array.from({ length: reader.u32() }, () => {
      const isText = reader.u8() === 1;
      const bytes = Buffer.from(reader.blob());
      return { key: isText ? bytes.toString("utf8") : bytes.readBigInt64LE(), points: reader.u32() };
    });
    const table = new NativePointTable(answer, (reader.offset + 7) & ~7);
    let row = 0;
    return heads.map(({ key, points }) => {
      const first = row;
      row += points;
      return { key, points: tableRows(table, first, points) };
    });
  }

  async explain(name: string, request: ExplainRequest): Promise<Explanation> {
    const answer = await this.native.call(operations.explain, encodeExplain(name, request));
    const filtered = request.filter !== undefined || request.plainOnly === true;
    const explained = request.query === undefined ? "filter" : filtered ? "filtered_search" : "search";
    return readExplanation(new NativeReader(answer), fieldTypes, explained);
  }

  async count(
    name: string,
    filter: Filter | undefined,
    _exact: boolean,
    { plainOnly, signal }: CountOptions = {},
  ): Promise<number> {
    signal?.throwIfAborted();
    const answer = await this.read(operations.count, encodeCount(name, filter, plainOnly), signal);
    return new NativeReader(answer).size();
  }

  async facet(name: string, request: FacetRequest, signal?: Cancellation): Promise<FacetCounts> {
    signal?.throwIfAborted();
    const answer = await this.read(operations.facet, encodeFacet(name, request), signal);
    return { length: new NativeReader(answer).u32(), wire: new Uint8Array(answer, facetHeaderSize) };
  }

  async scroll(
    name: string,
    request: ScrollRequest,
    signal?: Cancellation,
  ): Promise<{ points: PointTable; nextOffset?: PointId }> {
    signal?.throwIfAborted();
    if (request.orderBy !== undefined) {
      const message = encodeOrderedScroll(name, request, request.orderBy);
      const [points] = readTables(await this.read(operations.query, message, signal));
      if (points === undefined) throw new DomainError("internal", "the addon answered no table");
      return { points };
    }
    const answer = await this.read(operations.scroll, encodeScroll(name, request), signal);
    const points = new NativePointTable(answer, scrollHeaderSize);
    const head = new DataView(answer);
    if (head.getUint8(0) === 0) return { points };
    const nextOffset = head.getUint8(1) === 1 ? uuidFromBytes(new Uint8Array(answer), 8) : head.getBigUint64(8, true);
    return { points, nextOffset };
  }

  async openScroll(name: string, request: Omit<ScrollRequest, "limit">): Promise<ScrollCursor> {
    const answer = await this.native.call(operations.openScroll, encodeScroll(name, { ...request, limit: 0 }));
    const cursor = new NativeReader(answer).u64();
    const { native } = this;
    return {
      async next(limit) {
        const page = await native.call(operations.nextScroll, new NativeWriter(16).u64(cursor).u32(limit).done());
        return new NativePointTable(page);
      },
      async close() {
        await native.call(operations.closeScroll, new NativeWriter(8).u64(cursor).done());
      },
    };
  }

  async largestCollections(count: number): Promise<string[]> {
    const answer = await this.native.call(operations.largestCollections, new NativeWriter(8).u32(count).done());
    const reader = new NativeReader(answer);
    return Array.from({ length: reader.u32() }, () => reader.text());
  }

  /** Counters of the store and of the process's memory, for metrics. */
  async stats(): Promise<EngineStats> {
    const reader = new NativeReader(await this.native.call(operations.stats, new NativeWriter(8).done()));
    return {
      syncs: reader.size(),
      storeBytes: reader.size(),
      inFlight: reader.size(),
      bookedBytes: reader.size(),
      memoryLimitBytes: reader.size(),
      collectionMemoryLimitBytes: reader.size(),
      diskFreeBytes: knownBytes(reader.size()),
      diskReserveBytes: reader.size(),
      leftOut: Array.from({ length: reader.u32() }, () => ({ collection: reader.text(), what: reader.text() })),
      rowsFromState: reader.size(),
    };
  }

  /** Checks the derived files against their checksums; the reason when one is damaged. */
  async verify(name: string): Promise<{ ok: boolean; reason: string }> {
    const answer = await this.native.call(operations.verify, new NativeWriter().text(name).done());
    const reader = new NativeReader(answer);
    return { ok: reader.u8() === 1, reason: reader.text() };
  }

  close(): Promise<void> {
    return this.native.close();
  }
}

/** u32 tables, u32 0, and each with its size before it, padded to 8. */
function readTables(answer: ArrayBuffer): PointTable[] {
  const reader = new NativeReader(answer);
  const count = reader.u32();
  reader.skip(4);
  return Array.from({ length: count }, () => {
    const size = reader.u32();
    reader.skip(4);
    const table = new NativePointTable(answer, reader.offset);
    reader.skip((size + 7) & ~7);
    return table;
  });
}

function readWriteResult(answer: ArrayBuffer): WriteResult {
  const reader = new NativeReader(answer);
  return { operationId: reader.u64(), applied: reader.u8() === 1 };
}

function isAborted(error: unknown): boolean {
  return error instanceof DomainError && error.kind === "aborted";
}
