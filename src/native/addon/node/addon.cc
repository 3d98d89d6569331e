// The Node-API door. All state is process-wide; per environment (main thread or worker) there is only the queue on which native threads leave
// what they finished, so one wake-up of the event loop settles many promises.
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../core/wiped.h"
#include "../engine/engine.h"
#include "tickets.h"
#include "values.h"

namespace {

using sealpoint::Engine;
using sealpoint::Outcome;
using sealpoint::node::make_error;
using sealpoint::node::read_bytes;
using sealpoint::node::read_text;
using sealpoint::node::settle_deferred;
using sealpoint::node::throw_text;
using sealpoint::node::work_apart;

// Messages up to this are copied; greater ones are held by a reference until they are done, so the loop copies nothing big.
constexpr size_t kCopyMax = 16 * 1024;

struct Call {
  napi_deferred deferred = nullptr;
  napi_ref message = nullptr;
  napi_ref body = nullptr;
  uint32_t ticket = 0;
  Outcome outcome;
};

struct Environment {
  std::mutex mutex;
  std::vector<Call*> finished;
  bool waking = false;
  size_t in_flight = 0;  // event loop only
  sealpoint::node::Tickets tickets;
  size_t borrowed = 0;   // unfinished calls that read a message in this environment's memory
  std::condition_variable returned;
  napi_threadsafe_function wake = nullptr;
  bool gone = false;
};

struct Handle {
  std::shared_ptr<Engine> engine;
};

std::mutex handles_mutex;
std::map<uint32_t, Handle>& handles() {
  static std::map<uint32_t, Handle> all;
  return all;
}
uint32_t next_handle = 1;

void settle(napi_env env, Environment& environment, Call* call) {
  settle_deferred(env, call->deferred, call->outcome);
  if (call->message != nullptr) napi_delete_reference(env, call->message);
  if (call->body != nullptr) napi_delete_reference(env, call->body);
  environment.tickets.forget(call->ticket);
  delete call;
  if (--environment.in_flight == 0) napi_unref_threadsafe_function(env, environment.wake);
}

void on_wake(napi_env env, napi_value, void* context, void*) {
  auto* environment = static_cast<std::shared_ptr<Environment>*>(context)->get();
  std::vector<Call*> finished;
  {
    std::lock_guard lock(environment->mutex);
    environment->waking = false;
    finished.swap(environment->finished);
  }
  if (env == nullptr) return;
  for (Call* call : finished) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    settle(env, *environment, call);
    napi_close_handle_scope(env, scope);
  }
}

std::shared_ptr<Environment>* environment_of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<std::shared_ptr<Environment>*>(data);
}

// The engine that prepare() opens meanwhile.
std::future<std::shared_ptr<Engine>>& prepared() {
  static std::future<std::shared_ptr<Engine>> engine;
  return engine;
}

// The arguments of open() and prepare(); false when they are others, which JavaScript then hears of.
bool read_open(napi_env env, napi_callback_info info, std::string& path, sealpoint::EngineOptions& options) {
  constexpr size_t kNumbers = 11;
  size_t count = kNumbers + 1;
  napi_value args[kNumbers + 1];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  if (count < kNumbers + 1 || !read_text(env, args[0], path)) {
    throw_text(env, "open takes a path and numbers");
    return false;
  }
  uint32_t numbers[kNumbers] = {};
  for (size_t i = 0; i < kNumbers; ++i) {
    if (napi_get_value_uint32(env, args[i + 1], &numbers[i]) == napi_ok) continue;
    throw_text(env, "open takes numbers after the path");
    return false;
  }
  options.read_threads = numbers[0];
  options.build_threads = numbers[1];
  options.queue_max = numbers[2];
  options.cursors_max = numbers[3];
  options.store.fsync = static_cast<sealpoint::FsyncPolicy>(numbers[4]);
  options.store.fsync_interval_ms = numbers[5];
  options.collections_max = numbers[6];
  options.memory_limit = uint64_t{numbers[7]} << 20;
  options.collection_memory_limit = uint64_t{numbers[8]} << 20;
  options.temporary_index_bytes = uint64_t{numbers[9]} << 20;
  if (numbers[10] != UINT32_MAX) options.store.disk_reserve = uint64_t{numbers[10]} << 20;
  return true;
}

// prepare(the arguments of open): begins to open on a thread of its own, so that the caller can load its modules meanwhile. open() then waits
// for it, and tells what went wrong.
napi_value prepare(napi_env env, napi_callback_info info) {
  std::string path;
  sealpoint::EngineOptions options;
  if (!read_open(env, info, path, options) || prepared().valid()) return nullptr;
  prepared() = std::async(std::launch::async, [path, options] { return Engine::open(path, options); });
  return nullptr;
}

