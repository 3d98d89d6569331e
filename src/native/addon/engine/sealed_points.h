// Points as they came in a request, whose payloads are sealed for one recipient before they are written.
#pragma once
#include <string>
#include <string_view>

namespace sealpoint {

// message: text sealing id, u8 fresh ephemeral, u8 padding, text point, text kid, u32 n, texts (top-level keys that stay clear), u32 field. `body` is what
// EncodedPoints reads. Answers u32 n, each: text payload in stored form, in the order of the points, for write operation 12. Throws kBadInput, field "points",
// when one of them has to be read by TypeScript.
std::string seal_points(std::string_view message, std::string_view body);

}  // namespace sealpoint
