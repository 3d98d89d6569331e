// Checks of the payload indexes' parts: sets of slots, ranges over many values, parameters, groups. Argument: a seed.
#include <set>

#include "../filter/slot_set.h"
#include "payload_random.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::check;

// What a build may order its rows by.
void test_groups() {
  const auto indexes = PayloadIndexes::create();
  indexes->add_index("t", FieldType::kKeyword, R"({"keywordIndexParams":{"isTenant":false}})");
  CHECK(!indexes->has_groups());
  indexes->add_index("t", FieldType::kKeyword, R"({"keywordIndexParams":{"isTenant":true,"onDisk":true}})");
  CHECK(indexes->has_groups());
  const std::string a = P(R"({"t":"a"})"), b = P(R"({"t":["b","c"]})"), none = P(R"({"t":5})");
  indexes->insert(0, a), indexes->insert(1, b), indexes->insert(2, a), indexes->insert(3, none);
  CHECK(indexes->group_of(0) != 0 && indexes->group_of(0) == indexes->group_of(2));
  CHECK(indexes->group_of(1) != 0 && indexes->group_of(1) != indexes->group_of(0));
  CHECK(indexes->group_of(3) == 0 && indexes->group_of(1000) == 0);
  indexes->erase(0, a);
  CHECK(indexes->group_of(0) == 0 && indexes->group_of(2) != 0);
  CHECK(indexes->drop_index("t"));
  CHECK(!indexes->has_groups() && indexes->group_of(2) == 0);
}

