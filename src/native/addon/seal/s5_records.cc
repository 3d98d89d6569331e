#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "../core/status.h"
#include "../core/utf8.h"
#include "../payload/wire.h"
#include "json_cursor.h"
#include "json_number.h"
#include "s5_chunk.h"

namespace sealpoint {

namespace {

constexpr size_t kIdBytesMax = 1024;
// Deeper or greater is for the usual reader, which knows the limits.
constexpr size_t kDepthMax = 64;
constexpr size_t kMetadataBytesMax = 1 << 20;
constexpr size_t kAllMetadataBytesMax = 64 << 20;
constexpr double kSafeInteger = 9007199254740991;
constexpr std::string_view kIdKey = "_id";
// The namespace of record-ids.ts: it may never change.
constexpr uint8_t kNamespace[16] = {0x7c, 0x1e, 0x6f, 0x0a, 0x3f, 0x0b, 0x4d, 0x51, 0x9d, 0x3c, 0x5a, 0x5b, 0x8f, 0x6e, 0x2d, 0x47};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool read_decimal(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 20 || (text[0] == '0' && text.size() > 1)) return false;
  out = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (out > (UINT64_MAX - digit) / 10) return false;
    out = out * 10 + digit;
  }
  return true;
}

bool read_uuid(std::string_view text, uint8_t* out) {
  if (text.size() != 36) return false;
  size_t at = 0;
  for (size_t i = 0; i < text.size();) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i++] != '-') return false;
      continue;
    }
    const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    out[at++] = static_cast<uint8_t>(high << 4 | low);
    i += 2;
  }
  return true;
}

PointId to_point_id(std::string_view id) {
  uint64_t number = 0;
  if (read_decimal(id, number)) return PointId::number(number);
  uint8_t uuid[EVP_MAX_MD_SIZE];
  if (read_uuid(id, uuid)) return PointId::from_uuid(uuid);
  WipedText named(reinterpret_cast<const char*>(kNamespace), sizeof(kNamespace));
  named.append(id);
  // RFC 9562 section 5.5.
  if (EVP_Digest(named.data(), named.size(), uuid, nullptr, EVP_sha1(), nullptr) != 1) throw Error(ErrorKind::kInternal, "a hash failed");
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x50);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);
  return PointId::from_uuid(uuid);
}

// JSON as JSON.parse takes it, but that an object has each key once and spells none with escapes.
class RecordsReader : private JsonCursor {
 public:
  RecordsReader(std::string_view json, uint32_t chunk, uint32_t rows, bool keep_ids, S5Records& out)
      : JsonCursor(json), chunk_(chunk), rows_(rows), keep_ids_(keep_ids), out_(out) {}

  bool read() {
    bool numbered = false, listed = false;
    const bool sound = object([&](std::string_view key) {
      if (key == "chunkId") {
        space();
        double number;
        numbered = read_json_number(at_, end_, number) && number == chunk_;
        return numbered;
      }
      if (key != "vectors") return skip();
      listed = records();
      return listed;
    });
    space();
    return sound && numbered && listed && at_ == end_;
  }

