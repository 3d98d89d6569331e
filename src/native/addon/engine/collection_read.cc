// Reads. A filter is planned under the shared lock, where the indexes are; what the plan leaves open is judged on the payloads of
// the snapshot taken at that moment, without any lock.
#include <algorithm>
#include <cstring>

#include "../payload/payload.h"
#include "collection.h"
#include "cursor.h"

namespace sealpoint {

namespace {

// Points read from the store in one MultiGet.
constexpr size_t kReadBatch = 256;
// More matches than this, and a page of a scroll walks the ids in order instead of sorting the matches.
constexpr size_t kSortedMatchesMax = 4096;

std::string id_text(const PointId& id) {
  if (!id.is_uuid) return std::to_string(id.num);
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(digits[id.uuid[i] >> 4]);
    text.push_back(digits[id.uuid[i] & 15]);
  }
  return text;
}

rocksdb::ReadOptions at(const rocksdb::Snapshot* snapshot) {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  options.total_order_seek = true;
  return options;
}

PointId id_of_key(rocksdb::Slice key) {
  std::string_view bytes = key.ToStringView();
  bytes.remove_prefix(4);
  PointId id;
  if (!PointId::parse_key(bytes, id)) throw Error(ErrorKind::kDataLoss, "a point's key in the store is damaged");
  return id;
}

}  // namespace

// A filter's view of the state; only while the shared lock is held.
class Collection::LockedContext : public FilterContext {
 public:
  explicit LockedContext(const Collection& collection) : collection_(collection) {}
  bool has_vector(std::string_view name, uint32_t slot) const override {
    const int vector = collection_.vector_number(name);
    return vector >= 0 && slot < collection_.vector_versions_[static_cast<size_t>(vector)].size() &&
           collection_.vector_versions_[static_cast<size_t>(vector)][slot] != 0;
  }
  bool slot_of(const PointId& id, uint32_t& slot) const override {
    slot = collection_.ids_.find(id);
    return slot != IdTable::kNone;
  }
  size_t slots() const override { return collection_.ids_.slots(); }
  const Bitset& live() const override { return collection_.ids_.live(); }
  bool is_uuid_field(std::string_view key) const override { return collection_.indexes_->is_uuid_field(key); }

 private:
  const Collection& collection_;
};

// What a read saw when it began.
struct Collection::View {
  Snapshot snapshot;
  uint64_t operation = 0;
  bool filtered = false;
  bool exact = true;  // of `slots`
  Bitset slots;       // when filtered: the matches, or a superset of them
  size_t count = 0;
  std::vector<std::string> vector_names;
  std::vector<std::string> uuid_fields;  // keys with a uuid index, which compares by value
  std::vector<PointId> ids;  // of `slots`, ascending slot, when the view was opened with ids
};

// A filter's view of one point of the snapshot.
class Collection::SnapshotContext : public FilterContext {
 public:
  SnapshotContext(const Collection& collection, const View& view) : collection_(collection), view_(view) {}
  void point(const PointId& id) {
    id_ = &id;
    loaded_ = false;
  }
  void point(const PointId& id, const PointRecord& record) {
    id_ = &id;
    record_ = record;
    loaded_ = true;
  }
  bool has_vector(std::string_view name, uint32_t) const override {
    if (!loaded_) {
      std::string value;
      const auto status = collection_.store_.db().Get(at(view_.snapshot.get()), collection_.store_.points(),
                                                      Store::point_key(collection_.cid_, *id_), &value);
      if (status.IsNotFound()) return false;
      check(status, "cannot read a point");
      record_ = PointRecord::decode(value);
      loaded_ = true;
    }
    for (const auto& [vector, version] : record_.vectors) {
      if (vector < view_.vector_names.size() && view_.vector_names[vector] == name) return true;
    }
    return false;
  }
  bool slot_of(const PointId&, uint32_t&) const override { return false; }
  size_t slots() const override { return 0; }
  const Bitset& live() const override { return none_; }
  bool is_uuid_field(std::string_view key) const override {
    return std::find(view_.uuid_fields.begin(), view_.uuid_fields.end(), key) != view_.uuid_fields.end();
  }

 private:
  const Collection& collection_;
  const View& view_;
  const PointId* id_ = nullptr;
  mutable PointRecord record_;
  mutable bool loaded_ = false;
  Bitset none_;
};

