// Files that nobody reads or changes without their key. Each has a key of its own, HKDF-SHA256 (RFC 5869) of its folder's key, a random salt in its head and its
// name, so none can stand in for another. Under it AES-256-GCM (NIST SP 800-38D) seals the file piece by piece: a nonce that counts what was ever sealed of the file,
// the ciphertext, the tag; the piece's number is its additional data, so pieces cannot change places either. A file is either of blocks, which can be read alone, or
// of pieces as they were written, which are read from the first on (store/cipher_env.cc).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

struct evp_cipher_ctx_st;

namespace sealpoint {

// The key of a folder.
class FileCipher {
 public:
  static constexpr size_t kKeyBytes = 32;

  // Throws kBadInput for a key of another size.
  explicit FileCipher(std::string_view key);
  // Overwrites the key.
  ~FileCipher();
  FileCipher(const FileCipher&) = delete;
  FileCipher& operator=(const FileCipher&) = delete;

 private:
  friend class SealedFile;
  uint8_t key_[kKeyBytes];
};

// The key of one file, and the form of its blocks. Safe to use from many threads.
class SealedFile {
 public:
  static constexpr size_t kHeadBytes = 32;
  static constexpr size_t kNonceBytes = 12;
  static constexpr size_t kTagBytes = 16;
  // What a sealed piece is longer than its text.
  static constexpr size_t kSealBytes = kNonceBytes + kTagBytes;
  // Small, since a row is read alone and whole blocks are opened for it.
  static constexpr size_t kBlock = 1024;
  static constexpr size_t kSealedBlock = kBlock + kSealBytes;

  // Of a new file. `name` is what it is opened by again.
  SealedFile(const FileCipher& cipher, std::string_view name);
  // Of one that begins with `head`. Throws kDataLoss when that is no head.
  SealedFile(const FileCipher& cipher, std::string_view name, std::string_view head);
  ~SealedFile();
  SealedFile(const SealedFile&) = delete;
  SealedFile& operator=(const SealedFile&) = delete;

  // kHeadBytes, which come first in the file.
  const std::string& head() const { return head_; }
  // `out` has room for `size` and kSealBytes.
  void seal(uint64_t number, const void* text, size_t size, uint8_t* out) const;
  // `size` is that of the sealed piece. False, and nothing of the text in `out`, when it is not what was sealed as this piece of this file.
  bool open(uint64_t number, const uint8_t* sealed, size_t size, void* out) const;

  // Of a file of blocks, the last of which may be shorter: where a block lies, and how much text a file of so many bytes holds.
  static uint64_t place(uint64_t block) { return kHeadBytes + block * kSealedBlock; }
  static uint64_t text_bytes(uint64_t file_bytes);
  // Reads up to `size` bytes of text from `offset` into `out`; fewer at the file's end. `fetch(place, size, to)` reads the file itself and gives what it got. False
  // when a block does not open; then `out` means nothing.
  using Fetch = std::function<size_t(uint64_t place, size_t size, uint8_t* to)>;
  bool read(uint64_t offset, size_t size, void* out, const Fetch& fetch, size_t& got) const;

 private:
  using Context = std::unique_ptr<evp_cipher_ctx_st, void (*)(evp_cipher_ctx_st*)>;
  // Setting a key up costs more than a block: contexts are kept, and overwritten with this object.
  class Lease;
  Context make_context() const;
  void derive(const FileCipher& cipher, std::string_view name);

  std::string head_;
  uint8_t key_[FileCipher::kKeyBytes];
  mutable std::atomic<uint64_t> sealed_{0};
  mutable std::mutex mutex_;
  mutable std::vector<Context> idle_;
};

}  // namespace sealpoint
