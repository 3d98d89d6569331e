#include "json_number.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace sealpoint {

namespace {

// Up to here products and quotients of a whole number below 2^53 are rounded once, so they are the nearest doubles.
constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr int kPowerMax = 22;
constexpr uint64_t kExactMax = uint64_t{1} << 53;
constexpr int kDigitsMax = 18;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool read_json_number(const char*& at, const char* end, double& out) {
  const char* const start = at;
  const bool negative = at < end && *at == '-';
  if (negative) ++at;
  const char* const whole = at;
  uint64_t digits = 0;
  int count = 0;
  auto run = [&] {
    const char* const first = at;
    for (; at < end && is_digit(*at); ++at) {
      if (count < kDigitsMax) digits = digits * 10 + static_cast<uint64_t>(*at - '0');
      if (digits != 0) ++count;
    }
    return at - first;
  };
  const auto wholes = run();
  if (wholes == 0 || (wholes > 1 && *whole == '0')) return false;
  int64_t power = 0;
  if (at < end && *at == '.') {
    ++at;
    const auto places = run();
    if (places == 0) return false;
    power = -static_cast<int64_t>(places);
  }
  if (at < end && (*at == 'e' || *at == 'E')) {
    ++at;
    const bool down = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) ++at;
    const char* const first = at;
    int64_t exponent = 0;
    for (; at < end && is_digit(*at); ++at) exponent = std::min<int64_t>(exponent * 10 + (*at - '0'), 1 << 20);
    if (at == first) return false;
    power += down ? -exponent : exponent;
  }
  if (count <= kDigitsMax && digits < kExactMax && power >= -kPowerMax && power <= kPowerMax) {
    const double exact = static_cast<double>(digits);
    const double size = power < 0 ? exact / kPowers[-power] : exact * kPowers[power];
    out = negative ? -size : size;
    return true;
  }
  const auto read = std::from_chars(start, at, out);
  if (read.ec == std::errc::result_out_of_range) return false;  // too great, or nearly zero
  return read.ec == std::errc() && read.ptr == at;
}

}  // namespace sealpoint
