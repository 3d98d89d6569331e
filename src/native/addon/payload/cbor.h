// The plaintext of a seal: deterministic CBOR (RFC 8949 section 4.2.1) of a payload's entries, as docs/sealing-format-v1.md fixes it for ever.
// src/seal/cbor.ts writes the same bytes and is what this is tested against.
#pragma once
#include <string_view>
#include <vector>

#include "../core/wiped.h"
#include "payload.h"

namespace sealpoint::payload {

// Appends the map of the entries whose keys are not in `clear`. False when the entries are not in the canonical form of check(): then `out` is as it was.
bool append_cbor(WipedText& out, std::string_view entries, const std::vector<std::string_view>& clear, const Bounds& bounds);

// Padme (arXiv 1806.03160, algorithm 1): the length to pad `length` bytes to.
size_t padme_length(size_t length);

}  // namespace sealpoint::payload
