/** What the addon tells of a collection; src/native/addon/engine/engine_collections.cc writes it. */
import type {
  CollectionConfig,
  CollectionInfo,
  CollectionMemoryParts,
  FieldIndex,
  FieldIndexType,
  SealingPolicy,
} from "../../core/index.ts";
import type { NativeReader } from "../../native/index.ts";

/** qdrant.FieldType's numbers, which the addon uses too. */
export const fieldTypes: readonly FieldIndexType[] = [
  "keyword",
  "integer",
  "float",
  "geo",
  "text",
  "bool",
  "datetime",
  "uuid",
];

export function readCollectionInfo(reader: NativeReader): CollectionInfo {
  const realName = reader.text();
  const config = JSON.parse(reader.text()) as CollectionConfig;
  const sealing = JSON.parse(reader.text()) as SealingPolicy;
  const sealingId = Buffer.from(reader.blob()).toString("hex");
  const acceptedSealingIds = Array.from({ length: reader.u32() }, () => Buffer.from(reader.blob()).toString("hex"));
  const epoch = reader.size();
  const pointsCount = reader.size();
  const indexedVectorsCount = reader.size();
  const segmentsCount = reader.size();
  const sealedPointsCount = reader.size();
  const memory = {
    tail: reader.size(),
    ids: reader.size(),
    payloadIndexes: reader.size(),
    mapped: reader.size(),
    graph: reader.size(),
  };
  const building = reader.u8() === 1;
  // 2: there is something to build, but the optimizer may have no threads.
  const wanted = reader.u8();
  const optimizerError = reader.text();
  const fieldIndexes: FieldIndex[] = Array.from({ length: reader.u32() }, () => {
    const key = reader.text();
    const type = fieldTypes[reader.u8()] ?? "keyword";
    const params = reader.text();
    const points = reader.size();
    reader.skip(8);
    return { key, type, params, points };
  });
  const vectorBytes = reader.size();
  const payloadBytes = reader.size();
  const snapshots = { writing: reader.u32(), restoring: reader.u32(), written: reader.size() };
  return {
    name: realName,
    config,
    sealing,
    sealingId,
    acceptedSealingIds,
    epoch,
    status: optimizerError !== "" ? "red" : building || wanted === 1 ? "yellow" : wanted === 2 ? "grey" : "green",
    ...(optimizerError === "" ? {} : { optimizerError }),
    pointsCount,
    indexedVectorsCount,
    segmentsCount,
    sealedPointsCount,
    fieldIndexes,
    memory,
    vectorBytes,
    payloadBytes,
    snapshots,
  };
}

export function readCollectionMemory(reader: NativeReader): CollectionMemoryParts {
  const vectors = Array.from({ length: reader.u32() }, () => ({
    name: reader.text(),
    sparse: reader.u8() === 1,
    tail: reader.size(),
    graph: reader.size(),
    mapped: reader.size(),
    resident: reader.size(),
  }));
  const payloadIndexes = Array.from({ length: reader.u32() }, () => ({ key: reader.text(), bytes: reader.size() }));
  return { vectors, payloadIndexes };
}
