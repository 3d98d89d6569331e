// Qdrant's stop words, by language.
#include <algorithm>
#include <map>

#include "stopword_lists.h"
#include "tokenizer.h"

namespace sealpoint::text {
namespace {

using Lists = std::map<std::string, std::vector<std::string>, std::less<>>;

std::vector<std::string> split(std::string_view words) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    out.emplace_back(words.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

}  // namespace

const std::vector<std::string>* stopwords_of(std::string_view language) {
  // All of them are 60 KB of text; the map is made once and never changed.
  static const Lists lists = [] {
    Lists out;
    for (const StopwordList& list : kStopwordsAToH) out.emplace(list.language, split(list.words));
    for (const StopwordList& list : kStopwordsHToZ) out.emplace(list.language, split(list.words));
    return out;
  }();
  const auto at = lists.find(language);
  return at == lists.end() ? nullptr : &at->second;
}

}  // namespace sealpoint::text
