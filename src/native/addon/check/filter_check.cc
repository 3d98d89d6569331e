// Checks of filter/: unit cases, plans against brute force, mutated bytes, committed cases.
//
//   g++ -std=c++20 -O1 -g -fsanitize=address,undefined check/filter_check.cc payload/*.cc filter/*.cc -o
//   /tmp/filter_check
//
// to be run in src/native/addon. Arguments: [seed [cases]], the cases being test/filter/oracle-cases.jsonl, or `bench`.
#include <chrono>
#include <fstream>

#include "../filter/datetime.h"
#include "payload_random.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::check;

void test_datetime() {
  const auto micros = [](const char* text) {
    int64_t value = -1;
    return filter::parse_datetime(text, value) ? value : std::numeric_limits<int64_t>::min();
  };
  const int64_t none = std::numeric_limits<int64_t>::min();
  CHECK(micros("1970-01-01T00:00:00Z") == 0);
  CHECK(micros("1970-01-01") == 0);
  CHECK(micros("2023-02-08T10:49:00Z") == 1675853340000000);
  CHECK(micros("2023-02-08 10:49:00") == 1675853340000000);
  CHECK(micros("2023-02-08 10:49") == 1675853340000000);
  CHECK(micros("2023-02-08T11:49:00.5+01:00") == 1675853340500000);
  CHECK(micros("2023-02-08T11:49:00+0100") == 1675853340000000);
  CHECK(micros("2023-02-08T11:49:00+01") == 1675853340000000);
  CHECK(micros("2023-02-08t10:49:00.1234567z") == 1675853340123456);
  CHECK(micros("2023-02-08 10:49:00 UTC") == 1675853340000000);
  CHECK(micros("1969-12-31T23:59:59.999999Z") == -1);
  CHECK(micros("2000-02-29") == 951782400000000);
  for (const char* text : {"", "2023", "2023-02", "2023-02-29", "2023-13-01", "2023-02-08T", "2023-02-08T24:00:00Z",
                           "2023-02-08T10", "2023-02-08T10:49Z", "2023-02-08T10:49:00X", "2023-02-08T10:49:00.Z",
                           "x2023-02-08", "2023-02-08 ", "2023-02-08T10:49:00+25:00", "1675853340"}) {
    CHECK(micros(text) == none);
  }
}

