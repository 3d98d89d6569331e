#include "datetime.h"

namespace sealpoint::filter {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}
  bool done() const { return text_.empty(); }
  char peek() const { return text_.empty() ? '\0' : text_[0]; }
  bool take(char c) {
    if (peek() != c || text_.empty()) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(0, word.size()) != word) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  void skip_spaces() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') text_.remove_prefix(1);
  }
  bool number(int digits_min, int digits_max, int& value) {
    int count = 0;
    value = 0;
    while (count < digits_max && is_digit(peek())) {
      value = value * 10 + (text_[0] - '0');
      text_.remove_prefix(1);
      ++count;
    }
    return count >= digits_min;
  }
  // Digits after the dot; those beyond a microsecond are cut off.
  bool fraction(int64_t& micros) {
    int count = 0;
    micros = 0;
    for (; is_digit(peek()); ++count, text_.remove_prefix(1)) {
      if (count < 6) micros = micros * 10 + (text_[0] - '0');
    }
    for (int i = count; i < 6; ++i) micros *= 10;
    return count > 0;
  }

 private:
  std::string_view text_;
};

// Howard Hinnant's days_from_civil: days since 1970-01-01 in the proleptic Gregorian calendar.
int64_t days_from_civil(int64_t year, int month, int day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

int days_in_month(int year, int month) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

bool parse_offset(Scanner& in, int64_t& seconds) {
  seconds = 0;
  if (in.take('Z') || in.take('z') || in.take_word("UTC")) return true;
  const bool minus = in.peek() == '-';
  if (!in.take('-') && !in.take('+')) return false;
  int hours, minutes = 0;
  if (!in.number(2, 2, hours) || hours > 23) return false;
  const bool colon = in.take(':');
  if (colon || is_digit(in.peek())) {
    if (!in.number(2, 2, minutes) || minutes > 59) return false;
  }
  seconds = (minus ? -1 : 1) * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

bool parse_datetime(std::string_view text, int64_t& micros) {
  Scanner in(text);
  in.skip_spaces();
  int year, month, day, hour = 0, minute = 0, second = 0;
  int64_t fraction = 0, offset = 0;
  if (!in.number(4, 4, year) || !in.take('-') || !in.number(1, 2, month) || !in.take('-') || !in.number(1, 2, day))
    return false;
  if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return false;
  if (!in.done()) {
    if (!in.take('T') && !in.take('t') && !in.take(' ')) return false;
    if (!in.number(1, 2, hour) || hour > 23 || !in.take(':') || !in.number(1, 2, minute) || minute > 59) return false;
    const bool seconds = in.take(':');
    if (seconds) {
      // 60 is a leap second, which counts as the first second of the next minute.
      if (!in.number(1, 2, second) || second > 60) return false;
      if (in.take('.') && !in.fraction(fraction)) return false;
    }
    if (!in.done()) {
      // Only a time with seconds may carry an offset.
      in.skip_spaces();
      if (!seconds || !parse_offset(in, offset) || !in.done()) return false;
    }
  }
  micros =
      (days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset) * 1000000 + fraction;
  return true;
}

}  // namespace sealpoint::filter
