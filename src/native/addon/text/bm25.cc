#include "bm25.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <map>

namespace sealpoint::text {

uint32_t term_of(std::string_view token) {
  const auto scramble = [](uint32_t k) { return std::rotl(k * 0xcc9e2d51u, 15) * 0x1b873593u; };
  uint32_t hash = 0;
  size_t at = 0;
  for (; at + 4 <= token.size(); at += 4) {
    uint32_t block;
    std::memcpy(&block, token.data() + at, 4);
    hash = std::rotl(hash ^ scramble(block), 13) * 5 + 0xe6546b64u;
  }
  uint32_t tail = 0;
  for (size_t i = token.size(); i > at; --i) tail = tail << 8 | static_cast<unsigned char>(token[i - 1]);
  hash ^= scramble(tail);
  hash ^= static_cast<uint32_t>(token.size());
  hash = (hash ^ hash >> 16) * 0x85ebca6bu;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
  hash ^= hash >> 16;
  return hash >> 31 ? 0u - hash : hash;
}

Terms bm25_document(const Tokenizer& tokenizer, const Bm25Options& options, std::string_view text) {
  std::map<uint32_t, uint32_t> counts;
  size_t tokens = 0;
  // Terms are cut as a query's are, so that the prefixes of kPrefix are not indexed either.
  tokenizer.query(text, [&](std::string_view token) { ++counts[term_of(token)], ++tokens; });
  Terms terms;
  terms.reserve(counts.size());
  const double length = 1 - options.b + options.b * static_cast<double>(tokens) / options.average_length;
  for (const auto& [term, count] : counts) {
    const double weight = count * (options.k + 1) / std::fma(options.k, length, static_cast<double>(count));
    terms.emplace_back(term, static_cast<float>(weight));
  }
  return terms;
}

Terms bm25_query(const Tokenizer& tokenizer, std::string_view text) {
  std::map<uint32_t, float> weights;
  tokenizer.query(text, [&](std::string_view token) { weights[term_of(token)] = 1; });
  return {weights.begin(), weights.end()};
}

}  // namespace sealpoint::text
