// Numbers as JSON has them: the shortest digits that read back as the same number, in the form of ECMA-262's Number::toString, and whole ones
// with ".0", so that they stay floating point. What is not finite becomes null.
#pragma once
#include <string>

namespace sealpoint {

void append_float(std::string& out, float value);
void append_double(std::string& out, double value);

}  // namespace sealpoint
