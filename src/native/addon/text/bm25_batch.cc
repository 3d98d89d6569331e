#include "bm25_batch.h"

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "../core/bytes.h"
#include "bm25.h"

namespace sealpoint::text {

namespace {

// Settings of which the tokenizer is kept, since its stop words are a set to build; and the bytes of the greatest that are worth it.
constexpr size_t kKeptMax = 64;
constexpr size_t kKeptBytesMax = 16 * 1024;

bool is_tokenizer(uint8_t kind) { return kind <= static_cast<uint8_t>(TokenizerKind::kPrefix); }

struct Settings {
  Bm25Options options;
  Tokenizer tokenizer;
};

std::shared_ptr<const Settings> read_settings(std::string_view bytes) {
  ByteReader in(bytes);
  Bm25Options options;
  options.k = in.f64();
  options.b = in.f64();
  options.average_length = in.f64();
  TokenizerOptions tokenizer;
  const uint8_t kind = in.u8();
  if (!is_tokenizer(kind)) throw Error(ErrorKind::kBadInput, "this server has no such tokenizer", "tokenizer");
  tokenizer.kind = static_cast<TokenizerKind>(kind);
  const uint8_t flags = in.u8();
  tokenizer.lowercase = (flags & 1) != 0;
  tokenizer.ascii_folding = (flags & 2) != 0;
  const uint32_t least = in.u32(), greatest = in.u32();
  if ((flags & 4) != 0) tokenizer.min_length = least;
  if ((flags & 8) != 0) tokenizer.max_length = greatest;
  tokenizer.stemmer = in.text();
  if (!tokenizer.stemmer.empty() && !is_stemmer(tokenizer.stemmer)) {
    throw Error(ErrorKind::kBadInput, "this server has no stemmer for " + tokenizer.stemmer, "stemmer");
  }
  for (uint32_t n = in.u32(); n > 0; --n) {
    const std::string language(in.text());
    const std::vector<std::string>* words = stopwords_of(language);
    if (words == nullptr) throw Error(ErrorKind::kBadInput, "this server has no stop words of " + language, "stopwords");
    tokenizer.stopwords.insert(tokenizer.stopwords.end(), words->begin(), words->end());
  }
  for (uint32_t n = in.u32(); n > 0; --n) tokenizer.stopwords.emplace_back(in.text());
  return std::make_shared<const Settings>(Settings{options, Tokenizer(std::move(tokenizer))});
}

// The last used settings, the newest first.
class Kept {
 public:
  std::shared_ptr<const Settings> get(std::string_view bytes) {
    if (bytes.size() > kKeptBytesMax) return read_settings(bytes);
    {
      std::lock_guard lock(mutex_);
      const auto found = places_.find(std::string(bytes));
      if (found != places_.end()) {
        entries_.splice(entries_.begin(), entries_, found->second);
        return found->second->second;
      }
    }
    auto made = read_settings(bytes);
    std::lock_guard lock(mutex_);
    if (places_.contains(std::string(bytes))) return made;
    entries_.emplace_front(bytes, made);
    places_[entries_.front().first] = entries_.begin();
    if (entries_.size() > kKeptMax) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return made;
  }

 private:
  using Entries = std::list<std::pair<std::string, std::shared_ptr<const Settings>>>;
  std::mutex mutex_;
  Entries entries_;
  std::unordered_map<std::string, Entries::iterator> places_;
};

}  // namespace

std::string bm25_batch(std::string_view message) {
  static Kept kept;
  ByteReader in(message);
  const bool queries = in.u8() != 0;
  std::vector<std::shared_ptr<const Settings>> settings;
  for (uint32_t n = in.u32(); n > 0; --n) settings.push_back(kept.get(in.text()));
  ByteWriter out;
  for (uint32_t n = in.u32(); n > 0; --n) {
    const uint32_t place = in.u32();
    if (place >= settings.size()) throw Error(ErrorKind::kInternal, "a text names settings that are not there");
    const Settings& of = *settings[place];
    const std::string_view text = in.text();
    const Terms terms = queries ? bm25_query(of.tokenizer, text) : bm25_document(of.tokenizer, of.options, text);
    out.u32(static_cast<uint32_t>(terms.size()));
    for (const auto& [term, weight] : terms) out.u32(term);
    for (const auto& [term, weight] : terms) out.f32(weight);
  }
  return std::move(out.bytes());
}

}  // namespace sealpoint::text
