#include "blake3.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace sealpoint {

namespace {

constexpr size_t kBlock = 64;
constexpr size_t kChunk = 1024;
constexpr uint32_t kChunkStart = 1, kChunkEnd = 2, kParent = 4, kRoot = 8;
constexpr uint32_t kIv[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

using Value = std::array<uint32_t, 8>;

// The order of the message's words in each of the seven rounds: the permutation of table 2 applied again and again.
constexpr auto kSchedule = [] {
  constexpr size_t permutation[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
  std::array<std::array<size_t, 16>, 7> rounds{};
  for (size_t i = 0; i < 16; ++i) rounds[0][i] = i;
  for (size_t round = 1; round < 7; ++round) {
    for (size_t i = 0; i < 16; ++i) rounds[round][i] = rounds[round - 1][permutation[i]];
  }
  return rounds;
}();

// Eight chunks side by side: one lane each.
using Lanes = uint32_t __attribute__((vector_size(32)));

// Forced, so that each clone of hash_eight is compiled whole for its instructions. A macro and no template: vectors as arguments have another
// calling convention in each.
#define SEALPOINT_ROTATE(word, bits) (((word) >> (bits)) | ((word) << (32 - (bits))))
#define SEALPOINT_MIX(v, a, b, c, d, x, y)         \
  do {                                             \
    v[a] = v[a] + v[b] + (x);                      \
    v[d] = SEALPOINT_ROTATE(v[d] ^ v[a], 16);      \
    v[c] = v[c] + v[d];                            \
    v[b] = SEALPOINT_ROTATE(v[b] ^ v[c], 12);      \
    v[a] = v[a] + v[b] + (y);                      \
    v[d] = SEALPOINT_ROTATE(v[d] ^ v[a], 8);       \
    v[c] = v[c] + v[d];                            \
    v[b] = SEALPOINT_ROTATE(v[b] ^ v[c], 7);       \
  } while (false)
#define SEALPOINT_ROUNDS(v, m)                                       \
  for (size_t round = 0; round < 7; ++round) {                       \
    const auto& at = kSchedule[round];                               \
    SEALPOINT_MIX(v, 0, 4, 8, 12, m[at[0]], m[at[1]]);               \
    SEALPOINT_MIX(v, 1, 5, 9, 13, m[at[2]], m[at[3]]);               \
    SEALPOINT_MIX(v, 2, 6, 10, 14, m[at[4]], m[at[5]]);              \
    SEALPOINT_MIX(v, 3, 7, 11, 15, m[at[6]], m[at[7]]);              \
    SEALPOINT_MIX(v, 0, 5, 10, 15, m[at[8]], m[at[9]]);              \
    SEALPOINT_MIX(v, 1, 6, 11, 12, m[at[10]], m[at[11]]);            \
    SEALPOINT_MIX(v, 2, 7, 8, 13, m[at[12]], m[at[13]]);             \
    SEALPOINT_MIX(v, 3, 4, 9, 14, m[at[14]], m[at[15]]);             \
  }

uint32_t load(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, 4);
  return word;
}

// Section 2.2; the first eight words of its result.
Value compress(const Value& chaining, const uint8_t* block, uint64_t counter, uint32_t length, uint32_t flags) {
  uint32_t m[16];
  for (size_t i = 0; i < 16; ++i) m[i] = load(block + 4 * i);
  uint32_t v[16];
  for (size_t i = 0; i < 8; ++i) v[i] = chaining[i];
  for (size_t i = 0; i < 4; ++i) v[8 + i] = kIv[i];
  v[12] = static_cast<uint32_t>(counter);
  v[13] = static_cast<uint32_t>(counter >> 32);
  v[14] = length;
  v[15] = flags;
  SEALPOINT_ROUNDS(v, m)
  Value out;
  for (size_t i = 0; i < 8; ++i) out[i] = v[i] ^ v[i + 8];
  return out;
}

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
void hash_eight(const uint8_t* input, uint64_t counter, Value* out) {
  Lanes chaining[8];
  for (size_t i = 0; i < 8; ++i) chaining[i] = Lanes{} + kIv[i];
  Lanes low{}, high{};
  for (size_t lane = 0; lane < 8; ++lane) {
    low[lane] = static_cast<uint32_t>(counter + lane);
    high[lane] = static_cast<uint32_t>((counter + lane) >> 32);
  }
  for (size_t block = 0; block < kChunk / kBlock; ++block) {
    Lanes m[16];
    for (size_t word = 0; word < 16; ++word) {
      for (size_t lane = 0; lane < 8; ++lane) {
        uint32_t value;
        std::memcpy(&value, input + lane * kChunk + block * kBlock + word * 4, 4);
        m[word][lane] = value;
      }
    }
    Lanes v[16];
    for (size_t i = 0; i < 8; ++i) v[i] = chaining[i];
    for (size_t i = 0; i < 4; ++i) v[8 + i] = Lanes{} + kIv[i];
    v[12] = low;
    v[13] = high;
    v[14] = Lanes{} + static_cast<uint32_t>(kBlock);
    v[15] = Lanes{} + ((block == 0 ? kChunkStart : 0) | (block == kChunk / kBlock - 1 ? kChunkEnd : 0));
    SEALPOINT_ROUNDS(v, m)
    for (size_t i = 0; i < 8; ++i) chaining[i] = v[i] ^ v[i + 8];
  }
  for (size_t lane = 0; lane < 8; ++lane) {
    for (size_t i = 0; i < 8; ++i) out[lane][i] = chaining[i][lane];
  }
}

// Section 2.4: a chunk of 0 to 1024 bytes. `root`: it is the whole input.
Value hash_chunk(const uint8_t* input, size_t size, uint64_t counter, bool root) {
  Value chaining;
  std::memcpy(chaining.data(), kIv, sizeof(kIv));
  uint32_t flags = kChunkStart;
  while (size > kBlock) {
    chaining = compress(chaining, input, counter, kBlock, flags);
    flags = 0;
    input += kBlock;
    size -= kBlock;
  }
  uint8_t last[kBlock] = {};
  if (size > 0) std::memcpy(last, input, size);
  return compress(chaining, last, counter, static_cast<uint32_t>(size), flags | kChunkEnd | (root ? kRoot : 0));
}

// Section 2.5.
Value hash_parent(const Value& left, const Value& right, bool root) {
  uint8_t block[kBlock];
  std::memcpy(block, left.data(), 32);
  std::memcpy(block + 32, right.data(), 32);
  Value iv;
  std::memcpy(iv.data(), kIv, sizeof(kIv));
  return compress(iv, block, 0, kBlock, kParent | (root ? kRoot : 0));
}

}  // namespace

std::array<uint8_t, 32> blake3(std::string_view input) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(input.data());
  std::vector<Value> values;
  values.reserve(input.size() / kChunk + 1);
  size_t at = 0;
  while (input.size() - at >= 8 * kChunk && input.size() > 8 * kChunk) {
    values.resize(values.size() + 8);
    hash_eight(bytes + at, at / kChunk, values.data() + values.size() - 8);
    at += 8 * kChunk;
  }
  const bool single = input.size() <= kChunk;
  while (at < input.size() || values.empty()) {
    const size_t size = std::min(kChunk, input.size() - at);
    values.push_back(hash_chunk(bytes + at, size, at / kChunk, single));
    at += size;
  }
  // Section 2.1: a left subtree is the greatest full one, which is what merging neighbours level by level comes to.
  while (values.size() > 1) {
    const bool root = values.size() == 2;
    size_t to = 0;
    for (size_t from = 0; from < values.size(); from += 2) {
      values[to++] = from + 1 < values.size() ? hash_parent(values[from], values[from + 1], root) : values[from];
    }
    values.resize(to);
  }
  std::array<uint8_t, 32> hash;
  std::memcpy(hash.data(), values[0].data(), 32);
  return hash;
}

}  // namespace sealpoint
