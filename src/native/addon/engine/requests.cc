#include "requests.h"

#include "../payload/payload.h"

namespace sealpoint {

std::vector<std::string> read_texts(ByteReader& in) {
  std::vector<std::string> texts;
  const uint32_t count = in.u32();
  texts.reserve(std::min<size_t>(count, in.left() / 4));
  for (uint32_t i = 0; i < count; ++i) texts.emplace_back(in.text());
  return texts;
}

PayloadSelector PayloadSelector::read(ByteReader& in) {
  PayloadSelector selector;
  selector.kind = static_cast<Kind>(in.u8());
  if (selector.kind == Kind::kInclude || selector.kind == Kind::kExclude) {
    selector.keys = read_texts(in);
    for (const auto& key : selector.keys) payload::check_path(key);
  }
  return selector;
}

bool PayloadSelector::apply(std::string_view payload, std::string& out) const {
  if (kind == Kind::kInclude) {
    out = payload::include(payload, keys);
    return true;
  }
  if (kind == Kind::kExclude) {
    out = payload::exclude(payload, keys);
    return true;
  }
  return false;
}

VectorsSelector VectorsSelector::read(ByteReader& in) {
  VectorsSelector selector;
  selector.kind = static_cast<Kind>(in.u8());
  if (selector.kind == Kind::kNames) selector.names = read_texts(in);
  return selector;
}

FilterRequest FilterRequest::read(ByteReader& in) {
  FilterRequest request;
  request.plain_only = in.u8() != 0;
  const std::string_view program = in.text();
  if (!program.empty()) request.filter = Filter::decode(program);
  request.program = program;
  return request;
}

SearchRequest SearchRequest::read(ByteReader& in) {
  SearchRequest request;
  request.using_vector = in.text();
  if (in.u8() != 0) {
    request.by_id = in.id();
  } else {
    request.dim = in.u32();
    request.query = in.span(size_t{request.dim} * 4);
  }
  request.limit = in.u32();
  request.offset = in.u32();
  const uint8_t flags = in.u8();
  request.exact = (flags & 1) != 0;
  request.indexed_only = (flags & 2) != 0;
  request.has_threshold = (flags & 4) != 0;
  request.originals = (flags & 8) != 0;
  request.rescore = (flags & 16) == 0;
  request.threshold = in.f32();
  request.ef = in.u32();
  request.oversampling = in.f32();
  request.payload = PayloadSelector::read(in);
  request.vectors = VectorsSelector::read(in);
  request.filter = FilterRequest::read(in);
  return request;
}

ScrollRequest ScrollRequest::read(ByteReader& in) {
  ScrollRequest request;
  request.filter = FilterRequest::read(in);
  const uint8_t offset = in.u8();
  request.has_offset = offset != 0;
  request.exclusive = offset == 2;
  if (request.has_offset) request.offset = in.id();
  request.limit = in.u32();
  request.payload = PayloadSelector::read(in);
  request.vectors = VectorsSelector::read(in);
  return request;
}

}  // namespace sealpoint
