// Geometry of the geo conditions. Longitude is x, latitude is y, in degrees; all borders are outside, as at Qdrant.
#pragma once
#include <vector>

namespace sealpoint::filter {

struct GeoPoint {
  double lon = 0;
  double lat = 0;
};

struct GeoBox {
  GeoPoint top_left;
  GeoPoint bottom_right;
  bool contains(const GeoPoint& point) const {
    const bool lon = top_left.lon > bottom_right.lon  // the box crosses the antimeridian
                         ? point.lon > top_left.lon || point.lon < bottom_right.lon
                         : top_left.lon < point.lon && point.lon < bottom_right.lon;
    return lon && bottom_right.lat < point.lat && point.lat < top_left.lat;
  }
};

struct GeoRadius {
  GeoPoint center;
  double metres = 0;
  bool contains(const GeoPoint& point) const;
};

struct GeoPolygon {
  std::vector<GeoPoint> exterior;
  std::vector<std::vector<GeoPoint>> interiors;
  bool contains(const GeoPoint& point) const;
};

inline constexpr double kEarthRadiusMetres = 6371008.8;  // the IUGG's mean radius, Qdrant's too

}  // namespace sealpoint::filter
