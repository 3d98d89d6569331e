// The names by which Qdrant knows languages: its own and ISO 639's codes ("jp" for Japanese and "hi-en" for Hinglish, as there).
#include <algorithm>

#include "tokenizer.h"

namespace sealpoint::text {
namespace {

struct Language {
  std::string_view name, code;
  bool stems;
};

constexpr Language kLanguages[] = {
    {"arabic", "ar", true},      {"armenian", "hy", true},   {"azerbaijani", "az", false}, {"basque", "eu", false},   {"bengali", "bn", false},
    {"catalan", "ca", false},    {"chinese", "zh", false},   {"danish", "da", true},       {"dutch", "nl", true},     {"english", "en", true},
    {"finnish", "fi", true},     {"french", "fr", true},     {"german", "de", true},       {"greek", "el", true},     {"hebrew", "he", false},
    {"hinglish", "hi-en", false}, {"hungarian", "hu", true}, {"indonesian", "id", false},  {"italian", "it", true},   {"japanese", "jp", false},
    {"kazakh", "kk", false},     {"nepali", "ne", false},    {"norwegian", "no", true},    {"portuguese", "pt", true}, {"romanian", "ro", true},
    {"russian", "ru", true},     {"slovene", "sl", false},   {"spanish", "es", true},      {"swedish", "sv", true},   {"tajik", "tg", false},
    {"tamil", "ta", true},       {"turkish", "tr", true},
};

const Language* find(std::string_view name) {
  const auto at = std::find_if(std::begin(kLanguages), std::end(kLanguages),
                               [&](const Language& language) { return language.name == name || language.code == name; });
  return at == std::end(kLanguages) ? nullptr : at;
}

}  // namespace

std::string stopword_language(std::string_view name) {
  const Language* language = find(name);
  return language != nullptr && stopwords_of(language->name) != nullptr ? std::string(language->name) : std::string();
}

std::string stemmer_language(std::string_view name) {
  const Language* language = find(name);
  return language != nullptr && language->stems ? std::string(language->name) : std::string();
}

}  // namespace sealpoint::text
