// Vector names that come and go while a collection is used. A name's number is its place in the record and never given again, so that
// nothing of a deleted name can come back under one that is made anew.
#include <filesystem>
#include <system_error>

#include "collection.h"

namespace sealpoint {

namespace {

// Names that a collection may have had in all: each keeps its entry in the record.
constexpr size_t kVectorNumbersMax = 1024;
// An empty index with its sparse counterpart, roughly.
constexpr uint64_t kNewVectorBytes = 16 << 10;

// Segment files may still be mapped by readers, who keep them until they are done.
void clear_folder(const std::string& path) {
  std::error_code failure;
  std::filesystem::remove_all(path, failure);
  std::filesystem::create_directories(path);
}

}  // namespace

WriteOutcome Collection::change_vectors(uint64_t expected, const std::string& config, const VectorField* added, const std::string* deleted) {
  std::lock_guard writer(write_mutex_);
  CollectionRecord next = record();
  if (dropped_) throw Error(ErrorKind::kNotFound, "Not found: Collection `" + next.name + "` doesn't exist!", "collection_name");
  if (next.epoch != expected) throw Error(ErrorKind::kAborted, "the collection was changed meanwhile");
  rocksdb::WriteBatch batch;
  const WriteOutcome outcome = begin_change(batch);
  const int number = deleted != nullptr ? vector_number(*deleted) : static_cast<int>(next.vectors.size());
  if (number < 0) throw Error(ErrorKind::kBadInput, "Wrong input: Not existing vector name error: " + *deleted, "vector_name");
  const auto place = static_cast<size_t>(number);
  if (added != nullptr) {
    if (place >= kVectorNumbersMax) {
      throw Error(ErrorKind::kExhausted, "the collection has had " + std::to_string(kVectorNumbersMax) + " vector names: copy it into a new one",
                  "vector_name");
    }
    take_memory(versions_.size() * sizeof(uint64_t) + kNewVectorBytes);
    next.vectors.push_back(*added);
  } else if (deleted != nullptr) {
    next.vectors[place].remove();
    // The points' records go on naming the number until they are written again, and whoever reads them passes over it.
    const std::string from = Store::vector_prefix(cid_, static_cast<uint16_t>(place)), to = Store::vector_prefix(cid_, static_cast<uint16_t>(place + 1));
    batch.DeleteRange(store_.vectors(), from, to);
    batch.Delete(store_.meta(), segments_key(place));
  }
  const bool changes = added != nullptr || deleted != nullptr;
  std::shared_ptr<VectorIndex> index;
  VectorIndexConfig index_config;
  if (changes) {
    next.config = config;
    ++next.epoch;
    batch.Put(store_.meta(), Store::collection_key('c', cid_), next.encode());
    index_config = index_config_of(next.vectors[place], place);
  }
  if (added != nullptr) {
    clear_folder(index_config.dir);
    index = VectorIndex::open(index_config);
  }
  store_.write(batch, deleted != nullptr ? WriteUse::kMakesRoom : WriteUse::kGrows);
  std::unique_lock files(files_mutex_, std::defer_lock);
  if (deleted != nullptr) {
    files.lock();
    clear_folder(index_config.dir);
    index = VectorIndex::open(index_config);
  }
  Snapshot fresh = store_.snapshot();
  // What goes is freed without the lock.
  std::vector<uint64_t> versions;
  SparseIndex sparse;
  MultiIndex multi;
  std::unique_lock lock(state_mutex_);
  operation_ = outcome.operation;
  snapshot_.swap(fresh);
  if (!changes) return outcome;
  record_ = std::move(next);
  if (added != nullptr) {
    vectors_.push_back(std::move(index));
    sparse_.emplace_back();
    multi_.emplace_back();
    configure_multi(place);
    vector_versions_.emplace_back(versions_.size());
    configure_blocks();
  } else {
    vectors_[place].swap(index);
    std::swap(sparse_[place], sparse);
    std::swap(multi_[place], multi);
    vector_versions_[place].swap(versions);
  }
  booking_.set(memory().anonymous());
  lock.unlock();
  ++changes_;
  return outcome;
}

}  // namespace sealpoint
