#include "values.h"

#include <cstring>

namespace sealpoint::node {

napi_value make_error(napi_env env, ErrorKind kind, const std::string& message, const std::string& field) {
  napi_value text, error, number, name;
  napi_create_string_utf8(env, message.data(), message.size(), &text);
  napi_create_error(env, nullptr, text, &error);
  napi_create_uint32(env, static_cast<uint32_t>(kind), &number);
  napi_set_named_property(env, error, "nativeKind", number);
  napi_create_string_utf8(env, field.data(), field.size(), &name);
  napi_set_named_property(env, error, "field", name);
  return error;
}

napi_value throw_text(napi_env env, const char* message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}

// nullptr when there is no memory.
napi_value make_buffer(napi_env env, std::string_view bytes) {
  void* data = nullptr;
  napi_value value = nullptr;
  if (napi_create_arraybuffer(env, bytes.size(), &data, &value) != napi_ok) return nullptr;
  if (!bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  return value;
}

void settle_deferred(napi_env env, napi_deferred deferred, const Outcome& outcome) {
  if (!outcome.ok) {
    napi_reject_deferred(env, deferred, make_error(env, outcome.kind, outcome.message, outcome.field));
    return;
  }
  napi_value value = make_buffer(env, outcome.bytes);
  if (value == nullptr) {
    napi_reject_deferred(env, deferred, make_error(env, ErrorKind::kExhausted, "out of memory", ""));
    return;
  }
  napi_resolve_deferred(env, deferred, value);
}

bool read_text(napi_env env, napi_value value, std::string& out) {
  size_t size = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &size) != napi_ok) return false;
  out.resize(size);
  return napi_get_value_string_utf8(env, value, out.data(), size + 1, &size) == napi_ok;
}

bool read_bytes(napi_env env, napi_value value, std::string_view& bytes) {
  napi_typedarray_type type;
  size_t size = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &size, &data, nullptr, nullptr) != napi_ok || type != napi_uint8_array) return false;
  bytes = {static_cast<const char*>(data), size};
  return true;
}

}  // namespace sealpoint::node
