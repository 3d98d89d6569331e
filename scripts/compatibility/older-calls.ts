/** Search, Recommend and Discover with their batches and groups: what came before Query. */
import { plain, points, type Row } from "./probes.ts";

const inPlain = { collection_name: plain, limit: 1 };
const grouped = { group_by: "city", limit: 1, group_size: 1 };
const likeOne = { positive: [{ num: 1 }] };
const target = { single: { id: { num: 1 } } };

export const olderCalls: Row = {
  title: "Older search calls",
  probes: [
    points("Search", "Search", { vector: [1, 0, 0, 0], limit: 1 }, ["result.0.id.num", "1"]),
    points("SearchBatch", "SearchBatch", {
      search_points: [{ collection_name: plain, vector: [1, 0, 0, 0], limit: 1 }],
    }),
    points("SearchGroups", "SearchGroups", { vector: [1, 0, 0, 0], ...grouped }),
    points("Recommend", "Recommend", { ...likeOne, limit: 1 }),
    points("RecommendBatch", "RecommendBatch", { recommend_points: [{ ...likeOne, ...inPlain }] }),
    points("RecommendGroups", "RecommendGroups", { ...likeOne, ...grouped }),
    points("Discover", "Discover", { target, limit: 1 }),
    points("DiscoverBatch", "DiscoverBatch", { discover_points: [{ target, ...inPlain }] }),
  ],
};
