// What S5's databases bring to a host, under the sanitizers: sealed files and their blocks (core/file_cipher.h), RocksDB over them (store/cipher_env.h, store/lazy_sync.h) with many
// threads at once, and chunks of databases, whole, cut, changed and made up (seal/s5_open.h). Arguments: a seed, rounds.
#include <openssl/evp.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "../core/bytes.h"
#include "../core/file_cipher.h"
#include "../core/utf8.h"
#include "../payload/payload.h"
#include "../seal/blake3.h"
#include "../seal/s5_chunk.h"
#include "../seal/s5_open.h"
#include "../store/cipher_env.h"
#include "../store/lazy_sync.h"
#include "program.h"
#include "syncs.h"

using namespace sealpoint;
using checks::Folder;

namespace {

using Random = std::mt19937_64;

std::string bytes_of(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// --- sealed files --------------------------------------------------------------------------------------------------

// A file of blocks in memory.
struct Blocks {
  std::string file;  // as it would lie on the disk
  std::string text;
};

Blocks seal_blocks(const SealedFile& sealed, const std::string& text) {
  Blocks blocks{sealed.head(), text};
  std::vector<uint8_t> out(SealedFile::kSealedBlock);
  for (size_t at = 0, number = 0; at < text.size(); at += SealedFile::kBlock, ++number) {
    const size_t size = std::min(SealedFile::kBlock, text.size() - at);
    sealed.seal(number, text.data() + at, size, out.data());
    blocks.file.append(reinterpret_cast<const char*>(out.data()), size + SealedFile::kSealBytes);
  }
  return blocks;
}

bool read_blocks(const SealedFile& sealed, const std::string& file, uint64_t offset, size_t size, std::string& out) {
  out.assign(size, '?');
  size_t got = 0;
  const bool sound = sealed.read(
      offset, size, out.data(),
      [&](uint64_t place, size_t wanted, uint8_t* to) -> size_t {
        if (place >= file.size()) return 0;
        const size_t there = std::min<size_t>(wanted, file.size() - place);
        std::memcpy(to, file.data() + place, there);
        return there;
      },
      got);
  out.resize(sound ? got : 0);
  return sound;
}

void check_files(Random& random, int rounds) {
  const FileCipher cipher(std::string(FileCipher::kKeyBytes, 'k')), other(std::string(FileCipher::kKeyBytes, 'o'));
  for (int round = 0; round < rounds; ++round) {
    const size_t size = random() % (20 * SealedFile::kBlock);
    const SealedFile writer(cipher, "store/000001.sst");
    const Blocks blocks = seal_blocks(writer, bytes_of(random, size));
    CHECK(SealedFile::text_bytes(blocks.file.size()) == size);
    const SealedFile reader(cipher, "store/000001.sst", writer.head());
    std::string out;
    for (int i = 0; i < 30; ++i) {
      const uint64_t offset = random() % (size + 2 * SealedFile::kBlock);
      const size_t wanted = random() % (3 * SealedFile::kBlock) + 1;
      CHECK(read_blocks(reader, blocks.file, offset, wanted, out));
      CHECK(out == (offset < size ? blocks.text.substr(offset, wanted) : ""), "%zu bytes from %zu of %zu", wanted, static_cast<size_t>(offset), size);
    }
    if (size == 0) continue;
    // Under another key, by another name, of another file: nothing.
    CHECK(!read_blocks(SealedFile(other, "store/000001.sst", writer.head()), blocks.file, 0, size, out));
    CHECK(!read_blocks(SealedFile(cipher, "store/000002.sst", writer.head()), blocks.file, 0, size, out));
    CHECK(!read_blocks(SealedFile(cipher, "store/000001.sst"), blocks.file, 0, size, out));
    // A bit anywhere, two blocks in each other's places, an end inside of a block.
    std::string changed = blocks.file;
    const size_t place = SealedFile::kHeadBytes + random() % (changed.size() - SealedFile::kHeadBytes);
    changed[place] = static_cast<char>(changed[place] ^ (1 << random() % 8));
    CHECK(!read_blocks(reader, changed, 0, size, out), "a bit at %zu", place);
    if (size >= 2 * SealedFile::kBlock) {
      changed = blocks.file;
      std::swap_ranges(changed.begin() + SealedFile::place(0), changed.begin() + SealedFile::place(1), changed.begin() + SealedFile::place(1));
      CHECK(!read_blocks(reader, changed, 0, size, out));
    }
    const size_t cut = SealedFile::kHeadBytes + random() % (blocks.file.size() - SealedFile::kHeadBytes);
    if ((cut - SealedFile::kHeadBytes) % SealedFile::kSealedBlock != 0) CHECK(!read_blocks(reader, blocks.file.substr(0, cut), 0, size, out));
  }
  // One file read and sealed by many threads: contexts are shared.
  const SealedFile shared(cipher, "segments/1");
  const Blocks blocks = seal_blocks(shared, bytes_of(random, 50 * SealedFile::kBlock + 7));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, seed = random()] {
      Random own(seed);
      std::string out;
      std::vector<uint8_t> sealed(SealedFile::kSealedBlock);
      std::string text(SealedFile::kBlock, 'x'), opened(SealedFile::kBlock, '\0');
      for (int turn = 0; turn < 200; ++turn) {
        const uint64_t offset = own() % blocks.text.size();
        CHECK(read_blocks(shared, blocks.file, offset, 2000, out) && out == blocks.text.substr(offset, 2000));
        shared.seal(turn, text.data(), text.size(), sealed.data());
        CHECK(shared.open(turn, sealed.data(), sealed.size(), opened.data()) && opened == text);
        CHECK(!shared.open(turn + 1, sealed.data(), sealed.size(), opened.data()));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const size_t size : {0, 1, 31, 33}) {
    bool refused = false;
    try {
      FileCipher wrong(std::string(size, 'k'));
    } catch (const Error& error) {
      refused = error.kind() == ErrorKind::kBadInput;
    }
    CHECK(refused);
  }
}

// --- RocksDB over them ---------------------------------------------------------------------------------------------

// RocksDB would write its own log past the cipher, as store.cc says.
class Silence : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

rocksdb::Options options_over(rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  options.info_log = std::make_shared<Silence>();
  options.create_if_missing = true;
  options.enable_blob_files = true;
  options.min_blob_size = 200;
  options.write_buffer_size = 64 << 10;
  options.target_file_size_base = 32 << 10;
  options.max_background_jobs = 2;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kAbsoluteConsistency;
  return options;
}

std::string value_of(uint64_t key, uint64_t version) {
  Random random(key * 1'000'003 + version);
  return "marker " + bytes_of(random, random() % 500);
}

// What a key had at some time.
bool was_value(uint64_t key, uint64_t versions, std::string_view read) {
  for (uint64_t version = 1; version <= versions; ++version) {
    if (read == value_of(key, version)) return true;
  }
  return false;
}

// Writers, readers, iterators, flushes and compactions at once; what was written is there after each opening, and nothing of it in any file.
void check_store(Random& random, int rounds) {
  const Folder root;
  const std::string folder = root.path() + "/store";
  const auto cipher = std::make_shared<FileCipher>(bytes_of(random, FileCipher::kKeyBytes));
  constexpr uint64_t kKeys = 600;
  std::vector<uint64_t> versions(kKeys, 0);
  for (int round = 0; round < rounds; ++round) {
    LazySync lazy(nullptr);
    const auto env = make_cipher_env(cipher, lazy.env());
    if (round > 0) CHECK(read_small_files(*env, folder).ok());
    rocksdb::DB* opened = nullptr;
    const auto status = rocksdb::DB::Open(options_over(env.get()), folder, &opened);
    CHECK(status.ok(), "%s", status.ToString().c_str());
    const std::unique_ptr<rocksdb::DB> db(opened);
    std::string read;
    for (uint64_t key = 0; key < kKeys; ++key) {
      const auto got = db->Get({}, std::to_string(key), &read);
      CHECK(versions[key] == 0 ? got.IsNotFound() : got.ok() && read == value_of(key, versions[key]), "key %zu", static_cast<size_t>(key));
    }
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (uint64_t writer = 0; writer < 2; ++writer) {
      threads.emplace_back([&, writer, seed = random()] {
        Random own(seed);
        for (int turn = 0; turn < 400; ++turn) {
          const uint64_t key = own() % (kKeys / 2) * 2 + writer;
          CHECK(db->Put({}, std::to_string(key), value_of(key, ++versions[key])).ok());
          if (turn % 100 == 99) CHECK(db->Flush({}).ok());
        }
      });
    }
    for (int reader = 0; reader < 2; ++reader) {
      threads.emplace_back([&, seed = random()] {
        Random own(seed);
        std::string value;
        while (!stop) {
          const auto got = db->Get({}, std::to_string(own() % kKeys), &value);
          CHECK(got.IsNotFound() || (got.ok() && value.starts_with("marker ")), "%s", got.ToString().c_str());
          const std::unique_ptr<rocksdb::Iterator> rows(db->NewIterator({}));
          int seen = 0;
          for (rows->SeekToFirst(); rows->Valid() && seen < 50; rows->Next(), ++seen) CHECK(rows->value().starts_with("marker "));
          CHECK(rows->status().ok());
        }
      });
    }
    for (size_t i = 0; i < 2; ++i) threads[i].join();
    // In the middle of it all, as a save does.
    CHECK(db->Flush({}).ok());
    lazy.begin(folder);
    CHECK(db->CompactRange({}, nullptr, nullptr).ok());
    stop = true;
    for (size_t i = 2; i < threads.size(); ++i) threads[i].join();
    CHECK(db->Close().ok());
  }
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    CHECK(bytes.find("marker") == std::string::npos, "%s", entry.path().c_str());
    if (bytes.size() > SealedFile::kHeadBytes) files.push_back(entry.path());
  }
  CHECK(files.size() > 4);
  // A change anywhere is met before RocksDB trusts anything, or as an error of a read; never as another value.
  for (int turn = 0; turn < 12 * rounds; ++turn) {
    const Folder copies;
    const std::string copy = copies.path() + "/store";
    std::filesystem::copy(folder, copy, std::filesystem::copy_options::recursive);
    const std::string file = copy + files[random() % files.size()].substr(folder.size());
    const size_t size = std::filesystem::file_size(file);
    if (random() % 4 == 0) {
      std::filesystem::resize_file(file, random() % size);
    } else {
      std::fstream io(file, std::ios::binary | std::ios::in | std::ios::out);
      const size_t place = random() % size;
      io.seekg(static_cast<std::streamoff>(place));
      const char byte = static_cast<char>(io.get() ^ (1 << random() % 8));
      io.seekp(static_cast<std::streamoff>(place));
      io.put(byte);
    }
    const auto env = make_cipher_env(cipher, nullptr);
    if (!read_small_files(*env, copy).ok()) continue;
    auto options = options_over(env.get());
    options.create_if_missing = false;
    rocksdb::DB* opened = nullptr;
    const auto status = rocksdb::DB::OpenForReadOnly(options, copy, &opened);
    if (!status.ok()) continue;
    const std::unique_ptr<rocksdb::DB> db(opened);
    std::string read;
    for (uint64_t key = 0; key < kKeys; ++key) {
      const auto got = db->Get({}, std::to_string(key), &read);
      // A log that is cut at the end of a piece is a shorter one: `.index` names the last write (saved-index.ts).
      if (got.ok()) CHECK(was_value(key, versions[key], read), "key %zu of %s", static_cast<size_t>(key), file.c_str());
    }
  }
}

// Nothing is synced before it is asked for, though RocksDB asks; all that is there at that moment, and from then on what RocksDB asks for.
void check_lazy_sync(Random& random) {
  const Folder root;
  const std::string parent = std::filesystem::canonical(root.path());
  const std::string folder = parent + "/store";
  LazySync lazy(nullptr);
  const auto env = make_cipher_env(std::make_shared<FileCipher>(bytes_of(random, FileCipher::kKeyBytes)), lazy.env());
  checks::syncs().take();
  rocksdb::DB* opened = nullptr;
  CHECK(rocksdb::DB::Open(options_over(env.get()), folder, &opened).ok());
  const std::unique_ptr<rocksdb::DB> db(opened);
  uint64_t next = 0;
  const auto write = [&] {
    rocksdb::WriteOptions durable;
    durable.sync = true;
    for (int i = 0; i < 50; ++i, ++next) CHECK(db->Put(durable, std::to_string(next), value_of(next, 1)).ok());
  };
  write();
  CHECK(db->Flush({}).ok());
  write();
  CHECK(db->CompactRange({}, nullptr, nullptr).ok());
  write();
  for (const auto& path : checks::syncs().take()) CHECK(false, "%s was synced", path.c_str());
  std::set<std::string> there;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) there.insert(entry.path());
  CHECK(there.size() > 5);
  lazy.begin(folder);
  auto synced = checks::syncs().take();
  // RocksDB may have removed one meanwhile.
  for (const auto& path : there) CHECK(synced.contains(path) || !std::filesystem::exists(path), "%s was not synced", path.c_str());
  CHECK(synced.contains(folder) && synced.contains(parent));
  const auto some = [&](const char* ending) { return std::ranges::any_of(synced, [&](const std::string& path) { return path.ends_with(ending); }); };
  write();
  synced = checks::syncs().take();
  CHECK(some(".log"));
  CHECK(db->Flush({}).ok());
  synced = checks::syncs().take();
  CHECK(some(".sst") && some(".blob") && synced.contains(folder));
  CHECK(db->Close().ok());
}

