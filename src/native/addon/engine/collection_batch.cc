// Several searches of one call: equal filters are planned once, and what several of them scan is read once.
#include <map>
#include <tuple>

#include "collection_view.h"
#include "query_stage.h"

namespace sealpoint {

namespace {

// Searches that share a scan: their queries stay in the nearest cache, and the reading threads still share out a batch.
constexpr size_t kChunkMax = 8;

// A query that is nothing but a search by a vector; false for any other.
bool as_search(QueryStage& stage, SearchRequest& out) {
  if (!stage.prefetch.empty() || stage.kind != QueryKind::kNearest || stage.mmr || stage.inputs.size() != 1 || stage.inputs[0].by_id) return false;
  const AnyVector& vector = stage.inputs[0].vector;
  if (vector.kind != AnyVector::Kind::kDense || vector.values.empty()) return false;
  out.using_vector = stage.using_vector;
  out.query = reinterpret_cast<const char*>(vector.values.data());
  out.dim = static_cast<uint32_t>(vector.values.size());
  out.limit = stage.limit;
  out.exact = stage.params.exact;
  out.indexed_only = stage.params.indexed_only;
  out.has_threshold = stage.params.has_threshold;
  out.threshold = stage.params.threshold;
  out.ef = stage.params.ef;
  out.originals = stage.params.ignore_codes;
  out.rescore = stage.params.rescore != 0;
  out.oversampling = stage.params.oversampling;
  out.filter = std::move(stage.filter);
  return true;
}

}  // namespace

// All with one vector name and one filter.
void Collection::search_chunk(const std::vector<const SearchRequest*>& requests, std::vector<std::string*> answers) const {
  // It makes its own plan.
  if (requests.size() == 1) {
    *answers[0] = search(*requests[0]);
    return;
  }
  std::shared_lock lock(state_mutex_);
  const size_t number = required_vector(requests[0]->using_vector);
  const VectorField field = record_.vectors[number];
  const View view = this->view(requests[0]->filter);
  // What is judged apart is judged for each, should a write have come between the plan and this.
  if (field.sparse || field.multi || !view.exact) {
    lock.unlock();
    for (size_t i = 0; i < requests.size(); ++i) *answers[i] = search(*requests[i]);
    return;
  }
  std::vector<std::vector<float>> queries;
  std::vector<VectorSearch> searches;
  for (const SearchRequest* request : requests) {
    queries.push_back(query_values(field, *request));
    searches.push_back(vector_search(*request, queries.back().data(), view));
  }
  std::vector<std::vector<VectorHit>> hits(requests.size());
  if (!view.filtered || view.count > 0) vectors_[number]->search_many(searches.data(), searches.size(), hits.data());
  std::vector<std::vector<FoundPoint>> found;
  for (const auto& each : hits) found.push_back(found_points(each));
  const Snapshot snapshot = snapshot_;
  lock.unlock();
  for (size_t i = 0; i < requests.size(); ++i) *answers[i] = search_answer(*requests[i], found[i], snapshot.get());
}

std::vector<std::string> Collection::search_batch(const std::vector<const SearchRequest*>& requests, const Spread& spread) const {
  // Most are alone, and have nothing to share.
  if (requests.size() == 1) return {search(*requests[0])};
  std::vector<std::string> answers(requests.size());
  using Key = std::tuple<std::string_view, std::string_view, bool>;
  std::map<Key, std::vector<size_t>> groups;
  std::vector<std::vector<size_t>> chunks;
  for (size_t i = 0; i < requests.size(); ++i) {
    const SearchRequest& request = *requests[i];
    // A search by id leaves its own point out.
    if (request.query == nullptr) {
      chunks.push_back({i});
    } else {
      groups[{request.using_vector, request.filter.program, request.filter.plain_only}].push_back(i);
    }
  }
  for (const auto& [key, members] : groups) {
    const FilterRequest& filter = requests[members[0]]->filter;
    if (members.size() > 1 && filter.present()) {
      // The plan is kept, and so is what judging payloads made of it.
      std::shared_lock lock(state_mutex_);
      View planned = view(filter);
      lock.unlock();
      narrow(planned, filter);
    }
    for (size_t from = 0; from < members.size(); from += kChunkMax) {
      chunks.emplace_back(members.begin() + static_cast<long>(from), members.begin() + static_cast<long>(std::min(from + kChunkMax, members.size())));
    }
  }
  spread(chunks.size(), [&](size_t number) {
    std::vector<const SearchRequest*> mine;
    std::vector<std::string*> out;
    for (const size_t i : chunks[number]) {
      mine.push_back(requests[i]);
      out.push_back(&answers[i]);
    }
    search_chunk(mine, std::move(out));
  });
  return answers;
}

std::vector<std::string> Collection::query_batch(const std::vector<std::string_view>& messages, const Spread& spread) const {
  if (messages.size() == 1) {
    ByteReader in(messages[0]);
    return {query(in)};
  }
  std::vector<QueryStage> stages(messages.size());
  std::vector<SearchRequest> searches(messages.size());
  std::vector<const SearchRequest*> shared;
  std::vector<size_t> places, others;
  for (size_t i = 0; i < messages.size(); ++i) {
    ByteReader in(messages[i]);
    stages[i] = QueryStage::read(in);
    SearchRequest& search = searches[i];
    search.offset = in.u32();
    const bool scrolled = in.u8() != 0;
    search.payload = PayloadSelector::read(in);
    search.vectors = VectorsSelector::read(in);
    if (!scrolled && as_search(stages[i], search)) {
      shared.push_back(&search);
      places.push_back(i);
    } else {
      others.push_back(i);
    }
  }
  std::vector<std::string> answers(messages.size());
  if (!shared.empty()) {
    std::vector<std::string> found = search_batch(shared, spread);
    for (size_t i = 0; i < found.size(); ++i) answers[places[i]] = std::move(found[i]);
  }
  if (!others.empty()) {
    spread(others.size(), [&](size_t i) {
      ByteReader in(messages[others[i]]);
      answers[others[i]] = query(in);
    });
  }
  return answers;
}

}  // namespace sealpoint
