// A consistent view of a collection, read page by page by one thread at a time. It keeps a RocksDB snapshot alive.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "collection.h"

namespace sealpoint {

class Collection::Cursor {
 public:
  Cursor(std::shared_ptr<const Collection> collection, ScrollRequest request);
  ~Cursor();
  // The next page; no rows at the end.
  std::string next(uint32_t limit, WireForm form);
  // The id that the next page starts with; false at the end.
  bool peek(PointId& id);

 private:
  bool skip_to_match();

  std::shared_ptr<const Collection> collection_;
  ScrollRequest request_;
  std::unique_ptr<View> view_;
  bool sorted_ = false;
  std::vector<PointId> matches_;
  size_t place_ = 0;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  std::string prefix_;
  PointRecord current_;
  PointId current_id_;
};

}  // namespace sealpoint
