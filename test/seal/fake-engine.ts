/** The engine's contract over a Map, as far as sealing needs it: epochs, envelopes and flags are real, search is not. */
import {
  type CollectionInfo,
  DomainError,
  type EncodedPayload,
  type PayloadSelector,
  type PointId,
  type SealingPolicy,
  sealedKey,
} from "../../src/core/index.ts";
import type { Engine, PointsSelector, PointTable, WriteOperation } from "../../src/engine/engine.ts";
import {
  buildSealed,
  decodePayload,
  encodePayload,
  hasSealedStored,
  omitEntries,
  pickEntries,
  readEnvelopes,
} from "../../src/wire/index.ts";

interface Collection {
  info: CollectionInfo;
  points: Map<PointId, EncodedPayload>;
}

export class FakeEngine {
  readonly collections = new Map<string, Collection>();
  readonly aliases = new Map<string, string>();
  /** What was handed to the engine below, for tests to look at. */
  readonly writes: WriteOperation[] = [];
  readonly reads: object[] = [];
  /** Runs before a write is judged: to change a policy in between. */
  beforeWrite: (() => void) | undefined;
  beforeIndex: (() => void) | undefined;
  readonly deletedIndexes: string[] = [];
  private epoch = 0;

  add(name: string, sealing: SealingPolicy): void {
    const sealingId = Buffer.alloc(16, this.collections.size + 1).toString("hex");
    const info = {
      name,
      sealing,
      sealingId,
      acceptedSealingIds: [sealingId],
      epoch: ++this.epoch,
    } as unknown as CollectionInfo;
    this.collections.set(name, { info, points: new Map() });
  }

  of(name: string): Collection {
    const found = this.collections.get(this.aliases.get(name) ?? name);
    if (found === undefined) throw new DomainError("not_found", `Not found: Collection \`${name}\` doesn't exist!`);
    return found;
  }

  setPolicy(name: string, sealing: SealingPolicy): void {
    const collection = this.of(name);
    collection.info = { ...collection.info, sealing, epoch: ++this.epoch };
  }

  private write(name: string, operation: WriteOperation, admittedEpoch: number | undefined): void {
    this.beforeWrite?.();
    const { info, points } = this.of(name);
    if (admittedEpoch !== undefined && admittedEpoch !== info.epoch)
      throw new DomainError("aborted", "the policy moved");
    this.writes.push(operation);
    if (operation.kind === "upsert") for (const point of operation.points) points.set(point.id, point.payload);
    if (operation.kind === "overwrite_payload")
      for (const id of idsOf(operation.selector)) points.set(id, operation.payload);
    if (operation.kind !== "seal_payload") return;
    for (const { id, envelope, clear } of operation.points) {
      const before = points.get(id) ?? new Uint8Array(0);
      const envelopes = operation.replace ? [] : (readEnvelopes(before) ?? []);
      const kept = operation.replace ? new Uint8Array(0) : omitEntries(before, new Set([sealedKey]));
      const merged = Object.entries({ ...decodePayload(kept), ...decodePayload(clear) });
      const present = merged.filter(([, value]) => value !== null);
      points.set(id, buildSealed([...envelopes, envelope], encodePayload(Object.fromEntries(present))));
    }
  }

  table(rows: [PointId, EncodedPayload][], selector: PayloadSelector): PointTable {
    const envelopesOnly = selector.kind === "include" && selector.keys.every((key) => key === `"${sealedKey}"`);
    return {
      length: rows.length,
      id: (row) => rows[row]?.[0] ?? 0n,
      score: () => Number.NaN,
      version: () => 0n,
      vectors: () => undefined,
      payload: (row) => {
        const payload = rows[row]?.[1] ?? new Uint8Array(0);
        return envelopesOnly ? pickEntries(payload, new Set([sealedKey])) : payload;
      },
    };
  }

  asEngine(): Engine {
    const read = (request: object) => {
      this.reads.push(request);
      return this.table([], { kind: "none" });
    };
    const engine: Partial<Engine> = {
      createCollection: async (name, _config, sealing) => this.add(name, sealing),
      collectionInfo: async (name) => {
        const { info, points } = this.of(name);
        return { ...info, sealedPointsCount: [...points.values()].filter(hasSealedStored).length };
      },
      setSealingPolicy: async (name, policy) => this.setPolicy(name, policy),
      updateAliases: async (actions) => {
        for (const action of actions) if (action.kind === "create") this.aliases.set(action.alias, action.collection);
      },
      write: async (name, operation, options) => {
        this.write(name, operation, options.admittedEpoch);
        return { operationId: BigInt(this.writes.length), applied: true };
      },
      createFieldIndex: async () => {
        this.beforeIndex?.();
        return { operationId: 1n, applied: true };
      },
      deleteFieldIndex: async (_name, key) => {
        this.deletedIndexes.push(key);
        return { operationId: 2n, applied: true };
      },
      get: async (name, ids, payload) => {
        const { points } = this.of(name);
        return this.table(
          ids.flatMap((id) =>
            points.has(id) ? [[id, points.get(id) as EncodedPayload] as [PointId, EncodedPayload]] : [],
          ),
          payload,
        );
      },
      search: async (_name, query) => read(query),
      searchBatch: async (_name, queries) => queries.map(read),
      count: async (_name, _filter, _exact, options) => {
        this.reads.push({ ...options });
        return 0;
      },
      scroll: async (name, request) => {
        this.reads.push(request);
        const rows = [...this.of(name).points].filter(
          ([, payload]) => request.plainOnly !== true || !hasSealedStored(payload),
        );
        return { points: this.table(rows, request.payload) };
      },
      openScroll: async (_name, request) => {
        this.reads.push(request);
        return { next: async () => this.table([], { kind: "none" }), close: async () => {} };
      },
    };
    return engine as Engine;
  }
}

function idsOf(selector: PointsSelector): readonly PointId[] {
  return selector.kind === "ids" ? selector.ids : [];
}
