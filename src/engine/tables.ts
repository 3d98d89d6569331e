import type { PointTable } from "./engine.ts";

/** `count` rows of a table from `first` on. */
export function tableRows(table: PointTable, first: number, count = table.length - first): PointTable {
  if (first === 0 && count >= table.length) return table;
  return {
    length: Math.max(0, Math.min(count, table.length - first)),
    id: (row) => table.id(first + row),
    score: (row) => table.score(first + row),
    version: (row) => table.version(first + row),
    payload: (row) => table.payload(first + row),
    vectors: (row) => table.vectors(first + row),
    orderValue: (row) => table.orderValue?.(first + row),
    shardKey: (row) => table.shardKey?.(first + row),
  };
}
