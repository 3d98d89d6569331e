// Dates in payloads, as Qdrant reads them.
#pragma once
#include <cstdint>
#include <string_view>

namespace sealpoint::filter {

// Microseconds since 1970-01-01T00:00:00Z. Takes RFC 3339 and Qdrant's looser forms: a space for the T, an offset
// without colon or minutes, no offset at all (then UTC), no seconds, a date alone. False when the text is none of
// these.
bool parse_datetime(std::string_view text, int64_t& micros);

}  // namespace sealpoint::filter
