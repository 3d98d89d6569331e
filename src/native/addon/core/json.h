// JSON as parameters are kept in: enough to look up what stands in a small text. Not for requests.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sealpoint {

class Json {
 public:
  // Throws Error kBadInput. Nested at most 16 deep; numbers stay text.
  static Json parse(std::string_view text);

  // nullptr when this is no object or has no such member.
  const Json* find(std::string_view name) const;
  const std::vector<Json>& items() const { return items_; }
  // Of a string, a number or a literal; empty otherwise.
  const std::string& text() const { return text_; }
  bool is_true() const { return literal_ && text_ == "true"; }
  bool is_false() const { return literal_ && text_ == "false"; }

 private:
  friend class JsonReader;
  bool literal_ = false;
  std::string text_;
  std::vector<Json> items_;                            // of a list
  std::vector<std::pair<std::string, Json>> members_;  // of an object
};

}  // namespace sealpoint