// Slots in their dense and their Roaring form, against a set.
void test_slot_sets(Random& random) {
  using filter::SlotSet;
  const auto same = [](const SlotSet& set, const std::set<uint32_t>& truth) {
    std::vector<uint32_t> got;
    set.for_each([&](uint32_t slot) { got.push_back(slot); });
    Bitset dense;
    set.add_to(dense);
    return set.count() == truth.size() && dense.count() == truth.size() && set.empty() == truth.empty() &&
           std::equal(got.begin(), got.end(), truth.begin(), truth.end());
  };
  for (int round = 0; round < 40; ++round) {
    const uint32_t slots = 1 + static_cast<uint32_t>(random.below(200'000));
    SlotSet sets[2];
    std::set<uint32_t> truths[2];
    for (int i = 0; i < 2; ++i) {
      std::vector<uint32_t> list;
      for (uint64_t left = random.below(random.one_in(2) ? 30'000 : 300); left > 0; --left) list.push_back(static_cast<uint32_t>(random.below(slots)));
      truths[i].insert(list.begin(), list.end());
      sets[i] = SlotSet::from(list);
      for (int j = 0; j < 50; ++j) {
        const auto slot = static_cast<uint32_t>(random.below(slots));
        if (random.one_in(2)) {
          sets[i].add(slot), truths[i].insert(slot);
        } else {
          sets[i].remove(slot), truths[i].erase(slot);
        }
      }
      CHECK(same(sets[i], truths[i]));
      Bitset dense;
      sets[i].add_to(dense);
      CHECK(same(SlotSet::from(dense), truths[i]));
    }
    SlotSet both = sets[0], either = sets[0], without = sets[0];
    both.and_with(sets[1]), either.or_with(sets[1]), without.and_not(sets[1]);
    std::set<uint32_t> truth_both, truth_either = truths[0], truth_without;
    truth_either.insert(truths[1].begin(), truths[1].end());
    for (const uint32_t slot : truths[0]) (truths[1].contains(slot) ? truth_both : truth_without).insert(slot);
    CHECK(same(both, truth_both) && same(either, truth_either) && same(without, truth_without));
    Bitset dense;
    sets[0].add_to(dense);
    sets[1].remove_from(dense);
    CHECK(same(SlotSet::from(dense), truth_without));
  }
}

// Many values, so that groups of blocks are made, split and emptied; ranges against the payloads, estimates against the truth.
void test_ranges(Random& random) {
  for (const bool lists : {false, true}) {
    const auto indexes = PayloadIndexes::create();
    Context context;
    context.indexes = indexes.get();
    indexes->add_index("a", FieldType::kInteger, "");
    std::map<uint32_t, std::vector<int64_t>> points;
    const auto payload = [&](const std::vector<int64_t>& values) {
      std::string json = "{\"a\":[";
      for (size_t i = 0; i < values.size(); ++i) json += (i == 0 ? "" : ",") + std::to_string(values[i]);
      return P(json + "]}");
    };
    const uint32_t slots = 60'000;
    for (uint32_t slot = 0; slot < slots; ++slot) context.ids.push_back(PointId::number(slot));
    for (int step = 0; step < 90'000; ++step) {
      const auto slot = static_cast<uint32_t>(random.below(slots));
      const auto at = points.find(slot);
      if (at != points.end()) {
        indexes->erase(slot, payload(at->second));
        points.erase(at);
        context.live_slots.reset(slot);
        continue;
      }
      std::vector<int64_t> values(lists ? 1 + random.below(3) : 1);
      for (int64_t& value : values) value = static_cast<int64_t>(random.below(500));
      indexes->insert(slot, payload(values));
      points[slot] = values;
      context.live_slots.set(slot);
    }
    for (int i = 0; i < 40; ++i) {
      const double low = static_cast<double>(random.below(500)), high = low + static_cast<double>(random.below(500));
      const auto range = condition(Kind::kRange, "a", [&](ByteWriter& out) { out.u8(2 | 8), out.f64(high), out.f64(low); });
      const auto filter = Filter::decode(program(std::vector<std::string>{range}));
      PlanNode tree;
      const FilterPlan plan = indexes->plan(*filter, context, &tree);
      size_t truth = 0, wrong = 0;
      for (const auto& [slot, values] : points) {
        const bool in = std::any_of(values.begin(), values.end(), [&](int64_t v) { return static_cast<double>(v) >= low && static_cast<double>(v) <= high; });
        truth += in ? 1 : 0;
        wrong += in != plan.slots.test(slot) ? 1 : 0;
      }
      CHECK(plan.exact && plan.count == truth && wrong == 0 && plan.slots.count() == truth);
      CHECK(tree.estimate.min <= truth && truth <= tree.estimate.max);
      if (!lists) CHECK(tree.estimate.expected == truth);
    }
  }
}

// Parameters that forbid an index a use of it, and counts of values from the index.
void test_uses() {
  Context context;
  context.ids.push_back(PointId::number(0));
  context.live_slots.set(0);
  const auto exact = [&](const char* params, const std::string& condition) {
    const auto indexes = PayloadIndexes::create();
    indexes->add_index("a", FieldType::kInteger, params);
    indexes->insert(0, P(R"({"a":[1,2]})"));
    const FilterPlan plan = indexes->plan(*Filter::decode(program(std::vector<std::string>{condition})), context);
    CHECK(plan.count == 1 && plan.wanted.empty());
    return plan.exact;
  };
  const auto range = condition(Kind::kRange, "a", [](ByteWriter& out) { out.u8(8), out.f64(2); });
  const auto match = condition(Kind::kMatchInteger, "a", [](ByteWriter& out) { out.put<int64_t>(2); });
  const auto count = condition(Kind::kValuesCount, "a", [](ByteWriter& out) { out.u8(8), out.u64(2); });
  CHECK(exact("", range) && exact("", match) && exact("", count));
  CHECK(exact(R"({"integerIndexParams":{"lookup":true,"range":false}})", match));
  CHECK(!exact(R"({"integerIndexParams":{"lookup":true,"range":false}})", range));
  CHECK(!exact(R"({"integerIndexParams":{"lookup":false,"range":true}})", match));
  CHECK(exact(R"({"integerIndexParams":{"lookup":false,"range":true}})", range));
}

}  // namespace

int main(int argc, char** argv) {
  Random random(checks::take_seed(argc, argv));
  test_groups();
  test_uses();
  test_slot_sets(random);
  test_ranges(random);
  return report();
}
