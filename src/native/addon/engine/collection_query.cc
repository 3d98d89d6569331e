// Universal queries and their groups: run (query_run.h), then filled in like any other answer.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include "../payload/json_path.h"
#include "query_run.h"

namespace sealpoint {

namespace {

// Candidates of the first round of a grouped query, by wanted point, and how each further round grows.
constexpr size_t kGroupCandidates = 4;
constexpr size_t kGroupCandidatesMin = 128;
constexpr size_t kGroupGrowth = 4;
constexpr size_t kReadBatch = 256;

bool has_scores(QueryKind kind) { return kind != QueryKind::kNone && kind != QueryKind::kSample && kind != QueryKind::kOrderBy; }

struct Answer {
  PointId id;
  uint32_t slot;
  float score;
  uint64_t version;
};

// Equal scores by ascending id, so that pages do not overlap.
void order_equals(std::vector<Answer>& found) {
  for (size_t from = 0; from < found.size();) {
    size_t to = from + 1;
    while (to < found.size() && found[to].score == found[from].score) ++to;
    if (to - from > 1) {
      std::sort(found.begin() + static_cast<long>(from), found.begin() + static_cast<long>(to), [](const Answer& a, const Answer& b) { return a.id < b.id; });
    }
    from = to;
  }
}

// Raises the limits of a tree, so that a grouped query has enough to group.
void widen(QueryStage& stage, size_t limit) {
  stage.limit = static_cast<uint32_t>(std::max<size_t>(stage.limit, std::min<size_t>(limit, std::numeric_limits<uint32_t>::max())));
  for (QueryStage& prefetch : stage.prefetch) widen(prefetch, limit);
}

// Keys of the groups that a payload belongs to, each once, as bytes that tell integers from strings; none when one of its values can be
// no key, as Qdrant has it.
std::vector<std::string> group_keys(std::string_view payload, const payload::Path& path) {
  std::vector<std::string> keys;
  bool usable = true;
  const auto take = [&](const payload::Value& value) {
    std::string key;
    if (value.kind == payload::Kind::kInteger) {
      key.assign(1, '\0');
      key.append(reinterpret_cast<const char*>(&value.integer), 8);
    } else if (value.kind == payload::Kind::kString) {
      key.assign(1, '\1');
      key.append(value.body);
    } else {
      usable = false;
      return;
    }
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(std::move(key));
  };
  payload::for_each_value(payload, payload::kRootField, path, [&](const payload::Value& value) {
    if (value.kind == payload::Kind::kList) {
      payload::for_each_element(value.body, [&](std::string_view bytes) {
        take(payload::read_value(bytes));
        return usable;
      });
    } else {
      take(value);
    }
    return usable;
  });
  if (!usable) keys.clear();
  return keys;
}

struct Group {
  std::string key;
  std::vector<Answer> points;
};

}  // namespace

std::string Collection::query(ByteReader& in) const {
  const QueryStage root = QueryStage::read(in);
  uint32_t offset = in.u32();
  // Pages of a random sample mean nothing: Qdrant leaves their offset out.
  if (root.kind == QueryKind::kSample && root.prefetch.empty()) offset = 0;
  if (root.orders()) await_indexes();
  const WireForm form = in.u8() != 0 ? WireForm::kScrolled : WireForm::kScored;
  const PayloadSelector payload = PayloadSelector::read(in);
  const VectorsSelector vectors = VectorsSelector::read(in);
  std::vector<Answer> found;
  std::vector<OrderValue> orders;  // beside `found`
  Snapshot snapshot;
  {
    QueryRun run(*this, root);
    const auto hits = run.run(root, size_t{root.limit} + offset);
    if (root.kind == QueryKind::kOrderBy && !hits.empty()) orders = run.order_values();
    snapshot = snapshot_;
    for (const Scored& hit : hits) found.push_back({ids_.id(hit.slot), hit.slot, hit.score, versions_[hit.slot]});
  }
  if (has_scores(root.kind) && !root.mmr) order_equals(found);
  const size_t first = std::min<size_t>(offset, found.size());
  PointTableWriter table(found.size() - first, (payload.wanted() ? PointTableWriter::kPayloads : 0) | (vectors.wanted() ? PointTableWriter::kVectors : 0),
                         form);
  std::vector<SeenPoint> points;
  for (size_t i = first; i < found.size(); ++i) {
    table.add(found[i].id, found[i].score, found[i].version);
    if (!orders.empty()) table.set_order(orders[i]);
    points.push_back({found[i].id, found[i].slot});
  }
  fill(table, points, payload, vectors, snapshot.get(), true);
  // As in Qdrant, where such points come from a scroll, which reads no version. Until here it is what payloads are kept by.
  if (!has_scores(root.kind)) table.clear_versions();
  return table.finish();
}

// u32 groups; each u8 kind of key (0 integer, 1 text), its text, u32 points; then the table of all their points, group after group.
std::string Collection::query_groups(ByteReader& in) const {
  QueryStage root = QueryStage::read(in);
  if (root.orders()) await_indexes();
  const payload::Path path = payload::Path::parse(in.text(), "group_by");
  const uint32_t group_size = in.u32();
  const PayloadSelector payload = PayloadSelector::read(in);
  const VectorsSelector vectors = VectorsSelector::read(in);
  const size_t groups_max = root.limit;
  size_t candidates = std::max(groups_max * group_size * kGroupCandidates, kGroupCandidatesMin);
  std::vector<Group> groups;
  Snapshot snapshot;
  for (;;) {
    root.limit = 0;
    widen(root, candidates);
    std::vector<Answer> found;
    size_t points = 0;
    {
      QueryRun run(*this, root);
      const auto hits = run.run(root, candidates);
      snapshot = snapshot_;
      points = ids_.size();
      for (const Scored& hit : hits) found.push_back({ids_.id(hit.slot), hit.slot, hit.score, versions_[hit.slot]});
    }
    if (has_scores(root.kind) && !root.mmr) order_equals(found);
    groups.clear();
    std::unordered_map<std::string, size_t> places;
    std::vector<rocksdb::PinnableSlice> payloads(std::min(kReadBatch, found.size()));
    std::vector<rocksdb::Status> statuses(payloads.size());
    for (size_t from = 0; from < found.size(); from += kReadBatch) {
      cancellation::check();
      const size_t batch = std::min(kReadBatch, found.size() - from);
      std::vector<std::string> keys;
      std::vector<rocksdb::Slice> slices;
      for (size_t i = 0; i < batch; ++i) keys.push_back(Store::point_key(cid_, found[from + i].id));
      for (const auto& key : keys) slices.emplace_back(key);
      store_.db().MultiGet(at(snapshot.get()), store_.payloads(), batch, slices.data(), payloads.data(), statuses.data());
      for (size_t i = 0; i < batch; ++i) {
        if (!statuses[i].ok() && !statuses[i].IsNotFound()) check(statuses[i], "cannot read a payload");
        if (statuses[i].IsNotFound()) continue;
        for (std::string& key : group_keys(payloads[i].ToStringView(), path)) {
          const auto [place, is_new] = places.try_emplace(key, groups.size());
          if (is_new) groups.push_back({std::move(key), {}});
          Group& group = groups[place->second];
          // Ordered by a key of several values, a point comes more than once.
          const bool is_there = root.kind == QueryKind::kOrderBy &&
                                std::any_of(group.points.begin(), group.points.end(), [&](const Answer& one) { return one.slot == found[from + i].slot; });
          if (group.points.size() < group_size && !is_there) group.points.push_back(found[from + i]);
        }
        payloads[i].Reset();
      }
    }
    const auto full = static_cast<size_t>(
        std::count_if(groups.begin(), groups.end(), [&](const Group& group) { return group.points.size() >= group_size; }));
    // Only the first groups are answered, and each of them may still want points that come later.
    const bool enough = groups.size() >= groups_max && full >= groups_max &&
                        std::all_of(groups.begin(), groups.begin() + static_cast<long>(groups_max),
                                    [&](const Group& group) { return group.points.size() >= group_size; });
    if (enough || found.size() < candidates || candidates >= points) break;
    candidates *= kGroupGrowth;
  }
  if (groups.size() > groups_max) groups.resize(groups_max);
  ByteWriter out;
  out.u32(static_cast<uint32_t>(groups.size()));
  size_t rows = 0;
  for (const Group& group : groups) {
    const bool is_text = group.key[0] == '\1';
    out.u8(is_text ? 1 : 0);
    out.text(std::string_view(group.key).substr(1));
    out.u32(static_cast<uint32_t>(group.points.size()));
    rows += group.points.size();
  }
  PointTableWriter table(rows, (payload.wanted() ? PointTableWriter::kPayloads : 0) | (vectors.wanted() ? PointTableWriter::kVectors : 0),
                         WireForm::kNone);
  std::vector<SeenPoint> seen;
  for (const Group& group : groups) {
    for (const Answer& point : group.points) {
      table.add(point.id, point.score, point.version);
      seen.push_back({point.id, point.slot});
    }
  }
  fill(table, seen, payload, vectors, snapshot.get(), true);
  while (out.bytes().size() % 8 != 0) out.u8(0);
  const std::string bytes = table.finish();
  out.raw(bytes.data(), bytes.size());
  return std::move(out.bytes());
}

}  // namespace sealpoint
