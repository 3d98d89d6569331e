// Sealing of many payloads on a native thread: HPKE base mode with the exporter (RFC 9180: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM)
// and AES-256-GCM under a key of its own per point. The envelope's bytes are fixed by docs/sealing-format-v1.md; src/seal/hpke.ts and
// the clients are what this is tested against. libcrypto does all arithmetic on secrets.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "../core/point_id.h"

namespace sealpoint {

// Makes envelopes for one recipient. Not for two threads at once.
class Sealer {
 public:
  // 16 bytes; 65, uncompressed; 8. `fresh`: a context for each envelope instead of one for all. Throws kBadInput when the point is not on P-256.
  Sealer(std::string_view sealing_id, std::string_view point, std::string_view kid, bool fresh);
  Sealer(Sealer&&) noexcept;
  ~Sealer();

  // What an envelope holds beside the ciphertext, which is as long as the plaintext.
  static constexpr size_t kHead = 3 + 16 + 8 + 2 + 65 + 12 + 16;
  // Appends the binary envelope. Throws; then nobody may use what was appended.
  void seal(std::string& out, const PointId& id, std::string_view plaintext);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// text sealing id (16 bytes), u8 fresh ephemeral, u32 n, each recipient: text point (65 bytes, uncompressed), text kid (8 bytes); u32 n, each row: u32 recipient, id,
// text plaintext. Answers u32 n, each: text envelope. Throws Error; then nothing was sealed. Plaintext is not copied but into libcrypto.
std::string seal_batch(std::string_view message);

}  // namespace sealpoint