// open(path, readThreads, buildThreads, queueMax, cursorsMax, fsync policy, interval ms, collectionsMax, memoryMb, collectionMemoryMb, MiB of
// temporary indexes, MiB to leave free on the disk or 2^32 - 1 for the usual) -> handle. Blocks while it loads: called once, at start.
napi_value open(napi_env env, napi_callback_info info) {
  std::string path;
  sealpoint::EngineOptions options;
  if (!read_open(env, info, path, options)) return nullptr;
  try {
    // Held until this call has it, too. What failed there fails again below, unless it was passing.
    std::future<std::shared_ptr<Engine>> waiting;
    {
      std::lock_guard lock(handles_mutex);
      waiting = std::move(prepared());
    }
    if (waiting.valid()) waiting.wait();
    auto engine = Engine::open(path, options);
    std::lock_guard lock(handles_mutex);
    handles()[next_handle] = {std::move(engine)};
    napi_value handle;
    napi_create_uint32(env, next_handle++, &handle);
    return handle;
  } catch (const sealpoint::Error& error) {
    napi_throw(env, make_error(env, error.kind(), error.what(), error.field()));
  } catch (const std::exception& error) {
    napi_throw(env, make_error(env, sealpoint::ErrorKind::kInternal, error.what(), ""));
  }
  return nullptr;
}

std::shared_ptr<Engine> engine_of(uint32_t handle) {
  std::lock_guard lock(handles_mutex);
  const auto found = handles().find(handle);
  return found == handles().end() ? nullptr : found->second.engine;
}

// call(handle, operation, Uint8Array, Uint8Array?, ticket?) -> Promise<ArrayBuffer>. The caller must not change the bytes before the promise settles.
// With a ticket, which no other call in flight has, cancel() can name it.
napi_value call(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value args[5];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  uint32_t handle = 0, operation = 0, ticket = 0;
  if (count > 4 && napi_get_value_uint32(env, args[4], &ticket) != napi_ok) return throw_text(env, "a ticket is a number");
  napi_valuetype body = napi_undefined;
  if (count > 3) napi_typeof(env, args[3], &body);
  sealpoint::Message message;
  if (count < 3 || napi_get_value_uint32(env, args[0], &handle) != napi_ok || napi_get_value_uint32(env, args[1], &operation) != napi_ok ||
      !read_bytes(env, args[2], message.head) || (body != napi_undefined && !read_bytes(env, args[3], message.body))) {
    return throw_text(env, "call(handle, operation, Uint8Array, Uint8Array?, ticket?)");
  }
  auto engine = engine_of(handle);
  if (engine == nullptr) {
    napi_throw(env, make_error(env, sealpoint::ErrorKind::kUnavailable, "the engine is closed", ""));
    return nullptr;
  }
  auto environment = *environment_of(env);
  auto* pending = new Call();
  napi_value promise;
  napi_create_promise(env, &pending->deferred, &promise);
  pending->ticket = ticket;
  std::shared_ptr<void> keep;
  if (message.head.size() + message.body.size() <= kCopyMax) {
    // A body may be plaintext of what is sealed in its head.
    auto copy = std::make_shared<sealpoint::WipedText>();
    copy->reserve(message.head.size() + message.body.size());
    copy->append(message.head).append(message.body);
    const std::string_view both = *copy;
    message = {both.substr(0, message.head.size()), both.substr(message.head.size())};
    keep = copy;
  } else {
    napi_create_reference(env, args[2], 1, &pending->message);
    if (!message.body.empty()) napi_create_reference(env, args[3], 1, &pending->body);
    std::lock_guard lock(environment->mutex);
    ++environment->borrowed;
  }
  if (environment->in_flight++ == 0) napi_ref_threadsafe_function(env, environment->wake);
  auto done = [environment, pending](Outcome outcome) {
    pending->outcome = std::move(outcome);
    std::lock_guard lock(environment->mutex);
    if (pending->message != nullptr && --environment->borrowed == 0) environment->returned.notify_all();
    if (environment->gone) {
      delete pending;
      return;
    }
    environment->finished.push_back(pending);
    if (environment->waking) return;
    environment->waking = true;
    napi_call_threadsafe_function(environment->wake, nullptr, napi_tsfn_nonblocking);
  };
  engine->submit(static_cast<sealpoint::Operation>(operation), message, std::move(keep), std::move(done), environment->tickets.take(ticket));
  return promise;
}

// cancel(ticket): a read ends soon, and its promise is rejected; a call that is over is no error.
napi_value cancel(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  uint32_t ticket = 0;
  if (count < 1 || napi_get_value_uint32(env, args[0], &ticket) != napi_ok) return throw_text(env, "cancel(ticket)");
  (*environment_of(env))->tickets.cancel(ticket);
  return nullptr;
}