// [shared lock held] The snapshot of this moment and the plan of the filter.
Collection::View Collection::view(const FilterRequest& filter) const {
  View view;
  view.snapshot = snapshot_;
  view.operation = operation_;
  for (const auto& field : record_.vectors) view.vector_names.push_back(field.name);
  if (!filter.present()) return view;
  view.filtered = true;
  for (const auto& index : record_.indexes) {
    if (index.type == FieldType::kUuid) view.uuid_fields.push_back(index.key);
  }
  if (filter.filter != nullptr) {
    FilterPlan plan = indexes_->plan(*filter.filter, LockedContext(*this));
    view.slots = std::move(plan.slots);
    view.exact = plan.exact;
  } else {
    view.slots = ids_.live();
  }
  if (filter.plain_only) view.slots.and_not(sealed_);
  view.count = view.slots.count();
  if (!view.exact) {
    view.ids.reserve(view.count);
    view.slots.for_each([&](uint32_t slot) { view.ids.push_back(ids_.id(slot)); });
  }
  return view;
}

// [no lock] Judges the candidates that the indexes left open.
void Collection::narrow(View& view, const FilterRequest& filter) const {
  if (!view.filtered || view.exact) return;
  SnapshotContext context(*this, view);
  std::vector<uint32_t> slots;
  slots.reserve(view.count);
  view.slots.for_each([&](uint32_t slot) { slots.push_back(slot); });
  std::vector<std::string> keys;
  std::vector<rocksdb::Slice> slices;
  std::vector<rocksdb::PinnableSlice> values(kReadBatch);
  std::vector<rocksdb::Status> statuses(kReadBatch);
  Bitset matches(slots.empty() ? 0 : slots.back() + size_t{1});
  size_t count = 0;
  rocksdb::ReadOptions options = at(view.snapshot.get());
  options.fill_cache = slots.size() <= kReadBatch;
  for (size_t from = 0; from < slots.size(); from += kReadBatch) {
    const size_t batch = std::min(kReadBatch, slots.size() - from);
    keys.clear();
    slices.clear();
    for (size_t i = 0; i < batch; ++i) keys.push_back(Store::point_key(cid_, view.ids[from + i]));
    for (const auto& key : keys) slices.emplace_back(key);
    store_.db().MultiGet(options, store_.payloads(), batch, slices.data(), values.data(), statuses.data());
    for (size_t i = 0; i < batch; ++i) {
      if (!statuses[i].ok() && !statuses[i].IsNotFound()) check(statuses[i], "cannot read a payload");
      const std::string_view payload = statuses[i].ok() ? values[i].ToStringView() : std::string_view();
      const PointId& id = view.ids[from + i];
      context.point(id);
      if (filter.filter->matches({id, slots[from + i], payload}, context)) {
        matches.set(slots[from + i]);
        ++count;
      }
      values[i].Reset();
    }
  }
  view.slots = std::move(matches);
  view.count = count;
  view.exact = true;
  view.ids.clear();
}

// For writes: [writers' mutex held, so the state stands still] ids that match, in slot order.
std::vector<PointId> Collection::matching_ids(const FilterRequest& filter) const {
  View view = this->view(filter);
  narrow(view, filter);
  std::vector<PointId> ids;
  const Bitset& slots = view.filtered ? view.slots : ids_.live();
  slots.for_each([&](uint32_t slot) { ids.push_back(ids_.id(slot)); });
  return ids;
}

std::vector<uint16_t> Collection::selected_vectors(const VectorsSelector& selector) const {
  std::vector<uint16_t> numbers;
  if (selector.kind == VectorsSelector::Kind::kNone) return numbers;
  std::shared_lock lock(state_mutex_);
  if (selector.kind == VectorsSelector::Kind::kAll) {
    for (size_t vector = 0; vector < record_.vectors.size(); ++vector) numbers.push_back(static_cast<uint16_t>(vector));
    return numbers;
  }
  for (const std::string& name : selector.names) {
    const int vector = vector_number(name);
    if (vector < 0) throw Error(ErrorKind::kBadInput, "Wrong input: Not existing vector name error: " + name, "with_vectors");
    numbers.push_back(static_cast<uint16_t>(vector));
  }
  return numbers;
}

