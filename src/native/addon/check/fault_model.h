// What fault_check.cc holds the engine against: clients with random writes, and the model that says which states these explain.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <future>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine_calls.h"
#include "program.h"

namespace faults {

using namespace sealpoint;

constexpr uint32_t kDim = 16;

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

inline std::future<Outcome> send(Engine& engine, Operation operation, ByteWriter message) {
  auto bytes = std::make_shared<std::string>(std::move(message.bytes()));
  auto promise = std::make_shared<std::promise<Outcome>>();
  auto future = promise->get_future();
  engine.submit(operation, {*bytes, {}}, bytes, [promise](Outcome outcome) { promise->set_value(std::move(outcome)); });
  return future;
}
inline Outcome ask(Engine& engine, Operation operation, ByteWriter message) { return send(engine, operation, std::move(message)).get(); }
inline ByteWriter named(std::string_view name) {
  ByteWriter out;
  out.text(name);
  return out;
}

// Entries of nine bytes: key of one letter, small integer.
inline std::string entry(char key, int value) {
  const char bytes[] = {0x12, 0x07, 0x0a, 0x01, key, 0x12, 0x02, 0x18, static_cast<char>(value)};
  return {bytes, sizeof(bytes)};
}

inline std::future<Outcome> submit(Engine& engine, const std::string& name, const Op& op) {
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
inline std::optional<Model> read_all(Engine& engine, const std::string& name) {
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
  // Indexes, which may have come from a state file, say the same as the payloads.
  for (const int n : {7, 42}) {
    const auto count = checks::count_of(engine, name, n);
    if (!count) return std::nullopt;
    const auto counted = std::count_if(model.points.begin(), model.points.end(), [&](const auto& each) { return each.second.n == n; });
    CHECK(*count == static_cast<uint64_t>(counted), "%s: %lu points have n %d by the filter, %ld by their payloads", name.c_str(), *count, n, counted);
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
        if (op.state != Op::State::kRefused) continue;
        now = settled();
        // A full disk refuses at once.
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
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

}  // namespace faults
