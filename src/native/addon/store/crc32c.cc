// RocksDB's own checksum, by the processor's instruction. Debian builds librocksdb for any x86-64 and so leaves it to tables, which
// took a tenth of an ingest's CPU (the log, each blob, and once more each file). The library calls this function through its
// procedure linkage table, and the addon comes before it in the order of lookup: so this definition is the one in use. Where it is
// not, everything works as before, only slower; the values are the same (check/codes_check.cc).
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../vector/checksum.h"

namespace rocksdb::crc32c {

// CRC-32C (RFC 3720, appendix B.4) of what `crc` stands for followed by `size` bytes.
__attribute__((visibility("default"))) uint32_t Extend(uint32_t crc, const char* data, size_t size) {
  return sealpoint::extend_crc32c(crc, data, size);
}

}  // namespace rocksdb::crc32c