// close(handle) -> Promise<void>: waits for what is in flight, off the event loop.
struct CloseWork {
  std::shared_ptr<Engine> engine;
  napi_deferred deferred;
  napi_async_work work;
};

napi_value close(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  uint32_t handle = 0;
  if (count < 1 || napi_get_value_uint32(env, args[0], &handle) != napi_ok) return throw_text(env, "close(handle)");
  auto* work = new CloseWork();
  {
    std::lock_guard lock(handles_mutex);
    const auto found = handles().find(handle);
    if (found != handles().end()) {
      work->engine = std::move(found->second.engine);
      handles().erase(found);
    }
  }
  napi_value promise, name;
  napi_create_promise(env, &work->deferred, &promise);
  napi_create_string_utf8(env, "sealpoint.close", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(
      env, nullptr, name,
      [](napi_env, void* data) {
        // The last holder closes the engine; other threads of the process may still use it.
        static_cast<CloseWork*>(data)->engine.reset();
      },
      [](napi_env env, napi_status, void* data) {
        auto* work = static_cast<CloseWork*>(data);
        napi_value undefined;
        napi_get_undefined(env, &undefined);
        napi_resolve_deferred(env, work->deferred, undefined);
        napi_delete_async_work(env, work->work);
        delete work;
      },
      work, &work->work);
  napi_queue_async_work(env, work->work);
  return promise;
}

// openSealed(text path, text key of 32 bytes, u32 readThreads, u32 buildThreads, u32 memoryMb, u8 lazy) -> u32 handle: an engine whose files are
// all under the key. What it holds is a copy of something, so a power failure may take what is new; all of it, up to the first durable flush, if it is lazy.
napi_value open_sealed(napi_env env, napi_callback_info info) {
  return work_apart(env, info, "openSealed(Uint8Array)", [](std::string_view message, std::string_view) {
    sealpoint::ByteReader in(message);
    const std::string path(in.text());
    sealpoint::EngineOptions options;
    options.store.cipher = std::make_shared<sealpoint::FileCipher>(in.text());
    options.store.fsync = sealpoint::FsyncPolicy::kNever;
    options.read_threads = in.u32();
    options.build_threads = in.u32();
    options.memory_limit = uint64_t{in.u32()} << 20;
    options.store.lazy = in.u8() != 0;
    options.temporary_index_bytes = uint64_t{8} << 20;
    auto engine = Engine::open(path, options);
    std::lock_guard lock(handles_mutex);
    handles()[next_handle] = {std::move(engine)};
    sealpoint::ByteWriter out;
    out.u32(next_handle++);
    return std::move(out.bytes());
  });
}

// A process that ends before it opened what was prepared (a start that fails) closes it here: its own threads, and RocksDB's statics, are gone later.
void leave_prepared() {
  std::future<std::shared_ptr<Engine>> left;
  {
    std::lock_guard lock(handles_mutex);
    left = std::move(prepared());
  }
  if (!left.valid()) return;
  try {
    left.get().reset();
  } catch (const std::exception&) {
    // It could not be opened, which nobody asks about any more.
  }
}

void leave(void* data) {
  leave_prepared();
  auto* holder = static_cast<std::shared_ptr<Environment>*>(data);
  std::unique_lock lock((*holder)->mutex);
  (*holder)->gone = true;
  // A thread that is cut off (process.exit, an uncaught exception on another) takes its memory with it, and native threads may still read
  // messages in it. The bound is for a disk that does not answer.
  (*holder)->returned.wait_for(lock, std::chrono::seconds(10), [&] { return (*holder)->borrowed == 0; });
  for (Call* call : (*holder)->finished) delete call;
  (*holder)->finished.clear();
}

napi_value init(napi_env env, napi_value exports) {
  auto* holder = new std::shared_ptr<Environment>(std::make_shared<Environment>());
  napi_value name;
  napi_create_string_utf8(env, "sealpoint", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, holder, on_wake, &(*holder)->wake);
  napi_unref_threadsafe_function(env, (*holder)->wake);
  napi_set_instance_data(env, holder, [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Environment>*>(data); }, nullptr);
  napi_add_env_cleanup_hook(env, leave, holder);
  const napi_property_descriptor functions[] = {
      {"open", nullptr, open, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"openSealed", nullptr, open_sealed, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"prepare", nullptr, prepare, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"call", nullptr, call, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"cancel", nullptr, cancel, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"close", nullptr, close, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
  sealpoint::node::add_apart(env, exports);
  sealpoint::node::add_s5(env, exports);
  return exports;
}

}  // namespace

NAPI_MODULE(sealpoint, init)
