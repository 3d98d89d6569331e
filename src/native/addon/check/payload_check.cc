// Checks of payload/: unit cases and mutated bytes.
//
//   g++ -std=c++20 -O1 -g -fsanitize=address,undefined check/payload_check.cc payload/*.cc filter/*.cc -o
//   /tmp/payload_check
//
// to be run in src/native/addon. Argument: the seed, which is printed; a run with that seed repeats it.
#include "../payload/point_json.h"
#include "payload_random.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::check;

void test_check() {
  const pl::Bounds bounds;
  const std::string plain = P(R"({"a":1,"b":[1.5,"x",null,true,{"c":{}}],"d":""})");
  CHECK(pl::check(plain, bounds) == plain);
  CHECK(pl::check("", bounds).empty());
  CHECK(pl::check(P(R"({"a":1,"b":2,"a":3})"), bounds) == P(R"({"b":2,"a":3})"));
  // An entry without a value, a value without a kind: null.
  CHECK(pl::check(std::string("\x12\x03\x0a\x01"
                              "a",
                              5),
                  bounds) == P(R"({"a":null})"));
  CHECK(pl::check(std::string("\x12\x05\x0a\x01"
                              "a\x12\x00",
                              7),
                  bounds) == P(R"({"a":null})"));
  CHECK(pl::check(std::string("\x12\x00", 2), bounds) == P(R"({"":null})"));
  // A long length, a wide bool, an unknown field, value before key.
  CHECK(pl::check(std::string("\x12\x88\x00\x0a\x01"
                              "a\x12\x03\x28\x80\x01",
                              11),
                  bounds) == P(R"({"a":true})"));
  CHECK(pl::check(std::string("\x12\x09\x12\x04\x18\x01\x50\x07\x0a\x01"
                              "a",
                              11),
                  bounds) == P(R"({"a":1})"));
  // The last kind wins, and structs in parts are merged.
  CHECK(pl::check(std::string("\x12\x09\x0a\x01"
                              "a\x12\x04\x18\x01\x28\x01",
                              11),
                  bounds) == P(R"({"a":true})"));
  {
    std::string value, entry, out;
    const auto part = [](std::string_view text) { return encode_map(JsonReader(text).read(), 1); };
    pl::put_bytes(value, 6, part(R"({"x":1,"y":2})"));
    pl::put_bytes(value, 6, part(R"({"x":3})"));
    pl::put_bytes(entry, 1, "a");
    pl::put_bytes(entry, 2, value);
    pl::put_bytes(out, 2, entry);
    CHECK(J(pl::check(out, bounds)) == R"({"a":{"x":3,"y":2}})");
  }
  const auto bad = [&](const std::string& bytes) {
    return error_of([&] { pl::check(bytes, bounds); }) == ErrorKind::kBadInput;
  };
  CHECK(bad(std::string("\x12\x05\x0a\x01"
                        "a\x12\x00",
                        7)
                .substr(0, 6)));
  CHECK(bad("\x0a\x00"));
  CHECK(bad(P("{\"a\":\"\xff\"}")));
  CHECK(bad(P("{\"\xc0\x80\":1}")));
  CHECK(bad(P("{\"a\":\"\xed\xa0\x80\"}")));
  {
    Json number;
    number.type = Json::Type::kDouble;
    number.number = std::numeric_limits<double>::quiet_NaN();
    Json object;
    object.type = Json::Type::kObject;
    object.object.push_back({"a", number});
    CHECK(bad(encode(object)));
    object.object[0].value.number = std::numeric_limits<double>::infinity();
    CHECK(bad(encode(object)));
  }
  const auto nested = [](size_t depth) {
    std::string value("\x08\x00", 2);
    for (size_t i = 0; i < depth; ++i) {
      std::string list, outer;
      pl::put_bytes(list, 1, value);
      pl::put_bytes(outer, 7, list);
      value = outer;
    }
    std::string entry, out;
    pl::put_bytes(entry, 1, "a");
    pl::put_bytes(entry, 2, value);
    pl::put_bytes(out, 2, entry);
    return out;
  };
  CHECK(pl::check(nested(128), bounds) == nested(128));
  CHECK(bad(nested(129)));
  CHECK(bad(nested(1000)));
  CHECK(error_of([] { pl::check(std::string(100, ' '), pl::Bounds{128, 99}); }) == ErrorKind::kBadInput);
  try {
    pl::check(P("{\"a\":{\"b\":[1,{\"c\":\"\xff\"}]}}"), bounds);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.field() == "payload.a.b[1].c");
  }
}

