#include "field_index.h"

#include <utility>

namespace sealpoint::filter {

using payload::Kind;
using payload::Value;

IndexParams IndexParams::parse(FieldType type, const std::string& params) {
  const auto has = [&](const char* text) { return params.find(text) != std::string::npos; };
  IndexParams out;
  if (type == FieldType::kKeyword || type == FieldType::kUuid) out.tenant = has("\"isTenant\":true");
  if (type == FieldType::kKeyword) out.prefix = has("\"prefix\":{");
  if (type == FieldType::kText && params != kPresenceOnly) out.text = std::make_shared<TextField>(params);
  if (type == FieldType::kInteger) {
    out.lookup = !has("\"lookup\":false");
    out.range = !has("\"range\":false");
  }
  return out;
}

FieldIndex::Traits FieldIndex::read(std::string_view bytes) {
  Traits traits;
  const auto element = [&](const Value& value) {
    if (value.kind == Kind::kNull) {
      traits.null = true;
    } else if (collect(value)) {
      traits.held = true;
    } else {
      traits.foreign = true;
      traits.foreign_number = traits.foreign_number || value.kind == Kind::kDouble || value.kind == Kind::kInteger;
    }
  };
  payload::for_each_value(bytes, payload::kRootField, path_, [&](const Value& value) {
    traits.present = true;
    size_t count = 0;
    if (value.kind == Kind::kList) {
      traits.filled = traits.filled || !value.body.empty();
      payload::for_each_element(value.body, [&](std::string_view inner) {
        element(payload::read_value(inner));
        ++count;
        return true;
      });
    } else {
      count = value.kind == Kind::kNull ? 0 : 1;
      traits.filled = traits.filled || count != 0;
      element(value);
    }
    if (count < kCountsMax) {
      traits.counts |= uint32_t{1} << count;
    } else {
      traits.many = true;
    }
    return true;
  });
  return traits;
}

void FieldIndex::insert(uint32_t slot, std::string_view payload) {
  const Traits traits = read(payload);
  if (apply(slot, true) > 1) multi_.add(slot);
  if (traits.held) held_.add(slot);
  if (traits.foreign) foreign_.add(slot);
  if (traits.foreign_number) foreign_numbers_.add(slot);
  if (traits.filled) filled_.add(slot);
  if (traits.null) nulls_.add(slot);
  if (traits.present) present_.add(slot);
  if (traits.many) many_.add(slot);
  for (uint32_t bits = traits.counts; bits != 0; bits &= bits - 1) {
    counts_[static_cast<size_t>(__builtin_ctz(bits))].add(slot);
  }
}

void FieldIndex::erase(uint32_t slot, std::string_view payload) {
  const Traits traits = read(payload);
  apply(slot, false);
  for (SlotSet* set : {&held_, &multi_, &foreign_, &foreign_numbers_, &filled_, &nulls_, &present_, &many_})
    set->remove(slot);
  for (uint32_t bits = traits.counts; bits != 0; bits &= bits - 1) {
    counts_[static_cast<size_t>(__builtin_ctz(bits))].remove(slot);
  }
}

Answer FieldIndex::ask(const Condition& condition) const {
  switch (condition.kind) {
    case ConditionKind::kIsEmpty:
      return Answer{true, true, true, filled_};
    case ConditionKind::kIsNull:
      return exactly(nulls_);
    case ConditionKind::kValuesCount:
      return ask_count(condition.counts);
    case ConditionKind::kExceptKeywords:
    case ConditionKind::kExceptIntegers: {
      Answer answer = ask_typed(condition);
      return answer.known ? std::move(answer) : at_most(any_value());
    }
    default:
      return ask_typed(condition);
  }
}

bool FieldIndex::estimate(const Condition& condition, uint64_t live, Cardinality& out) const {
  switch (condition.kind) {
    case ConditionKind::kIsEmpty:
      out = Cardinality::exactly(filled_.count()).negated(live);
      return true;
    case ConditionKind::kIsNull:
      out = Cardinality::exactly(nulls_.count());
      return true;
    case ConditionKind::kValuesCount: {
      out = {};
      for (size_t count = 0; count < kCountsMax; ++count) {
        if (condition.counts.contains(count)) out.max += counts_[count].count();
      }
      if (condition.counts.contains(0)) out.max += live - std::min(live, present_.count());
      out.expected = out.max;
      if (!condition.counts.above(kCountsMax)) out.max += many_.count();
      out = out.bounded(live);
      return true;
    }
    case ConditionKind::kExceptKeywords:
    case ConditionKind::kExceptIntegers:
      if (!estimate_typed(condition, out)) out = {0, held_.count(), held_.count() + foreign_.count()};
      out = out.bounded(live);
      return true;
    default:
      if (!estimate_typed(condition, out)) return false;
      out = out.bounded(live);
      return true;
  }
}

// A point fulfils it when the count at any of its places of the key is within the bounds; without the key it counts 0.
Answer FieldIndex::ask_count(const Range<uint64_t>& counts) const {
  SlotSet slots;
  for (size_t count = 0; count < kCountsMax; ++count) {
    if (counts.contains(count)) slots.or_with(counts_[count]);
  }
  bool exact = true;
  if (!many_.empty() && !counts.above(kCountsMax)) {
    // How many they are is not known: certain only where every great number is within.
    exact = !counts.below(kCountsMax) && !counts.lt && !counts.lte;
    slots.or_with(many_);
  }
  if (!counts.contains(0)) return Answer{true, exact, false, std::move(slots)};
  // All but those that have the key and no count within.
  SlotSet others = present_;
  others.and_not(slots);
  return Answer{true, exact, true, std::move(others)};
}

SlotSet FieldIndex::any_value() const {
  SlotSet slots = held_;
  slots.or_with(foreign_);
  return slots;
}

Answer FieldIndex::except(const SlotSet& union_of_listed) const {
  // A slot with one value is out when that value is listed; one with several may hold others besides and has to be
  // looked at.
  SlotSet unsure = union_of_listed;
  unsure.and_with(multi_);
  unsure.and_not(foreign_);
  const bool exact = unsure.empty();
  SlotSet slots = held_;
  slots.and_not(union_of_listed);
  slots.or_with(unsure);
  slots.or_with(foreign_);
  return Answer{true, exact, false, std::move(slots)};
}

Cardinality FieldIndex::except(const Cardinality& listed) const {
  const uint64_t held = held_.count(), foreign = foreign_.count();
  const auto without = [](uint64_t all, uint64_t out) { return all - std::min(all, out); };
  return {std::max(without(held, listed.max), foreign), without(held, listed.expected) + foreign,
          without(held, listed.min) + multi_.count() + foreign};
}

Cardinality FieldIndex::of_values(uint64_t values, uint64_t size) const {
  const uint64_t points = held_.count();
  if (values == 0 || size == 0) return {};
  if (multi_.empty()) return Cardinality::exactly(values);
  const auto expected = static_cast<uint64_t>(static_cast<double>(values) * static_cast<double>(points) / static_cast<double>(size) + 0.5);
  return {1, std::max<uint64_t>(expected, 1), std::min(values, points)};
}

bool FieldIndex::save(std::string& out) const {
  ByteWriter typed;
  if (!save_typed(typed)) return false;
  for (const SlotSet* set : {&held_, &multi_, &foreign_, &foreign_numbers_, &filled_, &nulls_, &present_, &many_}) set->write(out);
  for (const SlotSet& set : counts_) set.write(out);
  out += typed.bytes();
  return true;
}

bool FieldIndex::load(ByteReader& in, const SlotSet& without) {
  const auto read = [&](SlotSet& set) {
    set = SlotSet::read(in);
    set.and_not(without);
  };
  for (SlotSet* set : {&held_, &multi_, &foreign_, &foreign_numbers_, &filled_, &nulls_, &present_, &many_}) read(*set);
  for (SlotSet& set : counts_) read(set);
  return load_typed(in, without);
}

uint64_t FieldIndex::bytes() const {
  uint64_t total = typed_bytes();
  for (const SlotSet* set : {&held_, &multi_, &foreign_, &foreign_numbers_, &filled_, &nulls_, &present_, &many_})
    total += set->bytes();
  for (const SlotSet& set : counts_) total += set.bytes();
  return total;
}

}  // namespace sealpoint::filter
