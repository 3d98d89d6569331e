// The engine of one data folder: collections, aliases, background builds. One per folder and process, shared by every thread that opens it;
// operations are messages (operations.h), so the addon's own tests drive the same door as TypeScript does.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../core/cancellation.h"
#include "../core/fair_mutex.h"
#include "../store/store.h"
#include "collection.h"
#include "index_filler.h"
#include "memory_budget.h"
#include "snapshot_reader.h"
#include "tail_cutter.h"
#include "thread_pool.h"

namespace sealpoint {

// The numbers are shared with src/native/operations.ts.
enum class Operation : uint8_t {
  kCreateCollection = 1,
  kUpdateCollection = 2,
  kDeleteCollection = 3,
  kListCollections = 4,
  kCollectionExists = 5,
  kCollectionInfo = 6,
  kUpdateAliases = 7,
  kListAliases = 8,
  kSetSealing = 9,
  kCountPlain = 10,
  kWrite = 11,
  kCreateFieldIndex = 12,
  kDeleteFieldIndex = 13,
  kStreamPosition = 14,
  kGet = 15,
  kSearch = 16,
  kCount = 17,
  kScroll = 18,
  kOpenScroll = 19,
  kNextScroll = 20,
  kCloseScroll = 21,
  kVerify = 22,
  kStats = 23,
  kFlush = 28,
  kLargestCollections = 29,
  kExplain = 30,
  kChangeVectors = 31,
  kSpend = 32,
  kCollectionMemory = 33,
  kQuery = 40,
  kQueryGroups = 41,
  kFacet = 42,
  kCreateSnapshot = 50,
  kRestoreSnapshot = 51,
};

struct Outcome {
  bool ok = true;
  std::string bytes;
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
  std::string field;
};

// `body` is a second part that an operation may have, in the sender's own memory.
struct Message {
  std::string_view head;
  std::string_view body;
};

struct EngineOptions {
  unsigned read_threads = 0;   // 0: one per core
  unsigned build_threads = 0;  // 0: one per core
  size_t queue_max = 4096;     // operations waiting
  size_t cursors_max = 256;
  uint64_t temporary_index_bytes = uint64_t{64} << 20;  // of all collections; 0: none are made
  StoreOptions store;
  uint64_t memory_limit = 0;             // bytes of anonymous memory of the process; 0: none
  uint64_t collection_memory_limit = 0;  // and of each collection
  size_t collections_max = 10'000;
};

// Throws kNotFound in Qdrant's words.
[[noreturn]] void no_collection(std::string_view name);

class Engine {
 public:
  // The engine of that folder; opened when nobody has it yet. Throws Error.
  static std::shared_ptr<Engine> open(const std::string& path, const EngineOptions& options);
  ~Engine();

  using Done = std::function<void(Outcome)>;
  // Runs the operation on a native thread and calls `done` there, exactly once. `keep` holds the message's memory. A read ends soon once
  // `cancelled` is set.
  void submit(Operation operation, Message message, std::shared_ptr<void> keep, Done done, std::shared_ptr<CancelFlag> cancelled = nullptr);
  // Waits for what is in flight, builds and syncs included. Later operations are refused.
  void close();

 private:
  Engine(const std::string& path, const EngineOptions& options);
  struct Strand;

  Outcome run(Operation operation, const Message& message);
  std::string execute(Operation operation, ByteReader& in, std::string_view body);
  Collection::Spread spread();
  static std::string write_batch(std::vector<std::string> tables);
  std::string create_collection(ByteReader& in);
  std::string update_collection(ByteReader& in);
  std::string set_sealing(ByteReader& in);
  std::string spend(ByteReader& in);
  WriteOutcome change_vectors(ByteReader& in);
  void create_field_index(std::string_view message, Done done);
  std::string delete_collection(ByteReader& in);
  std::string info(ByteReader& in);
  std::string collection_memory(ByteReader& in);
  std::string stats();
  std::string largest_collections(ByteReader& in) const;
  std::string update_aliases(ByteReader& in);
  std::string list_aliases(ByteReader& in);
  std::string create_snapshot(ByteReader& in);
  std::string restore_snapshot(ByteReader& in);
  uint32_t allocate_restored();
  void own_sealing_id(CollectionRecord& record) const;
  void put_in_place(const StagedSnapshot& staged, const std::vector<std::shared_ptr<Collection>>& fresh);
  void discard_marked();
  std::shared_ptr<Collection> find(std::string_view name) const;
  std::shared_ptr<Collection> require(std::string_view name) const;
  void finish(Operation operation, bool waits, Outcome outcome, Done done);
  struct Watched;
  void watch_collections(std::vector<Watched>& watched) const;
  bool attend(Watched& watched, Collection& collection, std::chrono::steady_clock::time_point now, unsigned threads);
  void optimize_loop();
  static void save_state(Collection& collection, StateMoment moment);
  void load();

  const std::string path_;
  const EngineOptions options_;
  MemoryBudget budget_;
  std::unique_ptr<Store> store_;

  std::mutex admin_mutex_;  // collections and aliases change one at a time
  mutable FairSharedMutex names_mutex_;
  std::map<std::string, std::shared_ptr<Collection>, std::less<>> collections_;
  std::map<std::string, std::string, std::less<>> aliases_;
  uint32_t next_cid_ = 1;
  std::atomic<uint64_t> collections_changes_{1};  // grows when one comes or goes

  std::mutex strands_mutex_;
  std::unordered_map<std::string, std::shared_ptr<Strand>> strands_;

  std::mutex cursors_mutex_;
  struct OpenCursor {
    std::shared_ptr<Collection::Cursor> cursor;
    std::mutex busy;
  };
  std::map<uint64_t, std::shared_ptr<OpenCursor>> cursors_;
  uint64_t next_cursor_ = 1;

  std::unique_ptr<IndexFiller> filler_;
  std::unique_ptr<TailCutter> cutter_;

  std::unique_ptr<ThreadPool> readers_;
  std::unique_ptr<ThreadPool> writers_;
  std::unique_ptr<ThreadPool> archivist_;  // snapshots, one at a time
  std::atomic<size_t> in_flight_{0};
  std::mutex idle_mutex_;
  std::condition_variable idle_;
  std::atomic<bool> closing_{false};
  bool closed_ = false;

  std::mutex optimize_mutex_;
  std::condition_variable optimize_wake_;
  std::atomic<bool> stop_optimizer_{false};
  std::thread optimizer_;
};

}  // namespace sealpoint
