// Work that needs no engine.
#include <memory>
#include <string>

#include "../engine/data_check.h"
#include "../engine/sealed_points.h"
#include "../payload/point_json.h"
#include "../seal/blake3.h"
#include "../seal/seal_batch.h"
#include "../text/bm25_batch.h"
#include "values.h"

namespace sealpoint::node {

namespace {

struct ApartWork {
  std::string (*run)(std::string_view message, std::string_view body);
  std::string_view message, body;
  napi_ref references[2] = {};
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  Outcome outcome;
};

}  // namespace

napi_value work_apart(napi_env env, napi_callback_info info, const char* usage, std::string (*run)(std::string_view, std::string_view)) {
  size_t count = 2;
  napi_value args[2];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  std::string_view message, body;
  if (count < 1 || !read_bytes(env, args[0], message) || (count > 1 && !read_bytes(env, args[1], body))) return throw_text(env, usage);
  auto* work = new ApartWork();
  work->run = run;
  work->message = message;
  work->body = body;
  for (size_t i = 0; i < std::min<size_t>(count, 2); ++i) napi_create_reference(env, args[i], 1, &work->references[i]);
  napi_value promise, name;
  napi_create_promise(env, &work->deferred, &promise);
  napi_create_string_utf8(env, "sealpoint.apart", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(
      env, nullptr, name,
      [](napi_env, void* data) {
        auto* work = static_cast<ApartWork*>(data);
        try {
          work->outcome.bytes = work->run(work->message, work->body);
        } catch (const Error& error) {
          work->outcome = {false, "", error.kind(), error.what(), error.field()};
        } catch (const std::exception&) {
          work->outcome = {false, "", ErrorKind::kInternal, "native work failed", ""};
        }
      },
      [](napi_env env, napi_status status, void* data) {
        auto* work = static_cast<ApartWork*>(data);
        if (status != napi_ok) work->outcome = {false, "", ErrorKind::kUnavailable, "native work was cancelled", ""};
        settle_deferred(env, work->deferred, work->outcome);
        for (napi_ref reference : work->references) {
          if (reference != nullptr) napi_delete_reference(env, reference);
        }
        napi_delete_async_work(env, work->work);
        delete work;
      },
      work, &work->work);
  napi_queue_async_work(env, work->work);
  return promise;
}

namespace {

constexpr size_t kKeptTextBytes = 256 * 1024;

// sealBatch(message of seal_batch.h)
napi_value seal_batch(napi_env env, napi_callback_info info) {
  return work_apart(env, info, "sealBatch(Uint8Array)", [](std::string_view message, std::string_view) { return sealpoint::seal_batch(message); });
}

// sealPoints(message of sealed_points.h, Uint8Array points)
napi_value seal_points(napi_env env, napi_callback_info info) {
  return work_apart(env, info, "sealPoints(Uint8Array, Uint8Array)",
                    [](std::string_view message, std::string_view points) { return sealpoint::seal_points(message, points); });
}

// checkData(text data folder, u8 repair) -> DataReport
napi_value check_data(napi_env env, napi_callback_info info) {
  return work_apart(env, info, "checkData(Uint8Array)", [](std::string_view message, std::string_view) {
    ByteReader in(message);
    const std::string path(in.text());
    return sealpoint::check_data(path, in.u8() != 0).encode();
  });
}

// bm25Batch(message of bm25_batch.h)
napi_value bm25_batch(napi_env env, napi_callback_info info) {
  return work_apart(env, info, "bm25Batch(Uint8Array)", [](std::string_view message, std::string_view) { return text::bm25_batch(message); });
}

// bm25(message of bm25_batch.h) -> ArrayBuffer, at once: for what takes less time than another thread would to be woken.
napi_value bm25(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  std::string_view message;
  if (count < 1 || !read_bytes(env, args[0], message)) return throw_text(env, "bm25(Uint8Array)");
  return answer_at_once(env, [&] { return make_buffer(env, text::bm25_batch(message)); });
}

// renderPoints(Uint8Array message, u32 at, u32 end, u32 tag, u32 form, u32 most, Uint32Array next) -> string, at once: the points from `at` on as JSON, and
// in next[0] where the text ends (point_json.h). form: 1 scored, 2 an empty payload is shown.
napi_value render_points(napi_env env, napi_callback_info info) {
  size_t count = 7;
  napi_value args[7];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  std::string_view message;
  uint32_t numbers[5] = {};
  bool given = count == 7 && read_bytes(env, args[0], message);
  for (size_t i = 0; given && i < 5; ++i) given = napi_get_value_uint32(env, args[i + 1], &numbers[i]) == napi_ok;
  napi_typedarray_type type;
  size_t length = 0;
  void* next = nullptr;
  given = given && napi_get_typedarray_info(env, args[6], &type, &length, &next, nullptr, nullptr) == napi_ok && type == napi_uint32_array && length > 0;
  const uint32_t at = numbers[0], end = numbers[1], tag = numbers[2], form = numbers[3], most = numbers[4];
  if (!given || end > message.size() || at > end) return throw_text(env, "renderPoints(Uint8Array, at, end, tag, form, most, Uint32Array)");
  return answer_at_once(env, [&]() -> napi_value {
    // Kept for the next ones, since most are of about one size; but not what a great one took.
    thread_local std::string text;
    const std::unique_ptr<std::string, void (*)(std::string*)> ending(&text, [](std::string* kept) {
      kept->clear();
      if (kept->capacity() > kKeptTextBytes) *kept = std::string();
    });
    *static_cast<uint32_t*>(next) = static_cast<uint32_t>(
        payload::append_points(text, message.substr(0, end), at, tag, {.scored = (form & 1) != 0, .payload = (form & 2) != 0}, most));
    uint8_t every = 0;
    for (const char byte : text) every |= static_cast<uint8_t>(byte);
    napi_value value = nullptr;
    const auto create = every < 0x80 ? napi_create_string_latin1 : napi_create_string_utf8;
    return create(env, text.data(), text.size(), &value) == napi_ok ? value : nullptr;
  });
}

// blake3(Uint8Array) -> ArrayBuffer of 32 bytes, at once: for threads that have nothing else to do.
napi_value hash(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  std::string_view input;
  if (count < 1 || !read_bytes(env, args[0], input)) return throw_text(env, "blake3(Uint8Array)");
  const auto answer = blake3(input);
  napi_value value = make_buffer(env, {reinterpret_cast<const char*>(answer.data()), answer.size()});
  return value != nullptr ? value : throw_text(env, "out of memory");
}

// Begins a full collection of this thread's heap that V8 does beside the program, but for its end. V8 has no call for that; told of more memory outside
// of its heap than it lets grow between two collections (64 MB), it begins one, or goes on with the one that is under way. The figure is right again at once.
// beginCollection(most): beyond so many bytes outside of its heap V8 would collect all in one go, with everything waiting, so then it is left alone.
napi_value begin_collection(napi_env env, napi_callback_info info) {
  constexpr int64_t above_limit = 65 << 20;
  size_t count = 1;
  napi_value args[1];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  int64_t total = 0, most = 0;
  if (count < 1 || napi_get_value_int64(env, args[0], &most) != napi_ok) return throw_text(env, "beginCollection(number)");
  napi_adjust_external_memory(env, 0, &total);
  if (total + above_limit >= most) return nullptr;
  napi_adjust_external_memory(env, above_limit, &total);
  napi_adjust_external_memory(env, -above_limit, &total);
  return nullptr;
}

napi_value simd(napi_env env, napi_callback_info) {
  napi_value text;
  napi_create_string_utf8(env, simd_level(), NAPI_AUTO_LENGTH, &text);
  return text;
}

}  // namespace

void add_apart(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"sealPoints", nullptr, seal_points, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"sealBatch", nullptr, seal_batch, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"checkData", nullptr, check_data, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"bm25Batch", nullptr, bm25_batch, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"renderPoints", nullptr, render_points, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"bm25", nullptr, bm25, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"blake3", nullptr, hash, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"beginCollection", nullptr, begin_collection, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"simdLevel", nullptr, simd, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
}

}  // namespace sealpoint::node
