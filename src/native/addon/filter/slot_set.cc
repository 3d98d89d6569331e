#include "slot_set.h"

#include <roaring/containers/containers.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace sealpoint::filter {
namespace {

constexpr size_t kContainerWords = 1024;    // of a container's 65,536 slots
constexpr int32_t kArrayEntriesMax = 4096;  // beyond it CRoaring keeps a bitset

roaring_bitmap_t* made(roaring_bitmap_t* bitmap) {
  if (bitmap == nullptr) throw std::bad_alloc();
  return bitmap;
}

// Visit(words from, 64-bit words, their number) for bitset containers, Entry(slot) for arrays, Run(first, last) for runs.
template <typename Words, typename Entry, typename Run>
void visit_containers(const roaring_bitmap_t& bitmap, Words words, Entry entry, Run run) {
  const roaring_array_t& all = bitmap.high_low_container;
  for (int32_t i = 0; i < all.size; ++i) {
    const uint32_t base = uint32_t{all.keys[i]} << 16;
    switch (all.typecodes[i]) {
      case BITSET_CONTAINER_TYPE_CODE:
        words(base >> 6, static_cast<const bitset_container_t*>(all.containers[i])->array);
        break;
      case ARRAY_CONTAINER_TYPE_CODE: {
        const auto& array = *static_cast<const array_container_t*>(all.containers[i]);
        for (int32_t j = 0; j < array.cardinality; ++j) entry(base + array.array[j]);
        break;
      }
      default: {
        const auto& runs = *static_cast<const run_container_t*>(all.containers[i]);
        for (int32_t j = 0; j < runs.n_runs; ++j) {
          const uint32_t first = base + runs.runs[j].value;
          run(first, first + runs.runs[j].length);
        }
      }
    }
  }
}

}  // namespace

SlotSet::SlotSet(const SlotSet& other) {
  if (other.bitmap_ != nullptr) bitmap_ = made(roaring_bitmap_copy(other.bitmap_));
}

void SlotSet::clear() {
  if (bitmap_ != nullptr) roaring_bitmap_free(bitmap_);
  bitmap_ = nullptr;
}

SlotSet SlotSet::from(const Bitset& dense) {
  SlotSet set;
  const auto& words = dense.words();
  for (size_t from = 0; from < words.size(); from += kContainerWords) {
    const size_t size = std::min(kContainerWords, words.size() - from);
    const auto count = static_cast<int32_t>(count_bits(words.data() + from, size));
    if (count == 0) continue;
    if (set.bitmap_ == nullptr) set.bitmap_ = made(roaring_bitmap_create());
    const auto key = static_cast<uint16_t>(from / kContainerWords);
    if (count > kArrayEntriesMax) {
      bitset_container_t* container = bitset_container_create();
      if (container == nullptr) throw std::bad_alloc();
      std::memcpy(container->array, words.data() + from, size * 8);
      container->cardinality = count;
      ra_append(&set.bitmap_->high_low_container, key, container, BITSET_CONTAINER_TYPE_CODE);
      continue;
    }
    array_container_t* container = array_container_create_given_capacity(count);
    if (container == nullptr) throw std::bad_alloc();
    int32_t at = 0;
    for (size_t i = 0; i < size; ++i) {
      for (uint64_t word = words[from + i]; word != 0; word &= word - 1) {
        container->array[at++] = static_cast<uint16_t>(i * 64 + static_cast<size_t>(__builtin_ctzll(word)));
      }
    }
    container->cardinality = count;
    ra_append(&set.bitmap_->high_low_container, key, container, ARRAY_CONTAINER_TYPE_CODE);
  }
  return set;
}

SlotSet SlotSet::from(std::vector<uint32_t>& slots) {
  SlotSet set;
  if (slots.empty()) return set;
  const uint32_t last = *std::max_element(slots.begin(), slots.end());
  if (last / 256 < slots.size()) {
    // Bits are set faster than a list this dense is sorted.
    Bitset dense(last + size_t{1});
    for (const uint32_t slot : slots) dense.set(slot);
    return from(dense);
  }
  std::sort(slots.begin(), slots.end());
  set.bitmap_ = made(roaring_bitmap_create());
  roaring_bitmap_add_many(set.bitmap_, slots.size(), slots.data());
  return set;
}

uint64_t SlotSet::count_common(const SlotSet& other) const {
  if (bitmap_ == nullptr || other.bitmap_ == nullptr) return 0;
  return roaring_bitmap_and_cardinality(bitmap_, other.bitmap_);
}

