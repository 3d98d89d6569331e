// All vectors of one name in one collection: a mutable tail that is scanned exactly, and immutable segments with an
// HNSW graph. Rows are addressed by slot (the collection's dense number of a point); a row is alive exactly when
// location[slot] points to it, so an overwrite or a delete touches no segment.
//
// Locking is the caller's: methods marked [shared] run under a shared lock of the collection and any number at a time,
// [exclusive] ones alone, [none] ones without any lock. None of them blocks on a build.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../core/bitset.h"
#include "../core/file_cipher.h"

namespace sealpoint {

// The numbers are qdrant.Distance's.
enum class Distance : uint8_t { kCosine = 1, kEuclid = 2, kDot = 3, kManhattan = 4 };

// The numbers are qdrant.Datatype's.
enum class Datatype : uint8_t { kFloat32 = 1, kUint8 = 2, kFloat16 = 3 };

inline size_t value_bytes(Datatype datatype) { return datatype == Datatype::kFloat32 ? 4 : datatype == Datatype::kFloat16 ? 2 : 1; }

// Cosine over bytes cannot normalise what is stored, so it divides by the lengths when it scores.
inline bool normalized(Distance distance, Datatype datatype) {
  return distance == Distance::kCosine && datatype != Datatype::kUint8;
}

enum class CodeKind : uint8_t { kScalar = 0, kOneBit = 1, kOneAndHalfBits = 2, kTwoBits = 3, kProduct = 4 };

constexpr uint32_t kCodeGroupMax = 16;

// Which codes segments keep.
struct CodeConfig {
  CodeKind kind = CodeKind::kScalar;
  bool chosen = false;        // by quantization_config: searches may then ask for other than rescored codes
  float quantile = 0;         // scalar: share of the values that the codes' range holds; 0 for our own choice
  uint8_t query_bits = 8;     // binary: of the query's weights, 1, 4 or 8
  uint8_t group = 1;          // product: values that share a byte, 1 to kCodeGroupMax

