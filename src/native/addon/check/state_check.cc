// State files and the change log: an engine that is closed or killed at any operation, and started again with its state files as they were, damaged,
// torn, missing, of an earlier moment or of another collection, holds what the model holds, by its payloads and by each kind of index. Argument: a seed.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "engine_calls.h"
#include "program.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::checks;
namespace fs = std::filesystem;

constexpr uint32_t kDim = 8;
const std::string kName = "c";
// ThreadSanitizer cannot follow a fork beside threads, and RocksDB's stay: there every round ends in order.
#if defined(__SANITIZE_THREAD__)
constexpr bool kForks = false;
#else
constexpr bool kForks = true;
#endif

struct Point {
  int n = -1;  // -1: none
  int word = 0;
  bool flag = false;
  std::vector<float> vector;
};
using Model = std::map<uint64_t, Point>;  // ids from 1000 on are UUIDs

std::string uuid_text(int word) {
  char text[40];
  std::snprintf(text, sizeof(text), "00000000-0000-4000-8000-%012x", static_cast<unsigned>(word));
  return text;
}

// protobuf: field 2, a map's entry of a key of one letter and a qdrant.Value.
std::string entry(char key, const std::string& value) {
  std::string inner{0x0a, 0x01, key, 0x12, static_cast<char>(value.size())};
  inner += value;
  return std::string{0x12, static_cast<char>(inner.size())} + inner;
}
std::string text_value(const std::string& text) { return std::string{0x22, static_cast<char>(text.size())} + text; }

std::string payload_of(const Point& point) {
  std::string out;
  if (point.n >= 0) out += entry('n', {0x18, static_cast<char>(point.n)});
  out += entry('w', text_value("word" + std::to_string(point.word)));
  out += entry('u', text_value(uuid_text(point.word)));
  out += entry('b', {0x28, static_cast<char>(point.flag ? 1 : 0)});
  double number = point.n / 2.0;
  std::string real{0x11};
  real.append(reinterpret_cast<const char*>(&number), 8);
  out += entry('f', real);
  return out;
}

PointId id_of(uint64_t id) {
  if (id < 1000) return PointId::number(id);
  uint8_t bytes[16] = {};
  std::memcpy(bytes, &id, 8);
  return PointId::from_uuid(bytes);
}

void create(Engine& engine) {
  ByteWriter out = named(kName);
  out.text("{}");
  out.text("{}");
  out.u32(1);
  VectorField field;
  field.dim = kDim;
  field.distance = Distance::kEuclid;
  field.indexing_threshold_kb = 4;
  field.full_scan_threshold_kb = 1;
  field.m = 8;
  field.ef_construct = 24;
  field.write(out);
  CHECK(ask(engine, Operation::kCreateCollection, std::move(out)).ok);
}

void change_index(Engine& engine, const char* key, FieldType type, const char* params, bool add) {
  ByteWriter out = named(kName);
  out.text(key);
  if (add) {
    out.u8(static_cast<uint8_t>(type));
    out.text(params);
    out.u8(1);
  }
  CHECK(ask(engine, add ? Operation::kCreateFieldIndex : Operation::kDeleteFieldIndex, std::move(out)).ok);
}

ByteWriter write_head(uint8_t kind) {
  ByteWriter out = named(kName);
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  out.u8(kind);
  return out;
}

