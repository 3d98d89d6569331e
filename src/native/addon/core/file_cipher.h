// Files that nobody reads without their key: AES-256 in counter mode (NIST SP 800-38A), so that any part of a file can be read or written by
// itself. Each file has a random nonce of its own, the first counter. It hides; that nothing was changed is for the checksums inside.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sealpoint {

class FileCipher {
 public:
  static constexpr size_t kKeyBytes = 32;
  static constexpr size_t kNonceBytes = 16;

  // Throws kBadInput for a key of another size.
  explicit FileCipher(std::string_view key);
  // Overwrites the key.
  ~FileCipher();
  FileCipher(const FileCipher&) = delete;
  FileCipher& operator=(const FileCipher&) = delete;

  static std::string random_nonce();
  // Encrypts or decrypts in place: the same. `offset` is that of the bytes in the file.
  void apply(const uint8_t* nonce, uint64_t offset, void* data, size_t size) const;

 private:
  uint8_t key_[kKeyBytes];
  const uint64_t number_;  // tells a thread's context whether it holds this key
};

}  // namespace sealpoint
