#include "file_cipher.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "status.h"

namespace sealpoint {

namespace {

constexpr char kMagic[8] = {'S', 'P', 'S', 'E', 'A', 'L', '0', '1'};
constexpr size_t kSaltBytes = 16;
static_assert(sizeof(kMagic) + kSaltBytes <= SealedFile::kHeadBytes);
constexpr std::string_view kUse = "sealpoint file v1 ";
constexpr size_t kReadBlocks = 1024;
constexpr size_t kIdleMax = 8;

[[noreturn]] void failed() { throw Error(ErrorKind::kInternal, "the cipher of a file failed"); }

void hmac(const void* key, size_t key_bytes, std::string_view message, uint8_t* out) {
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key, static_cast<int>(key_bytes), reinterpret_cast<const uint8_t*>(message.data()), message.size(), out, &size) == nullptr) failed();
}

}  // namespace

FileCipher::FileCipher(std::string_view key) {
  if (key.size() != kKeyBytes) throw Error(ErrorKind::kBadInput, "Wrong input: the key of a file has 32 bytes", "key");
  std::memcpy(key_, key.data(), kKeyBytes);
}

FileCipher::~FileCipher() { OPENSSL_cleanse(key_, sizeof(key_)); }

class SealedFile::Lease {
 public:
  explicit Lease(const SealedFile& file) : file_(file), context_(nullptr, EVP_CIPHER_CTX_free) {
    {
      std::lock_guard lock(file_.mutex_);
      if (!file_.idle_.empty()) {
        context_ = std::move(file_.idle_.back());
        file_.idle_.pop_back();
      }
    }
    if (context_ == nullptr) context_ = file_.make_context();
  }
  ~Lease() {
    std::lock_guard lock(file_.mutex_);
    if (file_.idle_.size() < kIdleMax) file_.idle_.push_back(std::move(context_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  bool open(uint64_t number, const uint8_t* sealed, size_t size, void* out) {
    if (size < kSealBytes) return false;
    const size_t text = size - kSealBytes;
    int done = 0;
    auto* to = static_cast<uint8_t*>(out);
    auto* tag = const_cast<uint8_t*>(sealed + kNonceBytes + text);
    EVP_CIPHER_CTX* const context = context_.get();
    if (EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, sealed, 0) != 1 ||
        EVP_DecryptUpdate(context, nullptr, &done, reinterpret_cast<const uint8_t*>(&number), sizeof(number)) != 1 ||
        EVP_DecryptUpdate(context, to, &done, sealed + kNonceBytes, static_cast<int>(text)) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag) != 1) {
      failed();
    }
    if (EVP_DecryptFinal_ex(context, to + text, &done) == 1) return true;
    OPENSSL_cleanse(out, text);
    return false;
  }
  void seal(uint64_t number, const uint8_t* nonce, const void* text, size_t size, uint8_t* out) {
    int done = 0;
    EVP_CIPHER_CTX* const context = context_.get();
    std::memcpy(out, nonce, kNonceBytes);
    if (EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce, 1) != 1 ||
        EVP_EncryptUpdate(context, nullptr, &done, reinterpret_cast<const uint8_t*>(&number), sizeof(number)) != 1 ||
        EVP_EncryptUpdate(context, out + kNonceBytes, &done, static_cast<const uint8_t*>(text), static_cast<int>(size)) != 1 ||
        EVP_EncryptFinal_ex(context, out + kNonceBytes + size, &done) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, kTagBytes, out + kNonceBytes + size) != 1) {
      failed();
    }
  }

 private:
  const SealedFile& file_;
  Context context_;
};

SealedFile::SealedFile(const FileCipher& cipher, std::string_view name) : head_(kHeadBytes, '\0') {
  std::memcpy(head_.data(), kMagic, sizeof(kMagic));
  if (getrandom(head_.data() + sizeof(kMagic), kSaltBytes, 0) != kSaltBytes) throw Error(ErrorKind::kInternal, "the system gives no random bytes");
  derive(cipher, name);
}