// Payloads and vectors of the table's rows, which stand for `ids`, read at the snapshot.
void Collection::fill(PointTableWriter& table, const std::vector<PointId>& ids, const PayloadSelector& payload, const VectorsSelector& vectors,
                      const rocksdb::Snapshot* snapshot) const {
  const std::vector<uint16_t> numbers = selected_vectors(vectors);
  if (!payload.wanted() && numbers.empty()) return;
  std::vector<std::string> names;
  {
    std::shared_lock lock(state_mutex_);
    for (const auto& field : record_.vectors) names.push_back(field.name);
  }
  const rocksdb::ReadOptions options = at(snapshot);
  std::vector<std::string> keys;
  std::vector<rocksdb::Slice> slices;
  const size_t most = std::min(kReadBatch, ids.size());
  std::vector<rocksdb::PinnableSlice> payloads(most), values(most * numbers.size());
  std::vector<rocksdb::Status> statuses(most), vector_statuses(most * numbers.size());
  std::vector<rocksdb::Slice> vector_slices;
  std::string selected;
  for (size_t from = 0; from < ids.size(); from += kReadBatch) {
    const size_t batch = std::min(kReadBatch, ids.size() - from);
    if (payload.wanted()) {
      keys.clear();
      slices.clear();
      for (size_t i = 0; i < batch; ++i) keys.push_back(Store::point_key(cid_, ids[from + i]));
      for (const auto& key : keys) slices.emplace_back(key);
      store_.db().MultiGet(options, store_.payloads(), batch, slices.data(), payloads.data(), statuses.data());
    }
    if (!numbers.empty()) {
      keys.clear();
      vector_slices.clear();
      for (size_t i = 0; i < batch; ++i) {
        for (const uint16_t number : numbers) keys.push_back(Store::vector_key(cid_, number, ids[from + i]));
      }
      for (const auto& key : keys) vector_slices.emplace_back(key);
      store_.db().MultiGet(options, store_.vectors(), vector_slices.size(), vector_slices.data(), values.data(), vector_statuses.data());
    }
    for (size_t i = 0; i < batch; ++i) {
      if (payload.wanted()) {
        if (!statuses[i].ok() && !statuses[i].IsNotFound()) check(statuses[i], "cannot read a payload");
        const std::string_view stored = statuses[i].ok() ? payloads[i].ToStringView() : std::string_view();
        table.set_payload(from + i, payload.apply(stored, selected) ? std::string_view(selected) : stored);
        payloads[i].Reset();
      }
      for (size_t n = 0; n < numbers.size(); ++n) {
        const size_t place = i * numbers.size() + n;
        if (vector_statuses[place].IsNotFound()) continue;
        check(vector_statuses[place], "cannot read a vector");
        table.add_vector(from + i, names[numbers[n]], values[place].data(), static_cast<uint32_t>(values[place].size() / 4));
        values[place].Reset();
      }
    }
  }
}

