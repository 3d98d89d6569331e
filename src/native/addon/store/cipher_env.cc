#include "cipher_env.h"

#include <rocksdb/env_encryption.h>

#include <cstring>
#include <string>
#include <utility>

#include "../core/status.h"

namespace sealpoint {

namespace {

// A page, so that what follows keeps its place in one.
constexpr size_t kPrefix = 4096;

class Stream : public rocksdb::BlockAccessCipherStream {
 public:
  Stream(std::shared_ptr<const FileCipher> cipher, std::string nonce) : cipher_(std::move(cipher)), nonce_(std::move(nonce)) {}
  size_t BlockSize() override { return 1; }
  rocksdb::Status Encrypt(uint64_t offset, char* data, size_t size) override { return apply(offset, data, size); }
  rocksdb::Status Decrypt(uint64_t offset, char* data, size_t size) override { return apply(offset, data, size); }

 protected:
  void AllocateScratch(std::string&) override {}
  rocksdb::Status EncryptBlock(uint64_t block, char* data, char*) override { return apply(block, data, 1); }
  rocksdb::Status DecryptBlock(uint64_t block, char* data, char*) override { return apply(block, data, 1); }

 private:
  rocksdb::Status apply(uint64_t offset, char* data, size_t size) const {
    try {
      cipher_->apply(reinterpret_cast<const uint8_t*>(nonce_.data()), offset, data, size);
      return rocksdb::Status::OK();
    } catch (const Error& error) {
      return rocksdb::Status::IOError(error.what());
    }
  }
  const std::shared_ptr<const FileCipher> cipher_;
  const std::string nonce_;
};

class Provider : public rocksdb::EncryptionProvider {
 public:
  explicit Provider(std::shared_ptr<const FileCipher> cipher) : cipher_(std::move(cipher)) {}
  const char* Name() const override { return "SealpointFileCipher"; }
  size_t GetPrefixLength() const override { return kPrefix; }
  rocksdb::Status CreateNewPrefix(const std::string&, char* prefix, size_t size) const override {
    std::memset(prefix, 0, size);
    try {
      const std::string nonce = FileCipher::random_nonce();
      std::memcpy(prefix, nonce.data(), nonce.size());
      return rocksdb::Status::OK();
    } catch (const Error& error) {
      return rocksdb::Status::IOError(error.what());
    }
  }
  rocksdb::Status AddCipher(const std::string&, const char*, size_t, bool) override { return rocksdb::Status::NotSupported(); }
  rocksdb::Status CreateCipherStream(const std::string&, const rocksdb::EnvOptions&, rocksdb::Slice& prefix,
                                     std::unique_ptr<rocksdb::BlockAccessCipherStream>* result) override {
    if (prefix.size() < FileCipher::kNonceBytes) return rocksdb::Status::Corruption("a file has lost its first page");
    result->reset(new Stream(cipher_, std::string(prefix.data(), FileCipher::kNonceBytes)));
    return rocksdb::Status::OK();
  }

 private:
  const std::shared_ptr<const FileCipher> cipher_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_cipher_env(std::shared_ptr<const FileCipher> cipher, rocksdb::Env* base) {
  return std::unique_ptr<rocksdb::Env>(
      rocksdb::NewEncryptedEnv(base != nullptr ? base : rocksdb::Env::Default(), std::make_shared<Provider>(std::move(cipher))));
}

}  // namespace sealpoint
