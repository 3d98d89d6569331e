#pragma once

namespace sealpoint {

// RFC 8259 section 6, to the nearest double; `at` ends behind it. False when there is none, and for what is greater than any double, or so small that it is nearly zero.
bool read_json_number(const char*& at, const char* end, double& out);

}  // namespace sealpoint
