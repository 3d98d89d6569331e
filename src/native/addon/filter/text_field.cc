#include "text_field.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "../core/json.h"
#include "../core/status.h"

namespace sealpoint::filter {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorKind::kBadInput, what, "field_index_params"); }

// protobuf writes u64 as text.
std::optional<size_t> length(const Json* json) {
  if (json == nullptr) return std::nullopt;
  size_t value = 0;
  for (const char c : json->text()) {
    if (c < '0' || c > '9') fail("a token's length is no number");
    // Texts are shorter than this.
    value = std::min<size_t>(value * 10 + static_cast<size_t>(c - '0'), std::numeric_limits<uint32_t>::max());
  }
  return value;
}

text::TokenizerOptions options_of(const Json& params) {
  text::TokenizerOptions options;
  if (const Json* tokenizer = params.find("tokenizer")) {
    const std::string& name = tokenizer->text();
    if (name == "Prefix") options.kind = text::TokenizerKind::kPrefix;
    if (name == "Whitespace") options.kind = text::TokenizerKind::kWhitespace;
    if (name == "Multilingual") options.kind = text::TokenizerKind::kMultilingual;
  }
  if (const Json* lowercase = params.find("lowercase")) options.lowercase = !lowercase->is_false();
  if (const Json* folding = params.find("asciiFolding")) options.ascii_folding = folding->is_true();
  options.min_length = length(params.find("minTokenLen"));
  options.max_length = length(params.find("maxTokenLen"));
  if (const Json* stopwords = params.find("stopwords")) {
    if (const Json* languages = stopwords->find("languages")) {
      for (const Json& each : languages->items()) {
        const auto* words = text::stopwords_of(text::stopword_language(each.text()));
        if (words == nullptr) fail("unknown language: " + each.text());
        options.stopwords.insert(options.stopwords.end(), words->begin(), words->end());
      }
    }
    if (const Json* custom = stopwords->find("custom")) {
      for (const Json& each : custom->items()) options.stopwords.push_back(each.text());
    }
  }
  const Json* stemmer = params.find("stemmer");
  const Json* snowball = stemmer == nullptr ? nullptr : stemmer->find("snowball");
  if (snowball != nullptr) {
    const Json* language = snowball->find("language");
    const std::string given = language == nullptr ? "" : language->text();
    options.stemmer = text::stemmer_language(given);
    if (options.stemmer.empty()) fail("Language \"" + given + "\" not found.");
  }
  return options;
}

}  // namespace

TextField::TextField(const std::string& params) {
  text::TokenizerOptions options;
  if (!params.empty()) {
    const Json json = Json::parse(params);
    if (const Json* text = json.find("textIndexParams")) {
      options = options_of(*text);
      if (const Json* phrases = text->find("phraseMatching")) phrases_ = phrases->is_true();
    }
  }
  prefixes_ = options.kind == text::TokenizerKind::kPrefix;
  tokenizer_ = std::make_unique<text::Tokenizer>(std::move(options));
}

const TextField& TextField::plain() {
  static const TextField field{text::TokenizerOptions()};
  return field;
}

std::vector<std::string> TextField::query(std::string_view text) const {
  std::vector<std::string> tokens;
  tokenizer_->query(text, [&](std::string_view token) { tokens.emplace_back(token); });
  return tokens;
}

bool PhraseSearch::next() {
  uint64_t carry = 1;
  for (size_t i = 0; i < state_.size(); ++i) {
    const uint64_t out = state_[i] >> 63;
    state_[i] = (state_[i] << 1 | carry) & here_[i];
    here_[i] = 0;
    carry = out;
  }
  return words_ > 0 && (state_[(words_ - 1) / 64] >> (words_ - 1) % 64 & 1) != 0;
}

void PhraseSearch::reset() {
  std::fill(state_.begin(), state_.end(), 0);
  std::fill(here_.begin(), here_.end(), 0);
}

TextCheck::TextCheck(const TextField& field, TextMatch match, const std::vector<std::string>& tokens)
    : field_(field), match_(match), phrase_(match == TextMatch::kPhrase ? tokens.size() : 0) {
  for (size_t i = 0; i < tokens.size(); ++i) numbers_[tokens[i]].push_back(static_cast<uint32_t>(i));
  found_.resize(tokens.size());
  missing_ = numbers_.size();
}

void TextCheck::forget() {
  std::fill(found_.begin(), found_.end(), false);
  missing_ = numbers_.size();
}

bool TextCheck::take(std::string_view text) {
  if (numbers_.empty()) return false;
  bool holds = false;
  size_t place = 0;
  if (match_ == TextMatch::kPhrase) phrase_.reset();
  field_.tokenizer().document(text, text::Tokenizer::PlacedSink([&](std::string_view token, size_t here) {
    if (holds) return;
    if (match_ == TextMatch::kPhrase && here != place) {
      holds = phrase_.next();
      place = here;
    }
    const auto at = numbers_.find(token);
    if (at == numbers_.end()) return;
    switch (match_) {
      case TextMatch::kAny:
        holds = true;
        break;
      case TextMatch::kAll:
        if (!found_[at->second.front()]) {
          found_[at->second.front()] = true;
          holds = --missing_ == 0;
        }
        break;
      case TextMatch::kPhrase:
        for (const uint32_t number : at->second) phrase_.may_be(number);
        break;
    }
  }));
  return holds || (match_ == TextMatch::kPhrase && phrase_.next());
}

}  // namespace sealpoint::filter
