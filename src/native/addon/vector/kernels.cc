#include "kernels.h"

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
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kAvx2Kernels : nullptr;
  }
  if (std::strcmp(name, "avx512vnni") == 0) {
    const bool all = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vnni");
    return all ? &kAvx512VnniKernels : nullptr;
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
