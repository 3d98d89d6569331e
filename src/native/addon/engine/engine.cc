#include "engine.h"

#include <malloc.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <unordered_set>

#include "cursor.h"
#include "strand.h"

namespace sealpoint {

namespace {

std::string encode_outcome(const WriteOutcome& outcome) {
  ByteWriter out;
  out.u64(outcome.operation);
  out.u8(outcome.applied ? 1 : 0);
  return std::move(out.bytes());
}

bool changes_store(Operation operation) {
  switch (operation) {
    case Operation::kCreateCollection:
    case Operation::kUpdateCollection:
    case Operation::kDeleteCollection:
    case Operation::kUpdateAliases:
    case Operation::kSetSealing:
    case Operation::kRestoreSnapshot:
    case Operation::kWrite:
    case Operation::kCreateFieldIndex:
    case Operation::kDeleteFieldIndex:
    case Operation::kChangeVectors:
      return true;
    default:
      return false;
  }
}

// Operations whose order within a collection is the order they were given in.
bool ordered(Operation operation) {
  return operation == Operation::kWrite || operation == Operation::kCreateFieldIndex || operation == Operation::kDeleteFieldIndex ||
         operation == Operation::kSetSealing || operation == Operation::kUpdateCollection || operation == Operation::kChangeVectors;
}

// The collection's name that an operation begins with; empty when it is cut short, which running it then says.
std::string_view name_of(std::string_view message) {
  uint32_t size = 0;
  if (message.size() < sizeof(size)) return {};
  std::memcpy(&size, message.data(), sizeof(size));
  message.remove_prefix(sizeof(size));
  return size <= message.size() ? message.substr(0, size) : std::string_view();
}

// Who does not wait for a write (0), or for the disk's word only with the next one (2), hears of it once it is in the log. The flag stands right behind the name.
bool waits_for_disk(Operation operation, std::string_view message) {
  if (operation != Operation::kWrite) return true;
  const size_t at = sizeof(uint32_t) + name_of(message).size();
  return at >= message.size() || message[at] == 1;
}

// glibc keeps freed memory per thread and raises its own thresholds as it goes; a server that loads 100,000 points would keep
// three times what it uses. Fixed thresholds and few arenas let it go back. Without fast bins, because what lies in them is joined all at once when
// something large is next asked for: 13 ms in the middle of a full collection of V8's that had freed 150,000 strings of Node's.
void bound_malloc() {
  mallopt(M_MXFAST, 0);
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

// What `run` answers, or what it threw.
template <typename Run>
Outcome guarded(Run run) {
  Outcome outcome;
  try {
    outcome.bytes = run();
  } catch (const Error& error) {
    outcome = {false, "", error.kind(), error.what(), error.field()};
  } catch (const std::bad_alloc&) {
    outcome = {false, "", ErrorKind::kExhausted, "out of memory", ""};
  } catch (const std::exception& error) {
    outcome = {false, "", ErrorKind::kInternal, error.what(), ""};
  }
  return outcome;
}

std::mutex registry_mutex;
std::map<std::string, std::weak_ptr<Engine>>& registry() {
  static std::map<std::string, std::weak_ptr<Engine>> engines;
  return engines;
}

// A row that fails its checksum comes back from the store, which holds every vector a second time.
template <typename Read>
auto repairing(Collection& collection, Read read) {
  try {
    return read();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kDataLoss || collection.repair() == 0) throw;
    return read();
  }
}

}  // namespace

std::shared_ptr<Engine> Engine::open(const std::string& path, const EngineOptions& options) {
  std::error_code failure;
  // Vectors and clear fields lie in it: a folder that is made here is its owner's alone.
  if (std::filesystem::create_directories(path, failure)) {
    std::filesystem::permissions(path, std::filesystem::perms::owner_all, failure);
  }
  const std::string key = std::filesystem::weakly_canonical(path, failure).string();
  static std::once_flag bounded;
  std::call_once(bounded, bound_malloc);
  std::lock_guard lock(registry_mutex);
  auto& slot = registry()[key];
  if (auto engine = slot.lock()) return engine;
  std::shared_ptr<Engine> engine(new Engine(key, options));
  slot = engine;
  return engine;
}

Engine::Engine(const std::string& path, const EngineOptions& options)
    : path_(path),
      options_(options),
      budget_(options.memory_limit, options.collection_memory_limit),
      store_(std::make_unique<Store>(path, options.store)) {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  cutter_ = std::make_unique<TailCutter>();
  filler_ = std::make_unique<IndexFiller>(
      [this] {
        std::vector<std::shared_ptr<Collection>> all;
        std::shared_lock lock(names_mutex_);
        for (const auto& [name, collection] : collections_) all.push_back(collection);
        return all;
      },
      options.temporary_index_bytes);
  load();
  readers_ = std::make_unique<ThreadPool>(options.read_threads != 0 ? options.read_threads : cores);
  writers_ = std::make_unique<ThreadPool>(2);
  archivist_ = std::make_unique<ThreadPool>(1);
  optimizer_ = std::thread([this] { optimize_loop(); });
}

Engine::~Engine() { close(); }

void Engine::load() {
  discard_marked();
  std::string value;
  if (store_->db().Get({}, store_->meta(), "n", &value).ok()) next_cid_ = ByteReader(value).u32();
  std::unique_ptr<rocksdb::Iterator> it(store_->db().NewIterator({}, store_->meta()));
  for (it->Seek("a"); it->Valid() && it->key().starts_with("a"); it->Next()) {
    aliases_.emplace(it->key().ToString().substr(1), it->value().ToString());
  }
  std::unordered_set<std::string> known;
  for (it->Seek("c"); it->Valid() && it->key().starts_with("c"); it->Next()) {
    CollectionRecord record = CollectionRecord::decode(it->value().ToStringView());
    const std::string name = record.name;
    const uint32_t cid = record.cid;
    auto collection = std::make_shared<Collection>(*store_, budget_, path_ + "/segments/" + std::to_string(cid), std::move(record));
    collection->set_filler(filler_.get());
    collection->set_cutter(cutter_.get());
    collection->fill_left_indexes();
    std::unique_lock lock(names_mutex_);
    collections_.emplace(name, std::move(collection));
    known.insert(std::to_string(cid));
  }
  check(it->status(), "cannot read the collections");
  // Folders of collections whose deletion was cut short.
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(path_ + "/segments", failure)) {
    if (!known.contains(entry.path().filename().string())) std::filesystem::remove_all(entry.path(), failure);
  }
}

