// RocksDB's files under a FileCipher: a file system over another one. Tables and blob files are of blocks; logs, manifests and the few small files are of one
// piece for each append, since they are only ever read from the first byte on. A file's name is part of its key, so a renamed one is sealed anew.
#pragma once
#include <memory>
#include <string>

#include <rocksdb/env.h>

#include "../core/file_cipher.h"

namespace sealpoint {

// Over `base`, which outlives it; nullptr: the real one.
std::unique_ptr<rocksdb::Env> make_cipher_env(std::shared_ptr<const FileCipher> cipher, rocksdb::Env* base);

// Reads what is small in a folder (all but tables and blob files), and says whether it opens.
rocksdb::Status read_small_files(rocksdb::Env& env, const std::string& folder);

}  // namespace sealpoint
