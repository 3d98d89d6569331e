#include "manifest.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "../core/status.h"
#include "checksum.h"
#include "segment_file.h"

namespace sealpoint {
namespace {

constexpr const char* kTitle = "sealpoint-vectors 1\n";

std::string check_line(const std::string& text) {
  char line[32];
  std::snprintf(line, sizeof(line), "check %08x\n", lane_crc32c(text.data(), text.size()));
  return line;
}

}  // namespace

ManifestState read_manifest(const std::string& dir, std::vector<std::string>& names) {
  names.clear();
  errno = 0;
  std::ifstream file(dir + "/" + kManifestName, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return ManifestState::kMissing;
    throw Error(ErrorKind::kUnavailable, "cannot open " + dir + "/" + kManifestName + ": " + std::strerror(errno));
  }
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const size_t check = text.rfind("check ");
  const size_t title = std::strlen(kTitle);
  if (check == std::string::npos || text.compare(0, title, kTitle) != 0 || check < title ||
      text.substr(check) != check_line(text.substr(0, check))) {
    return ManifestState::kDamaged;
  }
  std::istringstream lines(text.substr(title, check - title));
  for (std::string name; std::getline(lines, name);) names.push_back(name);
  return ManifestState::kSound;
}

void write_manifest(const std::string& dir, const std::vector<std::string>& names) {
  std::string text = kTitle;
  for (const std::string& name : names) text += name + "\n";
  write_file_durably(dir + "/" + kManifestName, text + check_line(text));
}

}  // namespace sealpoint
