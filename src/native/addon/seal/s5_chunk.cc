#include "s5_chunk.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <memory>

#include "../core/status.h"
#include "json_cursor.h"
#include "json_number.h"

namespace sealpoint {

namespace {

constexpr size_t kKeyBytes = 32, kNonceBytes = 12, kTagBytes = 16;
constexpr size_t kPiece = 1 << 30;

// Walks over JSON. What it walks over without looking (strings, other values) is copied as it is, so whoever parses the rest judges it.
class ChunkReader : private JsonCursor {
 public:
  ChunkReader(std::string_view json, uint32_t dim, uint32_t rows, float* vectors, WipedText& rest)
      : JsonCursor(json), copied_(json.data()), dim_(dim), rows_(rows), vectors_(vectors), rest_(rest) {}

  bool read() {
    bool seen = false;
    const bool sound = object([&](std::string_view key) {
      if (key != "vectors") return value();
      if (seen) return false;
      seen = true;
      return records();
    });
    space();
    if (!sound || !seen || at_ != end_) return false;
    copy(end_);
    return true;
  }

 private:
  void copy(const char* until) {
    rest_.append(copied_, static_cast<size_t>(until - copied_));
    copied_ = until;
  }

  // The members of an object; `member` reads the value of a key that stands there without escapes.
  template <typename Member>
  bool object(Member&& member) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      space();
      const char* const start = at_;
      if (!string()) return false;
      const std::string_view key(start + 1, static_cast<size_t>(at_ - start - 2));
      // It may spell "vector".
      if (key.find('\\') != std::string_view::npos) return false;
      if (!take(':') || !member(key)) return false;
    } while (take(','));
    return take('}');
  }

  bool records() {
    uint32_t row = 0;
    if (!take('[')) return false;
    if (take(']')) return rows_ == 0;
    do {
      if (row == rows_) return false;
      bool seen = false;
      const bool sound = object([&](std::string_view key) {
        if (key != "vector") return value();
        if (seen) return false;
        seen = true;
        return vector(vectors_ + static_cast<size_t>(row) * dim_);
      });
      if (!sound || !seen) return false;
      ++row;
    } while (take(','));
    return row == rows_ && take(']');
  }

  bool vector(float* out) {
    space();
    copy(at_);
    if (!take('[')) return false;
    for (uint32_t d = 0; d < dim_; ++d) {
      if (d > 0 && !take(',')) return false;
      space();
      double value;
      if (!number(value)) return false;
      out[d] = static_cast<float>(value);
      if (!std::isfinite(out[d])) return false;
    }
    if (!take(']')) return false;
    rest_.append("0");
    copied_ = at_;
    return true;
  }

  bool string() {
    if (at_ == end_ || *at_ != '"') return false;
    for (++at_; at_ < end_ && *at_ != '"'; ++at_) {
      if (*at_ == '\\' && ++at_ == end_) return false;
    }
    if (at_ == end_) return false;
    ++at_;
    return true;
  }

  // Any value, by its brackets.
  bool value() {
    space();
    size_t depth = 0;
    for (; at_ < end_; ++at_) {
      switch (*at_) {
        case '"':
          if (!string()) return false;
          if (depth == 0) return true;
          --at_;
          break;
        case '{':
        case '[':
          ++depth;
          break;
        case '}':
        case ']':
          if (depth == 0) return true;  // of what is around a literal
          if (--depth == 0) return ++at_, true;
          break;
        case ',':
          if (depth == 0) return true;
          break;
        default:
          break;
      }
    }
    return false;
  }

  bool number(double& out) { return read_json_number(at_, end_, out); }

  const char* copied_;  // up to here all is in the rest
  const uint32_t dim_;
  const uint32_t rows_;
  float* const vectors_;
  WipedText& rest_;
};

}  // namespace

bool open_s5_file(uint8_t* file, size_t size, std::string_view key) {
  if (key.size() != kKeyBytes) throw Error(ErrorKind::kBadInput, "Wrong input: the key of a file has 32 bytes", "key");
  if (size < kNonceBytes + kTagBytes) return false;
  const std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  const auto* key_bytes = reinterpret_cast<const uint8_t*>(key.data());
  uint8_t* const text = file + kNonceBytes;
  const size_t text_size = size - kNonceBytes - kTagBytes;
  bool sound = context != nullptr && EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_bytes, file) == 1;
  int done = 0;
  for (size_t at = 0; sound && at < text_size; at += kPiece) {
    const size_t piece = std::min(kPiece, text_size - at);
    sound = EVP_DecryptUpdate(context.get(), text + at, &done, text + at, static_cast<int>(piece)) == 1;
  }
  sound = sound && EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, text + text_size) == 1 &&
          EVP_DecryptFinal_ex(context.get(), text + text_size, &done) == 1;
  if (!sound) OPENSSL_cleanse(text, text_size);
  return sound;
}

bool take_s5_vectors(std::string_view json, uint32_t dim, uint32_t rows, float* vectors, WipedText& rest) {
  return ChunkReader(json, dim, rows, vectors, rest).read();
}

}  // namespace sealpoint
