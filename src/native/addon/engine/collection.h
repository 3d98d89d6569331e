// One collection: the point ids, vector indexes and payload indexes in memory, all derived from the store.
//
// Writes have one order: write_mutex_. A write first goes to the store and then, under the exclusive state_mutex_, to memory, where it
// also moves the read snapshot on. A reader plans and searches under the shared state_mutex_ and reads the store through that snapshot, so it sees each
// write wholly or not at all and never waits for a writer's disk. Lock order: write_mutex_, then state_mutex_.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "../core/bytes.h"
#include "../core/cancellation.h"
#include "../core/fair_mutex.h"
#include "../filter/filter.h"
#include "../query/formula.h"
#include "../sparse/sparse_index.h"
#include "../store/store.h"
#include "../vector/max_sim.h"
#include "../vector/multi_index.h"
#include "../vector/vector_index.h"
#include "id_table.h"
#include "memory_budget.h"
#include "plan_cache.h"
#include "rate_limiter.h"
#include "point_table.h"
#include "records.h"
#include "requests.h"
#include "snapshot_writer.h"
#include "state_file.h"

namespace sealpoint {

class IndexFiller;
class TailCutter;
struct PointChange;

// When a state file may be written.
enum class StateMoment : uint8_t { kBusy, kQuiet, kClosing };

struct WriteOutcome {
  uint64_t operation = 0;
  bool applied = true;  // false: a repeated stream chunk
};

// Bytes.
struct CollectionMemory {
  uint64_t tail = 0;   // vectors that are in no segment yet
  uint64_t graph = 0;  // codes and graphs of the segments
  uint64_t ids = 0;    // ids, versions, places
  uint64_t payload_indexes = 0;
  uint64_t mapped = 0;  // segment files; the kernel may take these pages back
  uint64_t anonymous() const { return tail + graph + ids + payload_indexes; }
};

// Of one vector name, in bytes; what of `mapped` is in memory now is `resident`.
struct VectorMemory {
  std::string name;
  bool sparse = false;
  uint64_t tail = 0, graph = 0, mapped = 0, resident = 0;
};

struct CollectionStats {
  uint64_t points = 0, indexed = 0, segments = 0, sealed = 0;
  uint64_t vector_bytes = 0;   // of the vectors that points have
  uint64_t payload_bytes = 0;  // in the store, about: what was overwritten counts until it is compacted
  CollectionMemory memory;
  bool building = false;
  bool wants_build = false;
  bool build_pending = false;  // wanted, also where the optimizer may have no threads
  std::string optimizer_error;
};

// What was done to a name since the start, of snapshots: a restore hands it on to what takes the collection's place.
struct SnapshotTally {
  std::atomic<uint32_t> writing{0}, restoring{0};
  std::atomic<uint64_t> written{0};
};

class Collection : public std::enable_shared_from_this<Collection> {
 public:
  // Makes the folders of a new collection, or loads an old one from the store.
  Collection(Store& store, MemoryBudget& budget, std::string folder, CollectionRecord record);
  // Loads restored rows, whose operation and streams are not in the store yet.
  Collection(Store& store, MemoryBudget& budget, std::string folder, CollectionRecord record, uint64_t operation,
             const std::vector<std::pair<std::string, std::string>>& streams);
  ~Collection();

  uint32_t cid() const { return cid_; }
  CollectionRecord record() const;
  CollectionStats stats() const;
  std::shared_ptr<SnapshotTally> snapshot_tally() const { return snapshot_tally_; }
  // To be called before anybody else has the collection.
  void set_snapshot_tally(std::shared_ptr<SnapshotTally> tally) { snapshot_tally_ = std::move(tally); }
  std::vector<FieldIndexInfo> index_infos() const;
  std::vector<VectorMemory> vector_memory() const;
  // Deletes all of the store's that is this collection's in one batch, with what it holds already. Afterwards every write is refused.
  void drop(rocksdb::WriteBatch& batch);
  // Refuses every write from now on, or (false) takes them again: for a restore that takes this collection's place.
  void retire(bool retired);
  // The record, and a view of the store that holds all of this collection's writes so far.
  SnapshotSource snapshot_source() const;

