// Calls to an engine through its one door, for the check programs.
#pragma once
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "../engine/engine.h"

namespace sealpoint::checks {

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

// How many points have this n, by a filter: of the index when one is there.
inline std::optional<uint64_t> count_of(Engine& engine, const std::string& name, int n) {
  ByteWriter condition;
  condition.u8(2);  // an integer
  condition.text("n");
  condition.u64(static_cast<uint64_t>(n));
  ByteWriter program;
  program.u8(1);
  program.u32(1);
  program.raw(condition.bytes().data(), condition.bytes().size());
  program.u32(0);
  program.u32(0);
  program.u8(0);
  ByteWriter count = named(name);
  count.u8(0);
  count.text(program.bytes());
  const Outcome outcome = ask(engine, Operation::kCount, std::move(count));
  if (!outcome.ok) return std::nullopt;
  return ByteReader(outcome.bytes).u64();
}

}  // namespace sealpoint::checks