void test_filters() {
  const auto keyword = [](std::string_view key, std::string_view value) {
    return condition(Kind::kMatchKeyword, key, [&](ByteWriter& out) { out.text(value); });
  };
  const auto count = [](std::string_view key, uint8_t flags, uint64_t value) {
    return condition(Kind::kValuesCount, key, [&](ByteWriter& out) { out.u8(flags), out.u64(value); });
  };
  const auto bare = [](Kind kind, std::string_view key) { return condition(kind, key, [](ByteWriter&) {}); };
  const auto except = [](std::string_view key, std::string_view value) {
    return condition(Kind::kExceptKeywords, key, [&](ByteWriter& out) { out.u32(1), out.text(value); });
  };
  const auto holds = [](std::string_view json, const std::string& condition) {
    return matches(P(json), program(std::vector<std::string>{condition}));
  };
  using List = std::vector<std::string>;
  const std::string yes = keyword("k", "y"), no = keyword("k", "n");
  const std::string point = P(R"({"k":"y"})");
  CHECK(matches(point, program(List{})));
  CHECK(matches(point, program(List{yes}, List{}, List{no})));
  CHECK(!matches(point, program(List{}, List{no})));
  CHECK(matches(point, program(List{}, List{no, yes})));
  CHECK(!matches(point, program(List{}, List{}, List{yes})));
  CHECK(matches(point, program(List{}, List{}, List{}, 1, List{no, yes})));
  CHECK(!matches(point, program(List{}, List{}, List{}, 2, List{no, yes})));
  CHECK(matches(point, program(List{}, List{}, List{}, 0, List{})));
  CHECK(!matches(point, program(List{}, List{}, List{}, 1, List{})));

  CHECK(holds(R"({"a":["x","y"]})", keyword("a", "y")));
  CHECK(holds(R"({"a":["x","y"]})", keyword("a[]", "y")));
  CHECK(holds(R"({"a":["x","y"]})", keyword("a[1]", "y")));
  CHECK(!holds(R"({"a":["x","y"]})", keyword("a[0]", "y")));
  CHECK(!holds(R"({"a":[["y"]]})", keyword("a", "y")));
  CHECK(!holds(R"({"a":[{"b":"y"}]})", keyword("a.b", "y")));
  CHECK(holds(R"({"a":[{"b":"y"}]})", keyword("a[].b", "y")));
  CHECK(holds(R"({"a":[{"b":["x","y"]}]})", keyword("a[].b", "y")));
  CHECK(!holds(R"({"a":"y"})", except("a", "y")));
  CHECK(holds(R"({"a":["x","y"]})", except("a", "y")));
  CHECK(!holds(R"({"b":1})", except("a", "y")));
  CHECK(!holds(R"({"a":null})", except("a", "y")));
  CHECK(!holds(R"({"a":[]})", except("a", "y")));
  CHECK(holds(R"({"a":5})", except("a", "y")));

  CHECK(holds(R"({})", bare(Kind::kIsEmpty, "a")));
  CHECK(holds(R"({"a":null})", bare(Kind::kIsEmpty, "a")));
  CHECK(holds(R"({"a":[]})", bare(Kind::kIsEmpty, "a")));
  CHECK(!holds(R"({"a":[null]})", bare(Kind::kIsEmpty, "a")));
  CHECK(!holds(R"({"a":{}})", bare(Kind::kIsEmpty, "a")));
  CHECK(holds(R"({"a":null})", bare(Kind::kIsNull, "a")));
  CHECK(holds(R"({"a":[1,null]})", bare(Kind::kIsNull, "a")));
  CHECK(!holds(R"({"a":[[null]]})", bare(Kind::kIsNull, "a")));
  CHECK(!holds(R"({})", bare(Kind::kIsNull, "a")));
  CHECK(holds(R"({})", count("a", 2, 0)));  // lte 0
  CHECK(holds(R"({"a":null})", count("a", 2, 0)));
  CHECK(holds(R"({"a":7})", count("a", 8, 1)));  // gte 1
  CHECK(holds(R"({"a":[1,2]})", count("a", 4, 1)));
  CHECK(!holds(R"({"a":[]})", count("a", 4, 0)));
  CHECK(holds(R"({"a":[{"b":[1]},{"b":[1,2]}]})", count("a[].b", 8, 2)));

  const auto integer = [](std::string_view key, int64_t value) {
    return condition(Kind::kMatchInteger, key, [&](ByteWriter& out) { out.put(value); });
  };
  const auto range = [](std::string_view key, uint8_t flags, double value) {
    return condition(Kind::kRange, key, [&](ByteWriter& out) { out.u8(flags), out.f64(value); });
  };
  CHECK(holds(R"({"a":5})", integer("a", 5)));
  CHECK(!holds(R"({"a":5.0})", integer("a", 5)));
  CHECK(!holds(R"({"a":true})", integer("a", 1)));
  CHECK(holds(R"({"a":5})", range("a", 8, 5)));
  CHECK(holds(R"({"a":[1,5.5]})", range("a", 4, 5)));
  CHECK(!holds(R"({"a":"5"})", range("a", 8, 5)));
  CHECK(!holds(R"({"a":5})", range("a", 1, 5)));

  ByteWriter inner;
  put_filter(inner, List{keyword("b", "x"), integer("c", 1)});
  const auto nested = [&](std::string_view key, const std::string& filter) {
    return condition(Kind::kNested, key, [&](ByteWriter& out) { out.raw(filter.data(), filter.size()); });
  };
  CHECK(holds(R"({"a":[{"b":"x","c":1}]})", nested("a", inner.bytes())));
  CHECK(holds(R"({"a":[{"b":"x","c":1}]})", nested("a[]", inner.bytes())));
  CHECK(!holds(R"({"a":[{"b":"x","c":2},{"b":"y","c":1}]})", nested("a", inner.bytes())));
  CHECK(!holds(R"({"a":{"b":"x","c":1}})", nested("a", inner.bytes())));
  ByteWriter any;
  put_filter(any, List{});
  CHECK(!holds(R"({"a":[1,2]})", nested("a", any.bytes())));
  CHECK(holds(R"({"a":[1,{}]})", nested("a", any.bytes())));

  const auto box = [](double l, double t, double r, double b) {
    return condition(Kind::kGeoBox, "g", [&](ByteWriter& out) { out.f64(l), out.f64(t), out.f64(r), out.f64(b); });
  };
  CHECK(holds(R"({"g":{"lon":13.4,"lat":52.5}})", box(13, 53, 14, 52)));
  CHECK(holds(R"({"g":[{"lon":0,"lat":0},{"lon":13.4,"lat":52.5}]})", box(13, 53, 14, 52)));
  CHECK(!holds(R"({"g":{"lon":13,"lat":52.5}})", box(13, 53, 14, 52)));
  CHECK(holds(R"({"g":{"lon":179.5,"lat":0}})", box(170, 1, -170, -1)));
  CHECK(holds(R"({"g":{"lon":-179.5,"lat":0}})", box(170, 1, -170, -1)));
  CHECK(!holds(R"({"g":{"lon":0,"lat":0}})", box(170, 1, -170, -1)));
  CHECK(!holds(R"({"g":{"lon":"0","lat":0}})", box(-1, 1, 1, -1)));
  const auto radius = [](double lon, double lat, double metres) {
    return condition(Kind::kGeoRadius, "g", [&](ByteWriter& out) { out.f64(lon), out.f64(lat), out.f64(metres); });
  };
  CHECK(holds(R"({"g":{"lon":13.4050,"lat":52.5200}})", radius(37.6173, 55.7558, 1650000)));
  CHECK(!holds(R"({"g":{"lon":13.4050,"lat":52.5200}})", radius(37.6173, 55.7558, 1600000)));
  CHECK(holds(R"({"g":{"lon":-179.99,"lat":0.0}})", radius(179.99, 0, 3000)));

  const std::string deep_start = program(List{keyword("k", "y")});
  CHECK(error_of([&] { Filter::decode(deep_start + "x"); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { Filter::decode(program(List{keyword("a..b", "y")})); }) == ErrorKind::kBadInput);
  const auto deep = [&](int levels) {
    std::string filter = inner.bytes();
    for (int i = 1; i < levels; ++i) {
      ByteWriter next;
      put_filter(next,
                 List{condition(Kind::kFilter, "", [&](ByteWriter& out) { out.raw(filter.data(), filter.size()); })});
      filter = next.bytes();
    }
    return '\x01' + filter;
  };
  Filter::decode(deep(32));
  CHECK(error_of([&] { Filter::decode(deep(33)); }) == ErrorKind::kBadInput);
}

// Plans through random indexes against matches() on every point, while points come, change and go.
void test_plans(Random& random, int rounds) {
  size_t exact = 0, narrowed = 0, plans = 0, with_temporary = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto indexes = PayloadIndexes::create();
    Context context;
    context.indexes = indexes.get();
    std::map<uint32_t, std::string> points;
    const uint32_t slots = 1 + static_cast<uint32_t>(random.below(80));
    for (uint32_t slot = 0; slot < slots; ++slot) {
      context.ids.push_back(PointId::number(slot));
      if (random.one_in(2)) context.vectors.insert({random.one_in(2) ? "v" : "w", slot});
    }
    const auto add_index = [&] {
      const std::string& path = random_path(random);
      indexes->add_index(path, static_cast<FieldType>(random.below(8)), "");
      for (const auto& [slot, payload] : points) indexes->insert_into(path, slot, payload);
    };
    const auto add_temporary = [&](const std::string& path, FieldType type) {
      auto build = PayloadIndexes::begin(path, type, "");
      for (const auto& [slot, payload] : points) build->insert(slot, payload);
      indexes->adopt(std::move(build), true);
    };
    for (uint64_t left = random.below(9); left > 0; --left) add_index();
    for (uint32_t step = 0; step < slots * 2; ++step) {
      const uint32_t slot = static_cast<uint32_t>(random.below(slots));
      const auto at = points.find(slot);
      if (at != points.end()) {
        indexes->erase(slot, at->second);
        points.erase(at);
        context.live_slots.reset(slot);
        if (random.one_in(3)) continue;
      }
      points[slot] = pl::check(encode(random_payload(random)), pl::Bounds{});
      indexes->insert(slot, points[slot]);
      context.live_slots.set(slot);
      if (random.one_in(40)) add_index();
      if (random.one_in(40)) add_temporary(random_path(random), static_cast<FieldType>(random.below(7)));
      if (random.one_in(60)) {
        for (const auto& info : indexes->temporaries()) {
          if (random.one_in(2)) CHECK(indexes->drop_temporary(info.key, info.type));
        }
      }
    }
    for (int i = 0; i < 20; ++i) {
      const std::string bytes = '\x01' + random_filter(random, 2);
      const auto filter = Filter::decode(bytes);
      PlanNode tree;
      const bool explained = random.one_in(2);
      const FilterPlan plan = indexes->plan(*filter, context, explained ? &tree : nullptr);
      ++plans;
      if (explained) CHECK((tree.slots == plan.count || plan.count == 0) && (tree.exact == plan.exact || plan.count == 0));
      // What a plan asked for makes the next one no worse.
      if (random.one_in(4) && !plan.wanted.empty()) {
        for (const WantedIndex& wanted : plan.wanted) add_temporary(wanted.key, wanted.type);
        const FilterPlan next = indexes->plan(*filter, context);
        CHECK(next.count <= plan.count);
        with_temporary += next.exact && !plan.exact ? 1 : 0;
      }
      exact += plan.exact ? 1 : 0;
      narrowed += plan.count < points.size() ? 1 : 0;
      CHECK(plan.count == plan.slots.count());
      for (uint32_t slot = 0; slot < slots; ++slot) {
        const auto at = points.find(slot);
        const bool truth = at != points.end() && filter->matches({context.ids[slot], slot, at->second}, context);
        const bool planned = plan.slots.test(slot);
        if (at == points.end()) CHECK(!planned);
        if (plan.exact ? planned != truth : truth && !planned) {
          std::printf("plan (exact %d) says %d, matches says %d: %s\n", plan.exact, planned, truth,
                      J(at->second).c_str());
          for (const auto& info : indexes->infos())
            std::printf("  index %s type %d\n", info.key.c_str(), static_cast<int>(info.type));
          for (const char c : bytes) std::printf("%02x", static_cast<uint8_t>(c));
          std::printf("\n");
          CHECK(false);
        }
      }
    }
    // What erase removes leaves no trace: an index emptied point by point has the size of nothing.
    for (const auto& [slot, payload] : points) indexes->erase(slot, payload);
    for (const auto& info : indexes->infos()) CHECK(info.points == 0);
    for (const auto& info : indexes->temporaries()) CHECK(info.points == 0);
    const FilterPlan none = indexes->plan(*Filter::decode(program(std::vector<std::string>{})), Context());
    CHECK(none.exact && none.count == 0);
  }
  std::printf("plans: %zu, exact %zu, narrowed %zu, made exact by temporary indexes %zu\n", plans, exact, narrowed, with_temporary);
  CHECK(exact > plans / 10 && exact < plans && with_temporary > plans / 100);
}

