#include "formula.h"

#include <cmath>
#include <limits>
#include <optional>

#include "../filter/datetime.h"
#include "../filter/geo.h"
#include "../payload/json_path.h"

namespace sealpoint {

namespace {

using payload::Kind;
using payload::Path;
using payload::Value;

// The numbers that query-messages.ts writes.
enum class Op : uint8_t {
  kConstant = 1,
  kScore = 2,
  kPath = 3,
  kCondition = 4,
  kGeoDistance = 5,
  kDatetimeKey = 6,
  kMult = 7,
  kSum = 8,
  kNeg = 9,
  kAbs = 10,
  kSqrt = 11,
  kPow = 12,
  kExp = 13,
  kLog10 = 14,
  kLn = 15,
  kExpDecay = 16,
  kGaussDecay = 17,
  kLinDecay = 18,
  kDiv = 19,
};

constexpr int kDepthMax = 128;

struct Node {
  Op op = Op::kConstant;
  double number = 0;    // constant; scale of a decay
  double midpoint = 0;  // of a decay
  uint32_t index = 0;   // of a score
  std::string key;
  Path path;
  filter::GeoPoint origin;
  std::optional<double> by_zero;
  std::unique_ptr<Filter> condition;
  std::vector<Node> of;
};

Node read_node(ByteReader& in, int depth) {
  if (depth > kDepthMax) throw Error(ErrorKind::kBadInput, "the formula is nested too deep", "query.formula");
  Node node;
  node.op = static_cast<Op>(in.u8());
  const auto inner = [&] { node.of.push_back(read_node(in, depth + 1)); };
  switch (node.op) {
    case Op::kConstant:
      node.number = in.f64();
      break;
    case Op::kScore:
      node.index = in.u32();
      break;
    case Op::kPath:
    case Op::kDatetimeKey:
      node.key = in.text();
      node.path = Path::parse(node.key, "query.formula");
      break;
    case Op::kCondition:
      node.condition = Filter::decode(in.text());
      break;
    case Op::kGeoDistance:
      node.origin.lon = in.f64();
      node.origin.lat = in.f64();
      node.key = in.text();
      node.path = Path::parse(node.key, "query.formula");
      break;
    case Op::kMult:
    case Op::kSum:
      for (uint32_t n = in.u32(); n > 0; --n) inner();
      break;
    case Op::kDiv:
      if (in.u8() != 0) node.by_zero = in.f64();
      inner();
      inner();
      break;
    case Op::kPow:
      inner();
      inner();
      break;
    case Op::kNeg:
    case Op::kAbs:
    case Op::kSqrt:
    case Op::kExp:
    case Op::kLog10:
    case Op::kLn:
      inner();
      break;
    case Op::kExpDecay:
    case Op::kGaussDecay:
    case Op::kLinDecay: {
      node.number = in.f64();
      node.midpoint = in.f64();
      const bool has_target = in.u8() != 0;
      inner();
      if (has_target) inner();
      break;
    }
    default:
      throw Error(ErrorKind::kInternal, "unknown kind of expression");
  }
  return node;
}

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

double finite(double value, const std::string& expression) {
  if (std::isfinite(value)) return value;
  throw Error(ErrorKind::kBadInput, "The expression " + expression + " produced a non-finite number", "query.formula");
}

// Great-circle distance in metres (haversine on the mean radius), as the geo conditions have it.
double distance_of(const filter::GeoPoint& a, const filter::GeoPoint& b) {
  const double degree = M_PI / 180;
  const double lat = std::sin((b.lat - a.lat) * degree / 2);
  const double lon = std::sin((b.lon - a.lon) * degree / 2);
  const double h = lat * lat + std::cos(a.lat * degree) * std::cos(b.lat * degree) * lon * lon;
  return 2 * filter::kEarthRadiusMetres * std::asin(std::min(1.0, std::sqrt(h)));
}

class FormulaImpl final : public Formula {
 public:
  explicit FormulaImpl(ByteReader& in) : root_(read_node(in, 1)), defaults_(in.text()) {}

