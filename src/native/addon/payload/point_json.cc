#include "point_json.h"

#include <cstring>

#include "../core/number_text.h"
#include "../core/status.h"
#include "payload.h"
#include "wire.h"

namespace sealpoint::payload {
namespace {

[[noreturn]] void fail() { throw Error(ErrorKind::kDataLoss, "a stored payload is damaged"); }

void require(bool sound) {
  if (!sound) fail();
}

constexpr uint32_t tag_of(uint32_t field, uint32_t type) { return field << 3 | type; }

// Calls visit(tag, reader) for each field; what it does not read, and says so by false, is skipped.
template <typename Visit>
void each_field(std::string_view message, Visit visit) {
  WireReader reader(message);
  uint32_t field, type;
  while (!reader.done()) {
    require(reader.tag(field, type));
    if (!visit(tag_of(field, type), reader)) require(reader.skip(type));
  }
}

std::string_view bytes_of(WireReader& reader) {
  std::string_view bytes;
  require(reader.bytes(bytes));
  return bytes;
}

uint64_t varint_of(WireReader& reader) {
  uint64_t value;
  require(reader.varint(value));
  return value;
}

double double_of(WireReader& reader) {
  uint64_t bits;
  require(reader.fixed64(bits));
  double value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

void append_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  size_t from = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<uint8_t>(text[at]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    out.append(text.substr(from, at - from));
    from = at + 1;
    switch (byte) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        out += "\\u00";
        out.push_back(kHex[byte >> 4]);
        out.push_back(kHex[byte & 15]);
    }
  }
  out.append(text.substr(from)).push_back('"');
}

void append_value(std::string& out, std::string_view bytes, size_t depth);

// qdrant.Struct's fields and a point's payload: entries of one key each, as payloads are checked at the write.
void append_entry(std::string& out, std::string_view entry, size_t depth) {
  std::string_view key, value;
  each_field(entry, [&](uint32_t tag, WireReader& reader) {
    if (tag == tag_of(1, 2)) key = bytes_of(reader);
    else if (tag == tag_of(2, 2)) value = bytes_of(reader);
    else return false;
    return true;
  });
  append_string(out, key);
  out.push_back(':');
  append_value(out, value, depth);
}

void append_value(std::string& out, std::string_view bytes, size_t depth) {
  if (depth > Bounds().depth_max + 1) fail();
  const size_t start = out.size();
  bool any = false;
  auto begin = [&] {
    // The last one counts.
    if (any) out.resize(start);
    any = true;
  };
  each_field(bytes, [&](uint32_t tag, WireReader& reader) {
    if (tag == tag_of(1, 0)) {
      begin();
      varint_of(reader);
      out += "null";
    } else if (tag == tag_of(2, 1)) {
      begin();
      append_double(out, double_of(reader));
    } else if (tag == tag_of(3, 0)) {
      begin();
      out += std::to_string(static_cast<int64_t>(varint_of(reader)));
    } else if (tag == tag_of(4, 2)) {
      begin();
      append_string(out, bytes_of(reader));
    } else if (tag == tag_of(5, 0)) {
      begin();
      out += varint_of(reader) != 0 ? "true" : "false";
    } else if (tag == tag_of(6, 2) || tag == tag_of(7, 2)) {
      begin();
      const bool is_list = tag == tag_of(7, 2);
      out.push_back(is_list ? '[' : '{');
      bool first = true;
      each_field(bytes_of(reader), [&](uint32_t inner, WireReader& members) {
        if (inner != tag_of(1, 2)) return false;
        if (!first) out.push_back(',');
        first = false;
        if (is_list) append_value(out, bytes_of(members), depth + 1);
        else append_entry(out, bytes_of(members), depth + 1);
        return true;
      });
      out.push_back(is_list ? ']' : '}');
    } else {
      return false;
    }
    return true;
  });
  if (!any) out += "null";
}

void append_floats(std::string& out, std::string_view packed) {
  for (size_t at = 0; at + 4 <= packed.size(); at += 4) {
    float value;
    std::memcpy(&value, packed.data() + at, sizeof(value));
    if (at > 0) out.push_back(',');
    append_float(out, value);
  }
}

// qdrant.DenseVector { data = 1 }
void append_dense(std::string& out, std::string_view vector) {
  std::string_view data;
  each_field(vector, [&](uint32_t tag, WireReader& reader) {
    if (tag != tag_of(1, 2)) return false;
    data = bytes_of(reader);
    return true;
  });
  out.push_back('[');
  append_floats(out, data);
  out.push_back(']');
}

// qdrant.SparseVector { values = 1, indices = 2 }; JSON has the indices first.
void append_sparse(std::string& out, std::string_view vector) {
  std::string_view values, indices;
  each_field(vector, [&](uint32_t tag, WireReader& reader) {
    if (tag == tag_of(1, 2)) values = bytes_of(reader);
    else if (tag == tag_of(2, 2)) indices = bytes_of(reader);
    else return false;
    return true;
  });
  out += "{\"indices\":[";
  WireReader reader(indices);
  for (bool first = true; !reader.done(); first = false) {
    if (!first) out.push_back(',');
    out += std::to_string(varint_of(reader));
  }
  out += "],\"values\":[";
  append_floats(out, values);
  out += "]}";
}

// qdrant.MultiDenseVector { vectors = 1 }
void append_multi(std::string& out, std::string_view vector) {
  out.push_back('[');
  bool first = true;
  each_field(vector, [&](uint32_t tag, WireReader& reader) {
    if (tag != tag_of(1, 2)) return false;
    if (!first) out.push_back(',');
    first = false;
    append_dense(out, bytes_of(reader));
    return true;
  });
  out.push_back(']');
}

// qdrant.VectorOutput { dense = 101, sparse = 102, multi_dense = 103 }
void append_vector(std::string& out, std::string_view vector) {
  uint32_t kind = 0;
  std::string_view body;
  each_field(vector, [&](uint32_t tag, WireReader& reader) {
    if (tag != tag_of(101, 2) && tag != tag_of(102, 2) && tag != tag_of(103, 2)) return false;
    kind = tag >> 3;
    body = bytes_of(reader);
    return true;
  });
  if (kind == 101) append_dense(out, body);
  else if (kind == 102) append_sparse(out, body);
  else if (kind == 103) append_multi(out, body);
  else out += "[]";
}

// qdrant.NamedVectorsOutput { vectors = 1: map<string, VectorOutput> }
void append_named(std::string& out, std::string_view named) {
  out.push_back('{');
  bool first = true;
  each_field(named, [&](uint32_t tag, WireReader& reader) {
    if (tag != tag_of(1, 2)) return false;
    std::string_view key, vector;
    each_field(bytes_of(reader), [&](uint32_t part, WireReader& entry) {
      if (part == tag_of(1, 2)) key = bytes_of(entry);
      else if (part == tag_of(2, 2)) vector = bytes_of(entry);
      else return false;
      return true;
    });
    if (!first) out.push_back(',');
    first = false;
    append_string(out, key);
    out.push_back(':');
    append_vector(out, vector);
    return true;
  });
  out.push_back('}');
}

// qdrant.VectorsOutput { vector = 1, vectors = 2 }
void append_vectors(std::string& out, std::string_view vectors) {
  uint32_t kind = 0;
  std::string_view body;
  each_field(vectors, [&](uint32_t tag, WireReader& reader) {
    if (tag != tag_of(1, 2) && tag != tag_of(2, 2)) return false;
    kind = tag >> 3;
    body = bytes_of(reader);
    return true;
  });
  if (kind == 1) append_vector(out, body);
  else if (kind == 2) append_named(out, body);
  else out += "{}";
}

// qdrant.PointId { num = 1, uuid = 2 }
void append_id(std::string& out, std::string_view id) {
  const size_t start = out.size();
  each_field(id, [&](uint32_t tag, WireReader& reader) {
    if (tag != tag_of(1, 0) && tag != tag_of(2, 2)) return false;
    out.resize(start);
    if (tag == tag_of(1, 0)) out += std::to_string(varint_of(reader));
    else append_string(out, bytes_of(reader));
    return true;
  });
  if (out.size() == start) out.push_back('0');
}

// qdrant.OrderValue { int = 1, float = 2 }
void append_order(std::string& out, std::string_view order) {
  const size_t start = out.size();
  each_field(order, [&](uint32_t tag, WireReader& reader) {
    if (tag != tag_of(1, 0) && tag != tag_of(2, 1)) return false;
    out.resize(start);
    if (tag == tag_of(1, 0)) out += std::to_string(static_cast<int64_t>(varint_of(reader)));
    else append_double(out, double_of(reader));
    return true;
  });
  if (out.size() == start) out.push_back('0');
}

// qdrant.ShardKey: a text, or a number.
void append_shard_key(std::string& out, std::string_view key) {
  each_field(key, [&](uint32_t tag, WireReader& reader) {
    if (tag == tag_of(1, 2)) {
      append_string(out, bytes_of(reader));
    } else if (tag == tag_of(2, 0)) {
      out += std::to_string(varint_of(reader));
    } else {
      return false;
    }
    return true;
  });
}

// ScoredPoint { id = 1, payload = 2, score = 3, version = 5, vectors = 6, shard_key = 7, order_value = 8 };
// RetrievedPoint { id = 1, payload = 2, vectors = 4, shard_key = 5, order_value = 6 }.
void append_point(std::string& out, std::string_view point, PointForm form) {
  const uint32_t vectors_tag = tag_of(form.scored ? 6 : 4, 2), shard_tag = tag_of(form.scored ? 7 : 5, 2);
  const uint32_t order_tag = tag_of(form.scored ? 8 : 6, 2);
  std::string_view id, vectors, shard_key, order;
  bool has_vectors = false, has_order = false;
  uint64_t version = 0;
  float score = 0;
  std::string entries;
  each_field(point, [&](uint32_t tag, WireReader& reader) {
    if (tag == tag_of(1, 2)) {
      id = bytes_of(reader);
    } else if (tag == tag_of(2, 2)) {
      if (!entries.empty()) entries.push_back(',');
      append_entry(entries, bytes_of(reader), 1);
    } else if (form.scored && tag == tag_of(3, 5)) {
      const char* const at = reader.at();
      require(reader.skip(5));
      std::memcpy(&score, at, sizeof(score));
    } else if (form.scored && tag == tag_of(5, 0)) {
      version = varint_of(reader);
    } else if (tag == vectors_tag) {
      vectors = bytes_of(reader);
      has_vectors = true;
    } else if (tag == shard_tag) {
      shard_key = bytes_of(reader);
    } else if (tag == order_tag) {
      order = bytes_of(reader);
      has_order = true;
    } else {
      return false;
    }
    return true;
  });
  out += "{\"id\":";
  append_id(out, id);
  if (form.scored) {
    out += ",\"version\":";
    out += std::to_string(version);
    out += ",\"score\":";
    append_float(out, score);
  }
  if (form.payload || !entries.empty()) {
    out += ",\"payload\":{";
    out += entries;
    out.push_back('}');
  }
  if (has_vectors) {
    out += ",\"vector\":";
    append_vectors(out, vectors);
  }
  if (!shard_key.empty()) {
    out += ",\"shard_key\":";
    append_shard_key(out, shard_key);
  }
  if (has_order) {
    out += ",\"order_value\":";
    append_order(out, order);
  }
  out.push_back('}');
}

}  // namespace

size_t append_points(std::string& out, std::string_view message, size_t at, uint32_t tag, PointForm form, size_t most) {
  const size_t before = out.size();
  WireReader reader(message.substr(at));
  while (!reader.done() && out.size() - before <= most) {
    uint32_t field, type;
    require(reader.tag(field, type));
    if (tag_of(field, type) != tag) break;
    if (out.size() > before) out.push_back(',');
    append_point(out, bytes_of(reader), form);
    at = static_cast<size_t>(reader.at() - message.data());
  }
  return at;
}

}  // namespace sealpoint::payload
