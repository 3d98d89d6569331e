#include "kernels.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "vector_index.h"

namespace sealpoint {
namespace {

const Kernels* choose() {
  if (const char* forced = std::getenv("SEALPOINT_SIMD")) {
    if (const Kernels* found = find_kernels(forced)) return found;
  }
  for (const char* name : {"avx512vnni", "avx2"}) {
    if (const Kernels* found = find_kernels(name)) return found;
  }
  return &kBaselineKernels;
}

std::atomic<const Kernels*>& chosen() {
  static std::atomic<const Kernels*> kernels{choose()};
  return kernels;
}

}  // namespace

const Kernels* find_kernels(const char* name) {
  if (std::strcmp(name, "baseline") == 0) return &kBaselineKernels;
#if defined(__x86_64__)
  // These builtins look at what the operating system saves as well, not only at cpuid.
  if (std::strcmp(name, "avx2") == 0) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") ? &kAvx2Kernels : nullptr;
  }
  if (std::strcmp(name, "avx512vnni") == 0) {
    const bool all = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vnni");
    if (!all) return nullptr;
    if (__builtin_cpu_supports("avx512vpopcntdq")) return &kAvx512VnniKernels;
    // The first processors with VNNI count bits word by word.
    static const Kernels without = [] {
      Kernels kernels = kAvx512VnniKernels;
      kernels.bit_sums = kAvx2Kernels.bit_sums;
      return kernels;
    }();
    return &without;
  }
#endif
  return nullptr;
}

const Kernels& kernels() { return *chosen().load(std::memory_order_relaxed); }

void force_kernels_for_test(const Kernels* kernels) { chosen().store(kernels); }

const char* simd_level() { return kernels().name; }

void normalize(float* vector, size_t dim) {
  // The same bounds as Qdrant's: a vector that is zero or of length one already stays bit for bit as it is.
  const float square = kernels().dot_f32(vector, vector, dim);
  if (!(square >= 1.1920929e-7f) || std::fabs(square - 1.0f) <= 1.0e-6f) return;
  const float length = std::sqrt(square);
  for (size_t i = 0; i < dim; ++i) vector[i] /= length;
}

void round_values(Datatype datatype, float* values, size_t count) {
  if (datatype == Datatype::kFloat32) return;
  if (datatype == Datatype::kUint8) {
    for (size_t i = 0; i < count; ++i) values[i] = values[i] > 0 ? std::floor(std::min(values[i], 255.0f)) : 0;
    return;
  }
  uint8_t halves[512];
  for (size_t i = 0; i < count; i += 256) {
    const size_t n = std::min<size_t>(256, count - i);
    // A value beyond the type's range would not be finite any more.
    for (size_t j = i; j < i + n; ++j) values[j] = std::min(std::max(values[j], -65504.0f), 65504.0f);
    kernels().narrow_f16(values + i, halves, n);
    kernels().widen_f16(halves, values + i, n);
  }
}

void store_values(Datatype datatype, const float* rounded, size_t count, void* out) {
  if (datatype == Datatype::kFloat32) {
    std::memcpy(out, rounded, count * sizeof(float));
  } else if (datatype == Datatype::kFloat16) {
    kernels().narrow_f16(rounded, static_cast<uint8_t*>(out), count);
  } else {
    for (size_t i = 0; i < count; ++i) static_cast<uint8_t*>(out)[i] = static_cast<uint8_t>(rounded[i]);
  }
}

void load_values(Datatype datatype, const void* stored, size_t count, float* out) {
  if (datatype == Datatype::kFloat32) {
    std::memcpy(out, stored, count * sizeof(float));
  } else if (datatype == Datatype::kFloat16) {
    kernels().widen_f16(static_cast<const uint8_t*>(stored), out, count);
  } else {
    kernels().widen_u8(static_cast<const uint8_t*>(stored), out, count);
  }
}

float exact_score(Distance distance, const float* a, const float* b, size_t dim) {
  switch (distance) {
    case Distance::kEuclid:
      return std::sqrt(kernels().l2_f32(a, b, dim));
    case Distance::kManhattan:
      return kernels().l1_f32(a, b, dim);
    default:
      return kernels().dot_f32(a, b, dim);
  }
}

}  // namespace sealpoint
