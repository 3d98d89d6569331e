// One column family of one collection, key by key, past damaged places: where an iterator stops, the keys that other families know are read
// one by one until the iterator can go on.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "../store/store.h"

namespace sealpoint {

class StoreWalk {
 public:
  enum class Row { kAbsent, kPresent, kDamaged };

  StoreWalk(Store& store, rocksdb::ColumnFamilyHandle* family, std::string prefix) : store_(store), family_(family), prefix_(std::move(prefix)) {
    seek(prefix_);
  }

  // The key (behind the prefix) that comes next; false at the end, and while the walk is in a damaged place.
  bool peek(std::string_view& key) const {
    if (!usable()) return false;
    key = iterator_->key().ToStringView().substr(prefix_.size());
    return true;
  }

  // The row of `key`, which must not lie before earlier ones. `value` lives until the next call.
  Row read(const std::string& key, std::string& value) {
    std::string_view next;
    if (!in_gap_) {
      if (!peek(next) || next != key) return Row::kAbsent;
      value.assign(iterator_->value().data(), iterator_->value().size());
      iterator_->Next();
      settle();
      return Row::kPresent;
    }
    const auto status = store_.db().Get({}, family_, prefix_ + key, &value);
    if (status.IsNotFound()) return Row::kAbsent;
    if (!status.ok()) {
      why_ = status.ToString();
      return Row::kDamaged;
    }
    // Sound again: go on behind it.
    seek(prefix_ + key + '\0');
    return Row::kPresent;
  }

  // Why the walk could not read everything; empty when it could.
  const std::string& why() const { return why_; }

 private:
  bool usable() const { return !in_gap_ && iterator_->Valid() && iterator_->key().starts_with(prefix_); }

  void seek(const std::string& key) {
    rocksdb::ReadOptions options;
    options.total_order_seek = true;
    options.readahead_size = 1 << 20;
    options.fill_cache = false;
    iterator_.reset(store_.db().NewIterator(options, family_));
    iterator_->Seek(key);
    settle();
  }
  void settle() {
    in_gap_ = !iterator_->Valid() && !iterator_->status().ok();
    if (in_gap_) why_ = iterator_->status().ToString();
  }

  Store& store_;
  rocksdb::ColumnFamilyHandle* const family_;
  const std::string prefix_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  bool in_gap_ = false;
  std::string why_;
};

}  // namespace sealpoint
