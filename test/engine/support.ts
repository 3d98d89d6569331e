/** Short forms for tests of the engine's contract. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CollectionConfig, Condition, Distance, Filter, PayloadObject, PointId } from "../../src/core/index.ts";
import { DomainError } from "../../src/core/index.ts";
import type { NearestQuery, PointInput, PointTable } from "../../src/engine/index.ts";
import { decodePayload, encodePayload } from "../../src/wire/payload.ts";

export function configOf(
  vectors: Record<string, [size: number, distance: Distance]>,
  change: Partial<CollectionConfig> = {},
): CollectionConfig {
  return {
    vectors: Object.fromEntries(Object.entries(vectors).map(([name, [size, distance]]) => [name, { size, distance }])),
    hnsw: { m: 16, efConstruct: 100, fullScanThreshold: 10_000 },
    indexingThreshold: 10_000,
    onDiskPayload: true,
    echo: "{}",
    ...change,
  };
}

export function point(
  id: PointId | number,
  vector: number[] | Record<string, number[]>,
  payload: PayloadObject = {},
): PointInput {
  const named: [string, number[]][] = Array.isArray(vector) ? [["", vector]] : Object.entries(vector);
  return {
    id: typeof id === "number" ? BigInt(id) : id,
    payload: encodePayload(payload),
    vectors: named.map(([name, values]) => [name, Float32Array.from(values)] as const),
  };
}

export function query(vector: number[] | { pointId: PointId }, change: Partial<NearestQuery> = {}): NearestQuery {
  return {
    using: "",
    vector: Array.isArray(vector) ? Float32Array.from(vector) : vector,
    limit: 10,
    offset: 0,
    payload: { kind: "none" },
    vectors: { kind: "none" },
    ...change,
  };
}

export function must(...conditions: Condition[]): Filter {
  return { must: conditions, should: [], mustNot: [] };
}

export function idsOf(table: PointTable): PointId[] {
  return Array.from({ length: table.length }, (_, row) => table.id(row));
}

export function payloadOf(table: PointTable, row = 0): PayloadObject {
  const payload = table.payload(row);
  if (payload === undefined) throw new Error(`row ${row} has no payload`);
  // A plain prototype, so that toEqual compares with literals.
  return JSON.parse(
    JSON.stringify(decodePayload(payload), (_, value) => (typeof value === "bigint" ? Number(value) : value)),
  );
}

/** The DomainError that the promise fails with. */
export async function failure(promise: Promise<unknown>): Promise<DomainError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error("expected a failure");
}

export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "sealpoint-test-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const all = { kind: "all" } as const;
export const none = { kind: "none" } as const;
export const wait = { wait: true } as const;