void SlotSet::add(uint32_t slot) {
  if (bitmap_ == nullptr) bitmap_ = made(roaring_bitmap_create());
  roaring_bitmap_add(bitmap_, slot);
}

void SlotSet::remove(uint32_t slot) {
  if (bitmap_ == nullptr) return;
  roaring_bitmap_remove(bitmap_, slot);
  if (roaring_bitmap_is_empty(bitmap_)) clear();
}

void SlotSet::and_with(const SlotSet& other) {
  if (bitmap_ == nullptr) return;
  if (other.bitmap_ == nullptr) return clear();
  roaring_bitmap_and_inplace(bitmap_, other.bitmap_);
}

void SlotSet::or_with(const SlotSet& other) {
  if (other.bitmap_ == nullptr) return;
  if (bitmap_ == nullptr) {
    *this = other;
  } else {
    roaring_bitmap_or_inplace(bitmap_, other.bitmap_);
  }
}

void SlotSet::and_not(const SlotSet& other) {
  if (bitmap_ != nullptr && other.bitmap_ != nullptr) roaring_bitmap_andnot_inplace(bitmap_, other.bitmap_);
}

void SlotSet::add_to(Bitset& dense) const {
  if (empty()) return;
  auto& into = dense.words();
  const size_t size = (roaring_bitmap_maximum(bitmap_) >> 6) + size_t{1};
  if (into.size() < size) into.resize(size);
  visit_containers(
      *bitmap_,
      [&](size_t from, const uint64_t* words) {
        const size_t used = std::min(kContainerWords, into.size() - from);
        uint64_t* target = into.data() + from;
        for (size_t i = 0; i < used; ++i) target[i] |= words[i];
      },
      [&](uint32_t slot) { into[slot >> 6] |= uint64_t{1} << (slot & 63); },
      [&](uint32_t first, uint32_t last) {
        for (uint32_t slot = first;; ++slot) {
          into[slot >> 6] |= uint64_t{1} << (slot & 63);
          if (slot == last) break;
        }
      });
}

void SlotSet::remove_from(Bitset& dense) const {
  if (bitmap_ == nullptr) return;
  auto& from_words = dense.words();
  visit_containers(
      *bitmap_,
      [&](size_t from, const uint64_t* words) {
        if (from >= from_words.size()) return;
        const size_t used = std::min(kContainerWords, from_words.size() - from);
        uint64_t* target = from_words.data() + from;
        for (size_t i = 0; i < used; ++i) target[i] &= ~words[i];
      },
      [&](uint32_t slot) { dense.reset(slot); },
      [&](uint32_t first, uint32_t last) {
        for (uint32_t slot = first;; ++slot) {
          dense.reset(slot);
          if (slot == last) break;
        }
      });
}

void SlotSet::write(std::string& out) const {
  const size_t size = empty() ? 0 : roaring_bitmap_portable_size_in_bytes(bitmap_);
  const auto length = static_cast<uint32_t>(size);
  out.append(reinterpret_cast<const char*>(&length), sizeof(length));
  if (size == 0) return;
  const size_t at = out.size();
  out.resize(at + size);
  roaring_bitmap_portable_serialize(bitmap_, out.data() + at);
}

SlotSet SlotSet::read(ByteReader& in) {
  SlotSet set;
  const std::string_view bytes = in.text();
  if (bytes.empty()) return set;
  set.bitmap_ = roaring_bitmap_portable_deserialize_safe(bytes.data(), bytes.size());
  if (set.bitmap_ == nullptr) throw Error(ErrorKind::kDataLoss, "a set of slots cannot be read");
  return set;
}

uint64_t SlotSet::bytes() const {
  if (bitmap_ == nullptr) return 0;
  const roaring_array_t& all = bitmap_->high_low_container;
  uint64_t total = sizeof(roaring_bitmap_t) + static_cast<uint64_t>(all.allocation_size) * (sizeof(void*) + 3);
  visit_containers(
      *bitmap_, [&](size_t, const uint64_t*) { total += kContainerWords * 8 + sizeof(bitset_container_t); }, [&](uint32_t) { total += 2; },
      [&](uint32_t, uint32_t) { total += sizeof(rle16_t); });
  return total + static_cast<uint64_t>(all.size) * sizeof(array_container_t);
}

}  // namespace sealpoint::filter
