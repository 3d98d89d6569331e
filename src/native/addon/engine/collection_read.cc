// Reads: answers are made from a view (collection_view.h) and filled from its snapshot.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../payload/payload.h"
#include "collection.h"
#include "collection_view.h"
#include "cursor.h"

namespace sealpoint {

namespace {

// Points read from the store in one MultiGet.
constexpr size_t kReadBatch = 256;

}  // namespace

std::vector<uint16_t> Collection::selected_vectors(const VectorsSelector& selector) const {
  std::vector<uint16_t> numbers;
  if (selector.kind == VectorsSelector::Kind::kNone) return numbers;
  std::shared_lock lock(state_mutex_);
  if (selector.kind == VectorsSelector::Kind::kAll) {
    for (size_t vector = 0; vector < record_.vectors.size(); ++vector) {
      if (!record_.vectors[vector].removed) numbers.push_back(static_cast<uint16_t>(vector));
    }
    return numbers;
  }
  for (const std::string& name : selector.names) {
    const int vector = vector_number(name);
    if (vector < 0) throw Error(ErrorKind::kBadInput, "Wrong input: Not existing vector name error: " + name, "with_vectors");
    numbers.push_back(static_cast<uint16_t>(vector));
  }
  return numbers;
}

// Payloads and vectors of the table's rows, which stand for `points`, read at the snapshot. What is scanned only once is not `kept` in the cache.
void Collection::fill(PointTableWriter& table, const std::vector<SeenPoint>& points, const PayloadSelector& payload,
                      const VectorsSelector& vectors, const rocksdb::Snapshot* snapshot, bool kept) const {
  if (payload.wanted()) fill_payloads(table, points, payload, snapshot, kept);
  const std::vector<uint16_t> numbers = selected_vectors(vectors);
  if (!numbers.empty()) fill_vectors(table, points, numbers, snapshot);
}

void Collection::fill_payloads(PointTableWriter& table, const std::vector<SeenPoint>& points, const PayloadSelector& payload,
                               const rocksdb::Snapshot* snapshot, bool kept) const {
  PayloadCache& cache = store_.payload_cache();
  std::string selected;
  const auto set = [&](size_t row, std::string_view stored) {
    table.set_payload(row, payload.apply(stored, selected) ? std::string_view(selected) : stored);
  };
  const auto key_of = [&](size_t row) { return PayloadKey{cid_, points[row].slot, table.version(row)}; };
  std::vector<size_t> missing;
  for (size_t row = 0; row < points.size(); ++row) {
    if (!cache.read(key_of(row), [&](std::string_view stored) { set(row, stored); })) missing.push_back(row);
  }
  if (missing.empty()) return;
  const rocksdb::ReadOptions options = at(snapshot);
  const size_t most = std::min(kReadBatch, missing.size());
  std::vector<std::string> keys(most);
  std::vector<rocksdb::Slice> slices(most);
  std::vector<rocksdb::PinnableSlice> payloads(most);
  std::vector<rocksdb::Status> statuses(most);
  for (size_t from = 0; from < missing.size(); from += kReadBatch) {
    cancellation::check();
    const size_t batch = std::min(kReadBatch, missing.size() - from);
    for (size_t i = 0; i < batch; ++i) {
      keys[i] = Store::point_key(cid_, points[missing[from + i]].id);
      slices[i] = keys[i];
    }
    store_.db().MultiGet(options, store_.payloads(), batch, slices.data(), payloads.data(), statuses.data());
    for (size_t i = 0; i < batch; ++i) {
      const size_t row = missing[from + i];
      if (!statuses[i].IsNotFound()) check(statuses[i], "cannot read a payload");
      const std::string_view stored = statuses[i].ok() ? payloads[i].ToStringView() : std::string_view();
      set(row, stored);
      if (kept) cache.put(key_of(row), stored);
      payloads[i].Reset();
    }
  }
}

void Collection::fill_vectors(PointTableWriter& table, const std::vector<SeenPoint>& points, const std::vector<uint16_t>& numbers,
                              const rocksdb::Snapshot* snapshot) const {
  std::vector<std::string> names;
  std::vector<Datatype> datatypes;
  using Form = PointTableWriter::VectorForm;
  std::vector<Form> forms;
  std::vector<bool> removed;
  std::vector<float> widened;
  {
    std::shared_lock lock(state_mutex_);
    for (const auto& field : record_.vectors) {
      names.push_back(field.name);
      datatypes.push_back(field.datatype);
      forms.push_back(field.sparse ? Form::kSparse : field.multi ? Form::kMulti : Form::kDense);
      removed.push_back(field.removed);
    }
  }
  const rocksdb::ReadOptions options = at(snapshot);
  const size_t most = std::min(kReadBatch, points.size()) * numbers.size();
  std::vector<std::string> keys;
  std::vector<rocksdb::Slice> slices;
  std::vector<rocksdb::PinnableSlice> values(most);
  std::vector<rocksdb::Status> statuses(most);
  for (size_t from = 0; from < points.size(); from += kReadBatch) {
    cancellation::check();
    const size_t batch = std::min(kReadBatch, points.size() - from);
    keys.clear();
    slices.clear();
    for (size_t i = 0; i < batch; ++i) {
      for (const uint16_t number : numbers) keys.push_back(Store::vector_key(cid_, number, points[from + i].id));
    }
    for (const auto& key : keys) slices.emplace_back(key);
    store_.db().MultiGet(options, store_.vectors(), slices.size(), slices.data(), values.data(), statuses.data());
    for (size_t i = 0; i < batch; ++i) {
      for (size_t n = 0; n < numbers.size(); ++n) {
        const size_t place = i * numbers.size() + n;
        // What the snapshot still holds of a name that was deleted since.
        if (statuses[place].IsNotFound() || removed[numbers[n]]) continue;
        check(statuses[place], "cannot read a vector");
        const Datatype datatype = datatypes[numbers[n]];
        const Form form = forms[numbers[n]];
        const size_t head = form == Form::kMulti ? 4 : 0;
        const size_t dim = head / 4 + (values[place].size() - head) / value_bytes(datatype);
        const char* floats = values[place].data();
        if (datatype != Datatype::kFloat32) {
          widened.resize(dim);
          std::memcpy(widened.data(), floats, head);
          load_values(datatype, floats + head, dim - head / 4, widened.data() + head / 4);
          floats = reinterpret_cast<const char*>(widened.data());
        }
        table.add_vector(from + i, names[numbers[n]], floats, static_cast<uint32_t>(dim), form);
        values[place].Reset();
      }
    }
  }
}

void Collection::weigh(size_t number, const uint32_t* indices, std::vector<float>& values, const Bitset* corpus) const {
  if (!record_.vectors[number].idf) return;
  const auto n = static_cast<float>(sparse_[number].live(corpus));
  for (size_t i = 0; i < values.size(); ++i) {
    const auto df = static_cast<float>(sparse_[number].document_frequency(indices[i], corpus));
    values[i] *= std::log((n - df + 0.5f) / (df + 0.5f) + 1.0f);
  }
}

// The query as its values are stored.
std::vector<float> Collection::query_values(const VectorField& field, const SearchRequest& request) {
  if (request.dim != field.dim) {
    throw Error(ErrorKind::kBadInput,
                "Wrong input: Vector dimension error: expected dim: " + std::to_string(field.dim) + ", got " + std::to_string(request.dim), "query");
  }
  std::vector<float> query(field.dim);
  std::memcpy(query.data(), request.query, size_t{field.dim} * 4);
  float sum = 0;
  for (const float value : query) sum += value - value;
  if (!(sum == 0)) throw Error(ErrorKind::kBadInput, "Wrong input: the query vector holds a value that is not finite", "query");
  field.prepare(query.data());
  return query;
}

VectorSearch Collection::vector_search(const SearchRequest& request, const float* query, const View& view) {
  VectorSearch search;
  search.query = query;
  search.k = size_t{request.limit} + request.offset;
  search.ef = request.ef;
  search.exact = request.exact;
  search.indexed_only = request.indexed_only;
  search.originals = request.originals;
  search.rescore = request.rescore;
  search.oversampling = request.oversampling;
  search.has_threshold = request.has_threshold;
  search.threshold = request.threshold;
  if (view.filtered) {
    search.allowed = &view.slots();
    search.allowed_count = view.count;
  }
  return search;
}

// [shared lock held]
std::vector<Collection::FoundPoint> Collection::found_points(const std::vector<VectorHit>& hits) const {
  std::vector<FoundPoint> found;
  found.reserve(hits.size());
  for (const VectorHit& hit : hits) found.push_back({ids_.id(hit.slot), hit.slot, hit.score, versions_[hit.slot]});
  return found;
}

// [no lock]
std::string Collection::search_answer(const SearchRequest& request, std::vector<FoundPoint>& found, const rocksdb::Snapshot* snapshot) const {
  // Equal scores by ascending id, so that pages do not overlap.
  for (size_t from = 0; from < found.size();) {
    size_t to = from + 1;
    while (to < found.size() && found[to].score == found[from].score) ++to;
    if (to - from > 1) {
      std::sort(found.begin() + static_cast<long>(from), found.begin() + static_cast<long>(to),
                [](const FoundPoint& a, const FoundPoint& b) { return a.id < b.id; });
    }
    from = to;
  }
  const size_t first = std::min<size_t>(request.offset, found.size());
  const size_t last = std::min<size_t>(first + request.limit, found.size());
  PointTableWriter table(last - first, (request.payload.wanted() ? PointTableWriter::kPayloads : 0) |
                                           (request.vectors.wanted() ? PointTableWriter::kVectors : 0),
                         WireForm::kScored);
  std::vector<SeenPoint> points;
  points.reserve(last - first);
  for (size_t i = first; i < last; ++i) {
    table.add(found[i].id, found[i].score, found[i].version);
    points.push_back({found[i].id, found[i].slot});
  }
  fill(table, points, request.payload, request.vectors, snapshot, true);
  return table.finish();
}

std::string Collection::search(const SearchRequest& request, VectorSearchReport* report) const {
  std::shared_lock lock(state_mutex_);
  const size_t number = required_vector(request.using_vector);
  const VectorField field = record_.vectors[number];
  if (field.sparse && request.query != nullptr) {
    throw Error(ErrorKind::kBadInput, "Wrong input: Conversion between sparse and regular vectors failed", "query");
  }
  std::vector<float> query(field.dim);
  std::vector<float> multi;
  uint32_t excluded = IdTable::kNone;
  if (request.query == nullptr) {
    excluded = ids_.find(request.by_id);
    if (excluded == IdTable::kNone) throw Error(ErrorKind::kNotFound, "Not found: No point with id " + id_text(request.by_id) + " found", "query");
    if (field.multi) multi = stored_multi(number, excluded);
    if (field.sparse ? !sparse_[number].contains(excluded) : field.multi ? multi.empty() : !vectors_[number]->get(excluded, query.data())) {
      throw Error(ErrorKind::kNotFound, "Not found: Point " + id_text(request.by_id) + " has no vector `" + field.name + "`", "query");
    }
  } else {
    query = query_values(field, request);
  }
  View view = this->view(request.filter);
  const bool judged_apart = !view.exact;
  if (judged_apart) {
    lock.unlock();
    narrow(view, request.filter);
    lock.lock();
  }
  VectorSearch search = vector_search(request, query.data(), view);
  // The point itself is no answer.
  search.k += excluded == IdTable::kNone ? 0 : 1;
  search.report = report;
  std::vector<VectorHit> hits;
  if (field.sparse) {
    if (!view.filtered || view.count > 0) {
      const SparseView of = sparse_[number].get(excluded);
      std::vector<float> weights(of.values, of.values + of.count);
      weigh(number, of.indices, weights);
      for (const SparseHit& hit : sparse_[number].search({of.indices, weights.data(), of.count}, search.k, search.allowed, search.allowed_count)) {
        if (!search.has_threshold || hit.score >= search.threshold) hits.push_back({hit.slot, hit.score});
      }
    }
  } else if (field.multi) {
    const std::vector<float>& rows = excluded == IdTable::kNone ? query : multi;
    if (!view.filtered || view.count > 0) hits = nearest_multi(number, max_sim(number, rows.data(), rows.size() / field.dim), search);
  } else if (!view.filtered || view.count > 0) {
    vectors_[number]->search(search, hits);
  }
  std::erase_if(hits, [&](const VectorHit& hit) { return hit.slot == excluded; });

  std::vector<FoundPoint> found = found_points(hits);
  const Snapshot snapshot = snapshot_;
  View now;
  if (judged_apart) {
    now.snapshot = snapshot;
    for (const auto& vector : record_.vectors) now.vector_names.push_back(vector.name);
    now.uuid_fields = view.uuid_fields;
    now.text_fields = view.text_fields;
  }
  lock.unlock();

  if (judged_apart && request.filter.filter != nullptr) {
    // A point written while its payload was judged without the lock is judged again as it is now.
    SnapshotContext context(*this, now);
    std::erase_if(found, [&](const FoundPoint& hit) {
      if (hit.version <= view.operation) return false;
      rocksdb::PinnableSlice stored;
      const auto status = store_.db().Get(at(snapshot.get()), store_.payloads(), Store::point_key(cid_, hit.id), &stored);
      if (!status.IsNotFound()) check(status, "cannot read a payload");
      context.point(hit.id);
      return !request.filter.filter->matches({hit.id, 0, stored.ToStringView()}, context);
    });
  }
  return search_answer(request, found, snapshot.get());
}

std::string Collection::get(ByteReader& in) const {
  const uint32_t count = in.u32();
  std::vector<PointId> ids;
  ids.reserve(std::min<size_t>(count, in.left() / 9));
  for (uint32_t i = 0; i < count; ++i) ids.push_back(in.id());
  const PayloadSelector payload = PayloadSelector::read(in);
  const VectorsSelector vectors = VectorsSelector::read(in);
  PointTableWriter table(ids.size(), (payload.wanted() ? PointTableWriter::kPayloads : 0) | (vectors.wanted() ? PointTableWriter::kVectors : 0),
                         WireForm::kRetrieved);
  std::vector<SeenPoint> found;
  Snapshot snapshot;
  {
    std::shared_lock lock(state_mutex_);
    snapshot = snapshot_;
    Bitset seen;
    for (const PointId& id : ids) {
      const uint32_t slot = ids_.find(id);
      if (slot == IdTable::kNone || seen.test(slot)) continue;
      seen.set(slot);
      found.push_back({id, slot});
      table.add(id, std::numeric_limits<float>::quiet_NaN(), versions_[slot]);
    }
  }
  fill(table, found, payload, vectors, snapshot.get(), true);
  return table.finish();
}

uint64_t Collection::count(const FilterRequest& filter) const {
  std::shared_lock lock(state_mutex_);
  View view = this->view(filter);
  if (!view.filtered) return ids_.size();
  lock.unlock();
  narrow(view, filter);
  return view.count;
}

std::pair<uint64_t, uint64_t> Collection::count_plain(const std::vector<std::string>& clear) const {
  Snapshot snapshot;
  {
    std::shared_lock lock(state_mutex_);
    snapshot = snapshot_;
  }
  rocksdb::ReadOptions options = at(snapshot.get());
  options.fill_cache = false;
  uint64_t plain = 0, total = 0;
  const std::string prefix = Store::cid_prefix(cid_);
  std::unique_ptr<rocksdb::Iterator> it(store_.db().NewIterator(options, store_.payloads()));
  cancellation::Stride<256> steps;
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    steps.step();
    ++total;
    if (payload::has_plain(it->value().ToStringView(), clear)) ++plain;
  }
  check(it->status(), "cannot read the payloads");
  return {plain, total};
}

std::shared_ptr<Collection::Cursor> Collection::open_cursor(ScrollRequest request) const {
  return std::make_shared<Cursor>(shared_from_this(), std::move(request));
}

std::string Collection::scroll(ScrollRequest request) const {
  const uint32_t limit = request.limit;
  Cursor cursor(shared_from_this(), std::move(request));
  const std::string table = cursor.next(limit, WireForm::kScrolled);
  ByteWriter out;
  PointId id;
  const bool more = cursor.peek(id);
  out.u8(more ? 1 : 0);
  out.u8(id.is_uuid ? 1 : 0);
  out.put<uint16_t>(0);
  out.u32(0);
  uint8_t bytes[16] = {};
  std::memcpy(bytes, id.is_uuid ? static_cast<const void*>(id.uuid) : static_cast<const void*>(&id.num), id.is_uuid ? 16 : 8);
  out.raw(bytes, 16);
  out.raw(table.data(), table.size());
  return std::move(out.bytes());
}

}  // namespace sealpoint