std::shared_ptr<Collection> Engine::find(std::string_view name) const {
  std::shared_lock lock(names_mutex_);
  auto found = collections_.find(name);
  if (found == collections_.end()) {
    const auto alias = aliases_.find(name);
    if (alias == aliases_.end()) return nullptr;
    found = collections_.find(alias->second);
    if (found == collections_.end()) return nullptr;
  }
  return found->second;
}

std::shared_ptr<Collection> Engine::require(std::string_view name) const {
  auto collection = find(name);
  if (collection == nullptr) no_collection(name);
  return collection;
}

void Engine::submit(Operation operation, Message message, std::shared_ptr<void> keep, Done done, std::shared_ptr<CancelFlag> cancelled) {
  if (closing_) {
    done({false, "", ErrorKind::kUnavailable, "the server is shutting down", ""});
    return;
  }
  if (in_flight_.fetch_add(1) >= options_.queue_max) {
    in_flight_.fetch_sub(1);
    done({false, "", ErrorKind::kExhausted, "too many operations are waiting", ""});
    return;
  }
  auto counted = [this, done = std::move(done), keep](Outcome outcome) {
    done(std::move(outcome));
    if (in_flight_.fetch_sub(1) == 1) {
      std::lock_guard lock(idle_mutex_);
      idle_.notify_all();
    }
  };
  // What changes the store goes to its end, whoever waits for it.
  if (changes_store(operation)) cancelled.reset();
  auto job = [this, operation, message, cancelled = std::move(cancelled), counted = std::move(counted)]() mutable {
    const cancellation::Scope scope(cancelled.get());
    if (operation == Operation::kCreateFieldIndex) return create_field_index(message.head, std::move(counted));
    finish(operation, waits_for_disk(operation, message.head), run(operation, message), std::move(counted));
  };
  if (ordered(operation)) {
    if (const auto collection = find(name_of(message.head))) {
      std::shared_ptr<Strand> strand;
      {
        std::lock_guard lock(strands_mutex_);
        auto& slot = strands_[std::to_string(collection->cid())];
        if (slot == nullptr) slot = std::make_shared<Strand>();
        strand = slot;
      }
      Strand::post(strand, *writers_, std::move(job));
      return;
    }
  }
  const bool archives = operation == Operation::kCreateSnapshot || operation == Operation::kRestoreSnapshot;
  (archives ? archivist_ : readers_)->post(std::move(job));
}