// --- chunks --------------------------------------------------------------------------------------------------------

std::string encrypt(const std::string& key, const std::string& text, Random& random) {
  std::string file = bytes_of(random, 12);
  file.resize(12 + text.size() + 16);
  auto* at = reinterpret_cast<uint8_t*>(file.data());
  const std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int done = 0;
  CHECK(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, reinterpret_cast<const uint8_t*>(key.data()), at) == 1);
  CHECK(EVP_EncryptUpdate(context.get(), at + 12, &done, reinterpret_cast<const uint8_t*>(text.data()), static_cast<int>(text.size())) == 1);
  CHECK(EVP_EncryptFinal_ex(context.get(), at + 12 + text.size(), &done) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, 16, at + 12 + text.size()) == 1);
  return file;
}

struct Chunk {
  std::string json;
  uint32_t rows = 0;
  uint32_t dim = 0;
  std::vector<std::string> ids;
};

std::string random_value(Random& random, int depth) {
  switch (random() % (depth > 3 ? 6 : 8)) {
    case 0:
      return std::to_string(static_cast<int64_t>(random()) >> (random() % 60));
    case 1:
      return "-0.0";
    case 2:
      return std::to_string(static_cast<double>(random() % 1000) / 7) + "e-" + std::to_string(random() % 20);
    case 3:
      return R"("ä\u00e4\ud83d\ude00\n\\\"/")";
    case 4:
      return random() % 2 == 0 ? "null" : random() % 2 == 0 ? "true" : "false";
    case 5:
      return "\"" + std::string(random() % 300, 'x') + "\"";
    case 6: {
      std::string list = "[";
      for (uint64_t left = random() % 5; left > 0; --left) list += random_value(random, depth + 1) + (left > 1 ? " , " : "");
      return list + "]";
    }
    default: {
      std::string object = "{ ";
      for (uint64_t left = random() % 25; left > 0; --left) object += "\"k" + std::to_string(left) + "\":" + random_value(random, depth + 1) + (left > 1 ? "," : "");
      return object + "}";
    }
  }
}