// Without an engine only the model goes on.
void change(Engine* engine, Model& model, std::mt19937& random) {
  if (random() % 4 == 0 && !model.empty()) {
    ByteWriter out = write_head(2);
    out.u8(0);
    out.u32(3);
    for (int i = 0; i < 3; ++i) {
      auto at = model.lower_bound(random() % 2000);
      const uint64_t id = at == model.end() ? random() % 2000 : at->first;
      out.id(id_of(id));
      model.erase(id);
    }
    CHECK(engine == nullptr || ask(*engine, Operation::kWrite, std::move(out)).ok);
    return;
  }
  ByteWriter out = write_head(1);
  const uint32_t count = 1 + random() % 20;
  std::map<uint64_t, Point> points;
  for (uint32_t i = 0; i < count; ++i) {
    Point& point = points[random() % 2000];
    point.n = random() % 5 == 0 ? -1 : static_cast<int>(random() % 100);
    point.word = static_cast<int>(random() % 40);
    point.flag = random() % 2 == 0;
    point.vector.resize(kDim);
    for (float& value : point.vector) value = static_cast<float>(random() % 10'000);
  }
  out.u32(static_cast<uint32_t>(points.size()));
  for (const auto& [id, point] : points) {
    out.id(id_of(id));
    out.text(payload_of(point));
    out.u8(1);
    out.text("");
    out.u32(kDim);
    for (const float value : point.vector) out.f32(value);
    model[id] = point;
  }
  CHECK(engine == nullptr || ask(*engine, Operation::kWrite, std::move(out)).ok);
}

uint64_t count(Engine& engine, const std::string& condition) {
  ByteWriter program;
  program.u8(1);
  program.u32(condition.empty() ? 0 : 1);
  program.raw(condition.data(), condition.size());
  program.u32(0);
  program.u32(0);
  program.u8(0);
  ByteWriter out = named(kName);
  out.u8(0);
  out.text(program.bytes());
  const Outcome outcome = ask(engine, Operation::kCount, std::move(out));
  CHECK(outcome.ok, "%s", outcome.message.c_str());
  return ByteReader(outcome.bytes).u64();
}

std::string match(uint8_t kind, const char* key, const std::string& value) {
  ByteWriter out;
  out.u8(kind);
  out.text(key);
  out.raw(value.data(), value.size());
  return std::move(out.bytes());
}

void compare(Engine& engine, const Model& model, const char* what) {
  const auto expect = [&](const char* name, const std::string& condition, auto holds) {
    const auto wanted = static_cast<uint64_t>(std::count_if(model.begin(), model.end(), [&](const auto& each) { return holds(each.second); }));
    const uint64_t got = count(engine, condition);
    CHECK(got == wanted, "%s: %s: %lu instead of %lu", what, name, got, wanted);
  };
  expect("all", "", [](const Point&) { return true; });
  for (const int value : {3, 17}) {
    ByteWriter integer, word, uuid, range;
    integer.u64(static_cast<uint64_t>(value));
    word.text("word" + std::to_string(value));
    uuid.text("{" + uuid_text(value) + "}");  // another spelling
    range.u8(2);
    range.f64(value);
    expect("integer", match(2, "n", integer.bytes()), [&](const Point& point) { return point.n == value; });
    expect("keyword", match(1, "w", word.bytes()), [&](const Point& point) { return point.word == value; });
    expect("uuid", match(1, "u", uuid.bytes()), [&](const Point& point) { return point.word == value; });
    expect("integer range", match(8, "n", range.bytes()), [&](const Point& point) { return point.n >= 0 && point.n <= value; });
    expect("float range", match(8, "f", range.bytes()), [&](const Point& point) { return point.n / 2.0 <= value; });
  }
  expect("bool", match(3, "b", std::string(1, '\1')), [](const Point& point) { return point.flag; });
  expect("empty", match(14, "n", ""), [](const Point& point) { return point.n < 0; });
  size_t tried = 0;
  for (const auto& [id, point] : model) {
    if (++tried % 16 != 0) continue;
    ByteWriter search = named(kName);
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
    CHECK(found.ok, "%s", found.message.c_str());
    float score;
    std::memcpy(&score, found.bytes.data() + 16 + 16 + 4, 4);
    CHECK(score < 1e-3f, "%s: a point is not its own nearest: %g", what, static_cast<double>(score));
  }
}

bool started_from_state(Engine& engine) {
  const Outcome stats = ask(engine, Operation::kStats, {});
  CHECK(stats.ok);
  uint64_t from_state = 0;
  std::memcpy(&from_state, stats.bytes.data() + stats.bytes.size() - 8, 8);
  return from_state > 0;
}

// What the start says that it left out.
std::string left_out(Engine& engine) {
  const Outcome stats = ask(engine, Operation::kStats, {});
  ByteReader in(stats.bytes);
  for (int i = 0; i < 8; ++i) (void)in.u64();
  std::string all;
  for (uint32_t n = in.u32(); n > 0; --n) {
    (void)in.text();
    all += std::string(in.text()) + "\n";
  }
  return all;
}

std::vector<fs::path> states(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& each : fs::recursive_directory_iterator(folder + "/segments")) {
    if (each.path().extension() == ".state") files.push_back(each.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void copy(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

// What may become of the files while nobody looks; `older` is a folder of an earlier moment. Tells whether the points' file was harmed.
bool harm(const std::string& folder, const std::string& older, std::mt19937& random, const char*& what) {
  const auto files = states(folder);
  if (files.empty()) return true;
  const fs::path file = files[random() % files.size()];
  const bool points = file.filename().string().starts_with("points");
  switch (random() % 5) {
    case 4:
      what = "vanished";
      fs::remove_all(random() % 2 == 0 ? folder + "/segments" : file.parent_path().string());
      return true;
    case 0:
      what = "missing";
      fs::remove(file);
      break;
    case 1:
      what = "torn";
      fs::resize_file(file, random() % fs::file_size(file));
      break;
    case 2: {
      what = "flipped";
      std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
      const auto at = static_cast<std::streamoff>(random() % fs::file_size(file));
      bytes.seekg(at);
      const char byte = static_cast<char>(bytes.get() ^ (1 << random() % 8));
      bytes.seekp(at);
      bytes.put(byte);
      break;
    }
    default: {
      // The file of an earlier moment under this one's name.
      what = "stale";
      const auto others = fs::exists(older) ? states(older) : std::vector<fs::path>();
      for (const fs::path& other : others) {
        if (other.filename().string().starts_with("points") == points && other.filename() != file.filename()) {
          fs::copy_file(other, file, fs::copy_options::overwrite_existing);
          return points;
        }
      }
      fs::remove(file);
    }
  }
  return points;
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  const int rounds = checks::take_number(argc, argv, 2, 6);
  std::mt19937 random(seed);
  const Folder temporary;
  const std::string& root = temporary.path();
  const std::string folder = root + "/data", older = root + "/older", harmed = root + "/harmed";
  EngineOptions options;
  options.read_threads = 2;
  options.build_threads = 1;
  options.store.state_points_min = 20;
  Model model;
  int from_state = 0, harmed_ones = 0;
  for (int round = 0; round < rounds; ++round) {
    // What a round does; a child that is killed does the same as its parent, which only goes on with its model.
    const bool kill = random() % 2 == 0 && kForks, float_index = random() % 2 == 0;
    const auto pause = std::chrono::milliseconds(random() % 400);
    const auto work = [&](Engine* engine) {
      if (engine != nullptr && round == 0) {
        create(*engine);
        change_index(*engine, "w", FieldType::kKeyword, "{\"isTenant\":true}", true);
        change_index(*engine, "n", FieldType::kInteger, "", true);
        change_index(*engine, "u", FieldType::kUuid, "", true);
        change_index(*engine, "b", FieldType::kBool, "", true);
      }
      if (engine != nullptr) compare(*engine, model, "at once");
      // Writes begin while indexes may still be on their way.
      for (int i = 0; i < 25; ++i) change(engine, model, random);
      if (engine != nullptr) {
        compare(*engine, model, "after writes");
        if (float_index) change_index(*engine, "f", FieldType::kFloat, "", round % 2 == 0);
        // Builds and states come in between.
        std::this_thread::sleep_for(pause);
      }
      for (int i = 0; i < 25; ++i) change(engine, model, random);
    };
    if (kill) {
      // No thread of an engine runs here.
      std::fflush(nullptr);
      const pid_t child = ::fork();
      if (child == 0) {
        auto engine = Engine::open(folder, options);
        work(engine.get());
        ::kill(::getpid(), SIGKILL);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended by itself");
      work(nullptr);
    } else {
      auto engine = Engine::open(folder, options);
      from_state += started_from_state(*engine) ? 1 : 0;
      work(engine.get());
      engine->close();
    }
    if (random() % 3 == 0) copy(folder, older);
    for (int turn = 0; turn < 3; ++turn) {
      copy(folder, harmed);
      const char* what = "";
      const bool had_states = !states(harmed).empty(), had_manifest = fs::exists(harmed + "/segments/1/0/manifest");
      const bool points = harm(harmed, older, random, what);
      auto engine = Engine::open(harmed, options);
      CHECK(!points || !started_from_state(*engine), "a %s file was believed", what);
      const std::string named = left_out(*engine);
      CHECK(!points || !had_states || named.find("/points-") != std::string::npos, "a %s file was not named: %s", what, named.c_str());
      CHECK(std::strcmp(what, "vanished") != 0 || !had_manifest || named.find("manifest: is missing, and all segments") != std::string::npos,
            "a folder that vanished was not named: %s", named.c_str());
      harmed_ones += points ? 1 : 0;
      compare(*engine, model, what);
      change(engine.get(), model, random);
      compare(*engine, model, what);
      engine->close();
      engine.reset();
      // What was written to the copy goes on with the copy.
      copy(harmed, folder);
    }
  }
  CHECK(from_state > 0 || rounds < 3, "no start used a state file");
  std::printf("state_check: passed, %zu points, %d starts of %d from state files, %d of damaged ones\n", model.size(), from_state, rounds - 1, harmed_ones);
  return 0;
}