  // Whether segments made with the other one serve as well.
  bool same_codes(const CodeConfig& other) const {
    return kind == other.kind && (kind != CodeKind::kScalar || quantile == other.quantile) &&
           (kind != CodeKind::kProduct || group == other.group);
  }
};

// What of a segment is only mapped, for collections that should cost little memory and may be slow.
struct Placement {
  bool codes_on_disk = false;
  bool graph_on_disk = false;
  bool rows_cached = false;  // rows are always mapped; these are read ahead when a segment is opened
  bool same_segments(const Placement& other) const {
    return codes_on_disk == other.codes_on_disk && graph_on_disk == other.graph_on_disk;
  }
};

// When segments are made and made anew; Qdrant's optimizers_config and max_indexing_threads.
struct OptimizerConfig {
  static constexpr uint32_t kAnyThreads = 0xffffffffu;
  float deleted_threshold = 0.2f;     // part of a segment's rows that may be dead
  uint64_t vacuum_min_rows = 0;       // segments with fewer rows may have any number of dead ones
  uint32_t segments_max = 0;          // default_segment_number; 0: our own bound, which is also the greatest
  uint64_t segment_kb_max = 0;        // kilobytes of f32 vectors in one segment; 0: any
  uint32_t threads = kAnyThreads;     // max_optimization_threads; 0: nothing is built
  uint32_t indexing_threads = 0;      // of one build; 0: any
  uint64_t tail_bytes_max = uint64_t{192} << 20;  // a tail above this is cut off into a segment without a graph
  bool hides_unindexed = false;       // prevent_unoptimized: searches pass over what is unindexed beyond the indexing threshold
};

struct VectorIndexConfig {
  uint32_t dim = 0;
  Distance distance = Distance::kCosine;
  Datatype datatype = Datatype::kFloat32;  // of the rows in segments
  CodeConfig codes;
  Placement placement;
  uint32_t m = 16;  // 0: segments have no graph and are scanned
  uint32_t ef_construct = 128;
  // Rows that share a payload value (a block) have a graph of their own with so many links a row; 0: none has.
  uint32_t payload_m = 0;
  // Which payload fields blocks are of, as a hash; 0: none. Segments made for others are made anew.
  static constexpr uint64_t kUnknownFields = ~uint64_t{0};
  uint64_t block_fields = kUnknownFields;
  uint64_t full_scan_threshold_kb = 10000;  // below this many kilobytes of live f32 vectors, searches scan
  uint64_t indexing_threshold_kb = 10000;   // a tail above this wants a build
  OptimizerConfig optimizer;
  std::string dir;                          // folder of this index's files; exists
  bool has_manifest = false;                // segments were built here before: a folder without a manifest has lost them
  // Segments are written under it, and nothing of them is mapped: rows are read and decrypted when they are asked for.
  std::shared_ptr<const FileCipher> cipher;
};

// How a search went, for Explain: segments by what was done with them.
struct VectorSearchReport {
  uint32_t tails_scanned = 0;   // exactly
  uint32_t rows_scanned = 0;    // exactly, in full
  uint32_t codes_scanned = 0;   // small codes of all that may be found, the best of them exactly
  uint32_t walked = 0;          // the graph
  uint32_t walked_masked = 0;   // the graph, with the filter's slots as a mask
  uint32_t blocks_walked = 0;  // the graph of the one block that holds all matches
  uint32_t walks_given_up = 0;  // walks that met too few matches: the codes were scanned after all
};

struct VectorSearch {
  const float* query = nullptr;  // dim floats, normalised by the caller for cosine
  size_t k = 10;
  size_t ef = 0;  // 0: the default, max(k, ef_construct)
  bool exact = false;
  bool indexed_only = false;
  // Of an index with chosen codes; any other one walks and rescores as it likes.
  bool originals = false;  // walk over the rows and not the codes
  bool rescore = true;     // false: scores are what the codes say
  double oversampling = 0;  // candidates per answer that are rescored, 1 or more; 0: the kind's own
  const Bitset* allowed = nullptr;  // slots that may be in the answer; nullptr: all
  size_t allowed_count = 0;         // bits set in `allowed`
  bool has_threshold = false;
  float threshold = 0;  // a minimum for cosine and dot, a maximum for euclid and manhattan
  VectorSearchReport* report = nullptr;
};

struct VectorHit {
  uint32_t slot;
  float score;  // exact, computed from the original f32 values: cosine/dot similarity, or euclid/manhattan distance
};

struct VectorIndexStats {
  uint64_t live = 0;       // vectors alive
  uint64_t indexed = 0;    // of them inside graphs
  uint64_t in_segments = 0;  // of them in no tail
  uint64_t segments = 0;   // immutable segments
  uint64_t anonymous = 0;  // bytes of heap
  uint64_t tail = 0;       // of them in vectors that are in no segment
  uint64_t graph = 0;      // of them in codes and graphs
  uint64_t mapped = 0;     // bytes of mapped files
  bool waits = false;      // for a build, also while its rows are first cut off the tail
  bool may_build = false;  // the optimizer has threads
};

class VectorIndex {
 public:
  // A build in the background: what to read, and the segment that comes out.
  class Build {
   public:
    virtual ~Build() = default;
    // [none] Before run(): the slots of each value that makes a block. Blocks with enough rows of the segment get a graph.
    virtual void set_blocks(std::vector<std::vector<uint32_t>> blocks) = 0;
    // [none] The fewest rows for that; 0: no block gets one.
    virtual uint32_t block_rows_min() const = 0;
    // [none] Builds and writes the new segment file (fsync included). False when `cancel` became true. Throws Error.
    // Runs on the calling thread plus threads - 1 of its own.
    virtual bool run(const std::atomic<bool>& cancel, unsigned threads) = 0;
    // [none] About what run() takes while it lasts, in bytes.
    virtual uint64_t memory_bytes() const = 0;
  };

  // Maps the segments that the manifest file in config.dir lists, checking headers and the checksums of everything but
  // the f32 rows (those are checked by verify_rows). A damaged segment is left out and reported by damaged(); its
  // vectors come back through upsert, because adopt() says false for them.
  static std::unique_ptr<VectorIndex> open(const VectorIndexConfig& config);
  virtual ~VectorIndex() = default;

  // [exclusive] At start, for each stored vector: true when a segment holds it in this version (the row becomes alive);
  // false when the caller has to give the vector by upsert.
  virtual bool adopt(uint32_t slot, uint64_t version) = 0;
  // [exclusive] The same for all slots at once, whose versions these are (0: no vector), in a fresh index: contains() then tells which are to be given.
  virtual void adopt_all(const std::vector<uint64_t>& versions) = 0;
  virtual const std::vector<std::string>& damaged() const = 0;

