/** Reads the addon's explanation; src/native/addon/engine/explain.cc fixes the layout. */
import {
  type Explanation,
  type FieldIndexType,
  type PlanPart,
  planAccesses,
  type SearchStrategy,
} from "../../core/index.ts";
import type { NativeReader } from "../../native/index.ts";

type FieldTypes = readonly FieldIndexType[];

function readPart(reader: NativeReader, types: FieldTypes): PlanPart {
  const condition = reader.text();
  const key = reader.text();
  const access = planAccesses[reader.u8() - 1] ?? "parts";
  const indexType = types[reader.u8()] ?? "keyword";
  const flags = reader.u8();
  const estimate = { min: reader.size(), expected: reader.size(), max: reader.size() };
  const candidates = reader.size();
  const matches = reader.size();
  const children = Array.from({ length: reader.u32() }, () => readPart(reader, types));
  return {
    condition,
    key,
    access,
    indexType,
    exact: (flags & 1) !== 0,
    estimate,
    candidates,
    ...((flags & 2) === 0 ? {} : { matches }),
    children,
  };
}

/** What was asked: a filter alone, a search, or a search with a filter. */
type Explained = "filter" | "search" | "filtered_search";

function strategyOf(explained: Explained, search: Explanation["search"]): SearchStrategy {
  if (explained === "filter") return "filter";
  // A segment with deleted rows is walked with a mask even without a filter, which is no plan's matter.
  if (search.walkedMasked > 0 && explained === "filtered_search") return "masked_walk";
  if (search.walked > 0 || search.walkedMasked > 0) return "walk";
  return search.codesScanned > 0 ? "matches_scan" : "full_scan";
}

export function readExplanation(reader: NativeReader, types: FieldTypes, explained: Explained): Explanation {
  const points = reader.size();
  const flags = reader.u8();
  const candidates = reader.size();
  const matches = reader.size();
  const times = { plan: reader.size(), judge: reader.size(), search: reader.size() };
  const search = {
    tailsScanned: reader.u32(),
    segmentsScanned: reader.u32(),
    codesScanned: reader.u32(),
    walked: reader.u32(),
    walkedMasked: reader.u32(),
    walksGivenUp: reader.u32(),
  };
  const plan = readPart(reader, types);
  const temporaryIndexes = Array.from({ length: reader.u32() }, () => ({
    key: reader.text(),
    type: types[reader.u8()] ?? "keyword",
    points: reader.size(),
    bytes: reader.size(),
  }));
  return {
    points,
    plan,
    strategy: strategyOf(explained, search),
    candidates,
    matches,
    exact: (flags & 1) !== 0,
    planKept: (flags & 2) !== 0,
    times,
    search,
    temporaryIndexes,
  };
}
