#include "cursor.h"

#include <limits>

#include "collection_view.h"

namespace sealpoint {

namespace {

// More matches than this, and a page of a scroll walks the ids in order instead of sorting the matches.
constexpr size_t kSortedMatchesMax = 4096;

}  // namespace

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
      view_->slots().for_each([&](uint32_t slot) { matches_.push_back(owner.ids_.id(slot)); });
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
  cancellation::Stride<256> steps;
  for (; iterator_->Valid() && iterator_->key().starts_with(prefix_); iterator_->Next()) {
    steps.step();
    current_ = PointRecord::decode(iterator_->value().ToStringView());
    current_id_ = id_of_key(iterator_->key());
    if (!view_->filtered) return true;
    if (!view_->slots().test(current_.slot)) continue;
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

std::string Collection::Cursor::next(uint32_t limit, WireForm form) {
  const Collection& owner = *collection_;
  PointTableWriter table(std::min<uint32_t>(limit, 4096), (request_.payload.wanted() ? PointTableWriter::kPayloads : 0) |
                                                              (request_.vectors.wanted() ? PointTableWriter::kVectors : 0),
                         form);
  std::vector<SeenPoint> points;
  const float none = std::numeric_limits<float>::quiet_NaN();
  cancellation::Stride<256> steps;
  while (points.size() < limit && skip_to_match()) {
    steps.step();
    if (sorted_) {
      const PointId id = matches_[place_++];
      std::string value;
      const auto status = owner.store_.db().Get(at(view_->snapshot.get()), owner.store_.points(), Store::point_key(owner.cid_, id), &value);
      if (status.IsNotFound()) continue;
      check(status, "cannot read a point");
      const PointRecord record = PointRecord::decode(value);
      table.add(id, none, record.version);
      points.push_back({id, record.slot});
    } else {
      table.add(current_id_, none, current_.version);
      points.push_back({current_id_, current_.slot});
      iterator_->Next();
    }
  }
  // A walk over the whole collection would only drive out of the cache what searches answer.
  owner.fill(table, points, request_.payload, request_.vectors, view_->snapshot.get(), false);
  return table.finish();
}

bool Collection::Cursor::peek(PointId& id) {
  if (!skip_to_match()) return false;
  id = sorted_ ? matches_[place_] : current_id_;
  return true;
}

}  // namespace sealpoint
