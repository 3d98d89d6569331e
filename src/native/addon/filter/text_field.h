// How the text of a field is cut and compared: with the parameters of its text index, or as Qdrant does it without one.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "../text/tokenizer.h"

namespace sealpoint::filter {

enum class TextMatch : uint8_t {
  kAll,     // every token of the query, in any order
  kAny,     // one of them
  kPhrase,  // all of them, one word after the other
};

class TextField {
 public:
  // The parameters as they are kept: protobuf's JSON of qdrant.PayloadIndexParams, or empty. Throws Error kBadInput.
  explicit TextField(const std::string& params);
  // Of a field without an index: words, lowercased, and phrases.
  static const TextField& plain();

  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  // Without it a phrase finds nothing, as at Qdrant.
  bool phrases() const { return phrases_; }
  // A word may have several tokens.
  bool prefixes() const { return prefixes_; }
  // Tokens in their order; none when the query can match nothing.
  std::vector<std::string> query(std::string_view text) const;

 private:
  explicit TextField(text::TokenizerOptions options) : tokenizer_(std::make_unique<text::Tokenizer>(std::move(options))), phrases_(true) {}

  std::unique_ptr<text::Tokenizer> tokenizer_;
  bool phrases_ = false;
  bool prefixes_ = false;
};

// The fields with a text index, by canonical path.
using TextFields = std::map<std::string, std::shared_ptr<const TextField>, std::less<>>;

// Looks for words in their order, many at once: a bit for each beginning of the phrase that has come true so far.
class PhraseSearch {
 public:
  explicit PhraseSearch(size_t words) : words_(words), state_((words + 63) / 64), here_(state_.size()) {}
  // The next word of the text may be that of the phrase with this number.
  void may_be(uint32_t number) { here_[number / 64] |= uint64_t{1} << number % 64; }
  // To the next word; true once the phrase is complete.
  bool next();
  // Another text begins.
  void reset();

 private:
  size_t words_;
  std::vector<uint64_t> state_, here_;
};

// Whether texts hold what is asked for. With several of them kAll takes the tokens of all together; a phrase stands in one.
class TextCheck {
 public:
  TextCheck(const TextField& field, TextMatch match, const std::vector<std::string>& tokens);
  // True once the condition holds.
  bool take(std::string_view text);
  void forget();

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  const TextField& field_;
  const TextMatch match_;
  std::unordered_map<std::string, std::vector<uint32_t>, Hash, std::equal_to<>> numbers_;  // of the tokens in the query
  std::vector<bool> found_;
  size_t missing_;
  PhraseSearch phrase_;
};

}  // namespace sealpoint::filter
