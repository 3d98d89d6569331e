#include "number_text.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

namespace sealpoint {
namespace {

// `text` is of to_chars, scientific: -d.ddde-dd. https://tc39.es/ecma262/#sec-numeric-types-number-tostring says where the point goes.
void append_digits(std::string& out, const char* text, const char* end) {
  if (*text == '-') out.push_back(*text++);
  char digits[32];
  int count = 0;
  const char* at = text;
  for (; at != end && *at != 'e'; ++at) {
    if (*at != '.') digits[count++] = *at;
  }
  int exponent = 0;
  if (at != end) std::from_chars(at + (at[1] == '+' ? 2 : 1), end, exponent);
  const int point = exponent + 1;
  if (count <= point && point <= 21) {
    out.append(digits, count).append(static_cast<size_t>(point - count), '0');
    out += ".0";
  } else if (0 < point && point <= 21) {
    out.append(digits, point).push_back('.');
    out.append(digits + point, count - point);
  } else if (-6 < point && point <= 0) {
    out.append("0.").append(static_cast<size_t>(-point), '0').append(digits, count);
  } else {
    out.push_back(digits[0]);
    if (count > 1) {
      out.push_back('.');
      out.append(digits + 1, count - 1);
    }
    out += point - 1 < 0 ? "e-" : "e+";
    out += std::to_string(std::abs(point - 1));
  }
}

template <typename Number>
void append_number(std::string& out, Number value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char text[48];
  const auto [end, error] = std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific);
  append_digits(out, text, end);
}

}  // namespace

void append_float(std::string& out, float value) { append_number(out, value); }
void append_double(std::string& out, double value) { append_number(out, value); }

}  // namespace sealpoint
