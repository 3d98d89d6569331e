#include "bm25.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

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
  std::vector<uint32_t> found;
  tokenizer.document(text, [&](std::string_view token) { found.push_back(term_of(token)); });
  std::sort(found.begin(), found.end());
  Terms terms;
  const double length = 1 - options.b + options.b * static_cast<double>(found.size()) / options.average_length;
  for (size_t at = 0, next; at < found.size(); at = next) {
    for (next = at + 1; next < found.size() && found[next] == found[at];) ++next;
    const auto count = static_cast<double>(next - at);
    const double weight = count * (options.k + 1) / std::fma(options.k, length, count);
    terms.emplace_back(found[at], static_cast<float>(weight));
  }
  return terms;
}

Terms bm25_query(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<uint32_t> found;
  tokenizer.query(text, [&](std::string_view token) { found.push_back(term_of(token)); });
  std::sort(found.begin(), found.end());
  Terms terms;
  for (const uint32_t term : found) {
    if (terms.empty() || terms.back().first != term) terms.emplace_back(term, 1.0f);
  }
  return terms;
}

}  // namespace sealpoint::text