std::string Collection::search(const SearchRequest& request) const {
  std::shared_lock lock(state_mutex_);
  const size_t number = required_vector(request.using_vector);
  const VectorField field = record_.vectors[number];
  std::vector<float> query(field.dim);
  uint32_t excluded = IdTable::kNone;
  if (request.query == nullptr) {
    excluded = ids_.find(request.by_id);
    if (excluded == IdTable::kNone) throw Error(ErrorKind::kNotFound, "Not found: No point with id " + id_text(request.by_id) + " found", "query");
    if (!vectors_[number]->get(excluded, query.data())) {
      throw Error(ErrorKind::kNotFound, "Not found: Point " + id_text(request.by_id) + " has no vector `" + field.name + "`", "query");
    }
  } else {
    if (request.dim != field.dim) {
      throw Error(ErrorKind::kBadInput,
                  "Wrong input: Vector dimension error: expected dim: " + std::to_string(field.dim) + ", got " + std::to_string(request.dim), "query");
    }
    std::memcpy(query.data(), request.query, size_t{field.dim} * 4);
    float sum = 0;
    for (const float value : query) sum += value - value;
    if (!(sum == 0)) throw Error(ErrorKind::kBadInput, "Wrong input: the query vector holds a value that is not finite", "query");
    if (field.distance == Distance::kCosine) normalize(query.data(), field.dim);
  }
  View view = this->view(request.filter);
  const bool judged_apart = !view.exact;
  if (judged_apart) {
    lock.unlock();
    narrow(view, request.filter);
    lock.lock();
  }
  VectorSearch search;
  search.query = query.data();
  search.k = size_t{request.limit} + request.offset + (excluded == IdTable::kNone ? 0 : 1);
  search.ef = request.ef;
  search.exact = request.exact;
  search.indexed_only = request.indexed_only;
  search.has_threshold = request.has_threshold;
  search.threshold = request.threshold;
  if (view.filtered) {
    search.allowed = &view.slots;
    search.allowed_count = view.count;
  }
  std::vector<VectorHit> hits;
  if (!view.filtered || view.count > 0) vectors_[number]->search(search, hits);
  std::erase_if(hits, [&](const VectorHit& hit) { return hit.slot == excluded; });

  struct Hit {
    PointId id;
    float score;
    uint64_t version;
  };
  std::vector<Hit> found;
  found.reserve(hits.size());
  for (const VectorHit& hit : hits) found.push_back({ids_.id(hit.slot), hit.score, versions_[hit.slot]});
  const Snapshot snapshot = snapshot_;
  View now;
  now.snapshot = snapshot;
  for (const auto& vector : record_.vectors) now.vector_names.push_back(vector.name);
  now.uuid_fields = view.uuid_fields;
  lock.unlock();

  if (judged_apart && request.filter.filter != nullptr) {
    // A point written while its payload was judged without the lock is judged again as it is now.
    SnapshotContext context(*this, now);
    std::erase_if(found, [&](const Hit& hit) {
      if (hit.version <= view.operation) return false;
      rocksdb::PinnableSlice stored;
      const auto status = store_.db().Get(at(snapshot.get()), store_.payloads(), Store::point_key(cid_, hit.id), &stored);
      if (!status.IsNotFound()) check(status, "cannot read a payload");
      context.point(hit.id);
      return !request.filter.filter->matches({hit.id, 0, stored.ToStringView()}, context);
    });
  }
  // Equal scores by ascending id, so that pages do not overlap.
  for (size_t from = 0; from < found.size();) {
    size_t to = from + 1;
    while (to < found.size() && found[to].score == found[from].score) ++to;
    if (to - from > 1) {
      std::sort(found.begin() + static_cast<long>(from), found.begin() + static_cast<long>(to), [](const Hit& a, const Hit& b) { return a.id < b.id; });
    }
    from = to;
  }
  const size_t first = std::min<size_t>(request.offset, found.size());
  const size_t last = std::min<size_t>(first + request.limit, found.size());
  PointTableWriter table(last - first, (request.payload.wanted() ? PointTableWriter::kPayloads : 0) |
                                           (request.vectors.wanted() ? PointTableWriter::kVectors : 0));
  std::vector<PointId> ids;
  ids.reserve(last - first);
  for (size_t i = first; i < last; ++i) {
    table.add(found[i].id, found[i].score, found[i].version);
    ids.push_back(found[i].id);
  }
  fill(table, ids, request.payload, request.vectors, snapshot.get());
  return table.finish();
}

std::string Collection::get(ByteReader& in) const {
  const uint32_t count = in.u32();
  std::vector<PointId> ids;
  ids.reserve(std::min<size_t>(count, in.left() / 9));
  for (uint32_t i = 0; i < count; ++i) ids.push_back(in.id());
  const PayloadSelector payload = PayloadSelector::read(in);
  const VectorsSelector vectors = VectorsSelector::read(in);
  PointTableWriter table(ids.size(), (payload.wanted() ? PointTableWriter::kPayloads : 0) | (vectors.wanted() ? PointTableWriter::kVectors : 0));
  std::vector<PointId> found;
  Snapshot snapshot;
  {
    std::shared_lock lock(state_mutex_);
    snapshot = snapshot_;
    Bitset seen;
    for (const PointId& id : ids) {
      const uint32_t slot = ids_.find(id);
      if (slot == IdTable::kNone || seen.test(slot)) continue;
      seen.set(slot);
      found.push_back(id);
      table.add(id, std::numeric_limits<float>::quiet_NaN(), versions_[slot]);
    }
  }
  fill(table, found, payload, vectors, snapshot.get());
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
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    ++total;
    if (payload::has_plain(it->value().ToStringView(), clear)) ++plain;
  }
  check(it->status(), "cannot read the payloads");
  return {plain, total};
}