void Engine::finish(Operation operation, bool waits, Outcome outcome, Done done) {
  if (!outcome.ok || !changes_store(operation)) {
    done(std::move(outcome));
    return;
  }
  if (!waits) {
    done(std::move(outcome));
    store_->nudge();
    return;
  }
  store_->when_durable([outcome = std::move(outcome), done = std::move(done)](bool durable) mutable {
    if (!durable) outcome = {false, "", ErrorKind::kUnavailable, "the disk did not confirm the write", ""};
    done(std::move(outcome));
  });
}

// text name, text key, u8 type, text params, u8 wait: answered when it is filled, which holds neither the writes nor this thread.
void Engine::create_field_index(std::string_view message, Done done) {
  bool wait = false;
  IndexedField field;
  std::shared_ptr<Collection> collection;
  Outcome outcome = guarded([&] {
    ByteReader in(message);
    collection = require(in.text());
    field.key = in.text();
    field.type = static_cast<FieldType>(in.u8());
    field.params = in.text();
    wait = in.u8() != 0;
    return encode_outcome(collection->create_index(field));
  });
  if (!outcome.ok || !wait) {
    if (outcome.ok) collection->when_filled(field, nullptr);
    return finish(Operation::kCreateFieldIndex, true, std::move(outcome), std::move(done));
  }
  // Who waits keeps the collection: deleted before the filler came to it, it would go and never answer.
  collection->when_filled(field, [this, collection, outcome = std::move(outcome), done = std::move(done)](const Error* failure) {
    finish(Operation::kCreateFieldIndex, true, failure == nullptr ? outcome : Outcome{false, "", failure->kind(), failure->what(), failure->field()},
           done);
  });
}

Outcome Engine::run(Operation operation, const Message& message) {
  return guarded([&] {
    cancellation::check();
    ByteReader in(message.head);
    return execute(operation, in, message.body);
  });
}

