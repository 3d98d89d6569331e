// The engine through its one door, from many threads at once, for the sanitizers: writes, searches, scrolls, indexes, builds, deletion under
// load and closing under load; then what was acknowledged must be there after it is opened again.
// Built and run by `make native-check`; alone: scripts/build-native.sh check address && build/address/engine_check
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <random>
#include <set>
#include <thread>

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "../engine/engine.h"
#include "../engine/sealed_points.h"
#include "program.h"

using namespace sealpoint;

namespace {

constexpr uint32_t kDim = 24;

std::future<Outcome> send(Engine& engine, Operation operation, ByteWriter& message) {
  auto bytes = std::make_shared<std::string>(std::move(message.bytes()));
  auto promise = std::make_shared<std::promise<Outcome>>();
  auto future = promise->get_future();
  engine.submit(operation, {*bytes, {}}, bytes, [promise](Outcome outcome) { promise->set_value(std::move(outcome)); });
  return future;
}

Outcome ask(Engine& engine, Operation operation, ByteWriter message) { return send(engine, operation, message).get(); }

ByteWriter name_message(std::string_view name) {
  ByteWriter out;
  out.text(name);
  return out;
}

void create(Engine& engine, std::string_view name) {
  ByteWriter out = name_message(name);
  out.text("{}");
  out.text("{}");
  out.u32(1);
  VectorField field;
  field.dim = kDim;
  field.indexing_threshold_kb = 20;
  field.full_scan_threshold_kb = 5;
  field.m = 8;
  field.ef_construct = 32;
  field.write(out);
  CHECK(ask(engine, Operation::kCreateCollection, std::move(out)).ok);
}

// One payload entry: "n": integer.
std::string payload_of(uint8_t n) {
  const char bytes[] = {0x12, 0x07, 0x0a, 0x01, 'n', 0x12, 0x02, 0x18, static_cast<char>(n & 0x7f)};
  return {bytes, sizeof(bytes)};
}

ByteWriter upsert(std::string_view name, const std::vector<uint64_t>& ids, std::mt19937& random) {
  std::uniform_real_distribution<float> value(-1, 1);
  ByteWriter out = name_message(name);
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  out.u8(1);
  out.u32(static_cast<uint32_t>(ids.size()));
  for (const uint64_t id : ids) {
    out.id(PointId::number(id));
    out.text(payload_of(static_cast<uint8_t>(id % 100)));
    out.u8(1);
    out.text("");
    out.u32(kDim);
    for (uint32_t i = 0; i < kDim; ++i) out.f32(value(random));
  }
  return out;
}

void put_field(std::string& out, std::string_view tag, std::string_view body) {
  out.append(tag);
  out.push_back(static_cast<char>(body.size() % 128 | (body.size() >= 128 ? 128 : 0)));
  if (body.size() >= 128) out.push_back(static_cast<char>(body.size() / 128));
  out.append(body);
}

// A request's points (qdrant.UpsertPoints, field 3), as the addon reads them itself.
std::string encoded_points(const std::vector<uint64_t>& ids, std::mt19937& random) {
  std::uniform_real_distribution<float> value(-1, 1);
  std::string points;
  for (const uint64_t id : ids) {
    std::string floats, dense, vector, one, point, number, text = std::to_string(id);
    for (uint32_t i = 0; i < kDim; ++i) {
      const float f = value(random);
      floats.append(reinterpret_cast<const char*>(&f), 4);
    }
    put_field(dense, "\x0a", floats);
    if (id % 2 == 0) {
      put_field(vector, "\xaa\x06", dense);
    } else {
      vector = dense;  // the old flat form has the same bytes
    }
    put_field(one, "\x0a", vector);
    number = "\x08";
    for (uint64_t rest = id; ; rest /= 128) {
      number.push_back(static_cast<char>(rest % 128 | (rest >= 128 ? 128 : 0)));
      if (rest < 128) break;
    }
    put_field(point, "\x0a", number);
    put_field(point, "\x1a", std::string_view(payload_of(static_cast<uint8_t>(id))).substr(2));
    put_field(point, "\x22", one);
    put_field(points, "\x1a", point);
  }
  return points;
}

// `sealed`: the payloads in place of theirs, as seal_points answers.
Outcome upsert_encoded(Engine& engine, std::string_view name, const std::string& points, const std::string* sealed = nullptr) {
  ByteWriter out = name_message(name);
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  out.u8(sealed == nullptr ? 10 : 12);
  out.u32(3);
  if (sealed != nullptr) out.raw(sealed->data(), sealed->size());
  std::promise<Outcome> promise;
  auto future = promise.get_future();
  // Copies that end with the message: a reader that goes past it is seen.
  const std::vector<char> body(points.begin(), points.end());
  engine.submit(Operation::kWrite, {out.bytes(), {body.data(), body.size()}}, nullptr, [&](Outcome outcome) { promise.set_value(std::move(outcome)); });
  return future.get();
}

ByteWriter erase(std::string_view name, const std::vector<uint64_t>& ids) {
  ByteWriter out = name_message(name);
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  out.u8(2);
  out.u8(0);
  out.u32(static_cast<uint32_t>(ids.size()));
  for (const uint64_t id : ids) out.id(PointId::number(id));
  return out;
}

// One to four queries; one of them of `dim` dimensions.
ByteWriter search(std::string_view name, std::mt19937& random, uint32_t dim = kDim) {
  std::uniform_real_distribution<float> value(-1, 1);
  ByteWriter out = name_message(name);
  const uint32_t queries = 1 + random() % 4;
  out.u32(queries);
  for (uint32_t query = 0; query < queries; ++query) {
    const uint32_t own = query + 1 == queries ? dim : kDim;
    out.text("");
    out.u8(0);
    out.u32(own);
    for (uint32_t i = 0; i < own; ++i) out.f32(value(random));
    out.u32(10);
    out.u32(0);
    out.u8(0);
    out.f32(0);
    out.u32(32);
    out.f32(0);
    out.u8(1);
    out.u8(1);
    out.u8(0);
    out.u32(0);
  }
  return out;
}

ByteWriter scroll(std::string_view name, uint32_t limit) {
  ByteWriter out = name_message(name);
  out.u8(0);
  out.u32(0);
  out.u8(0);
  out.u32(limit);
  out.u8(1);
  out.u8(0);
  return out;
}

uint64_t count(Engine& engine, std::string_view name) {
  ByteWriter out = name_message(name);
  out.u8(0);
  out.u32(0);
  const Outcome outcome = ask(engine, Operation::kCount, std::move(out));
  CHECK(outcome.ok);
  return ByteReader(outcome.bytes).u64();
}

// Points sealed as they came: good ones are stored with as many seals; anything cut, mangled or miscounted is refused or sealed, never stored in part.
void sealed_points_check(Engine& engine, std::mt19937& random) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  unsigned char* encoded = nullptr;
  const size_t size = EVP_PKEY_get1_encoded_public_key(key, &encoded);
  ByteWriter head;
  head.text("0123456789abcdef");
  head.u8(0);
  head.u8(1);
  head.text({reinterpret_cast<char*>(encoded), size});
  head.text("kid-kid-");
  head.u32(1);
  head.text("clear");
  head.u32(3);
  OPENSSL_free(encoded);
  EVP_PKEY_free(key);
  const auto seal = [&](const std::string& points, std::string& sealed) {
    const std::vector<char> body(points.begin(), points.end());
    try {
      sealed = seal_points(head.bytes(), {body.data(), body.size()});
      return true;
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kBadInput);
      return false;
    }
  };
  create(engine, "sealed");
  const std::string whole = encoded_points({1, 2, 300, 70'000}, random);
  std::string sealed, two;
  CHECK(seal(whole, sealed));
  CHECK(upsert_encoded(engine, "sealed", whole, &sealed).ok);
  CHECK(count(engine, "sealed") == 4);
  const std::string fresh = encoded_points({5, 6}, random);
  CHECK(seal(fresh, two));
  // Too many, too few, and cut ones.
  CHECK(!upsert_encoded(engine, "sealed", fresh, &sealed).ok);
  CHECK(!upsert_encoded(engine, "sealed", whole, &two).ok);
  for (size_t end = 0; end < two.size(); ++end) {
    const std::string cut = two.substr(0, end);
    CHECK(!upsert_encoded(engine, "sealed", fresh, &cut).ok);
  }
  CHECK(count(engine, "sealed") == 4);
  for (size_t end = 0; end < head.bytes().size(); ++end) {
    bool refused = false;
    try {
      seal_points(std::string_view(head.bytes()).substr(0, end), fresh);
    } catch (const Error&) {
      refused = true;
    }
    CHECK(refused);
  }
  for (int round = 0; round < 2000; ++round) {
    std::string mangled = fresh;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes) mangled[random() % mangled.size()] = static_cast<char>(random());
    std::string answer;
    if (!seal(mangled, answer)) continue;
    const Outcome outcome = upsert_encoded(engine, "sealed", mangled, &answer);
    CHECK(outcome.ok || outcome.kind == ErrorKind::kBadInput);
  }
  CHECK(ask(engine, Operation::kDeleteCollection, name_message("sealed")).ok);
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  const int rounds = checks::take_number(argc, argv, 2, 60);
  const checks::Folder root;
  const std::filesystem::path folder = root.path() + "/data";

  std::set<uint64_t> expected[2];
  {
    auto engine = Engine::open(folder.string(), {});
    CHECK(Engine::open(folder.string(), {}).get() == engine.get());
    create(*engine, "main");
    CHECK(!ask(*engine, Operation::kSearch, name_message("nobody")).ok);
    // Every cut of a good message is refused and does no harm.
    {
      std::mt19937 random(seed);
      const std::string whole = upsert("main", {1, 2}, random).bytes();
      for (size_t size = 0; size < whole.size(); size += 3) {
        ByteWriter cut;
        cut.raw(whole.data(), size);
        CHECK(!ask(*engine, Operation::kWrite, std::move(cut)).ok);
      }
      CHECK(count(*engine, "main") == 0);
    }
    // Encoded points: good ones are stored; cut and mangled ones are stored wholly or refused as what is to be read elsewhere.
    {
      std::mt19937 random(seed);
      create(*engine, "encoded");
      const std::string whole = encoded_points({1, 2, 300, 70'000}, random);
      CHECK(upsert_encoded(*engine, "encoded", whole).ok);
      CHECK(count(*engine, "encoded") == 4);
      const std::string fresh = encoded_points({5, 6}, random);
      const size_t one = encoded_points({5}, random).size();
      for (size_t size = 1; size < fresh.size(); ++size) {
        const Outcome outcome = upsert_encoded(*engine, "encoded", fresh.substr(0, size));
        // A cut between two points leaves a good message.
        CHECK(outcome.ok ? size == one : outcome.kind == ErrorKind::kBadInput);
      }
      CHECK(count(*engine, "encoded") == 5);
      for (int round = 0; round < 2000; ++round) {
        std::string mangled = fresh;
        for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
          const size_t at = random() % mangled.size();
          if (random() % 3 == 0) {
            mangled.erase(at, 1 + random() % 4);
          } else {
            mangled[at] = static_cast<char>(random());
          }
          if (mangled.empty()) break;
        }
        const Outcome outcome = upsert_encoded(*engine, "encoded", mangled);
        CHECK(outcome.ok || outcome.kind == ErrorKind::kBadInput);
      }
      sealed_points_check(*engine, random);
      CHECK(ask(*engine, Operation::kDeleteCollection, name_message("encoded")).ok);
    }
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (unsigned writer = 0; writer < 2; ++writer) {
      threads.emplace_back([&, writer] {
        std::mt19937 random(seed + writer);
        std::set<uint64_t>& mine = expected[writer];
        for (int round = 0; round < rounds; ++round) {
          std::vector<uint64_t> ids;
          for (int i = 0; i < 40; ++i) ids.push_back(writer * 100'000 + random() % 1500);
          if (round % 4 == 3) {
            CHECK(ask(*engine, Operation::kWrite, erase("main", ids)).ok);
            for (const uint64_t id : ids) mine.erase(id);
          } else {
            CHECK(ask(*engine, Operation::kWrite, upsert("main", ids, random)).ok);
            mine.insert(ids.begin(), ids.end());
          }
        }
      });
    }
    for (unsigned reader = 0; reader < 2; ++reader) {
      threads.emplace_back([&, reader] {
        std::mt19937 random(seed + 100 + reader);
        while (!stop) {
          CHECK(ask(*engine, Operation::kSearch, search("main", random)).ok);
          CHECK(ask(*engine, Operation::kSearch, search("main", random, kDim + 1)).kind == ErrorKind::kBadInput);
          CHECK(ask(*engine, Operation::kScroll, scroll("main", 50)).ok);
          CHECK(ask(*engine, Operation::kCollectionInfo, name_message("main")).ok);
        }
      });
    }
    threads.emplace_back([&] {
      std::mt19937 random(seed + 200);
      for (int turn = 0; !stop; ++turn) {
        ByteWriter index = name_message("main");
        index.text("n");
        if (turn % 2 == 0) {
          index.u8(1);
          index.text("");
          index.u8(turn % 4 == 0 ? 1 : 0);
        }
        CHECK(ask(*engine, turn % 2 == 0 ? Operation::kCreateFieldIndex : Operation::kDeleteFieldIndex, std::move(index)).ok);
        // A collection that goes while it is written and searched.
        create(*engine, "brief");
        std::vector<std::future<Outcome>> flying;
        for (int i = 0; i < 4; ++i) {
          ByteWriter write = upsert("brief", {uint64_t(i), 77}, random);
          flying.push_back(send(*engine, Operation::kWrite, write));
          ByteWriter read = search("brief", random);
          flying.push_back(send(*engine, Operation::kSearch, read));
        }
        const Outcome gone = ask(*engine, Operation::kDeleteCollection, name_message("brief"));
        CHECK(gone.ok && gone.bytes[0] == 1);
        for (auto& answer : flying) {
          const Outcome outcome = answer.get();
          CHECK(outcome.ok || outcome.kind == ErrorKind::kNotFound);
        }
      }
    });
    threads[0].join();
    threads[1].join();
    stop = true;
    for (size_t i = 2; i < threads.size(); ++i) threads[i].join();
    CHECK(count(*engine, "main") == expected[0].size() + expected[1].size());
    // Closed with searches under way: each of them is answered.
    std::mt19937 random(seed);
    std::vector<std::future<Outcome>> flying;
    for (int i = 0; i < 50; ++i) {
      ByteWriter read = search("main", random);
      flying.push_back(send(*engine, Operation::kSearch, read));
    }
    engine->close();
    for (auto& answer : flying) CHECK(answer.get().ok);
    ByteWriter late = search("main", random);
    CHECK(send(*engine, Operation::kSearch, late).get().kind == ErrorKind::kUnavailable);
  }
  {
    auto engine = Engine::open(folder.string(), {});
    CHECK(count(*engine, "main") == expected[0].size() + expected[1].size());
    const Outcome verified = ask(*engine, Operation::kVerify, name_message("main"));
    CHECK(verified.ok && verified.bytes[0] == 1);
  }
  {
    // A collection at its limit refuses what grows it, whole, and nothing else; a process over its limit takes nothing new at all.
    EngineOptions limited;
    limited.collection_memory_limit = 1 << 20;
    auto engine = Engine::open(folder.string() + ".limited", limited);
    create(*engine, "full");
    std::mt19937 random(seed + 300);
    uint64_t id = 0;
    Outcome outcome;
    for (int i = 0; i < 200 && outcome.ok; ++i) {
      std::vector<uint64_t> ids(200);
      for (uint64_t& one : ids) one = id++;
      outcome = ask(*engine, Operation::kWrite, upsert("full", ids, random));
    }
    CHECK(!outcome.ok && outcome.kind == ErrorKind::kExhausted);
    CHECK(outcome.message.find("SEALPOINT_COLLECTION_MEMORY_LIMIT_MB") != std::string::npos);
    CHECK(count(*engine, "full") == id - 200);
    CHECK(ask(*engine, Operation::kSearch, search("full", random)).ok);
    std::vector<uint64_t> all(id - 200);
    for (uint64_t i = 0; i < all.size(); ++i) all[i] = i;
    CHECK(ask(*engine, Operation::kWrite, erase("full", all)).ok);
    CHECK(ask(*engine, Operation::kWrite, upsert("full", {1, 2, 3}, random)).ok);
    CHECK(count(*engine, "full") == 3);
    engine->close();
    limited.memory_limit = 1;
    engine.reset();
    engine = Engine::open(folder.string() + ".limited", limited);
    outcome = ask(*engine, Operation::kWrite, upsert("full", {4}, random));
    CHECK(!outcome.ok && outcome.kind == ErrorKind::kExhausted && outcome.message.find("SEALPOINT_MEMORY_LIMIT_MB") != std::string::npos);
    CHECK(ask(*engine, Operation::kWrite, erase("full", {1})).ok);
    CHECK(count(*engine, "full") == 2);
    engine->close();
  }
  std::printf("engine_check: passed, %zu points\n", expected[0].size() + expected[1].size());
  return 0;
}
