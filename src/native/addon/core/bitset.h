// A dense set of slots. Slots are dense by design (one per stored point of a collection), so one bit each is the
// cheapest mask that a graph walk can test.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sealpoint {

// Bits set in `size` words.
size_t count_bits(const uint64_t* words, size_t size);

class Bitset {
 public:
  Bitset() = default;
  explicit Bitset(size_t slots) : words_((slots + 63) / 64) {}

  bool test(uint32_t slot) const {
    const size_t word = slot >> 6;
    return word < words_.size() && ((words_[word] >> (slot & 63)) & 1);
  }
  void set(uint32_t slot) {
    const size_t word = slot >> 6;
    if (word >= words_.size()) words_.resize(word + 1);
    words_[word] |= uint64_t{1} << (slot & 63);
  }
  void reset(uint32_t slot) {
    const size_t word = slot >> 6;
    if (word < words_.size()) words_[word] &= ~(uint64_t{1} << (slot & 63));
  }
  size_t count() const { return count_bits(words_.data(), words_.size()); }
  void and_with(const Bitset& other) {
    const size_t n = words_.size() < other.words_.size() ? words_.size() : other.words_.size();
    for (size_t i = 0; i < n; ++i) words_[i] &= other.words_[i];
    words_.resize(n);
  }
  void or_with(const Bitset& other) {
    if (other.words_.size() > words_.size()) words_.resize(other.words_.size());
    for (size_t i = 0; i < other.words_.size(); ++i) words_[i] |= other.words_[i];
  }
  void and_not(const Bitset& other) {
    const size_t n = words_.size() < other.words_.size() ? words_.size() : other.words_.size();
    for (size_t i = 0; i < n; ++i) words_[i] &= ~other.words_[i];
  }
  template <typename Visit>  // Visit(uint32_t slot), ascending
  void for_each(Visit visit) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
        visit(static_cast<uint32_t>(i * 64 + static_cast<size_t>(__builtin_ctzll(word))));
      }
    }
  }
  std::vector<uint64_t>& words() { return words_; }
  const std::vector<uint64_t>& words() const { return words_; }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace sealpoint
