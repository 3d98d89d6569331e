// Facets: how many points hold each value of a key, counted in its index.
#include <algorithm>

#include "query_run.h"

namespace sealpoint {

namespace {

constexpr size_t kReadBatch = 256;
constexpr size_t kTextMax = 0x7fffffff;

struct Hit {
  FacetValue::Kind kind;
  std::string text;
  int64_t integer;
  uint64_t points;
};

// Most points first, equal counts by value.
bool comes_before(uint64_t points, const FacetValue& value, const Hit& other) {
  if (points != other.points) return points > other.points;
  return value.kind == FacetValue::Kind::kText ? value.text < other.text : value.integer < other.integer;
}
bool comes_before(const Hit& a, const Hit& b) { return comes_before(a.points, {a.kind, a.text, a.integer}, b); }

// The first `limit` of them, whatever their number.
class Best {
 public:
  explicit Best(size_t limit) : limit_(limit) {}
  void take(const FacetValue& value, uint64_t points) {
    if (points == 0 || limit_ == 0) return;
    const bool full = hits_.size() >= limit_;
    if (full && !comes_before(points, value, hits_.front())) return;
    if (full) {
      std::pop_heap(hits_.begin(), hits_.end(), order);
      hits_.pop_back();
    }
    hits_.push_back({value.kind, std::string(value.text), value.integer, points});
    std::push_heap(hits_.begin(), hits_.end(), order);
  }
  std::vector<Hit> finish() {
    std::sort(hits_.begin(), hits_.end(), order);
    return std::move(hits_);
  }

 private:
  static bool order(const Hit& a, const Hit& b) { return comes_before(a, b); }
  const size_t limit_;
  std::vector<Hit> hits_;  // a heap with the last of them in front
};

void varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// FacetHit { value = 1: FacetValue { string_value = 1 | integer_value = 2 | bool_value = 3 }, count = 2 } under field 1.
void write_hit(std::string& out, const Hit& hit, std::string& value, std::string& body) {
  value.clear();
  body.clear();
  if (hit.kind == FacetValue::Kind::kText) {
    value.push_back(0x0a);
    varint(value, hit.text.size());
    value.append(hit.text);
  } else {
    value.push_back(hit.kind == FacetValue::Kind::kInteger ? 0x10 : 0x18);
    varint(value, static_cast<uint64_t>(hit.integer));
  }
  body.push_back(0x0a);
  varint(body, value.size());
  body.append(value);
  body.push_back(0x10);
  varint(body, hit.points);
  out.push_back(0x0a);
  varint(out, body.size());
  out.append(body);
}

}  // namespace

// text key, filter, u32 limit; the answer: u32 hits, then they.
std::string Collection::facet(ByteReader& in) const {
  const std::string key(in.text());
  QueryStage stage;
  stage.filter = FilterRequest::read(in);
  Best best(in.u32());
  cancellation::Stride<32> steps;
  const auto take = [&](const FacetValue& value, uint64_t points) {
    steps.step();
    best.take(value, points);
  };
  await_indexes();
  {
    QueryRun run(*this, stage);
    if (!indexes_->has_facets(key)) {
      // The text is Qdrant's.
      throw Error(ErrorKind::kBadInput,
                  "Wrong input: No appropriate index for faceting: `" + key +
                      "`. Please create one to facet on this field. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see "
                      "which payload schemas support Match conditions",
                  "key");
    }
    const Bitset* among = run.allowed(stage);
    const size_t points = among == nullptr ? ids_.size() : among->count();
    std::unique_ptr<FieldIndexBuild> few = among == nullptr ? nullptr : indexes_->begin_facet(key, points);
    if (few == nullptr) {
      indexes_->facet(key, among, take);
    } else {
      std::vector<std::string> keys;
      keys.reserve(points);
      among->for_each([&](uint32_t slot) { keys.push_back(Store::point_key(cid_, ids_.id(slot))); });
      const Snapshot snapshot = run.snapshot();
      run.release();
      std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
      std::vector<rocksdb::PinnableSlice> payloads(std::min(kReadBatch, keys.size()));
      std::vector<rocksdb::Status> statuses(payloads.size());
      for (size_t from = 0; from < keys.size(); from += kReadBatch) {
        cancellation::check();
        const size_t batch = std::min(kReadBatch, keys.size() - from);
        store_.db().MultiGet(at(snapshot.get()), store_.payloads(), batch, slices.data() + from, payloads.data(), statuses.data());
        for (size_t i = 0; i < batch; ++i) {
          if (statuses[i].IsNotFound()) continue;
          check(statuses[i], "cannot read a payload");
          few->insert(static_cast<uint32_t>(from + i), payloads[i].ToStringView());
          payloads[i].Reset();
        }
      }
      few->facet(take);
    }
  }
  const std::vector<Hit> hits = best.finish();
  ByteWriter out;
  out.u32(static_cast<uint32_t>(hits.size()));
  std::string value, body;
  for (const Hit& hit : hits) {
    write_hit(out.bytes(), hit, value, body);
    if (out.bytes().size() > kTextMax) throw Error(ErrorKind::kExhausted, "the answer is larger than 2 GiB: ask for fewer values", "limit");
  }
  return std::move(out.bytes());
}

}  // namespace sealpoint