  float evaluate(const FormulaPoint& point) const override {
    const double value = value_of(root_, point);
    const auto score = static_cast<float>(value);
    if (!std::isfinite(score)) finite(std::numeric_limits<double>::infinity(), text_of(value) + " as f32");
    return score;
  }

 private:
  double value_of(const Node& node, const FormulaPoint& point) const {
    switch (node.op) {
      case Op::kConstant:
        return node.number;
      case Op::kScore: {
        if (node.index < point.scores.size() && !std::isnan(point.scores[node.index])) return point.scores[node.index];
        Value value;
        const std::string key = "$score[" + std::to_string(node.index) + "]";
        return default_of(key, value) ? number_of(value, key) : 0.0;
      }
      case Op::kPath:
        return number_of(find(node, point, "number"), node.key);
      case Op::kCondition:
        return node.condition->matches(point.point, point.context) ? 1.0 : 0.0;
      case Op::kGeoDistance: {
        filter::GeoPoint there;
        if (!geo_of(find(node, point, "geo point"), there)) throw expected("geo point", node.key, "Value is not a geo point");
        return distance_of(node.origin, there);
      }
      case Op::kDatetimeKey: {
        const Value value = find(node, point, "datetime");
        int64_t micros = 0;
        if (value.kind != Kind::kString || !filter::parse_datetime(value.body, micros)) {
          throw expected("datetime", node.key, "Value is not a datetime");
        }
        return static_cast<double>(micros) / 1e6;
      }
      case Op::kMult: {
        double product = 1;
        for (const Node& factor : node.of) {
          const double value = value_of(factor, point);
          // What follows a zero is not looked at, so a missing value there is no error.
          if (value == 0) return 0;
          product *= value;
        }
        return product;
      }
      case Op::kSum: {
        double sum = 0;
        for (const Node& term : node.of) sum += value_of(term, point);
        return sum;
      }
      case Op::kDiv: {
        const double left = value_of(node.of[0], point);
        if (left == 0) return 0;
        const double right = value_of(node.of[1], point);
        if (right == 0 && node.by_zero) return *node.by_zero;
        return finite(left / right, text_of(left) + "/" + text_of(right));
      }
      case Op::kNeg:
        return -value_of(node.of[0], point);
      case Op::kAbs:
        return std::fabs(value_of(node.of[0], point));
      case Op::kSqrt: {
        const double value = value_of(node.of[0], point);
        return finite(std::sqrt(value), "√" + text_of(value));
      }
      case Op::kPow: {
        const double base = value_of(node.of[0], point);
        const double exponent = value_of(node.of[1], point);
        return finite(std::pow(base, exponent), text_of(base) + "^" + text_of(exponent));
      }
      case Op::kExp: {
        const double value = value_of(node.of[0], point);
        return finite(std::exp(value), "exp(" + text_of(value) + ")");
      }
      case Op::kLog10: {
        const double value = value_of(node.of[0], point);
        return finite(std::log10(value), "log10(" + text_of(value) + ")");
      }
      case Op::kLn: {
        const double value = value_of(node.of[0], point);
        return finite(std::log(value), "ln(" + text_of(value) + ")");
      }
      case Op::kExpDecay:
      case Op::kGaussDecay:
      case Op::kLinDecay: {
        const double x = value_of(node.of[0], point);
        const double target = node.of.size() > 1 ? value_of(node.of[1], point) : 0;
        const double away = std::fabs(x - target);
        if (node.op == Op::kLinDecay) return std::max(0.0, 1 - (1 - node.midpoint) / node.number * away);
        if (node.op == Op::kExpDecay) return std::exp(std::log(node.midpoint) / node.number * away);
        return std::exp(std::log(node.midpoint) / (node.number * node.number) * away * away);
      }
    }
    return 0;
  }