// What random points meet too rarely: one point, one index, and whether the plan finds it.
void test_index_edges() {
  const auto plan = [](std::string_view json, const char* key, FieldType type, const std::string& condition) {
    const auto indexes = PayloadIndexes::create();
    Context context;
    context.indexes = indexes.get();
    context.ids.push_back(PointId::number(0));
    context.live_slots.set(0);
    indexes->add_index(key, type, "");
    indexes->insert(0, P(json));
    return indexes->plan(*Filter::decode(program(std::vector<std::string>{condition})), context);
  };
  const auto range = condition(Kind::kRange, "a", [](ByteWriter& out) { out.u8(8), out.f64(2); });
  const FilterPlan foreign = plan(R"({"a":2.5})", "a", FieldType::kInteger, range);
  CHECK(foreign.count == 1 && !foreign.exact);
  const FilterPlan both = plan(R"({"a":[2.5,3]})", "a", FieldType::kInteger, range);
  CHECK(both.count == 1 && both.exact);
  const auto integer = condition(Kind::kMatchInteger, "a", [](ByteWriter& out) { out.put<int64_t>(2); });
  const FilterPlan whole = plan(R"({"a":2.0})", "a", FieldType::kFloat, integer);
  CHECK(whole.count == 1 && !whole.exact);
  const FilterPlan other = plan(R"({"a":2})", "a", FieldType::kKeyword, integer);
  CHECK(other.count == 1 && !other.exact);
  for (const Kind kind : {Kind::kIsEmpty, Kind::kValuesCount}) {
    const auto nested = condition(Kind::kNested, "a", [&](ByteWriter& out) {
      put_filter(out, {condition(kind, "b", [&](ByteWriter& inner) {
                   if (kind == Kind::kValuesCount) inner.u8(2), inner.u64(0);
                 })});
    });
    CHECK(matches(P(R"({"a":[{"b":1},{}]})"), program(std::vector<std::string>{nested})));
    CHECK(plan(R"({"a":[{"b":1},{}]})", "a[].b", FieldType::kInteger, nested).count == 1);
  }
  // A latitude of 200 is no place, yet its sine is one: the check finds it near -20.
  const auto radius =
      condition(Kind::kGeoRadius, "a", [](ByteWriter& out) { out.f64(180), out.f64(-20), out.f64(1000000); });
  const char* beyond = R"({"a":{"lon":0.0,"lat":200.0}})";
  CHECK(plan(beyond, "a", FieldType::kGeo, radius).count ==
        (matches(P(beyond), program(std::vector<std::string>{radius})) ? 1 : 0));
  const auto wide =
      condition(Kind::kGeoRadius, "a", [](ByteWriter& out) { out.f64(0), out.f64(-20), out.f64(20000000); });
  CHECK(matches(P(beyond), program(std::vector<std::string>{wide})));
  const auto narrow =
      condition(Kind::kGeoRadius, "a", [](ByteWriter& out) { out.f64(0), out.f64(60), out.f64(14500000); });
  const bool found = matches(P(R"({"a":{"lon":0.0,"lat":400.0}})"), program(std::vector<std::string>{narrow}));
  CHECK(found && plan(R"({"a":{"lon":0.0,"lat":400.0}})", "a", FieldType::kGeo, narrow).count == 1);
  // A UUID index compares values, not spellings.
  const auto uuid =
      condition(Kind::kMatchKeyword, "a", [](ByteWriter& out) { out.text("0A0B0C0D-0000-0000-0000-00000000000F"); });
  CHECK(plan(R"({"a":"0a0b0c0d00000000000000000000000f"})", "a", FieldType::kUuid, uuid).count == 1);
  CHECK(plan(R"({"a":"0a0b0c0d00000000000000000000000f"})", "a", FieldType::kKeyword, uuid).count == 0);
}