  // One operation of points, behind the collection's name; layout in collection_write.cc. The caller waits for durability.
  // `body` is what kind 10 reads.
  WriteOutcome write(ByteReader& in, std::string_view body);
  // Notes the index; it answers filters once it is filled (when_filled).
  WriteOutcome create_index(const IndexedField& field);
  WriteOutcome drop_index(const std::string& key);
  // Fills the index in the background and calls `filled` from there (it may be empty), with the reason when it failed.
  using Filled = std::function<void(const Error* failure)>;
  void when_filled(const IndexedField& field, Filled filled);
  // Who fills the indexes; without one they are filled at once. Set before the collection is used.
  void set_filler(IndexFiller* filler) { filler_ = filler; }
  // After a start: fills the indexes that load() left, in the background.
  void fill_left_indexes();
  bool restoring() const { return restoring_; }
  // For what needs an index and cannot do without: right after a start it may be on its way. Without a lock.
  void await_indexes() const;
  // For the filler: fills what waits, or refuses it.
  void fill_indexes(const std::atomic<bool>& cancel);
  void refuse_fills();
  bool has_temporaries() const { return temporaries_count_ != 0; }
  std::vector<TemporaryIndexInfo> temporaries() const;
  // `refuse`: it does not come back soon.
  void drop_temporary(const std::string& key, FieldType type, bool refuse);
  // Replaces parts of the record when its epoch still is `expected` (0: whatever it is) and grows the epoch. Throws kAborted otherwise.
  void replace_record(uint64_t expected, const std::string* config, const std::string* sealing, const std::vector<VectorField>* vectors);
  // Adds a vector name, deletes one with its vectors, or (neither given) only counts the operation; conditions as above.
  WriteOutcome change_vectors(uint64_t expected, const std::string& config, const VectorField* added, const std::string* deleted);
  uint64_t stream_position(std::string_view stream) const;
  // Takes `cost` operations of those that a minute may have.
  RateAnswer spend(bool writes, uint32_t per_minute, uint64_t cost) { return rates_[writes ? 1 : 0].spend(per_minute, cost); }

  // Answers are point tables (point_table.h).
  std::string get(ByteReader& in) const;
  std::string search(const SearchRequest& request, VectorSearchReport* report = nullptr) const;
  // Several at once, with the answer of each: equal filters are planned once, and what several of them scan is read once.
  using Spread = std::function<void(size_t count, const std::function<void(size_t)>& work)>;
  std::vector<std::string> search_batch(const std::vector<const SearchRequest*>& requests, const Spread& spread) const;
  std::vector<std::string> query_batch(const std::vector<std::string_view>& messages, const Spread& spread) const;
  // u8 more, u8 id tag, 6 zero bytes, 16 id bytes (number LE or UUID), then the table.
  std::string scroll(ScrollRequest request) const;
  // A universal query and its groups; layouts in query_stage.h and collection_query.cc.
  std::string query(ByteReader& in) const;
  std::string query_groups(ByteReader& in) const;
  // Counts of a key's values; layout in collection_facet.cc.
  std::string facet(ByteReader& in) const;
  uint64_t count(const FilterRequest& filter) const;
  // How a filter, or a search with one, is answered; layout in explain.cc.
  std::string explain(ByteReader& in) const;
  std::pair<uint64_t, uint64_t> count_plain(const std::vector<std::string>& clear) const;  // plain, total

  // A consistent view that is read page by page, by one thread at a time.
  class Cursor;
  std::shared_ptr<Cursor> open_cursor(ScrollRequest request) const;

