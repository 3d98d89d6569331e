#include "file_cipher.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <memory>

#include "status.h"

namespace sealpoint {

namespace {

constexpr size_t kBlock = 16;
constexpr size_t kPiece = 1 << 30;

std::atomic<uint64_t> next_number{1};

// Setting a key up costs more than a row: a thread keeps the context of the cipher that it used last.
struct ThreadContext {
  std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> context{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
  uint64_t number = 0;
};

[[noreturn]] void failed() { throw Error(ErrorKind::kInternal, "the cipher of a file failed"); }

// The counter is a big-endian number of 128 bits.
void add_blocks(uint8_t* counter, uint64_t blocks) {
  for (int i = kBlock - 1; i >= 0 && blocks != 0; --i) {
    blocks += counter[i];
    counter[i] = static_cast<uint8_t>(blocks);
    blocks >>= 8;
  }
}

}  // namespace

FileCipher::FileCipher(std::string_view key) : number_(next_number++) {
  if (key.size() != kKeyBytes) throw Error(ErrorKind::kBadInput, "Wrong input: the key of a file has 32 bytes", "key");
  std::memcpy(key_, key.data(), kKeyBytes);
}

FileCipher::~FileCipher() { OPENSSL_cleanse(key_, sizeof(key_)); }

std::string FileCipher::random_nonce() {
  std::string nonce(kNonceBytes, '\0');
  if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size())) throw Error(ErrorKind::kInternal, "the system gives no random bytes");
  return nonce;
}

void FileCipher::apply(const uint8_t* nonce, uint64_t offset, void* data, size_t size) const {
  thread_local ThreadContext thread;
  if (thread.context == nullptr) failed();
  uint8_t counter[kBlock];
  std::memcpy(counter, nonce, kBlock);
  add_blocks(counter, offset / kBlock);
  const bool known = thread.number == number_;
  if (EVP_EncryptInit_ex(thread.context.get(), known ? nullptr : EVP_aes_256_ctr(), nullptr, known ? nullptr : key_, counter) != 1) failed();
  thread.number = number_;
  int done = 0;
  if (const size_t skip = offset % kBlock; skip != 0) {
    uint8_t none[kBlock] = {};
    if (EVP_EncryptUpdate(thread.context.get(), none, &done, none, static_cast<int>(skip)) != 1) failed();
  }
  for (auto* at = static_cast<uint8_t*>(data); size > 0;) {
    const size_t piece = std::min(size, kPiece);
    if (EVP_EncryptUpdate(thread.context.get(), at, &done, at, static_cast<int>(piece)) != 1 || static_cast<size_t>(done) != piece) failed();
    at += piece;
    size -= piece;
  }
}

}  // namespace sealpoint
