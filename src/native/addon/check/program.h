// What every check program begins with: its seed, a check that ends it, and a folder that goes with it.
#pragma once
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace sealpoint::checks {

// Of the run, 0 before take_seed: a run with it as its first argument repeats this one.
inline uint64_t run_seed = 0;

// The first argument, or a new one; printed.
inline unsigned take_seed(int argc, char** argv) {
  // Lines come as they are written, also when the program is ended.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  run_seed = argc > 1 ? std::strtoul(argv[1], nullptr, 10) & 0xffffffff : std::random_device()();
  std::printf("%s: seed %llu\n", std::filesystem::path(argv[0]).filename().c_str(), static_cast<unsigned long long>(run_seed));
  return static_cast<unsigned>(run_seed);
}

// A whole number that stands after the seed, or `usual`.
inline int take_number(int argc, char** argv, int place, int usual) { return argc > place ? std::atoi(argv[place]) : usual; }

// An empty folder of this process, removed with this object.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sealpoint-check.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Looks for leaks here and not at the exit: RocksDB's threads end after OpenSSL's own cleanup, which from then on frees no thread's error state.
inline void find_leaks_now() {
#ifdef __SANITIZE_ADDRESS__
  __lsan_do_leak_check();
#endif
}

}  // namespace sealpoint::checks

// Ends the program at once, whatever its other threads do, unless the condition holds; what follows it is printf's.
#define CHECK(condition, ...)                                                                     \
  do {                                                                                            \
    if (!(condition)) {                                                                           \
      std::fprintf(stderr, "%s:%d: failed: %s (seed %llu) ", __FILE__, __LINE__, #condition,      \
                   static_cast<unsigned long long>(::sealpoint::checks::run_seed));               \
      __VA_OPT__(std::fprintf(stderr, __VA_ARGS__);) std::fprintf(stderr, "\n");                  \
      std::_Exit(1);                                                                              \
    }                                                                                             \
  } while (false)
