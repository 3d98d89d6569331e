/** GET /collections/{c}/memory in Qdrant's shape: where a collection's bytes lie. */
import type { CollectionInfo, CollectionMemoryParts } from "../../core/index.ts";

interface Usage {
  readonly disk_bytes: number;
  /** Of this process's own. */
  readonly ram_bytes: number;
  /** Of files, in memory now; the kernel may take these pages back. */
  readonly cached_bytes: number;
  /** Of files, that searches are fast with in memory. */
  readonly expected_cache_bytes: number;
}

const usage = (part: Partial<Usage>): Usage => ({
  disk_bytes: 0,
  ram_bytes: 0,
  cached_bytes: 0,
  expected_cache_bytes: 0,
  ...part,
});

/** A segment's file holds its vectors beside its codes and graph: it is told as the vectors' storage, and what of codes and graph is in memory as the index. */
export function memoryReport(info: CollectionInfo, { vectors, payloadIndexes }: CollectionMemoryParts): object {
  const isCold = (name: string): boolean => info.config.vectors[name]?.memory === "cold";
  const dense = vectors
    .filter(({ sparse }) => !sparse)
    .map(({ name, tail, graph, mapped, resident }) => ({
      name,
      storage: usage({
        disk_bytes: mapped,
        ram_bytes: tail,
        cached_bytes: resident,
        expected_cache_bytes: isCold(name) ? 0 : mapped,
      }),
      index: usage({ ram_bytes: graph }),
    }));
  const sparse = vectors
    .filter((one) => one.sparse)
    .map(({ name, tail, graph }) => ({
      name,
      storage: usage({ ram_bytes: tail }),
      index: usage({ ram_bytes: graph }),
    }));
  const payload = usage({ disk_bytes: info.payloadBytes });
  const indexes = payloadIndexes.map(({ key, bytes }) => ({ name: key, usage: usage({ ram_bytes: bytes }) }));
  const ids = usage({ ram_bytes: info.memory.ids });
  const parts = [...[...dense, ...sparse].flatMap(({ storage, index }) => [storage, index]), payload, ids];
  for (const { usage: of } of indexes) parts.push(of);
  const sum = (key: keyof Usage): number => parts.reduce((bytes, part) => bytes + part[key], 0);
  return {
    total: usage({
      disk_bytes: sum("disk_bytes"),
      ram_bytes: sum("ram_bytes"),
      cached_bytes: sum("cached_bytes"),
      expected_cache_bytes: sum("expected_cache_bytes"),
    }),
    vectors: dense,
    sparse_vectors: sparse,
    payload,
    payload_index: indexes,
    other: { id_tracker: ids },
  };
}
