// Multivectors of a collection: found by their graph, or read from memory or the store and compared one by one.
#include <algorithm>
#include <cmath>

#include "../query/scored.h"
#include "collection_view.h"

namespace sealpoint {

namespace {

// Rows read from the store in one MultiGet: one is easily a hundred kilobytes.
constexpr size_t kReadBatch = 32;
// From this share of a collection on its rows are read in their order and not one by one.
constexpr size_t kWalkedShare = 4;
// Points that a walk compares for each unit of ef, without a mask (check/multi_graph_check.cc, "time").
constexpr double kRowsPerEf = 20;

std::string_view checked(std::string_view row, const VectorField& field) {
  if (!is_multi_row(row, field.stored_bytes())) throw Error(ErrorKind::kDataLoss, "a multivector in the store has the wrong size");
  return row;
}

}  // namespace

// The rows of each slot that has any, in any order; `rows` is good for the call only.
void Collection::visit_rows(size_t number, const Bitset* allowed, size_t allowed_count, const VisitRows& visit) const {
  const VectorField& field = record_.vectors[number];
  const std::vector<uint64_t>& versions = vector_versions_[number];
  const bool as_stored = field.datatype == Datatype::kFloat32;
  std::vector<float> widened;
  const auto show = [&](uint32_t slot, std::string_view row) {
    // One of them may be worth a millisecond.
    cancellation::check();
    const uint32_t count = multi_row_count(row);
    if (as_stored) {
      visit(slot, reinterpret_cast<const float*>(row.data() + 4), count);
      return;
    }
    if (widened.size() < size_t{count} * field.dim) widened.resize(size_t{count} * field.dim);
    load_max_sim_rows(field.distance, field.datatype, field.dim, row.data() + 4, count, widened.data());
    visit(slot, widened.data(), count);
  };
  std::vector<uint32_t> unread;
  const auto look = [&](uint32_t slot) {
    if (slot >= versions.size() || versions[slot] == 0) return;
    const std::string_view row = multi_[number].row(slot);
    if (row.empty()) {
      unread.push_back(slot);
    } else {
      show(slot, row);
    }
  };
  if (allowed == nullptr) {
    ids_.live().for_each(look);
  } else {
    allowed->for_each(look);
  }
  if (unread.empty()) return;
  rocksdb::ReadOptions options = at(snapshot_.get());
  // A scan would only push out what others read again.
  const bool walks = unread.size() * kWalkedShare >= ids_.size() && unread.size() > kReadBatch;
  options.fill_cache = !walks;
  if (walks) {
    Bitset wanted(versions.size());
    for (const uint32_t slot : unread) wanted.set(slot);
    const std::string prefix = Store::vector_key(cid_, static_cast<uint16_t>(number), PointId()).substr(0, 6);
    options.readahead_size = 2 << 20;
    std::unique_ptr<rocksdb::Iterator> it(store_.db().NewIterator(options, store_.vectors()));
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
      std::string_view key = it->key().ToStringView().substr(prefix.size());
      PointId id;
      if (!PointId::parse_key(key, id)) throw Error(ErrorKind::kDataLoss, "a vector's key in the store is damaged");
      const uint32_t slot = ids_.find(id);
      if (slot != IdTable::kNone && wanted.test(slot)) show(slot, checked(it->value().ToStringView(), field));
    }
    check(it->status(), "cannot read the vectors");
    return;
  }
  std::vector<std::string> keys(kReadBatch);
  std::vector<rocksdb::Slice> slices(kReadBatch);
  std::vector<rocksdb::PinnableSlice> rows(kReadBatch);
  std::vector<rocksdb::Status> statuses(kReadBatch);
  for (size_t from = 0; from < unread.size(); from += kReadBatch) {
    const size_t batch = std::min(kReadBatch, unread.size() - from);
    for (size_t i = 0; i < batch; ++i) {
      keys[i] = Store::vector_key(cid_, static_cast<uint16_t>(number), ids_.id(unread[from + i]));
      slices[i] = keys[i];
    }
    store_.db().MultiGet(options, store_.vectors(), batch, slices.data(), rows.data(), statuses.data());
    for (size_t i = 0; i < batch; ++i) {
      check(statuses[i], "cannot read a vector");
      show(unread[from + i], checked(rows[i].ToStringView(), field));
      rows[i].Reset();
    }
  }
}

uint64_t Collection::vector_bytes(size_t number, uint64_t live) const {
  const VectorField& field = record_.vectors[number];
  if (field.sparse) return sparse_[number].vector_bytes();
  if (!field.multi) return live * field.stored_bytes();
  // Of what only the store holds nobody knows more than that each point has a row at least.
  return field.multi_in_memory() ? multi_[number].vector_bytes() : ids_.size() * field.stored_bytes();
}

MaxSimQuery Collection::max_sim(size_t number, const float* rows, size_t count) const {
  const VectorField& field = record_.vectors[number];
  return {field.distance, field.datatype, field.dim, rows, count};
}