SealedFile::SealedFile(const FileCipher& cipher, std::string_view name, std::string_view head) : head_(head) {
  if (head.size() != kHeadBytes || std::memcmp(head.data(), kMagic, sizeof(kMagic)) != 0) {
    throw Error(ErrorKind::kDataLoss, "an encrypted file has lost its head");
  }
  derive(cipher, name);
}

SealedFile::~SealedFile() { OPENSSL_cleanse(key_, sizeof(key_)); }

// HKDF of one block: extract under the head, which has the salt, and expand for the name.
void SealedFile::derive(const FileCipher& cipher, std::string_view name) {
  uint8_t extracted[FileCipher::kKeyBytes];
  hmac(head_.data(), head_.size(), {reinterpret_cast<const char*>(cipher.key_), FileCipher::kKeyBytes}, extracted);
  std::string info(kUse);
  info += name;
  info += '\x01';
  hmac(extracted, sizeof(extracted), info, key_);
  OPENSSL_cleanse(extracted, sizeof(extracted));
}

SealedFile::Context SealedFile::make_context() const {
  Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  if (context == nullptr || EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_, nullptr, 1) != 1) failed();
  return context;
}

void SealedFile::seal(uint64_t number, const void* text, size_t size, uint8_t* out) const {
  if (size > INT_MAX) failed();
  uint8_t nonce[kNonceBytes] = {};
  const uint64_t count = sealed_.fetch_add(1, std::memory_order_relaxed);
  std::memcpy(nonce, &count, sizeof(count));
  Lease(*this).seal(number, nonce, text, size, out);
}

bool SealedFile::open(uint64_t number, const uint8_t* sealed, size_t size, void* out) const {
  return size <= INT_MAX && Lease(*this).open(number, sealed, size, out);
}

uint64_t SealedFile::text_bytes(uint64_t file_bytes) {
  if (file_bytes <= kHeadBytes) return 0;
  const uint64_t body = file_bytes - kHeadBytes, rest = body % kSealedBlock;
  return body / kSealedBlock * kBlock + (rest > kSealBytes ? rest - kSealBytes : 0);
}

bool SealedFile::read(uint64_t offset, size_t size, void* out, const Fetch& fetch, size_t& got) const {
  // Ciphertext, so nothing to overwrite.
  thread_local std::vector<uint8_t> sealed;
  uint8_t edge[kBlock];
  auto* to = static_cast<uint8_t*>(out);
  Lease lease(*this);
  got = 0;
  while (got < size) {
    const uint64_t at = offset + got;
    const uint64_t first = at / kBlock;
    const auto wanted = std::min<uint64_t>(kReadBlocks, (offset + size - 1) / kBlock - first + 1);
    if (sealed.size() < wanted * kSealedBlock) sealed.resize(wanted * kSealedBlock);
    const size_t fetched = fetch(place(first), wanted * kSealedBlock, sealed.data());
    for (size_t done = 0; done < fetched; done += kSealedBlock) {
      const size_t piece = std::min(kSealedBlock, fetched - done);
      const uint64_t block = first + done / kSealedBlock;
      const size_t skip = block == first ? at % kBlock : 0;
      if (skip == 0 && size - got >= kBlock) {
        if (!lease.open(block, sealed.data() + done, piece, to + got)) return false;
        got += piece - kSealBytes;
      } else {
        if (!lease.open(block, sealed.data() + done, piece, edge)) return false;
        const size_t there = piece - kSealBytes;
        const size_t taken = there > skip ? std::min(there - skip, size - got) : 0;
        std::memcpy(to + got, edge + skip, taken);
        got += taken;
        OPENSSL_cleanse(edge, there);
      }
    }
    if (fetched < wanted * kSealedBlock) break;
  }
  return true;
}

}  // namespace sealpoint
