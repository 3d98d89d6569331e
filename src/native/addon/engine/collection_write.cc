// Writes: an operation is parsed and judged as a whole, then committed as one batch (collection_commit.cc), so it is there wholly or not at all.
//
// An operation, behind the collection's name: u8 wait (2: see waits_for_disk), u64 admitted epoch (0: any), text stream id (empty: none), u64 stream sequence, u8 kind:
//   1 upsert            u32 n, each: id, text payload, vectors
//   2 delete            selector
//   3 update vectors    u32 n, each: id, vectors
//   4 delete vectors    selector, u32 n, names
//   5 set payload       selector, text payload, u8 has key, text key
//   6 overwrite payload selector, text payload
//   7 delete payload    selector, u32 n, keys
//   8 clear payload     selector
//   9 seal payload      u8 replace, u32 n, each: id, text envelope (binary), text clear payload
//  10 upsert of encoded points: u32 field, and beside the message a protobuf message whose field it is (encoded_points.h)
//  12 the same, sealed: u32 field, u32 n, each: text payload in stored form (sealed_points.h), in place of those in the points
//  11 conditional      u8 which points are written (0 all, 1 new ones only, 2 present ones only), filter for those that are present
//                      (requests.h; empty: all), then kind 1 or 3 and what belongs to it
// vectors: u8 n, each: text name, u32 dimensions, f32 values; or text name, u32 count + 2^31, u32 indices (ascending), f32 values; or text name,
//   u32 dimensions + 2^30, u32 rows, f32 values row after row.
// selector: u8 0, u32 n, ids; or u8 1, filter (requests.h).
#include <algorithm>
#include <cmath>

#include "../payload/payload.h"
#include "collection_change.h"
#include "collection_view.h"
#include "encoded_points.h"

