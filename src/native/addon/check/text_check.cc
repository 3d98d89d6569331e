// Checks of tokenizers, BM25's vectors and the sparse index against plain models. Argument: a seed.
#include <cmath>
#include <map>

#include "../sparse/sparse_index.h"
#include "../text/bm25.h"
#include "payload_random.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::check;
using Strings = std::vector<std::string>;

Strings document(text::TokenizerOptions options, std::string_view words) {
  Strings out;
  text::Tokenizer(std::move(options)).document(words, [&](std::string_view token) { out.emplace_back(token); });
  return out;
}

Strings query(text::TokenizerOptions options, std::string_view words) {
  Strings out;
  text::Tokenizer(std::move(options)).query(words, [&](std::string_view token) { out.emplace_back(token); });
  return out;
}

void test_tokens() {
  using text::TokenizerKind;
  CHECK((document({}, "hello, world! Привет, МИР! x_y") == Strings{"hello", "world", "привет", "мир", "x", "y"}));
  CHECK((document({.lowercase = false}, "Hello") == Strings{"Hello"}));
  CHECK(document({}, "").empty() && document({}, " ,;\xff").empty());
  CHECK((document({}, "a\xff" "b") == Strings{"a", "b"}));
  CHECK((document({.kind = TokenizerKind::kWhitespace}, "a,b\xc2\xa0" "C\xe3\x80\x80" "d") == Strings{"a,b", "c", "d"}));
  CHECK((document({.kind = TokenizerKind::kPrefix, .max_length = 4}, "hello, мир!") == Strings{"h", "he", "hel", "hell", "м", "ми", "мир"}));
  CHECK((query({.kind = TokenizerKind::kPrefix, .max_length = 4}, "hello, мир!") == Strings{"hell", "мир"}));
  CHECK((document({.min_length = 2, .max_length = 3}, "a ab abc abcd éé ééééé") == Strings{"ab", "abc", "éé"}));
  CHECK((document({.stopwords = {"The"}}, "the THE cat") == Strings{"cat"}));
  CHECK((document({.stopwords = *text::stopwords_of("english"), .stemmer = "english"}, "The cats are running") == Strings{"cat", "run"}));
  CHECK((document({.ascii_folding = true}, "Ação ﬁn Straße Łódź 日本") == Strings{"acao", "fin", "strasse", "lodz", "日本"}));
  CHECK(text::fold_to_ascii("“Æ” ½ ① ﬃ Ɓ € ж") == "\"AE\" ½ 1 ffi B € ж");
  CHECK((document({.kind = TokenizerKind::kMultilingual}, "It's Ünïcödé, Æther 42 a1 Ёлка ΚΟΣΜΟΣ مدرسة") ==
         Strings{"it", "s", "unicode", "aether", "a1", "е\xcc\x88лка", "κοσμοσ", "مدرسه"}));
  CHECK((document({.kind = TokenizerKind::kMultilingual, .min_length = 2}, "今天 x Qdrantの本") == Strings{"今", "天", "qdrant", "の", "本"}));
  CHECK((document({.kind = TokenizerKind::kMultilingual, .stopwords = {"是"}}, "今天是。") == Strings{"今", "天"}));
  // The Arabic article is a word of its own, also with other alefs; not behind another letter, nor where a mark stands in it.
  CHECK((document({.kind = TokenizerKind::kMultilingual}, "الكلب ألم والكلب اَلكلب الْبيت ال") ==
         Strings{"ال", "كلب", "ال", "م", "والكلب", "الكلب", "ال", "بيت", "ال"}));
  for (const char* language : {"arabic", "azerbaijani", "basque", "bengali", "catalan", "chinese", "danish", "dutch", "english", "finnish", "french",
                               "german", "greek", "hebrew", "hinglish", "hungarian", "indonesian", "italian", "japanese", "kazakh", "nepali",
                               "norwegian", "portuguese", "romanian", "russian", "slovene", "spanish", "swedish", "tajik", "turkish"}) {
    const auto* words = text::stopwords_of(language);
    CHECK(words != nullptr && words->size() > 50);
    CHECK(std::none_of(words->begin(), words->end(), [](const std::string& word) { return word.empty() || word.find(' ') != std::string::npos; }));
  }
  CHECK((document({.stopwords = *text::stopwords_of("german")}, "Der Hund und die Katze") == Strings{"hund", "katze"}));
  CHECK((document({}, "ΟΔΟΣ ΣΑΣ İ") == Strings{"οδος", "σας", "i\xcc\x87"}));
  CHECK(text::is_stemmer("german") && !text::is_stemmer("klingon") && !text::is_stemmer(""));
  CHECK(text::stopwords_of("klingon") == nullptr);
  CHECK(text::stopword_language("jp") == "japanese" && text::stopword_language("tamil").empty() && text::stopword_language("English").empty());
  CHECK(text::stemmer_language("ta") == "tamil" && text::stemmer_language("japanese").empty() && text::stemmer_language("").empty());
  for (const char* language : {"ar", "hy", "da", "nl", "en", "fi", "fr", "de", "el", "hu", "it", "no", "pt", "ro", "ru", "es", "sv", "ta", "tr"}) {
    CHECK(text::is_stemmer(text::stemmer_language(language)));
  }
}

