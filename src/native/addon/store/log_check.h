// What RocksDB's recovery cannot tell apart: a log that ends in a torn write, which nobody was told of, and a log that was damaged later, behind whose
// damage acknowledged writes may lie. Recovery stops at either without a word; so the logs are looked through before it runs.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace sealpoint {

struct LogScan {
  uint64_t last_sequence = 0;       // the greatest that a sound record holds; 0: no records
  std::vector<std::string> damage;  // one line for each damaged log
};

// Reads the RocksDB logs of the folder. A tail that is cut short or holds a sector of zeros is torn, not damaged: nothing of it was synced.
// Throws kUnavailable when a file cannot be read.
LogScan scan_logs(const std::string& folder);

// The sequence number up to which the store once was synced, kept in a file beside the store, so that a log that vanished or was cut short is noticed.
// `why` says when the file is damaged.
struct SyncMark {
  uint64_t sequence = 0;  // 0: not known
  std::string tables;     // the state of the tables when they held all of it; empty: logs may hold some
};
SyncMark read_mark(const std::string& path, std::string& why);
// What that file holds.
std::string mark_text(const SyncMark& mark);
// Tells the store's present list of tables from any other; empty when there is none.
std::string tables_state(const std::string& folder);

}  // namespace sealpoint
