// BLAKE3, unkeyed, 32 bytes: what S5's content ids are made of. https://github.com/BLAKE3-team/BLAKE3-specs, sections 2.1 to 2.6.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace sealpoint {

std::array<uint8_t, 32> blake3(std::string_view input);

}  // namespace sealpoint
