#include "collection_view.h"

namespace sealpoint {

namespace {

// Payloads read from the store in one MultiGet.
constexpr size_t kReadBatch = 256;

}  // namespace

// [shared lock held] The snapshot of this moment and the plan of the filter.
Collection::View Collection::view(const FilterRequest& filter) const {
  View view;
  view.snapshot = snapshot_;
  view.operation = operation_;
  for (const auto& field : record_.vectors) view.vector_names.push_back(field.name);
  if (!filter.present()) return view;
  view.filtered = true;
  view.state = {operation_, indexes_state_};
  PlanCache::Plan plan;
  if (!plans_.find(filter.program, filter.plain_only, view.state, plan)) {
    auto slots = std::make_shared<Bitset>();
    if (filter.filter != nullptr) {
      FilterPlan made = indexes_->plan(*filter.filter, LockedContext(*this));
      if (!made.exact && !made.wanted.empty()) want(made.wanted, made.count);
      *slots = std::move(made.slots);
      plan.exact = made.exact;
      plan.count = made.count;
    } else {
      *slots = ids_.live();
      plan.exact = true;
      plan.count = ids_.size();
    }
    if (filter.plain_only && sealed_count_ > 0) {
      slots->and_not(sealed_);
      plan.count = slots->count();
    }
    plan.slots = std::move(slots);
    // A superset is kept when it has been judged.
    if (plan.exact) plans_.put(filter.program, filter.plain_only, view.state, plan);
  }
  view.mask = plan.slots;
  view.exact = plan.exact;
  view.count = plan.count;
  if (!view.exact) {
    view.uuid_fields = indexes_->uuid_fields();
    view.text_fields = indexes_->text_fields();
    view.ids.reserve(view.count);
    view.slots().for_each([&](uint32_t slot) { view.ids.push_back(ids_.id(slot)); });
  }
  return view;
}

// [no lock] Judges the candidates that the indexes left open.
void Collection::narrow(View& view, const FilterRequest& filter) const {
  if (!view.filtered || view.exact) return;
  SnapshotContext context(*this, view);
  std::vector<uint32_t> slots;
  slots.reserve(view.count);
  view.slots().for_each([&](uint32_t slot) { slots.push_back(slot); });
  std::vector<std::string> keys;
  std::vector<rocksdb::Slice> slices;
  std::vector<rocksdb::PinnableSlice> values(kReadBatch);
  std::vector<rocksdb::Status> statuses(kReadBatch);
  Bitset matches(slots.empty() ? 0 : slots.back() + size_t{1});
  size_t count = 0;
  rocksdb::ReadOptions options = at(view.snapshot.get());
  options.fill_cache = slots.size() <= kReadBatch;
  for (size_t from = 0; from < slots.size(); from += kReadBatch) {
    cancellation::check();
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
  view.mask = std::make_shared<const Bitset>(std::move(matches));
  view.count = count;
  view.exact = true;
  plans_.put(filter.program, filter.plain_only, view.state, {view.mask, count, true});
  view.ids.clear();
}

// For writes: [writers' mutex held, so the state stands still] ids that match, in slot order.
std::vector<PointId> Collection::matching_ids(const FilterRequest& filter) const {
  View view = this->view(filter);
  narrow(view, filter);
  std::vector<PointId> ids;
  const Bitset& slots = view.filtered ? view.slots() : ids_.live();
  slots.for_each([&](uint32_t slot) { ids.push_back(ids_.id(slot)); });
  return ids;
}

}  // namespace sealpoint
