#include "state_file.h"

#include <unistd.h>

#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "../vector/checksum.h"
#include "../vector/segment_file.h"

namespace sealpoint {

namespace {

struct Header {
  char magic[8];
  uint32_t format;
  uint32_t kind;
  uint32_t cid;
  uint32_t unused;
  uint64_t operation;
  uint64_t stamp;
  uint64_t bytes;  // of the content
  uint32_t content_check;
  uint32_t check;  // of all above
};
static_assert(sizeof(Header) == 56);

constexpr char kMagic[8] = {'S', 'P', 'S', 'T', 'A', 'T', 'E', '\n'};
constexpr const char* kEnding = ".state";

std::string file_name(StateKind kind, const StateName& name) {
  const char* const kinds[] = {"points", "indexes", "rows"};
  char text[64];
  std::snprintf(text, sizeof(text), "%s-%016" PRIx64 "-%016" PRIx64 "%s", kinds[static_cast<size_t>(kind)], name.operation, name.stamp, kEnding);
  return text;
}

Header header_of(StateKind kind, uint32_t cid, const StateName& name, std::string_view content) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.format = kStateFormat;
  header.kind = static_cast<uint32_t>(kind);
  header.cid = cid;
  header.operation = name.operation;
  header.stamp = name.stamp;
  header.bytes = content.size();
  header.content_check = lane_crc32c(content.data(), content.size());
  header.check = lane_crc32c(&header, offsetof(Header, check));
  return header;
}

}  // namespace

std::string state_path(const std::string& folder, StateKind kind, const StateName& name) { return folder + "/" + file_name(kind, name); }

std::string begin_state() { return std::string(sizeof(Header), '\0'); }

std::string_view state_content(const std::string& bytes) { return std::string_view(bytes).substr(sizeof(Header)); }

void write_state(const std::string& folder, StateKind kind, uint32_t cid, const StateName& name, std::string bytes) {
  const Header header = header_of(kind, cid, name, state_content(bytes));
  std::memcpy(bytes.data(), &header, sizeof(header));
  write_file_durably(state_path(folder, kind, name), bytes);
}

std::optional<std::string> read_state(const std::string& folder, StateKind kind, uint32_t cid, const StateName& name) {
  auto bytes = read_whole_file(state_path(folder, kind, name));
  // A file that cannot be read is as good as none: the store has it all.
  if (!bytes || bytes->size() < sizeof(Header)) return std::nullopt;
  const Header wanted = header_of(kind, cid, name, state_content(*bytes));
  if (std::memcmp(bytes->data(), &wanted, sizeof(wanted)) != 0) return std::nullopt;
  return bytes;
}

void remove_states(const std::string& folder, const StateName* kept) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    const std::string name = entry.path().filename().string();
    if (name.find(kEnding) == std::string::npos) continue;
    bool keep = false;
    for (const StateKind kind : kStateKinds) keep = keep || (kept != nullptr && name == file_name(kind, *kept));
    if (!keep) ::unlink(entry.path().c_str());
  }
}

}  // namespace sealpoint
