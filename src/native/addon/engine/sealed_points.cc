#include "sealed_points.h"

#include <algorithm>

#include "../core/bytes.h"
#include "../payload/cbor.h"
#include "../payload/wire.h"
#include "../seal/seal_batch.h"
#include "encoded_points.h"

namespace sealpoint {

std::string seal_points(std::string_view message, std::string_view body) {
  ByteReader in(message);
  const std::string_view sealing_id = in.text();
  const bool fresh = in.u8() != 0;
  const bool padding = in.u8() != 0;
  const std::string_view point_bytes = in.text();
  Sealer sealer(sealing_id, point_bytes, in.text(), fresh);
  std::vector<std::string_view> clear(std::min<size_t>(in.u32(), in.left()));
  for (auto& key : clear) key = in.text();
  const payload::Bounds bounds;
  EncodedPoints points(body, in.u32());
  EncodedPoint point;
  ByteWriter out;
  uint32_t count = 0;
  out.u32(count);
  // Used for all of them, so that memory which held plaintext is wiped once; too long to lie in the objects themselves, which are not.
  WipedText plaintext;
  plaintext.reserve(kWipedMin);
  point.payload.reserve(kWipedMin);
  std::string envelope, kept;
  for (;;) {
    const auto next = points.next(point);
    if (next == EncodedPoints::Next::kEnd) break;
    plaintext.clear();
    if (next != EncodedPoints::Next::kPoint || !payload::append_cbor(plaintext, point.payload, clear, bounds)) {
      throw Error(ErrorKind::kBadInput, "the points have to be read one by one", "points");
    }
    if (padding) plaintext.resize(payload::padme_length(plaintext.size()), '\0');
    envelope.clear();
    sealer.seal(envelope, point.id, plaintext);
    kept.clear();
    if (!clear.empty()) {
      payload::for_each_entry(point.payload, payload::kRootField, [&](const payload::Entry& entry) {
        if (std::find(clear.begin(), clear.end(), entry.key) != clear.end()) kept.append(entry.raw);
        return true;
      });
    }
    out.text(payload::append_envelope(kept, envelope));
    ++count;
  }
  std::memcpy(out.bytes().data(), &count, sizeof(count));
  return std::move(out.bytes());
}

}  // namespace sealpoint
