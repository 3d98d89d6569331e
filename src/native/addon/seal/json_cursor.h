// A place in a JSON text, and the steps that its readers share.
#pragma once
#include <string_view>

namespace sealpoint {

class JsonCursor {
 protected:
  explicit JsonCursor(std::string_view json) : at_(json.data()), end_(json.data() + json.size()) {}

  void space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  // Goes past white space and `c`; false, behind the white space, where something else stands.
  bool take(char c) {
    space();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  const char* at_;
  const char* const end_;
};

}  // namespace sealpoint
