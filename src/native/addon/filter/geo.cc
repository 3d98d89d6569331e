#include "geo.h"

#include <algorithm>
#include <cmath>

namespace sealpoint::filter {
namespace {

constexpr double kRadiansPerDegree = 0.017453292519943295;

enum class Side { kOutside, kBorder, kInside };

// Winding number, the border found on the way (Sunday, "Inclusion of a point in a polygon").
Side side_of_ring(const std::vector<GeoPoint>& ring, const GeoPoint& point) {
  int winding = 0;
  for (size_t i = 0; i < ring.size(); ++i) {
    const GeoPoint& a = ring[i];
    const GeoPoint& b = ring[i + 1 < ring.size() ? i + 1 : 0];  // closes a ring that was left open
    const long double turn = (static_cast<long double>(b.lon) - a.lon) * (static_cast<long double>(point.lat) - a.lat) -
                             (static_cast<long double>(b.lat) - a.lat) * (static_cast<long double>(point.lon) - a.lon);
    if (turn == 0 && point.lon >= std::min(a.lon, b.lon) && point.lon <= std::max(a.lon, b.lon) &&
        point.lat >= std::min(a.lat, b.lat) && point.lat <= std::max(a.lat, b.lat)) {
      return Side::kBorder;
    }
    if (a.lat <= point.lat) {
      if (b.lat > point.lat && turn > 0) ++winding;
    } else if (b.lat <= point.lat && turn < 0) {
      --winding;
    }
  }
  return winding == 0 ? Side::kOutside : Side::kInside;
}

}  // namespace

bool GeoRadius::contains(const GeoPoint& point) const {
  const double lat1 = center.lat * kRadiansPerDegree;
  const double lat2 = point.lat * kRadiansPerDegree;
  const double half_lat = std::sin((point.lat - center.lat) * kRadiansPerDegree / 2);
  const double half_lon = std::sin((point.lon - center.lon) * kRadiansPerDegree / 2);
  const double a = half_lat * half_lat + std::cos(lat1) * std::cos(lat2) * half_lon * half_lon;
  return kEarthRadiusMetres * 2 * std::asin(std::sqrt(std::min(a, 1.0))) < metres;
}

bool GeoPolygon::contains(const GeoPoint& point) const {
  if (side_of_ring(exterior, point) != Side::kInside) return false;
  for (const auto& interior : interiors) {
    if (side_of_ring(interior, point) != Side::kOutside) return false;
  }
  return true;
}

}  // namespace sealpoint::filter