void test_sealed() {
  const pl::Bounds bounds;
  const std::string framed("\x00\x00\x00\x02xy\x00\x00\x00\x01z", 11);
  const std::string sealed = sealed_entry(framed);
  CHECK(pl::check(sealed, bounds) == sealed);
  CHECK(pl::is_sealed(sealed));
  CHECK(pl::envelope_count(sealed) == 2);
  CHECK(pl::check(P(R"({"a":1})") + sealed, bounds) == sealed + P(R"({"a":1})"));
  CHECK(!pl::is_sealed(P(R"({"$sealpoint":[1]})")));
  CHECK(error_of([&] { pl::check(sealed_entry(framed.substr(0, 10)), bounds); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { pl::check(sealed_entry(""), bounds); }) == ErrorKind::kBadInput);
  {  // The stored form means nothing below the root or under another key: there it is an unknown field.
    std::string value, entry, out;
    pl::put_bytes(value, 15, framed);
    pl::put_bytes(entry, 1, "a");
    pl::put_bytes(entry, 2, value);
    pl::put_bytes(out, 2, entry);
    CHECK(pl::check(out, bounds) == P(R"({"a":null})"));
    CHECK(pl::has_plain(out, {}));
  }
  const std::string point = sealed + P(R"({"a":1,"b":2})");
  CHECK(pl::include(point, {"b"}) == sealed + P(R"({"b":2})"));
  CHECK(pl::include(point, {}) == sealed);
  CHECK(pl::exclude(point, {"b", "\"$sealpoint\""}) == sealed + P(R"({"a":1})"));
  CHECK(!pl::has_plain(point, {"a", "b"}));
  CHECK(pl::has_plain(point, {"a"}));
  CHECK(pl::has_plain("\xff", {}));
  CHECK(pl::envelope_count(pl::merge(point, sealed + P(R"({"b":3})"))) == 4);
  CHECK(J(pl::merge(sealed, P(R"({"b":3})"))) == R"({"$sealpoint":<11 bytes of envelopes>,"b":3})");
  CHECK(error_of([&] { pl::merge(point, P(R"({"$sealpoint":null})")); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { pl::merge_at(point, "\"$sealpoint\".a", P(R"({"x":1})")); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { pl::merge_at(point, "a", sealed); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { pl::remove_keys(point, {"\"$sealpoint\"[]"}); }) == ErrorKind::kBadInput);
  CHECK(pl::remove_keys(point, {"\"$sealpoint\""}) == P(R"({"a":1,"b":2})"));
  std::string grown = P(R"({"a":1})");
  for (int i = 0; i < 8; ++i) grown = pl::append_envelope(grown, std::string(200, 'e'));
  CHECK(pl::envelope_count(grown) == 8);
  CHECK(pl::check(grown, bounds) == grown);
  CHECK(error_of([&] { pl::append_envelope(grown, "e"); }) == ErrorKind::kPrecondition);
  CHECK(error_of([&] { pl::merge(grown, sealed); }) == ErrorKind::kPrecondition);
}

void test_changes() {
  const auto merge = [](std::string_view base, std::string_view patch) { return pl::merge(P(base), P(patch)); };
  expect_json("merge", merge(R"({"a":1,"b":{"c":1}})", R"({"b":{"d":2},"e":3})"), R"({"a":1,"b":{"d":2},"e":3})");
  expect_json("merge null", merge(R"({"a":1,"b":2})", R"({"a":null,"c":null})"), R"({"b":2})");
  const auto at = [](std::string_view base, std::string_view path, std::string_view patch) {
    return pl::merge_at(P(base), path, P(patch));
  };
  expect_json("merge_at", at(R"({"a":{"b":1}})", "a", R"({"c":2})"), R"({"a":{"b":1,"c":2}})");
  expect_json("merge_at null", at(R"({"a":{"b":1}})", "a", R"({"b":null})"), R"({"a":{}})");
  expect_json("merge_at new", at(R"({})", "a.b", R"({"c":2})"), R"({"a":{"b":{"c":2}}})");
  expect_json("merge_at over", at(R"({"a":5})", "a.b", R"({"c":2})"), R"({"a":{"b":{"c":2}}})");
  expect_json("merge_at each", at(R"({"a":[{"b":{"x":1}},{"c":1},7]})", "a[].b", R"({"y":2})"),
              R"({"a":[{"b":{"x":1,"y":2}},{"c":1,"b":{"y":2}},{"b":{"y":2}}]})");
  expect_json("merge_at index", at(R"({"a":[1,{"b":1},3]})", "a[1]", R"({"c":2})"), R"({"a":[1,{"b":1,"c":2},3]})");
  expect_json("merge_at index beyond", at(R"({"a":[1]})", "a[5].b", R"({"c":2})"), R"({"a":[1]})");
  expect_json("merge_at no array", at(R"({"a":1})", "a[0]", R"({"c":2})"), R"({"a":[]})");
  expect_json("merge_at quoted", at(R"({"a.b":{"c":1}})", "\"a.b\"", R"({"d":2})"), R"({"a.b":{"c":1,"d":2}})");
  const auto remove = [](std::string_view base, std::vector<std::string> paths) {
    return pl::remove_keys(P(base), paths);
  };
  const char* tree = R"({"a":{"b":1,"c":[{"d":1,"e":2},{"d":3},4]},"f":[1,2]})";
  expect_json("remove", remove(tree, {"a"}), R"({"f":[1,2]})");
  expect_json("remove two", remove(tree, {"f", "a.c", "x.y"}), R"({"a":{"b":1}})");
  expect_json("remove each", remove(tree, {"a.c[].d"}), R"({"a":{"b":1,"c":[{"e":2},{},4]},"f":[1,2]})");
  expect_json("remove index.key", remove(tree, {"a.c[0].d"}), R"({"a":{"b":1,"c":[{"e":2},{"d":3},4]},"f":[1,2]})");
  expect_json("remove index", remove(tree, {"f[0]"}), tree);
  expect_json("remove all", remove(tree, {"f[]"}), R"({"a":{"b":1,"c":[{"d":1,"e":2},{"d":3},4]},"f":[]})");
  const auto include = [](std::string_view base, std::vector<std::string> paths) {
    return pl::include(P(base), paths);
  };
  expect_json("include", include(tree, {"a.b"}), R"({"a":{"b":1}})");
  expect_json("include each", include(tree, {"a.c[].d"}), R"({"a":{"c":[{"d":1},{"d":3},4]}})");
  expect_json("include without []", include(tree, {"a.c.d"}), R"({"a":{"c":[]}})");
  expect_json("include index", include(tree, {"a.c[0].d", "f[0]"}), R"({"a":{"c":[]},"f":[]})");
  expect_json("include both", include(tree, {"a.c[].d", "a"}), R"({"a":{"b":1,"c":[{"d":1,"e":2},{"d":3},4]}})");
  expect_json("include all", include(tree, {"f[]"}), R"({"f":[1,2]})");
  expect_json("include none", include(tree, {}), R"({})");
  const auto exclude = [](std::string_view base, std::vector<std::string> paths) {
    return pl::exclude(P(base), paths);
  };
  expect_json("exclude", exclude(tree, {"a.b", "f"}), R"({"a":{"c":[{"d":1,"e":2},{"d":3},4]}})");
  expect_json("exclude each", exclude(tree, {"a.c[].d"}), R"({"a":{"b":1,"c":[{"e":2},{},4]},"f":[1,2]})");
  expect_json("exclude all", exclude(tree, {"f[]"}), R"({"a":{"b":1,"c":[{"d":1,"e":2},{"d":3},4]},"f":[]})");
  expect_json("exclude index", exclude(tree, {"f[0]"}), tree);
  expect_json("exclude none", exclude(tree, {}), tree);
  for (const char* path : {"", "a.", ".a", "[]", "a[", "a[x]", "a b", "\"a", "a..b", "a[-1]", "a\"b\"", "$a"}) {
    CHECK(error_of([&] { pl::check_path(path); }) == ErrorKind::kBadInput);
  }
  for (const char* path : {"a", "a.b", "a[].b[0]", "\"\"", "\"a b\".c", "é"}) pl::check_path(path);
}

void test_mutations(Random& random, int rounds) {
  const pl::Bounds bounds;
  const std::string sealed = sealed_entry(std::string("\x00\x00\x00\x02xy", 6));
  size_t accepted = 0, rewritten = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = encode(random_payload(random));
    if (random.one_in(3)) bytes += sealed;
    bytes = mutate(random, std::move(bytes));
    // Right at the end of a heap block, where one byte too far is seen.
    const std::vector<char> heap(bytes.begin(), bytes.end());
    const std::string_view raw(heap.data(), heap.size());
    std::string checked;
    bool good = false;
    try {
      checked = pl::check(raw, bounds);
      good = true;
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kBadInput);
    }
    if (good) {
      ++accepted;
      rewritten += checked == raw ? 0 : 1;
      CHECK(pl::check(checked, bounds) == checked);
      CHECK(J(checked) == J(raw) || checked != raw);
    }
    const std::string& path = random.pick(kPaths);
    for (const std::string_view base : {raw, std::string_view(checked)}) {
      const bool whole = base.data() == checked.data();
      try {
        std::vector<std::string> outs;
        outs.push_back(pl::include(base, {path, random.pick(kPaths)}));
        outs.push_back(pl::exclude(base, {path, random.pick(kPaths)}));
        outs.push_back(pl::remove_keys(base, {path}));
        pl::has_plain(base, {"a"});
        pl::envelope_count(base);
        outs.push_back(pl::merge(base, checked.empty() ? P(R"({"a":1})") : checked));
        outs.push_back(pl::merge_at(base, path, P(R"({"n":1,"a":null})")));
        outs.push_back(pl::append_envelope(base, "envelope"));
        // Changes of a canonical payload are canonical.
        for (const std::string& out : outs) CHECK(!whole || !good || pl::check(out, bounds) == out);
      } catch (const Error& error) {
        CHECK(!whole || error.kind() != ErrorKind::kInternal);
      }
    }
    std::string text = mutate(random, random.pick(kPaths));
    try {
      pl::check_path(text);
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kBadInput);
    }
  }
  std::printf("mutations: %d, payloads accepted %zu (rewritten %zu)\n", rounds, accepted, rewritten);
  CHECK(accepted > 0 && rewritten > 0);
}

// Points as JSON from bytes that lie in memory of just their size: read to the end, or refused.
void test_json(Random& random, int rounds) {
  std::string list;
  for (int i = 0; i < 4; ++i) {
    const std::string vector("\x0a\x08\x00\x00\x80\x3f\x00\x00\x00\xbf", 10);  // DenseVector {1, -0.5}
    std::string output, outputs, point;
    pl::put_bytes(output, i % 2 == 0 ? 101 : 102, vector);
    pl::put_bytes(outputs, 1, output);
    pl::put_bytes(point, 1, std::string("\x08\x2a", 2));
    point += P(R"({"a":1,"b":[1.5,"x\"",null,true,{"c":{"d":[[]]}}],"e":"é"})");
    point += std::string("\x1d\x00\x00\x80\x3f\x28\x07", 7);
    pl::put_bytes(point, 6, outputs);
    pl::put_bytes(list, 1, point);
  }
  const auto read = [](const std::string& bytes, size_t most) {
    const std::vector<char> exact(bytes.begin(), bytes.end());
    std::string text;
    const size_t end = pl::append_points(text, {exact.data(), exact.size()}, 0, 0x0a, {.scored = true, .payload = true}, most);
    CHECK(end <= bytes.size());
    return text;
  };
  const std::string first = R"({"id":42,"version":7,"score":1.0,"payload":{"a":1,"b":[1.5,"x\"",null,true,{"c":{"d":[[]]}}],"e":"é"},"vector":[1.0,-0.5]})";
  CHECK(read(list, 0) == first, "%s", read(list, 0).c_str());
  CHECK(read(list, 1 << 20).starts_with(first + ","));
  size_t refused = 0;
  for (int round = 0; round < rounds; ++round) {
    try {
      read(mutate(random, list), random.below(2000));
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kDataLoss);
      ++refused;
    }
  }
  std::printf("points as JSON: %d mutations, %zu refused\n", rounds, refused);
  CHECK(refused > 0);
}

}  // namespace

int main(int argc, char** argv) {
  Random random(checks::take_seed(argc, argv));
  test_check();
  test_sealed();
  test_changes();
  test_mutations(random, 20'000);
  test_json(random, 20'000);
  return report();
}
