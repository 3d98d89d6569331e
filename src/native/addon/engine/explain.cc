// Explain: the plan of a filter, what it came to, and where the time went.
//   message  u8 search, then a search request or a filter
//   answer   u64 points, u8 flags (1 exact by indexes, 2 the plan was kept from an earlier call), u64 candidates, u64 matches, u64 us: plan,
//            judge, search; u32 x 6 the search's report; node; u32 temporary indexes, each: text key, u8 type, u64 points, u64 bytes
//   node     text what, text key, u8 access, u8 type, u8 flags (1 exact, 2 matches known), u64 x 3 estimate (min, expected, max), u64 slots,
//            u64 matches, u32 children, node...
#include <chrono>

#include "collection_view.h"

namespace sealpoint {

namespace {

// Nodes of a plan whose points are counted by judging; further ones are told without.
constexpr size_t kCountedMax = 64;

class Clock {
 public:
  double us() {
    const auto now = std::chrono::steady_clock::now();
    const double passed = std::chrono::duration<double, std::micro>(now - since_).count();
    since_ = now;
    return passed;
  }

 private:
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

struct Counted {
  const PlanNode* node;
  uint64_t matches;
};

void collect(const PlanNode& node, std::vector<Counted>& out) {
  if (!node.exact && !node.nested && node.condition != nullptr && out.size() < kCountedMax) out.push_back({&node, 0});
  for (const PlanNode& child : node.children) collect(child, out);
}

void write_node(ByteWriter& out, const PlanNode& node, const std::vector<Counted>& counted, const uint64_t* whole) {
  out.text(node.what);
  out.text(node.key);
  out.u8(static_cast<uint8_t>(node.access));
  out.u8(static_cast<uint8_t>(node.type));
  const auto found = std::find_if(counted.begin(), counted.end(), [&](const Counted& each) { return each.node == &node; });
  const bool known = node.exact || found != counted.end() || whole != nullptr;
  out.u8(static_cast<uint8_t>((node.exact ? 1 : 0) | (known ? 2 : 0)));
  out.u64(node.estimate.min);
  out.u64(node.estimate.expected);
  out.u64(node.estimate.max);
  out.u64(node.slots);
  out.u64(whole != nullptr ? *whole : found != counted.end() ? found->matches : node.slots);
  out.u32(static_cast<uint32_t>(node.children.size()));
  for (const PlanNode& child : node.children) write_node(out, child, counted, nullptr);
}

}  // namespace

std::string Collection::explain(ByteReader& in) const {
  const bool searches = in.u8() != 0;
  SearchRequest request;
  if (searches) {
    request = SearchRequest::read(in);
  } else {
    request.filter = FilterRequest::read(in);
  }
  const FilterRequest& filter = request.filter;
  PlanNode root;
  root.what = "filter";
  View view;
  double plan_us = 0, judge_us = 0, search_us = 0;
  uint64_t points = 0, candidates = 0;
  bool kept = false, exact = true, passes_over = false;
  std::vector<TemporaryIndexInfo> temporaries;
  {
    std::shared_lock lock(state_mutex_);
    points = ids_.size();
    passes_over = filter.plain_only && sealed_count_ > 0;
    temporaries = indexes_->temporaries();
    if (filter.filter != nullptr) indexes_->plan(*filter.filter, LockedContext(*this), &root);
    PlanCache::Plan plan;
    kept = filter.present() && plans_.find(filter.program, filter.plain_only, {operation_, indexes_state_}, plan);
    Clock clock;
    view = this->view(filter);
    plan_us = clock.us();
    view.uuid_fields = indexes_->uuid_fields();
    view.text_fields = indexes_->text_fields();
    candidates = view.filtered ? view.count : points;
    exact = view.exact && root.exact;
  }
  std::vector<Counted> counted;
  if (filter.filter != nullptr) {
    collect(root, counted);
    Clock clock;
    narrow(view, filter);
    judge_us = clock.us();
  }
  if (!counted.empty()) {
    // What the indexes do not know is counted on every payload of the snapshot.
    SnapshotContext context(*this, view);
    const std::string prefix = Store::cid_prefix(cid_);
    rocksdb::ReadOptions options = at(view.snapshot.get());
    options.fill_cache = false;
    std::unique_ptr<rocksdb::Iterator> it(store_.db().NewIterator(options, store_.payloads()));
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
      const PointId id = id_of_key(it->key());
      context.point(id);
      for (Counted& each : counted) {
        each.matches += Filter::fulfils(*each.node->condition, {id, 0, it->value().ToStringView()}, context) ? 1 : 0;
      }
    }
    check(it->status(), "cannot read the payloads");
  }
  VectorSearchReport report;
  if (searches) {
    Clock clock;
    search(request, &report);
    search_us = clock.us();
  }
  const uint64_t matches = view.filtered ? view.count : points;
  ByteWriter out;
  out.u64(points);
  out.u8(static_cast<uint8_t>((exact ? 1 : 0) | (kept ? 2 : 0)));
  out.u64(candidates);
  out.u64(matches);
  for (const double us : {plan_us, judge_us, search_us}) out.u64(static_cast<uint64_t>(us + 0.5));
  for (const uint32_t number : {report.tails_scanned, report.rows_scanned, report.codes_scanned, report.walked, report.walked_masked + report.blocks_walked, report.walks_given_up})
    out.u32(number);
  if (filter.filter == nullptr) {
    root.slots = points;
    root.estimate = Cardinality::exactly(points);
  }
  // Sealed points that are passed over are no matter of the filter's own.
  write_node(out, root, counted, passes_over || root.exact ? nullptr : &matches);
  out.u32(static_cast<uint32_t>(temporaries.size()));
  for (const auto& index : temporaries) {
    out.text(index.key);
    out.u8(static_cast<uint8_t>(index.type));
    out.u64(index.points);
    out.u64(index.bytes);
  }
  return std::move(out.bytes());
}

}  // namespace sealpoint