void test_bm25() {
  // Published values of MurmurHash3_x86_32 with seed 0: 0x248bfa47 of "hello", 0x149bbb7f of "hello, world".
  CHECK(text::term_of("hello") == 0x248bfa47 && text::term_of("hello, world") == 0x149bbb7f && text::term_of("") == 0);
  // 0xb3dd93fa of "abc" is negative.
  CHECK(text::term_of("abc") == 0u - 0xb3dd93fau);
  const text::Tokenizer tokenizer({});
  const text::Terms terms = text::bm25_document(tokenizer, {}, "hello hello abc");
  CHECK(terms.size() == 2 && terms[0].first < terms[1].first);
  for (const auto& [term, weight] : terms) {
    const double count = term == text::term_of("hello") ? 2 : 1;
    CHECK(std::abs(weight - count * 2.2 / (count + 1.2 * (0.25 + 0.75 * 3 / 256))) < 1e-6);
  }
  const text::Terms asked = text::bm25_query(tokenizer, "abc hello ABC");
  CHECK(asked.size() == 2 && asked[0].second == 1 && asked[1].second == 1);
  CHECK(text::bm25_document(tokenizer, {}, "...").empty() && text::bm25_query(tokenizer, "").empty());
}

// Random upserts, removals and searches against a map.
void test_sparse(std::mt19937_64& random) {
  SparseIndex index;
  std::map<uint32_t, std::map<uint32_t, float>> model;
  const auto vector = [&](size_t most) {
    std::map<uint32_t, float> out;
    for (size_t i = random() % (most + 1); i > 0; --i) out[random() % 40] = static_cast<float>(static_cast<int>(random() % 17) - 4);
    return out;
  };
  std::vector<uint32_t> indices;
  std::vector<float> values;
  const auto view = [&](const std::map<uint32_t, float>& from) {
    indices.clear(), values.clear();
    for (const auto& [i, value] : from) indices.push_back(i), values.push_back(value);
    return SparseView{indices.data(), values.data(), indices.size()};
  };
  for (int step = 0; step < 6000; ++step) {
    const uint32_t slot = random() % 300;
    if (random() % 3 == 0) {
      index.remove(slot), model.erase(slot);
    } else {
      model[slot] = vector(12);
      index.upsert(slot, view(model[slot]));
    }
    if (step % 20 != 0) continue;
    CHECK(index.live() == model.size());
    Bitset allowed;
    size_t allowed_count = 0;
    const size_t one_in = 1 + random() % 30;
    const bool filtered = random() % 2 == 0;
    for (const auto& [at, stored] : model) {
      if (random() % one_in == 0) allowed.set(at), ++allowed_count;
    }
    const auto asked = vector(6);
    std::vector<std::pair<float, uint32_t>> truth;
    std::map<uint32_t, size_t> frequency;
    for (const auto& [at, stored] : model) {
      if (filtered && !allowed.test(at)) continue;
      float sum = 0;
      bool overlap = false;
      for (const auto& [i, value] : stored) {
        ++frequency[i];
        if (asked.contains(i)) sum += asked.at(i) * value, overlap = true;
      }
      if (overlap) truth.emplace_back(-sum, at);
    }
    std::sort(truth.begin(), truth.end());
    const size_t k = 1 + random() % 20;
    if (truth.size() > k) truth.resize(k);
    const auto hits = index.search(view(asked), k, filtered ? &allowed : nullptr, allowed_count);
    bool same = hits.size() == truth.size();
    for (size_t i = 0; same && i < hits.size(); ++i) same = hits[i].slot == truth[i].second && hits[i].score == -truth[i].first;
    CHECK(same);
    for (uint32_t i = 0; i < 40; ++i) CHECK(index.document_frequency(i, filtered ? &allowed : nullptr) == frequency[i]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t seed = checks::take_seed(argc, argv);
  std::mt19937_64 random(seed);
  test_tokens();
  test_bm25();
  test_sparse(random);
  std::printf("text and sparse: ok\n");
  return 0;
}
