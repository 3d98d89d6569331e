#include "multi_graph_file.h"

#include <algorithm>
#include <cstring>

#include "checksum.h"
#include "multi_graph.h"

namespace sealpoint {

namespace {

struct Header {
  char magic[8];
  uint32_t format;
  uint32_t m;
  uint32_t ef_construct;
  uint32_t rows;
  uint32_t entry;
  uint32_t max_level;
  uint64_t upper_nodes;
  uint64_t upper_links;
  uint64_t bytes;  // of the whole file
  uint32_t content_check;
  uint32_t check;  // of all above
};
static_assert(sizeof(Header) == 64);

constexpr char kMagic[8] = {'S', 'P', 'M', 'G', 'R', 'A', 'P', 'H'};
static_assert(sizeof(UpperNode) == 16);

template <typename T>
void append(std::string& out, const std::vector<T>& values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

template <typename T>
std::vector<T> take(const char*& at, size_t count) {
  std::vector<T> values(count);
  if (count > 0) std::memcpy(values.data(), at, count * sizeof(T));
  at += count * sizeof(T);
  return values;
}

bool is_sound(const MultiGraphFile& file, uint32_t rows) {
  const Graph& graph = file.graph;
  const auto in_graph = [&](uint32_t row) { return row == kNoRow || row < rows; };
  const uint32_t levels_max = graph_levels_max(file.m);
  if (graph.entry >= rows || graph.max_level > levels_max) return false;
  if (!std::all_of(graph.links.begin(), graph.links.end(), in_graph) || !std::all_of(graph.upper_links.begin(), graph.upper_links.end(), in_graph)) return false;
  uint64_t first = 0;
  uint32_t highest = 0, of_entry = 0;
  for (size_t i = 0; i < graph.upper_nodes.size(); ++i) {
    const UpperNode& node = graph.upper_nodes[i];
    if (node.row >= rows || (i > 0 && node.row <= graph.upper_nodes[i - 1].row) || node.level == 0 || node.level > levels_max || node.first != first) return false;
    first += uint64_t{node.level} * file.m;
    highest = std::max(highest, node.level);
    if (node.row == graph.entry) of_entry = node.level;
  }
  if (first != graph.upper_links.size() || highest != graph.max_level || of_entry != graph.max_level) return false;
  // A row is linked only on levels that it has, or additions would read another row's links for its own.
  std::vector<uint8_t> levels(rows);
  for (const UpperNode& node : graph.upper_nodes) levels[node.row] = static_cast<uint8_t>(node.level);
  return std::all_of(graph.upper_nodes.begin(), graph.upper_nodes.end(), [&](const UpperNode& node) {
    const uint32_t* link = graph.upper_links.data() + node.first;
    for (uint32_t level = 1; level <= node.level; ++level) {
      for (uint32_t i = 0; i < file.m; ++i, ++link) {
        if (*link != kNoRow && levels[*link] < level) return false;
      }
    }
    return true;
  });
}

// Of one row's links on a level, those that stay, and instead of the others what these are joined with.
class Bridge {
 public:
  Bridge(const Bitset& lost, const std::vector<uint32_t>& numbers) : lost_(lost), numbers_(numbers) {}
  template <typename LinksOf>
  void join(uint32_t row, uint32_t most, const LinksOf& links_of, uint32_t* out) {
    chosen_.clear();
    const auto [links, count] = links_of(row);
    for (uint32_t i = 0; i < count && links[i] != kNoRow; ++i) {
      if (!lost_.test(links[i])) choose(row, links[i]);
    }
    for (uint32_t i = 0; i < count && links[i] != kNoRow; ++i) {
      if (!lost_.test(links[i])) continue;
      const auto [beyond, more] = links_of(links[i]);
      for (uint32_t j = 0; j < more && beyond[j] != kNoRow && chosen_.size() < most; ++j) {
        if (!lost_.test(beyond[j])) choose(row, beyond[j]);
      }
    }
    std::fill(out, out + most, kNoRow);
    for (size_t i = 0; i < chosen_.size(); ++i) out[i] = numbers_[chosen_[i]];
  }

 private:
  void choose(uint32_t row, uint32_t link) {
    if (link != row && std::find(chosen_.begin(), chosen_.end(), link) == chosen_.end()) chosen_.push_back(link);
  }
  const Bitset& lost_;
  const std::vector<uint32_t>& numbers_;
  std::vector<uint32_t> chosen_;
};

}  // namespace

std::string encode_multi_graph(const MultiGraph& made) {
  const Graph& graph = made.graph;
  std::string bytes(sizeof(Header), '\0');
  bytes.reserve(sizeof(Header) + made.slots.size() * 12 + graph.links.size() * 4 + graph.upper_nodes.size() * sizeof(UpperNode) + graph.upper_links.size() * 4);
  append(bytes, made.slots);
  append(bytes, made.versions);
  append(bytes, graph.links);
  append(bytes, graph.upper_nodes);
  append(bytes, graph.upper_links);
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.format = kMultiGraphFormat;
  header.m = made.m;
  header.ef_construct = made.ef_construct;
  header.rows = static_cast<uint32_t>(made.slots.size());
  header.entry = graph.entry;
  header.max_level = graph.max_level;
  header.upper_nodes = graph.upper_nodes.size();
  header.upper_links = graph.upper_links.size();
  header.bytes = bytes.size();
  header.content_check = lane_crc32c(bytes.data() + sizeof(Header), bytes.size() - sizeof(Header));
  header.check = lane_crc32c(&header, offsetof(Header, check));
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

std::optional<MultiGraphFile> decode_multi_graph(const std::string& bytes) {
  Header header;
  if (bytes.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.format != kMultiGraphFormat || header.check != lane_crc32c(&header, offsetof(Header, check)) ||
      header.bytes != bytes.size() || header.content_check != lane_crc32c(bytes.data() + sizeof(header), bytes.size() - sizeof(header))) {
    return std::nullopt;
  }
  const uint64_t rows = header.rows, limit = bytes.size();
  if (rows == 0 || header.m == 0 || header.m > 1024 || header.upper_nodes > limit || header.upper_links > limit ||
      sizeof(header) + rows * (12 + 8 * uint64_t{header.m}) + header.upper_nodes * sizeof(UpperNode) + header.upper_links * 4 != bytes.size()) {
    return std::nullopt;
  }
  MultiGraphFile file;
  file.m = header.m;
  file.ef_construct = header.ef_construct;
  const char* at = bytes.data() + sizeof(header);
  file.slots = take<uint32_t>(at, rows);
  file.versions = take<uint64_t>(at, rows);
  file.graph.entry = header.entry;
  file.graph.max_level = header.max_level;
  file.graph.links = take<uint32_t>(at, rows * 2 * header.m);
  file.graph.upper_nodes = take<UpperNode>(at, header.upper_nodes);
  file.graph.upper_links = take<uint32_t>(at, header.upper_links);
  if (!is_sound(file, header.rows)) return std::nullopt;
  return file;
}

Graph without_rows(const Graph& graph, uint32_t m, uint32_t rows, const Bitset& lost) {
  std::vector<uint32_t> numbers(rows, kNoRow);
  uint32_t left = 0;
  for (uint32_t row = 0; row < rows; ++row) {
    if (!lost.test(row)) numbers[row] = left++;
  }
  Graph out;
  out.links.resize(size_t{left} * 2 * m);
  Bridge bridge(lost, numbers);
  for (uint32_t row = 0; row < rows; ++row) {
    if (lost.test(row)) continue;
    bridge.join(row, 2 * m, [&](uint32_t of) { return std::pair(graph.links.data() + size_t{of} * 2 * m, 2 * m); }, out.links.data() + size_t{numbers[row]} * 2 * m);
  }
  const auto upper_links = [&](uint32_t row, uint32_t level) {
    const auto node = std::lower_bound(graph.upper_nodes.begin(), graph.upper_nodes.end(), row, [](const UpperNode& one, uint32_t wanted) { return one.row < wanted; });
    const bool there = node != graph.upper_nodes.end() && node->row == row && node->level >= level;
    return std::pair<const uint32_t*, uint32_t>(there ? graph.upper_links.data() + node->first + size_t{level - 1} * m : nullptr, there ? m : 0);
  };
  for (const UpperNode& node : graph.upper_nodes) {
    if (lost.test(node.row)) continue;
    const uint64_t first = out.upper_links.size();
    out.upper_nodes.push_back({numbers[node.row], node.level, first});
    out.upper_links.resize(first + size_t{node.level} * m);
    for (uint32_t level = 1; level <= node.level; ++level) {
      bridge.join(node.row, m, [&](uint32_t of) { return upper_links(of, level); }, out.upper_links.data() + first + size_t{level - 1} * m);
    }
    if (node.level <= out.max_level) continue;
    out.max_level = node.level;
    out.entry = numbers[node.row];
  }
  return out;
}

}  // namespace sealpoint
