// Sealing of many payloads on a native thread: HPKE base mode with the exporter (RFC 9180: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM)
// and AES-256-GCM under a key of its own per point. The envelope's bytes are fixed by docs/sealing-format-v1.md; src/seal/hpke.ts and
// the clients are what this is tested against. libcrypto does all arithmetic on secrets.
#pragma once
#include <string>
#include <string_view>

namespace sealpoint {

// text sealing id (16 bytes), u8 fresh ephemeral, u32 n, each recipient: text point (65 bytes, uncompressed), text kid (8 bytes); u32 n, each row: u32 recipient, id,
// text plaintext. Answers u32 n, each: text envelope. Throws Error; then nothing was sealed. Plaintext is not copied but into libcrypto.
std::string seal_batch(std::string_view message);

}  // namespace sealpoint
