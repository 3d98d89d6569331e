// The index of a text field: the slots of each token, and with phrase_matching the tokens of each slot in their order.
#include <algorithm>
#include <unordered_map>

#include "field_index.h"
#include "posting.h"
#include "text_field.h"

namespace sealpoint::filter {
namespace {

using payload::Kind;
using payload::Value;

class TextIndex final : public FieldIndex {
 public:
  TextIndex(const payload::Path& path, std::shared_ptr<const TextField> field) : FieldIndex(path), field_(std::move(field)) {}

 private:
  struct Term {
    uint32_t number = 0;  // of its entries in sequences_
    Posting posting;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Token {
    size_t end;    // in collected_
    bool begins;   // the first of its word
    bool value;    // the first of its value
  };
  using Terms = std::vector<const Term*>;

  // An entry of a sequence is a term's number, with a bit when it is the first token of its word; kBreak stands between values.
  static constexpr uint32_t kBegins = uint32_t{1} << 31;
  static constexpr uint32_t kBreak = ~uint32_t{0};
  static constexpr size_t kShortPhrase = 16;

  bool collect(const Value& value) override {
    if (value.kind != Kind::kString) return false;
    ++values_;
    bool first = true;
    size_t place = 0;
    field_->tokenizer().document(value.body, text::Tokenizer::PlacedSink([&](std::string_view token, size_t here) {
      collected_ += token;
      tokens_.push_back({collected_.size(), first || here != place, first});
      first = false;
      place = here;
    }));
    return true;
  }

  size_t apply(uint32_t slot, bool insert) override {
    std::vector<uint32_t> sequence;
    size_t begin = 0;
    for (const Token& token : tokens_) {
      const std::string_view text = std::string_view(collected_).substr(begin, token.end - begin);
      begin = token.end;
      auto at = terms_.find(text);
      if (insert) {
        if (at == terms_.end()) at = add_term(text);
        at->second.posting.insert(slot);
        if (!field_->phrases()) continue;
        if (token.value && !sequence.empty()) sequence.push_back(kBreak);
        sequence.push_back(at->second.number | (token.begins ? kBegins : 0));
      } else if (at != terms_.end()) {
        at->second.posting.erase(slot);
        if (at->second.posting.count() == 0) drop_term(at);
      }
    }
    keep_sequence(slot, sequence);
    const size_t values = values_;
    tokens_.clear();
    collected_.clear();
    values_ = 0;
    return values;
  }

  using TermMap = std::unordered_map<std::string, Term, TextHash, std::equal_to<>>;

  TermMap::iterator add_term(std::string_view text) {
    const auto at = terms_.emplace(std::string(text), Term()).first;
    text_bytes_ += text.size() > 15 ? text.size() + 1 : 0;
    if (free_numbers_.empty()) {
      at->second.number = next_number_++;
    } else {
      at->second.number = free_numbers_.back();
      free_numbers_.pop_back();
    }
    return at;
  }
  void drop_term(TermMap::iterator at) {
    text_bytes_ -= at->first.size() > 15 ? at->first.size() + 1 : 0;
    free_numbers_.push_back(at->second.number);
    terms_.erase(at);
  }
  void keep_sequence(uint32_t slot, const std::vector<uint32_t>& sequence) {
    if (sequence.empty() && slot >= sequences_.size()) return;
    if (slot >= sequences_.size()) sequences_.resize(slot + size_t{1} + slot / 8);
    std::vector<uint32_t>& kept = sequences_[slot];
    sequence_bytes_ -= kept.capacity() * sizeof(uint32_t);
    kept = std::vector<uint32_t>(sequence.begin(), sequence.end());
    sequence_bytes_ += kept.capacity() * sizeof(uint32_t);
  }

  static bool match_of(const Condition& condition, TextMatch& match) {
    switch (condition.kind) {
      case ConditionKind::kMatchText:
        match = TextMatch::kAll;
        return true;
      case ConditionKind::kMatchTextAny:
        match = TextMatch::kAny;
        return true;
      case ConditionKind::kMatchPhrase:
        match = TextMatch::kPhrase;
        return true;
      default:
        return false;
    }
  }

  // The rarest first; false when a token that must be there is in no text.
  bool terms_of(const std::vector<std::string>& tokens, bool all, Terms& terms) const {
    for (const std::string& token : tokens) {
      const auto at = terms_.find(std::string_view(token));
      if (at != terms_.end()) {
        terms.push_back(&at->second);
      } else if (all) {
        return false;
      }
    }
    std::sort(terms.begin(), terms.end(), [](const Term* a, const Term* b) {
      return a->posting.count() != b->posting.count() ? a->posting.count() < b->posting.count() : a->number < b->number;
    });
    terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
    return !terms.empty();
  }

