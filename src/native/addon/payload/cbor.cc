#include "cbor.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "../core/status.h"
#include "wire.h"

namespace sealpoint::payload {

namespace {

constexpr uint8_t kUnsigned = 0, kNegative = 1, kText = 3, kList = 4, kMap = 5;
constexpr char kFalse = '\xf4', kTrue = '\xf5', kNull = '\xf6', kHalf = '\xf9', kSingle = '\xfa', kDouble = '\xfb';

// Of the `bytes` lowest bytes, the highest first.
void put_big_endian(WipedText& out, uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

// Section 3: major type and argument in the shortest form.
void put_head(WipedText& out, uint8_t major, uint64_t argument) {
  const uint8_t top = static_cast<uint8_t>(major << 5);
  if (argument < 24) {
    out.push_back(static_cast<char>(top | argument));
    return;
  }
  const int width = argument <= 0xff ? 0 : argument <= 0xffff ? 1 : argument <= 0xffffffff ? 2 : 3;
  out.push_back(static_cast<char>(top | (24 + width)));
  put_big_endian(out, argument, 1 << width);
}

void put_text(WipedText& out, std::string_view text) {
  put_head(out, kText, text.size());
  out.append(text);
}

// IEEE 754 binary16 of a finite binary32; -1 when it would lose something.
int half_of(uint32_t single) {
  const int sign = static_cast<int>(single >> 16 & 0x8000);
  const int exponent = static_cast<int>(single >> 23 & 0xff);
  const uint32_t fraction = single & 0x7fffff;
  if (exponent == 0) return fraction == 0 ? sign : -1;
  const int power = exponent - 127;
  if (power >= -14 && power <= 15) return (fraction & 0x1fff) == 0 ? sign | (power + 15) << 10 | static_cast<int>(fraction >> 13) : -1;
  if (power < -24 || power > 15) return -1;
  const int shift = -power - 1;
  const uint32_t whole = fraction | 0x800000;
  return (whole & ((uint32_t{1} << shift) - 1)) == 0 ? sign | static_cast<int>(whole >> shift) : -1;
}

// Always a float, in the shortest of half, single and double that keeps the value (section 4.2.2, rule 2). Finite, as canonical numbers are.
void put_double(WipedText& out, double value) {
  const auto single = static_cast<float>(value);
  if (static_cast<double>(single) != value) {
    out.push_back(kDouble);
    put_big_endian(out, std::bit_cast<uint64_t>(value), 8);
    return;
  }
  const auto bits = std::bit_cast<uint32_t>(single);
  const int half = half_of(bits);
  out.push_back(half >= 0 ? kHalf : kSingle);
  put_big_endian(out, half >= 0 ? static_cast<uint64_t>(half) : bits, half >= 0 ? 2 : 4);
}

void put_value(WipedText& out, std::string_view bytes);

void put_map(WipedText& out, std::vector<Entry>& entries) {
  // Bytewise by the keys' encodings, which is by length first.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.key.size() != b.key.size() ? a.key.size() < b.key.size() : a.key < b.key;
  });
  put_head(out, kMap, entries.size());
  for (const Entry& entry : entries) {
    put_text(out, entry.key);
    put_value(out, entry.value);
  }
}

void put_value(WipedText& out, std::string_view bytes) {
  const Value value = read_value(bytes);
  switch (value.kind) {
    case Kind::kNull:
      out.push_back(kNull);
      return;
    case Kind::kDouble:
      put_double(out, value.number);
      return;
    case Kind::kInteger:
      put_head(out, value.integer >= 0 ? kUnsigned : kNegative, static_cast<uint64_t>(value.integer >= 0 ? value.integer : -1 - value.integer));
      return;
    case Kind::kString:
      put_text(out, value.body);
      return;
    case Kind::kBool:
      out.push_back(value.flag ? kTrue : kFalse);
      return;
    case Kind::kStruct: {
      std::vector<Entry> entries;
      for_each_entry(value.body, kStructField, [&](const Entry& entry) {
        entries.push_back(entry);
        return true;
      });
      put_map(out, entries);
      return;
    }
    case Kind::kList: {
      size_t count = 0;
      for_each_element(value.body, [&](std::string_view) {
        ++count;
        return true;
      });
      put_head(out, kList, count);
      for_each_element(value.body, [&](std::string_view element) {
        put_value(out, element);
        return true;
      });
      return;
    }
    case Kind::kEnvelopes:
      // Envelopes are never sealed again: who calls this has none.
      throw Error(ErrorKind::kInternal, "an envelope cannot be sealed");
  }
}

}  // namespace

bool append_cbor(WipedText& out, std::string_view entries, const std::vector<std::string_view>& clear, const Bounds& bounds) {
  if (!is_canonical(entries, bounds)) return false;
  std::vector<Entry> sealed;
  for_each_entry(entries, kRootField, [&](const Entry& entry) {
    if (std::find(clear.begin(), clear.end(), entry.key) == clear.end()) sealed.push_back(entry);
    return true;
  });
  put_map(out, sealed);
  return true;
}

size_t padme_length(size_t length) {
  if (length < 2) return length;
  const int exponent = std::bit_width(length) - 1;
  const int kept = std::bit_width(static_cast<unsigned>(exponent));
  // Lengths below 8 give a step of at most 1.
  if (exponent <= kept) return length;
  const size_t step = size_t{1} << (exponent - kept);
  return (length + step - 1) / step * step;
}

}  // namespace sealpoint::payload
