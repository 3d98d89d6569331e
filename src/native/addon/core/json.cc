#include "json.h"

#include <cctype>
#include <cstdint>

#include "status.h"

namespace sealpoint {

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  Json document() {
    Json json = value(0);
    space();
    if (at_ != text_.size()) fail();
    return json;
  }

 private:
  [[noreturn]] static void fail() { throw Error(ErrorKind::kBadInput, "the parameters are not JSON", "params"); }

  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
  }
  char peek() {
    space();
    if (at_ == text_.size()) fail();
    return text_[at_];
  }
  void expect(char c) {
    if (peek() != c) fail();
    ++at_;
  }
  // After an item: true when another one follows.
  bool more(char end) {
    const char c = peek();
    if (c != ',' && c != end) fail();
    ++at_;
    return c == ',';
  }

  Json value(int depth) {
    if (depth > 16) fail();
    Json json;
    const char c = peek();
    if (c == '{') {
      ++at_;
      if (peek() == '}') return ++at_, json;
      do {
        if (peek() != '"') fail();
        std::string name = string();
        expect(':');
        json.members_.emplace_back(std::move(name), value(depth + 1));
      } while (more('}'));
    } else if (c == '[') {
      ++at_;
      if (peek() == ']') return ++at_, json;
      do json.items_.push_back(value(depth + 1));
      while (more(']'));
    } else if (c == '"') {
      json.text_ = string();
    } else {
      const size_t begin = at_;
      while (at_ < text_.size() && std::string_view("+-.").find(text_[at_]) != std::string_view::npos) ++at_;
      while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '.' || text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (at_ == begin) fail();
      json.text_ = text_.substr(begin, at_ - begin);
      json.literal_ = true;
    }
    return json;
  }

  uint32_t hex4() {
    if (text_.size() - at_ < 4) fail();
    uint32_t out = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[at_++];
      const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0) fail();
      out = out * 16 + static_cast<uint32_t>(digit);
    }
    return out;
  }

  static void append(std::string& to, uint32_t point) {
    if (point < 0x80) {
      to.push_back(static_cast<char>(point));
    } else if (point < 0x800) {
      to.push_back(static_cast<char>(0xc0 | point >> 6));
      to.push_back(static_cast<char>(0x80 | (point & 0x3f)));
    } else if (point < 0x10000) {
      to.push_back(static_cast<char>(0xe0 | point >> 12));
      to.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
      to.push_back(static_cast<char>(0x80 | (point & 0x3f)));
    } else {
      to.push_back(static_cast<char>(0xf0 | point >> 18));
      to.push_back(static_cast<char>(0x80 | (point >> 12 & 0x3f)));
      to.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
      to.push_back(static_cast<char>(0x80 | (point & 0x3f)));
    }
  }

  std::string string() {
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') return ++at_, out;
      if (c != '\\') {
        out.push_back(c);
        continue;
      }
      if (++at_ == text_.size()) fail();
      static constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
      const size_t known = from.find(text_[at_]);
      if (known != std::string_view::npos) {
        out.push_back(to[known]);
        continue;
      }
      if (text_[at_] != 'u') fail();
      ++at_;
      uint32_t point = hex4();
      if (point >= 0xd800 && point < 0xdc00 && text_.substr(at_, 2) == "\\u") {
        at_ += 2;
        point = 0x10000 + ((point - 0xd800) << 10) + ((hex4() - 0xdc00) & 0x3ff);
      }
      append(out, point);
      --at_;
    }
    fail();
  }

  std::string_view text_;
  size_t at_ = 0;
};

Json Json::parse(std::string_view text) { return JsonReader(text).document(); }

const Json* Json::find(std::string_view name) const {
  for (const auto& [key, value] : members_) {
    if (key == name) return &value;
  }
  return nullptr;
}

}  // namespace sealpoint