  // Builds what wants building, and when `idle` also what is worth it only while nothing else is to do. True when something was built, false when
  // nothing was or it failed. Called by one thread.
  bool optimize(unsigned threads, bool idle);
  // Ends builds that run and lets none be finished any more.
  void stop_builds() { stop_builds_ = true; }
  bool wants_build(bool idle) const;
  // Who cuts tails that grow too long; without one they grow on. Set before the collection is used.
  void set_cutter(TailCutter* cutter);
  // For the cutter.
  void cut_tails();
  // Writes rows whose checksums were found bad anew from the store; the number of them.
  size_t repair();
  // Whether a search or a build met rows that want repair().
  bool damaged() const;
  // Derived files that the start found damaged or missing and left out: each by its path below the folder of segments, and why.
  std::vector<std::string> left_out() const;
  // Points written per second, over the last second or so.
  double write_rate() const;
  // Moves an idle collection's snapshot on, so that it keeps no old versions of others alive. `shared` is one snapshot for all of them.
  void refresh_snapshot(const Snapshot& shared);
  // Grows with everything that may give the optimizer work.
  uint64_t changes() const { return changes_; }
  // Books what is held by now; the bytes.
  uint64_t book_memory();
  uint64_t booked() const { return booking_.bytes(); }
  // About what the build that is wanted will take; 0 when none is.
  uint64_t build_room() const;
  // For a build that is not wanted any more, because points went.
  void forget_build_error();
  // Writes the files that spare the next start the reading of the store; false when it may not now. Throws when it fails. Called by one thread.
  bool wants_state(StateMoment moment) const;
  bool save_state(StateMoment moment);
  // Whether this start was spared reading the points from the store.
  bool started_from_state() const { return state_.operation > 0; }
  // Of vectors kept in memory, that the start took from their state file.
  uint64_t rows_from_state() const { return rows_from_state_; }
  // Reads everything derived against its checksums.
  bool verify(std::string& why) const;

 private:
  struct Change;
  struct WriteCondition;
  struct WriteContext;
  struct WrittenVector;
  struct View;
  class LockedContext;
  class SnapshotContext;
  class QueryRun;
  friend class Cursor;

  void load();
  void load_points(const std::function<void(size_t vector, uint32_t slot, uint64_t version, const PointId& id)>& missing);
  void load_indexes(bool later);
  std::string segments_key(size_t vector) const;
  bool had_segments(size_t vector) const;
  void note_segments();
  void lose_state(StateKind kind, const StateName& name, const char* why) const;
  bool load_state(const StateName& name);
  bool read_points(const StateName& name);
  bool replay_changes(const StateName& name);
  bool replay(const PointChange& change);
  std::string encode_points() const;
  std::string encode_indexes() const;
  std::string encode_rows() const;
  void load_rows();
  void restored();
  void forget_changes(rocksdb::WriteBatch& batch, uint64_t from, uint64_t until) const;
  VectorIndexConfig index_config(size_t vector) const {
    VectorIndexConfig config = index_config_of(record_.vectors[vector], vector);
    config.block_fields = block_fields(vector);
    return config;
  }
  VectorIndexConfig index_config_of(const VectorField& field, size_t number) const;
  void open_vectors();
  int vector_number(std::string_view name) const;  // -1: none
  size_t required_vector(std::string_view name) const;
  void ensure_slots(size_t slots);
  // The operation that wrote the slot's vector; 0: it has none.
  uint64_t vector_version(size_t vector, uint32_t slot) const {
    const auto& versions = vector_versions_[vector];
    return slot < versions.size() ? versions[slot] : 0;
  }

  std::vector<PointId> select(ByteReader& in, WriteContext& context) const;
  Change& change_of(WriteContext& context, const PointId& id) const;
  const std::string& payload_of(Change& change) const;
  bool set_vector(WriteContext& context, Change& change, uint16_t number, const char* bytes) const;
  template <typename RowAt>
  bool set_multi(WriteContext& context, Change& change, uint16_t number, uint32_t rows, RowAt row_at) const;
  void set_sparse(WriteContext& context, Change& change, uint16_t number, uint32_t count, const char* bytes) const;
  void remove_vector(size_t number, uint32_t slot);
  void read_vectors(ByteReader& in, WriteContext& context, Change& change, size_t place) const;
  void read_encoded(ByteReader& in, std::string_view message, bool sealed, WriteContext& context) const;
  void parse_points(ByteReader& in, WriteContext& context, uint8_t kind) const;
  void parse_operation(ByteReader& in, std::string_view body, WriteContext& context) const;
  WriteOutcome commit(WriteContext& context);
  // The next operation, in the store and in the change log; `points` are the log's entries of those that it changes. Under the writers' mutex.
  WriteOutcome begin_change(rocksdb::WriteBatch& batch, std::string_view points = {}) const;
  void touch(size_t points);
  bool build(size_t vector, const std::shared_ptr<VectorIndex>& vectors, VectorIndex::BuildKind kind, unsigned threads, std::string& error);
  bool tails_want_cut() const;
  uint64_t block_fields(size_t vector) const;
  void configure_blocks();
  void request_cut();
  void take_memory(uint64_t growth);
  void forget_slots();
  CollectionMemory memory() const;

