#include "seal_batch.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <memory>
#include <vector>

#include "../core/bytes.h"

namespace sealpoint {

namespace {

constexpr size_t kHash = 32;
constexpr size_t kPoint = 65;
constexpr size_t kNonce = 12;
constexpr size_t kTag = 16;
constexpr uint8_t kVersion = 1;
constexpr uint16_t kAlgorithm = 0x0001;

using Block = std::array<unsigned char, kHash>;

// A secret that is wiped when it goes.
struct Secret : Block {
  Secret() : Block{} {}
  Secret(const Secret&) = default;
  ~Secret() { OPENSSL_cleanse(data(), size()); }
};

std::string_view view(const Block& block) { return {reinterpret_cast<const char*>(block.data()), block.size()}; }

void require(bool good) {
  // Neither the reason nor the state of libcrypto is told: an error must not speak of keys.
  if (!good) throw Error(ErrorKind::kInternal, "sealing failed");
}

template <auto Free>
struct Release {
  template <typename T>
  void operator()(T* handle) const {
    Free(handle);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Release<EVP_PKEY_CTX_free>>;
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, Release<EVP_CIPHER_CTX_free>>;

Secret hmac(std::string_view key, const std::string& message) {
  Secret out;
  unsigned size = 0;
  require(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(message.data()), message.size(),
               out.data(), &size) != nullptr &&
          size == kHash);
  return out;
}

// RFC 9180 section 4: LabeledExtract. HKDF-Extract without salt is HMAC under zeros (RFC 5869 section 2.2).
Secret labeled_extract(std::string_view salt, std::string_view suite, std::string_view label, std::string_view ikm) {
  static const std::string zeros(kHash, '\0');
  std::string message = "HPKE-v1";
  message.append(suite).append(label).append(ikm);
  Secret out = hmac(salt.empty() ? std::string_view(zeros) : salt, message);
  OPENSSL_cleanse(message.data(), message.size());
  return out;
}

// RFC 9180 section 4: LabeledExpand, for the one length that is needed, one block.
Secret labeled_expand(const Block& prk, std::string_view suite, std::string_view label, std::string_view info) {
  std::string message("\x00\x20HPKE-v1", 9);
  message.append(suite).append(label).append(info).push_back(1);
  return hmac(view(prk), message);
}

// DHKEM(P-256, HKDF-SHA256): "KEM" and 0x0010. HPKE: 0x0010, 0x0001, 0x0002.
constexpr std::string_view kKemSuite("KEM\x00\x10", 5);
constexpr std::string_view kSuite("HPKE\x00\x10\x00\x01\x00\x02", 10);
constexpr std::string_view kInfo = "sealpoint/v1";

Key public_key(std::string_view point) {
  if (point.size() != kPoint || point[0] != 4) throw Error(ErrorKind::kBadInput, "a recipient's public key is not an uncompressed P-256 point", "public_key");
  Key key(EVP_PKEY_new());
  Key parameters(EVP_EC_gen("P-256"));
  require(key != nullptr && parameters != nullptr);
  // Copies the group; the point is checked to lie on the curve when it is set.
  require(EVP_PKEY_copy_parameters(key.get(), parameters.get()) == 1);
  if (EVP_PKEY_set1_encoded_public_key(key.get(), reinterpret_cast<const unsigned char*>(point.data()), point.size()) != 1) {
    throw Error(ErrorKind::kBadInput, "a recipient's public key is not a point of P-256", "public_key");
  }
  return key;
}

// A sender's context (RFC 9180 section 5.1.1: SetupBaseS) as far as the exporter needs it.
struct Sender {
  std::string enc;
  Secret exporter;