  Answer ask_typed(const Condition& condition) const override {
    TextMatch match;
    if (!match_of(condition, match)) return {};
    const std::vector<std::string> tokens = field_->query(condition.text);
    Terms terms;
    if (!terms_of(tokens, match != TextMatch::kAny, terms) || (match == TextMatch::kPhrase && !field_->phrases())) return exactly({});
    SlotSet slots;
    terms.front()->posting.add_to(slots);
    for (size_t i = 1; i < terms.size() && (match == TextMatch::kAny || !slots.empty()); ++i) {
      if (match == TextMatch::kAny) {
        terms[i]->posting.add_to(slots);
      } else {
        terms[i]->posting.intersect(slots);
      }
    }
    if (match != TextMatch::kPhrase || tokens.size() == 1) return exactly(std::move(slots));
    return exactly(with_phrase(slots, tokens));
  }

  SlotSet with_phrase(const SlotSet& among, const std::vector<std::string>& tokens) const {
    return field_->prefixes() || tokens.size() > kShortPhrase ? with_any_phrase(among, tokens) : with_short_phrase(among, tokens);
  }

  // One entry for each word, and few words: compared from each of their beginnings.
  SlotSet with_short_phrase(const SlotSet& among, const std::vector<std::string>& tokens) const {
    std::vector<uint32_t> phrase;
    for (const std::string& token : tokens) phrase.push_back(terms_.find(std::string_view(token))->second.number | kBegins);
    std::vector<uint32_t> found;
    among.for_each([&](uint32_t slot) {
      if (slot >= sequences_.size()) return;
      const std::vector<uint32_t>& sequence = sequences_[slot];
      if (std::search(sequence.begin(), sequence.end(), phrase.begin(), phrase.end()) != sequence.end()) found.push_back(slot);
    });
    return SlotSet::from(found);
  }

  SlotSet with_any_phrase(const SlotSet& among, const std::vector<std::string>& tokens) const {
    std::unordered_map<uint32_t, std::vector<uint32_t>> numbers;  // in the phrase, by term
    for (size_t i = 0; i < tokens.size(); ++i) {
      numbers[terms_.find(std::string_view(tokens[i]))->second.number].push_back(static_cast<uint32_t>(i));
    }
    PhraseSearch search(tokens.size());
    const auto holds = [&](const std::vector<uint32_t>& sequence) {
      search.reset();
      for (const uint32_t entry : sequence) {
        if (entry == kBreak) {
          if (search.next()) return true;
          search.reset();
          continue;
        }
        if ((entry & kBegins) != 0 && search.next()) return true;
        const auto at = numbers.find(entry & ~kBegins);
        if (at == numbers.end()) continue;
        for (const uint32_t number : at->second) search.may_be(number);
      }
      return search.next();
    };
    std::vector<uint32_t> found;
    among.for_each([&](uint32_t slot) {
      if (slot < sequences_.size() && holds(sequences_[slot])) found.push_back(slot);
    });
    return SlotSet::from(found);
  }

  bool estimate_typed(const Condition& condition, Cardinality& out) const override {
    TextMatch match;
    if (!match_of(condition, match)) return false;
    out = {};
    Terms terms;
    if (!terms_of(field_->query(condition.text), match != TextMatch::kAny, terms) || (match == TextMatch::kPhrase && !field_->phrases())) return true;
    const double points = static_cast<double>(std::max<uint64_t>(held_.count(), 1));
    double all = 1, none = 1;
    uint64_t sum = 0;
    for (const Term* term : terms) {
      const double share = static_cast<double>(term->posting.count()) / points;
      all *= share;
      none *= 1 - std::min(share, 1.0);
      sum += term->posting.count();
    }
    const uint64_t least = terms.front()->posting.count();
    if (terms.size() == 1) {
      out = Cardinality::exactly(least);
      if (match == TextMatch::kPhrase) out.min = 0;
    } else if (match == TextMatch::kAny) {
      out = {terms.back()->posting.count(), static_cast<uint64_t>(points * (1 - none) + 0.5), sum};
    } else {
      // Half of those with all words are taken to have them in their order.
      const auto expected = static_cast<uint64_t>(points * all / (match == TextMatch::kPhrase ? 2 : 1) + 0.5);
      out = {0, std::min(expected, least), least};
    }
    out = out.bounded(held_.count());
    return true;
  }

  uint64_t typed_bytes() const override {
    uint64_t total = terms_.bucket_count() * sizeof(void*) + text_bytes_ + free_numbers_.capacity() * sizeof(uint32_t) +
                     sequences_.capacity() * sizeof(sequences_[0]) + sequence_bytes_;
    for (const auto& [text, term] : terms_) total += sizeof(text) + sizeof(term.number) + 2 * sizeof(void*) + term.posting.bytes();
    return total;
  }

  const std::shared_ptr<const TextField> field_;
  TermMap terms_;
  uint64_t text_bytes_ = 0;
  std::vector<uint32_t> free_numbers_;
  uint32_t next_number_ = 0;
  std::vector<std::vector<uint32_t>> sequences_;  // by slot
  uint64_t sequence_bytes_ = 0;
  // What was read of one payload.
  std::string collected_;
  std::vector<Token> tokens_;
  size_t values_ = 0;
};

}  // namespace

std::unique_ptr<FieldIndex> make_text_index(const payload::Path& path, std::shared_ptr<const TextField> field) {
  return std::make_unique<TextIndex>(path, std::move(field));
}

}  // namespace sealpoint::filter