  using Changes = std::unordered_set<PointId, PointIdHash>;
  struct Fill {
    IndexedField field;
    bool temporary = false;
    Filled filled;
    bool done = false;
    std::unique_ptr<FieldIndexBuild> build;
    bool loaded = false;  // from the state file
  };
  void fill(std::vector<Fill>& fills, const std::atomic<bool>& cancel);
  bool load_indexes(std::vector<Fill>& fills, const rocksdb::Snapshot* snapshot, Changes& changed) const;
  bool lacks(const IndexedField& field) const;
  void want(const std::vector<WantedIndex>& wanted, size_t candidates) const;
  void refuse_temporary(const std::string& key, FieldType type);

  View view(const FilterRequest& filter) const;
  void narrow(View& view, const FilterRequest& filter) const;
  std::vector<PointId> matching_ids(const FilterRequest& filter) const;
  struct SeenPoint {
    PointId id;
    uint32_t slot;
  };
  struct FoundPoint {
    PointId id;
    uint32_t slot;
    float score;
    uint64_t version;
  };
  static std::vector<float> query_values(const VectorField& field, const SearchRequest& request);
  static VectorSearch vector_search(const SearchRequest& request, const float* query, const View& view);
  std::vector<FoundPoint> found_points(const std::vector<VectorHit>& hits) const;
  std::string search_answer(const SearchRequest& request, std::vector<FoundPoint>& found, const rocksdb::Snapshot* snapshot) const;
  void search_chunk(const std::vector<const SearchRequest*>& requests, std::vector<std::string*> answers) const;
  void fill(PointTableWriter& table, const std::vector<SeenPoint>& points, const PayloadSelector& payload, const VectorsSelector& vectors,
            const rocksdb::Snapshot* snapshot, bool kept) const;
  void fill_payloads(PointTableWriter& table, const std::vector<SeenPoint>& points, const PayloadSelector& payload,
                     const rocksdb::Snapshot* snapshot, bool kept) const;
  void fill_vectors(PointTableWriter& table, const std::vector<SeenPoint>& points, const std::vector<uint16_t>& numbers,
                    const rocksdb::Snapshot* snapshot) const;
  // Dot product with the slot's sparse vector; 0 when they share no dimension.
  float sparse_similarity(size_t number, const std::vector<uint32_t>& indices, const std::vector<float>& values, uint32_t slot) const {
    float score = 0;
    return sparse_[number].dot({indices.data(), values.data(), indices.size()}, slot, score) ? score : 0;
  }
  // Weights a sparse query by how rare its dimensions are, where the field asks for it: among all points that have such a vector, or those of `corpus`.
  void weigh(size_t number, const uint32_t* indices, std::vector<float>& values, const Bitset* corpus = nullptr) const;
  IndexedTypes indexed_types() const;  // [shared lock held]
  // Multivectors; collection_multi.cc. [shared lock held]
  using VisitRows = std::function<void(uint32_t slot, const float* rows, size_t count)>;
  void visit_rows(size_t number, const Bitset* allowed, size_t allowed_count, const VisitRows& visit) const;
  // Bytes of the values of a name's vectors, of which `live` are dense ones.
  uint64_t vector_bytes(size_t number, uint64_t live) const;
  MaxSimQuery max_sim(size_t number, const float* rows, size_t count) const;
  std::vector<VectorHit> nearest_multi(size_t number, MaxSimQuery query, const VectorSearch& search) const;
  bool walk_multi(size_t number, MaxSimQuery& query, const VectorSearch& search, std::vector<VectorHit>& found) const;
  // Their graphs; collection_multi_builds.cc.
  void configure_multi(size_t number);
  std::string multi_graph_path(size_t number) const;
  void write_multi(size_t number, const MultiGraphBuild& build, const MultiGraph& graph);
  void load_multi(size_t number);
  bool build_multi(size_t number, bool idle, unsigned threads, std::string& error);
  bool optimize_multi(unsigned threads, bool idle);
  // The vectors of a point as they are stored, as floats; empty when it has none.
  std::vector<float> stored_multi(size_t number, uint32_t slot) const;
  std::vector<uint16_t> selected_vectors(const VectorsSelector& selector) const;