// False when all that may be found is to be compared: that costs less, finds more, or was asked for.
bool Collection::walk_multi(size_t number, MaxSimQuery& query, const VectorSearch& search, std::vector<VectorHit>& found) const {
  const MultiIndex& multi = multi_[number];
  const MultiGraph* const graph = multi.graph();
  const VectorIndexConfig& config = multi.config();
  if (graph == nullptr || search.exact || multi.kilobytes() < config.full_scan_threshold_kb) return false;
  // As at Qdrant: matches of fewer kilobytes than the threshold are compared, whatever a walk would cost.
  if (search.allowed != nullptr && multi.kilobytes_of(search.allowed_count) < config.full_scan_threshold_kb) return false;
  const auto live = static_cast<double>(multi.graph_count());
  double matches = live;
  if (search.allowed != nullptr) matches *= std::min(1.0, static_cast<double>(search.allowed_count) / static_cast<double>(multi.count()));
  const size_t ef = std::max(search.ef != 0 ? search.ef : config.ef_construct, search.k);
  const double cost = static_cast<double>(ef) * kRowsPerEf * live / std::max(matches, 1.0);
  if (cost >= matches) return false;
  VectorSearchReport unread;
  VectorSearchReport& report = search.report == nullptr ? unread : *search.report;
  const bool passes_over = search.allowed != nullptr || graph->rows.size() > multi.graph_count();
  ++(passes_over ? report.walked_masked : report.walked);
  if (graph->walk({query, ef, search.k, search.allowed, &multi.written(), passes_over, static_cast<size_t>(matches)}, found)) return true;
  ++report.walks_given_up;
  return false;
}

std::vector<VectorHit> Collection::nearest_multi(size_t number, MaxSimQuery query, const VectorSearch& search) const {
  const Distance distance = record_.vectors[number].distance;
  const bool is_similarity = distance == Distance::kCosine || distance == Distance::kDot;
  if (search.k == 0) return {};
  // The worst of the best k on top.
  std::vector<Scored> best;
  const auto offer = [&](const Scored& one) {
    if (best.size() == search.k && !better(one, best.front())) return;
    if (search.has_threshold) {
      const float score = MaxSimQuery::score(distance, one.score);
      if (is_similarity ? score < search.threshold : score > search.threshold) return;
    }
    if (best.size() == search.k) {
      std::pop_heap(best.begin(), best.end(), better);
      best.pop_back();
    }
    best.push_back(one);
    std::push_heap(best.begin(), best.end(), better);
  };
  const auto compare = [&](uint32_t slot, const float* rows, size_t count) { offer({slot, query.similarity(rows, count)}); };
  const MultiIndex& multi = multi_[number];
  // "Indexed only" spares the caller long scans, not small ones.
  const bool passes_tail = search.indexed_only && multi.indexes() && multi.tail_kilobytes() > multi.config().indexing_threshold_kb;
  if (passes_tail && multi.graph() == nullptr) return {};
  std::vector<VectorHit> found;
  if (walk_multi(number, query, search, found)) {
    for (const VectorHit& one : found) offer({one.slot, one.score});
    if (multi.tail_count() > 0 && !passes_tail) {
      Bitset tail = multi.written();
      if (search.allowed != nullptr) tail.and_with(*search.allowed);
      if (search.report != nullptr) ++search.report->tails_scanned;
      visit_rows(number, &tail, multi.tail_count(), compare);
    }
  } else {
    if (search.report != nullptr && search.report->walks_given_up == 0) search.report->rows_scanned = 1;
    if (passes_tail) {
      Bitset indexed = search.allowed != nullptr ? *search.allowed : ids_.live();
      indexed.and_not(multi.written());
      visit_rows(number, &indexed, indexed.count(), compare);
    } else {
      visit_rows(number, search.allowed, search.allowed_count, compare);
    }
  }
  std::sort_heap(best.begin(), best.end(), better);
  std::vector<VectorHit> hits;
  hits.reserve(best.size());
  for (const Scored& one : best) hits.push_back({one.slot, MaxSimQuery::score(distance, one.score)});
  return hits;
}

std::vector<float> Collection::stored_multi(size_t number, uint32_t slot) const {
  const VectorField& field = record_.vectors[number];
  if (slot >= vector_versions_[number].size() || vector_versions_[number][slot] == 0) return {};
  std::string_view row = multi_[number].row(slot);
  rocksdb::PinnableSlice stored;
  if (row.empty()) {
    const auto key = Store::vector_key(cid_, static_cast<uint16_t>(number), ids_.id(slot));
    check(store_.db().Get(at(snapshot_.get()), store_.vectors(), key, &stored), "cannot read a vector");
    row = checked(stored.ToStringView(), field);
  }
  std::vector<float> values(size_t{multi_row_count(row)} * field.dim);
  load_values(field.datatype, row.data() + 4, values.size(), values.data());
  return values;
}

}  // namespace sealpoint
