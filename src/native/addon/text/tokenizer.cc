#include "tokenizer.h"

#include <libstemmer.h>
#include <utf8proc.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <unordered_map>

#include "alphanumeric.h"
#include "multilingual.h"

namespace sealpoint::text {

namespace {

struct StemmerFree {
  void operator()(sb_stemmer* stemmer) const { sb_stemmer_delete(stemmer); }
};

// A stemmer has working memory, so each thread has its own of every language that it met.
sb_stemmer* thread_stemmer(const std::string& language) {
  thread_local std::unordered_map<std::string, std::unique_ptr<sb_stemmer, StemmerFree>> stemmers;
  auto& stemmer = stemmers[language];
  if (!stemmer) stemmer.reset(sb_stemmer_new(language.c_str(), nullptr));
  return stemmer.get();
}

// The character at `at` and its bytes; -1 with one byte when it is not UTF-8.
utf8proc_int32_t next(std::string_view text, size_t at, size_t& bytes) {
  if (static_cast<unsigned char>(text[at]) < 0x80) {
    bytes = 1;
    return text[at];
  }
  utf8proc_int32_t point;
  const utf8proc_ssize_t read =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at, static_cast<utf8proc_ssize_t>(text.size() - at), &point);
  bytes = read > 0 ? static_cast<size_t>(read) : 1;
  return read > 0 ? point : -1;
}

void append(std::string& to, utf8proc_int32_t point) {
  utf8proc_uint8_t bytes[4];
  to.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(utf8proc_encode_char(point, bytes)));
}

bool is_white(utf8proc_int32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_cased(utf8proc_int32_t c) {
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

size_t length_of(std::string_view token) {
  size_t count = 0;
  for (const char c : token) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

// Where the first `count` characters end.
size_t end_of(std::string_view token, size_t count) {
  size_t at = 0;
  for (size_t bytes; at < token.size() && count > 0; --count, at += bytes) next(token, at, bytes);
  return at;
}

bool begins_unspaced(std::string_view token) {
  size_t bytes;
  return is_unspaced(next(token, 0, bytes));
}

// A sigma ends a word when a cased character stands before it and none after it.
bool is_final_sigma(std::string_view text, size_t at, bool after_cased) {
  if (!after_cased) return false;
  for (size_t i = at, bytes; i < text.size(); i += bytes) {
    const utf8proc_int32_t c = next(text, i, bytes);
    if (c < 0) return true;
    if (is_cased(c)) return false;
    if (utf8proc_category(c) != UTF8PROC_CATEGORY_MN) return true;
  }
  return true;
}

}  // namespace

bool is_stemmer(const std::string& language) { return !language.empty() && thread_stemmer(language) != nullptr; }

std::string to_lowercase(std::string_view text) {
  std::string out;
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    out = text;
    for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
  }
  out.reserve(text.size());
  bool after_cased = false;
  for (size_t at = 0, bytes; at < text.size(); at += bytes) {
    const utf8proc_int32_t c = next(text, at, bytes);
    if (c < 0) {
      out.push_back(text[at]);
      after_cased = false;
      continue;
    }
    if (c == 0x130) {
      out += "i\xcc\x87";
    } else if (c == 0x3a3) {
      append(out, is_final_sigma(text, at + bytes, after_cased) ? 0x3c2 : 0x3c3);
    } else {
      append(out, utf8proc_tolower(c));
    }
    if (utf8proc_category(c) != UTF8PROC_CATEGORY_MN) after_cased = is_cased(c);
  }
  return out;
}

Tokenizer::Tokenizer(TokenizerOptions options) : options_(std::move(options)) {
  for (const std::string& word : options_.stopwords) stopwords_.insert(options_.lowercase ? to_lowercase(word) : word);
}

void Tokenizer::words(std::string_view text, const Sink& sink) const {
  if (options_.kind == TokenizerKind::kMultilingual) return multilingual_words(text, sink);
  const bool by_space = options_.kind == TokenizerKind::kWhitespace;
  size_t begin = 0;
  for (size_t at = 0, bytes; at <= text.size(); at += bytes) {
    utf8proc_int32_t c = -1;
    bytes = 1;
    if (at < text.size()) c = next(text, at, bytes);
    if (c >= 0 && (by_space ? !is_white(c) : is_alphanumeric(static_cast<uint32_t>(c)))) continue;
    if (at > begin) sink(text.substr(begin, at - begin));
    begin = at + bytes;
  }
}

bool Tokenizer::prepare(std::string_view word, bool drop_stopwords, bool check_max, std::string& token) const {
  token = options_.ascii_folding ? fold_to_ascii(word) : std::string(word);
  if (options_.lowercase) token = to_lowercase(token);
  if (drop_stopwords && stopwords_.contains(token)) return false;
  if (!options_.stemmer.empty()) {
    sb_stemmer* stemmer = thread_stemmer(options_.stemmer);
    const sb_symbol* stem = sb_stemmer_stem(stemmer, reinterpret_cast<const sb_symbol*>(token.data()), static_cast<int>(token.size()));
    if (stem != nullptr) token.assign(reinterpret_cast<const char*>(stem), static_cast<size_t>(sb_stemmer_length(stemmer)));
  }
  if (token.empty()) return false;
  // A character stands for a word there, so its length says nothing.
  if (options_.kind == TokenizerKind::kMultilingual && begins_unspaced(token)) return true;
  if (!options_.min_length && !(check_max && options_.max_length)) return true;
  const size_t length = length_of(token);
  return !(options_.min_length && length < *options_.min_length) && !(check_max && options_.max_length && length > *options_.max_length);
}

void Tokenizer::document(std::string_view text, const Sink& sink) const {
  document(text, PlacedSink([&](std::string_view token, size_t) { sink(token); }));
}

void Tokenizer::document(std::string_view text, const PlacedSink& sink) const {
  std::string token;
  size_t place = 0;
  const bool prefixes = options_.kind == TokenizerKind::kPrefix;
  words(text, [&](std::string_view word) {
    if (!prepare(word, true, !prefixes, token)) return;
    const size_t here = place++;
    if (!prefixes) return sink(token, here);
    const size_t length = length_of(token);
    const size_t longest = options_.max_length.value_or(std::numeric_limits<size_t>::max());
    for (size_t n = std::max<size_t>(1, options_.min_length.value_or(1)); n <= longest; ++n) {
      if (n >= length) return sink(token, here);
      sink(std::string_view(token).substr(0, end_of(token, n)), here);
    }
  });
}

void Tokenizer::query(std::string_view text, const Sink& sink) const {
  if (options_.kind != TokenizerKind::kPrefix) return document(text, sink);
  std::string token;
  words(text, [&](std::string_view word) {
    // A stop word may be the beginning of another word.
    if (!prepare(word, false, false, token)) return;
    sink(std::string_view(token).substr(0, end_of(token, options_.max_length.value_or(token.size()))));
  });
}

}  // namespace sealpoint::text
