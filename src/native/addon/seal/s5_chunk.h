// Chunks of S5 databases (docs/s5.md), read without an object for each number: a file is decrypted where it lies, and the numbers of its vectors are taken
// out of its JSON. What is left is some hundred bytes a record, and for others to judge.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sealpoint {

// AES-256-GCM over `file`, in place: 12 bytes of nonce, ciphertext, 16 bytes of tag. False, and the ciphertext's place overwritten, when it does not
// open under the key.
bool open_s5_file(uint8_t* file, size_t size, std::string_view key);

// Text that is overwritten before its memory is given back.
class WipedText {
 public:
  WipedText() = default;
  ~WipedText() { wipe(); }
  WipedText(const WipedText&) = delete;
  WipedText& operator=(const WipedText&) = delete;
  void append(std::string_view text);
  std::string_view view() const { return text_; }

 private:
  void wipe();
  std::string text_;
};

// Reads a chunk's JSON: each record's "vector", of `dim` numbers, into a row of `vectors` [rows][dim], rounded as Math.fround rounds; everything else, with 0 in the vectors'
// places, to `rest`, which is JSON exactly if `json` is. False when this is not what a chunk with `rows` records looks like, or a number is not finite as a float: the
// usual reader says what is wrong then. False says nothing about `vectors` and `rest`.
bool take_s5_vectors(std::string_view json, uint32_t dim, uint32_t rows, float* vectors, WipedText& rest);

}  // namespace sealpoint