 private:
  bool word(std::string_view text) {
    if (static_cast<size_t>(end_ - at_) < text.size() || std::string_view(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }
  bool skip() {
    scratch_.clear();
    return value(scratch_, 0);
  }

  // Member(std::string_view key) -> bool reads a member's value.
  template <typename Member>
  bool object(Member&& member) {
    if (!take('{')) return false;
    if (take('}')) return true;
    std::vector<std::string_view> few;
    std::unordered_set<std::string_view> many;
    do {
      std::string_view key;
      if (!plain_key(key)) return false;
      if (few.size() < kFewKeys) {
        if (std::find(few.begin(), few.end(), key) != few.end()) return false;
        few.push_back(key);
      } else {
        if (many.empty()) many.insert(few.begin(), few.end());
        if (!many.insert(key).second) return false;
      }
      if (!take(':') || !member(key)) return false;
    } while (take(','));
    return take('}');
  }

  bool plain_key(std::string_view& key) {
    if (!take('"')) return false;
    const char* const start = at_;
    while (at_ < end_ && *at_ != '"') {
      if (*at_ == '\\' || static_cast<uint8_t>(*at_) < 0x20) return false;
      ++at_;
    }
    if (at_ == end_) return false;
    key = {start, static_cast<size_t>(at_++ - start)};
    return valid_utf8(key);
  }

  // Behind its first quote; the text itself goes to `out`.
  bool string(WipedText& out) {
    const size_t before = out.size();
    for (;;) {
      const char* const start = at_;
      while (at_ < end_ && *at_ != '"' && *at_ != '\\' && static_cast<uint8_t>(*at_) >= 0x20) ++at_;
      if (at_ == end_ || static_cast<uint8_t>(*at_) < 0x20) return false;
      out.append(start, static_cast<size_t>(at_ - start));
      if (*at_++ == '"') return valid_utf8({out.data() + before, out.size() - before});
      if (!escape(out)) return false;
    }
  }
  bool escape(WipedText& out) {
    if (at_ == end_) return false;
    switch (*at_++) {
      case '"':
        return out.push_back('"'), true;
      case '\\':
        return out.push_back('\\'), true;
      case '/':
        return out.push_back('/'), true;
      case 'b':
        return out.push_back('\b'), true;
      case 'f':
        return out.push_back('\f'), true;
      case 'n':
        return out.push_back('\n'), true;
      case 'r':
        return out.push_back('\r'), true;
      case 't':
        return out.push_back('\t'), true;
      case 'u':
        break;
      default:
        return false;
    }
    uint32_t code, low;
    if (!unit(code) || (code >= 0xdc00 && code <= 0xdfff)) return false;
    if (code >= 0xd800 && code <= 0xdbff) {
      if (!word("\\u") || !unit(low) || low < 0xdc00 || low > 0xdfff) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code < 0x80) {
      out.push_back(static_cast<char>(code));
      return true;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    out.push_back(static_cast<char>((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | code >> (6 * more)));
    for (int shift = 6 * (more - 1); shift >= 0; shift -= 6) out.push_back(static_cast<char>(0x80 | (code >> shift & 0x3f)));
    return true;
  }
  bool unit(uint32_t& code) {
    if (end_ - at_ < 4) return false;
    code = 0;
    for (int i = 0; i < 4; ++i) {
      const int digit = hex_digit(*at_++);
      if (digit < 0) return false;
      code = code << 4 | static_cast<uint32_t>(digit);
    }
    return true;
  }

  // Runs `body`, which appends a message, and remembers what it says.
  template <typename Body>
  bool message(WipedText& out, uint32_t field, Body&& body) {
    bool sound = false;
    payload::put_message(out, field, kLikelyBytes, [&] { sound = body(); });
    return sound;
  }
  bool entry(WipedText& out, uint32_t field, std::string_view key, size_t depth) {
    return message(out, field, [&] {
      payload::put_bytes(out, 1, key);
      return message(out, 2, [&] { return value(out, depth); });
    });
  }

  // A qdrant.Value of what stands here, as src/wire/payload-codec.ts writes it.
  bool value(WipedText& out, size_t depth) {
    space();
    if (at_ == end_ || depth > kDepthMax) return false;
    switch (*at_) {
      case '"':
        ++at_;
        return message(out, 4, [&] { return string(out); });
      case '{':
        return message(out, 6, [&] { return object([&](std::string_view key) { return entry(out, payload::kStructField, key, depth + 1); }); });
      case '[':
        return message(out, 7, [&] { return list(out, depth + 1); });
      case 'n':
        out.append({'\x08', '\0'});
        return word("null");
      case 't':
        out.append({'\x28', '\1'});
        return word("true");
      case 'f':
        out.append({'\x28', '\0'});
        return word("false");
      default:
        return number(out);
    }
  }
  bool list(WipedText& out, size_t depth) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!message(out, 1, [&] { return value(out, depth); })) return false;
    } while (take(','));
    return take(']');
  }
  bool number(WipedText& out) {
    double read;
    if (!read_json_number(at_, end_, read)) return false;
    // JSON does not tell 1 from 1.0.
    if (read == std::trunc(read) && std::fabs(read) <= kSafeInteger && !(read == 0 && std::signbit(read))) {
      out.push_back('\x18');
      payload::put_varint(out, static_cast<uint64_t>(static_cast<int64_t>(read)));
    } else {
      out.push_back('\x11');
      out.append(reinterpret_cast<const char*>(&read), sizeof(read));
    }
    return true;
  }

  bool records() {
    if (!take('[')) return false;
    if (take(']')) return rows_ == 0;
    uint32_t row = 0;
    do {
      if (row++ == rows_ || !record()) return false;
    } while (take(','));
    return row == rows_ && take(']');
  }

  bool record() {
    const size_t id_start = out_.ids.size(), metadata_start = out_.metadata.size();
    bool named = false;
    WipedText own_id;  // the metadata's own `_id`
    bool has_own_id = false;
    const bool sound = object([&](std::string_view key) {
      if (key == "id") {
        named = take('"') && string(out_.ids);
        return named;
      }
      if (key != "metadata") return skip();
      space();
      if (word("null")) return true;
      return object([&](std::string_view name) {
        if (name == payload::kSealedKey) return false;
        const size_t start = out_.metadata.size();
        if (!entry(out_.metadata, payload::kRootField, name, 1)) return false;
        if (name == kIdKey) {
          has_own_id = true;
          own_id.assign(out_.metadata, start);
        }
        return true;
      });
    });
    const std::string_view id(out_.ids.data() + id_start, out_.ids.size() - id_start);
    if (!sound || !named || id.empty() || id.size() > kIdBytesMax) return false;
    const PointId point = to_point_id(id);
    if (keep_ids_ && id_text(point) != id) {
      WipedText kept;
      payload::put_message(kept, payload::kRootField, kLikelyBytes, [&] {
        payload::put_bytes(kept, 1, kIdKey);
        payload::put_message(kept, 2, kLikelyBytes, [&] { payload::put_bytes(kept, 4, id); });
      });
      if (!has_own_id) out_.metadata.append(kept);
      else if (own_id != kept) return false;
    }
    if (out_.metadata.size() - metadata_start > kMetadataBytesMax || out_.metadata.size() > kAllMetadataBytesMax) return false;
    out_.points.push_back(point);
    out_.id_ends.push_back(static_cast<uint32_t>(out_.ids.size()));
    out_.metadata_ends.push_back(static_cast<uint32_t>(out_.metadata.size()));
    return true;
  }

  static constexpr size_t kFewKeys = 16;
  static constexpr size_t kLikelyBytes = 64;

  const uint32_t chunk_;
  const uint32_t rows_;
  const bool keep_ids_;
  S5Records& out_;
  WipedText scratch_;
};

}  // namespace

bool read_s5_records(std::string_view json, uint32_t chunk, uint32_t rows, bool keep_ids, S5Records& out) {
  out.points.reserve(rows);
  out.id_ends.reserve(rows);
  out.metadata_ends.reserve(rows);
  out.metadata.reserve(std::min(json.size(), kAllMetadataBytesMax));
  return RecordsReader(json, chunk, rows, keep_ids, out).read();
}

}  // namespace sealpoint