void test_mutations(Random& random, int rounds) {
  Context context;
  const PointId id = PointId::number(1);
  size_t programs = 0;
  for (int round = 0; round < rounds; ++round) {
    const std::string bytes = mutate(random, encode(random_payload(random)));
    // Right at the end of a heap block, where one byte too far is seen.
    const std::vector<char> heap(bytes.begin(), bytes.end());
    const std::string_view raw(heap.data(), heap.size());
    const auto filter_bytes = '\x01' + random_filter(random, 2);
    const auto filter = Filter::decode(filter_bytes);
    filter->matches({id, 0, raw}, context);  // whatever it says, it must not read outside
    const std::string& path = random.pick(kPaths);
    const auto indexes = PayloadIndexes::create();
    indexes->add_index(path, static_cast<FieldType>(random.below(8)), "");
    indexes->insert(0, raw);
    indexes->erase(0, raw);
    CHECK(indexes->infos()[0].points == 0);

    const std::string broken = mutate(random, filter_bytes);
    const std::vector<char> program_heap(broken.begin(), broken.end());
    try {
      const auto decoded = Filter::decode({program_heap.data(), program_heap.size()});
      ++programs;
      decoded->matches({id, 0, raw}, context);
      decoded->needs_payload();
      indexes->plan(*decoded, context);
    } catch (const Error&) {
    }
    int64_t micros;
    const std::string date = mutate(random, "2023-02-08T10:49:00.123+01:00");
    const std::vector<char> date_heap(date.begin(), date.end());
    filter::parse_datetime({date_heap.data(), date_heap.size()}, micros);
  }
  std::printf("mutations: %d, programs accepted %zu\n", rounds, programs);
  CHECK(programs > 0);
}