  Sender(EVP_PKEY* recipient, std::string_view point) {
    Key ephemeral(EVP_EC_gen("P-256"));
    require(ephemeral != nullptr);
    unsigned char* encoded = nullptr;
    const size_t size = EVP_PKEY_get1_encoded_public_key(ephemeral.get(), &encoded);
    if (encoded != nullptr) enc.assign(reinterpret_cast<char*>(encoded), size);
    OPENSSL_free(encoded);
    require(enc.size() == kPoint);
    KeyContext context(EVP_PKEY_CTX_new(ephemeral.get(), nullptr));
    Secret dh;
    size_t length = dh.size();
    require(context != nullptr && EVP_PKEY_derive_init(context.get()) == 1 && EVP_PKEY_derive_set_peer(context.get(), recipient) == 1 &&
            EVP_PKEY_derive(context.get(), dh.data(), &length) == 1 && length == kHash);
    // Section 4.1: ExtractAndExpand.
    const Secret eae = labeled_extract({}, kKemSuite, "eae_prk", view(dh));
    const Secret shared = labeled_expand(eae, kKemSuite, "shared_secret", enc + std::string(point));
    // Section 5.1: KeySchedule for mode_base, up to exporter_secret.
    std::string schedule(1, '\0');
    schedule.append(view(labeled_extract({}, kSuite, "psk_id_hash", {}))).append(view(labeled_extract({}, kSuite, "info_hash", kInfo)));
    const Secret secret = labeled_extract(view(shared), kSuite, "secret", {});
    exporter = labeled_expand(secret, kSuite, "exp", schedule);
  }
};

}  // namespace

struct Sealer::Parts {
  std::string sealing_id, point, kid;
  bool fresh;
  Key key;
  Cipher cipher;
  std::unique_ptr<Sender> sender;
};

Sealer::Sealer(std::string_view sealing_id, std::string_view point, std::string_view kid, bool fresh)
    : parts_(new Parts{std::string(sealing_id), std::string(point), std::string(kid), fresh, nullptr, nullptr, nullptr}) {
  if (sealing_id.size() != 16) throw Error(ErrorKind::kInternal, "a sealing id has 16 bytes");
  if (kid.size() != 8) throw Error(ErrorKind::kInternal, "a key id has 8 bytes");
  parts_->key = public_key(point);
  parts_->cipher.reset(EVP_CIPHER_CTX_new());
  require(parts_->cipher != nullptr && EVP_EncryptInit_ex(parts_->cipher.get(), EVP_aes_256_gcm(), nullptr, nullptr, nullptr) == 1);
}

Sealer::Sealer(Sealer&&) noexcept = default;
Sealer::~Sealer() = default;

void Sealer::seal(std::string& out, const PointId& id, std::string_view plaintext) {
  Parts& with = *parts_;
  if (with.sender == nullptr || with.fresh) with.sender = std::make_unique<Sender>(with.key.get(), with.point);
  const Sender& sender = *with.sender;
  EVP_CIPHER_CTX* const cipher = with.cipher.get();
  std::string aad;
  aad.push_back(static_cast<char>(kVersion));
  aad.push_back(static_cast<char>(kAlgorithm >> 8));
  aad.push_back(static_cast<char>(kAlgorithm & 0xff));
  aad.append(with.sealing_id);
  id.append_key(aad);
  const Secret key = labeled_expand(sender.exporter, kSuite, "sec", aad);
  unsigned char nonce[kNonce], tag[kTag];
  require(RAND_bytes(nonce, kNonce) == 1);
  out.append(aad, 0, 3).append(with.sealing_id).append(with.kid);
  out.push_back(0);
  out.push_back(static_cast<char>(kPoint));
  out.append(sender.enc).append(reinterpret_cast<char*>(nonce), kNonce);
  const size_t tag_at = out.size();
  out.resize(tag_at + kTag + plaintext.size());
  auto* ciphertext = reinterpret_cast<unsigned char*>(out.data()) + tag_at + kTag;
  int size = 0, rest = 0;
  require(EVP_EncryptInit_ex(cipher, nullptr, nullptr, key.data(), nonce) == 1 &&
          EVP_EncryptUpdate(cipher, nullptr, &size, reinterpret_cast<const unsigned char*>(aad.data()), static_cast<int>(aad.size())) == 1);
  size = 0;
  require(plaintext.empty() || EVP_EncryptUpdate(cipher, ciphertext, &size, reinterpret_cast<const unsigned char*>(plaintext.data()),
                                                 static_cast<int>(plaintext.size())) == 1);
  require(EVP_EncryptFinal_ex(cipher, ciphertext + size, &rest) == 1 && static_cast<size_t>(size + rest) == plaintext.size() &&
          EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, kTag, tag) == 1);
  std::memcpy(out.data() + tag_at, tag, kTag);
}

std::string seal_batch(std::string_view message) {
  ByteReader in(message);
  const std::string_view sealing_id = in.text();
  const bool fresh = in.u8() != 0;
  const uint32_t known = in.u32();
  // A count that the message cannot hold asks for no memory.
  if (known > in.left()) throw Error(ErrorKind::kInternal, "native message is cut short");
  std::vector<Sealer> recipients;
  recipients.reserve(known);
  for (uint32_t number = 0; number < known; ++number) {
    const std::string_view point = in.text();
    recipients.emplace_back(sealing_id, point, in.text(), fresh);
  }
  const uint32_t count = in.u32();
  if (count > in.left()) throw Error(ErrorKind::kInternal, "native message is cut short");
  ByteWriter out;
  out.bytes().reserve(in.left() + size_t{count} * 128);
  out.u32(count);
  for (uint32_t row = 0; row < count; ++row) {
    const uint32_t number = in.u32();
    if (number >= recipients.size()) throw Error(ErrorKind::kInternal, "a row names no recipient");
    const PointId id = in.id();
    const std::string_view plaintext = in.text();
    out.u32(static_cast<uint32_t>(Sealer::kHead + plaintext.size()));
    recipients[number].seal(out.bytes(), id, plaintext);
  }
  return std::move(out.bytes());
}

}  // namespace sealpoint
