// Anonymous memory for what every search touches. Large regions lie on huge pages: a walk reads a few hundred bytes here and there
// in tens of megabytes, and with pages of 4 KB a third of its time goes into address translation. It also cannot
// vanish when a file is cut short, as mapped memory does.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sealpoint {

class HotMemory {
 public:
  HotMemory() = default;
  // Zeroed; throws kExhausted. Nothing is rounded up to huge pages: the last piece of a region keeps small ones.
  explicit HotMemory(size_t bytes);
  ~HotMemory() { release(); }
  HotMemory(HotMemory&& other) noexcept { swap(other); }
  HotMemory& operator=(HotMemory&& other) noexcept {
    swap(other);
    return *this;
  }

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  void release();

 private:
  void swap(HotMemory& other) noexcept {
    uint8_t* const data = data_;
    const size_t bytes = bytes_;
    data_ = other.data_;
    bytes_ = other.bytes_;
    other.data_ = data;
    other.bytes_ = bytes;
  }
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace sealpoint
