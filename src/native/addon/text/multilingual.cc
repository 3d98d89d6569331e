#include "multilingual.h"

#include <utf8proc.h>

#include <string>

#include "alphanumeric.h"

namespace sealpoint::text {
namespace {

bool is_mark(utf8proc_int32_t point) {
  const auto category = utf8proc_category(point);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ME;
}

bool within(utf8proc_int32_t point, utf8proc_int32_t first, utf8proc_int32_t last) { return point >= first && point <= last; }

// Scripts whose marks say nothing to a search. Those of Cyrillic and the Indic scripts make other letters.
bool drops_marks(utf8proc_int32_t point) {
  return point < 0x250 || within(point, 0x370, 0x3ff) || within(point, 0x590, 0x6ff) || within(point, 0xe00, 0xe7f) || within(point, 0x1e00, 0x1eff);
}

// Letters that stand for others in one script or another.
void append_lemma(std::string& to, utf8proc_int32_t point) {
  switch (point) {
    case 0xe6:
      to += "ae";
      return;
    case 0x153:
      to += "oe";
      return;
    case 0x640:  // tatweel only stretches a word
      return;
    case 0x3c2:
      point = 0x3c3;
      break;
    case 0x629:
      point = 0x647;
      break;
    case 0x649:
      point = 0x64a;
      break;
    case 0x671:
      point = 0x627;
      break;
    default:
      break;
  }
  utf8proc_uint8_t bytes[4];
  to.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(utf8proc_encode_char(point, bytes)));
}

constexpr utf8proc_int32_t kLam = 0x644;

// Of the Arabic article.
bool is_alef(utf8proc_int32_t point) { return point == 0x627 || point == 0x671 || within(point, 0x622, 0x623) || point == 0x625; }

class Words {
 public:
  explicit Words(const std::function<void(std::string_view)>& sink) : sink_(sink) {}

  void take(utf8proc_int32_t point) {
    const bool unspaced = is_unspaced(point);
    if (is_mark(point)) {
      // It belongs to the letter before it; alone it is no word.
      if (!word_.empty()) append(point);
      ++points_;
      return;
    }
    if (point < 0 || !is_alphanumeric(static_cast<uint32_t>(point))) return end();
    if (unspaced || unspaced_) end();
    append(point);
    unspaced_ = unspaced;
    if (++points_ == 1) alef_ = is_alef(point);
    if (points_ == 2 && alef_ && point == kLam) article_ = word_.size();
  }
  void end() {
    if (letter_ && !word_.empty()) {
      // The article is a word of its own, as Qdrant has it: who asks for the noun finds it with and without.
      const std::string_view word = word_;
      if (article_ > 0 && article_ < word.size()) sink_(word.substr(0, article_));
      sink_(article_ < word.size() ? word.substr(article_) : word);
    }
    word_.clear();
    letter_ = unspaced_ = drops_ = alef_ = false;
    points_ = article_ = 0;
  }

 private:
  void append(utf8proc_int32_t point) {
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(point, parts, 32, static_cast<utf8proc_option_t>(UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE), &boundary);
    const bool whole = count <= 0 || count > 32;
    for (utf8proc_ssize_t i = 0; i < (whole ? 1 : count); ++i) {
      const utf8proc_int32_t part = utf8proc_tolower(whole ? point : parts[i]);
      if (utf8proc_category(part) == UTF8PROC_CATEGORY_MN) {
        if (!drops_) append_lemma(word_, part);
        continue;
      }
      drops_ = drops_marks(part);
      const auto category = utf8proc_category(part);
      letter_ = letter_ || (is_alphanumeric(static_cast<uint32_t>(part)) && category != UTF8PROC_CATEGORY_ND && category != UTF8PROC_CATEGORY_NO);
      append_lemma(word_, part);
    }
  }

  const std::function<void(std::string_view)>& sink_;
  std::string word_;
  bool letter_ = false;
  bool unspaced_ = false;
  bool drops_ = false;  // of the last letter
  size_t points_ = 0;
  bool alef_ = false;    // the first point is one
  size_t article_ = 0;  // bytes of the article that the word begins with
};

}  // namespace

bool is_unspaced(int32_t point) {
  return within(point, 0x4e00, 0x9fff) || within(point, 0x3040, 0x30ff) || within(point, 0x3400, 0x4dbf) || within(point, 0x20000, 0x3ffff) ||
         within(point, 0xf900, 0xfaff) || within(point, 0x3005, 0x3007) || within(point, 0x31f0, 0x31ff) || within(point, 0xff66, 0xff9f) ||
         within(point, 0xe00, 0xeff) || within(point, 0x1000, 0x109f) || within(point, 0x1780, 0x17ff);
}

void multilingual_words(std::string_view text, const std::function<void(std::string_view)>& sink) {
  Words words(sink);
  utf8proc_int32_t point;
  for (size_t at = 0; at < text.size();) {
    const utf8proc_ssize_t bytes =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at, static_cast<utf8proc_ssize_t>(text.size() - at), &point);
    if (bytes <= 0) point = -1;
    at += bytes > 0 ? static_cast<size_t>(bytes) : 1;
    words.take(point);
  }
  words.end();
}

}  // namespace sealpoint::text