// --- committed cases, made by test/filter/oracle.py with Qdrant's own client
// ---------------------------------------------

std::string field_of(const std::string& line, const std::string& name) {
  const size_t start = line.find("\"" + name + "\": \"");
  if (start == std::string::npos) return "";
  const size_t from = start + name.size() + 5;
  return line.substr(from, line.find('"', from) - from);
}

std::string unhex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

void test_cases(const char* file) {
  std::ifstream in(file);
  std::string line;
  size_t cases = 0, wrong = 0;
  while (std::getline(in, line)) {
    const std::string payload = pl::check(unhex(field_of(line, "payload_hex")), pl::Bounds{});
    const bool expected = line.find("\"expected\": true") != std::string::npos;
    const bool got = matches(payload, unhex(field_of(line, "program_hex")));
    ++cases;
    if (got != expected && ++wrong <= 10) std::printf("case %zu: got %d: %.600s\n", cases, got, line.c_str());
  }
  std::printf("cases: %zu, wrong %zu\n", cases, wrong);
  CHECK(cases > 0 && wrong == 0);
}

// --- times ---------------------------------------------------------------------------------------------------------

void bench(uint32_t points) {
  Random random(1);
  const auto indexes = PayloadIndexes::create();
  Context context;
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  const auto ms = [](auto from, auto to) { return std::chrono::duration<double, std::milli>(to - from).count(); };
  indexes->add_index("n", FieldType::kInteger, "");
  indexes->add_index("k", FieldType::kKeyword, "");
  indexes->add_index("u", FieldType::kKeyword, "");
  indexes->add_index("g", FieldType::kGeo, "");
  std::vector<std::string> payloads;
  for (uint32_t slot = 0; slot < points; ++slot) {
    char text[256];
    std::snprintf(text, sizeof text, R"({"n":%d,"k":"k%d","u":"unique-%u","g":{"lon":%f,"lat":%f}})",
                  static_cast<int>(random.below(1000)), static_cast<int>(random.below(20)), slot,
                  static_cast<double>(random.below(3600000)) / 10000 - 180,
                  static_cast<double>(random.below(1800000)) / 10000 - 90);
    payloads.push_back(P(text));
    context.live_slots.set(slot);
  }
  auto start = clock();
  for (uint32_t slot = 0; slot < points; ++slot) indexes->insert(slot, payloads[slot]);
  std::printf("%u points: insert into 4 indexes %.2f us a point\n", points, ms(start, clock()) * 1000 / points);
  for (const auto& info : indexes->infos())
    std::printf("  %s: %.1f bytes a point\n", info.key.c_str(), static_cast<double>(info.bytes) / points);
  using List = std::vector<std::string>;
  const auto range = condition(Kind::kRange, "n", [](ByteWriter& out) { out.u8(1), out.f64(470); });
  const auto keyword = condition(Kind::kMatchKeyword, "k", [](ByteWriter& out) { out.text("k3"); });
  const auto unique = condition(Kind::kMatchKeyword, "u", [](ByteWriter& out) { out.text("unique-77"); });
  const auto radius =
      condition(Kind::kGeoRadius, "g", [](ByteWriter& out) { out.f64(13.4), out.f64(52.5), out.f64(200000); });
  const std::pair<const char*, std::string> programs[] = {
      {"range 47 %", program(List{range})},
      {"keyword 5 %", program(List{keyword})},
      {"unique keyword", program(List{unique})},
      {"radius 200 km", program(List{radius})},
      {"range and not keyword", program(List{range}, List{}, List{keyword})}};
  for (const auto& [name, bytes] : programs) {
    const auto filter = Filter::decode(bytes);
    double best = 1e9;
    FilterPlan plan;
    for (int i = 0; i < 20; ++i) {
      start = clock();
      plan = indexes->plan(*filter, context);
      best = std::min(best, ms(start, clock()));
    }
    start = clock();
    size_t count = 0;
    for (uint32_t slot = 0; slot < points; ++slot)
      count += filter->matches({PointId(), slot, payloads[slot]}, context) ? 1 : 0;
    std::printf("  %-22s plan %.3f ms, %zu slots, exact %d; all payloads %.1f ms, %zu\n", name, best, plan.count,
                plan.exact, ms(start, clock()), count);
  }
  start = clock();
  for (uint32_t slot = 0; slot < points; ++slot) pl::check(payloads[slot], pl::Bounds{});
  std::printf("  check %.3f us a payload\n", ms(start, clock()) * 1000 / points);
  start = clock();
  for (uint32_t slot = 0; slot < points; ++slot) indexes->erase(slot, payloads[slot]);
  std::printf("  erase %.2f us a point\n", ms(start, clock()) * 1000 / points);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "bench") {
    bench(100'000);
    bench(1'000'000);
    return 0;
  }
  Random random(checks::take_seed(argc, argv));
  test_datetime();
  test_filters();
  test_index_edges();
  test_plans(random, 300);
  test_mutations(random, 20'000);
  if (argc > 2) test_cases(argv[2]);
  return report();
}