  static Error expected(const std::string& what, const std::string& key, const std::string& why) {
    return Error(ErrorKind::kBadInput, "Expected " + what + " value for " + key + " in the payload and/or in the formula defaults. Error: " + why,
                 "query.formula");
  }

  static double number_of(const Value& value, const std::string& key) {
    if (value.kind == Kind::kInteger) return static_cast<double>(value.integer);
    if (value.kind == Kind::kDouble) return value.number;
    throw expected("number", key, "Value is not a number");
  }

  static bool geo_of(const Value& value, filter::GeoPoint& point) {
    if (value.kind != Kind::kStruct) return false;
    bool has_lon = false, has_lat = false;
    payload::for_each_entry(value.body, payload::kStructField, [&](const payload::Entry& entry) {
      const Value part = payload::read_value(entry.value);
      const bool is_number = part.kind == Kind::kDouble || part.kind == Kind::kInteger;
      const double number = part.kind == Kind::kInteger ? static_cast<double>(part.integer) : part.number;
      if (entry.key == "lon" && is_number) {
        point.lon = number;
        has_lon = true;
      } else if (entry.key == "lat" && is_number) {
        point.lat = number;
        has_lat = true;
      }
      return true;
    });
    return has_lon && has_lat;
  }

  // Whether an index of that type takes the value. A text index keeps words and not values, so Qdrant reads the payload there.
  static bool takes(FieldType type, const Value& value) {
    switch (type) {
      case FieldType::kKeyword:
      case FieldType::kUuid:
        return value.kind == Kind::kString;
      case FieldType::kInteger:
        return value.kind == Kind::kInteger;
      case FieldType::kFloat:
        return value.kind == Kind::kInteger || value.kind == Kind::kDouble;
      case FieldType::kBool:
        return value.kind == Kind::kBool;
      case FieldType::kGeo: {
        filter::GeoPoint ignored;
        return geo_of(value, ignored);
      }
      case FieldType::kDatetime: {
        int64_t ignored = 0;
        return value.kind == Kind::kString && filter::parse_datetime(value.body, ignored);
      }
      case FieldType::kText:
        return true;
    }
    return true;
  }

  // What is at the node's path, or its default. A list of one stands for its element, a longer one for itself, and null is a value, as
  // in Qdrant: neither is a number.
  Value find(const Node& node, const FormulaPoint& point, const char* what) const {
    size_t count = 0;
    Value found;
    const auto index = point.indexed.find(node.key);
    const auto take = [&](const Value& value) {
      if (index != point.indexed.end() && !takes(index->second, value)) return;
      if (count++ == 0) found = value;
    };
    payload::for_each_value(point.point.payload, payload::kRootField, node.path, [&](const Value& value) {
      if (value.kind == Kind::kList) {
        payload::for_each_element(value.body, [&](std::string_view bytes) {
          take(payload::read_value(bytes));
          return true;
        });
      } else {
        take(value);
      }
      return true;
    });
    if (count > 1) found.kind = Kind::kList;
    if (count == 0 && !default_of(node.key, found)) throw expected(what, node.key, "No value found in a payload nor defaults");
    return found;
  }

  bool default_of(std::string_view key, Value& found) const {
    bool is_there = false;
    payload::for_each_entry(defaults_, payload::kRootField, [&](const payload::Entry& entry) {
      if (entry.key != key) return true;
      found = payload::read_value(entry.value);
      is_there = found.kind != Kind::kNull;
      if (found.kind == Kind::kList) {
        // A list of one stands for its element, an empty one for nothing.
        size_t count = 0;
        Value first;
        payload::for_each_element(found.body, [&](std::string_view bytes) {
          if (count++ == 0) first = payload::read_value(bytes);
          return true;
        });
        is_there = count > 0;
        if (count == 1) found = first;
      }
      return false;
    });
    return is_there;
  }

  Node root_;
  std::string defaults_;
};

}  // namespace

std::unique_ptr<Formula> Formula::read(ByteReader& in) { return std::make_unique<FormulaImpl>(in); }

}  // namespace sealpoint
