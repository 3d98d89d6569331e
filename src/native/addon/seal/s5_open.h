// A whole chunk file of an S5 database (docs/s5.md), from ciphertext to columns.
#pragma once
#include <cstdint>
#include <string_view>

#include "../core/wiped.h"

namespace sealpoint {

struct S5ChunkTask {
  uint32_t chunk = 0;
  uint32_t dim = 0;
  uint32_t rows = 0;
  bool keep_ids = false;
  // BLAKE3 of the file, or empty.
  std::string_view hash;
  std::string_view key;
};

// Opens `file` in place and reads it: the vectors to `vectors` [rows][dim], the records to the answer, little-endian: u8 outcome (0: it does not open under the key; 1: decrypted, and not
// of the usual form; 2: read), u8 1 when the hash is another file's, and where it was read the points' ids (ByteWriter::id), the ends of the records' own ids in bytes (u32 each), those of
// their metadata, the ids, the metadata. A file that was read is overwritten.
WipedText open_s5_chunk(uint8_t* file, size_t size, const S5ChunkTask& task, float* vectors);

}  // namespace sealpoint