std::string Engine::execute(Operation operation, ByteReader& in, std::string_view body) {
  ByteWriter out;
  switch (operation) {
    case Operation::kCreateCollection:
      return create_collection(in);
    case Operation::kUpdateCollection:
      return update_collection(in);
    case Operation::kSpend:
      return spend(in);
    case Operation::kChangeVectors:
      return encode_outcome(change_vectors(in));
    case Operation::kDeleteCollection:
      return delete_collection(in);
    case Operation::kListCollections: {
      std::shared_lock lock(names_mutex_);
      out.u32(static_cast<uint32_t>(collections_.size()));
      for (const auto& [name, collection] : collections_) out.text(name);
      break;
    }
    case Operation::kCollectionExists:
      out.u8(find(in.text()) != nullptr ? 1 : 0);
      break;
    case Operation::kCollectionInfo:
      return info(in);
    case Operation::kCollectionMemory:
      return collection_memory(in);
    case Operation::kUpdateAliases:
      return update_aliases(in);
    case Operation::kListAliases:
      return list_aliases(in);
    case Operation::kSetSealing:
      return set_sealing(in);
    case Operation::kCountPlain: {
      const auto collection = require(in.text());
      const auto [plain, total] = collection->count_plain(read_texts(in));
      out.u64(plain);
      out.u64(total);
      break;
    }
    case Operation::kWrite: {
      const auto collection = require(in.text());
      return encode_outcome(collection->write(in, body));
    }
    case Operation::kDeleteFieldIndex: {
      const auto collection = require(in.text());
      return encode_outcome(collection->drop_index(std::string(in.text())));
    }
    case Operation::kStreamPosition: {
      const auto collection = require(in.text());
      out.u64(collection->stream_position(in.text()));
      break;
    }
    case Operation::kGet: {
      const auto collection = require(in.text());
      return collection->get(in);
    }
    case Operation::kSearch: {
      const auto collection = require(in.text());
      std::vector<SearchRequest> requests;
      for (uint32_t left = in.u32(); left > 0; --left) requests.push_back(SearchRequest::read(in));
      std::vector<const SearchRequest*> each;
      for (const SearchRequest& request : requests) each.push_back(&request);
      return write_batch(repairing(*collection, [&] { return collection->search_batch(each, spread()); }));
    }
    case Operation::kQuery: {
      const auto collection = require(in.text());
      // Each query is a message of its own, so that one can be run again.
      std::vector<std::string_view> messages;
      for (uint32_t left = in.u32(); left > 0; --left) messages.push_back(in.text());
      return write_batch(repairing(*collection, [&] { return collection->query_batch(messages, spread()); }));
    }
    case Operation::kQueryGroups: {
      const auto collection = require(in.text());
      const std::string_view message = in.text();
      return repairing(*collection, [&] {
        ByteReader query(message);
        return collection->query_groups(query);
      });
    }
    case Operation::kFacet: {
      const auto collection = require(in.text());
      return collection->facet(in);
    }
    case Operation::kCount: {
      const auto collection = require(in.text());
      out.u64(collection->count(FilterRequest::read(in)));
      break;
    }
    case Operation::kScroll: {
      const auto collection = require(in.text());
      return collection->scroll(ScrollRequest::read(in));
    }
    case Operation::kOpenScroll: {
      const auto collection = require(in.text());
      auto open = std::make_shared<OpenCursor>();
      open->cursor = collection->open_cursor(ScrollRequest::read(in));
      std::lock_guard lock(cursors_mutex_);
      if (cursors_.size() >= options_.cursors_max) throw Error(ErrorKind::kExhausted, "too many scroll streams are open");
      cursors_.emplace(next_cursor_, std::move(open));
      out.u64(next_cursor_++);
      break;
    }
    case Operation::kNextScroll: {
      const uint64_t number = in.u64();
      std::shared_ptr<OpenCursor> open;
      {
        std::lock_guard lock(cursors_mutex_);
        const auto found = cursors_.find(number);
        if (found == cursors_.end()) throw Error(ErrorKind::kNotFound, "the scroll stream is closed");
        open = found->second;
      }
      std::lock_guard busy(open->busy);
      return open->cursor->next(in.u32(), WireForm::kRetrieved);
    }
    case Operation::kCloseScroll: {
      std::shared_ptr<OpenCursor> open;
      std::lock_guard lock(cursors_mutex_);
      const auto found = cursors_.find(in.u64());
      if (found != cursors_.end()) {
        open = std::move(found->second);
        cursors_.erase(found);
      }
      break;
    }
    case Operation::kVerify: {
      const auto collection = require(in.text());
      std::string why;
      out.u8(collection->verify(why) ? 1 : 0);
      out.text(why);
      break;
    }
    case Operation::kStats:
      return stats();
    case Operation::kLargestCollections:
      return largest_collections(in);
    case Operation::kExplain: {
      const auto collection = require(in.text());
      return collection->explain(in);
    }
    case Operation::kCreateSnapshot:
      return create_snapshot(in);
    case Operation::kRestoreSnapshot:
      return restore_snapshot(in);
    case Operation::kFlush:
      store_->flush();
      if (in.left() > 0 && in.u8() != 0) store_->make_durable();
      // The number of the last write: it tells one state of a store from all others.
      out.u64(store_->db().GetLatestSequenceNumber());
      break;
    default:
      throw Error(ErrorKind::kInternal, "unknown native operation");
  }
  return std::move(out.bytes());
}

void Engine::close() {
  {
    std::lock_guard lock(idle_mutex_);
    if (closed_) return;
    closed_ = true;
  }
  closing_ = stop_optimizer_ = true;
  {
    std::shared_lock lock(names_mutex_);
    for (const auto& [name, collection] : collections_) collection->stop_builds();
  }
  store_->give_up();
  optimize_wake_.notify_all();
  if (optimizer_.joinable()) optimizer_.join();
  filler_->stop();
  cutter_->stop();
  {
    std::unique_lock lock(idle_mutex_);
    idle_.wait(lock, [this] { return in_flight_ == 0; });
  }
  archivist_.reset();
  writers_.reset();
  readers_.reset();
  {
    std::lock_guard lock(cursors_mutex_);
    cursors_.clear();
  }
  for (const auto& [name, collection] : collections_) save_state(*collection, StateMoment::kClosing);
  collections_.clear();
  try {
    store_->sync();
    store_->flush();
  } catch (const std::exception&) {
    // Everything acknowledged is in the log already; the next start replays it.
  }
  store_.reset();
  std::lock_guard lock(registry_mutex);
  registry().erase(path_);
}

}  // namespace sealpoint
