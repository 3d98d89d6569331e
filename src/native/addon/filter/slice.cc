#include "slice.h"

#include <bit>
#include <cstring>

namespace sealpoint::filter {

namespace {

struct SipState {
  // "somepseudorandomlygeneratedbytes", as the key is zero.
  uint64_t v0 = 0x736f6d6570736575, v1 = 0x646f72616e646f6d, v2 = 0x6c7967656e657261, v3 = 0x7465646279746573;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void take(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  uint64_t finish(uint64_t size) {
    take(size << 56);
    v2 ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace

uint64_t slice_hash(const PointId& id) {
  static_assert(std::endian::native == std::endian::little);
  SipState state;
  if (!id.is_uuid) {
    state.take(id.num);
    return state.finish(8);
  }
  uint64_t words[2];
  std::memcpy(words, id.uuid, 16);
  state.take(words[0]);
  state.take(words[1]);
  return state.finish(16);
}

}  // namespace sealpoint::filter
