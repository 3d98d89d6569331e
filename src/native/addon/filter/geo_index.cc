// The index of places.
#include <cmath>

#include "field_index.h"
#include "ordered.h"

namespace sealpoint::filter {
namespace {

using payload::Value;

// Points in the order of their latitude: a condition reads its band of latitudes and checks each point there. Latitude
// alone narrows a radius of some kilometres to about a thousandth of the world, and nothing has to be kept per cell.
class GeoIndex final : public FieldIndex {
 public:
  explicit GeoIndex(const payload::Path& path) : FieldIndex(path) {}

 private:
  struct ByLatitude {
    GeoPoint point;
    bool operator<(const ByLatitude& other) const {
      return point.lat < other.point.lat || (point.lat == other.point.lat && point.lon < other.point.lon);
    }
  };

  bool collect(const Value& value) override {
    GeoPoint point;
    if (!read_geo_point(value, point) || std::isnan(point.lon) || std::isnan(point.lat)) return false;
    found_.push_back({point});
    return true;
  }
  size_t apply(uint32_t slot, bool insert) override {
    sort_unique(found_);
    for (const ByLatitude& value : found_) {
      if (insert) {
        values_.insert(value, slot);
      } else {
        values_.erase(value, slot, found_.size() == 1);
      }
    }
    const size_t count = found_.size();
    found_.clear();
    return count;
  }
  struct Band {
    double low = -90, high = 90;  // degrees of latitude
    double share = 1;             // of the band's width, about
    bool outside = false;         // places that are not on the globe are looked at too
  };
  static bool band_of(const Condition& condition, Band& band) {
    switch (condition.kind) {
      case ConditionKind::kGeoBox: {
        band.low = condition.box.bottom_right.lat;
        band.high = condition.box.top_left.lat;
        const double width = condition.box.bottom_right.lon - condition.box.top_left.lon;
        band.share = (width < 0 ? width + 360 : width) / 360;
        return true;
      }
      case ConditionKind::kGeoRadius: {
        // On the globe no way is shorter than the difference of latitudes; a little is added for rounding. Points that
        // are not on the globe (latitude beyond 90) follow no such rule and are all checked.
        const double degrees = condition.radius.metres / kEarthRadiusMetres * 57.29577951308232 * (1 + 1e-9) + 1e-9;
        band.low = condition.radius.center.lat - degrees;
        band.high = condition.radius.center.lat + degrees;
        band.share = std::min(1.0, degrees / 180 / std::max(0.01, std::cos(condition.radius.center.lat / 57.29577951308232)));
        band.outside = true;
        return true;
      }
      case ConditionKind::kGeoPolygon: {
        band.low = 1e308;
        band.high = -1e308;
        double west = 180, east = -180;
        for (const GeoPoint& corner : condition.polygon.exterior) {
          band.low = std::min(band.low, corner.lat);
          band.high = std::max(band.high, corner.lat);
          west = std::min(west, corner.lon);
          east = std::max(east, corner.lon);
        }
        band.share = std::max(0.0, (east - west) / 360);
        return true;
      }
      default:
        return false;
    }
  }
  uint64_t count_band(const Band& band) const {
    return values_.count([&](const ByLatitude& v) { return v.point.lat < band.low; },
                         [&](const ByLatitude& v) { return v.point.lat > band.high; });
  }

  Answer ask_typed(const Condition& condition) const override {
    Band band;
    if (!band_of(condition, band)) return {};
    std::vector<uint32_t> slots;
    const auto visit = [&](const ByLatitude& value, uint32_t slot) {
      if (condition.contains(value.point)) slots.push_back(slot);
    };
    values_.scan([&](const ByLatitude& v) { return v.point.lat < band.low; },
                 [&](const ByLatitude& v) { return v.point.lat > band.high; }, visit);
    if (band.outside) {
      values_.scan([](const ByLatitude&) { return false; }, [](const ByLatitude& v) { return v.point.lat >= -90; },
                   visit);
      values_.scan([](const ByLatitude& v) { return v.point.lat <= 90; }, [](const ByLatitude&) { return false; },
                   visit);
    }
    return exactly(SlotSet::from(slots));
  }
  bool estimate_typed(const Condition& condition, Cardinality& out) const override {
    Band band;
    if (!band_of(condition, band)) return false;
    const uint64_t count = count_band(band);
    out = {0, static_cast<uint64_t>(static_cast<double>(count) * band.share), band.outside ? held_.count() : count};
    out = out.bounded(held_.count());
    return true;
  }
  uint64_t cost(const Condition& condition) const override {
    // Each value is looked at, some dozen times the work of taking it.
    Band band;
    return band_of(condition, band) ? count_band(band) * 12 : 0;
  }
  uint64_t typed_bytes() const override { return values_.bytes(); }
  bool save_typed(ByteWriter& out) const override {
    values_.write(out);
    return true;
  }
  bool load_typed(ByteReader& in, const SlotSet& without) override {
    values_.read(in, without);
    return true;
  }

  OrderedIndex<ByLatitude, false> values_;
  std::vector<ByLatitude> found_;
};

}  // namespace

std::unique_ptr<FieldIndex> make_geo_index(const payload::Path& path) { return std::make_unique<GeoIndex>(path); }

}  // namespace sealpoint::filter