namespace sealpoint {

namespace {

constexpr size_t kEnvelopesMax = 8;
// Of a vector's dimensions on the wire: it is sparse, or a multivector.
constexpr uint32_t kSparseFlag = uint32_t{1} << 31;
constexpr uint32_t kMultiFlag = uint32_t{1} << 30;

bool all_finite(const float* values, size_t count) {
  float sum = 0;  // NaN and infinity stay in a sum of differences to itself
  for (size_t i = 0; i < count; ++i) sum += values[i] - values[i];
  return sum == 0;
}

Error name_point(const Error& error, size_t place, const PointId& id) {
  return Error(error.kind(), std::string(error.what()) + " (point " + id_text(id) + ", points[" + std::to_string(place) + "].payload)",
               "points[" + std::to_string(place) + "]." + (error.field().starts_with("payload") ? error.field() : "payload"));
}

}  // namespace

Collection::Change& Collection::change_of(WriteContext& context, const PointId& id) const {
  const auto [at, fresh] = context.by_id.try_emplace(id, context.changes.size());
  if (fresh) {
    Change change;
    change.id = id;
    change.slot = ids_.find(id);
    context.changes.push_back(std::move(change));
  }
  return context.changes[at->second];
}

// The payload that the point holds before this write; empty for a new point.
const std::string& Collection::payload_of(Change& change) const {
  if (!change.old_payload) {
    change.old_payload.emplace();
    if (change.slot != IdTable::kNone) {
      const auto status = store_.db().Get({}, store_.payloads(), Store::point_key(cid_, change.id), &*change.old_payload);
      if (!status.IsNotFound()) check(status, "cannot read a payload");
    }
  }
  return *change.old_payload;
}

// The row as it is stored. False when a value is not finite.
template <typename RowAt>  // const char* RowAt(size_t row): f32 values, unaligned
bool Collection::set_multi(WriteContext& context, Change& change, uint16_t number, uint32_t rows, RowAt row_at) const {
  const VectorField& config = record_.vectors[number];
  const size_t row_bytes = 4 + rows * config.stored_bytes();
  FloatArena& arena = context.scratch->floats;
  float* const row = arena.take((row_bytes + 3) / 4);
  std::memcpy(row, &rows, 4);
  // Other types are stored once they are prepared as floats.
  const bool narrow = config.datatype != Datatype::kFloat32;
  float* const widened = narrow ? arena.take(config.dim) : nullptr;
  for (size_t i = 0; i < rows; ++i) {
    float* const vector = narrow ? widened : row + 1 + i * config.dim;
    std::memcpy(vector, row_at(i), size_t{config.dim} * 4);
    if (!all_finite(vector, config.dim)) return false;
    config.prepare(vector);
    if (narrow) store_values(config.datatype, vector, config.dim, reinterpret_cast<char*>(row) + 4 + i * config.stored_bytes());
  }
  std::erase_if(change.set, [&](const auto& earlier) { return earlier.number == number; });
  std::erase(change.cleared, number);
  change.set.push_back({number, row, row_bytes});
  return true;
}

// False when a value is not finite.
bool Collection::set_vector(WriteContext& context, Change& change, uint16_t number, const char* bytes) const {
  const VectorField& config = record_.vectors[number];
  // A plain vector is a multivector of one.
  if (config.multi) return set_multi(context, change, number, 1, [bytes](size_t) { return bytes; });
  float* const values = context.scratch->floats.take(config.dim);
  std::memcpy(values, bytes, size_t{config.dim} * 4);
  if (!all_finite(values, config.dim)) return false;
  config.prepare(values);
  std::erase_if(change.set, [&](const auto& earlier) { return earlier.number == number; });
  std::erase(change.cleared, number);
  change.set.push_back({number, values});
  return true;
}

// The row as it is stored: indices and values were checked by who wrote the message.
void Collection::set_sparse(WriteContext& context, Change& change, uint16_t number, uint32_t count, const char* bytes) const {
  const uint32_t words = 1 + 2 * count;
  float* const row = context.scratch->floats.take(words);
  std::memcpy(row, &count, 4);
  if (count > 0) std::memcpy(row + 1, bytes, size_t{count} * 8);
  std::erase_if(change.set, [&](const auto& earlier) { return earlier.number == number; });
  std::erase(change.cleared, number);
  change.set.push_back({number, row, size_t{words} * 4});
}

void Collection::read_vectors(ByteReader& in, WriteContext& context, Change& change, size_t place) const {
  const auto field = [&](std::string_view name) {
    return "points[" + std::to_string(place) + "].vectors" + (name.empty() ? "" : "." + std::string(name));
  };
  const uint8_t count = in.u8();
  for (uint8_t i = 0; i < count; ++i) {
    const std::string_view name = in.text();
    const uint32_t dim_and_kind = in.u32();
    const bool sparse = (dim_and_kind & kSparseFlag) != 0;
    const bool multi = !sparse && (dim_and_kind & kMultiFlag) != 0;
    const uint32_t dim = dim_and_kind & ~(sparse ? kSparseFlag : kMultiFlag);
    const uint32_t rows = multi ? in.u32() : 1;
    const char* bytes = in.span(size_t{dim} * (sparse ? 8 : 4) * rows);
    const int number = vector_number(name);
    // The texts are Qdrant's and nothing more: which point is meant, the field says.
    if (number < 0) {
      throw Error(ErrorKind::kBadInput, "Wrong input: Not existing vector name error: " + std::string(name), field(name));
    }
    const VectorField& config = record_.vectors[static_cast<size_t>(number)];
    if (sparse != config.sparse || (multi && !config.multi)) {
      throw Error(ErrorKind::kBadInput,
                  std::string("Wrong input: Conversion between ") + (multi ? "multi" : "sparse") + " and regular vectors failed", field(name));
    }
    if (sparse) {
      set_sparse(context, change, static_cast<uint16_t>(number), dim, bytes);
      continue;
    }
    if (dim != config.dim) {
      throw Error(ErrorKind::kBadInput,
                  "Wrong input: Vector dimension error: expected dim: " + std::to_string(config.dim) + ", got " + std::to_string(dim), field(name));
    }
    const bool set = multi ? set_multi(context, change, static_cast<uint16_t>(number), rows, [&](size_t row) { return bytes + row * dim * 4; })
                           : set_vector(context, change, static_cast<uint16_t>(number), bytes);
    if (!set) {
      throw Error(ErrorKind::kBadInput,
                  "Wrong input: a vector holds a value that is not finite (point " + id_text(change.id) + ", " + field(name) + ")", field(name));
    }
  }
}

// All or nothing, and nothing but what needs no judgement: no key, no reserved key, no fault. Whoever sent it hears of faults from the reader
// that the caller falls back to.
// `sealed`: payloads in place of theirs, as many as there are points.
void Collection::read_encoded(ByteReader& in, std::string_view message, bool sealed, WriteContext& context) const {
  const auto require_usual = [](bool usual) {
    if (!usual) throw Error(ErrorKind::kBadInput, "the points have to be read one by one", "points");
  };
  const payload::Bounds bounds;
  EncodedPoints points(message, in.u32());
  EncodedPoint point;
  point.payload.reserve(kWipedMin);
  uint32_t left = sealed ? in.u32() : 0;
  for (;;) {
    const auto next = points.next(point);
    if (next == EncodedPoints::Next::kEnd && left == 0) return;
    require_usual(next == EncodedPoints::Next::kPoint && (!sealed || left-- > 0));
    Change& change = change_of(context, point.id);
    change.touched = true;
    change.payload = payload::check(sealed ? in.text() : std::string_view(point.payload), bounds);
    change.replace_vectors = true;
    change.set.clear();
    for (const EncodedVector& vector : point.vectors) {
      const int number = vector_number(vector.name);
      require_usual(number >= 0 && vector.bytes.size() == size_t{record_.vectors[static_cast<size_t>(number)].dim} * 4);
      const auto& rows = vector.rows;
      require_usual(rows.empty() || record_.vectors[static_cast<size_t>(number)].multi);
      require_usual(rows.empty() ? set_vector(context, change, static_cast<uint16_t>(number), vector.bytes.data())
                                 : set_multi(context, change, static_cast<uint16_t>(number), static_cast<uint32_t>(rows.size()), [&](size_t row) { return rows[row]; }));
    }
  }
}

// Ids that are there; of the others the first is noted, to be told once the rest is written, as Qdrant does.
std::vector<PointId> Collection::select(ByteReader& in, WriteContext& context) const {
  std::vector<PointId> ids;
  if (in.u8() == 1) return matching_ids(FilterRequest::read(in));
  const uint32_t count = in.u32();
  ids.reserve(std::min<size_t>(count, in.left() / 9));
  for (uint32_t i = 0; i < count; ++i) {
    const PointId id = in.id();
    if (ids_.find(id) != IdTable::kNone) {
      ids.push_back(id);
    } else {
      context.note_missing(id, "points_selector");
    }
  }
  return ids;
}

// Which points of a conditional write are written: judged by what they are before it.
struct Collection::WriteCondition {
  enum class Mode : uint8_t { kAll = 0, kNew = 1, kPresent = 2 };
  Mode mode = Mode::kAll;
  FilterRequest filter;

