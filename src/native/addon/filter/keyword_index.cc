// The index of keywords and UUIDs.
#include <cstring>
#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

#include "field_index.h"
#include "ordered.h"
#include "posting.h"

namespace sealpoint::filter {
namespace {

using payload::Kind;
using payload::Value;

class KeywordIndex final : public FieldIndex {
 public:
  KeywordIndex(const payload::Path& path, bool uuid, const IndexParams& params)
      : FieldIndex(path), uuid_(uuid), grouped_(params.tenant), ordered_(params.prefix) {}

  uint32_t group_of(uint32_t slot) const override { return slot < groups_.size() ? groups_[slot] : 0; }
  bool has_facets() const override { return true; }
  uint64_t facet_cost() const override { return postings_.size(); }
  void facet(const FacetScope* among, const FacetVisit& visit) const override {
    for (const auto& [text, posting] : postings_) {
      visit({FacetValue::Kind::kText, text, 0}, among == nullptr ? posting.count() : posting.count_common(among->dense, among->set));
    }
  }

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  bool collect(const Value& value) override {
    if (value.kind != Kind::kString) return false;
    found_.push_back(uuid_ ? canonical_uuid(value.body) : std::string(value.body));
    return true;
  }
  size_t apply(uint32_t slot, bool insert) override {
    sort_unique(found_);
    for (std::string& text : found_) {
      auto at = postings_.find(text);
      if (insert) {
        if (at == postings_.end()) {
          text_bytes_ += text.size() > 15 ? text.size() + 1 : 0;
          at = postings_.emplace(text, Posting()).first;
          if (ordered_) in_order_.emplace(at->first, &at->second);
        }
        at->second.insert(slot);
        // A slot with several values stands with the first of them.
        if (grouped_ && &text == &found_.front()) group(slot, at->first);
      } else if (at != postings_.end()) {
        at->second.erase(slot);
        if (at->second.count() == 0) {
          text_bytes_ -= text.size() > 15 ? text.size() + 1 : 0;
          if (grouped_) group_numbers_.erase(at->first);
          if (ordered_) in_order_.erase(at->first);
          postings_.erase(at);
        }
      }
    }
    if (!insert && slot < groups_.size()) groups_[slot] = 0;
    const size_t count = found_.size();
    found_.clear();
    return count;
  }
  // Numbers are given in the order of the values' coming and never twice, so a value that goes and comes back is
  // another group: that costs an order of rows, never an answer.
  void group(uint32_t slot, const std::string& text) {
    if (slot >= groups_.size()) groups_.resize(slot + size_t{1} + slot / 8);
    uint32_t& number = group_numbers_[text];
    if (number == 0) number = ++last_group_;
    groups_[slot] = number;
  }
  Answer ask_typed(const Condition& condition) const override {
    switch (condition.kind) {
      case ConditionKind::kMatchKeyword:
      case ConditionKind::kAnyKeywords:
        return exactly(listed(condition));
      case ConditionKind::kExceptKeywords:
        return except(listed(condition));
      case ConditionKind::kMatchPrefix: {
        // UUIDs are kept in one spelling, and a prefix is of the text as it is.
        if (uuid_) return {};
        SlotSet slots;
        for_each_with_prefix(condition.text, [&](const Posting& posting) { posting.add_to(slots); });
        return exactly(std::move(slots));
      }
      default:
        return {};
    }
  }
  // In order when the index keeps one, else by a look at every value, which is still less than reading payloads.
  template <typename Visit>
  void for_each_with_prefix(std::string_view prefix, Visit visit) const {
    if (ordered_) {
      for (auto at = in_order_.lower_bound(prefix); at != in_order_.end() && at->first.starts_with(prefix); ++at) visit(*at->second);
      return;
    }
    for (const auto& [text, posting] : postings_) {
      if (text.starts_with(prefix)) visit(posting);
    }
  }
  uint64_t typed_bytes() const override {
    uint64_t total = postings_.bucket_count() * sizeof(void*) + text_bytes_ + groups_.capacity() * sizeof(uint32_t);
    total += in_order_.size() * (sizeof(std::string_view) + 5 * sizeof(void*));
    for (const auto& [text, number] : group_numbers_) total += sizeof(text) + text.capacity() + 3 * sizeof(void*);
    for (const auto& [text, posting] : postings_) total += sizeof(text) + 2 * sizeof(void*) + posting.bytes();
    return total;
  }
  // u32 values, each: text, u32 group, posting; then u32 the last group, u32 n, the groups by slot.
  bool save_typed(ByteWriter& out) const override {
    out.u32(static_cast<uint32_t>(postings_.size()));
    for (const auto& [text, posting] : postings_) {
      out.text(text);
      const auto group = group_numbers_.find(text);
      out.u32(group == group_numbers_.end() ? 0 : group->second);
      posting.write(out);
    }
    out.u32(last_group_);
    out.u32(static_cast<uint32_t>(groups_.size()));
    out.raw(groups_.data(), groups_.size() * sizeof(uint32_t));
    return true;
  }
  bool load_typed(ByteReader& in, const SlotSet& without) override {
    const uint32_t count = in.u32();
    postings_.reserve(std::min<size_t>(count, in.left() / 12));
    for (uint32_t i = 0; i < count; ++i) {
      const std::string text(in.text());
      const uint32_t group = in.u32();
      Posting posting;
      posting.read(in, without);
      if (posting.count() == 0) continue;
      text_bytes_ += text.size() > 15 ? text.size() + 1 : 0;
      if (group != 0) group_numbers_.emplace(text, group);
      const auto at = postings_.emplace(text, std::move(posting)).first;
      if (ordered_) in_order_.emplace(at->first, &at->second);
    }
    last_group_ = in.u32();
    const uint32_t slots = in.u32();
    const char* const groups = in.span(size_t{slots} * sizeof(uint32_t));
    groups_.resize(slots);
    if (slots > 0) std::memcpy(groups_.data(), groups, size_t{slots} * sizeof(uint32_t));
    without.for_each([&](uint32_t slot) {
      if (slot < slots) groups_[slot] = 0;
    });
    return true;
  }
  bool estimate_typed(const Condition& condition, Cardinality& out) const override {
    if (condition.kind == ConditionKind::kMatchPrefix && !uuid_) {
      out = {};
      for_each_with_prefix(condition.text, [&](const Posting& posting) {
        out.min = std::max<uint64_t>(out.min, posting.count());
        out.max += posting.count();
      });
      if (multi_.empty()) out.min = out.max;
      out = Cardinality{out.min, out.max, out.max}.bounded(held_.count());
      return true;
    }
    if (condition.kind != ConditionKind::kMatchKeyword && condition.kind != ConditionKind::kAnyKeywords &&
        condition.kind != ConditionKind::kExceptKeywords) {
      return false;
    }
    out = {};
    for (const std::string& keyword : uuid_ ? condition.uuids : condition.keywords) {
      const auto at = postings_.find(std::string_view(keyword));
      if (at == postings_.end()) continue;
      out.min = std::max<uint64_t>(out.min, at->second.count());
      out.max += at->second.count();
    }
    if (multi_.empty()) out.min = out.max;
    out = {out.min, out.max, out.max};
    out = out.bounded(held_.count());
    if (condition.kind == ConditionKind::kExceptKeywords) out = except(out);
    return true;
  }
  SlotSet listed(const Condition& condition) const {
    SlotSet slots;
    for (const std::string& keyword : uuid_ ? condition.uuids : condition.keywords) {
      const auto at = postings_.find(std::string_view(keyword));
      if (at != postings_.end()) at->second.add_to(slots);
    }
    return slots;
  }

  const bool uuid_;
  const bool grouped_;
  const bool ordered_;
  std::unordered_map<std::string, Posting, TextHash, std::equal_to<>> postings_;
  std::map<std::string_view, const Posting*> in_order_;  // of postings_, whose entries stay where they are
  uint64_t text_bytes_ = 0;
  std::vector<std::string> found_;
  std::vector<uint32_t> groups_;  // by slot
  std::unordered_map<std::string, uint32_t> group_numbers_;
  uint32_t last_group_ = 0;
};

}  // namespace

std::unique_ptr<FieldIndex> make_keyword_index(const payload::Path& path, bool uuid, const IndexParams& params) {
  return std::make_unique<KeywordIndex>(path, uuid, params);
}

}  // namespace sealpoint::filter
