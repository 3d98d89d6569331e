// Random work on an engine whose disk fails: the power is cut (what was not synced goes, names too), syncs fail, the disk fills up and has room again, bits
// flip and files vanish at rest. After each: every acknowledged write is there, each write wholly or not at all and in order, verify agrees, and
// damage shows as right answers, an error, or a finding of verify. Prints its seed.
// Alone: scripts/build-native.sh check address && build/address/fault_check [seed] [rounds] [full-disk] (two faults are known there: ARCHITECTURE.md)
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <future>
#include <optional>
#include <thread>

#include "../engine/data_check.h"
#include "../engine/engine.h"
#include "fault_fs.h"

using namespace sealpoint;
using namespace std::chrono_literals;

namespace {

std::atomic<faults::SegmentFaults*> segment_faults{nullptr};
unsigned seed = 0;
bool with_full_disk = false;
constexpr uint32_t kDim = 16;

#define CHECK(condition, ...)                                                                       \
  do {                                                                                              \
    if (!(condition)) {                                                                             \
      std::fprintf(stderr, "%s:%d: failed: %s (seed %u)\n  ", __FILE__, __LINE__, #condition, seed); \
      __VA_OPT__(std::fprintf(stderr, __VA_ARGS__);) std::fprintf(stderr, "\n");                    \
      std::exit(1);                                                                                 \
    }                                                                                               \
  } while (false)

struct ModelPoint {
  int n = 0, tag = -1;
  std::vector<float> vector;
  bool operator==(const ModelPoint&) const = default;
};
struct Model {
  bool exists = false;
  std::map<uint64_t, ModelPoint> points;
  uint64_t sequence = 0;  // of the one stream
  bool operator==(const Model&) const = default;
};

struct Op {
  enum class Kind { kCreate, kDrop, kUpsert, kDelete, kTag, kIndex } kind = Kind::kUpsert;
  std::map<uint64_t, ModelPoint> points;
  std::vector<uint64_t> ids;
  int tag = 0;
  uint64_t sequence = 0;  // 0: not of a stream
  enum class State { kFlying, kDone, kRefused, kUnsure } state = State::kFlying;

  void apply(Model& model) const {
    if (kind == Kind::kCreate || kind == Kind::kDrop) model = {kind == Kind::kCreate, {}, 0};
    for (const auto& [id, point] : points) model.points[id] = point;
    if (kind == Kind::kDelete) for (const uint64_t id : ids) model.points.erase(id);
    if (kind == Kind::kTag) for (const uint64_t id : ids) model.points[id].tag = tag;
    if (sequence > 0) model.sequence = sequence;
  }
};

std::future<Outcome> send(Engine& engine, Operation operation, ByteWriter message) {
  auto bytes = std::make_shared<std::string>(std::move(message.bytes()));
  auto promise = std::make_shared<std::promise<Outcome>>();
  auto future = promise->get_future();
  engine.submit(operation, {*bytes, {}}, bytes, [promise](Outcome outcome) { promise->set_value(std::move(outcome)); });
  return future;
}
Outcome ask(Engine& engine, Operation operation, ByteWriter message) { return send(engine, operation, std::move(message)).get(); }
ByteWriter named(std::string_view name) {
  ByteWriter out;
  out.text(name);
  return out;
}

// Entries of nine bytes: key of one letter, small integer.
std::string entry(char key, int value) {
  const char bytes[] = {0x12, 0x07, 0x0a, 0x01, key, 0x12, 0x02, 0x18, static_cast<char>(value)};
  return {bytes, sizeof(bytes)};
}

std::future<Outcome> submit(Engine& engine, const std::string& name, const Op& op) {
  ByteWriter out = named(name);
  switch (op.kind) {
    case Op::Kind::kCreate: {
      out.text("{}");
      out.text("{}");
      out.u32(1);
      VectorField field;
      field.dim = kDim;
      field.distance = Distance::kEuclid;
      field.indexing_threshold_kb = 8;
      field.full_scan_threshold_kb = 2;
      field.m = 8;
      field.ef_construct = 24;
      field.write(out);
      return send(engine, Operation::kCreateCollection, std::move(out));
    }
    case Op::Kind::kDrop:
      return send(engine, Operation::kDeleteCollection, std::move(out));
    case Op::Kind::kIndex:
      out.text("n");
      if (op.tag == 0) return send(engine, Operation::kDeleteFieldIndex, std::move(out));
      out.u8(1);
      out.text("");
      return send(engine, Operation::kCreateFieldIndex, std::move(out));
    default:
      break;
  }
  out.u8(1);
  out.u64(0);
  out.text(op.sequence > 0 ? "stream" : "");
  out.u64(op.sequence);
  if (op.kind == Op::Kind::kUpsert) {
    out.u8(1);
    out.u32(static_cast<uint32_t>(op.points.size()));
    for (const auto& [id, point] : op.points) {
      out.id(PointId::number(id));
      out.text(entry('n', point.n));
      out.u8(1);
      out.text("");
      out.u32(kDim);
      for (const float value : point.vector) out.f32(value);
    }
  } else {
    out.u8(op.kind == Op::Kind::kDelete ? 2 : 5);
    out.u8(0);
    out.u32(static_cast<uint32_t>(op.ids.size()));
    for (const uint64_t id : op.ids) out.id(PointId::number(id));
    if (op.kind == Op::Kind::kTag) {
      out.text(entry('t', op.tag));
      out.u8(0);
      out.text("");
    }
  }
  return send(engine, Operation::kWrite, std::move(out));
}

// Everything the engine says of a collection; nothing when it answers with an error.
std::optional<Model> read_all(Engine& engine, const std::string& name) {
  Model model;
  const Outcome exists = ask(engine, Operation::kCollectionExists, named(name));
  if (!exists.ok) return std::nullopt;
  model.exists = exists.bytes[0] == 1;
  if (!model.exists) return model;
  ByteWriter scroll = named(name);
  scroll.u8(0);
  scroll.u32(0);
  scroll.u8(0);
  scroll.u32(1'000'000);
  scroll.u8(1);
  scroll.u8(1);
  const Outcome all = ask(engine, Operation::kScroll, std::move(scroll));
  ByteWriter position = named(name);
  position.text("stream");
  const Outcome at = ask(engine, Operation::kStreamPosition, std::move(position));
  if (!all.ok || !at.ok) return std::nullopt;
  model.sequence = ByteReader(at.bytes).u64();
  const char* table = all.bytes.data() + 24;
  uint32_t rows;
  std::memcpy(&rows, table, 4);
  for (uint32_t row = 0; row < rows; ++row) {
    const char* start = table + 16 + size_t{row} * 48;
    uint64_t id;
    uint32_t places[4];
    std::memcpy(&id, start + 8, 8);
    std::memcpy(places, start + 32, 16);
    ModelPoint point;
    for (uint32_t i = 0; i + 9 <= places[1]; i += 9) {
      const char* item = table + places[0] + i;
      (item[4] == 'n' ? point.n : point.tag) = item[8];
    }
    if (places[3] > 0) {
      point.vector.resize(kDim);
      std::memcpy(point.vector.data(), table + places[2] + 12, kDim * 4);
    }
    model.points[id] = point;
  }
  // Each of some vectors finds itself.
  size_t tried = 0;
  for (const auto& [id, point] : model.points) {
    if (point.vector.empty() || ++tried > 10) break;
    ByteWriter search = named(name);
    search.u32(1);
    search.text("");
    search.u8(0);
    search.u32(kDim);
    for (const float value : point.vector) search.f32(value);
    search.u32(1);
    search.u32(0);
    search.u8(1);
    search.f32(0);
    search.u32(0);
    search.f32(0);
    search.u8(0);
    search.u8(0);
    search.u8(0);
    search.u32(0);
    const Outcome found = ask(engine, Operation::kSearch, std::move(search));
    if (!found.ok) return std::nullopt;
    float score;
    std::memcpy(&score, found.bytes.data() + 16 + 16 + 4, 4);
    CHECK(score < 1e-3f, "point %lu of %s is not its own nearest: %g", id, name.c_str(), static_cast<double>(score));
  }
  return model;
}

// One client of one collection, some writes in flight at a time.
struct Worker {
  std::string name;
  std::mt19937 random;
  Model known;  // after the last verified opening
  std::vector<Op> ops;

  Op next(const Model& now) {
    Op op;
    const auto pick = [&] { return random() % 300; };
    const unsigned kind = random() % 100;
    if (!now.exists) {
      op.kind = Op::Kind::kCreate;
    } else if (kind < 2) {
      op.kind = Op::Kind::kDrop;
    } else if (kind < 6) {
      op.kind = Op::Kind::kIndex;
      op.tag = static_cast<int>(random() % 2);
    } else if (kind < 18 || (kind < 35 && now.points.empty())) {
      op.kind = Op::Kind::kDelete;
      for (int i = 0; i < 12; ++i) op.ids.push_back(pick());
    } else if (kind < 35) {
      op.kind = Op::Kind::kTag;
      op.tag = static_cast<int>(random() % 100);
      for (const auto& [id, point] : now.points) {
        if (random() % 8 == 0) op.ids.push_back(id);
      }
      if (op.ids.empty()) op.ids.push_back(now.points.begin()->first);
    } else {
      std::uniform_real_distribution<float> value(-1, 1);
      for (int i = 1 + static_cast<int>(random() % 24); i > 0; --i) {
        ModelPoint point;
        point.n = static_cast<int>(random() % 100);
        for (uint32_t d = 0; d < kDim; ++d) point.vector.push_back(value(random));
        op.points[pick()] = point;
      }
      if (random() % 2 == 0) op.sequence = now.sequence + 1;
    }
    return op;
  }

  // Until the engine takes no more, or `stop`.
  void run(Engine& engine, const std::atomic<bool>& stop, bool give_up) {
    Model now = known;
    std::deque<std::pair<size_t, std::future<Outcome>>> flying;
    bool ended = false;
    const auto settle = [&](size_t most) {
      while (flying.size() > most) {
        Op& op = ops[flying.front().first];
        const Outcome outcome = flying.front().second.get();
        flying.pop_front();
        // The disk's refusal to sync leaves it open whether the write is there; any other error means it is not.
        op.state = outcome.ok                                             ? Op::State::kDone
                   : outcome.message == "the disk did not confirm the write" ? Op::State::kUnsure
                                                                          : Op::State::kRefused;
        if (outcome.ok) continue;
        ended = ended || (give_up && outcome.kind != ErrorKind::kNotFound && outcome.kind != ErrorKind::kAborted);
        if (op.state == Op::State::kRefused) now = settled();
      }
    };
    while (!stop && !ended) {
      Op op = next(now);
      const bool alone = op.kind == Op::Kind::kCreate || op.kind == Op::Kind::kDrop;
      if (alone) settle(0);
      ops.push_back(op);
      op.apply(now);
      flying.emplace_back(ops.size() - 1, submit(engine, name, ops.back()));
      settle(alone ? 0 : random() % 4);
    }
    settle(0);
  }

  // What holds when all that is in flight goes well.
  Model settled() const {
    Model model = known;
    for (const Op& op : ops) {
      if (op.state != Op::State::kRefused) op.apply(model);
    }
    return model;
  }

  // The writes that were there up to some point at or behind the last acknowledged one.
  bool explains(const Model& found) const {
    size_t must = 0;
    for (size_t i = 0; i < ops.size(); ++i) {
      if (ops[i].state == Op::State::kDone) must = i + 1;
    }
    Model model = known;
    for (size_t i = 0; i <= ops.size(); ++i) {
      if (i >= must && model == found) return true;
      if (i == ops.size()) break;
      if (ops[i].state == Op::State::kRefused) {
        // A write that failed half way may be in the log whole, but then nothing comes behind it.
        Model half = model;
        ops[i].apply(half);
        if (i >= must && half == found) return true;
        continue;
      }
      ops[i].apply(model);
    }
    return false;
  }
};

enum class Fault { kPowerCut, kFailedSync, kFullDisk };

void damage_copies(const std::string& folder, const std::vector<Worker>& workers, std::mt19937& random) {
  std::vector<std::string> files;
  for (const auto& item : faults::fs::recursive_directory_iterator(folder)) {
    const std::string file = item.path().filename().string();
    if (item.is_regular_file() && file != "LOCK" && !file.starts_with("LOG") && item.file_size() > 0) {
      files.push_back(item.path().string().substr(folder.size()));
    }
  }
  std::sort(files.begin(), files.end());
  for (int turn = 0; turn < 4; ++turn) {
    const std::string copy = folder + "-copy";
    faults::fs::remove_all(copy);
    faults::fs::copy(folder, copy, faults::fs::copy_options::recursive);
    const std::string file = copy + files[random() % files.size()];
    const uint64_t size = faults::fs::file_size(file);
    const unsigned how = random() % 4;
    uint64_t at = random() % size;
    if (how == 0) {
      faults::fs::remove(file);
    } else if (how == 1) {
      faults::fs::resize_file(file, at);
    } else {
      std::FILE* bytes = std::fopen(file.c_str(), "r+b");
      std::fseek(bytes, static_cast<long>(at), SEEK_SET);
      const int byte = std::fgetc(bytes);
      std::fseek(bytes, static_cast<long>(at), SEEK_SET);
      std::fputc(byte ^ (1 << random() % 8), bytes);
      std::fclose(bytes);
    }
    size_t findings = 0;
    try {
      const DataReport report = check_data(copy, false);
      findings = report.findings.size();
    } catch (const Error&) {
      ++findings;
    }
    try {
      auto engine = Engine::open(copy, {});
      for (const Worker& worker : workers) {
        const auto found = read_all(*engine, worker.name);
        CHECK(!found || *found == worker.known || findings > 0, "%s %s at %lu: wrong answers, and nobody said so", how == 0   ? "removed"
                                                                                                                  : how == 1 ? "cut"
                                                                                                                             : "flipped",
              file.c_str(), at);
      }
      engine->close();
    } catch (const Error&) {
    }
    faults::fs::remove_all(copy);
  }
}

void round_of(const std::string& root, std::vector<Worker>& workers, std::mt19937& random, int number) {
  const std::string folder = root + "/data";
  const auto fault = static_cast<Fault>(random() % (with_full_disk ? 3 : 2));
  auto disk = std::make_shared<faults::FaultFs>(root + "/shadow");
  const auto env = rocksdb::NewCompositeEnv(disk);
  faults::SegmentFaults segments(folder + "/segments", root + "/shadow-segments");
  segment_faults = &segments;
  EngineOptions options;
  options.read_threads = 2;
  options.build_threads = 1;
  options.store.env = env.get();
  options.store.mark_after_ms = 0;
  {
    auto engine = Engine::open(folder, options);
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (Worker& worker : workers) threads.emplace_back([&] { worker.run(*engine, stop, fault != Fault::kFullDisk); });
    std::this_thread::sleep_for(std::chrono::milliseconds(30 + random() % 400));
    if (fault == Fault::kFailedSync) {
      disk->fail_sync = true;
      segments.fail_sync = true;
      std::this_thread::sleep_for(50ms);
      disk->fail_sync = false;
      segments.fail_sync = false;
      std::this_thread::sleep_for(20ms);
    } else if (fault == Fault::kFullDisk) {
      disk->space = static_cast<int64_t>(random() % 20'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(50 + random() % 100));
      for (const Worker& worker : workers) CHECK(ask(*engine, Operation::kCollectionExists, named(worker.name)).ok);
      disk->space = -1;
      std::this_thread::sleep_for(100ms);
    }
    if (fault == Fault::kPowerCut) {
      disk->dead = true;
      segments.dead = true;
    }
    stop = true;
    for (auto& thread : threads) thread.join();
    if (fault == Fault::kFullDisk) {
      // With room again writes go on, without a restart.
      bool written = false;
      std::string why;
      for (int i = 0; i < 200 && !written; ++i) {
        Worker& worker = workers[0];
        Model now = worker.settled();
        Op op = worker.next(now);
        worker.ops.push_back(op);
        const Outcome outcome = submit(*engine, worker.name, op).get();
        worker.ops.back().state = outcome.ok ? Op::State::kDone : Op::State::kRefused;
        written = outcome.ok;
        why = outcome.message;
        if (!written) std::this_thread::sleep_for(50ms);
      }
      CHECK(written, "no write is taken though there is room again: %s", why.c_str());
    }
    // The power goes before the engine can put anything in order.
    disk->dead = true;
    segments.dead = true;
    engine->close();
  }
  segment_faults = nullptr;
  disk->cut(random);
  segments.cut(random);

  const DataReport report = check_data(folder, false);
  for (const Finding& finding : report.findings) {
    const bool folder_only = finding.kind == Finding::Kind::kDerived && finding.collection.empty();
    CHECK(folder_only, "round %d, fault %d: verify: %s %s: %s", number, static_cast<int>(fault), finding.collection.c_str(), finding.point.c_str(),
          finding.text.c_str());
  }
  const std::string image = root + "/image";
  faults::fs::remove_all(image);
  faults::fs::copy(folder, image, faults::fs::copy_options::recursive);
  {
    auto engine = Engine::open(folder, {});
    size_t points = 0, operations = 0;
    for (Worker& worker : workers) {
      const auto found = read_all(*engine, worker.name);
      CHECK(found.has_value(), "round %d: %s cannot be read", number, worker.name.c_str());
      CHECK(worker.explains(*found), "round %d, fault %d: %s holds %zu points at stream position %lu, which no run of its %zu writes explains", number,
            static_cast<int>(fault), worker.name.c_str(), found->points.size(), found->sequence, worker.ops.size());
      operations += worker.ops.size();
      points += found->points.size();
      worker.known = *found;
      worker.ops.clear();
    }
    engine->close();
    const char* names[] = {"power cut", "failed sync", "full disk"};
    std::printf("round %d: %s, %zu writes, %zu points\n", number, names[static_cast<int>(fault)], operations, points);
  }
  damage_copies(image, workers, random);
}

}  // namespace

// The addon's own files are written with these; they stand before libc's in this program.
extern "C" int fsync(int fd) {
  char path[4096];
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof(path) - 1);
  auto* faults = segment_faults.load();
  if (faults != nullptr && size > 0 && faults->covers(std::string(path, static_cast<size_t>(size)))) {
    return faults->sync(std::string(path, static_cast<size_t>(size)));
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
extern "C" int rename(const char* from, const char* to) noexcept {
  auto* faults = segment_faults.load();
  if (faults != nullptr && faults->covers(to)) return faults->rename(from, to);
  return static_cast<int>(::syscall(SYS_rename, from, to));
}

int main(int argc, char** argv) {
  seed = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : std::random_device()();
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 4;
  with_full_disk = argc > 3 && std::string_view(argv[3]) == "full-disk";
  std::printf("fault_check: seed %u, %d rounds\n", seed, rounds);
  const std::string root = (faults::fs::temp_directory_path() / ("sealpoint-fault-check-" + std::to_string(getpid()))).string();
  faults::fs::remove_all(root);
  faults::fs::create_directories(root);
  std::mt19937 random(seed);
  std::vector<Worker> workers(3);
  for (size_t i = 0; i < workers.size(); ++i) {
    workers[i].name = "w" + std::to_string(i);
    workers[i].random.seed(seed + static_cast<unsigned>(i));
  }
  for (int round = 0; round < rounds; ++round) round_of(root, workers, random, round);
  faults::fs::remove_all(root);
  std::printf("fault_check: passed\n");
  return 0;
}
