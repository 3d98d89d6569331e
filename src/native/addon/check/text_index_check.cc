// Checks of text indexes: plans against the judging of payloads, under inserts and erases and with parameters of every kind, and of the JSON
// in which parameters are kept. Argument: a seed.
#include "../core/json.h"
#include "../filter/text_field.h"
#include "payload_random.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::check;
namespace pl = sealpoint::payload;

const std::vector<std::string> kWords = {"quick", "Quick", "brown", "the", "The", "fox", "foxes", "running", "runs", "run", "Über", "naïve", "a", "b", "今天", "мир"};

std::string random_text(Random& random, uint64_t most) {
  std::string out;
  for (uint64_t left = random.below(most + 1); left > 0; --left) out += random.pick(kWords) + (random.one_in(4) ? ", " : " ");
  return out;
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

std::string random_value_json(Random& random) {
  if (random.one_in(6)) return random.one_in(2) ? "null" : "7";
  if (!random.one_in(3)) return quoted(random_text(random, 6));
  std::string out = "[";
  for (uint64_t left = random.below(4); left > 0; --left) out += (out.size() > 1 ? "," : "") + (random.one_in(5) ? std::string("1") : quoted(random_text(random, 4)));
  return out + "]";
}

std::string random_payload_json(Random& random) {
  std::string out = "{\"t\":" + random_value_json(random) + ",\"n\":[";
  const uint64_t count = random.below(4);
  for (uint64_t i = 0; i < count; ++i) out += (i > 0 ? ",{\"t\":" : "{\"t\":") + random_value_json(random) + "}";
  return out + "]}";
}

std::string random_params(Random& random) {
  if (random.one_in(5)) return "";
  static const std::vector<std::string> tokenizers = {"Word", "Whitespace", "Prefix", "Multilingual"};
  std::string out = "{\"textIndexParams\":{\"tokenizer\":" + quoted(random.pick(tokenizers));
  if (random.one_in(2)) out += ",\"phraseMatching\":true";
  if (random.one_in(3)) out += ",\"lowercase\":false";
  if (random.one_in(3)) out += ",\"asciiFolding\":true";
  if (random.one_in(3)) out += ",\"minTokenLen\":\"2\"";
  if (random.one_in(3)) out += ",\"maxTokenLen\":\"4\"";
  if (random.one_in(3)) out += ",\"stopwords\":{\"languages\":[\"english\"],\"custom\":[\"Fox\"]}";
  if (random.one_in(3)) out += ",\"stemmer\":{\"snowball\":{\"language\":\"english\"}}";
  return out + "}}";
}

std::string random_text_condition(Random& random, int depth) {
  const uint64_t kind = random.below(depth > 0 ? 6 : 4);
  if (kind == 4) {
    return condition(Kind::kNested, "n", [&](ByteWriter& out) {
      const bool without = random.one_in(3);
      put_filter(out, without ? std::vector<std::string>{} : std::vector{random_text_condition(random, depth - 1)}, {},
                 without ? std::vector{random_text_condition(random, depth - 1)} : std::vector<std::string>{});
    });
  }
  if (kind == 5) return condition(Kind::kIsEmpty, "t", [](ByteWriter&) {});
  const Kind kinds[] = {Kind::kMatchText, Kind::kMatchTextAny, Kind::kMatchPhrase, Kind::kMatchPrefix};
  return condition(kinds[kind], random.one_in(2) ? "t" : "n[].t", [&](ByteWriter& out) {
    std::string text = random_text(random, 3);
    if (kinds[kind] == Kind::kMatchPrefix) text.resize(std::min<size_t>(text.size(), 3));
    out.text(text);
  });
}

void test_plans(Random& random, int rounds) {
  size_t exact = 0, some = 0, plans = 0;
  for (int round = 0; round < rounds; ++round) {
    const uint32_t slots = 1 + static_cast<uint32_t>(random.below(60));
    const auto indexes = PayloadIndexes::create();
    Context context;
    context.indexes = indexes.get();
    std::map<uint32_t, std::string> points;
    for (uint32_t i = 0; i < slots; ++i) context.ids.push_back(PointId::number(i));
    for (const char* field : {"t", "n[].t"}) {
      if (random.one_in(5)) continue;
      const bool keyword = random.one_in(4);
      indexes->add_index(field, keyword ? FieldType::kKeyword : FieldType::kText, keyword ? R"({"keywordIndexParams":{"prefix":{}}})" : random_params(random));
    }
    for (uint32_t step = 0; step < slots * 2; ++step) {
      const uint32_t slot = static_cast<uint32_t>(random.below(slots));
      if (const auto at = points.find(slot); at != points.end()) {
        indexes->erase(slot, at->second);
        points.erase(at);
        context.live_slots.reset(slot);
        if (random.one_in(3)) continue;
      }
      points[slot] = P(random_payload_json(random));
      indexes->insert(slot, points[slot]);
      context.live_slots.set(slot);
    }
    for (int i = 0; i < 20; ++i) {
      std::vector<std::string> must, without;
      for (uint64_t left = 1 + random.below(2); left > 0; --left) must.push_back(random_text_condition(random, 1));
      if (random.one_in(3)) without.push_back(random_text_condition(random, 1));
      const auto filter = Filter::decode(program(must, std::vector<std::string>{}, without));
      const FilterPlan plan = indexes->plan(*filter, context);
      ++plans;
      exact += plan.exact ? 1 : 0;
      size_t matching = 0;
      for (const auto& [slot, payload] : points) {
        const bool truth = filter->matches({context.ids[slot], slot, payload}, context);
        matching += truth ? 1 : 0;
        const bool planned = plan.slots.test(slot);
        CHECK(plan.exact ? planned == truth : planned || !truth);
      }
      CHECK(plan.count == plan.slots.count() && plan.count >= matching);
      some += matching > 0 && matching < points.size() ? 1 : 0;
    }
    for (const auto& [slot, payload] : points) indexes->erase(slot, payload);
    for (const auto& info : indexes->infos()) CHECK(info.points == 0);
  }
  std::printf("plans: %zu, exact %zu, of some points %zu\n", plans, exact, some);
  CHECK(exact > plans / 5 && some > plans / 5);
}

// What an emptied index still holds does not grow with what went through it.
void test_no_leak() {
  const auto indexes = PayloadIndexes::create();
  indexes->add_index("t", FieldType::kText, R"({"textIndexParams":{"tokenizer":"Word","phraseMatching":true}})");
  uint64_t after = 0;
  for (int round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < 2000; ++i) {
      const std::string payload = P("{\"t\":\"word" + std::to_string(round * 2000 + i) + " of many\"}");
      indexes->insert(0, payload);
      indexes->erase(0, payload);
    }
    const uint64_t bytes = indexes->infos()[0].bytes;
    if (round == 0) after = bytes;
    CHECK(bytes == after && bytes < 4096);
  }
}