Chunk random_chunk(Random& random) {
  Chunk chunk{"{\"chunkId\": 7, \"vectors\": [", static_cast<uint32_t>(random() % 12), static_cast<uint32_t>(1 + random() % 20), {}};
  for (uint32_t row = 0; row < chunk.rows; ++row) {
    const std::string id = random() % 3 == 0   ? std::to_string(row)
                           : random() % 2 == 0 ? "7c1e6f0a-3f0b-4d51-9d3c-5a5b8f6e00" + std::to_string(10 + row)
                                               : "name " + std::to_string(row);
    chunk.ids.push_back(id);
    chunk.json += std::string(row > 0 ? "," : "") + "{\"id\":\"" + id + "\",\"vector\":[";
    for (uint32_t d = 0; d < chunk.dim; ++d) chunk.json += (d > 0 ? "," : "") + std::to_string(static_cast<double>(row * 100 + d) / 8);
    chunk.json += "],\"metadata\":{\"a\":" + random_value(random, 1) + ",\"b\":" + random_value(random, 1) + "}}";
  }
  chunk.json += "], \"other\": " + random_value(random, 0) + "}";
  return chunk;
}

// Walks over an answer as native-chunk.ts does; whatever the file was, what was read can be stored.
void check_columns(std::string_view answer, const Chunk& chunk, const std::vector<float>& vectors, bool is_whole) {
  ByteReader in(answer.substr(2));
  for (uint32_t row = 0; row < chunk.rows; ++row) in.id();
  std::vector<uint32_t> ids{0}, metadata{0};
  for (uint32_t row = 0; row < chunk.rows; ++row) ids.push_back(in.u32());
  for (uint32_t row = 0; row < chunk.rows; ++row) metadata.push_back(in.u32());
  CHECK(in.left() == ids.back() + metadata.back());
  const char* const id_texts = in.span(ids.back());
  const char* const payloads = in.span(metadata.back());
  for (uint32_t row = 0; row < chunk.rows; ++row) {
    const std::string_view id(id_texts + ids[row], ids[row + 1] - ids[row]);
    CHECK(!id.empty() && valid_utf8(id));
    const std::string_view payload(payloads + metadata[row], metadata[row + 1] - metadata[row]);
    // Canonical as it is.
    CHECK(payload::check(payload, {}) == payload);
    for (uint32_t d = 0; d < chunk.dim; ++d) CHECK(std::isfinite(vectors[row * chunk.dim + d]));
    if (!is_whole) continue;
    CHECK(id == chunk.ids[row]);
    for (uint32_t d = 0; d < chunk.dim; ++d) CHECK(vectors[row * chunk.dim + d] == static_cast<float>(row * 100 + d) / 8);
  }
}

