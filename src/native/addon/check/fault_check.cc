// Random work on an engine whose disk fails: the power is cut (what was not synced goes, names too), syncs fail, the disk fills up and has room again, bits
// flip and files vanish at rest. After each: every acknowledged write is there, each write wholly or not at all and in order, verify agrees, and
// damage shows as right answers, an error, or a finding of verify. Prints its seed.
// Alone: scripts/build-native.sh check address && build/address/fault_check [seed] [rounds] [number of the one fault]
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "../engine/data_check.h"
#include "fault_fs.h"
#include "fault_model.h"

using namespace sealpoint;
using namespace std::chrono_literals;
using namespace faults;

namespace {

std::atomic<faults::SegmentFaults*> segment_faults{nullptr};
int only_fault = -1;

enum class Fault { kPowerCut, kFailedSync, kFullDisk, kFullToTheEnd };
constexpr int kFaults = 4;

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
  const auto fault = static_cast<Fault>(only_fault >= 0 ? only_fault : static_cast<int>(random() % kFaults));
  const bool full = fault == Fault::kFullDisk || fault == Fault::kFullToTheEnd;
  auto disk = std::make_shared<faults::FaultFs>(root + "/shadow");
  const auto env = rocksdb::NewCompositeEnv(disk);
  faults::SegmentFaults segments(folder + "/segments", root + "/shadow-segments");
  segment_faults = &segments;
  EngineOptions options;
  options.read_threads = 2;
  options.build_threads = 1;
  options.store.env = env.get();
  options.store.mark_after_ms = 0;
  options.store.state_points_min = 2;
  {
    auto engine = Engine::open(folder, options);
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    std::future<Outcome> flushed;
    for (Worker& worker : workers) threads.emplace_back([&] { worker.run(*engine, stop, !full); });
    std::this_thread::sleep_for(std::chrono::milliseconds(30 + random() % 400));
    if (fault == Fault::kFailedSync) {
      disk->fail_sync = true;
      segments.fail_sync = true;
      std::this_thread::sleep_for(50ms);
      disk->fail_sync = false;
      segments.fail_sync = false;
      std::this_thread::sleep_for(20ms);
    } else if (full) {
      // With a disk that says so, writes are refused in time; with one that lies, appends wait, and tables fail.
      disk->lies = random() % 2 == 0;
      disk->space = static_cast<int64_t>(random() % 20'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(50 + random() % 100));
      if (random() % 2 == 0) flushed = send(*engine, Operation::kFlush, {});
      for (const Worker& worker : workers) CHECK(ask(*engine, Operation::kCollectionExists, named(worker.name)).ok);
      if (fault == Fault::kFullDisk) {
        disk->space = -1;
        std::this_thread::sleep_for(100ms);
      }
    }
    if (fault == Fault::kPowerCut) {
      disk->dead = true;
      segments.dead = true;
    }
    stop = true;
    // Writes that wait for room end with the engine.
    if (fault == Fault::kFullToTheEnd) engine->close();
    for (auto& thread : threads) thread.join();
    if (flushed.valid()) flushed.wait();
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
    const char* names[] = {"power cut", "failed sync", "full disk", "full disk to the end"};
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
  const unsigned seed = checks::take_seed(argc, argv);
  const int rounds = checks::take_number(argc, argv, 2, 4);
  if (argc > 3) only_fault = std::atoi(argv[3]);
  const checks::Folder folder;
  const std::string& root = folder.path();
  std::mt19937 random(seed);
  std::vector<Worker> workers(3);
  for (size_t i = 0; i < workers.size(); ++i) {
    workers[i].name = "w" + std::to_string(i);
    workers[i].random.seed(seed + static_cast<unsigned>(i));
  }
  for (int round = 0; round < rounds; ++round) round_of(root, workers, random, round);
  std::printf("fault_check: passed\n");
  return 0;
}