  // [exclusive] `version` grows with every write of the collection, so (slot, version) names one vector for ever.
  virtual void upsert(uint32_t slot, uint64_t version, const float* vector) = 0;
  virtual void remove(uint32_t slot) = 0;

  // [shared]
  virtual bool contains(uint32_t slot) const = 0;
  // Copies the stored f32 vector; false when there is none. A mapped row whose checksum is known bad throws kDataLoss.
  virtual bool get(uint32_t slot, float* out) const = 0;
  // Best first; equal scores by ascending slot.
  virtual void search(const VectorSearch& request, std::vector<VectorHit>& out) const = 0;
  // Several searches with one mask: what they scan is read once. All with the same `allowed`.
  virtual void search_many(const VectorSearch* requests, size_t count, std::vector<VectorHit>* out) const = 0;
  virtual VectorIndexStats stats() const = 0;
  // Tells of the mapped files what the kernel has in memory. It asks for every page, so it is to be called under no lock; it keeps the files.
  virtual std::function<uint64_t()> resident_bytes() const = 0;
  virtual bool wants_build() const = 0;
  // What wants_build() would say if the optimizer had threads.
  virtual bool build_pending() const = 0;
  // Whether so much is in the tail that it should become a segment without a graph, which is quick to make: that bounds what searches
  // scan and the memory it takes while a long build goes on, or none may.
  virtual bool wants_cut() const = 0;

  // A build in steps, none of which holds a lock for long. At most one of each kind at a time.
  enum class BuildKind : uint8_t { kFull, kCut };
  // Tells the group of a slot; 0: none. Rows of a group will lie together.
  using GroupOf = std::function<uint32_t(uint32_t slot)>;
  // [exclusive] Freezes what the build will read; nullptr when nothing is to do.
  virtual std::unique_ptr<Build> start_build(BuildKind kind) = 0;
  // [shared] Notes the next rows that the build will hold; true while there are more.
  virtual bool collect_rows(Build& build, const GroupOf* group_of) const = 0;
  // [none] After run(): writes the manifest that lists the new segment (atomic rename, fsync). Throws Error. Not while the folder is another index's.
  virtual void publish(Build& build) = 0;
  // [exclusive] Takes the next rows over into the segment; true while there are more, which has to be asked until it is false. Replaced files are
  // unlinked when their last reader is gone. Without `succeeded`: puts everything back.
  virtual bool swap_rows(Build& build, bool succeeded) = 0;
  // [exclusive] The same steps at once.
  std::unique_ptr<Build> begin_build(BuildKind kind = BuildKind::kFull, const GroupOf* group_of = nullptr);
  void finish_build(Build& build, bool succeeded);

  // [exclusive] New m, ef_construct or thresholds: segments built with others become wanted builds.
  virtual void reconfigure(const VectorIndexConfig& config) = 0;
  // [shared] Reads all f32 rows of all segments against their checksums; false with the reason in `why`.
  virtual bool verify_rows(std::string& why) const = 0;
  // [shared] Live slots whose f32 rows verify_rows or a build found damaged, ascending. Repair is upsert of each from
  // the store; until then get() and searches that meet them throw kDataLoss, and builds that would read them fail.
  virtual std::vector<uint32_t> damaged_slots() const = 0;
  // [shared] Whether a live row is known to be damaged or was lost under a search; verify_rows then finds all of them.
  virtual bool damaged_rows() const = 0;
  // [shared] True when wants_build() is, and also for a small tail beside segments: worth building when no writes come.
  virtual bool wants_build_when_idle() const = 0;
};

// "avx512vnni", "avx2" or "baseline"; the environment variable SEALPOINT_SIMD forces one that the CPU has.
const char* simd_level();
// In place; leaves a zero vector as it is, as Qdrant does.
void normalize(float* vector, size_t dim);
// In place, as values of that type are stored: halves rounded, bytes cut off to 0 to 255.
void round_values(Datatype datatype, float* values, size_t count);
void store_values(Datatype datatype, const float* rounded, size_t count, void* out);
void load_values(Datatype datatype, const void* stored, size_t count, float* out);
// Exact score of two f32 vectors.
float exact_score(Distance distance, const float* a, const float* b, size_t dim);

}  // namespace sealpoint