  Store& store_;
  MemoryBudget& budget_;
  const std::string folder_;
  const uint32_t cid_;
  std::shared_ptr<SnapshotTally> snapshot_tally_ = std::make_shared<SnapshotTally>();
  std::atomic<bool> dropped_{false};

  std::mutex write_mutex_;
  std::mutex files_mutex_;  // after write_mutex_ and before state_mutex_: who writes a manifest, or empties a deleted name's folder
  mutable FairSharedMutex state_mutex_;
  // All below under state_mutex_; written only by who holds write_mutex_ too.
  CollectionRecord record_;
  IdTable ids_;
  std::vector<uint64_t> versions_;                      // by slot: operation that changed the point last
  std::vector<std::vector<uint64_t>> vector_versions_;  // [vector][slot]: operation that wrote the vector; 0: none; empty: the name is gone
  Bitset sealed_;
  uint64_t sealed_count_ = 0;
  // The VectorIndex of a sparse field and of multivectors stays empty; those are in sparse_ and multi_, which are empty for the others. All is
  // empty for a deleted name. Shared with a build, which may outlive the name.
  std::vector<std::shared_ptr<VectorIndex>> vectors_;
  std::vector<SparseIndex> sparse_;
  std::vector<MultiIndex> multi_;
  std::unique_ptr<PayloadIndexes> indexes_;
  uint64_t indexes_state_ = 0;  // grows with every index that comes or goes
  uint64_t operation_ = 0;
  Snapshot snapshot_;
  struct StreamState {
    uint64_t sequence = 0;
    uint64_t used_ms = 0;
  };
  std::map<std::string, StreamState, std::less<>> streams_;

  // [write_mutex_] Points written since the snapshot that an index is being filled from; nullptr: none is.
  Changes* fill_changes_ = nullptr;
  IndexFiller* filler_ = nullptr;
  std::atomic<size_t> temporaries_count_{0};
  mutable std::mutex fills_mutex_;
  // [fills_mutex_] Waiting to be filled, and what filters lacked: how often, and from when on it may be asked for again.
  mutable std::vector<Fill> fills_;
  struct Wanted {
    int times = 0;
    int64_t until_ms = 0;
  };
  mutable std::map<std::pair<std::string, FieldType>, Wanted> wanted_;
  mutable PlanCache plans_;
  // Of the state files: what a start found, and under write_mutex_ from which operation on the change log may hold entries.
  StateName state_;
  uint64_t rows_from_state_ = 0;
  uint64_t log_begin_ = 0;
  bool has_state_ = false;
  std::atomic<bool> logs_changes_{false};
  std::atomic<uint64_t> logged_points_{0};
  std::atomic<uint64_t> fields_changes_{0}, saved_fields_{0};  // grows with indexes that come or go; the same when the files were written
  std::atomic<bool> restoring_{false};  // the indexes that a start left are not there yet
  Booking booking_;
  RateLimiter rates_[2];  // reads, writes
  // Under write_mutex_: of what is booked, what no count has confirmed; whether anything was written since the last count.
  uint64_t estimated_ = 0;
  bool uncounted_ = false;
  std::atomic<uint64_t> changes_{1};
  std::atomic<bool> building_{false};
  std::atomic<bool> stop_builds_{false};
  TailCutter* cutter_ = nullptr;
  std::atomic<bool> cut_requested_{false};
  std::atomic<int64_t> cut_after_ms_{0};
  mutable std::atomic<uint64_t> rate_points_{0};
  mutable std::atomic<int64_t> rate_since_ms_{0};
  mutable std::atomic<double> rate_{0};
  mutable std::mutex error_mutex_;
  std::string optimizer_error_;
  mutable std::vector<std::string> lost_states_;  // [error_mutex_] state files that could not be used, and why
  std::vector<bool> segments_noted_;              // [write_mutex_] by vector
};

}  // namespace sealpoint