// A phrase longer than a machine word, and one that overlaps itself.
void test_phrases() {
  const filter::TextField field(R"({"textIndexParams":{"tokenizer":"Word","phraseMatching":true}})");
  const auto holds = [&](const std::string& phrase, const std::string& text) {
    return filter::TextCheck(field, filter::TextMatch::kPhrase, field.query(phrase)).take(text);
  };
  CHECK(holds("a b a b c", "a b a b a b c") && !holds("a b a b c", "a b a b a c"));
  std::string phrase, text = "a ";
  for (int i = 0; i < 150; ++i) phrase += i % 7 == 0 ? "b " : "a ";
  text += phrase;
  CHECK(holds(phrase, text) && !holds(phrase, phrase.substr(2)) && holds(phrase.substr(2), phrase) && !holds(phrase + "z", text));
  CHECK(!holds("", "a") && !holds("a", "") && holds("B", "a, b!"));
}

void test_json() {
  const sealpoint::Json json = sealpoint::Json::parse(R"( {"a":{"b":[true,"x\u0041\ud83d\ude00\n"],"c":-1.5e3},"d":null} )");
  const sealpoint::Json* a = json.find("a");
  CHECK(a != nullptr && a->find("b")->items().size() == 2 && a->find("b")->items()[0].is_true());
  CHECK(a->find("b")->items()[1].text() == "xA😀\n" && a->find("c")->text() == "-1.5e3" && json.find("e") == nullptr);
  for (const char* bad : {"", "{", "{\"a\"}", "[1,]", "\"a", "\"\\u12\"", "{} x", "{\"a\":}", "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"}) {
    bool refused = false;
    try {
      sealpoint::Json::parse(bad);
    } catch (const Error& error) {
      refused = error.kind() == ErrorKind::kBadInput;
    }
    CHECK(refused);
  }
  for (const char* bad : {R"({"textIndexParams":{"stopwords":{"languages":["klingon"]}}})", R"({"textIndexParams":{"stemmer":{"snowball":{"language":"hebrew"}}}})"}) {
    bool refused = false;
    try {
      filter::TextField field{std::string(bad)};
    } catch (const Error&) {
      refused = true;
    }
    CHECK(refused);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Random random(checks::take_seed(argc, argv));
  test_json();
  test_phrases();
  test_no_leak();
  test_plans(random, 150);
  return report();
}
