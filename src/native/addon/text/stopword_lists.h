// The built-in lists of stop words: see stopwords.cc.
#pragma once
#include <string_view>

namespace sealpoint::text {

struct StopwordList {
  std::string_view language;
  std::string_view words;  // one space between them
};

extern const StopwordList kStopwordsAToH[15];
extern const StopwordList kStopwordsHToZ[15];

}  // namespace sealpoint::text
