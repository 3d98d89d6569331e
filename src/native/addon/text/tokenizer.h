// Text to tokens as Qdrant's tokenizers cut it: split, fold, lowercase, drop stop words, stem, bound the length. What text indexes and
// BM25 share. Lengths count characters (code points). Text is UTF-8; bytes that are not UTF-8 separate words.
#pragma once
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace sealpoint::text {

enum class TokenizerKind {
  kWord,          // runs of Unicode's Alphabetic and Numeric characters
  kWhitespace,    // runs of anything else than White_Space
  kMultilingual,  // normalised words of any script: see multilingual.h
  kPrefix,        // every prefix of each word, from min_length to max_length characters; of a query only the longest
};

struct TokenizerOptions {
  TokenizerKind kind = TokenizerKind::kWord;
  bool lowercase = true;
  // See fold_to_ascii().
  bool ascii_folding = false;
  std::optional<size_t> min_length = std::nullopt;
  std::optional<size_t> max_length = std::nullopt;
  // Compared after lowercasing, and lowercased themselves then.
  std::vector<std::string> stopwords = {};
  // A language of Snowball ("english"); empty for none. See is_stemmer().
  std::string stemmer = {};
};

// Whether the name is one of Snowball's languages.
bool is_stemmer(const std::string& language);
// The built-in stop words of a language ("english"), nullptr when there is no list of it: then the caller refuses, for another list would
// give other tokens than Qdrant's.
const std::vector<std::string>* stopwords_of(std::string_view language);

// The languages of Qdrant's stop words and stemmers by name or ISO code ("english", "en"): the name for stopwords_of() and
// TokenizerOptions::stemmer, empty when there is none such.
std::string stopword_language(std::string_view name);
std::string stemmer_language(std::string_view name);

// As Rust's str::to_lowercase: full mappings and the final sigma.
std::string to_lowercase(std::string_view text);
// Letters with marks, ligatures and typographic signs as ASCII; what has no ASCII form stays.
std::string fold_to_ascii(std::string_view text);

// Immutable, so that any number of threads may use one.
class Tokenizer {
 public:
  using Sink = std::function<void(std::string_view token)>;
  using PlacedSink = std::function<void(std::string_view token, size_t place)>;

  // The stemmer's name must be empty or pass is_stemmer().
  explicit Tokenizer(TokenizerOptions options);
  // Tokens in the order of the text, repeated as they repeat; each view lives until `sink` returns.
  void document(std::string_view text, const Sink& sink) const;
  // document() with the number of the word that a token is of, from 0; words that give no token have none. Prefixes share their word's.
  void document(std::string_view text, const PlacedSink& sink) const;
  void query(std::string_view text, const Sink& sink) const;

 private:
  // False when the word gives no token.
  bool prepare(std::string_view word, bool drop_stopwords, bool check_max, std::string& token) const;
  void words(std::string_view text, const Sink& sink) const;

  TokenizerOptions options_;
  std::unordered_set<std::string> stopwords_;
};

}  // namespace sealpoint::text
