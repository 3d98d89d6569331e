// Errors cross the addon as values: a kind that maps one to one to core/errors.ts, a message and the field at fault.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace sealpoint {

// The numbers are shared with src/native/errors.ts.
enum class ErrorKind : uint8_t {
  kBadInput = 1,
  kNotFound = 2,
  kAlreadyExists = 3,
  kPrecondition = 4,
  kExhausted = 5,
  kUnavailable = 6,
  kDataLoss = 7,
  kAborted = 8,
  kCancelled = 9,
  kInternal = 10,
};

// Thrown inside the addon only; the worker that runs an operation catches it and hands it over as a value.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message, std::string field = "")
      : std::runtime_error(message), kind_(kind), field_(std::move(field)) {}
  ErrorKind kind() const { return kind_; }
  const std::string& field() const { return field_; }

 private:
  ErrorKind kind_;
  std::string field_;
};

}  // namespace sealpoint
