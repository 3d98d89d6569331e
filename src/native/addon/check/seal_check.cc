// Sealing under the sanitizers: sizes and freshness of what comes out, and that no cut or damaged message does harm. That it opens is for test/seal,
// where node and noble open it. Alone: scripts/build-native.sh check address && build/address/seal_check
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "../core/bytes.h"
#include "../seal/seal_batch.h"
#include "program.h"

using namespace sealpoint;

namespace {

constexpr size_t kHeader = 122;

std::string new_point() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  unsigned char* encoded = nullptr;
  const size_t size = EVP_PKEY_get1_encoded_public_key(key, &encoded);
  std::string point(reinterpret_cast<char*>(encoded), size);
  OPENSSL_free(encoded);
  EVP_PKEY_free(key);
  return point;
}

std::string message(const std::string& point, bool fresh, const std::vector<std::string>& plaintexts) {
  ByteWriter out;
  out.text("0123456789abcdef");
  out.u8(fresh ? 1 : 0);
  out.u32(1);
  out.text(point);
  out.text("kid-kid-");
  out.u32(static_cast<uint32_t>(plaintexts.size()));
  for (size_t i = 0; i < plaintexts.size(); ++i) {
    out.u32(0);
    const uint8_t uuid[16] = {1, 2, 3};
    out.id(i % 2 == 0 ? PointId::number(i) : PointId::from_uuid(uuid));
    out.text(plaintexts[i]);
  }
  return out.bytes();
}

std::vector<std::string> envelopes(const std::string& request) {
  const std::string answer = seal_batch(request);
  ByteReader in(answer);
  std::vector<std::string> all;
  for (uint32_t left = in.u32(); left > 0; --left) all.emplace_back(in.text());
  CHECK(in.done());
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  std::mt19937 random(seed);
  const std::string point = new_point();
  const std::vector<std::string> plaintexts = {"", "a", std::string(10'000, 'x'), "the same", "the same"};
  for (const bool fresh : {false, true}) {
    const auto sealed = envelopes(message(point, fresh, plaintexts));
    CHECK(sealed.size() == plaintexts.size());
    std::set<std::string> encs, nonces;
    for (size_t i = 0; i < sealed.size(); ++i) {
      CHECK(sealed[i].size() == kHeader + plaintexts[i].size());
      CHECK(plaintexts[i].empty() || sealed[i].find(plaintexts[i] + plaintexts[i]) == std::string::npos);
      encs.insert(sealed[i].substr(29, 65));
      nonces.insert(sealed[i].substr(94, 12));
    }
    CHECK(encs.size() == (fresh ? sealed.size() : 1));
    CHECK(nonces.size() == sealed.size());
    CHECK(sealed[3].substr(kHeader) != sealed[4].substr(kHeader));
  }
  const std::string whole = message(point, false, {"one", "two"});
  int refused = 0;
  const auto harmless = [&](const std::string& request) {
    try {
      seal_batch(request);
    } catch (const Error&) {
      ++refused;
    }
  };
  for (size_t size = 0; size < whole.size(); ++size) harmless(whole.substr(0, size));
  CHECK(refused == static_cast<int>(whole.size()));
  for (int turn = 0; turn < 2000; ++turn) {
    std::string damaged = whole;
    const size_t at = random() % damaged.size();
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
    harmless(damaged);
  }
  std::string off_curve = point;
  off_curve[64] ^= 1;
  refused = 0;
  harmless(message(off_curve, false, {"x"}));
  harmless(message(std::string(65, '\0'), false, {"x"}));
  CHECK(refused == 2);
  std::printf("seal_check: passed\n");
  return 0;
}
