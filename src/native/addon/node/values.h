// What the Node-API files share: values in and out, errors, and work on a thread of the environment's pool.
#pragma once
#define NAPI_VERSION 8
#include <node_api.h>

#include <string>
#include <string_view>

#include "../engine/engine.h"

namespace sealpoint::node {

napi_value make_error(napi_env env, ErrorKind kind, const std::string& message, const std::string& field);
napi_value throw_text(napi_env env, const char* message);
// nullptr when there is no memory.
napi_value make_buffer(napi_env env, std::string_view bytes);
void settle_deferred(napi_env env, napi_deferred deferred, const Outcome& outcome);
bool read_text(napi_env env, napi_value value, std::string& out);
// A Uint8Array's memory, which stays the caller's.
bool read_bytes(napi_env env, napi_value value, std::string_view& bytes);
// (Uint8Array) -> Promise<ArrayBuffer> of what `run` makes of it.
napi_value work_apart(napi_env env, napi_callback_info info, const char* usage, std::string (*run)(std::string_view message, std::string_view body));

// What `make` gives (nullptr: no memory), for work that is done at once; what it throws becomes JavaScript's error.
template <typename Make>
napi_value answer_at_once(napi_env env, Make make) {
  try {
    const napi_value value = make();
    return value != nullptr ? value : throw_text(env, "out of memory");
  } catch (const Error& error) {
    napi_throw(env, make_error(env, error.kind(), error.what(), error.field()));
  } catch (const std::exception&) {
    napi_throw(env, make_error(env, ErrorKind::kInternal, "native work failed", ""));
  }
  return nullptr;
}

// The functions that need no engine.
void add_apart(napi_env env, napi_value exports);
void add_s5(napi_env env, napi_value exports);

}  // namespace sealpoint::node
