// RocksDB's files under a FileCipher, by RocksDB's own encrypting environment: every file begins with a page whose first bytes are its nonce.
#pragma once
#include <memory>

#include <rocksdb/env.h>

#include "../core/file_cipher.h"

namespace sealpoint {

// Over `base`, which outlives it; nullptr: the real one.
std::unique_ptr<rocksdb::Env> make_cipher_env(std::shared_ptr<const FileCipher> cipher, rocksdb::Env* base);

}  // namespace sealpoint