Collection::Cursor::Cursor(std::shared_ptr<const Collection> collection, ScrollRequest request)
    : collection_(std::move(collection)), request_(std::move(request)), view_(std::make_unique<View>()) {
  const Collection& owner = *collection_;
  {
    std::shared_lock lock(owner.state_mutex_);
    *view_ = owner.view(request_.filter);
    // Few matches are sorted and read one by one; otherwise the ids are walked in order.
    sorted_ = view_->filtered && view_->exact && (view_->count <= kSortedMatchesMax || view_->count * 8 < owner.ids_.size());
    if (sorted_) {
      matches_.reserve(view_->count);
      view_->slots.for_each([&](uint32_t slot) { matches_.push_back(owner.ids_.id(slot)); });
    }
    view_->ids.clear();
    view_->ids.shrink_to_fit();
  }
  if (sorted_) {
    std::sort(matches_.begin(), matches_.end());
    if (request_.has_offset) {
      const auto from = request_.exclusive ? std::upper_bound(matches_.begin(), matches_.end(), request_.offset)
                                           : std::lower_bound(matches_.begin(), matches_.end(), request_.offset);
      place_ = static_cast<size_t>(from - matches_.begin());
    }
    return;
  }
  rocksdb::ReadOptions options = at(view_->snapshot.get());
  iterator_.reset(owner.store_.db().NewIterator(options, owner.store_.points()));
  prefix_ = Store::cid_prefix(owner.cid_);
  const std::string start = request_.has_offset ? Store::point_key(owner.cid_, request_.offset) : prefix_;
  iterator_->Seek(start);
  if (request_.exclusive && iterator_->Valid() && iterator_->key() == start) iterator_->Next();
}

Collection::Cursor::~Cursor() { iterator_.reset(); }

bool Collection::Cursor::skip_to_match() {
  if (sorted_) return place_ < matches_.size();
  const Collection& owner = *collection_;
  SnapshotContext context(owner, *view_);
  for (; iterator_->Valid() && iterator_->key().starts_with(prefix_); iterator_->Next()) {
    current_ = PointRecord::decode(iterator_->value().ToStringView());
    current_id_ = id_of_key(iterator_->key());
    if (!view_->filtered) return true;
    if (!view_->slots.test(current_.slot)) continue;
    if (view_->exact) return true;
    rocksdb::PinnableSlice payload;
    const auto status = owner.store_.db().Get(at(view_->snapshot.get()), owner.store_.payloads(), iterator_->key(), &payload);
    if (!status.IsNotFound()) check(status, "cannot read a payload");
    context.point(current_id_, current_);
    if (request_.filter.filter->matches({current_id_, current_.slot, payload.ToStringView()}, context)) return true;
  }
  check(iterator_->status(), "cannot read the points");
  return false;
}

std::string Collection::Cursor::next(uint32_t limit) {
  const Collection& owner = *collection_;
  PointTableWriter table(std::min<uint32_t>(limit, 4096), (request_.payload.wanted() ? PointTableWriter::kPayloads : 0) |
                                                              (request_.vectors.wanted() ? PointTableWriter::kVectors : 0));
  std::vector<PointId> ids;
  const float none = std::numeric_limits<float>::quiet_NaN();
  while (ids.size() < limit && skip_to_match()) {
    if (sorted_) {
      const PointId id = matches_[place_++];
      std::string value;
      const auto status = owner.store_.db().Get(at(view_->snapshot.get()), owner.store_.points(), Store::point_key(owner.cid_, id), &value);
      if (status.IsNotFound()) continue;
      check(status, "cannot read a point");
      table.add(id, none, PointRecord::decode(value).version);
      ids.push_back(id);
    } else {
      table.add(current_id_, none, current_.version);
      ids.push_back(current_id_);
      iterator_->Next();
    }
  }
  owner.fill(table, ids, request_.payload, request_.vectors, view_->snapshot.get());
  return table.finish();
}

bool Collection::Cursor::peek(PointId& id) {
  if (!skip_to_match()) return false;
  id = sorted_ ? matches_[place_] : current_id_;
  return true;
}

std::shared_ptr<Collection::Cursor> Collection::open_cursor(ScrollRequest request) const {
  return std::make_shared<Cursor>(shared_from_this(), std::move(request));
}

std::string Collection::scroll(ScrollRequest request) const {
  const uint32_t limit = request.limit;
  Cursor cursor(shared_from_this(), std::move(request));
  const std::string table = cursor.next(limit);
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
