// Files of S5 databases.
#include "../seal/s5_chunk.h"
#include "../seal/s5_open.h"
#include "values.h"

namespace sealpoint::node {

namespace {

// openS5File(Uint8Array file, Uint8Array key) -> boolean, at once and in place (s5_chunk.h): for threads that have nothing else to do.
napi_value open_s5_file(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  std::string_view file, key;
  if (count < 2 || !read_bytes(env, args[0], file) || !read_bytes(env, args[1], key)) return throw_text(env, "openS5File(Uint8Array, Uint8Array)");
  napi_value opened;
  try {
    auto* bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(file.data()));
    napi_get_boolean(env, sealpoint::open_s5_file(bytes, file.size(), key), &opened);
    return opened;
  } catch (const Error& error) {
    napi_throw(env, make_error(env, error.kind(), error.what(), error.field()));
  }
  return nullptr;
}

// takeS5Vectors(Uint8Array json, u32 dim, u32 rows, Uint8Array vectors) -> ArrayBuffer of the rest, or undefined, at once (s5_chunk.h)
napi_value take_s5_vectors(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value args[4], none;
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  std::string_view json, vectors;
  uint32_t dim = 0, rows = 0;
  if (count < 4 || !read_bytes(env, args[0], json) || napi_get_value_uint32(env, args[1], &dim) != napi_ok ||
      napi_get_value_uint32(env, args[2], &rows) != napi_ok || !read_bytes(env, args[3], vectors) || vectors.size() != uint64_t{dim} * rows * sizeof(float)) {
    return throw_text(env, "takeS5Vectors(Uint8Array, dim, rows, Uint8Array)");
  }
  napi_get_undefined(env, &none);
  try {
    WipedText rest;
    auto* out = reinterpret_cast<float*>(const_cast<char*>(vectors.data()));
    if (!sealpoint::take_s5_vectors(json, dim, rows, out, rest)) return none;
    napi_value value = make_buffer(env, rest);
    return value != nullptr ? value : throw_text(env, "out of memory");
  } catch (const std::exception&) {
    napi_throw(env, make_error(env, ErrorKind::kInternal, "native work failed", ""));
  }
  return nullptr;
}

struct ChunkWork {
  uint8_t* file = nullptr;
  size_t size = 0;
  S5ChunkTask task;
  float* vectors = nullptr;
  napi_ref held[4] = {};  // what it reads and writes
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  WipedText answer;
  bool failed = false;
};

// openS5Chunk(Uint8Array file, Uint8Array key, Uint8Array hash, Uint8Array vectors, chunk, dim, rows, boolean keepIds) -> Promise<ArrayBuffer> (s5_open.h). The four stay
// as they are until it settles.
napi_value open_s5_chunk(napi_env env, napi_callback_info info) {
  constexpr size_t kArrays = 4;
  size_t count = 8;
  napi_value args[8];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  std::string_view arrays[kArrays];
  S5ChunkTask task;
  bool sound = count == 8;
  for (size_t i = 0; i < kArrays && sound; ++i) sound = read_bytes(env, args[i], arrays[i]);
  sound = sound && napi_get_value_uint32(env, args[4], &task.chunk) == napi_ok && napi_get_value_uint32(env, args[5], &task.dim) == napi_ok &&
          napi_get_value_uint32(env, args[6], &task.rows) == napi_ok && napi_get_value_bool(env, args[7], &task.keep_ids) == napi_ok &&
          arrays[3].size() == uint64_t{task.dim} * task.rows * sizeof(float);
  if (!sound) return throw_text(env, "openS5Chunk(file, key, hash, vectors, chunk, dim, rows, keepIds)");
  task.key = arrays[1];
  task.hash = arrays[2];
  auto* work = new ChunkWork();
  work->file = reinterpret_cast<uint8_t*>(const_cast<char*>(arrays[0].data()));
  work->size = arrays[0].size();
  work->task = task;
  work->vectors = reinterpret_cast<float*>(const_cast<char*>(arrays[3].data()));
  for (size_t i = 0; i < kArrays; ++i) napi_create_reference(env, args[i], 1, &work->held[i]);
  napi_value promise, name;
  napi_create_promise(env, &work->deferred, &promise);
  napi_create_string_utf8(env, "sealpoint.s5", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(
      env, nullptr, name,
      [](napi_env, void* data) {
        auto* work = static_cast<ChunkWork*>(data);
        try {
          work->answer = sealpoint::open_s5_chunk(work->file, work->size, work->task, work->vectors);
        } catch (const std::exception&) {
          work->failed = true;
        }
      },
      [](napi_env env, napi_status status, void* data) {
        auto* work = static_cast<ChunkWork*>(data);
        napi_value answer = status == napi_ok && !work->failed ? make_buffer(env, work->answer) : nullptr;
        if (answer != nullptr) {
          napi_resolve_deferred(env, work->deferred, answer);
        } else {
          napi_reject_deferred(env, work->deferred, make_error(env, ErrorKind::kInternal, "native work failed", ""));
        }
        for (napi_ref held : work->held) napi_delete_reference(env, held);
        napi_delete_async_work(env, work->work);
        delete work;
      },
      work, &work->work);
  napi_queue_async_work(env, work->work);
  return promise;
}

}  // namespace

void add_s5(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"openS5File", nullptr, open_s5_file, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"openS5Chunk", nullptr, open_s5_chunk, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"takeS5Vectors", nullptr, take_s5_vectors, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
}

}  // namespace sealpoint::node