void check_chunks(Random& random, int rounds) {
  const std::string key = bytes_of(random, 32);
  size_t read = 0, unusual = 0, closed = 0;
  const auto open = [&](const std::string& text, const Chunk& chunk, bool is_whole) {
    std::string file = encrypt(key, text, random);
    const auto hash = blake3(file);
    const std::string right(reinterpret_cast<const char*>(hash.data()), hash.size());
    std::vector<float> vectors(static_cast<size_t>(chunk.rows) * chunk.dim);
    S5ChunkTask task{7, chunk.dim, chunk.rows, random() % 2 == 0, random() % 2 == 0 ? std::string_view() : right, key};
    const WipedText answer = open_s5_chunk(reinterpret_cast<uint8_t*>(file.data()), file.size(), task, vectors.data());
    CHECK(answer.size() >= 2 && answer[1] == 0);
    CHECK(answer[0] == 1 || answer[0] == 2, "it opens under its key");
    (answer[0] == 2 ? read : unusual)++;
    CHECK(!is_whole || answer[0] == 2, "%s", text.c_str());
    if (answer[0] == 2) {
      check_columns(answer, chunk, vectors, is_whole);
      CHECK(file == std::string(file.size(), '\0'), "a file that was read is overwritten");
    } else {
      CHECK(file.substr(12, text.size()) == text, "what is left is the text");
    }
  };
  for (int round = 0; round < rounds; ++round) {
    const Chunk chunk = random_chunk(random);
    open(chunk.json, chunk, true);
    for (int i = 0; i < 20; ++i) {
      std::string text = chunk.json;
      const size_t at = random() % text.size();
      switch (random() % 5) {
        case 0:
          text.resize(at);
          break;
        case 1:
          text[at] = static_cast<char>(random());
          break;
        case 2:
          text[at] = "{}[]\":,\\u0-e.\x01\xff"[random() % 16];
          break;
        case 3:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
          break;
        default:
          text.erase(at, random() % 10);
      }
      open(text, chunk, false);
    }
    // Under another key, cut, or with a bit changed, nothing opens and nothing is left of it.
    std::string file = encrypt(key, chunk.json, random);
    std::vector<float> vectors(static_cast<size_t>(chunk.rows) * chunk.dim);
    const std::string wrong = bytes_of(random, 32);
    const bool other_key = random() % 2 == 0;
    if (other_key) {
      file.resize(random() % 3 == 0 ? random() % file.size() : file.size());
    } else {
      const size_t at = random() % file.size();
      file[at] = static_cast<char>(file[at] ^ (1 << random() % 8));
    }
    S5ChunkTask task{7, chunk.dim, chunk.rows, false, wrong, other_key ? wrong : key};
    const WipedText answer = open_s5_chunk(reinterpret_cast<uint8_t*>(file.data()), file.size(), task, vectors.data());
    CHECK(answer[0] == 0 && answer[1] == 1 && answer.size() == 2);
    ++closed;
  }
  // Nothing but brackets: the depth is bounded.
  const std::string deep = "{\"chunkId\":7,\"vectors\":[],\"x\":" + std::string(200'000, '[');
  open(deep, {deep, 0, 1, {}}, false);
  std::printf("chunks: %zu read, %zu unusual, %zu closed\n", read, unusual, closed);
  CHECK(read > static_cast<size_t>(rounds) && unusual > static_cast<size_t>(rounds));
  // Chunks of one load are opened by several threads.
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&key, seed = random()] {
      Random own(seed);
      for (int turn = 0; turn < 20; ++turn) {
        const Chunk chunk = random_chunk(own);
        std::string file = encrypt(key, chunk.json, own);
        std::vector<float> vectors(static_cast<size_t>(chunk.rows) * chunk.dim);
        S5ChunkTask task{7, chunk.dim, chunk.rows, true, {}, key};
        const WipedText answer = open_s5_chunk(reinterpret_cast<uint8_t*>(file.data()), file.size(), task, vectors.data());
        CHECK(answer[0] == 2);
        check_columns(answer, chunk, vectors, true);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  Random random(checks::take_seed(argc, argv));
  const int rounds = checks::take_number(argc, argv, 2, 3);
  check_files(random, 10 * rounds);
  check_store(random, rounds);
  check_lazy_sync(random);
  check_chunks(random, 40 * rounds);
  std::printf("s5_check: passed\n");
  checks::find_leaks_now();
  return 0;
}
