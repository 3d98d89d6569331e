// Words of mixed scripts, for the tokenizer "multilingual".
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

namespace sealpoint::text {

// Whether a character is of a script that is written without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese.
bool is_unspaced(int32_t point);

// Words in their order, each valid until `sink` returns: in compatibility decomposition, lowercase, without the marks of Latin, Greek,
// Hebrew and Arabic letters; words without a letter are left out. Qdrant cuts unspaced scripts by dictionaries of some 20 MB; here each
// of their characters is a word, so that whatever Qdrant finds is found, and more with it.
void multilingual_words(std::string_view text, const std::function<void(std::string_view)>& sink);

}  // namespace sealpoint::text
