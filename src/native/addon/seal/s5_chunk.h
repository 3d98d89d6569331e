// Chunks of S5 databases (docs/s5.md), read without an object for each number: a file is decrypted where it lies, and the numbers of its vectors are taken
// out of its JSON. What is left is some hundred bytes a record, and for others to judge.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../core/point_id.h"
#include "../core/wiped.h"

namespace sealpoint {

// AES-256-GCM over `file`, in place: 12 bytes of nonce, ciphertext, 16 bytes of tag. False, and the ciphertext's place overwritten, when it does not
// open under the key.
bool open_s5_file(uint8_t* file, size_t size, std::string_view key);

// Reads a chunk's JSON: each record's "vector", of `dim` numbers, into a row of `vectors` [rows][dim], rounded as Math.fround rounds; everything else, with 0 in the vectors'
// places, to `rest`, which is JSON exactly if `json` is. False when this is not what a chunk with `rows` records looks like, or a number is not finite as a float: the
// usual reader says what is wrong then. False says nothing about `vectors` and `rest`.
bool take_s5_vectors(std::string_view json, uint32_t dim, uint32_t rows, float* vectors, WipedText& rest);

// The records of a chunk, by column.
struct S5Records {
  std::vector<PointId> points;  // record-ids.ts has the rule
  WipedText ids;                // as the database names them, one after the other
  std::vector<uint32_t> id_ends;
  WipedText metadata;  // as the store keeps payloads, one after the other
  std::vector<uint32_t> metadata_ends;
};

// Reads what take_s5_vectors left of a chunk, as src/s5/open-file.ts does. `keep_ids`: a payload holds the record's id under `_id` where the point's is another. False for
// all that is not the usual form of a sound chunk: the usual reader says what it is.
bool read_s5_records(std::string_view json, uint32_t chunk, uint32_t rows, bool keep_ids, S5Records& out);

}  // namespace sealpoint
