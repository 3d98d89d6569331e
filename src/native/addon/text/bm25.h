// Texts to the sparse vectors of Qdrant's model "qdrant/bm25". The inverse document frequency is not in them: it is the collection's
// (modifier idf).
#pragma once
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer.h"

namespace sealpoint::text {

struct Bm25Options {
  double k = 1.2;
  double b = 0.75;
  double average_length = 256;
};

// (term, weight) by ascending term; empty when the text has no token.
using Terms = std::vector<std::pair<uint32_t, float>>;

// MurmurHash3 (x86, 32 bits, seed 0) of the token, as a signed number without its sign.
uint32_t term_of(std::string_view token);
// Every token that the tokenizer indexes counts (each prefix of kPrefix too). Weights are tf * (k + 1) / (tf + k * (1 - b + b * tokens / average_length)).
Terms bm25_document(const Tokenizer& tokenizer, const Bm25Options& options, std::string_view text);
// Weight 1 for each term.
Terms bm25_query(const Tokenizer& tokenizer, std::string_view text);

}  // namespace sealpoint::text