  bool admits(const Collection& collection, Change& change) const {
    if (change.slot == IdTable::kNone) return mode != Mode::kPresent;
    if (mode == Mode::kNew) return false;
    if (filter.plain_only && collection.sealed_.test(change.slot)) return false;
    if (filter.filter == nullptr) return true;
    const std::string_view payload = filter.filter->needs_payload() ? std::string_view(collection.payload_of(change)) : std::string_view();
    return filter.filter->matches({change.id, change.slot, payload}, LockedContext(collection));
  }
};

void Collection::parse_points(ByteReader& in, WriteContext& context, uint8_t kind) const {
  const payload::Bounds bounds;
  std::optional<WriteCondition> condition;
  if (kind == 11) {
    condition.emplace();
    condition->mode = static_cast<WriteCondition::Mode>(in.u8());
    condition->filter = FilterRequest::read(in);
    kind = in.u8();
  }
  const uint32_t count = in.u32();
  context.changes.reserve(std::min<size_t>(count, in.left() / 9));
  for (uint32_t place = 0; place < count; ++place) {
    const PointId id = in.id();
    Change& change = change_of(context, id);
    // What is passed over is checked all the same, and forgotten.
    Change passed_over;
    bool admitted = true;
    if (condition) {
      if (!change.admitted) change.admitted = condition->admits(*this, change);
      admitted = *change.admitted;
    }
    if (kind == 3 && change.slot == IdTable::kNone) {
      context.note_missing(id, "points[" + std::to_string(place) + "].id");
      admitted = false;
    }
    if (!admitted) passed_over.id = id;
    Change& target = admitted ? change : passed_over;
    target.touched = true;
    if (kind == 1) {
      try {
        target.payload = payload::check(in.text(), bounds);
      } catch (const Error& error) {
        throw name_point(error, place, id);
      }
      target.replace_vectors = true;
      target.set.clear();
    }
    read_vectors(in, context, target, place);
  }
}

void Collection::parse_operation(ByteReader& in, std::string_view body, WriteContext& context) const {
  const payload::Bounds bounds;
  const uint8_t kind = in.u8();
  if (kind == 10 || kind == 12) {
    read_encoded(in, body, kind == 12, context);
    return;
  }
  if (kind == 1 || kind == 3 || kind == 11) {
    parse_points(in, context, kind);
    return;
  }
  // Points that go, and others that come in the same moment.
  if (kind == 20) {
    for (uint32_t left = in.u32(); left > 0; --left) {
      Change& change = change_of(context, in.id());
      change.touched = true;
      change.removed = true;
    }
    parse_points(in, context, 1);
    return;
  }
  if (kind == 9) {
    const bool replace = in.u8() != 0;
    const uint32_t count = in.u32();
    for (uint32_t place = 0; place < count; ++place) {
      const PointId id = in.id();
      const std::string_view envelope = in.text();
      const std::string_view clear = in.text();
      Change& change = change_of(context, id);
      if (change.slot == IdTable::kNone) {
        context.note_missing(id, "points_selector");
        continue;
      }
      const std::string& old = change.payload ? *change.payload : payload_of(change);
      std::string base;
      try {
        base = replace ? std::string() : old;
        const std::string checked = payload::check(clear, bounds);
        if (payload::envelope_count(base) + 1 > kEnvelopesMax && !envelope.empty()) {
          throw Error(ErrorKind::kPrecondition,
                      "point " + id_text(id) + " holds " + std::to_string(kEnvelopesMax) + " envelopes: overwrite its payload instead");
        }
        base = payload::merge(base, checked);
        if (!envelope.empty()) base = payload::append_envelope(base, envelope);
      } catch (const Error& error) {
        throw name_point(error, place, id);
      }
      change.payload = std::move(base);
      change.touched = true;
    }
    return;
  }
  const std::vector<PointId> ids = select(in, context);
  // To delete what is missing is no error.
  if (kind == 2) context.missing.reset();
  const auto each = [&](auto apply) {
    context.changes.reserve(ids.size());
    for (const PointId& id : ids) {
      Change& change = change_of(context, id);
      change.touched = true;
      apply(change);
    }
  };
  if (kind == 2) {
    each([](Change& change) { change.removed = true; });
  } else if (kind == 4) {
    std::vector<uint16_t> numbers;
    for (const std::string& name : read_texts(in)) numbers.push_back(static_cast<uint16_t>(required_vector(name)));
    each([&](Change& change) { change.cleared = numbers; });
  } else if (kind == 5) {
    const std::string patch = payload::check(in.text(), bounds);
    const bool has_key = in.u8() != 0;
    const std::string key(in.text());
    if (has_key) payload::check_path(key);
    each([&](Change& change) {
      const std::string& base = payload_of(change);
      change.payload = has_key ? payload::merge_at(base, key, patch) : payload::merge(base, patch);
    });
  } else if (kind == 6) {
    const std::string whole = payload::check(in.text(), bounds);
    each([&](Change& change) { change.payload = whole; });
  } else if (kind == 7) {
    const std::vector<std::string> keys = read_texts(in);
    for (const auto& key : keys) payload::check_path(key);
    each([&](Change& change) { change.payload = payload::remove_keys(payload_of(change), keys); });
  } else if (kind == 8) {
    each([](Change& change) { change.payload = std::string(); });
  } else {
    throw Error(ErrorKind::kInternal, "unknown write operation");
  }
}

WriteOutcome Collection::write(ByteReader& in, std::string_view body) {
  const bool wait = in.u8() != 0;
  const uint64_t epoch = in.u64();
  WriteContext context;
  context.stream = in.text();
  context.sequence = in.u64();

  std::lock_guard writer(write_mutex_);
  // Nobody else writes the state while the writers' mutex is held, so reading it needs no second lock.
  if (dropped_) throw Error(ErrorKind::kNotFound, "Not found: Collection `" + record_.name + "` doesn't exist!");
  if (epoch != 0 && epoch != record_.epoch) throw Error(ErrorKind::kAborted, "the collection's policy changed meanwhile", "epoch");
  if (!context.stream.empty()) {
    const auto found = streams_.find(context.stream);
    const uint64_t last = found == streams_.end() ? 0 : found->second.sequence;
    if (context.sequence <= last) return {operation_, false};
    if (context.sequence != last + 1) {
      throw Error(ErrorKind::kAborted,
                  "stream chunk " + std::to_string(context.sequence) + " does not follow the last applied one, " + std::to_string(last),
                  "chunk.sequence");
    }
  }
  parse_operation(in, body, context);
  const WriteOutcome outcome = commit(context);
  // Who does not wait is not told of missing points, as in Qdrant.
  if (wait && context.missing) {
    store_.nudge();
    throw Error(ErrorKind::kNotFound, "Not found: No point with id " + id_text(*context.missing) + " found", context.missing_field);
  }
  return outcome;
}

}  // namespace sealpoint
