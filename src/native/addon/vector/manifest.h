// The list of an index's live segment files: text, one name a line, with a checksum as its last line. Written whole.
#pragma once
#include <string>
#include <vector>

namespace sealpoint {

constexpr const char* kManifestName = "manifest";
// Multivectors have no segments: in their folder lies the graph over them (multi_graph_file.h).
constexpr const char* kMultiGraphName = "multivectors.graph";
// Follows the name where the manifest's whole folder has lost what it held.
constexpr const char* kAllMissing = ": is missing, and all segments with it";

enum class ManifestState { kMissing, kSound, kDamaged };

ManifestState read_manifest(const std::string& dir, std::vector<std::string>& names);
void write_manifest(const std::string& dir, const std::vector<std::string>& names);

}  // namespace sealpoint
