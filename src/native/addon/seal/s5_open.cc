#include "s5_open.h"

#include <cstring>

#include "blake3.h"
#include "s5_chunk.h"

namespace sealpoint {

namespace {

enum class Outcome : char { kClosed, kUnusual, kRead };

constexpr size_t kNonceBytes = 12, kTagBytes = 16;

template <typename T>
void put(WipedText& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

WipedText open_s5_chunk(uint8_t* file, size_t size, const S5ChunkTask& task, float* vectors) {
  WipedText answer(2, '\0');
  if (!task.hash.empty()) {
    const auto hash = blake3({reinterpret_cast<const char*>(file), size});
    answer[1] = task.hash.size() == hash.size() && std::memcmp(task.hash.data(), hash.data(), hash.size()) == 0 ? 0 : 1;
  }
  if (!open_s5_file(file, size, task.key)) return answer;
  answer[0] = static_cast<char>(Outcome::kUnusual);
  const std::string_view json(reinterpret_cast<const char*>(file) + kNonceBytes, size - kNonceBytes - kTagBytes);
  WipedText rest;
  S5Records records;
  if (!take_s5_vectors(json, task.dim, task.rows, vectors, rest) || !read_s5_records(rest, task.chunk, task.rows, task.keep_ids, records)) return answer;
  OPENSSL_cleanse(file, size);
  answer[0] = static_cast<char>(Outcome::kRead);
  answer.reserve(answer.size() + records.points.size() * 25 + records.ids.size() + records.metadata.size());
  for (const auto& point : records.points) {
    answer.push_back(point.is_uuid ? 1 : 0);
    if (point.is_uuid) {
      answer.append(reinterpret_cast<const char*>(point.uuid), sizeof(point.uuid));
    } else {
      put(answer, point.num);
    }
  }
  for (const uint32_t end : records.id_ends) put(answer, end);
  for (const uint32_t end : records.metadata_ends) put(answer, end);
  return answer.append(records.ids).append(records.metadata);
}

}  // namespace sealpoint
