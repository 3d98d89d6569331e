// Which characters make up words.
#pragma once
#include <cstdint>

namespace sealpoint::text {

// Unicode's Alphabetic or General_Category N (what Rust's char::is_alphanumeric says).
bool is_alphanumeric(uint32_t point);

}  // namespace sealpoint::text
