// Memory that is overwritten before it is given back, also what a container outgrows.
#pragma once
#include <openssl/crypto.h>

#include <cstddef>
#include <new>
#include <string>

namespace sealpoint {

template <typename T>
struct WipingAllocator {
  using value_type = T;

  WipingAllocator() = default;
  template <typename U>
  WipingAllocator(const WipingAllocator<U>&) {}  // NOLINT(google-explicit-constructor): containers convert
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T))); }
  void deallocate(T* data, size_t count) {
    OPENSSL_cleanse(data, count * sizeof(T));
    ::operator delete(data);
  }
  template <typename U>
  bool operator==(const WipingAllocator<U>&) const {
    return true;
  }
};

// A text shorter than 16 bytes lies in the object itself, and is not overwritten, unless so much was reserved before.
using WipedText = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;
inline constexpr size_t kWipedMin = 64;

}  // namespace sealpoint
